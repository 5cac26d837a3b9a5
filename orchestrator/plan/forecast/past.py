"""What stages took in past runs on this kind of machine, read from the runs that did the work themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.stages import every_verb, verb_of
from orchestrator.store.names import RECIPE_TAG, evaluation_tag

if TYPE_CHECKING:
    from orchestrator.store.mlflow import Store

MACHINE_TAG = "orch.machine"
BASE_TAG = "orch.base"
EVALUATE = "evaluate"
NEWEST = 200
"""Runs that are looked at."""
IDLE = frozenset({"seed", *(name for verb in every_verb() for name in verb.IDLE)})
"""Parameters of a stage's run that do not decide how long it takes."""


@dataclass(frozen=True, slots=True)
class PastCost:
    """What one stage took."""

    verb: str
    base: str
    """The whole model under every adapter."""
    settings: Mapping[str, str]
    """As MLflow keeps them, without the seed; of an evaluation: the digest of all that it follows from."""
    amount: float | None
    """How much there was to do, in the verb's own units (predict.py)."""
    seconds: float
    memory_mb: float | None


def past_costs(store: "Store", machine: str) -> list[PastCost]:
    """The newest first."""
    return [cost for run in store.tagged(MACHINE_TAG, machine, NEWEST) for cost in _costs(run)]


def _costs(run: Any) -> Iterator[PastCost]:
    tags, metrics, base = run.data.tags, run.data.metrics, run.data.tags.get(BASE_TAG, "")
    verb = tags.get("orch.verb", "")
    if "seconds" in metrics and "orch.cached_from" not in tags:
        settings = {name: value for name, value in run.data.params.items() if name not in IDLE}
        memory = metrics.get("peak_memory_mb")
        yield PastCost(verb, base, settings, amount(verb, settings, metrics), metrics["seconds"], memory)
    further = (tag.removeprefix(f"{RECIPE_TAG}.") for tag in tags if tag.startswith(f"{RECIPE_TAG}."))
    for also in (None, *further):
        of, n = ("eval", "n") if also is None else (also, f"{also}/n")
        if f"{of}/seconds" in metrics and evaluation_tag("orch.eval_cached_from", also) not in tags:
            settings = evaluation_settings(tags.get(evaluation_tag(RECIPE_TAG, also), ""))
            memory = metrics.get(f"{of}/peak_memory_mb")
            yield PastCost(EVALUATE, base, settings, metrics.get(n), metrics[f"{of}/seconds"], memory)


def evaluation_settings(recipe_digest: str) -> dict[str, str]:
    """What makes two evaluations the same but for the seed: model, questions, tokens, batch, engine; "": not known."""
    return {"recipe": recipe_digest}


def amount(verb: str, settings: Mapping[str, str], known: Mapping[str, float]) -> float | None:
    """How much a stage has to do, in its verb's own units; None where that is not known."""
    kind = verb_of(verb)
    return None if kind is None else kind.amount(settings, known)
