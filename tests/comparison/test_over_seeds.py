"""Several seeds in one recipe: the schema, the plans and what they share, the aggregate."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from orchestrator.comparison.over_seeds import metrics_of, over_seeds
from orchestrator.errors import RecipeError
from orchestrator.plan.plan import Stage, TrialsPlan, compile_plan, compile_recipe
from orchestrator.recipe.recipe import Recipe, load_recipe
from orchestrator.results import Difference, Evaluation, ModelResult, RunResult, SeedsResult
from orchestrator.runs.trials import describe_seeds
from orchestrator.stats import seed_difference, seed_mean, wilson
from orchestrator.types import Finding

RECIPE = """\
name: test
task: {type: units, demonstrations: {generate: 3}, test: {generate: 2}}
model: {name: tiny}
stages:
  sft: {type: sft}
"""


def load(more: str = "", *overrides: str) -> Recipe:
    Path("r.yaml").write_text(RECIPE + more)
    return load_recipe("r.yaml", overrides)


# --- the recipe


def test_seeds_are_read_in_their_order() -> None:
    assert load("seeds: [2, 0, 1]").seeds == (2, 0, 1)
    assert load("seeds: [7]").seeds == (7,)
    assert load().seeds is None


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("seeds: []", "r.yaml:6: seeds: tuple should have at least 1 item"),
        ("seeds: 3", "r.yaml:6: seeds: must be a list of seeds, such as [0, 1, 2], not 3"),
        ("seeds: [0, 1, 0]", "r.yaml:6: seeds: seed 0 is listed twice"),
        ("seeds: [0, -1]", "r.yaml:6: seeds.1: input should be greater than or equal to 0, got -1"),
        ("seeds: [0, x]", "r.yaml:6: seeds.1: input should be a valid integer"),
        ("seed: 0\nseeds: [0]", "r.yaml:7: seeds: seed and seeds both say which seeds to run: keep one of them"),
    ],
)
def test_seeds_that_cannot_be_are_told_where_they_stand(written: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(written)
    assert len(caught.value.problems) == 1 and caught.value.problems[0].startswith(said)


def test_an_override_of_one_takes_the_place_of_the_other() -> None:
    assert load("seed: 3", "seeds=[0, 1]").seeds == (0, 1)
    one = load("seeds: [0, 1]", "seed=4")
    assert (one.seed, one.seeds) == (4, None)
    with pytest.raises(RecipeError, match="override seeds: seed and seeds both say"):
        load("", "seeds=[0]", "seed=0")


def test_a_resolved_recipe_with_seeds_loads_again() -> None:
    import yaml

    resolved = load("seeds: [0, 1]").resolved()
    assert resolved["seeds"] == [0, 1] and "seed" not in resolved
    Path("again.yaml").write_text(yaml.safe_dump(resolved))
    assert load_recipe("again.yaml").resolved() == resolved
    assert load("seed: 2").resolved()["seed"] == 2 and "seeds" not in load("seed: 2").resolved()


# --- the plans


def seeds_of(plan: TrialsPlan, stage: Stage) -> list[int]:
    return [trial.label["seed"] for trial in plan.sharing()[stage.key]]


def seeds_plan(*seeds: int) -> TrialsPlan:
    made = compile_recipe(load(f"seeds: {list(seeds)}"))
    assert isinstance(made, TrialsPlan)
    return made


def test_each_seed_has_the_plan_that_it_would_have_alone() -> None:
    made = seeds_plan(0, 5)
    for plan, seed in zip(made.plans, (0, 5), strict=True):
        alone = compile_plan(load("", f"seed={seed}"))
        assert plan.key == alone.key and plan.stages == alone.stages
        assert plan.recipe.resolved() == alone.recipe.resolved()


def test_what_no_seed_changes_stands_once() -> None:
    made = seeds_plan(0, 1, 2)
    names = [stage.name for stage in made.stages]
    assert names.count("evaluate.base") == 1 and names.count("sft") == names.count("evaluate.sft") == 3
    assert len({stage.key for stage in made.stages}) == len(names) == 7
    assert [seeds_of(made, s) for s in made.stages if s.name == "sft"] == [[0], [1], [2]]
    assert [seeds_of(made, s) for s in made.stages if s.name == "evaluate.base"] == [[0, 1, 2]]


def test_the_key_follows_from_the_seeds_and_not_from_their_order() -> None:
    assert seeds_plan(0, 1).key == seeds_plan(1, 0).key
    assert seeds_plan(0, 1).key not in (seeds_plan(0).key, seeds_plan(0, 1, 2).key, seeds_plan(0, 2).key)
    assert seeds_plan(0).key != compile_plan(load()).key


def test_a_recipe_with_seeds_is_planned_with_the_first_where_one_plan_is_asked_for() -> None:
    assert compile_plan(load("seeds: [4, 1]")).key == compile_plan(load("seed: 4")).key


def test_what_is_made_is_known_in_every_plan() -> None:
    made = seeds_plan(0, 1)
    base = made.plans[0].stage("evaluate.base")
    known = made.with_cached({base.key: "run"})
    assert [plan.stage("evaluate.base").cached for plan in known.plans] == ["run", "run"]
    assert [stage.name for stage in known.stages if stage.cached] == ["evaluate.base"]


# --- the aggregate

N = 200


def results(run_id: str, also: str | None) -> Path:
    """The path of the answers of a run of `run`."""
    return Path(f"{run_id} {also}.parquet")


def answered(seed: int, name: str, accuracy: float, also: str | None) -> ModelResult:
    """A model with this accuracy on N questions, right on other ones for each name and seed; 90% are readable."""
    run_id = f"{name} {seed}"
    order = Random(run_id).sample(range(N), N)
    right, read = set(order[: round(accuracy * N)]), set(order[: round(0.9 * N)])
    status = ["correct" if i in right else "wrong" if i in read else "unparsed" for i in range(N)]
    ids = [f"q{i}" for i in range(N)]
    table = {"example_id": ids, "question": ids, "gold": ids, "status": status, "n_tokens": [7] * N}
    pq.write_table(pa.table(table), results(run_id, also))
    low, high = wilson(len(right), N)
    return ModelResult(name, len(right) / N, low, high, 0.9, N)


def run(seed: int, sft: float, rft: float | None, also: str | None = None) -> RunResult:
    """The result of a run with one seed: a base that no seed changes, SFT, and RFT unless it failed."""
    models = [answered(0, "base", 0.1, also), answered(seed, "sft", sft, also)]
    models += [answered(seed, "rft", rft, also)] if rft is not None else []
    differences = tuple(
        Difference(m.model, "sft", m.accuracy - sft, -1, 1, 0.5, 0, 0) for m in models if m.model != "sft"
    )
    name = "" if also is None else f".{also}"
    ids = {m.model: f"{m.model} {0 if m.model == 'base' else seed}" for m in models}
    rows = tuple(
        {"name": f"evaluate.{m}{name}", "key": run_id, "run_id": run_id, "state": "done"} for m, run_id in ids.items()
    )
    errors = () if rft is not None else ("stage 'rft' failed: why",)
    return RunResult(f"run {seed}", "test", tuple(models), rows, differences, errors, seed=seed)


def three() -> list[RunResult]:
    return [run(0, 0.60, 0.80), run(1, 0.64, 0.81), run(2, 0.62, 0.85)]


def together(*runs: RunResult) -> SeedsResult:
    return over_seeds("top", "test", [run.seed or 0 for run in runs], runs, results)


def right(name: str, seeds: Sequence[int]) -> NDArray[np.bool_]:
    """Whether each answer is right, seeds x questions, read from the files."""
    tables = [pq.read_table(results(f"{name} {seed}", None)).sort_by("example_id") for seed in seeds]
    return np.array([table["status"].to_pylist() for table in tables]) == "correct"


def test_models_are_averaged_over_seeds() -> None:
    found = together(*three())
    base, _, rft = found.models
    assert (rft.model, rft.seeds, rft.accuracies, rft.n) == ("rft", (0, 1, 2), (0.80, 0.81, 0.85), N)
    assert rft.accuracy_mean == pytest.approx(0.82) and rft.accuracy_sd == pytest.approx(0.0264575131)
    expected = seed_mean(right("rft", (0, 1, 2)))
    assert (rft.accuracy_low, rft.accuracy_high) == pytest.approx((expected.low, expected.high))
    assert rft.answer_rate_mean == pytest.approx(0.9) and not rft.shared and base.shared
    of_base, of_rft = found.differences
    assert of_rft.differences == pytest.approx((0.20, 0.17, 0.23)) and of_rft.difference_mean == pytest.approx(0.20)
    gap = seed_difference(right("rft", (0, 1, 2)), right("sft", (0, 1, 2)))
    assert (of_rft.difference_low, of_rft.difference_high) == pytest.approx((gap.low, gap.high))
    assert (of_base.model, of_base.baseline, of_base.seeds) == ("base", "sft", (0, 1, 2))
    assert any(text.startswith("RFT is better than SFT: +20.0 points") for text in found.conclusions)


def test_a_model_that_no_seed_changes_has_the_interval_of_its_one_evaluation() -> None:
    base = together(*three()).models[0]
    assert (base.accuracy_mean, base.accuracy_sd) == (pytest.approx(0.1), None)
    assert (base.accuracy_low, base.accuracy_high) == pytest.approx(wilson(20, N))


def test_a_single_seed_has_the_interval_of_its_one_evaluation() -> None:
    found = together(run(3, 0.6, 0.9))
    assert (found.models[2].accuracy_mean, found.models[2].accuracy_sd) == (0.9, None)
    assert (found.models[2].accuracy_low, found.models[2].accuracy_high) == pytest.approx(wilson(180, N))
    assert [m.shared for m in found.models] == [
        True,
        *[False] * (len(found.models) - 1),
    ] and "rft/accuracy_sd" not in metrics_of(found)


def test_a_seed_that_failed_is_named_and_the_others_are_averaged() -> None:
    first, _, last = three()
    found = together(first, run(1, 0.64, None), last)
    rft = found.models[2]
    assert (rft.seeds, rft.accuracy_mean) == ((0, 2), pytest.approx(0.825))
    assert found.models[1].seeds == (0, 1, 2) and found.differences[1].seeds == (0, 2)
    assert found.errors == ("seed 1: stage 'rft' failed: why",)


def test_seeds_that_all_failed_leave_no_figures() -> None:
    failed = [RunResult(f"run {seed}", "test", (), (), (), ("why",), seed=seed) for seed in (0, 1)]
    found = together(*failed)
    assert (found.models, found.differences, found.errors) == ((), (), ("seed 0: why", "seed 1: why"))
    assert metrics_of(found) == {}


def test_the_metrics_of_the_run_above_the_seeds() -> None:
    found = together(*three())
    metrics = metrics_of(found)
    assert metrics["rft/accuracy_mean"] == pytest.approx(0.82) and metrics["rft/n"] == N
    assert metrics["rft/seeds"] == 3 and metrics["rft/difference_mean"] == pytest.approx(0.20)
    assert metrics["base/accuracy_low"] == found.models[0].accuracy_low
    assert "accuracy" not in metrics and "rft/accuracy" not in metrics, "a plain accuracy belongs to a single model"


def test_further_splits_are_averaged_by_themselves() -> None:
    alone = together(*three())
    further = [run(seed, 0.3, 0.4 + seed / 10, "longer") for seed in (0, 1, 2)]
    runs = [
        replace(one, also=(Evaluation("longer", f.models, f.differences),), stages=(*one.stages, *f.stages))
        for one, f in zip(three(), further, strict=True)
    ]
    found = together(*runs)
    assert found.models == alone.models
    [longer] = found.also
    assert longer.on == "longer" and longer.models[2].accuracy_mean == pytest.approx(0.5) and longer.models[0].shared
    assert metrics_of(found)["longer/rft/accuracy_mean"] == pytest.approx(0.5)


def test_what_every_seed_noticed_is_told_once() -> None:
    finding = Finding("test-too-small", "warning", "what", "evidence", "cause", "remedy")
    assert together(*(replace(one, findings=(finding,)) for one in three())).findings == (finding,)


def test_stages_stand_once_as_the_seed_tells_that_made_them() -> None:
    first, second, _ = three()
    cached = replace(first, stages=tuple(row | {"state": "cached"} for row in first.stages))
    assert [(row["name"], row["state"]) for row in together(cached, second).stages] == [
        ("evaluate.base", "done"),
        ("evaluate.sft", "cached"),
        ("evaluate.rft", "cached"),
        ("evaluate.sft", "done"),
        ("evaluate.rft", "done"),
    ]


def test_contamination_of_any_seed_is_said() -> None:
    first, *others = three()
    found = Finding("test-in-training", "info", "7 of 100 test questions appear in task.train", "", "", "")
    said = together(replace(first, findings=(found,)), *others).conclusions
    assert said[-1] == "Contaminated: 7 of 100 test questions appear in task.train"
    assert not any("Contaminated" in sentence for sentence in together(*three()).conclusions)


def test_the_description_says_it_in_words_and_in_a_table() -> None:
    text = describe_seeds(together(*three()))
    assert text.startswith("RFT is better than SFT: +20.0 points")
    assert "| rft | 0.820 |" in text and "| 0.800, 0.810, 0.850 |" in text and "| the same for all |" in text
