"""`evaluate`: every model answers the same questions greedily and is judged the same way."""

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.stages.base import Context, Job, Output, one_gpu_job
from orchestrator.stages.drawing import count, gather, readable, shard_jobs, silent, split_digest
from orchestrator.stages.specs import EvaluateSpec
from orchestrator.store.names import output_of
from orchestrator.training.settings import Resources
from orchestrator.types import DataUsed


def resources(asked: Resources, cores: int, gpus: float) -> tuple[int, float]:
    """One core a job."""
    return one_gpu_job(asked, cores, gpus, default_cpus=1)


def jobs(context: Context) -> list[Job]:
    """One job per shard of questions."""
    spec = context.spec
    assert isinstance(spec, EvaluateSpec)
    return shard_jobs(context, context.task.examples(spec.on), 1, spec.batch_size, spec.engine, (0, 1, spec.max_tokens))


def finish(context: Context) -> Output:
    """The table of results, and the metrics that make models comparable; a further split's carry its name."""
    spec = context.spec
    assert isinstance(spec, EvaluateSpec)
    examples = context.task.examples(spec.on)
    table = gather(context.work)
    by_id = {e.id: e for e in examples}
    ids = table["example_id"].to_pylist()
    results_table = pa.table(
        {
            "example_id": ids,
            "question": [by_id[i].question for i in ids],
            "gold": [by_id[i].answer for i in ids],
            "text": table["text"],
            "value": table["value"],
            "status": table["status"],
            "n_tokens": table["n_tokens"],
            "finish_reason": table["finish_reason"],
        }
    )
    name = output_of("evaluate", context.also)
    path = context.output / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(results_table, path)
    metrics = count(table)
    used = DataUsed(spec.on, "evaluation", split_digest(context.task, spec.on), name, table.num_rows)
    shown = readable(table, examples, rows=20)
    figure = f"accuracy {metrics['accuracy']:.3f}"
    if context.also is not None:
        metrics = {f"{context.also}/{metric}": value for metric, value in metrics.items()}
    tokens = sum(table["n_tokens"].to_pylist())
    return Output(figure, metrics, (used,), shown, silent(context, table, examples), tokens=tokens)
