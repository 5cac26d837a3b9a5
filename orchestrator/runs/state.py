"""The progress of a run: its setup, each of its stages, and its results."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.errors import Interrupted
from orchestrator.plan.plan import Stage
from orchestrator.types import Finding

State = Literal["waiting", "running", "done", "cached", "failed", "skipped", "stopped"]
WORDS: dict[State, str] = {
    "waiting": "waiting",
    "running": "running",
    "done": "finished",
    "cached": "reused",
    "failed": "failed",
    "skipped": "skipped",
    "stopped": "interrupted",
}
"""The displayed word for each state."""
_OPEN = ("waiting", "running")
_PACE = 0.1
"""The fraction of a stage's work after which its own pace is used to estimate the time left."""


@dataclass
class StageState:
    """One row of the live table."""

    stage: Stage
    state: State = "waiting"
    done: int = 0
    total: int = 0
    """0: not known yet."""
    started: float | None = None
    """Seconds on the monotonic clock: when it was submitted to workers; once one of them has begun, when it began."""
    at_work: bool = False
    """Whether a worker has begun; a running stage may still be waiting for a core or a GPU."""
    expected: float | None = None
    """Expected seconds, judging by past runs."""
    seconds: float = 0.0
    """From the start of the first job to the end of the last, plus the time to assemble the output; 0 if reused."""
    figure: str = ""
    run_id: str | None = None
    error: str | None = None
    findings: list[Finding] = field(default_factory=list)
    measured: dict[int, tuple[float, str]] = field(default_factory=dict)
    """For a training with validation, by step: accuracy, and which questions were answered right (0 or 1 each)."""
    trial: str = ""
    """The title of the trial that it belongs to, if there are several."""
    _first: tuple[float, int] | None = None
    """When progress was first reported, and how much was done by then."""

    @property
    def title(self) -> str:
        """The stage's name, with its trial if there are several."""
        return f"{self.trial}  {self.stage.name}" if self.trial else self.stage.name

    @property
    def shown(self) -> State:
        """Its state as displayed: a stage that no worker has begun is waiting."""
        return "waiting" if self.state == "running" and not self.at_work else self.state

    @property
    def elapsed(self) -> float:
        """Seconds so far, or in total."""
        if self.shown == "running" and self.started is not None:
            return time.monotonic() - self.started
        return self.seconds

    @property
    def left(self) -> float | None:
        """Seconds left, by its own pace or by past runs; None: not known."""
        if self.state not in _OPEN:
            return 0.0
        if self.shown == "running" and self._first is not None:
            since, before = self._first
            rest = self.total - before
            if rest > 0 and self.done - before >= max(1, _PACE * rest):
                return (time.monotonic() - since) / (self.done - before) * (self.total - self.done)
        if self.expected is None:
            return None
        rest_of_it = self.expected - (self.elapsed if self.shown == "running" else 0.0)
        return rest_of_it if rest_of_it > 0 else None

    @property
    def expected_in_all(self) -> float | None:
        """Seconds from start to end, if it has not ended and there is an estimate."""
        left = self.left
        return self.elapsed + left if self.state in _OPEN and left is not None else None

    @property
    def told(self) -> str:
        """The text next to its state: its progress, its outcome, or what it is waiting for."""
        counted = f"{self.done:,}/{self.total:,} {self.stage.spec.counts}" if self.total else ""
        match self.shown:
            case "waiting":
                return "for a free worker" if self.state == "running" else self.figure
            case "running":
                return f"{counted}, saving" if counted and self.done >= self.total else counted or "starting"
            case "failed" | "stopped":
                return f"at {counted}" if self.done else ""
            case "cached":
                return "" if self.figure == "reused" else self.figure
            case _:
                return self.figure

    def begun(self) -> None:
        """A worker has begun."""
        self.at_work, self.started = True, time.monotonic()
        if self.total:  # a training has no total until it reports its first step, when everything is loaded
            self._first = self.started, self.done

    def given_up(self) -> None:
        """Its workers were stopped, though nothing went wrong with it."""
        self.seconds, self.state = self.elapsed, "stopped" if self.at_work else "waiting"

    def progress(self, done: int, total: int) -> None:
        """Update the number of steps, questions or draws that are done."""
        self.done, self.total = done, total
        if self._first is None:
            self._first = time.monotonic(), done

    def row(self) -> dict[str, Any]:
        """This stage's entry in `--json`."""
        return {
            "name": self.stage.name,
            "verb": self.stage.verb,
            "key": self.stage.key,
            "state": self.state,
            "cached": self.state == "cached",
            "seconds": round(self.seconds, 3),
            "run_id": self.run_id,
        }


