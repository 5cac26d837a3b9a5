"""Draws of other runs that a stage selects from, besides those of its own recipe: `from: [samples, RUN:samples]`.

They are found in the store by the run's id and identified by their key: whichever run contains them, they are the same
draws.
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
    """Draws made by another run."""

    key: str
    """The key of the stage that made them."""
    run_id: str
    """The run that contains them."""
    draws_digest: str | None
    """As in a plan's stage."""


@dataclass(frozen=True, slots=True)
class _Keyed:
    """A stage in the form in which the store looks it up."""

    name: str
    key: str
    is_evaluation: bool = False
    also: str | None = None
    output: str = COMPLETIONS
    draws_digest: str | None = None


def pooled_draws(where: str, named: str, pool: str) -> PooledDraws:
    """The draws that `named`, RUN:STAGE, refers to; they must have this `pool` (`plan.pool_of`).

    Raises:
        RecipeError: they do not exist, or have other questions, or another format or judge.
    """
    run, stage = parted(named)
    where = f"{where}: {clipped(named)}"
    if not _ID.fullmatch(run):
        raise RecipeError(
            f"{where}: must be RUN:STAGE, such as 1a2b3c4d:samples, with at least 6 letters and digits of the run's "
            "id; `orch runs` lists them"
        )
    try:
        store = existing_store()
        if store is None:
            raise RecipeError(f"{where}: there are no runs here yet")
        made = _made(store, where, run, stage)
        origin = made if made.origin == made.run_id else store.find(made.origin)
        found = store.finished([_Keyed(stage, made.key)])
    except (TrackingError, OutputError) as error:
        raise RecipeError(f"{where}: {error}") from None
    if made.key not in found:
        raise RecipeError(f"{where}: its completions are no longer in the store; run its recipe again")
    if POOL_TAG not in origin.tags:
        raise RecipeError(f"{where}: these were drawn by an older orch, which did not record their questions")
    if origin.tags[POOL_TAG] != pool:
        raise RecipeError(
            f"{where}: these draws are for other questions than this recipe's, or were prompted, parsed or judged "
            "differently, so they cannot be combined; give that run this recipe's task: its draws are reused if only "
            "the judge differs"
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
            f"{where}: run {found.run_id[:8]} has several variants, each with its own draws: name the run of one, "
            f"such as {below[variants[0]].run_id[:8]} ({variants[0]})"
        )
    there = ", ".join(name for name, one in below.items() if one.tags.get(VERB_TAG) == "sample")
    raise RecipeError(
        f"{where}: run {found.run_id[:8]} has no finished draws {clipped(stage)!r}; its draws: {there or 'none'}"
    )
