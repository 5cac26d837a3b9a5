"""Several seeds in one recipe: the schema, the plans and what they share, the aggregate."""

from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import ttest_1samp

from orchestrator.errors import RecipeError
from orchestrator.over_seeds import mean_interval, metrics_of, over_seeds
from orchestrator.plan import SeedsPlan, compile_plan, compile_recipe
from orchestrator.recipe import Recipe, load_recipe
from orchestrator.results import Difference, Evaluation, ModelResult, RunResult
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
        ("seeds: [0, 1, 0]", "r.yaml:6: seeds: 0 stands twice: the same seed makes the same models; keep one"),
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


def seeds_plan(*seeds: int) -> SeedsPlan:
    made = compile_recipe(load(f"seeds: {list(seeds)}"))
    assert isinstance(made, SeedsPlan)
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


def run(seed: int, sft: float, rft: float | None, on: str = "") -> RunResult:
    """What a run with one seed ends with: a base that no seed changes, SFT, and RFT unless it failed."""

    def model(name: str, accuracy: float, rate: float) -> ModelResult:
        return ModelResult(name, accuracy, accuracy - 0.05, accuracy + 0.05, rate, 200)

    models = [model("base", 0.1, 0.2), model("sft", sft, 0.9)]
    differences = [Difference("base", "sft", 0.1 - sft, -1, 0, 0.01, 0, 9)]
    if rft is not None:
        models.append(model("rft", rft, 0.9 + seed / 100))
        differences.append(Difference("rft", "sft", rft - sft, 0, 1, 0.01, 9, 0))
    rows = tuple(
        {
            "name": f"evaluate.{m.model}{on}",
            "key": m.model if m.model == "base" else f"{m.model} {seed}",
            "state": "done",
        }
        for m in models
    )
    errors = () if rft is not None else ("stage 'rft' failed: why",)
    return RunResult(f"run {seed}", "test", tuple(models), rows, tuple(differences), errors, seed=seed)


RUNS = (run(0, 0.60, 0.80), run(1, 0.64, 0.81), run(2, 0.62, 0.85))


def test_mean_and_interval_are_those_of_students_t() -> None:
    values = (0.80, 0.81, 0.85)
    mean, sd, low, high = mean_interval(values)
    assert mean == pytest.approx(0.82) and sd == pytest.approx(0.0264575131)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert mean_interval([0.5]) == (0.5, None, None, None)


def test_models_are_averaged_over_seeds() -> None:
    found = over_seeds("top", "test", (0, 1, 2), RUNS)
    base, sft, rft = found.models
    assert (rft.model, rft.seeds, rft.accuracies, rft.n) == ("rft", (0, 1, 2), (0.80, 0.81, 0.85), 200)
    assert (rft.accuracy_mean, rft.accuracy_sd, rft.accuracy_low, rft.accuracy_high) == mean_interval(rft.accuracies)
    assert rft.answer_rate_mean == pytest.approx(0.91) and sft.answer_rate_mean == pytest.approx(0.9)
    assert not rft.shared and base.shared
    of_base, of_rft = found.differences
    assert of_rft.differences == pytest.approx((0.20, 0.17, 0.23)) and of_rft.difference_mean == pytest.approx(0.20)
    assert (of_base.model, of_base.baseline) == ("base", "sft")


def test_a_model_that_no_seed_changes_has_the_interval_of_its_one_evaluation() -> None:
    base = over_seeds("top", "test", (0, 1, 2), RUNS).models[0]
    assert (base.accuracy_mean, base.accuracy_sd) == (pytest.approx(0.1), None)
    assert (base.accuracy_low, base.accuracy_high) == pytest.approx((0.05, 0.15))


def test_a_mean_over_two_seeds_stays_a_share() -> None:
    [_, _, rft] = over_seeds("top", "test", (0, 1), (run(0, 0.6, 0.9), run(1, 0.6, 1.0))).models
    assert rft.accuracy_low is not None and 0 <= rft.accuracy_low < 0.9 and rft.accuracy_high == 1.0


def test_a_single_seed_has_a_mean_and_no_interval() -> None:
    found = over_seeds("top", "test", (3,), (run(3, 0.6, 0.9),))
    assert (found.models[1].accuracy_mean, found.models[1].accuracy_sd) == (0.6, None)
    assert found.differences[1].difference_low is None
    assert metrics_of(found)["rft/accuracy_mean"] == 0.9 and "rft/accuracy_sd" not in metrics_of(found)


def test_a_seed_that_failed_is_named_and_the_others_are_averaged() -> None:
    found = over_seeds("top", "test", (0, 1, 2), (RUNS[0], run(1, 0.64, None), RUNS[2]))
    rft = found.models[2]
    assert (rft.seeds, rft.accuracy_mean) == ((0, 2), pytest.approx(0.825))
    assert found.models[1].seeds == (0, 1, 2)
    assert found.errors == ("seed 1: stage 'rft' failed: why",)


def test_the_metrics_of_the_run_above_the_seeds() -> None:
    metrics = metrics_of(over_seeds("top", "test", (0, 1, 2), RUNS))
    assert metrics["rft/accuracy_mean"] == pytest.approx(0.82) and metrics["rft/n"] == 200
    assert metrics["rft/seeds"] == 3 and metrics["rft/difference_mean"] == pytest.approx(0.20)
    assert metrics["base/accuracy_low"] == pytest.approx(0.05)
    assert "accuracy" not in metrics and "rft/accuracy" not in metrics, "a plain accuracy is that of one model"


def test_further_splits_are_averaged_by_themselves() -> None:
    further = [run(seed, 0.3, 0.4 + seed / 10, ".longer") for seed in (0, 1, 2)]
    runs = [
        replace(one, also=(Evaluation("longer", f.models, f.differences),), stages=(*one.stages, *f.stages))
        for one, f in zip(RUNS, further, strict=True)
    ]
    found = over_seeds("top", "test", (0, 1, 2), runs)
    assert found.models == over_seeds("top", "test", (0, 1, 2), RUNS).models
    [longer] = found.also
    assert longer.on == "longer" and longer.models[2].accuracy_mean == pytest.approx(0.5) and longer.models[0].shared
    assert metrics_of(found)["longer/rft/accuracy_mean"] == pytest.approx(0.5)


def test_what_every_seed_noticed_is_told_once() -> None:
    finding = Finding("test-too-small", "warning", "what", "evidence", "cause", "remedy")
    runs = [replace(one, findings=(finding,)) for one in RUNS]
    assert over_seeds("top", "test", (0, 1, 2), runs).findings == (finding,)


def test_stages_stand_once_as_the_seed_tells_that_made_them() -> None:
    cached = replace(RUNS[0], stages=tuple(row | {"state": "cached"} for row in RUNS[0].stages))
    stages = over_seeds("top", "test", (0, 1), (cached, RUNS[1])).stages
    assert [(row["name"], row["state"]) for row in stages] == [
        ("evaluate.base", "done"),
        ("evaluate.sft", "cached"),
        ("evaluate.rft", "cached"),
        ("evaluate.sft", "done"),
        ("evaluate.rft", "done"),
    ]