@dataclass
class Phase:
    """A part of a run outside its stages, with its own row."""

    name: str
    state: State = "waiting"
    figure: str = ""
    """Its current activity."""
    started: float = 0.0
    seconds: float = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds so far, or in total."""
        return time.monotonic() - self.started if self.state == "running" else self.seconds

    def at(self, what: str) -> None:
        """Set the current activity."""
        if self.state == "waiting":
            self.state, self.started = "running", time.monotonic()
        self.figure = what

    def end(self, state: State = "done") -> None:
        """End the phase, if it was running."""
        if self.state == "running":
            self.seconds, self.state = self.elapsed, state


@dataclass
class RunState:
    """The progress of a run. `watcher` is called with it on every change, and about four times a second."""

    name: str = ""
    """The recipe's name."""
    watcher: "Watcher" = lambda state: None
    run_id: str | None = None
    """Set as soon as there is one."""
    setup: Phase = field(default_factory=lambda: Phase("set-up"))
    stages: Sequence[StageState] = ()
    note: str = ""
    """What the whole run is waiting for, if anything."""
    results: Phase = field(default_factory=lambda: Phase("results"))
    began: float = field(default_factory=time.monotonic)
    _walked: tuple[float, float] | None = None
    """When the scheduler first reported its stages, and when it last did."""

    @property
    def ended(self) -> str:
        """`3 of 9 stages`: how many have ended; empty while they are not known."""
        ended = sum(state.state not in (*_OPEN, "stopped") for state in self.stages)
        return f"{ended} of {len(self.stages)} stages" if self.stages else ""

    @property
    def left(self) -> tuple[float, bool]:
        """Seconds left, and whether that covers everything: some stages may have no estimate.

        Assumes that as many stages run in parallel as so far.
        """
        known = [state.left for state in self.stages]
        to_go = [left for left in known if left]
        passed = 0.0 if self._walked is None else self._walked[1] - self._walked[0]
        side_by_side = sum(state.elapsed for state in self.stages) / passed if passed > 1 else 1.0
        return max([sum(to_go) / max(1.0, side_by_side), *to_go], default=0.0), None not in known

    def set_up(self, what: str) -> None:
        """Set the current activity before the first stage."""
        self.setup.at(what)
        self.watcher(self)

    def walked(self, states: Sequence[StageState], note: str = "") -> None:
        """Take the stages' states from the scheduler; `note` is what it is waiting for."""
        self.note = note
        now = time.monotonic()
        self.setup.end()
        self._walked = (now if self._walked is None else self._walked[0]), now
        self.stages = states
        if states and all(state.state not in _OPEN for state in states) and self.results.state == "waiting":
            self.results.at("comparing the models")
        self.watcher(self)

    def conclude(self, what: str) -> None:
        """Set the current activity after the last stage."""
        self.setup.end()
        self.results.at(what)
        self.watcher(self)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """However the run ends, leave no phase marked as running."""
        try:
            yield
        except BaseException as error:
            ended: State = "stopped" if isinstance(error, KeyboardInterrupt | Interrupted) else "failed"
            for part in (self.setup, self.results):
                part.end(ended)
            with suppress(Exception):  # an error in showing it is not why it ended
                self.watcher(self)
            raise
        for part in (self.setup, self.results):
            part.end()
        self.watcher(self)


Watcher = Callable[[RunState], None]
