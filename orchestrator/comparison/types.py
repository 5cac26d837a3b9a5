"""The contents of a model comparison: numbers and names, independent of where they were read from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.figures import questions_told, value_text
from orchestrator.notebook import figures, paragraphs
from orchestrator.schema import clipped


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One row of the table: a model, or the models of one recipe with several seeds."""

    label: str
    """Its unique name in this comparison."""
    model: str
    """Its name in its recipe."""
    seeds: tuple[int, ...]
    """Empty if no seed affects it, as for the base model."""
    run_ids: tuple[str, ...]
    """Its MLflow runs, one per seed."""
    accuracy: float
    """Mean over seeds."""
    accuracy_low: float
    accuracy_high: float
    """95% interval: Wilson's for one seed, otherwise for new seeds and questions (stats/seeds.py)."""
    answer_rate: float
    n: int
    """Number of questions; the same ones for every seed."""
    by_seed: tuple[float, ...]
    """Accuracy of each seed."""
    seed_sd: float | None
    """Standard deviation of the seeds' accuracies; None for a single seed."""
    tokens_per_answer: float | None
    seconds: float | None
    """Time to produce one such model: its own stage and all stages it depends on; the mean over seeds."""
    gpu_hours: float | None
    """For the same stages."""
    answers_each: int = 1
    """Answers per question; if there are several, accuracy is the share of all answers that is right."""


@dataclass(frozen=True, slots=True)
class ModelDifference:
    """One model against its baseline, on the same questions."""

    label: str
    baseline: str
    difference: float
    low: float
    high: float
    """95% interval: Agresti and Min's for two single models (a t-test's if questions have several answers each),
    otherwise one that includes the variance due to seeds (stats/seeds.py)."""
    p: float
    """Exact McNemar for two single models (a t-test on the questions' shares of right answers if they have several
    each), otherwise a t-test that includes the variance due to seeds (stats/seeds.py)."""
    p_corrected: float
    """Corrected for the number of comparisons (Holm)."""
    wins: int
    """Number of questions on which it is right more often than the baseline, averaged over seeds."""
    losses: int
    n: int
    detectable: float | None
    """The true difference that such a test detects at 80% power; None: it detects none."""
    bootstrap_low: float
    bootstrap_high: float
    """Paired bootstrap over questions, 10,000 resamples; for these models only: seeds are not resampled."""
    by_answering: float | None
    """The part of the difference due to the answer rate; None if one side gave no answer."""
    by_being_right: float | None
    """The part due to accuracy among the answers that could be parsed."""
    seeds_alone: bool = False
    """Whether the two differ only in their seed."""

    @property
    def shown(self) -> bool:
        """Whether the difference is significant at 5% after correction."""
        return self.p_corrected < 0.05

    @property
    def answering_share(self) -> float | None:
        """The share of the difference due to the answer rate; None if the parts are unknown or have opposite signs."""
        if self.by_answering is None or self.by_being_right is None or self.by_answering * self.by_being_right < 0:
            return None
        return self.by_answering / self.difference if self.difference else None


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that differs between two recipes."""

    setting: str
    """Dotted: `stages.rft.learning_rate`; a stage that only one of them has is one entry: `stages.grpo`."""
    before: Any
    """None: not set, or no such stage."""
    after: Any

    def __str__(self) -> str:
        """`rft.learning_rate 0.001 → 0.003`."""
        short = self.setting.removeprefix("stages.")
        if short != self.setting and "." not in short:
            return f"{'with' if self.before is None else 'without'} stage {short}"
        return f"{short} {_shown(self.before)} → {_shown(self.after)}"


def _shown(value: Any) -> str:
    return "not set" if value is None else clipped(value_text(value), 40)


@dataclass(frozen=True, slots=True)
class ComparedRuns:
    """Runs with the same settings, and how these differ from the first run's."""

    run_ids: tuple[str, ...]
    seeds: tuple[int, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Models side by side, all evaluated on the same questions in the same way."""

    on: str
    """The split."""
    models: tuple[ComparedModel, ...]
    differences: tuple[ModelDifference, ...]
    contaminated: tuple[str, ...] = ()
    """Findings that make accuracies too good to be true, one sentence each."""
    left_out: tuple[str, ...] = ()
    """Runs and models that were requested but are not in the table, with the reason."""
    seed_sd_elsewhere: tuple[tuple[str, float, int], ...] = ()
    """For models with one seed, the spread over seeds in other runs: (label, standard deviation, seeds)."""
    judged_by: str | None = None
    """How answers were parsed and judged, in words; None if unknown."""
    conclusions: tuple[str, ...] = ()
    """The result in a few plain sentences."""
    remarks: tuple[str, ...] = ()
    """What else to know about the figures."""
    runs: tuple[ComparedRuns, ...] = ()
    """If there are several runs, the differences between their settings; the first run comes first."""
    ranked: bool = False
    """Whether the models are sorted by accuracy, best first, and all compared with one baseline."""

    @property
    def drawn(self) -> bool:
        """Whether questions have several answers each."""
        return any(m.answers_each > 1 for m in self.models)

    @property
    def trained(self) -> Sequence[ComparedModel]:
        """The models that depend on a seed."""
        return [m for m in self.models if m.seeds]

    def __repr__(self) -> str:
        models = ", ".join(f"{m.label} {m.accuracy:.3f}" for m in self.models)
        return f"Comparison(on {self.on}: {models})"

    def _repr_html_(self) -> str:
        """The conclusions, then the models side by side."""
        against = {d.label: (d.baseline, d.difference, d.low, d.high, d.p_corrected) for d in self.differences}
        rows = [(m.label, m.accuracy, m.accuracy_low, m.accuracy_high, m.answer_rate) for m in self.models]
        first = self.models[0]
        note = f"{questions_told(first.n, first.answers_each)} of {self.on}, the same for every model; 95% intervals"
        judged = [] if self.judged_by is None else [f"judged by: {self.judged_by}"]
        return paragraphs(self.conclusions) + figures(rows, against) + paragraphs([note, *judged])

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        data = asdict(self)
        for row, d in zip(data["differences"], self.differences, strict=True):
            row |= {"shown": d.shown, "answering_share": d.answering_share}
        return data
