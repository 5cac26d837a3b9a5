"""A sweep's run in the store: what it tries, its trials, their results, and what earlier runs of the sweep found.

The sweep is one run, its trials are the runs below it. Nothing about a sweep is stored anywhere else: a study that is
continued is rebuilt from these runs.
"""

import json
import time
from dataclasses import asdict, dataclass

from orchestrator.figures import value_text
from orchestrator.plan.plan import digest
from orchestrator.recipe.yaml_source import write_data
from orchestrator.results import ModelResult, SweepResult, TrialResult
from orchestrator.runs.above import Shown, describe_run, start_run
from orchestrator.runs.headline import headline
from orchestrator.runs.notes import paragraphs
from orchestrator.store.base import Store
from orchestrator.store.names import (
    BEST_FILE,
    MEASURED,
    NOTE_TAG,
    PARENT_TAG,
    PLAN_TAG,
    PRUNED_TAG,
    SWEEP,
    SWEEP_BLOCK,
    SWEEP_FILE,
    SWEEP_TAG,
    VERB_TAG,
)
from orchestrator.store.pages import SWEEP_VIEW_TAG, run_link, sweep_view, view_link
from orchestrator.sweeps.variants import Label, Variants
from orchestrator.sweeps.words import rank, short
from orchestrator.text import inline

_FIGURES = ("accuracy", "accuracy_low", "accuracy_high", "answer_rate", "n")
_HOW_FAR = {"run_cap", "max_concurrent", "budget"}
"""Settings that limit how far a sweep goes, not what it proposes: a sweep whose limits are raised continues."""


class SweepRecord:
    """Writes the run above the trials. `run_id` is its id, `experiment_id` that of its experiment."""

    def __init__(self, store: Store, variants: Variants) -> None:
        self.store, self.variants = store, variants
        recipe = variants.recipe
        tags = {VERB_TAG: SWEEP, SWEEP_TAG: sweep_key(variants), PLAN_TAG: whole_key(variants)}
        self.experiment_id = store.experiment(recipe.name)
        self.run_id = start_run(store, self.experiment_id, recipe, f"sweep of {recipe.name}", tags)
        settings = variants.sweep.model_dump(mode="json", exclude_none=True, exclude={"parameters", "linked"})
        settings["metric"] = variants.metric.model_dump()
        describe_run(store, self.run_id, recipe, variants.own.base, settings)
        store.log_file(self.run_id, write_data({"sweep": variants.sweep.model_dump(mode="json")}), SWEEP_BLOCK)
        self.shown = Shown()

    def trial(self, run_id: str, value: float | None, pruned: str | None) -> None:
        """Log a trial's result, or why it was ended early, in its run."""
        metrics = {} if value is None else {self.variants.metric.name: value}
        self.store.log(run_id, metrics, {} if pruned is None else {PRUNED_TAG: pruned})

    def ended(self, result: SweepResult, best: str | None) -> None:
        """Close the sweep's run: log its figures, its table as a file and as the description, the winner's recipe."""
        self.store.log_file(self.run_id, json.dumps(asdict(result)), SWEEP_FILE)
        if best is not None:
            self.store.log_file(self.run_id, best, BEST_FILE)
        values = [trial.value for trial in result.trials if trial.value is not None]
        figures = {"trials": float(len(result.trials))} | ({"best": max(values)} if values else {})
        tested = [] if result.test is None else result.test["models"]
        models = headline([ModelResult(model=m["label"], **{k: m[k] for k in _FIGURES}) for m in tested])
        self.store.log(self.run_id, figures, {NOTE_TAG: described(result, self.experiment_id)} | models)
        names = [*self.variants.sweep.names, *(["seed"] if self.variants.several_seeds else [])]
        shown = sweep_view(self.run_id, names, self.variants.metric.name, int(time.time() * 1000))
        self.store.tag_experiment(self.experiment_id, SWEEP_VIEW_TAG, shown)
        failed = bool(result.errors) and not values
        self.store.end(self.run_id, "FAILED" if failed else "FINISHED", "\n".join(result.errors) or None)


def sweep_key(variants: Variants) -> str:
    """Equal for sweeps that propose and compare alike."""
    sweep = variants.sweep.model_dump(mode="json", exclude=_HOW_FAR | {"metric"})
    return digest(
        {
            "sweep": sweep,
            "metric": variants.metric.model_dump(),
            "own": variants.own.key,
            "seeds": list(variants.seeds),
            "test": variants.tested({}, variants.seeds[0], "").plan.key,
        }
    )


