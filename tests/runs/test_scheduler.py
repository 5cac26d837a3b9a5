"""The order in which plans of several seeds are walked, and what they share; workers and the store are stand-ins."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import orchestrator.runs.scheduler as module
from orchestrator.errors import RefusalError, StageError, TrackingError
from orchestrator.plan.plan import TrialsPlan, compile_recipe
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.cluster import Cluster
from orchestrator.runs.crew import Done
from orchestrator.runs.progress import Branch
from orchestrator.runs.state import StageState
from orchestrator.runs.work import WorkFolder
from orchestrator.stages.base import put_together
from orchestrator.stages.context import Share
from orchestrator.stages.evaluate import Evaluate
from orchestrator.stages.sft import Sft
from orchestrator.store.base import StoredRun
from orchestrator.store.memory import MemoryStore

RECIPE = """\
name: test
seeds: [0, 1]
task: {type: units, demonstrations: {generate: 3}, test: {generate: 2}}
model: {name: tiny}
stages:
  sft: {type: sft}
"""
STAGES = ("sft", "evaluate.base", "evaluate.sft")


class Record:
    """A stand-in for a run in the store."""

    def __init__(self, told: list[str], seed: int) -> None:
        self.told, self.seed = told, seed
        self.origins: dict[str, str] = {}
        self.parent = f"run of {seed}"

    def started(self, state: StageState) -> None:
        state.run_id = f"{state.stage.name} of {self.seed}"

    def finished(self, state: StageState, context: object, output: object, cost: object) -> None:
        self.origins[state.stage.name] = str(state.run_id)

    def reused(self, state: StageState, origin: str) -> None:
        self.origins[state.stage.name] = origin

    def failed(self, state: StageState, error: BaseException, log: str) -> str:
        return str(error)

    def ended(self, states: list[StageState], noticed: object, given_up: str | None) -> str:
        self.told.append(f"closed {self.seed}")
        return "result"


class Crew:
    """One call, executed when its result is taken."""

    def __init__(self, calls: Sequence[tuple[Callable[[Any], Any], Any]]) -> None:
        [self.call] = calls
        self.pending = {object(): 0}

    @property
    def left(self) -> int:
        return len(self.pending)

    def take(self, reference: object) -> tuple[int, Done]:
        del self.pending[reference]
        _, logged = self.call
        return 0, Done(None if logged.function is None else logged.function(logged.argument), 0.0, 1.0)

    def stop(self) -> None:
        self.pending = {}


class Outputs(MemoryStore):
    """A store without runs that returns a run and an output for any name."""

    def find(self, wanted: str | None) -> StoredRun:
        return StoredRun(str(wanted), "", "", "FINISHED", None, 0.0, 1.0, "")

    def output(self, run: str | StoredRun, name: str, full: bool = False) -> Path:
        assert isinstance(run, StoredRun)
        return Path(run.run_id, name)


@pytest.fixture
def walk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Creates a walk over both seeds on a machine with the given cores; `told` lists the events, in order."""

    def make(
        cores: int = 2, gpus: float = 0, joined: bool = False, failing: Sequence[str] = (), cached: Sequence[str] = ()
    ) -> Any:
        Path("r.yaml").write_text(RECIPE)
        plan = compile_recipe(load_recipe("r.yaml"))
        assert isinstance(plan, TrialsPlan)
        plan = plan.with_cached({plan.plans[1].stage(name).key: f"old {name}" for name in cached})
        told: list[str] = []

        class Verb:
            def __init__(self, verb: str) -> None:
                self.cpus = 2 if verb == "sft" else 1

            def share(self, cores: int, gpus: float) -> Share:
                return Share(self.cpus, float(min(1, gpus)))

            def jobs(self, context: Any) -> list[Any]:
                told.append(f"{context.name} of {context.seed}")
                return [SimpleNamespace(function=lambda _: None, argument=None, items=0, leaves=(), loads="")]

            def finish(self, context: Any) -> Any:
                name = f"{context.name} of {context.seed}"
                told.append(f"done {name}")
                if name in failing:
                    raise StageError("why")
                return SimpleNamespace(findings=(), figure="", tokens=None)

        for kind, verb in ((Sft, Verb("sft")), (Evaluate, Verb("evaluate"))):
            for name in ("share", "jobs", "finish"):
                monkeypatch.setattr(kind, name, staticmethod(getattr(verb, name)))
        cluster = Cluster(cores, cores, gpus, joined, ((cores, gpus),))
        monkeypatch.setattr(Cluster, "submit", lambda _, calls, *__, **___: Crew(calls))
        branches = [Branch(p, Record(told, p.recipe.seed), (), f"seed {p.recipe.seed}") for p in plan.plans]  # type: ignore[arg-type]
        made = module.Walk(branches, Outputs(Path("store")), WorkFolder(Path("work")), cluster, lambda states: None)  # type: ignore[arg-type]
        monkeypatch.setattr(Cluster, "wait", lambda _, refs, timeout: refs[:1])
        made.told = told  # type: ignore[attr-defined]
        return made

    return make


