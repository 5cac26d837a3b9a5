"""What a run tells when it is done: its stages, and the models side by side. In a notebook these are tables."""

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
    """Questions."""
    answers_each: int = 1
    """Answers to each; of several, accuracy is the share of all that is right."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A model against a baseline on the same questions."""

    model: str
    baseline: str
    difference: float
    low: float
    high: float
    p: float
    """Exact McNemar, or a t-test where questions have several answers each; corrected (Holm) among several."""
    wins: int
    losses: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The models on a further split, beside the one that they are compared on."""

    on: str
    models: tuple[ModelResult, ...]
    differences: tuple[Difference, ...]
    conclusions: tuple[str, ...] = ()
    """What they say, in one or two plain sentences."""
    remarks: tuple[str, ...] = ()
    """What is to be known beside that."""

    def _repr_html_(self) -> str:
        """The models side by side."""
        return paragraphs([*self.conclusions, f"On {self.on}:"]) + _side_by_side(self.models, self.differences)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What `orch run` ends with."""

    run_id: str
    experiment: str
    models: tuple[ModelResult, ...]
    stages: tuple[dict[str, Any], ...]
    differences: tuple[Difference, ...] = ()
    errors: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What was noticed before and while it ran."""
    also: tuple[Evaluation, ...] = ()
    """What `evaluate.also` asked for."""
    seed: int | None = None
    """The seed it was run with."""
    report: str | None = None
    """Where its page lies, `report.html`: a path, or a URI where the store is elsewhere."""
    conclusions: tuple[str, ...] = ()
    """What the models' figures say, in one or two plain sentences."""
    judged_by: str = ""
    """How answers were read and judged, in words."""
    remarks: tuple[str, ...] = ()
    """What is to be known beside the conclusions."""

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        return asdict(self)

    def __repr__(self) -> str:
        models = ", ".join(f"{m.model} {m.accuracy:.3f}" for m in self.models) or "no model evaluated"
        return f"RunResult({self.experiment}, run {self.run_id}: {models}{_failed(self.errors)})"

    def _repr_html_(self) -> str:
        """The conclusion, the models side by side, and where to look next."""
        shown = paragraphs(self.conclusions)
        if self.models:
            shown += _side_by_side(self.models, self.differences)
        shown += "".join(also._repr_html_() for also in self.also)
        return shown + _end(self)


@dataclass(frozen=True, slots=True)
class ModelOverSeeds:
    """One model's figures over the seeds it was made with."""

    model: str
    seeds: tuple[int, ...]
    """Those that came to an evaluation; as many as there are accuracies."""
    accuracies: tuple[float, ...]
    accuracy_mean: float
    accuracy_sd: float | None
    """Standard deviation over seeds (n - 1); None for fewer than two, and where the seed decides nothing."""
    accuracy_low: float
    accuracy_high: float
    """95% interval of the mean for further seeds and questions (stats/seeds.py); Wilson's for one evaluation."""
    answer_rate_mean: float
    n: int
    """Questions, the same for every seed."""
    shared: bool
    """The seed decides nothing of this model, it was evaluated once: its interval is that one evaluation's."""
    answers_each: int = 1
    """Answers to each question."""


@dataclass(frozen=True, slots=True)
class DifferenceOverSeeds:
    """A model against a baseline: their difference for each seed, and its mean."""

    model: str
    baseline: str
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    """For each of these seeds."""
    difference_mean: float
    """Of the mean accuracies."""
    difference_low: float
    difference_high: float
    """95% interval for further seeds and questions (stats/seeds.py); of single models as for one seed."""
    p: float
    """Corrected for the number of models that are compared (Holm)."""


@dataclass(frozen=True, slots=True)
class EvaluationOverSeeds:
    """The models over seeds on a further split."""

    on: str
    models: tuple[ModelOverSeeds, ...]
    differences: tuple[DifferenceOverSeeds, ...]
    conclusions: tuple[str, ...]
    """What the figures say, in one or two plain sentences."""
    remarks: tuple[str, ...] = ()
    """What is to be known beside that."""

    def _repr_html_(self) -> str:
        """Means over seeds side by side."""
        return paragraphs([*self.conclusions, f"On {self.on}:"]) + _over_seeds(self.models, self.differences)


