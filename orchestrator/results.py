"""The results of runs and sweeps: their stages, and the models side by side. Notebooks show them as tables."""

from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.figures import clock, interval, p_value, points, questions_told
from orchestrator.notebook import block, facts, figures, paragraphs, table
from orchestrator.types import Finding


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model's figures on the evaluated questions."""

    model: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    answer_rate: float
    n: int
    """Number of questions."""
    answers_each: int = 1
    """Answers per question; if several, accuracy is the share of correct answers among all of them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A model compared with a baseline on the same questions."""

    model: str
    baseline: str
    difference: float
    low: float
    high: float
    p: float
    """Exact McNemar, or a t-test if questions have several answers each; Holm-corrected for several comparisons."""
    wins: int
    losses: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The models on an extra split, in addition to the one that they are compared on."""

    on: str
    models: tuple[ModelResult, ...]
    differences: tuple[Difference, ...]
    conclusions: tuple[str, ...] = ()
    """What the figures mean, in one or two plain sentences."""
    remarks: tuple[str, ...] = ()
    """Further points to note."""

    def _repr_html_(self) -> str:
        """The models side by side."""
        return paragraphs([*self.conclusions, f"On {self.on}:"]) + _side_by_side(self.models, self.differences)


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of `orch run`."""

    run_id: str
    experiment: str
    models: tuple[ModelResult, ...]
    stages: tuple[dict[str, Any], ...]
    differences: tuple[Difference, ...] = ()
    errors: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    """Findings from before and during the run."""
    also: tuple[Evaluation, ...] = ()
    """The evaluations on the splits of `evaluate.also`."""
    seed: int | None = None
    """The seed of the run."""
    report: str | None = None
    """Location of its page, `report.html`: a path, or a URI if the store is remote."""
    conclusions: tuple[str, ...] = ()
    """What the models' figures mean, in one or two plain sentences."""
    judged_by: str = ""
    """How answers were parsed and judged, in words."""
    remarks: tuple[str, ...] = ()
    """Points to note besides the conclusions."""

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        return asdict(self)

    def __repr__(self) -> str:
        models = ", ".join(f"{m.model} {m.accuracy:.3f}" for m in self.models) or "no model evaluated"
        return f"RunResult({self.experiment}, run {self.run_id}: {models}{_failed(self.errors)})"

    def _repr_html_(self) -> str:
        """The conclusions, the models side by side, and where to look next."""
        shown = paragraphs(self.conclusions)
        if self.models:
            shown += _side_by_side(self.models, self.differences)
        shown += "".join(also._repr_html_() for also in self.also)
        return shown + _end(self)


@dataclass(frozen=True, slots=True)
class ModelOverSeeds:
    """One model's figures over the seeds it was trained with."""

    model: str
    seeds: tuple[int, ...]
    """The seeds with an evaluation; one per accuracy."""
    accuracies: tuple[float, ...]
    accuracy_mean: float
    accuracy_sd: float | None
    """Standard deviation over seeds (n - 1); None for fewer than two, or if the seed has no effect."""
    accuracy_low: float
    accuracy_high: float
    """95% interval of the mean for new seeds and questions (stats/seeds.py); Wilson's for a single evaluation."""
    answer_rate_mean: float
    n: int
    """Number of questions, the same ones for every seed."""
    shared: bool
    """The seed has no effect on this model: it was evaluated once, and the interval is that evaluation's."""
    answers_each: int = 1
    """Answers per question."""


@dataclass(frozen=True, slots=True)
class DifferenceOverSeeds:
    """A model compared with a baseline: their difference for each seed, and its mean."""

    model: str
    baseline: str
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    """One per seed, in the order of `seeds`."""
    difference_mean: float
    """Difference between the mean accuracies."""
    difference_low: float
    difference_high: float
    """95% interval for new seeds and questions (stats/seeds.py); for models without a seed, as for one seed."""
    p: float
    """Corrected for the number of models compared (Holm)."""


