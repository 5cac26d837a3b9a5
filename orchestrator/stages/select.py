"""`select`: keep the completions worth training on. They were judged when they were drawn, and are not judged again."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.errors import StageError
from orchestrator.outputs import CHOSEN
from orchestrator.results import DataUsed
from orchestrator.stage_specs import Resources, SampleSpec, SelectSpec
from orchestrator.stages.base import Context, Job, Output
from orchestrator.stages.drawing import digest

SCHEMA = pa.schema({"example_id": pa.string(), "draw": pa.int64(), "text": pa.string(), "question": pa.string()})


def resources(asked: Resources, cores: int, gpus: float) -> tuple[int, float]:
    """Select reads one table in the driver and asks for nothing."""
    return 0, 0.0


def jobs(context: Context) -> list[Job]:
    """None: it is done in `finish`, in well under a second."""
    return []


def finish(context: Context) -> Output:
    """chosen.parquet: example_id, draw, text, question."""
    spec = context.stage.spec
    assert isinstance(spec, SelectSpec)
    drawn = pq.read_table(context.inputs[spec.source]).to_pylist()
    sampled = context.plan.stage(spec.source).spec
    assert isinstance(sampled, SampleSpec)
    questions = {e.id: e.question for e in context.task.examples(sampled.prompts)}
    rows = keep(drawn, spec)
    if not rows and not spec.allow_empty:
        raise StageError(
            f"none of the {len(drawn):,} draws is correct, so there is nothing to train on; look at the completions of "
            f"{spec.source!r} in MLflow: are answers found at all (sampling/answer_rate)? To go on all the same, set "
            f"stages.{context.stage.name}.allow_empty: true"
        )
    table = pa.Table.from_pylist([r | {"question": questions[r["example_id"]]} for r in rows], schema=SCHEMA)
    context.output.mkdir(exist_ok=True)
    path = context.output / CHOSEN
    pq.write_table(table, path)
    per_example = Counter(r["example_id"] for r in rows)
    metrics: dict[str, float] = {"rows": len(rows), "questions": len(per_example)}
    if rows:
        metrics["rows_per_question"] = len(rows) / len(per_example)
    used = DataUsed(context.stage.name, "training", digest(path), CHOSEN, len(rows))
    samples = [{"question": questions[r["example_id"]], "completion": r["text"]} for r in rows[:40]]
    figure = f"{len(rows):,} rows of {len(per_example):,} questions" if rows else "0 rows: no draw was correct"
    return Output(figure, metrics, (used,), samples)


def keep(drawn: list[dict[str, Any]], spec: SelectSpec) -> list[dict[str, Any]]:
    """The correct draws; of those that differ in white space only the first; at most so many per question."""
    kept: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()
    per_example: Counter[str] = Counter()
    for row in drawn:
        if row["status"] != "correct":
            continue
        text = (row["example_id"], " ".join(row["text"].split()))
        if spec.distinct and text in seen:
            continue
        if spec.max_per_example is not None and per_example[row["example_id"]] >= spec.max_per_example:
            continue
        seen.add(text)
        per_example[row["example_id"]] += 1
        kept.append(row)
    return kept