@dataclass(frozen=True, slots=True)
class SeedsResult:
    """What `orch run` ends with where the recipe has several seeds."""

    run_id: str
    """The run above those of the seeds."""
    experiment: str
    seeds: tuple[int, ...]
    models: tuple[ModelOverSeeds, ...]
    differences: tuple[DifferenceOverSeeds, ...]
    runs: tuple[RunResult, ...]
    """For each seed what a run with this seed alone ends with."""
    also: tuple[EvaluationOverSeeds, ...] = ()
    errors: tuple[str, ...] = ()
    """Each after the seed it came with."""
    findings: tuple[Finding, ...] = ()
    conclusions: tuple[str, ...] = ()
    """What the figures say, in one or two plain sentences."""
    report: str | None = None
    """Where its page lies, `report.html`: a path, or a URI where the store is elsewhere."""
    judged_by: str = ""
    """How answers were read and judged, in words."""
    remarks: tuple[str, ...] = ()
    """What is to be known beside the conclusions."""

    @property
    def stages(self) -> tuple[dict[str, Any], ...]:
        """Every stage once, as the first seed that has it tells; what does not depend on the seed is shared."""
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
        """The conclusion, means over seeds side by side, and where to look next."""
        shown = paragraphs(self.conclusions)
        if self.models:
            shown += _over_seeds(self.models, self.differences)
        return shown + "".join(also._repr_html_() for also in self.also) + _end(self)


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial of a sweep, on the split that trials are compared on."""

    number: int
    label: dict[str, Any]
    """The swept settings by their dotted names."""
    state: str
    """`complete`, `pruned`, `failed` or `stopped`."""
    value: float | None
    """Accuracy; over several seeds their mean."""
    low: float | None
    high: float | None
    """95% interval: Wilson's for one seed, else for further seeds and questions."""
    tied: bool
    """Not significantly worse than the best trial (paired test on the same questions, Holm)."""
    difference: float | None
    """To the best trial."""
    p: float | None
    """Of that difference, corrected for the number of trials."""
    seconds: float
    """What its stages took, whoever ran them: what it would cost to make again."""
    gpu_hours: float
    run_id: str
    """Of its first seed."""
    error: str | None = None
    seeds: int = 1
    """How many it was run with: finalists have more than others."""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What `orch sweep` ends with."""

    run_id: str
    experiment: str
    metric: dict[str, str]
    """`name`, `goal`, `on`."""
    trials: tuple[TrialResult, ...]
    best: dict[str, Any] | None
    """`number`, `label`, and `recipe`: where the recipe with these values lies. None: no trial came to its end."""
    test: dict[str, Any] | None
    """`on`, `models` and `differences`: the proposed trial beside the recipe's own values. None: not asked."""
    stages: dict[str, int]
    """`asked` of all trials, `distinct` among them, `run` and `reused` of these."""
    shared: dict[str, dict[str, int]]
    """For each stage by its name: `trials` that have it, and how many of it were `made` for them all."""
    importance: dict[str, float]
    """For each parameter the share of the differences between trials that it explains."""
    conclusions: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    report: str | None = None
    judged_by: str = ""
    """How answers were read and judged, in words."""

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        return asdict(self)

    def __repr__(self) -> str:
        best = "" if self.best is None else f", best trial {self.best['number']} {self.best['label']}"
        return (
            f"SweepResult({self.experiment}, run {self.run_id}: {len(self.trials)} trials{best}{_failed(self.errors)})"
        )

    def _repr_html_(self) -> str:
        """The conclusion, the trials from the best down, and where to look next."""
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
        heads = ("trial", *names, "accuracy", "points to best", "p", "time", "")
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
    """What went wrong, and where to look next."""
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
