"""What a comparison of models holds. Numbers and names; nothing of where they were read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.figures import questions_told, value_text
from orchestrator.notebook import figures, paragraphs
from orchestrator.schema import clipped


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One line of the table: a model, or the models that one recipe makes with several seeds."""

    label: str
    """What it is called in this comparison, unlike every other."""
    model: str
    """Its name in its recipe."""
    seeds: tuple[int, ...]
    """Empty where no seed changes it, as the base model."""
    run_ids: tuple[str, ...]
    """Its runs in MLflow, one a seed."""
    accuracy: float
    """Mean over seeds."""
    accuracy_low: float
    accuracy_high: float
    """95% interval: Wilson's for one seed, else for further seeds and questions (stats/seeds.py)."""
    answer_rate: float
    n: int
    """Questions; every seed was asked the same."""
    by_seed: tuple[float, ...]
    """Accuracy of each seed."""
    seed_sd: float | None
    """Standard deviation of the seeds' accuracies; None for one."""
    tokens_per_answer: float | None
    seconds: float | None
    """What it took to make one such model: its own stage and all that it stands on; the mean over seeds."""
    gpu_hours: float | None
    """Of the same stages."""
    answers_each: int = 1
    """Answers to each question; of several, accuracy is the share of all that is right."""


@dataclass(frozen=True, slots=True)
class ModelDifference:
    """One model against its baseline, on the same questions."""

    label: str
    baseline: str
    difference: float
    low: float
    high: float
    """95% interval: Agresti and Min's for two single models, else with the seeds' part; where questions have several
    answers each, that of a t-test."""
    p: float
    """Exact McNemar for two single models, else a t-test with the seeds' part (stats/seeds.py); where questions have
    several answers each, a t-test on their shares of right answers."""
    p_corrected: float
    """Corrected for the number of models compared (Holm)."""
    wins: int
    """Questions on which it is right more often than the baseline: over its seeds, where it has several."""
    losses: int
    n: int
    detectable: float | None
    """The true difference that such a test finds at 80% power; None: none at all."""
    bootstrap_low: float
    bootstrap_high: float
    """Paired bootstrap over questions, 10,000 resamples: of these models, the seeds as they are."""
    by_answering: float | None
    """The part of the difference that is answer rate; None where one side gave no answer."""
    by_being_right: float | None
    """The part that is right answers among those that could be read."""
    seeds_alone: bool = False
    """Whether the two differ in nothing but their seed."""

    @property
    def shown(self) -> bool:
        """Whether there is a difference, at 5% after correction."""
        return self.p_corrected < 0.05

    @property
    def answering_share(self) -> float | None:
        """The share of the difference that is answer rate, where both parts point the same way; else None."""
        if self.by_answering is None or self.by_being_right is None or self.by_answering * self.by_being_right < 0:
            return None
        return self.by_answering / self.difference if self.difference else None


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that one recipe has otherwise than another."""

    setting: str
    """Dotted: `stages.rft.learning_rate`; a stage that only one of them has stands as a whole: `stages.grpo`."""
    before: Any
    """None: it is not set, or there is no such stage."""
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
    """Runs of one recipe's settings, and how they differ from the run that the baseline is of."""

    run_ids: tuple[str, ...]
    seeds: tuple[int, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Models side by side, all asked the same questions in the same way."""

    on: str
    """The split."""
    models: tuple[ComparedModel, ...]
    differences: tuple[ModelDifference, ...]
    contaminated: tuple[str, ...] = ()
    """What was found of test questions in the training data, one sentence each."""
    left_out: tuple[str, ...] = ()
    """What was asked for and is not in the table, and why."""
    seed_sd_elsewhere: tuple[tuple[str, float, int], ...] = ()
    """Known from other runs: how much a model of one seed varies with it: (label, sd, seeds)."""
    judged_by: str | None = None
    """How answers were read and judged, in words; None where that is not known."""
    conclusions: tuple[str, ...] = ()
    """What the figures say, in a few plain sentences."""
    remarks: tuple[str, ...] = ()
    """What else is to be known of them."""
    runs: tuple[ComparedRuns, ...] = ()
    """Of several runs: what is different between them, those of the baseline first."""
    ranked: bool = False
    """Whether the models are in the order of their accuracy, the best first, all against one baseline."""

    @property
    def drawn(self) -> bool:
        """Whether questions have several answers each."""
        return any(m.answers_each > 1 for m in self.models)

    @property
    def trained(self) -> Sequence[ComparedModel]:
        """The models that a seed changes."""
        return [m for m in self.models if m.seeds]

    def __repr__(self) -> str:
        models = ", ".join(f"{m.label} {m.accuracy:.3f}" for m in self.models)
        return f"Comparison(on {self.on}: {models})"

    def _repr_html_(self) -> str:
        """The conclusion, and the models side by side."""
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
