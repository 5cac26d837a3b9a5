"""Which models of past runs belong together: by their inputs, by how they were evaluated, by their seeds."""

import importlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from orchestrator.comparison import comparable as alike
from orchestrator.comparison.groups import Variant, labelled, variants
from orchestrator.comparison.past_models import PastModel, past_models
from orchestrator.comparison.seed_spread import seed_sds
from orchestrator.health.findings import as_tags, findings_of
from orchestrator.plan.plan import Plan, compile_plan
from orchestrator.recipe.plain import made_from
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.record import Record
from orchestrator.runs.state import StageState
from orchestrator.store.find import PastRuns
from orchestrator.store.memory import MemoryStore
from orchestrator.store.mlflow import MlflowStore
from orchestrator.store.names import PARENT_TAG, RESULTS, VERB_TAG, output_of
from orchestrator.types import BASE, Finding

compare = importlib.import_module("orchestrator.comparison.side_by_side")
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
    """A past model `sft` with default fields, except those given."""
    name = fields.pop("model", "sft")
    recipe = of or {"task": {"type": "units"}, "stages": {"sft": {"type": "sft"}}, "evaluate": {"max_tokens": 80}}
    above = fields.pop("above", key * 8)
    made = made_from(recipe, name)
    return replace(
        PastModel(name, seed, f"run-{key}", above, recipe, key, made, Path(key), 0.5, 1.0, 1.0, ()), **fields
    )


# --- what a model depends on


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
    assert digests(plan("task.seed=3"))["evaluate.sft"] == first["evaluate.sft"], "a task's seed does not affect files"
    assert digests(plan("stages.sft.max_steps=5"))["evaluate.sft"] != first["evaluate.sft"]


def test_a_split_has_one_digest_whether_it_is_a_further_one_or_the_one_compared_on() -> None:
    further, main = plan(), plan("evaluate.on=longer", "evaluate.also=[test]")
    assert further.stage("evaluate.sft.longer").recipe_digest == main.stage("evaluate.sft").recipe_digest
    assert further.stage("evaluate.sft").recipe_digest == main.stage("evaluate.sft.test").recipe_digest


def written_results(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"example_id": ["1"]}), path)


def test_a_run_writes_down_what_its_models_stand_on() -> None:
    store, made = MlflowStore(), plan()
    record = Record(store, made)
    record.describe()
    for name, metrics in (("sft", {}), ("evaluate.sft", {"accuracy": 0.5}), ("evaluate.sft.longer", {})):
        noticed = as_tags(
            Finding(f"found-{i}", "warning", f"stage {s}: odd", "", "", "")
            for i, s in enumerate(("sft", "evaluate.sft"))
        )
        origin = store.start(
            store.experiment("elsewhere"), "origin", noticed if name != "evaluate.sft.longer" else {}, {}
        )
        store.log(origin, metrics)
        for also in (None, "longer"):
            written_results(store.artifact(origin, output_of(RESULTS, also)))
        record.reused(StageState(made.stage(name)), origin)
    runs = PastRuns(store)
    run = runs.find(record.parent)
    for on, stage in ((None, "evaluate.sft"), ("longer", "evaluate.sft.longer")):
        [found] = past_models(runs, run, on)
        assert found.recipe_digest == made.stage(stage).recipe_digest
        assert found.judging_digest == made.stage(stage).judging_digest is not None
    told = [finding.what for finding in findings_of(runs.children(record.parent)["sft"].tags)]
    assert told == ["stage sft: odd", "stage evaluate.sft: odd"], "each from the run that produced it"


# --- seeds of one recipe


def side_by_side(*models: PastModel) -> list[tuple[str, tuple[int, ...]]]:
    return [(label, variant.seeds) for label, variant in labelled(variants(models)).items()]


