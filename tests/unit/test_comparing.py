"""Which models of past runs belong together: by what they stand on, by how they were asked, by their seeds."""

import importlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.comparing.made_from import made_from
from orchestrator.comparing.past_models import PastModel, past_models
from orchestrator.comparing.past_runs import PastRuns
from orchestrator.comparing.variants import labelled, variants
from orchestrator.plan import Plan, compile_plan
from orchestrator.recipe import BASE, load_recipe
from orchestrator.record import Record
from orchestrator.results import StageState
from orchestrator.tracking import Store

compare = importlib.import_module("orchestrator.comparing.compare")
RECIPE = """\
name: test
task: {type: file, train: {file: my.json}, test: {file: test.json}, further: {longer: {file: longer.json}}}
model: {name: tiny}
stages:
  samples: {type: sample, model: base, n: 2}
  chosen: {type: select, from: samples, keep: random}
  sft: {type: sft, data: [chosen], max_steps: 4, validation: null}
evaluate: {also: [longer]}
"""


def plan(*overrides: str, train: str = "What is 1 + 1?") -> Plan:
    Path("r.yaml").write_text(RECIPE)
    for name, question in (("my", train), ("test", "What is 2 + 2?"), ("longer", "What is 2 + 2 + 2?")):
        Path(f"{name}.json").write_text(json.dumps([[question, "4"]]))
    return compile_plan(load_recipe("r.yaml", overrides))


def digests(made: Plan) -> dict[str, str]:
    return {stage.name: stage.recipe_digest for stage in made.stages}


def model(seed: int | None = 0, key: str = "k", of: Mapping[str, Any] | None = None, **fields: Any) -> PastModel:
    """A past model `sft`, all of whose fields that are not named are those of any other."""
    name = fields.pop("model", "sft")
    recipe = of or {"task": {"type": "units"}, "stages": {"sft": {"type": "sft"}}, "evaluate": {"max_tokens": 80}}
    above = fields.pop("above", key * 8)
    made = made_from(recipe, name)
    return replace(
        PastModel(name, seed, f"run-{key}", above, recipe, key, made, Path(key), 0.5, 1.0, 1.0, ()), **fields
    )


# --- what a model stands on


def test_the_seed_alone_changes_every_key_of_a_training_and_no_digest_of_its_recipe() -> None:
    first, other = plan(), plan("seed=7")
    assert digests(first) == digests(other)
    assert {s.key for s in first.stages} & {s.key for s in other.stages} == {
        first.stage(f"evaluate.base{also}").key for also in ("", ".longer")
    }


def test_the_content_of_a_file_changes_the_digest_of_all_that_stands_on_it() -> None:
    first, other = digests(plan()), digests(plan(train="What is 1 + 3?"))
    assert {name for name in first if first[name] != other[name]} == {
        *("samples", "chosen", "sft", "evaluate.sft", "evaluate.sft.longer")
    }
    assert digests(plan("task.seed=3"))["evaluate.sft"] == first["evaluate.sft"], "of files a task's seed says nothing"
    assert digests(plan("stages.sft.max_steps=5"))["evaluate.sft"] != first["evaluate.sft"]


def test_a_split_has_one_digest_whether_it_is_a_further_one_or_the_one_compared_on() -> None:
    further, main = plan(), plan("evaluate.on=longer", "evaluate.also=[test]")
    assert further.stage("evaluate.sft.longer").recipe_digest == main.stage("evaluate.sft").recipe_digest
    assert further.stage("evaluate.sft").recipe_digest == main.stage("evaluate.sft.test").recipe_digest


def test_a_run_writes_down_what_its_models_stand_on() -> None:
    store, made = Store(), plan()
    record = Record(store, made)
    for name, metrics in (("sft", {}), ("evaluate.sft", {"accuracy": 0.5}), ("evaluate.sft.longer", {})):
        origin = store.start(store.experiment("elsewhere"), "origin", {}, {})
        store.log(origin, metrics)
        record.reused(StageState(made.stage(name)), origin)
    runs = PastRuns(store)
    run = runs.find(record.parent)
    for on, stage in ((None, "evaluate.sft"), ("longer", "evaluate.sft.longer")):
        [found] = past_models(runs, run, on)
        assert found.recipe_digest == made.stage(stage).recipe_digest


# --- seeds of one recipe


def side_by_side(*models: PastModel) -> list[tuple[str, tuple[int, ...]]]:
    return [(label, variant.seeds) for label, variant in labelled(variants(models)).items()]


def test_models_of_one_recipe_are_put_together_by_what_it_reads() -> None:
    ours, seed = model(0, "a", recipe_digest="x"), model(1, "b", recipe_digest="x")
    assert side_by_side(ours, seed) == [("sft", (0, 1))]
    other = replace(seed, recipe_digest="y")
    assert side_by_side(ours, other) == [("sft (aaaaaaaa)", (0,)), ("sft (bbbbbbbb)", (1,))], "not told by their seed"


def test_an_older_run_is_told_by_its_text() -> None:
    older, ours, others = model(0, "a"), model(1, "b", recipe_digest="x"), model(2, "c", recipe_digest="y")
    assert side_by_side(older, model(1, "b")) == [("sft", (0, 1))]
    assert side_by_side(older, ours) == [("sft", (0, 1))]
    assert [seeds for _, seeds in side_by_side(older, ours, others)] == [(0,), (1,), (2,)], "it may be of either"


def test_the_base_is_one_whatever_stands_beside_it() -> None:
    base = model(None, "a", model=BASE)
    assert side_by_side(base, replace(base, recipe_digest="x")) == [("base", ())]


def test_the_seed_alone_is_what_other_seeds_differ_in() -> None:
    ours = model(0, "a")
    for theirs, alone in (
        (model(1, "b"), True),
        (model(0, "b"), False),  # one text and one seed, and not one model: other data
        (replace(ours, seed=1, key="b", recipe_digest="y"), True),
    ):
        [a, b] = variants([ours, theirs], apart=True)
        assert compare._seed_alone(a, b) is alone
    known, other = replace(ours, recipe_digest="x"), model(1, "b", recipe_digest="y")
    [a, b] = variants([known, other], apart=True)
    assert not compare._seed_alone(a, b)
    assert compare._differ_in_seed([ours], [model(1, "b")]) and not compare._differ_in_seed([known], [other])