def whole_key(variants: Variants) -> str:
    """Equal for sweeps that also have the same limits."""
    return digest({"sweep": sweep_key(variants), "far": variants.sweep.model_dump(mode="json", include=_HOW_FAR)})


def finished(store: Store, variants: Variants) -> SweepResult | None:
    """The result of a finished sweep with the same key in which no trial failed; None if there is none."""
    tags: dict[str, str | None] = {VERB_TAG: SWEEP, PLAN_TAG: whole_key(variants)}
    run = next(store.runs(tags, status="FINISHED", limit=1), None)
    found = None if run is None else read_sweep(store, run.run_id)
    return None if found is None or found.errors else found


def read_sweep(store: Store, run_id: str) -> SweepResult | None:
    """A sweep's result as it was logged; None if the sweep has not ended or logged something else."""
    try:
        data = json.loads(store.artifact(run_id, SWEEP_FILE).read_text(encoding="utf-8"))
        data["trials"] = tuple(TrialResult(**trial) for trial in data["trials"])
        data |= {name: tuple(data[name]) for name in ("conclusions", "errors")}
        if data["best"] is not None:
            data["best"]["recipe"] = best_recipe(store, run_id)
        data["report"] = store.address(run_id, "report.html")
        return SweepResult(**data)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def measured(store: Store, run_id: str) -> dict[int, tuple[float, str]]:
    """The measurements of a finished training, by step; empty if there are none or an older version made them."""
    try:
        found = json.loads(store.artifact(run_id, MEASURED).read_text(encoding="utf-8"))
        return {int(step): (float(accuracy), str(right)) for step, (accuracy, right) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def best_recipe(store: Store, run_id: str) -> str | None:
    """The location of the recipe with the winner's values: a path, or a URI if the store is remote."""
    return store.address(run_id, BEST_FILE)


@dataclass(frozen=True, slots=True)
class KnownTrial:
    """A trial that an earlier run of the same sweep completed or ended early."""

    values: Label
    value: float | None
    """Its result; None: it was ended early."""
    pruned: str | None
    """Why it was ended early."""
    run_id: str


def known_trials(store: Store, variants: Variants) -> list[KnownTrial]:
    """The trials that earlier runs of the same sweep completed or ended early, oldest first."""
    sweeps = [*store.runs({VERB_TAG: SWEEP, SWEEP_TAG: sweep_key(variants)})]
    found: dict[str, KnownTrial] = {}
    for sweep in reversed(sweeps):
        for run in reversed([*store.runs({PARENT_TAG: sweep.run_id})]):
            values = {name: run.label[name] for name in variants.sweep.names if name in run.label}
            value, pruned = run.metrics.get(variants.metric.name), run.tags.get(PRUNED_TAG)
            if run.is_swept and len(values) == len(variants.sweep.names) and (value is not None or pruned):
                found.setdefault(repr(values), KnownTrial(values, value, pruned, run.run_id))
    return list(found.values())


def described(result: SweepResult, experiment_id: str) -> str:
    """A sweep as Markdown, for its run's description."""
    page = run_link(experiment_id, result.run_id, "report.html")
    ways = f"[Parallel coordinates]({view_link(experiment_id, SWEEP_VIEW_TAG)}) · [Report]({page})"
    lines = [*paragraphs(result.conclusions), ways, ""]
    names = list(result.trials[0].label) if result.trials else []
    lines += [f"| trial | {' | '.join(map(short, names))} | {result.metric['name']} | 95% interval | |"]
    lines += ["|" + "---|" * (len(names) + 4)]
    for trial in sorted(result.trials, key=rank):
        values = " | ".join(inline(value_text(trial.label.get(name))) for name in names)
        figure = "" if trial.value is None else f"{trial.value:.3f}"
        ends = "" if trial.low is None else f"{trial.low:.3f} to {trial.high:.3f}"
        mark = "tied with the best" if trial.tied else "" if trial.state == "complete" else trial.state
        lines.append(f"| {trial.number} | {values} | {figure} | {ends} | {mark} |")
    judged = [f"judged by: {result.judged_by}"] if result.judged_by else []
    return "\n".join([*lines, "", *paragraphs([*judged, *result.errors])])
