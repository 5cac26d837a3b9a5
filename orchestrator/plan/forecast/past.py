"""The costs of stages in past runs on this kind of machine, read from the runs that did the work themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.stages import EVALUATE, every_verb, verb_of
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.names import MACHINE_TAG, RECIPE_TAG, further_splits

NEWEST = 200
"""Number of runs to look at."""
IDLE = frozenset({"seed", *(name for verb in every_verb() for name in verb.IDLE)})
"""Parameters of a stage's run that do not affect how long it takes."""


@dataclass(frozen=True, slots=True)
class PastCost:
    """The cost of one stage."""

    verb: str
    base: str
    """The whole model under any adapters."""
    settings: Mapping[str, str]
    """As stored in MLflow, without the seed; for an evaluation: the digest of everything it depends on."""
    amount: float | None
    """The amount of work, in the verb's own units (predict.py)."""
    seconds: float
    memory_mb: float | None


def past_costs(store: Store, machine: str) -> list[PastCost]:
    """The costs of past stages, newest first."""
    runs = store.runs({MACHINE_TAG: machine}, status="FINISHED", limit=NEWEST)
    return [cost for run in runs for cost in _costs(run)]


def _costs(run: StoredRun) -> Iterator[PastCost]:
    metrics, base, verb = run.metrics, run.base, run.verb
    if "seconds" in metrics and run.origin == run.run_id:
        settings = {name: value for name, value in run.params.items() if name not in IDLE}
        memory = metrics.get("peak_memory_mb")
        yield PastCost(verb, base, settings, amount(verb, settings, metrics), metrics["seconds"], memory)
    for also in (None, *further_splits(run.tags, RECIPE_TAG)):
        of, own = ("eval", "") if also is None else (also, f"{also}/")
        if f"{of}/seconds" in metrics and run.evaluation_origin(also) == run.run_id:
            settings = evaluation_settings(run.recipe_digest(also) or "")
            memory = metrics.get(f"{of}/peak_memory_mb")
            known = {name: metrics[own + name] for name in ("n", "answers_per_question") if own + name in metrics}
            answers = amount(EVALUATE, settings, known)
            yield PastCost(EVALUATE, base, settings, answers, metrics[f"{of}/seconds"], memory)


def evaluation_settings(recipe_digest: str) -> dict[str, str]:
    """Equal for evaluations that differ only in the seed: same model, questions, tokens, batch, engine; "": unknown."""
    return {"recipe": recipe_digest}


def amount(verb: str, settings: Mapping[str, str], known: Mapping[str, float]) -> float | None:
    """The amount of work of a stage, in its verb's own units; None if unknown."""
    kind = verb_of(verb)
    return None if kind is None else kind.amount(settings, known)