def test_models_of_one_recipe_are_put_together_by_what_it_reads() -> None:
    ours, seed = model(0, "a", recipe_digest="x"), model(1, "b", recipe_digest="x")
    assert side_by_side(ours, seed) == [("sft", (0, 1))]
    other = replace(seed, recipe_digest="y")
    assert side_by_side(ours, other) == [("sft (aaaaaaaa)", (0,)), ("sft (bbbbbbbb)", (1,))], "not seeds of one model"


def test_an_older_run_is_told_by_its_text() -> None:
    older, ours, others = model(0, "a"), model(1, "b", recipe_digest="x"), model(2, "c", recipe_digest="y")
    assert side_by_side(older, model(1, "b")) == [("sft", (0, 1))]
    assert side_by_side(older, ours) == [("sft", (0, 1))]
    assert [seeds for _, seeds in side_by_side(older, ours, others)] == [(0,), (1,), (2,)], "it may belong to either"


def test_the_base_is_one_whatever_stands_beside_it() -> None:
    base = model(None, "a", model=BASE)
    assert side_by_side(base, replace(base, recipe_digest="x")) == [("base", ())]


def test_the_seed_alone_is_what_other_seeds_differ_in() -> None:
    ours = model(0, "a")
    for theirs, alone in (
        (model(1, "b"), True),
        (model(0, "b"), False),  # same text and seed, but not the same model: the data differ
        (replace(ours, seed=1, key="b", recipe_digest="y"), True),
    ):
        [a, b] = variants([ours, theirs], apart=True)
        assert compare._seed_alone(a, b) is alone
    known, other = replace(ours, recipe_digest="x"), model(1, "b", recipe_digest="y")
    [a, b] = variants([known, other], apart=True)
    assert not compare._seed_alone(a, b)
    assert compare._differ_in_seed([ours], [model(1, "b")]) and not compare._differ_in_seed([known], [other])


