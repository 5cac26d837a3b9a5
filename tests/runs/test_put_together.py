"""A stage's output is assembled on a Ray worker, which may die and may not see the user's files."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray

from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.cluster import Cluster, connect, disconnect
from orchestrator.runs.context import context_of
from orchestrator.runs.crew import Done
from orchestrator.runs.failure import one_line
from orchestrator.sampling.completions import write
from orchestrator.stages.base import put_together
from orchestrator.stages.context import Context, Output, Share
from orchestrator.stages.select import Select
from orchestrator.types import Completion, Verdict

RECIPE = """\
name: test
task: {type: file, train: {file: train.json}, test: {file: test.json}}
model: {name: tiny}
stages:
  samples: {type: sample, model: base}
  chosen: {type: select, from: samples}
evaluate: {models: base}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    patch = pytest.MonkeyPatch()
    patch.delenv("RAY_ADDRESS", raising=False)
    yield connect()
    disconnect()
    patch.undo()


class Dying(Select):
    """Leaves a partial output and ends the worker, the first time."""

    def finish(self, context: Context) -> Output:
        once, half = context.work / "once", context.output / "half"
        if not once.exists():
            once.touch()
            context.output.mkdir()
            half.touch()
            os._exit(1)
        assert not half.exists()
        return super().finish(context)


def together(cluster: Cluster, verb: type[Select], retries: int, **settings: Any) -> Done:
    """Assemble the select stage of a small recipe on a worker, when a file of its task is gone."""
    for name, question in (("train", "1 + 1?"), ("test", "2 + 2?")):
        Path(f"{name}.json").write_text(json.dumps([[question, 2]]))
    Path("r.yaml").write_text(RECIPE)
    plan = compile_plan(load_recipe("r.yaml"))
    [example] = plan.recipe.task.examples("train")
    work = Path("work").resolve()
    work.mkdir()
    drawn = [(Completion(example.id, n, f"{n}", 1, "stop"), Verdict("correct", "2")) for n in range(3)]
    write(work / "completions.parquet", drawn)
    given = context_of(plan, plan.stage("chosen"), work, {"samples": work / "completions.parquet"}, Share(1, 0.0))
    Path("train.json").unlink()
    spec = verb.model_validate({"type": "select", "from": "samples"} | settings)
    crew = cluster.submit([(put_together, (spec, given, {"train": [example]}))], 1, 0.0, retries)
    [reference] = crew.pending
    return crew.take(reference)[1]


def test_it_is_put_together_from_what_was_sent_along(cluster: Cluster) -> None:
    done = together(cluster, Select, 0, max_per_example=2)
    assert done.result.figure == "2 rows of 1 questions" and done.result.samples[0]["question"] == "1 + 1?"
    assert pq.read_table("work/output/chosen.parquet")["question"].to_pylist() == ["1 + 1?"] * 2
    assert done.peak_mb is not None and done.peak_mb > 50


def test_a_worker_that_dies_over_it_is_replaced_and_leaves_nothing(cluster: Cluster) -> None:
    assert together(cluster, Dying, 2).result.figure == "3 rows of 1 questions"
    assert [path.name for path in Path("work/output").iterdir()] == ["chosen.parquet"]


def test_a_worker_that_dies_for_good_is_an_error_with_a_reason(cluster: Cluster) -> None:
    with pytest.raises(ray.exceptions.RayError) as died:
        together(cluster, Dying, 0)
    assert "out of memory, or killed" in one_line(died.value)
