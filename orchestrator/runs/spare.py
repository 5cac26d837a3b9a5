"""Workers with a GPU between two stages: kept for a moment, for calls that want what they have loaded.

An engine that has been loaded for one stage serves the next that way, where that draws from the same model, or from
another adapter on the same base. What a worker holds of a GPU is given back as soon as anything else is started, and
soon in any case: at most calls that another driver has handed to the same cluster wait for it.
"""

import time
from dataclasses import dataclass
from typing import Any

_KEPT = 10.0
"""Seconds that a worker is kept at the most."""


@dataclass(frozen=True, slots=True)
class Spare:
    """What a worker that is kept has: its share of a machine, and what is loaded in it."""

    cpus: int
    gpus: float
    loaded: str


_spare: list[tuple[Spare, Any, float]] = []
"""Each with its worker, and since when it has been kept: seconds on the monotonic clock."""


def keep(what: Spare, worker: Any) -> None:
    """Keep a worker whose last call is done."""
    _spare.append((what, worker, time.monotonic()))


def take(what: Spare) -> Any | None:
    """A worker that has this; None: there is none."""
    for place, (has, worker, _) in enumerate(_spare):
        if has == what:
            del _spare[place]
            return worker
    return None


def end_spare(but: Spare | None = None) -> None:
    """End the workers that are kept, all but those that have this."""
    _end(lambda has, since: has != but)


def end_old_spare() -> None:
    """End the workers that have been kept long enough."""
    _end(lambda has, since: time.monotonic() - since > _KEPT)


def _end(whether: Any) -> None:
    import ray

    for has, worker, since in list(_spare):
        if whether(has, since):
            _spare.remove((has, worker, since))
            ray.kill(worker)
