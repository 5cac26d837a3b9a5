"""`sample`: draw n completions for every question; all of them are kept, each with its verdict."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orchestrator.sampling.same_draws import sampling_finding
from orchestrator.stages.base import Context, Job, Output, one_gpu_job
from orchestrator.stages.drawing import count, digest, gather, readable, shard_jobs, silent
from orchestrator.stages.specs import SampleSpec
from orchestrator.stats import majority_at_k, pass_at_k
from orchestrator.store.names import COMPLETIONS
from orchestrator.training.settings import Resources
from orchestrator.types import DataUsed, Finding


def resources(asked: Resources, cores: int, gpus: float) -> tuple[int, float]:
    """One core a job: many narrow workers draw faster than few wide ones."""
    return one_gpu_job(asked, cores, gpus, default_cpus=1)


def jobs(context: Context) -> list[Job]:
    """One job per shard."""
    spec = context.spec
    assert isinstance(spec, SampleSpec)
    examples = context.task.examples(spec.prompts)
    decoding = (spec.temperature, spec.top_p, spec.max_tokens)
    return shard_jobs(context, examples, spec.n, spec.batch_size, spec.engine, decoding)


def finish(context: Context) -> Output:
    """completions.parquet; the metrics describe draws, so none of them is called accuracy."""
    spec = context.spec
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
    metrics |= of_k(table, spec.n)
    used = DataUsed(context.name, "sampling", digest(path), COMPLETIONS, table.num_rows)
    figure = f"{counted['accuracy']:.0%} of {table.num_rows:,} draws correct"
    shown, tokens = readable(table, examples, rows=40), sum(table["n_tokens"].to_pylist())
    found = *silent(context, table), *alike(table, spec, counted["accuracy"])
    return Output(figure, metrics, (used,), shown, found, tokens=tokens)


def alike(table: pa.Table, spec: SampleSpec, correct: float) -> tuple[Finding, ...]:
    """The finding for draws of a question that are all the same."""
    texts: dict[str, list[str]] = {}
    for example, text in zip(table["example_id"].to_pylist(), table["text"].to_pylist(), strict=True):
        texts.setdefault(example, []).append(text)
    found = sampling_finding(list(texts.values()), correct, spec.temperature)
    return () if found is None else (found,)


def of_k(table: pa.Table, n: int) -> dict[str, float]:
    """pass@k for k = 1, 2, 4, ... and n, and maj@n, of n judged draws for each question.

    Answers are equal as they were parsed. MLflow's names of metrics have no @: `pass_at_4`, `maj_at_4`.
    """
    order = np.argsort(_numbered(table["example_id"]), kind="stable")
    right = (np.array(table["status"].to_pylist(), dtype=object) == "correct")[order].reshape(-1, n)
    numbers = _numbered(table["value"])[order].reshape(-1, n)
    ks = sorted({n, *(2**i for i in range(n.bit_length()) if 2**i < n)})
    found = {f"pass_at_{k}": pass_at_k(right.sum(axis=1), n, k) for k in ks}
    return found | ({f"maj_at_{n}": majority_at_k(numbers, right)} if n > 1 else {})


def _numbered(texts: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number for each text, the same for equal ones; -1 where there is none.

    Not `np.unique`: an array of texts takes as much memory for each as for the longest.
    """
    known: dict[str, int] = {}
    return np.array([-1 if t is None else known.setdefault(t, len(known)) for t in texts.to_pylist()], dtype=np.int64)
