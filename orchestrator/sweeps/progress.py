"""A sweep's progress in a few lines, the same in the terminal and in a notebook."""

from orchestrator.figures import clock
from orchestrator.sweeps.search import Search
from orchestrator.sweeps.words import shown

PHASES = {
    "finalists": "further seeds of the finalists",
    "test": "testing the proposed trial and the recipe's own values",
    "done": "comparing the trials and writing the report",
}
"""The phases after the trials have ended."""


def progress_lines(search: Search, passed: float) -> list[str]:
    """Trials by state, the best so far, the current phase, the elapsed time; `passed`: seconds since the start."""
    states = [trial.state for trial in search.trials]
    known = ", ".join(f"{states.count(s)} {s}" for s in ("running", "complete", "pruned", "failed") if s in states)
    of = "" if search.expected is None else f" of {search.expected}"
    lines = [f"{len(states)}{of} trials started: {known or 'none yet'}"]
    if (best := search.best) is not None:
        lines.append(f"best so far: trial {best.number}, accuracy {best.value:.3f}  ({shown(best.values)})")
    if search.phase in PHASES:
        lines.append(f"now: {PHASES[search.phase]}")
    if search.walk.note:
        lines.append(search.walk.note)
    cluster = search.walk.cluster
    if cluster is not None and cluster.gpus:
        lines.append(f"GPUs busy: {search.gpus_busy:g} of {cluster.gpus:g}")
    left = search.seconds_left
    lines.append(f"{clock(passed)} so far" + (f", about {clock(left)} left" if left is not None else ""))
    return lines
