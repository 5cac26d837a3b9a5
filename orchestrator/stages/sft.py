"""`sft`: supervised fine-tuning on demonstrations, on selected completions, or on both; the latter two are RFT."""

from typing import Any

from orchestrator.errors import StageError
from orchestrator.stages.base import Context, Job, Output, one_gpu_job
from orchestrator.stages.drawing import digest, split_digest
from orchestrator.stages.training import trained, validation_of
from orchestrator.store.tables import read_stored
from orchestrator.training.settings import Resources, SftSpec
from orchestrator.types import DataUsed


def resources(asked: Resources, cores: int, gpus: float) -> tuple[int, float]:
    """Two cores and a GPU."""
    return one_gpu_job(asked, cores, gpus, default_cpus=2)


def jobs(context: Context) -> list[Job]:
    """One job; the rows travel with it."""
    spec = context.spec
    assert isinstance(spec, SftSpec)
    pairs, seed = tuple(rows(context, spec)), context.seed
    model = context.model(spec.model)
    stop_on = context.stop_on
    looked = validation_of(context)
    return [Job(_run, (context.work, model, context.task.format, spec, seed, context.cpus, pairs, stop_on, looked))]


def _run(argument: tuple[Any, ...]) -> None:
    from orchestrator.training.sft import SftJob, run_sft

    *settings, stop_on, looked = argument
    run_sft(SftJob(*settings, stop_on=stop_on, validation=looked))


def rows(context: Context, spec: SftSpec) -> list[tuple[str, str]]:
    """The (question, target) pairs to train on, in the order the recipe names their sources."""
    pairs: list[tuple[str, str]] = []
    for source in spec.data:
        if source == "demonstrations":
            pairs += [(e.question, context.task.target(e)) for e in context.task.examples("demonstrations")]
        else:
            table = read_stored(context.inputs[source], ("question", "text"))
            pairs += zip(table["question"].to_pylist(), table["text"].to_pylist(), strict=True)
    if not pairs:
        raise StageError(
            f"there is no row to train on: {' and '.join(spec.data)} is empty; add demonstrations to "
            f"stages.{context.name}.data, or draw more"
        )
    return pairs


def finish(context: Context) -> Output:
    """The adapter, its curves and the data it was trained on."""
    spec = context.spec
    assert isinstance(spec, SftSpec)
    used = []
    for source in spec.data:
        if source == "demonstrations":
            number, known = len(context.task.examples(source)), split_digest(context.task, source)
            used.append(DataUsed(source, "training", known, context.task.type, number))
        else:
            path = context.inputs[source]
            number = read_stored(path, ("question",)).num_rows
            used.append(DataUsed(source, "training", digest(path), path.as_uri(), number))
    return trained(context, "loss", tuple(used), {"rows": float(sum(d.rows for d in used))})
