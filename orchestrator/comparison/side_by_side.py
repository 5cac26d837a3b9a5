"""Decides which models of which runs are compared, and with which baseline."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.comparison import Comparison, compare_evaluated, conclusions, contaminated, remarks
from orchestrator.comparison.baseline import baseline_of
from orchestrator.comparison.comparable import left_out, refuse_unlike
from orchestrator.comparison.groups import Variant, labelled, variants
from orchestrator.comparison.past_models import PastModel, not_evaluated, past_models, same_recipe, split_of
from orchestrator.comparison.seed_spread import seed_sds
from orchestrator.comparison.types import Change, ComparedRuns
from orchestrator.errors import InputError
from orchestrator.recipe.plain import changes
from orchestrator.recipe.recipe import load_recipe
from orchestrator.schema import unknown
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.find import PastRuns
from orchestrator.store.names import SWEEP
from orchestrator.store.opening import open_store
from orchestrator.types import BASE

_RECIPES = (".yaml", ".yml")


def compare(
    *runs: str, experiment: str | None = None, baseline: str | None = None, on: str | None = None
) -> Comparison:
    """Compare the models of one run (by default the newest), of several runs, or of an experiment.

    A run is given as an id or its beginning, `last`, or a recipe file, which means the newest run of its experiment.
    Models of one recipe that differ only in their seed are grouped, unless two runs are named that differ in nothing
    else. `baseline` is the label or the name of the model that all others are compared with. By default it is the first
    SFT model; for an experiment, that of its oldest run, so that it stays the same as runs are added. If several runs
    are named, each model is compared with the one of the same name in the first of them. The models of an experiment
    are ranked. `on` is a split other than the one that the recipe compares models on.

    Raises:
        InputError: no such run, experiment, model or split; or models that were evaluated or judged differently.
    """
    if runs and experiment is not None:
        raise InputError("name runs, or an experiment with --experiment, not both")
    past = PastRuns(open_store())
    if experiment is not None:
        runs_of = past.experiment(experiment)
        all_runs = [models for run in runs_of if (models := past_models(past, run, on))]
        if not all_runs:
            raise InputError(f"no run of the experiment {experiment!r} has evaluated a model{_on(on)}", *past.damaged)
        per_run, out = left_out(all_runs)
        unlike = {m[0].above for m in all_runs} - {m[0].above for m in per_run}
        out = [*out, *_missing(past, (run for run in runs_of if run.run_id not in unlike), on), *past.damaged]
        return _side_by_side(past, per_run[::-1], baseline, on, out=out)
    found = list({run.run_id: run for run in (_named(past, name) for name in runs or ("last",))}.values())
    wanted = [_evaluated(past, run, on) for run in found]
    refuse_unlike(wanted)
    out = [*_missing(past, found, on), *past.damaged]
    return _side_by_side(past, wanted, baseline, on, out=out, named=len(found) > 1)


def compare_run(store: Store, run_id: str, on: str | None = None) -> Comparison | None:
    """Compare the models of one run, which may still be running, without information from other runs.

    So the result is what the run itself reported at its end. None if no model is evaluated yet.
    """
    past = PastRuns(store)
    models = past_models(past, past.find(run_id), on)
    if not models and past.damaged:
        raise InputError(*past.damaged)
    return _side_by_side(past, [models], None, on, out=past.damaged, alone=True) if models else None


def _named(past: PastRuns, name: str) -> StoredRun:
    if name.endswith(_RECIPES) or Path(name).is_file():
        recipe = load_recipe(name)
        if recipe.name not in past.experiments():
            raise InputError(f"there is no run of {name} here yet: orch run {name}")
        return past.experiment(recipe.name)[0]
    return past.find(name)


def _evaluated(past: PastRuns, run: StoredRun, on: str | None) -> list[PastModel]:
    models = past_models(past, run, on)
    if not models:
        if past.damaged:
            raise InputError(*past.damaged)
        if run.verb == SWEEP:
            raise InputError(f"run {run.run_id} is a sweep: `orch compare --sweep {run.run_id[:8]}` shows its trials")
        why = run.error
        raise InputError(
            f"run {run.run_id} has evaluated no model{_on(on)}" + (f": it ended with: {why[:300]}" if why else "")
        )
    return models


_ENDED = {"RUNNING": "{0} still running", "FAILED": "failed", "KILLED": "{1} interrupted"}
"""The wording for a run's status in the store."""


