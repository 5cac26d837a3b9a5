"""A run of several trials in MLflow: a parent run above theirs, with their combined results.

Trials differ in their `seed`: their figures are aggregated over seeds.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from orchestrator.comparison import how_tested
from orchestrator.comparison.over_seeds import metrics_of, over_seeds
from orchestrator.plan.plan import TrialsPlan
from orchestrator.results import DifferenceOverSeeds, ModelOverSeeds, RunResult, SeedsResult
from orchestrator.runs.above import Shown, describe_run, start_run
from orchestrator.runs.headline import headline
from orchestrator.runs.notes import findings, paragraphs, ways_on
from orchestrator.runs.result import finished_run, read_again
from orchestrator.runs.showing import show_models
from orchestrator.store.base import Store
from orchestrator.store.names import NOTE_TAG, PLAN_TAG, RESULTS, SEEDS_TAG, TRIALS_TAG, VERB_TAG, WHOLE_RUN, output_of


class TrialsRecord:
    """Writes the parent run of the trials. `parent` is its id, `experiment` the id of its experiment."""

    def __init__(self, store: Store, plan: TrialsPlan) -> None:
        self.store, self.plan = store, plan
        recipe = plan.recipe
        self.seeds = tuple(each.recipe.seed for each in plan.plans)
        tags = {VERB_TAG: WHOLE_RUN, PLAN_TAG: plan.key, SEEDS_TAG: ",".join(map(str, self.seeds))}
        tags[TRIALS_TAG] = json.dumps([dict(trial.label) for trial in plan.trials])
        self.shown = Shown()
        self.experiment = store.experiment(recipe.name)
        self.parent = start_run(store, self.experiment, recipe, recipe.name, tags)
        describe_run(store, self.parent, recipe, plan.plans[0].base)

    def ended(self, runs: list[RunResult]) -> SeedsResult:
        """Every seed has ended: write the combined results as metrics and as the description."""
        found = _together(self.store, self.parent, self.seeds, runs)
        note = "\n\n".join([describe_seeds(found), ways_on(self.experiment, self.parent)])
        self.store.log(self.parent, metrics_of(found), {NOTE_TAG: note} | headline(found.models))
        show_models(self.store, self.experiment, runs)
        self.store.end(self.parent, "FAILED" if found.errors else "FINISHED", "\n".join(found.errors) or None)
        return found


def read_trials_again(store: Store, plan: TrialsPlan) -> SeedsResult | None:
    """The result of a finished run of the same trials, whose stages are all cached; None if there is none."""
    parent = finished_run(store, plan.key)
    if parent is None:
        return None
    below = {json.dumps(dict(run.label)): run.run_id for run in store.children(parent).values()}
    runs = [read_again(store, t.plan, below.get(json.dumps(dict(t.label)))) for t in plan.trials]
    found = [run for run in runs if run is not None]
    seeds = [each.recipe.seed for each in plan.plans]
    return _together(store, parent, seeds, found) if len(found) == len(seeds) else None


def _together(store: Store, parent: str, seeds: Sequence[int], runs: Sequence[RunResult]) -> SeedsResult:
    def results(run_id: str, also: str | None) -> Path:
        return store.artifact(store.find(run_id).evaluation_origin(also), output_of(RESULTS, also))

    return over_seeds(parent, store.find(parent).experiment, seeds, runs, results)


def describe_seeds(found: SeedsResult) -> str:
    """The comparison over seeds in Markdown, for the run's description."""
    how = [f"Means over the seeds {', '.join(map(str, found.seeds))}; intervals for further seeds and questions."]
    how += [f"judged by: {found.judged_by}"] if found.judged_by else []
    how += [how_tested(len(found.differences), True, found.models[0].answers_each > 1)] if found.differences else []
    lines = [*paragraphs(found.conclusions), *_table(found.models, found.differences)]
    lines += ["", *paragraphs([*how, *found.remarks])]
    said = [*found.conclusions, *found.remarks]
    for evaluation in found.also:
        lines += ["", f"On `{evaluation.on}`:", "", *paragraphs(evaluation.conclusions)]
        lines += _table(evaluation.models, evaluation.differences)
        lines += ["", *paragraphs([text for text in evaluation.remarks if text not in said])]
    return "\n".join([*lines, "", *paragraphs(found.errors), *findings(found)])


def _table(models: tuple[ModelOverSeeds, ...], differences: tuple[DifferenceOverSeeds, ...]) -> list[str]:
    against = {d.model: d for d in differences}
    lines = [
        "| model | accuracy | 95% interval | sd | by seed | answer rate | difference | 95% interval | n |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for m in models:
        d = against.get(m.model)
        by_seed = "the same for all" if m.shared else ", ".join(f"{a:.3f}" for a in m.accuracies)
        sd = "" if m.accuracy_sd is None else f"{m.accuracy_sd:.3f}"
        gap = "" if d is None else f"{d.difference_mean:+.3f} to {d.baseline}"
        gap_interval = "" if d is None else f"{d.difference_low:+.3f} to {d.difference_high:+.3f}"
        lines.append(
            f"| {m.model} | {m.accuracy_mean:.3f} | {m.accuracy_low:.3f} to {m.accuracy_high:.3f} | {sd} "
            f"| {by_seed} | {m.answer_rate_mean:.3f} | {gap} | {gap_interval} | {m.n} |"
        )
    return lines
