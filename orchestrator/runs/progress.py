"""One plan in a walk: its run in the store, and the progress of each stage. Knows nothing of workers."""

import time
from dataclasses import replace

from orchestrator.errors import RefusalError, TrackingError
from orchestrator.health.findings import told_only
from orchestrator.plan.plan import Plan
from orchestrator.results import RunResult
from orchestrator.runs.failure import one_line
from orchestrator.runs.record import Record
from orchestrator.runs.state import StageState
from orchestrator.store.disk_space import PREFIX as DISK_FULL
from orchestrator.types import Finding

_ENDED = ("done", "cached", "failed", "skipped", "stopped")


class Branch:
    """A plan, its record, and the state of each stage. `title` is that of its trial, if there are several."""

    def __init__(self, plan: Plan, record: Record, noticed: tuple[Finding, ...] = (), title: str = "") -> None:
        self.plan, self.record, self.noticed, self.title = plan, record, noticed, title
        self.states = {stage.name: StageState(stage, trial=title) for stage in plan.stages}
        self.name = title or plan.recipe.name
        """The owner of the writer's jobs for the plan as a whole; the record uses the same name."""
        self.closing = False
        """Whether the closing of its run has been requested."""
        self.given_up: str | None = None
        """Why it was ended early, if it was."""
        self.result: RunResult | None = None
        """Its result; set once all of its stages have ended and its run is closed."""

    @property
    def settled(self) -> bool:
        """Whether every stage has ended, successfully or not."""
        return all(state.state in _ENDED for state in self.states.values())

    def ready(self, state: StageState) -> bool:
        """Whether all inputs of a waiting stage exist; a stage that depends on a failed one is marked as skipped."""
        needed = [self.states[name] for name in state.stage.inputs]
        for other in needed:
            if other.state in ("failed", "skipped"):
                state.state, state.figure = "skipped", f"needs {other.stage.name}"
                return False
        return all(other.state in ("done", "cached") for other in needed)

    def reads(self, name: str) -> bool:
        """Whether a waiting stage reads this one's output."""
        return any(s.state == "waiting" and name in s.stage.inputs for s in self.states.values())

    def reuse(self, state: StageState, origin: str, figure: str = "reused") -> None:
        """Reuse a stage's output from the run `origin`."""
        self.record.reused(state, origin)
        state.state, state.figure = "cached", figure

    def notice(self, state: StageState, finding: Finding) -> None:
        """Report a finding at once, and keep it with the stage's run; only once, even if it is read again."""
        if all(known.check != finding.check for known in state.findings):
            [told] = told_only([finding], self.plan.recipe.limits.ignore)
            where = f"{self.title}, stage {state.stage.name}" if self.title else f"stage {state.stage.name}"
            named = replace(told, what=f"{where}: {told.what}")
            state.findings.append(named)
            self.record.noticed(state, named)

    def fail(self, state: StageState, error: Exception, log: str = "") -> None:
        """Mark a stage as failed; its run records the reason and its workers' log."""
        text = one_line(error)
        state.state, state.figure = "failed", text
        if state.started is not None:
            state.seconds = time.monotonic() - state.started
        if text.startswith(DISK_FULL):
            state.figure = "no space left"  # the rest is reported once, at the end
        state.error = f"stage {state.stage.name!r} failed: {self.record.failed(state, error, log)}"

    def stop(self, state: StageState, why: str) -> None:
        """Mark a running stage as stopped, though nothing went wrong with it."""
        state.state, state.figure = "stopped", why
        if state.started is not None:
            state.seconds = time.monotonic() - state.started
        self.record.stopped(state, why)

    def about(self, state: StageState) -> dict[str, str]:
        """The stage and the run that a stage's work folder belongs to."""
        stage, recipe = state.stage, self.plan.recipe
        told = {"stage": stage.name, "verb": stage.verb, "also": stage.also or "", "recipe": recipe.name}
        return told | {"run": str(state.run_id or ""), "parent": str(self.record.parent)}

    def close(self) -> None:
        """Every stage has ended: close the run with its comparison.

        If the comparison fails, the result says why: other runs in progress are not disturbed.
        """
        states = list(self.states.values())
        try:
            self.result = self.record.ended(states, self.noticed, self.given_up)
        except Exception as error:
            if isinstance(error, TrackingError) and not isinstance(error, RefusalError):
                raise
            self.result = self.record.broken(states, error, self.noticed)