@dataclass(frozen=True, slots=True)
class EvaluationOverSeeds:
    """The models over seeds on an extra split."""

    on: str
    models: tuple[ModelOverSeeds, ...]
    differences: tuple[DifferenceOverSeeds, ...]
    conclusions: tuple[str, ...]
    """What the figures mean, in one or two plain sentences."""
    remarks: tuple[str, ...] = ()
    """Further points to note."""

    def _repr_html_(self) -> str:
        """The means over seeds side by side."""
        return paragraphs([*self.conclusions, f"On {self.on}:"]) + _over_seeds(self.models, self.differences)


@dataclass(frozen=True, slots=True)
class SeedsResult:
    """The result of `orch run` for a recipe with several seeds."""

    run_id: str
    """The parent of the seeds' runs."""
    experiment: str
    seeds: tuple[int, ...]
    models: tuple[ModelOverSeeds, ...]
    differences: tuple[DifferenceOverSeeds, ...]
    runs: tuple[RunResult, ...]
    """For each seed, the result of a run with that seed alone."""
    also: tuple[EvaluationOverSeeds, ...] = ()
    errors: tuple[str, ...] = ()
    """Each prefixed with its seed."""
    findings: tuple[Finding, ...] = ()
    conclusions: tuple[str, ...] = ()
    """What the figures mean, in one or two plain sentences."""
    report: str | None = None
    """Location of its page, `report.html`: a path, or a URI if the store is remote."""
    judged_by: str = ""
    """How answers were parsed and judged, in words."""
    remarks: tuple[str, ...] = ()
    """Points to note besides the conclusions."""

    @property
    def stages(self) -> tuple[dict[str, Any], ...]:
        """Every distinct stage once, as reported by a seed that ran it, otherwise by the first seed that has it."""
        found: dict[str, dict[str, Any]] = {}
        for run in self.runs:
            for row in run.stages:
                if row["state"] == "done" or row["key"] not in found:
                    found[row["key"]] = row
        return tuple(found.values())

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        return asdict(self)

    def __repr__(self) -> str:
        models = ", ".join(f"{m.model} {m.accuracy_mean:.3f}" for m in self.models) or "no model evaluated"
        seeds = f"{len(self.seeds)} seeds"
        return f"SeedsResult({self.experiment}, run {self.run_id}, {seeds}: {models}{_failed(self.errors)})"

    def _repr_html_(self) -> str:
        """The conclusions, the means over seeds side by side, and where to look next."""
        shown = paragraphs(self.conclusions)
        if self.models:
            shown += _over_seeds(self.models, self.differences)
        return shown + "".join(also._repr_html_() for also in self.also) + _end(self)


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial of a sweep, on the split that trials are compared on."""

    number: int
    label: dict[str, Any]
    """The swept settings by dotted name."""
    state: str
    """`complete`, `pruned`, `failed` or `stopped`."""
    value: float | None
    """Accuracy; the mean if there are several seeds."""
    low: float | None
    high: float | None
    """95% interval: Wilson's for one seed, otherwise for new seeds and questions."""
    tied: bool
    """Not significantly worse than the best trial (paired test on the same questions, Holm)."""
    difference: float | None
    """Difference from the best trial."""
    p: float | None
    """p-value of that difference, corrected for the number of trials."""
    seconds: float
    """Total time of its stages for one seed, whichever run executed them: the cost of repeating it from scratch."""
    gpu_hours: float
    run_id: str
    """The run of its first seed."""
    error: str | None = None
    seeds: int = 1
    """Number of seeds it ran with: finalists have more than the others."""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The result of `orch sweep`."""

    run_id: str
    experiment: str
    metric: dict[str, str]
    """`name`, `goal`, `on`."""
    trials: tuple[TrialResult, ...]
    best: dict[str, Any] | None
    """`number`, `label`, and `recipe`: the location of the recipe with these values. None: no trial has finished."""
    test: dict[str, Any] | None
    """`on`, `models` and `differences`: the proposed trial and the recipe's own values. None: not tested."""
    stages: dict[str, int]
    """Counts: `asked` over all trials, `distinct` among these, and `run` and `reused` among the distinct ones."""
    shared: dict[str, dict[str, int]]
    """By stage name: the number of `trials` that have the stage, and how many distinct ones were `made` for them."""
    importance: dict[str, float]
    """For each parameter, the share of the differences between trials that it explains."""
    conclusions: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    report: str | None = None
    judged_by: str = ""
    """How answers were parsed and judged, in words."""

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        return asdict(self)

    def __repr__(self) -> str:
        best = "" if self.best is None else f", best trial {self.best['number']} {self.best['label']}"
        return (
            f"SweepResult({self.experiment}, run {self.run_id}: {len(self.trials)} trials{best}{_failed(self.errors)})"
        )

    def _repr_html_(self) -> str:
        """The conclusions, the trials from best to worst, and where to look next."""
        best = {} if self.best is None else self.best
        names = list(dict.fromkeys(name for trial in self.trials for name in trial.label))
        ranked = sorted(self.trials, key=lambda t: (t.value is None, -t.seeds, -(t.value or 0.0), t.number))
        rows = [
            (
                trial.number,
                *(trial.label.get(name, "") for name in names),
                "" if trial.value is None else f"{trial.value:.3f}{_ends(trial.low, trial.high)}",
                "" if trial.difference is None else points(trial.difference, sign=True),
                "" if trial.p is None else p_value(trial.p),
                clock(trial.seconds) if trial.seconds else "",
                "proposed" if trial.number == best.get("number") else "tied" if trial.tied else trial.state,
            )
            for trial in ranked
        ]
        heads = ("trial", *names, "accuracy", "points vs. best", "p", "time", "")
        known = {"recipe with the best values": best.get("recipe"), "run": self.run_id, "report": self.report}
        return paragraphs(self.conclusions) + table(heads, rows, heads[:-1]) + _errors(self.errors) + facts(known)


