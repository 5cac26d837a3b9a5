"""Draws of other runs that a stage selects from, beside those of its own recipe: `from: [samples, RUN:samples]`.

They are found in the store by the run's id, and count by their key: whatever run holds them, they are the same draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import RecipeError, TrackingError
from orchestrator.schema import clipped
from orchestrator.stages.base import parted
from orchestrator.store.names import POOL_TAG
from orchestrator.store.opening import existing_store


@dataclass(frozen=True, slots=True)
class PooledDraws:
    """Draws that another run has made."""

    key: str
    """Of the stage that made them."""
    run_id: str
    """The run that holds them."""


def pool_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What draws have in common that may be selected from together: questions, answer format and judge.

    `payload` is what the key of the stage that makes them is made from.
    """
    return {name: payload.get(name) for name in ("prompts", "format", "judging")}


def pooled_draws(where: str, named: str, pool: str) -> PooledDraws:
    """The draws that `named`, RUN:STAGE, stands for; `pool` is the digest of what they must have in common.

    Raises:
        RecipeError: they are not there, or not of the same questions, format and judge.
    """
    run, stage = parted(named)
    store = existing_store()
    try:
        found = None if store is None else store.find(run)
    except TrackingError as error:
        raise RecipeError(f"{where}: {clipped(named)}: {error}") from None
    if store is None or found is None:
        raise RecipeError(f"{where}: {clipped(named)}: there is no run here yet")
    made = store.children(found.run_id).get(stage)
    if made is None or made.status != "FINISHED" or not made.key:
        there = ", ".join(name for name, one in store.children(found.run_id).items() if POOL_TAG in one.tags)
        raise RecipeError(
            f"{where}: run {found.run_id[:8]} has no finished draws {clipped(stage)!r}; its draws: {there or 'none'}"
        )
    origin = made if made.origin == made.run_id else store.find(made.origin)
    if origin.tags.get(POOL_TAG) != pool:
        raise RecipeError(
            f"{where}: {clipped(named)}: these draws are of other questions than this recipe's, or were asked, read or "
            "judged in another way, so that they cannot be put together; give that run this recipe's task: what it has "
            "drawn is reused where only the judge differs"
        )
    return PooledDraws(made.key, origin.run_id)
