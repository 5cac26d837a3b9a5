"""GPU workers between two stages: kept for a moment, for calls that need what they have loaded.

This way, an engine that was loaded for one stage can serve the next, if that one samples from the same model or from
another adapter on the same base. A worker's GPU is released as soon as anything else is started, and within seconds in
any case: calls that another driver has submitted to the same cluster may have to wait that long for it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_KEPT = 10.0
"""Maximum seconds that a worker is kept."""


@dataclass(frozen=True, slots=True)
class Spare:
    """The resources of a kept worker: its share of a machine, and what it has loaded."""

    cpus: int
    gpus: float
    loaded: str


_spare: list[tuple[Spare, Any, float]] = []
"""Each with its worker, and when it was put aside: seconds on the monotonic clock."""


def keep(what: Spare, worker: Any) -> None:
    """Keep a worker whose last call is done."""
    _spare.append((what, worker, time.monotonic()))


def take(what: Spare) -> Any | None:
    """Take a kept worker with these resources; None: there is none."""
    for place, (has, worker, _) in enumerate(_spare):
        if has == what:
            del _spare[place]
            return worker
    return None


def end_spare(but: Spare | None = None) -> None:
    """End all kept workers, except those with the resources `but`."""
    _end(lambda has, since: has != but)


def end_old_spare() -> None:
    """End the workers that have been kept long enough."""
    _end(lambda has, since: time.monotonic() - since > _KEPT)


def _end(whether: Callable[[Spare, float], bool]) -> None:
    for has, worker, since in list(_spare):
        if whether(has, since):
            import ray  # not before: a walk that reuses everything has no use for it

            _spare.remove((has, worker, since))
            if ray.is_initialized():
                ray.kill(worker)