def states(walk: Any) -> list[list[str]]:
    return [[state.state for state in branch.states.values()] for branch in walk.branches]


def test_on_a_small_machine_the_first_seed_goes_first(walk: Callable[..., Any]) -> None:
    made = walk(cores=2)
    made.go()
    assert made.told.index("done evaluate.sft of 0") < made.told.index("done sft of 1")
    assert made.told[:2] == ["sft of 0", "evaluate.base of 0"], "all that one plan can start is submitted at once"
    assert states(made) == [["done"] * 3, ["done", "cached", "done"]]
    assert not made.running and list(Path("work/locks").iterdir()) == []


def test_where_there_is_room_seeds_run_beside_each_other(walk: Callable[..., Any]) -> None:
    made = walk(cores=8)
    made.go()
    assert made.told[:3] == ["sft of 0", "evaluate.base of 0", "sft of 1"]


def test_room_is_counted_in_gpus_too(walk: Callable[..., Any]) -> None:
    for gpus, others in ((2, []), (3, ["sft of 1"])):
        made = walk(cores=16, gpus=gpus)
        made.go()
        begun = made.told[: next(i for i, text in enumerate(made.told) if text.startswith("done"))]
        assert begun == ["sft of 0", "evaluate.base of 0", *others]


def test_a_cluster_that_may_grow_is_asked_for_everything(walk: Callable[..., Any]) -> None:
    made = walk(cores=2, joined=True)
    made.go()
    assert made.told[:3] == ["sft of 0", "evaluate.base of 0", "sft of 1"]


def test_what_no_seed_changes_is_made_once(walk: Callable[..., Any]) -> None:
    made = walk(cores=8)
    made.go()
    assert made.told.count("done evaluate.base of 0") == 1 and "evaluate.base of 1" not in made.told
    other = made.branches[1].states["evaluate.base"]
    assert (other.state, other.figure) == ("cached", "as seed 0")
    assert made.branches[1].record.origins["evaluate.base"] == "evaluate.base of 0"


def test_what_is_made_for_one_seed_is_reused_for_it_alone(walk: Callable[..., Any]) -> None:
    made = walk(cached=["sft", "evaluate.base"])
    made.go()
    assert states(made) == [["done", "cached", "done"], ["cached", "cached", "done"]]
    assert made.branches[1].record.origins["sft"] == "old sft"


def test_a_seed_that_fails_stops_no_other(walk: Callable[..., Any]) -> None:
    made = walk(failing=["sft of 0"])
    made.go()
    assert states(made) == [["failed", "done", "skipped"], ["done", "cached", "done"]]
    assert made.branches[0].states["sft"].error == "stage 'sft' failed: why"
    assert "closed 0" in made.told and "closed 1" in made.told


@pytest.mark.parametrize("cores", [2, 8])
def test_what_all_seeds_share_fails_for_all_and_is_tried_once(walk: Callable[..., Any], cores: int) -> None:
    made = walk(cores=cores, failing=["evaluate.base of 0"])
    made.go()
    assert states(made) == [["done", "failed", "done"]] * 2
    assert made.told.count("evaluate.base of 0") == 1 and "evaluate.base of 1" not in made.told