def _side_by_side(models: tuple[ModelResult, ...], differences: tuple[Difference, ...]) -> str:
    against = {d.model: (d.baseline, d.difference, d.low, d.high, d.p) for d in differences}
    rows = [(m.model, m.accuracy, m.accuracy_low, m.accuracy_high, m.answer_rate) for m in models]
    return figures(rows, against) + paragraphs([f"{_asked(models[0])}, the same for every model; 95% intervals"])


def _over_seeds(models: "tuple[ModelOverSeeds, ...]", differences: "tuple[DifferenceOverSeeds, ...]") -> str:
    against = {d.model: (d.baseline, d.difference_mean, d.difference_low, d.difference_high, d.p) for d in differences}
    rows = [(m.model, m.accuracy_mean, m.accuracy_low, m.accuracy_high, m.answer_rate_mean) for m in models]
    note = f"means over seeds; {_asked(models[0])}; 95% intervals for further seeds and questions"
    return figures(rows, against) + paragraphs([note])


def _asked(model: ModelResult | ModelOverSeeds) -> str:
    return questions_told(model.n, model.answers_each)


def _end(result: "RunResult | SeedsResult") -> str:
    """The errors, the findings, and where to look next."""
    states = [stage["state"] for stage in result.stages]
    stages = f"{len(states)}: {states.count('done')} run, {states.count('cached')} reused"
    noticed = [(f.severity, f.check, f.what) for f in result.findings]
    shown = table(("", "check", "what was found"), noticed) if noticed else ""
    known = {"experiment": result.experiment, "stages": stages, "judged by": result.judged_by, "run": result.run_id}
    return _errors(result.errors) + shown + facts(known | {"report": result.report})


def _errors(errors: tuple[str, ...]) -> str:
    return "".join(block(error) for error in errors)


def _failed(errors: tuple[str, ...]) -> str:
    return f"; {len(errors)} failed" if errors else ""


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" {interval(low, high)}"