def _missing(past: PastRuns, runs: Iterable[StoredRun], on: str | None) -> Iterator[str]:
    """Sentences on the runs that have not evaluated all of their models, one for each group of similar runs."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for run in runs:
        try:
            names = not_evaluated(past, run, on)
        except InputError:  # it ended before it recorded its recipe
            names = ["any model"]
        if names:
            why = f" ({run.error.splitlines()[0][:120]})" if run.error and run.status == "FAILED" else ""
            found.setdefault((_ENDED.get(run.status, ""), ", ".join(names), why), []).append(run.run_id[:8])
    for (how, what, why), ids in found.items():
        said = how.format(*(("is", "was") if len(ids) == 1 else ("are", "were")))
        have = f"{said} and {'has' if len(ids) == 1 else 'have'}" if said else "has" if len(ids) == 1 else "have"
        yield f"{'run' if len(ids) == 1 else 'runs'} {', '.join(ids)} {have} no evaluation of {what}{why}."


def _on(on: str | None) -> str:
    return "" if on is None else f" on the split {on!r}"


def _side_by_side(
    past: PastRuns,
    per_run: Sequence[Sequence[PastModel]],
    baseline: str | None,
    on: str | None,
    out: Iterable[str] = (),
    named: bool = False,
    alone: bool = False,
) -> Comparison:
    """`per_run` has the models of each run; those of the first are what others are compared with."""
    models = [model for one in per_run for model in one]
    apart = named and len(per_run) == 2 and _differ_in_seed(*per_run)
    labels = labelled(variants(models, apart))
    against = _baselines(labels, per_run[0], baseline, named)
    of_seeds = [
        a for a, b in against.items() if a != b and labels[a].name != BASE and _seed_alone(labels[a], labels[b])
    ]
    evaluated = [variant.evaluated(label) for label, variant in labels.items()]
    made = compare_evaluated(on or split_of(per_run[0][0].recipe), evaluated, against, of_seeds)
    ranked = len(per_run) > 1 and not named and len(against) > 1
    whole = replace(
        made,
        models=tuple(sorted(made.models, key=lambda m: -m.accuracy)) if ranked else made.models,
        ranked=ranked,
        runs=_runs(per_run) if len(per_run) > 1 else (),
        contaminated=contaminated(finding for model in models for finding in model.findings),
        left_out=tuple(out),
        judged_by=per_run[0][0].judged_by,
        seed_sd_elsewhere=() if alone else seed_sds(past, labels),
    )
    return replace(whole, conclusions=conclusions(whole), remarks=remarks(whole))


def _runs(per_run: Sequence[Sequence[PastModel]]) -> tuple[ComparedRuns, ...]:
    """The runs grouped by settings, with the differences of each group from the first run."""
    found: dict[str, list[Sequence[PastModel]]] = {}
    for models in per_run:
        found.setdefault(repr(changes(per_run[0][0].recipe, models[0].recipe)), []).append(models)
    return tuple(
        ComparedRuns(
            tuple(dict.fromkeys(models[0].above for models in same)),
            tuple(sorted({m.seed for models in same for m in models if m.seed is not None})),
            tuple(Change(n, a, b) for n, (a, b) in changes(per_run[0][0].recipe, same[0][0].recipe).items()),
        )
        for same in found.values()
    )


def _seed_alone(a: Variant, b: Variant) -> bool:
    """Whether two variants are of one recipe with different seeds; with the same seed they would be one model."""
    return not set(a.seeds) & set(b.seeds) and same_recipe(a.models[0], b.models[0])


def _differ_in_seed(ours: Sequence[PastModel], theirs: Sequence[PastModel]) -> bool:
    """Whether two runs are of one recipe, with one seed each, and the seeds differ."""
    a, b = ({m.model: m for m in models} for models in (ours, theirs))
    seeds = [{m.seed for m in models if m.seed is not None} for models in (ours, theirs)]
    alike = a.keys() == b.keys() and all(same_recipe(a[name], b[name]) for name in a)
    return alike and seeds[0] != seeds[1] and all(len(one) == 1 for one in seeds)


def _baselines(
    labels: Mapping[str, Variant], first: Sequence[PastModel], baseline: str | None, named: bool
) -> dict[str, str]:
    """For each label, the one it is compared with."""
    by_name: dict[str, str] = {}
    for label, variant in labels.items():  # in run order: of several of one name, the first run's counts
        by_name.setdefault(variant.name, label)
    if baseline is not None:
        chosen = baseline if baseline in labels else by_name.get(baseline)
        if chosen is None:
            raise InputError(f"--baseline: {unknown('model', baseline, list(labels))}")
        return {label: chosen for label in labels if label != chosen}
    stages = first[0].recipe.get("stages") or {}
    verbs = {name: str(settings.get("type")) for name, settings in stages.items()}
    default = by_name.get(baseline_of([m.model for m in first], verbs)) or next(iter(labels))
    like = {label: by_name[variant.name] if named else default for label, variant in labels.items()}
    chosen_for = {label: other if other != label else default for label, other in like.items()}
    return {label: other for label, other in chosen_for.items() if other != label}