# --- what stages write


def test_others_go_on_while_a_stage_is_written_and_it_is_done_when_that_is_through(walk: Callable[..., Any]) -> None:
    made = walk(cores=8)
    branch, seen = made.branches[0], []
    real, other_ended = branch.record.finished, threading.Event()

    def slow(state: StageState, *rest: object) -> None:
        if state.stage.name == "sft":
            seen.append(other_ended.wait(30))
            seen.append((state.state, len(list(Path("work/locks").iterdir())) > 0, branch.states["evaluate.sft"].state))
        real(state, *rest)

    def listen(states: list[StageState]) -> None:
        if {"done evaluate.base of 0", "done sft of 1"} <= set(made.told):
            other_ended.set()

    branch.record.finished, made.listener = slow, listen
    made.go()
    assert seen == [True, ("running", True, "waiting")]
    assert states(made) == [["done"] * 3, ["done", "cached", "done"]]


def test_no_worker_waits_for_a_slow_store(walk: Callable[..., Any]) -> None:
    made = walk(cores=2)
    first, real, other = made.branches[0].record, made.branches[0].record.finished, threading.Event()
    seen: list[bool] = []

    def slow(state: StageState, *rest: object) -> None:
        if state.stage.name == "sft":
            seen.append(other.wait(30))
        real(state, *rest)

    def listen(states: list[StageState]) -> None:
        if "sft of 1" in made.told:
            other.set()

    first.finished, made.listener = slow, listen
    made.go()
    assert seen == [True], "the other seed's training begins while the first one's is written"
    assert states(made) == [["done"] * 3, ["done", "cached", "done"]]


