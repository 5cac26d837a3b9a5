"""A sweep on a simulated cluster and an in-memory store: what is chosen, what is reused, what a failure costs."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.simulated import CountingStore, cluster
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.above import Shown
from orchestrator.runs.progress import Branch
from orchestrator.runs.record import Record
from orchestrator.runs.scheduler import Walk
from orchestrator.runs.state import StageState
from orchestrator.runs.work import WorkFolder
from orchestrator.stages.context import Context
from orchestrator.sweeps.record import finished, known_trials, read_sweep
from orchestrator.sweeps.search import Search
from orchestrator.sweeps.variants import Variants
from tests.support.sweeps import RECIPE, answers, run, variants

RATES = f"parameters:\n  stages.rft.learning_rate: {[round(1e-3 + 1e-5 * i, 6) for i in range(20)]}"


@pytest.mark.parametrize("seed", range(5))
def test_of_twenty_trials_that_do_the_same_none_is_called_better(seed: int, tmp_path: Path) -> None:
    machines = cluster(4, 0.0, answers(lambda settings: 0.6, seed))
    found = run(variants(tmp_path, RATES), CountingStore(tmp_path / "store"), tmp_path, machines)
    assert found.conclusions[0].startswith("No trial is better than the recipe's own values"), found.conclusions
    assert len(found.trials) == 20 and found.best is not None
    if found.test is not None and found.test["differences"]:
        assert any("luck" in sentence for sentence in found.conclusions), found.conclusions


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_gain_of_ten_points_is_found(seed: int, tmp_path: Path) -> None:
    def skill(settings: dict[str, Any]) -> float:
        return 0.72 if settings["learning_rate"] == 1.07e-3 else 0.6

    machines = cluster(4, 0.0, answers(skill, seed))
    found = run(variants(tmp_path, RATES), CountingStore(tmp_path / "store"), tmp_path, machines)
    assert found.best is not None and found.test is not None
    assert found.conclusions[0].startswith("Trial "), found.conclusions
    assert " is better than the recipe's own values: +" in found.conclusions[0]


def test_a_trial_that_fails_is_one_failed_trial_and_is_tried_again(tmp_path: Path) -> None:
    tried = variants(tmp_path, "parameters:\n  stages.rft.learning_rate: [1e-3, 2e-3, 3e-3]")
    broken = [True]

    def right(spec: Any, context: Context) -> Sequence[bool]:
        if broken[0] and context.stages["rft"].model_dump()["learning_rate"] == 2e-3:
            raise ValueError("it broke")
        return [True] * 20

    store = CountingStore(tmp_path / "store")
    found = run(tried, store, tmp_path, cluster(4, 0.0, right))
    assert [trial.state for trial in found.trials] == ["complete", "failed", "complete"]
    assert len(found.errors) == 1 and found.errors[0].startswith("trial 1: ") and "it broke" in found.errors[0]
    assert found.best is not None and finished(store, tried) is None, "a failed trial is tried again"
    broken[0] = False
    again = run(tried, store, tmp_path, cluster(4, 0.0, right))
    assert [trial.state for trial in again.trials] == ["complete"] * 3 and not again.errors
    assert again.stages["run"] == 1, "only the evaluation that had failed"
    assert finished(store, tried) is not None


def test_seeds_make_the_value_a_mean_and_finalists_get_more(tmp_path: Path) -> None:
    right = answers(lambda settings: 0.6, 1)
    both = "parameters:\n  stages.rft.learning_rate: [1e-3, 2e-3]\nseeds: [0, 1]"
    found = run(variants(tmp_path, both), CountingStore(tmp_path / "a"), tmp_path, cluster(4, 0.0, right))
    assert found.stages["asked"] == 2 * 2 * 3 + 2
    finalists = "method: random\nrun_cap: 3\nparameters:\n  stages.rft.learning_rate: [1e-3, 2e-3, 3e-3]\nfinalists: 2"
    store = CountingStore(tmp_path / "b")
    told: list[str] = []

    def watch(search: Search | None, states: list[StageState]) -> None:
        if search is not None and (not told or told[-1] != search.phase):
            told.append(search.phase)

    found = run(variants(tmp_path, finalists), store, tmp_path, cluster(4, 0.0, right), watch)
    assert told == ["trials", "finalists", "test", "done"]
    tried = 3 * 3 + 2 * 2 * 3
    assert found.stages["asked"] == tried + 3, "the test of one side, once per seed: the other is the same"


def test_a_finalists_seed_that_fails_does_not_cost_the_trial(tmp_path: Path) -> None:
    def right(spec: Any, context: Context) -> Sequence[bool]:
        if context.seed != 0 and spec.on == "validation":
            raise ValueError("it broke")
        return [context.stages["rft"].model_dump()["learning_rate"] > 1e-3] * 20

    block = "parameters:\n  stages.rft.learning_rate: [1e-3, 2e-3, 3e-3]\nfinalists: 2"
    found = run(variants(tmp_path, block), CountingStore(tmp_path / "store"), tmp_path, cluster(4, 0.0, right))
    assert [trial.state for trial in found.trials] == ["complete"] * 3
    assert found.best is not None and found.best["number"] == 1 and len(found.errors) == 4


def test_who_was_no_finalist_is_not_compared_with_them(tmp_path: Path) -> None:
    block = f"{RATES}\nfinalists: 2"
    found = run(
        variants(tmp_path, block),
        CountingStore(tmp_path / "store"),
        tmp_path,
        cluster(4, 0.0, answers(lambda _: 0.6, 3)),
    )
    finalists = [trial for trial in found.trials if trial.seeds == 3]
    assert len(finalists) == 2 and found.best is not None
    assert found.best["number"] in {trial.number for trial in finalists}
    others = [trial for trial in found.trials if trial.seeds == 1]
    assert all(trial.difference is None and trial.p is None for trial in others)
    assert "2 that were tied with the best were run with 3 seeds: the finalists." in " ".join(found.conclusions)


def test_a_budget_counts_what_is_begun_with_it(tmp_path: Path) -> None:
    store, block = CountingStore(tmp_path / "store"), "parameters:\n  stages.rft.learning_rate: {}\n{}"
    run(variants(tmp_path, block.format("[1e-3, 2e-3]", "")), store, tmp_path, cluster(1, 1.0))
    limited = block.format([1e-3 * n for n in range(3, 11)], "max_concurrent: 8\nbudget: {hours: 0.0015}")  # 5.4 s
    found = run(variants(tmp_path, limited), store, tmp_path, cluster(1, 1.0))
    assert 1 <= len(found.trials) <= 3, "two seconds each on one GPU"
    assert "The budget did not allow further trials." in found.conclusions


def test_tpe_goes_on_from_what_an_earlier_sweep_has_finished(tmp_path: Path) -> None:
    block = "method: tpe\nrun_cap: {}\nparameters:\n  stages.rft.learning_rate: {{min: 1e-4, max: 1e-2}}"
    store = CountingStore(tmp_path / "store")
    right = answers(lambda settings: 0.3 + 40 * settings["learning_rate"], 2)
    first = run(variants(tmp_path, block.format(4)), store, tmp_path, cluster(4, 0.0, right))
    more = variants(tmp_path, block.format(7))
    assert [one.values for one in known_trials(store, more)] == [trial.label for trial in first.trials]
    found = run(more, store, tmp_path, cluster(4, 0.0, right))
    assert [t.label for t in found.trials[:4]] == [t.label for t in first.trials]
    assert [t.value for t in found.trials[:4]] == [t.value for t in first.trials]
    assert len(found.trials) == len({repr(trial.label) for trial in found.trials}) == 7
    assert read_sweep(store, found.run_id) is not None


def test_a_trial_whose_answers_are_damaged_has_failed(tmp_path: Path) -> None:
    store = CountingStore(tmp_path / "store")
    damaged: list[str] = []

    def watch(search: Search | None, states: list[StageState]) -> None:
        if search is not None and not damaged and search.phase == "trials":
            for trial in search.trials:
                if trial.state == "complete" and trial.number == 1:
                    origin = trial.branches[0].record.origins["evaluate.rft"]
                    file = store.artifact(origin, "eval/results.parquet")
                    file.write_bytes(file.read_bytes()[:-50])
                    damaged.append(origin)

    tried = variants(tmp_path, "parameters:\n  stages.rft.learning_rate: [1e-3, 2e-3, 3e-3]\nmax_concurrent: 1")
    found = run(tried, store, tmp_path, watch=watch)
    assert damaged and [trial.state for trial in found.trials] == ["complete", "failed", "complete"]
    assert found.errors[0].startswith("trial 1: ") and found.best is not None


def test_a_budget_keeps_trials_from_being_begun(tmp_path: Path) -> None:
    block = "parameters:\n  stages.rft.learning_rate: [1e-3, 2e-3, 3e-3, 4e-3]\nmax_concurrent: 1\nbudget: {hours: %s}"
    store = CountingStore(tmp_path / "store")
    found = run(variants(tmp_path, block % 1), store, tmp_path)
    assert len(found.trials) == 4
    spent = run(variants(tmp_path, block % 1e-9), CountingStore(tmp_path / "other"), tmp_path)
    assert len(spent.trials) == 0 and spent.best is None
    assert "The budget did not allow further trials." in spent.conclusions


def test_values_that_do_not_go_together_fail_by_themselves(tmp_path: Path) -> None:
    block = "parameters:\n  stages.grpo.per_device_train_batch_size: [8, 12]\n  stages.grpo.num_generations: [4, 6]"
    grpo = "  grpo: {type: grpo, model: rft, per_device_train_batch_size: 12, num_generations: 4}\nsweep:\n"
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE.replace("sweep:\n", grpo) + "".join(f"  {line}\n" for line in block.splitlines()))
    found = run(Variants(load_recipe(file)), CountingStore(tmp_path / "store"), tmp_path)
    assert [trial.state for trial in found.trials] == ["complete", "complete", "failed", "complete"]
    assert found.errors and "num_generations" in found.errors[0] and found.errors[0].startswith("trial 2: ")


def test_every_trial_is_asked_for_once(tmp_path: Path) -> None:
    tried = variants(
        tmp_path, "parameters:\n  stages.rft.learning_rate: [1e-3, 2e-3]\n  stages.rft.weight_decay: [0, 0.1]"
    )
    found = run(tried, CountingStore(tmp_path / "store"), tmp_path)
    labels = [tuple(trial.label.values()) for trial in found.trials]
    assert labels == list(itertools.product((1e-3, 2e-3), (0, 0.1)))
    assert found.stages["run"] == found.stages["distinct"] and found.stages["reused"] == 0


class EndsFirst:
    """A feed that gives up the first plan as soon as one of its own stages is running."""

    ended = True

    def __init__(self, walk: Walk, stage: str) -> None:
        self.walk, self.stage = walk, stage

    def look(self) -> None:
        first = self.walk.branches[0]
        if first.given_up is None and first.states[self.stage].state == "running":
            self.walk.end_early(first, "ended early: too bad")


@pytest.mark.parametrize("stage", ["sft", "rft"])
def test_what_another_trial_waits_for_goes_on_when_its_own_is_ended(stage: str, tmp_path: Path) -> None:
    tried = variants(tmp_path, "parameters:\n  stages.rft.learning_rate: [1e-3, 2e-3]")
    store, work = CountingStore(tmp_path / "store"), WorkFolder(tmp_path / "work")
    walk = Walk([], store, work, cluster(1, 0.3), lambda states: None)
    above = store.start(store.experiment("x"), "sweep", {}, {})
    for number, rate in enumerate((1e-3, 2e-3)):
        values = {"stages.rft.learning_rate": rate}
        trial = tried.trial(number, values, 0)
        record = Record(store, trial.plan, (), walk.writer.submit, above, trial, Shown(), values)
        walk.branches.append(Branch(trial.plan, record, (), trial.title))
    walk.feed = EndsFirst(walk, stage)
    walk.go()
    first, second = walk.branches
    assert [state.state for state in first.states.values()] == ["done", "stopped", "stopped"]
    assert [state.state for state in second.states.values()] == ["cached", "done", "done"]
    assert store.find(first.record.parent).status == "KILLED" and store.find(second.record.parent).status == "FINISHED"
    assert store.find(first.record.parent).error == "ended early: too bad"
    if stage == "rft":
        assert store.find(str(first.states["rft"].run_id)).status == "KILLED"
    assert [path.name for path in work.root.iterdir()] == ["locks"] and not [*(work.root / "locks").iterdir()]


def test_the_winners_recipe_has_its_values_also_where_blocks_are_merged(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    merged = RECIPE.replace("sft: {type", "sft: &base {type").replace(
        "rft: {type: sft, model", "rft: {<<: *base, model"
    )
    merged = merged.replace(", learning_rate: 1e-3, weight_decay: 0.0}", "}  # merged")
    file.write_text(merged + "  parameters: {stages.sft.learning_rate: [2e-3, 3e-3]}\n")
    tried, store = Variants(load_recipe(file)), CountingStore(tmp_path / "store")
    file.write_text("name: edited meanwhile\n")
    found = run(tried, store, tmp_path)
    assert found.best is not None
    best = store.artifact(found.run_id, "best.yaml")
    assert load_recipe(best).resolved() == tried.recipe.varied(found.best["label"]).resolved()
    assert best.read_text().startswith(f"# Trial {found.best['number']} of sweep")


def test_trials_that_were_ended_early_count_among_those_it_is_the_best_of(tmp_path: Path) -> None:
    tried = variants(tmp_path, "parameters:\n  stages.rft.learning_rate: [1e-3, 2e-3, 3e-3]\nmax_concurrent: 1")

    def watch(search: Search | None, states: list[StageState]) -> None:
        for trial in search.trials if search is not None else ():
            if trial.number == 1 and trial.state == "running" and trial.error is None:
                trial.error = "too bad"
                for branch in trial.branches:
                    search.walk.end_early(branch, "ended early: too bad")

    machines = cluster(4, 0.0, answers(lambda settings: 0.3 + 100 * settings["learning_rate"], 0))
    found = run(tried, CountingStore(tmp_path / "store"), tmp_path, machines, watch)
    assert [trial.state for trial in found.trials] == ["complete", "pruned", "complete"]
    assert "the best of 3" in " ".join(found.conclusions), found.conclusions