def test_what_tells_many_recipes_apart_is_asked_once_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = importlib.import_module("orchestrator.comparison.groups").parting

    def parting(recipes: list[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
        asked.append((name, len(recipes)))
        return list(real(recipes, name))

    monkeypatch.setattr("orchestrator.comparison.groups.parting", parting)
    rates = [{"task": {}, "stages": {"sft": {"type": "sft", "learning_rate": rate}}} for rate in (1, 2, 3)]
    made = [model(key=f"{i}{name}", of=of, model=name) for i, of in enumerate(rates) for name in ("sft", "base")]
    labels = [label for label, _ in side_by_side(*made)]
    assert labels[::2] == ["sft learning_rate 1", "sft learning_rate 2", "sft learning_rate 3"]
    assert sorted(asked) == [("base", 3), ("sft", 3)]


def test_where_several_settings_differ_labels_say_what_is_otherwise_than_in_the_first() -> None:
    def recipe(rate: int, steps: int) -> dict[str, Any]:
        return {"task": {}, "stages": {"sft": {"type": "sft", "learning_rate": rate, "max_steps": steps}}}

    made = [model(key=f"{i}", of=recipe(*of), model="sft") for i, of in enumerate(((1, 5), (2, 5), (1, 9), (2, 9)))]
    assert [label for label, _ in side_by_side(*made)] == [
        "sft",
        "sft learning_rate 2",
        "sft max_steps 9",
        "sft learning_rate 2, max_steps 9",
    ]


def test_the_spread_over_seeds_is_that_on_one_split() -> None:
    def written(seed: int, on: str) -> dict[str, Any]:
        evaluate = {"on": on, "also": ["longer" if on == "test" else "test"]}
        return {"seed": seed, "task": {"type": "units"}, "stages": {"sft": {"type": "sft"}}, "evaluate": evaluate}

    store = MemoryStore(Path("store"))
    experiment = store.experiment("test")
    runs = []
    for seed, on, figures in (
        (0, "test", {"accuracy": 0.80, "longer/accuracy": 0.1}),
        (1, "test", {"accuracy": 0.82, "longer/accuracy": 0.2}),
        (2, "longer", {"accuracy": 0.30, "test/accuracy": 0.84}),
    ):
        runs.append(store.start(experiment, "test", {VERB_TAG: "run"}, {}))
        store.log_file(runs[-1], yaml.safe_dump(written(seed, on)), "recipe.yaml")
        also = "longer" if on == "test" else "test"
        tags = {"orch.eval_key": f"{seed}", f"orch.eval_key.{also}": f"{seed}-also"}
        model = store.start(experiment, "sft", tags | {PARENT_TAG: runs[-1]}, {})
        store.log(model, figures)
        for split in (None, "longer", "test"):
            written_results(store.artifact(model, output_of(RESULTS, split)))
    past = PastRuns(store)
    for on, spread in ((None, 0.02), ("longer", 0.1)):
        [found] = past_models(past, past.find(runs[0]), on)
        [(label, sd, seeds)] = seed_sds(past, {"sft": Variant((found,))})
        assert (label, round(sd, 9), seeds) == ("sft", spread, 3)


# --- evaluated and judged alike

OWN_TASK = """\
from orchestrator import Task


class MyTask(Task):
    tolerance: float = 0.1

    def verdict(self, text, answer, finish_reason):
        return super().verdict(text, answer, finish_reason)
"""


def judging(*overrides: str, code: str = OWN_TASK) -> str | None:
    """The judging digest of a user's own task."""
    Path("my_task.py").write_text(code)
    return plan("task.type=my_task.py:MyTask", "task.judge={type: numeric}", *overrides).stages[-1].judging_digest


def test_a_task_of_ones_own_judges_alike_where_its_settings_and_its_code_are_the_same() -> None:
    first = judging()
    assert first is not None and first == judging("task.seed=3", "seed=3", "evaluate.max_tokens=9")
    assert judging("task.tolerance=0.5") != first
    assert judging("task.format={type: boxed}") != first
    assert judging(code=OWN_TASK + "# the same, and yet who knows\n") != first


def told(ours: Mapping[str, Any], theirs: Mapping[str, Any], *digests: str | None) -> str | None:
    a, b = (model(key=key, of=of) for key, of in (("a", ours), ("b", theirs)))
    if digests:
        a, b = replace(a, judging_digest=digests[0]), replace(b, judging_digest=digests[1])
    return alike._parting(a, b)


def test_other_settings_and_other_code_are_judged_otherwise() -> None:
    def own(**task: Any) -> dict[str, Any]:
        return {"task": {"type": "my_task.py:MyTask"} | task, "evaluate": {"max_tokens": 80}}

    loose, strict = own(tolerance=0.5), own(tolerance=0.01)
    parted = "task.tolerance is 0.01, but 0.5 in run aaaaaaaa"
    assert told(loose, strict) == told(loose, strict, "x", "y") == parted
    assert told(loose, strict, "x", "x") is None, "its verdicts do not use that setting"
    assert told(loose, loose, "x", "y") == "the code of the task or judge is not that of run aaaaaaaa"
    assert told(loose, loose, "x", None) is None, "an older run has only the recipe's text"
    assert told(loose, own(tolerance=0.5, seed=3, train={"file": "x"}, further={"long": {}})) is None
    longer = loose | {"evaluate": {"max_tokens": 800}}
    assert told(loose, longer, "x", "x") == "evaluate.max_tokens is 800, but 80 in run aaaaaaaa"


def test_a_task_that_comes_with_orch_may_ask_other_questions_and_judge_alike() -> None:
    a, b = ({"task": {"type": "dyck", "sequences": {"depth": depth}}} for depth in (2, 4))
    assert told(a, b) is None


def test_what_counts_is_the_split_that_was_asked() -> None:
    main, other = ({"task": {"type": "units"}, "evaluate": {"on": on}} for on in ("test", "longer"))
    ours, theirs = model(of=main, above="a" * 8), model(of=other, above="b" * 8)
    assert alike._parting(ours, theirs) == "evaluate.on is 'longer', but 'test' in run aaaaaaaa"
    assert alike._parting(replace(ours, also="longer"), theirs) is None
    assert alike._parting(ours, replace(theirs, also="test")) is None