def test_points_are_written_in_order_before_the_stage_is_done(
    walk: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = walk(cores=2)
    written: list[Any] = []
    batches = [[{"step": step, "metrics": {"loss": 1.0}, "time": 1}] for step in range(3)]
    monkeypatch.setattr(module.Tail, "new", lambda tail: batches.pop(0) if batches else [])
    monkeypatch.setattr(made.store, "log_points", lambda run_id, points: written.append((run_id, points[0]["step"])))
    for branch in made.branches:

        def finished(state: StageState, *rest: object, real: Any = branch.record.finished) -> None:
            written.append(state.run_id)
            real(state, *rest)

        branch.record.finished = finished
    made.go()
    for number, entry in enumerate(written):
        if isinstance(entry, tuple):
            assert entry[0] in written[number:], "its stage finishes after that"
    assert [entry[1] for entry in written if isinstance(entry, tuple)] == [0, 1, 2]


@pytest.mark.parametrize("error", [RefusalError("not taken"), TrackingError("the store is away")])
def test_points_that_cannot_be_written_are_the_stages_failure_or_end_the_walk(
    walk: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, error: TrackingError
) -> None:
    made = walk(cores=2)
    batches = [[{"step": 1, "metrics": {"loss": 1.0}, "time": 1}]]

    def refuse(run_id: str, points: object) -> None:
        raise error

    monkeypatch.setattr(module.Tail, "new", lambda tail: batches.pop(0) if batches else [])
    monkeypatch.setattr(made.store, "log_points", refuse)
    if isinstance(error, RefusalError):
        made.go()
        assert states(made)[0] == ["failed", "done", "skipped"] and states(made)[1] == ["done", "cached", "done"]
        assert not made.running and list(Path("work/locks").iterdir()) == []
    else:
        with pytest.raises(TrackingError, match=r"^the store is away$"):
            made.go()


# --- whatever goes wrong with a stage is that stage's failure

FAULTS = [
    ValueError("not\nforeseen"),
    KeyError("x"),
    OSError(5, "Input/output error"),
    RuntimeError(),
    RefusalError("no"),
]


def failing_at(made: Any, where: str, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the training of the first seed fail at one of its boundaries."""
    mine, verb = made.branches[0].record, Sft

    def broken(real: Callable[..., Any], wrong: Callable[..., bool]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if wrong(*arguments):
                raise error
            return real(*arguments, **named)

        return call

    def is_first(context: Any) -> bool:
        return bool(context.seed == 0)

    if where in ("jobs", "finish"):
        monkeypatch.setattr(verb, where, staticmethod(broken(getattr(verb, where), is_first)))
    elif where in ("started", "finished"):
        monkeypatch.setattr(mine, where, broken(getattr(mine, where), lambda state, *_: state.stage.name == "sft"))
    elif where == "input":
        monkeypatch.setattr(made.store, "output", broken(made.store.output, lambda run, _: run.run_id == "sft of 0"))
    elif where == "worker":
        taken: list[int] = []
        monkeypatch.setattr(Crew, "take", broken(Crew.take, lambda *_: not taken and not taken.append(1)))  # type: ignore[func-returns-value]
    elif where == "putting together":

        def is_last(crew: Crew, _: object) -> bool:
            _, logged = crew.call
            is_last = logged.function is put_together and logged.argument[1].name == "sft"
            return is_last and is_first(logged.argument[1])

        monkeypatch.setattr(Crew, "take", broken(Crew.take, is_last))
    elif where == "store":
        monkeypatch.setattr(
            made.store,
            "finished",
            broken(made.store.finished, lambda stages: any(stage.key == made.sft_key for stage in stages)),
        )


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "where", ["jobs", "finish", "started", "finished", "input", "worker", "putting together", "store"]
)
def test_an_error_at_any_boundary_is_the_failure_of_its_stage(
    walk: Callable[..., Any], where: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = walk(cores=2)
    made.sft_key = made.branches[0].states["sft"].stage.key
    failing_at(made, where, error, monkeypatch)
    made.go()
    first, second = states(made)
    failed = "evaluate.sft" if where == "input" else "sft"
    assert first[STAGES.index(failed)] == "failed" and first[1] == "done"
    assert first[2] == ("failed" if where == "input" else "skipped")
    assert second == ["done", "cached", "done"], "the other seed continues"
    assert f"stage {failed!r} failed" in str(made.branches[0].states[failed].error)
    assert not made.running and list(Path("work/locks").iterdir()) == [], "no lock is left"


@pytest.mark.parametrize("error", [TrackingError("cannot be reached"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("where", ["jobs", "finish", "finished", "store"])
def test_an_interruption_and_a_store_that_is_gone_end_the_walk(
    walk: Callable[..., Any], where: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = walk(cores=2)
    made.sft_key = made.branches[0].states["sft"].stage.key
    failing_at(made, where, error, monkeypatch)
    with pytest.raises(type(error)):
        made.go()


def test_a_journal_that_cannot_be_read_is_the_failure_of_its_stage(
    walk: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = walk(cores=2)

    def broken(self: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.Tail, "new", broken)  # type: ignore[attr-defined]
    made.go()
    assert states(made) == [["failed", "failed", "skipped"]] * 2


def test_a_run_whose_figures_cannot_be_put_together_disturbs_no_other(
    walk: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = walk(cores=2)
    record = made.branches[0].record

    def broken(*_: Any) -> str:
        raise ValueError("why")

    record.ended = broken
    record.broken = lambda states, error, noticed: f"broken: {error}"
    made.go()
    assert made.branches[0].result == "broken: why" and made.branches[1].result == "result"


def test_a_full_disk_is_said_with_the_first_stage_that_found_it(
    walk: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = walk(cores=8)
    full = OSError(28, "No space left on device", "/somewhere/file")
    for verb in (Sft, Evaluate):
        monkeypatch.setattr(verb, "finish", lambda spec, context: (_ for _ in ()).throw(full))
    made.go()
    errors = [str(state.error) for branch in made.branches for state in branch.states.values() if state.error]
    assert sum("disk full: " in error for error in errors) == 1 and "MB free; make room" in errors[0]
    assert all("no space left, as for stage" in error for error in errors[1:]) and len(errors) > 1
