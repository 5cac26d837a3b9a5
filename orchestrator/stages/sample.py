"""`sample`: draw n completions for every question; all of them are kept, each with its verdict."""

import pyarrow.parquet as pq

from orchestrator.outputs import COMPLETIONS
from orchestrator.results import DataUsed
from orchestrator.stage_specs import Resources, SampleSpec
from orchestrator.stages.base import Context, Job, Output, one_gpu_job
from orchestrator.stages.drawing import count, digest, gather, readable, shard_jobs, silent


def resources(asked: Resources, cores: int, gpus: float) -> tuple[int, float]:
    """One core a job: many narrow workers draw faster than few wide ones."""
    return one_gpu_job(asked, cores, gpus, default_cpus=1)


def jobs(context: Context) -> list[Job]:
    """One job per shard."""
    spec = context.stage.spec
    assert isinstance(spec, SampleSpec)
    examples = context.task.examples(spec.prompts)
    decoding = (spec.temperature, spec.top_p, spec.max_tokens)
    return shard_jobs(context, examples, spec.n, spec.batch_size, spec.engine, decoding)


def finish(context: Context) -> Output:
    """completions.parquet; the metrics describe draws, so none of them is called accuracy."""
    spec = context.stage.spec
    assert isinstance(spec, SampleSpec)
    examples = context.task.examples(spec.prompts)
    table = gather(context.work)
    context.output.mkdir(exist_ok=True)
    path = context.output / COMPLETIONS
    pq.write_table(table, path)
    counted = count(table)
    solved = {r["example_id"] for r in table.select(["example_id", "status"]).to_pylist() if r["status"] == "correct"}
    metrics = {
        "draws": counted["n"],
        "pass_rate": counted["accuracy"],
        "sampling/answer_rate": counted["answer_rate"],
        "coverage": len(solved) / len(examples),
        "tokens_per_completion": counted["tokens_per_completion"],
    } | {k: v for k, v in counted.items() if k.startswith("status/")}
    used = DataUsed(context.stage.name, "sampling", digest(path), COMPLETIONS, table.num_rows)
    figure = f"{counted['accuracy']:.0%} of {table.num_rows:,} draws correct"
    return Output(figure, metrics, (used,), readable(table, examples, rows=40), silent(context, table))
