"""Draws of other runs that a stage selects from, beside those of its own recipe: `from: [samples, RUN:samples]`.

They are found in the store by the run's id, and count by their key: whatever run holds them, they are the same draws.
"""

import re
from dataclasses import dataclass

from orchestrator.errors import OutputError, RecipeError, TrackingError
from orchestrator.schema import clipped
from orchestrator.stages.base import parted
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.names import COMPLETIONS, DRAWS_TAG, POOL_TAG, VERB_TAG
from orchestrator.store.opening import existing_store

_ID = re.compile(r"[0-9a-f]{6,32}")


@dataclass(frozen=True, slots=True)
class PooledDraws:
    """Draws that another run has made."""

    key: str
    """Of the stage that made them."""
    run_id: str
    """The run that holds them."""
    draws_digest: str | None
    """As of a plan's stage."""


@dataclass(frozen=True, slots=True)
class _Keyed:
    """A stage as the store looks it up."""

    name: str
    key: str
    is_evaluation: bool = False
    also: str | None = None
    output: str = COMPLETIONS
    draws_digest: str | None = None


def pooled_draws(where: str, named: str, pool: str) -> PooledDraws:
    """The draws that `named`, RUN:STAGE, stands for; `pool` is what they must have in common (`plan.pool_of`).

    Raises:
        RecipeError: they are not there, or not of the same questions, format and judge.
    """
    run, stage = parted(named)
    where = f"{where}: {clipped(named)}"
    if not _ID.fullmatch(run):
        raise RecipeError(
            f"{where}: must read RUN:STAGE, such as 1a2b3c4d:samples, with 6 letters and digits of the run's id or "
            "more; `orch runs` lists them"
        )
    try:
        store = existing_store()
        if store is None:
            raise RecipeError(f"{where}: there is no run here yet")
        made = _made(store, where, run, stage)
        origin = made if made.origin == made.run_id else store.find(made.origin)
        found = store.finished([_Keyed(stage, made.key)])
    except (TrackingError, OutputError) as error:
        raise RecipeError(f"{where}: {error}") from None
    if made.key not in found:
        raise RecipeError(f"{where}: its completions are not in the store any more; run its recipe again")
    if POOL_TAG not in origin.tags:
        raise RecipeError(f"{where}: an older orch has drawn these, and did not note of which questions they are")
    if origin.tags[POOL_TAG] != pool:
        raise RecipeError(
            f"{where}: these draws are of other questions than this recipe's, or were asked, read or judged in another "
            "way, so that they cannot be put together; give that run this recipe's task: what it has drawn is reused "
            "where only the judge differs"
        )
    return PooledDraws(made.key, found[made.key], origin.tags.get(DRAWS_TAG))


def _made(store: Store, where: str, run: str, stage: str) -> StoredRun:
    """The run of that stage."""
    found = store.find(run)
    while found.is_stage:
        found = store.find(found.parent)
    below = store.children(found.run_id)
    made = below.get(stage)
    if made is not None and made.status == "FINISHED" and made.key and made.verb == "sample":
        return made
    if variants := [name for name, one in below.items() if not one.is_stage]:
        raise RecipeError(
            f"{where}: run {found.run_id[:8]} has several variants, each with draws of its own: name the run of one, "
            f"such as {below[variants[0]].run_id[:8]} ({variants[0]})"
        )
    there = ", ".join(name for name, one in below.items() if one.tags.get(VERB_TAG) == "sample")
    raise RecipeError(
        f"{where}: run {found.run_id[:8]} has no finished draws {clipped(stage)!r}; its draws: {there or 'none'}"
    )
