"""`select`: keep the completions worth training on. They were judged when drawn and are not judged again."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from orchestrator.answers.equations import Equation, equations
from orchestrator.errors import StageError
from orchestrator.sampling.completions import put_side_by_side, writing
from orchestrator.schema import Positive
from orchestrator.stages.base import Bounds, Drawing, Kind, Verb, is_pooled
from orchestrator.stages.context import Context, Job, Output
from orchestrator.stages.drawing import digest
from orchestrator.store.names import CHOSEN
from orchestrator.tasks import Task
from orchestrator.tasks.splits import Split
from orchestrator.types import DataUsed

_READ = ("example_id", "draw", "text", "n_tokens", "finish_reason", "status")
SCHEMA = pa.schema({"example_id": pa.string(), "draw": pa.int64(), "text": pa.string(), "question": pa.string()})
_SHOWN = 40
"""Rows in the table of samples."""
_WHY = ("wrong", "pass_rate", "wrong_equation", "same_text", "same_equations", "over_limit")
"""The reasons for dropping a draw: the metric `dropped_...` counts the draws dropped for each."""
_ROUNDING = 1e-9
_UNKNOWN = 1_000_000
"""Upper bound on the draws per question that another run has made."""
_Share = Annotated[float, Field(ge=0, le=1)]


def _one_or_more(value: object) -> str | tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
    if not all(isinstance(name, str) for name in names) or (not names and not isinstance(value, list | tuple)):
        raise ValueError("must be the name of a sample stage, or a list of such names: [samples, hot]")
    if not names or all(map(is_pooled, names)):
        raise ValueError("must name a sample stage of the recipe itself; draws of other runs can only be added to it")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"names {twice[0]!r} twice; list it once")
    return names[0] if len(names) == 1 else names


class Select(Verb):
    """Keep the completions worth training on."""

    type: Literal["select"]
    draws: Annotated[str | tuple[str, ...], BeforeValidator(_one_or_more)] = Field(alias="from")
    """The sample stage to select completions from, or several, whose draws are pooled. RUN:STAGE adds the draws that
    another run has made for the same questions; RUN is the beginning of its id."""
    keep: Literal["correct", "random"] = "correct"
    """`correct`: the correct completions. `random`, the control: as many rows of each question as `correct` would keep,
    chosen at random from its draws, right or wrong."""
    distinct: bool | Literal["equations"] = True
    """Drop completions of a question that differ only in whitespace. `equations`: also drop those with the same
    equations in the same order, and those with an equation that does not hold, such as `7 + 1 = 9`."""
    max_per_example: Positive | None = None
    """Maximum number of rows per question; default: no limit."""
    prefer: Literal["first", "shortest", "random", "diverse"] = "first"
    """Which rows of a question stay if there are more than `max_per_example`: the first drawn, those with the fewest
    tokens, a random choice or, for `diverse`, repeatedly the row that differs most from those already kept (edit
    distance). `diverse` also decides which of several rows with the same equations stays."""
    balance: Literal["difficulty"] | None = None
    """`difficulty`: the more of a question's draws are correct, the fewer of its rows stay: `max_per_example` times the
    share of draws that are not correct, rounded up, but at least one (Tong et al. 2024, DART-Math)."""
    pass_rate: tuple[_Share, _Share] | None = None
    """Keep only questions whose share of correct draws is within these bounds: [0.1, 0.9] leaves out questions that the
    model always gets right and those that it hardly ever does."""
    allow_empty: bool = False
    """Continue without any rows if none is selected; by default, that is an error."""

    VERSION = 1
    LATER = frozenset({"prefer", "pass_rate", "balance"})
    OUTPUT = CHOSEN
    MAKES = Kind.ROWS
    REFERENCES: ClassVar[Mapping[str, Kind]] = {"draws": Kind.COMPLETIONS}
    ON_GPU = False

    def leaves_out(self) -> Mapping[str, str]:
        """Inputs that took effect when the completions were drawn; the key of those draws is part of this key."""
        idle = {"format": "completions were cut when they were drawn", "judging": "and judged then"}
        return idle if "random" in (self.keep, self.prefer) else idle | {"seed": "nothing is random"}

    @model_validator(mode="after")
    def _fits(self) -> "Select":
        if self.pass_rate is not None and self.pass_rate[0] > self.pass_rate[1]:
            raise ValueError(
                f"pass_rate is [lowest, highest], and {self.pass_rate[0]:g} is above {self.pass_rate[1]:g}"
            )
        if self.balance is not None and self.max_per_example is None:
            raise ValueError(
                f"balance: {self.balance} decides how many rows of a question stay, up to max_per_example; set that too"
            )
        picks = self.prefer == "diverse" and self.distinct == "equations"
        if self.prefer != "first" and self.max_per_example is None and not picks:
            more = ", or distinct: equations" if self.prefer == "diverse" else ""
            raise ValueError(
                f"prefer: {self.prefer} decides which rows of a question stay if some are left out; set "
                f"max_per_example{more}, too"
            )
        return self

    def jobs(self, context: Context) -> list[Job]:
        """None: `finish` does all the work."""
        return []

    def splits_read(self, stages: Mapping[str, Verb]) -> set[Split]:
        """The split that the completions were drawn for."""
        drawing = self.source(stages)
        assert drawing is not None
        return {drawing.split}

    def finish(self, context: Context) -> Output:
        """Write chosen.parquet (example_id, draw, text, question), with only a piece of the completions in memory."""
        [split] = self.splits_read(context.stages)
        examples = context.task.examples(split)
        ids = pa.array([e.id for e in examples], pa.string())
        questions = pa.array([e.question for e in examples], pa.string())
        path = context.output / CHOSEN
        drawn = rows = asked = correct = 0
        dropped: Counter[str] = Counter()
        tokens = {"before": 0, "after": 0}
        samples: list[dict[str, Any]] = []
        with writing(path, SCHEMA) as out:
            for table in put_side_by_side([context.inputs[name] for name in self.names], _READ):
                chosen = keep(table, self, context.seed)
                kept = table.take(chosen.places)
                dropped += chosen.dropped
                tokens["before"] += _sum(table.filter(pc.equal(table["status"], "correct"))["n_tokens"])
                tokens["after"] += _sum(kept["n_tokens"])
                drawn += table.num_rows
                rows += kept.num_rows
                asked += pc.count_distinct(kept["example_id"]).as_py()
                correct += _sum(pc.equal(kept["status"], "correct"))
                kept = kept.append_column("question", questions.take(pc.index_in(kept["example_id"], ids)))
                out.write_table(kept.select(SCHEMA.names).cast(SCHEMA))
                shown = kept.slice(0, _SHOWN - len(samples)).select(["question", "text"])
                samples += shown.rename_columns(["question", "completion"]).to_pylist()
            if not rows and not self.allow_empty:
                raise StageError(self._nothing(context.name, drawn, dropped))
        metrics: dict[str, float] = {"rows": rows, "questions": asked}
        figure = f"{rows:,} rows of {asked:,} questions" if rows else f"0 rows: {self._none(dropped)}"
        if rows:
            metrics["rows_per_question"] = rows / asked
            metrics["tokens_per_row"] = tokens["after"] / rows
        if rows and self.keep == "random":
            metrics["correct_share"] = correct / rows
            figure += f", {metrics['correct_share']:.0%} correct"
        if self.keep == "correct":
            told = [why for why in _WHY if self.distinct == "equations" or "equation" not in why]
            metrics |= {f"dropped_{why}": dropped[why] for why in told}
            right = rows + sum(dropped.values()) - dropped["wrong"]
            metrics |= {"tokens_per_correct_draw": tokens["before"] / right} if right else {}
        used = DataUsed(context.name, "training", digest(path), CHOSEN, rows)
        return Output(figure, metrics, (used,), samples)

    def _none(self, dropped: Counter[str]) -> str:
        if dropped["wrong_equation"]:
            return "every correct draw has an equation that does not hold"
        return "no question is within pass_rate" if dropped["pass_rate"] else "no draw was correct"

    def _nothing(self, name: str, drawn: int, dropped: Counter[str]) -> str:
        """The error message if no row is kept."""
        outside = dropped["pass_rate"]
        if wrong := dropped["wrong_equation"]:
            return (
                f"each of the {wrong:,} correct draws has an equation that does not hold, so there is nothing to train "
                f"on; look at the completions of {self._named} in MLflow, or leave stages.{name}.distinct: equations "
                f"out. To continue anyway, set stages.{name}.allow_empty: true"
            )
        if self.pass_rate is not None and outside:
            low, high = self.pass_rate
            return (
                f"no question has between {low:.0%} and {high:.0%} correct draws, so there is nothing to train on: the "
                f"{outside:,} correct draws are of others; widen stages.{name}.pass_rate. To continue anyway, set "
                f"stages.{name}.allow_empty: true"
            )
        return (
            f"none of the {drawn:,} draws is correct, so there is nothing to train on; look at the completions of "
            f"{self._named} in MLflow: are answers found at all (sampling/answer_rate)? To continue anyway, set "
            f"stages.{name}.allow_empty: true"
        )

    @property
    def _named(self) -> str:
        return " and ".join(map(repr, self.names))

    @property
    def names(self) -> tuple[str, ...]:
        """The stages whose completions it selects from, including those of other runs."""
        return (self.draws,) if isinstance(self.draws, str) else self.draws

    def misuses(self, stages: Mapping[str, Verb]) -> Iterator[tuple[str, str]]:
        """Draws can only be pooled if they answer the questions of one split."""
        splits = {name: drawing.split for name, drawing in self._drawings(stages).items()}
        for name, split in splits.items():
            first, asked = next(iter(splits.items()))
            if split != asked:
                what = f"{first!r} draws for {asked} and {name!r} for {split}"
                yield "from", f"{what}, so they have no question in common: select from each separately"

    def _drawings(self, stages: Mapping[str, Verb]) -> dict[str, Drawing]:
        found = {name: stages[name].source(stages) for name in self.names if name in stages}
        return {name: drawing for name, drawing in found.items() if drawing is not None}

    def source(self, stages: Mapping[str, Verb]) -> Drawing | None:
        """The drawing of its completions; if there are several, the first, with the draws of all.

        The number of draws of another run is unknown here: an upper bound is used.
        """
        drawings = list(self._drawings(stages).values())
        if not drawings or len(self.names) == 1:
            return drawings[0] if drawings else None
        elsewhere = len([name for name in self.names if is_pooled(name)])
        most = sum(one.most for one in drawings) + elsewhere * _UNKNOWN
        return replace(drawings[0], n=most, max_tokens=max(one.max_tokens for one in drawings), budget=None)

    def bounds(self, task: Task, stages: Mapping[str, Verb]) -> Bounds:
        """The number of rows that it may keep."""
        drawing = self.source(stages)
        if drawing is None:
            return Bounds(0, 0)
        each, questions = min(drawing.most, self.max_per_example or drawing.most), len(task.examples(drawing.split))
        return Bounds(0 if self.allow_empty else 1, min(each, drawing.n) * questions)


@dataclass(frozen=True, slots=True)
class Kept:
    """The rows to train on, selected from the draws of some questions."""

    places: NDArray[np.int64]
    """The indices of the rows, in order."""
    dropped: Counter[str]
    """The number of draws dropped for each reason in `_WHY`."""


def keep(table: pa.Table, spec: Select, seed: int) -> Kept:
    """The rows to train on. The table contains all draws of each question.

    `correct`: the correct draws of questions within `pass_rate`; only one of those that `distinct` treats as the same;
    at most `max_per_example` per question, chosen by `prefer`.
    `random`: as many rows of each question as `correct` would keep, chosen at random from its draws, right or wrong,
    under the same rules. A draw that was cut off before its answer has no ending to learn and is excluded; one that was
    cut off after its answer is included, as under `correct`. So every correct draw is a candidate, and there are always
    enough.
    """
    rows = _Rows(table)
    correct: list[int] = np.flatnonzero(pc.equal(table["status"], "correct")).tolist()
    limit = spec.max_per_example
    most = rows.by_difficulty(limit, correct) if limit is not None and spec.balance else lambda _: limit
    dropped = Counter({"wrong": table.num_rows - len(correct)})
    if spec.pass_rate is not None:
        within = rows.within(spec.pass_rate, correct)
        dropped["pass_rate"] = len(correct) - len(within)
        correct = within
    if spec.distinct == "equations":
        holding = [place for place in correct if all(one.holds for one in rows.equations(place))]
        dropped["wrong_equation"] = len(correct) - len(holding)
        correct = holding
    if spec.prefer == "shortest":
        tokens: list[int] = table["n_tokens"].to_pylist()
        correct.sort(key=tokens.__getitem__)
    elif spec.prefer == "random":
        correct.sort(key=lambda place: rows.lot(place, seed, "prefer"))
    take = rows.farthest if spec.prefer == "diverse" else rows.first
    chosen = sorted(take(correct, spec.distinct, most, dropped))
    if spec.keep == "correct":
        return Kept(np.array(chosen, dtype=np.int64), dropped)
    wanted = Counter(rows.questions[place] for place in chosen)
    answered = pc.is_in(table["status"], pa.array(["correct", "wrong"]))
    ends: list[int] = np.flatnonzero(pc.or_(pc.equal(table["finish_reason"], "stop"), answered)).tolist()
    lots = sorted((place for place in ends if wanted[rows.questions[place]]), key=lambda place: rows.lot(place, seed))
    kept = {rows.draw(place) for place in rows.first(lots, spec.distinct, wanted.__getitem__, Counter())}
    places = [place for place in range(table.num_rows) if rows.draw(place) in kept]
    return Kept(np.array(places, dtype=np.int64), Counter())


def _sum(numbers: pa.ChunkedArray) -> int:
    return int(pc.sum(numbers).as_py() or 0)


class _Rows:
    """The rows of a table by index; a text becomes a Python object only when it is compared."""

    def __init__(self, table: pa.Table) -> None:
        encoded = table["example_id"].combine_chunks().dictionary_encode()
        self.names: list[str] = encoded.dictionary.to_pylist()
        self.questions: list[int] = encoded.indices.to_pylist()
        """For each row, the index of its question in `names`."""
        self._draws: list[int] = table["draw"].to_pylist()
        self._texts = table["text"].combine_chunks()
        self._equations: dict[int, tuple[Equation, ...]] = {}

    def draw(self, place: int) -> tuple[int, int]:
        """The question of a row, and the number of its draw."""
        return self.questions[place], self._draws[place]

    def lot(self, place: int, seed: int, which: str = "select") -> bytes:
        """A row's position in a random order, which depends only on `which`, the recipe's seed and the draw."""
        name = self.names[self.questions[place]]
        return hashlib.sha256(f"{which}\0{seed}\0{self._draws[place]}\0{name}".encode()).digest()

    def within(self, rates: tuple[float, float], correct: list[int]) -> list[int]:
        """The correct draws of questions whose share of correct draws is within `rates`."""
        right, drawn = self._right(correct), self._drawn()
        fits = (right >= rates[0] * drawn - _ROUNDING) & (right <= rates[1] * drawn + _ROUNDING)
        return [place for place in correct if fits[self.questions[place]]]

    def by_difficulty(self, most: int, correct: list[int]) -> Callable[[int], int]:
        """The row limit per question: `most` times the share of its draws that are not correct, but at least one."""
        right, drawn = self._right(correct), self._drawn()
        return lambda question: max(1, -(-most * int(drawn[question] - right[question]) // int(drawn[question])))

    def _drawn(self) -> NDArray[np.int64]:
        return np.bincount(self.questions, minlength=len(self.names))

    def _right(self, correct: list[int]) -> NDArray[np.int64]:
        return np.bincount([self.questions[place] for place in correct], minlength=len(self.names))

    def equations(self, place: int) -> tuple[Equation, ...]:
        """The equations that a row contains."""
        if place not in self._equations:
            self._equations[place] = equations(self._texts[place].as_py())
        return self._equations[place]

    def _path(self, place: int, distinct: bool | str) -> tuple[str, object]:
        """Why rows that count as the same are dropped, and what they have in common."""
        if distinct == "equations" and (worked := self.equations(place)):
            return "same_equations", tuple(one.text for one in worked)
        return "same_text", " ".join(self._texts[place].as_py().split())

    def first(
        self, places: Iterable[int], distinct: bool | str, most: Callable[[int], int | None], dropped: Counter[str]
    ) -> list[int]:
        """The first `most(question)` rows of each question (None: all); those left out are counted in `dropped`."""
        kept: list[int] = []
        seen: set[tuple[int, object]] = set()
        per_question: Counter[int] = Counter()
        for place in places:
            question = self.questions[place]
            limit = most(question)
            if limit is not None and per_question[question] >= limit:
                dropped["over_limit"] += 1
                continue
            if distinct:
                why, path = self._path(place, distinct)
                if (question, path) in seen:
                    dropped[why] += 1
                    continue
                seen.add((question, path))
            per_question[question] += 1
            kept.append(place)
        return kept

    def farthest(
        self, places: Iterable[int], distinct: bool | str, most: Callable[[int], int | None], dropped: Counter[str]
    ) -> list[int]:
        """Like `first`, but each row of a question after the first is the one farthest from all rows kept before it.

        The distance is Levenshtein's, relative to the length of the longer text; ties go to the first drawn.
        """
        kept: list[int] = []
        by_question: dict[int, list[int]] = {}
        for place in places:
            by_question.setdefault(self.questions[place], []).append(place)
        for question, left in by_question.items():
            kept += self._spread(left, distinct, most(question), dropped)
        return kept

    def _spread(self, places: list[int], distinct: bool | str, most: int | None, dropped: Counter[str]) -> list[int]:
        """The rows of a question to keep: the first, then repeatedly the one farthest from those kept so far."""
        from rapidfuzz.distance import Levenshtein

        texts = {place: " ".join(self._texts[place].as_py().split()) for place in places}
        nearest = dict.fromkeys(places, 2.0)
        kept: list[int] = []
        seen: set[object] = set()
        while nearest:
            if most is not None and len(kept) >= most:
                dropped["over_limit"] += len(nearest)
                break
            place = max(nearest, key=lambda one: (nearest[one], -self._draws[one]))
            del nearest[place]
            why, path = self._path(place, distinct) if distinct else ("", place)
            if path in seen:
                dropped[why] += 1
                continue
            seen.add(path)
            kept.append(place)
            for other in nearest:
                nearest[other] = min(nearest[other], Levenshtein.normalized_distance(texts[place], texts[other]))
        return kept
