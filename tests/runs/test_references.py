"""Trials of one run refer to the stages they share; a trial that adds an evaluation gets its own copy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.plan.plan import Trial, TrialsPlan, compile_trials
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.record import Record
from orchestrator.runs.state import StageState
from orchestrator.runs.trials import TrialsRecord
from orchestrator.store.find import PastRuns
from orchestrator.store.memory import MemoryStore
from orchestrator.store.names import MODEL_TAG, key_tag

RECIPE = """\
name: test
task: {type: units, demonstrations: {generate: 3}, test: {generate: 2}, validation: {generate: 2}}
model: {name: tiny}
evaluate: {also: [validation]}
stages:
  sft: {type: sft}
"""


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(Path("store"))


@pytest.fixture
def trials(store: MemoryStore) -> Callable[[], tuple[TrialsRecord, Record, Trial]]:
    """The record of two trials, and the record of the second one, whose run does not exist yet."""

    def make() -> tuple[TrialsRecord, Record, Trial]:
        Path("r.yaml").write_text(RECIPE)
        plan = compile_trials(load_recipe("r.yaml"), [{"seed": 0}, {"seed": 1}])
        assert isinstance(plan, TrialsPlan)
        above = TrialsRecord(store, plan)
        trial = plan.trials[1]
        return above, Record(store, trial.plan, (), None, above.parent, trial, above.shown), trial

    return make


def made_by_another(above: TrialsRecord, store: MemoryStore, trial: Trial, *names: str, accuracy: float = 0.5) -> str:
    """The run of another trial that holds the outputs of these stages."""
    stages = [trial.plan.stage(name) for name in names]
    run_id = store.start(store.experiment("test"), stages[0].run_name, {MODEL_TAG: str(stages[0].model)}, {})
    store.log(run_id, {"accuracy": accuracy}, {key_tag(stage): stage.key for stage in stages})
    store.end(run_id, "FINISHED")
    above.shown.update({stage.key: run_id for stage in stages})
    return run_id


def reuse(record: Record, trial: Trial, name: str, origin: str) -> StageState:
    state = StageState(trial.plan.stage(name))
    record.reused(state, origin)
    return state


def test_a_shared_stage_is_referred_to_with_one_request_for_all(
    store: MemoryStore, trials: Callable[[], tuple[TrialsRecord, Record, Trial]]
) -> None:
    above, record, trial = trials()
    before = len([*store.runs()])
    base = made_by_another(above, store, trial, "evaluate.base", "evaluate.base.validation")
    state = reuse(record, trial, "evaluate.base", base)
    reuse(record, trial, "evaluate.base.validation", base)
    assert state.run_id == base and len([*store.runs()]) == before + 1, "no run was started for it, nor for the trial"

    record.started(StageState(trial.plan.stage("sft")))
    children = store.children(record.parent)
    assert list(children) == ["base", "sft"] and children["base"].run_id == base
    assert children["base"].metrics["accuracy"] == 0.5
    assert [run.run_id for run in store.children(above.parent).values()] == [record.parent]


def test_a_comparison_of_a_whole_experiment_finds_it(
    store: MemoryStore, trials: Callable[[], tuple[TrialsRecord, Record, Trial]]
) -> None:
    above, record, trial = trials()
    base = made_by_another(above, store, trial, "evaluate.base")
    reuse(record, trial, "evaluate.base", base)
    record.started(StageState(trial.plan.stage("sft")))
    runs = PastRuns(store)
    runs.experiment("test")
    assert runs.children(record.parent)["base"].run_id == base
    assert runs.children(record.parent).keys() == store.children(record.parent).keys()


def test_what_no_trial_of_the_run_has_shown_is_shown_by_the_first(
    store: MemoryStore, trials: Callable[[], tuple[TrialsRecord, Record, Trial]]
) -> None:
    above, record, trial = trials()
    origin = made_by_another(above, store, trial, "evaluate.base")
    above.shown.clear()  # it was created by an earlier run
    state = reuse(record, trial, "evaluate.base", origin)
    [run] = store.children(record.parent).values()
    assert run.run_id == state.run_id != origin and run.evaluation_origin() == origin
    assert above.shown == {state.stage.key: run.run_id}


def test_an_evaluation_of_a_shared_model_makes_a_copy(
    store: MemoryStore, trials: Callable[[], tuple[TrialsRecord, Record, Trial]]
) -> None:
    above, record, trial = trials()
    origin = made_by_another(above, store, trial, "sft")
    reuse(record, trial, "sft", origin)
    state = StageState(trial.plan.stage("evaluate.sft"))
    record.started(state)
    [run] = store.children(record.parent).values()
    assert run.run_id == state.run_id != origin
    assert run.origin == origin and run.key == trial.plan.stage("sft").key


def test_evaluations_from_different_runs_stand_in_one_copy(
    store: MemoryStore, trials: Callable[[], tuple[TrialsRecord, Record, Trial]]
) -> None:
    above, record, trial = trials()
    one = made_by_another(above, store, trial, "evaluate.base")
    other = made_by_another(above, store, trial, "evaluate.base.validation", accuracy=0.25)
    reuse(record, trial, "evaluate.base", one)
    reuse(record, trial, "evaluate.base.validation", other)
    [run] = store.children(record.parent).values()
    assert run.run_id not in (one, other)
    assert (run.evaluation_origin(), run.evaluation_origin("validation")) == (one, other)


def test_a_reference_to_a_run_that_was_deleted_is_no_stage(
    store: MemoryStore, trials: Callable[[], tuple[TrialsRecord, Record, Trial]]
) -> None:
    above, record, trial = trials()
    above.shown[trial.plan.stage("evaluate.base").key] = "0" * 32
    reuse(record, trial, "evaluate.base", "0" * 32)
    record.started(StageState(trial.plan.stage("sft")))
    assert list(store.children(record.parent)) == ["sft"]
