"""`select`: keep the completions worth training on. They were judged when they were drawn, and are not judged again."""

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
"""Why a draw is not kept: the metric `dropped_...` of each counts its draws."""
_ROUNDING = 1e-9
_UNKNOWN = 1_000_000
"""Draws of a question that another run has made, at the most."""
_Share = Annotated[float, Field(ge=0, le=1)]


def _one_or_more(value: object) -> str | tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
    if not all(isinstance(name, str) for name in names) or (not names and not isinstance(value, list | tuple)):
        raise ValueError("must be the name of a sample stage, or a list of such names: [samples, hot]")
    if not names or all(map(is_pooled, names)):
        raise ValueError("must name a sample stage of the recipe itself; draws of other runs are put beside it")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"names {twice[0]!r} twice; list it once")
    return names[0] if len(names) == 1 else names


class Select(Verb):
    """Keep the completions worth training on."""

    type: Literal["select"]
    draws: Annotated[str | tuple[str, ...], BeforeValidator(_one_or_more)] = Field(alias="from")
    """The sample stage whose completions are selected from, or several whose draws are put together; RUN:STAGE are
    those that another run has drawn for the same questions, by the beginning of its id."""
    keep: Literal["correct", "random"] = "correct"
    """random: as many rows of each question as `correct` keeps, by lot from its draws, right or wrong: the control."""
    distinct: bool | Literal["equations"] = True
    """Drop completions of a question that differ in white space only. equations: also those that write the same
    equations in the same order, and those with one that does not hold, such as `7 + 1 = 9`."""
    max_per_example: Positive | None = None
    """Rows of one question at the most; default: all that are kept."""
    prefer: Literal["first", "shortest", "random", "diverse"] = "first"
    """Which rows of a question stay where `max_per_example` leaves some out: the first drawn, those of fewest tokens,
    by lot, or, one after the other, the one that differs most from those that stay (edit distance). diverse also says
    which of several rows with the same equations stays."""
    balance: Literal["difficulty"] | None = None
    """difficulty: the more of a question's draws are correct, the fewer of its rows stay: `max_per_example` times the
    share of the others, rounded up, and one at the least (Tong et al. 2024, DART-Math)."""
    pass_rate: tuple[_Share, _Share] | None = None
    """Keep only questions of whose draws at least, and at most, these shares are correct: [0.1, 0.9] leaves out what
    the model always gets right, and what it hardly ever does."""
    allow_empty: bool = False
    """True: where no draw is correct, go on with none; otherwise that is an error."""

    VERSION = 1
    LATER = frozenset({"prefer", "pass_rate", "balance"})
    OUTPUT = CHOSEN
    MAKES = Kind.ROWS
    REFERENCES: ClassVar[Mapping[str, Kind]] = {"draws": Kind.COMPLETIONS}
    ON_GPU = False

    def leaves_out(self) -> Mapping[str, str]:
        """What was decided when the completions were drawn, whose key is part of this one."""
        idle = {"format": "completions were cut when they were drawn", "judging": "and judged"}
        return idle if "random" in (self.keep, self.prefer) else idle | {"seed": "nothing is left to chance"}

    @model_validator(mode="after")
    def _fits(self) -> "Select":
        if self.pass_rate is not None and self.pass_rate[0] > self.pass_rate[1]:
            raise ValueError(
                f"pass_rate is [lowest, highest], and {self.pass_rate[0]:g} is above {self.pass_rate[1]:g}"
            )
        if self.balance is not None and self.max_per_example is None:
            raise ValueError(
                f"balance: {self.balance} says how many rows of a question stay, max_per_example at the most; set it "
                "too"
            )
        picks = self.prefer == "diverse" and self.distinct == "equations"
        if self.prefer != "first" and self.max_per_example is None and not picks:
            more = ", or distinct: equations" if self.prefer == "diverse" else ""
            raise ValueError(
                f"prefer: {self.prefer} says which rows of a question stay where some are left out; set "
                f"max_per_example{more}, too"
            )
        return self

    def jobs(self, context: Context) -> list[Job]:
        """None: `finish` does all of it."""
        return []

    def splits_read(self, stages: Mapping[str, Verb]) -> set[Split]:
        """The questions that were drawn for."""
        drawing = self.source(stages)
        assert drawing is not None
        return {drawing.split}

    def finish(self, context: Context) -> Output:
        """chosen.parquet: example_id, draw, text, question; a piece of the completions is in memory at a time."""
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
            return "an equation of every correct draw does not hold"
        return "no question is within pass_rate" if dropped["pass_rate"] else "no draw was correct"

    def _nothing(self, name: str, drawn: int, dropped: Counter[str]) -> str:
        """What is wrong where no row is kept."""
        outside = dropped["pass_rate"]
        if wrong := dropped["wrong_equation"]:
            return (
                f"each of the {wrong:,} correct draws has an equation that does not hold, so there is nothing to train "
                f"on; look at the completions of {self._named} in MLflow, or leave stages.{name}.distinct: equations "
                f"out. To go on all the same, set stages.{name}.allow_empty: true"
            )
        if self.pass_rate is not None and outside:
            low, high = self.pass_rate
            return (
                f"no question has between {low:.0%} and {high:.0%} correct draws, so there is nothing to train on: the "
                f"{outside:,} correct draws are of others; widen stages.{name}.pass_rate. To go on all the same, set "
                f"stages.{name}.allow_empty: true"
            )
        return (
            f"none of the {drawn:,} draws is correct, so there is nothing to train on; look at the completions of "
            f"{self._named} in MLflow: are answers found at all (sampling/answer_rate)? To go on all the same, set "
            f"stages.{name}.allow_empty: true"
        )

    @property
    def _named(self) -> str:
        return " and ".join(map(repr, self.names))

    @property
    def names(self) -> tuple[str, ...]:
        """The stages whose completions it selects from, those of other runs too."""
        return (self.draws,) if isinstance(self.draws, str) else self.draws

    def misuses(self, stages: Mapping[str, Verb]) -> Iterator[tuple[str, str]]:
        """Draws that are put together answer the questions of one split."""
        splits = {name: drawing.split for name, drawing in self._drawings(stages).items()}
        for name, split in splits.items():
            first, asked = next(iter(splits.items()))
            if split != asked:
                what = f"{first!r} draws for {asked} and {name!r} for {split}"
                yield "from", f"{what}, so they have no question in common: select from each by itself"

    def _drawings(self, stages: Mapping[str, Verb]) -> dict[str, Drawing]:
        found = {name: stages[name].source(stages) for name in self.names if name in stages}
        return {name: drawing for name, drawing in found.items() if drawing is not None}

    def source(self, stages: Mapping[str, Verb]) -> Drawing | None:
        """The drawing of its completions; of several the first, with the draws of all.

        How many another run has drawn is not known here: more than any.
        """
        drawings = list(self._drawings(stages).values())
        if not drawings or len(self.names) == 1:
            return drawings[0] if drawings else None
        elsewhere = len([name for name in self.names if is_pooled(name)])
        most = sum(one.most for one in drawings) + elsewhere * _UNKNOWN
        return replace(drawings[0], n=most, max_tokens=max(one.max_tokens for one in drawings), budget=None)

    def bounds(self, task: Task, stages: Mapping[str, Verb]) -> Bounds:
        """The rows that it may keep."""
        drawing = self.source(stages)
        if drawing is None:
            return Bounds(0, 0)
        each, questions = min(drawing.most, self.max_per_example or drawing.most), len(task.examples(drawing.split))
        return Bounds(0 if self.allow_empty else 1, min(each, drawing.n) * questions)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is trained on, of the draws of some questions."""

    places: NDArray[np.int64]
    """Of the rows, in their order."""
    dropped: Counter[str]
    """For each reason in `_WHY`, how many draws it has cost."""


def keep(table: pa.Table, spec: Select, seed: int) -> Kept:
    """The rows that are trained on. All draws of each question are in the table.

    `correct`: the correct draws of questions within `pass_rate`; of those that `distinct` calls the same only one; at
    most so many per question, those that `prefer` names.
    `random`: as many rows of each question as `correct` would keep, by lot from its draws, right or wrong, under the
    same rules. A draw that was cut off before its answer has no end to learn and takes no part; one that was cut off
    after it does, here as there. So every correct draw has a lot, and no row is ever short.
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
    """The rows of a table by their places; a text becomes a Python object only where it is compared."""

    def __init__(self, table: pa.Table) -> None:
        encoded = table["example_id"].combine_chunks().dictionary_encode()
        self.names: list[str] = encoded.dictionary.to_pylist()
        self.questions: list[int] = encoded.indices.to_pylist()
        """For each row the place of its question in `names`."""
        self._draws: list[int] = table["draw"].to_pylist()
        self._texts = table["text"].combine_chunks()
        self._equations: dict[int, tuple[Equation, ...]] = {}

    def draw(self, place: int) -> tuple[int, int]:
        """Which draw of which question a row is."""
        return self.questions[place], self._draws[place]

    def lot(self, place: int, seed: int, which: str = "select") -> bytes:
        """Where a row comes in the order by lot; it depends on the recipe's seed and on which draw it is alone."""
        name = self.names[self.questions[place]]
        return hashlib.sha256(f"{which}\0{seed}\0{self._draws[place]}\0{name}".encode()).digest()

    def within(self, rates: tuple[float, float], correct: list[int]) -> list[int]:
        """The correct draws of questions whose share of correct draws is within these rates."""
        right, drawn = self._right(correct), self._drawn()
        fits = (right >= rates[0] * drawn - _ROUNDING) & (right <= rates[1] * drawn + _ROUNDING)
        return [place for place in correct if fits[self.questions[place]]]

    def by_difficulty(self, most: int, correct: list[int]) -> Callable[[int], int]:
        """How many rows of a question stay: `most` times the share of its draws that are not correct, one at least."""
        right, drawn = self._right(correct), self._drawn()
        return lambda question: max(1, -(-most * int(drawn[question] - right[question]) // int(drawn[question])))

    def _drawn(self) -> NDArray[np.int64]:
        return np.bincount(self.questions, minlength=len(self.names))

    def _right(self, correct: list[int]) -> NDArray[np.int64]:
        return np.bincount([self.questions[place] for place in correct], minlength=len(self.names))

    def equations(self, place: int) -> tuple[Equation, ...]:
        """Those that a row writes down."""
        if place not in self._equations:
            self._equations[place] = equations(self._texts[place].as_py())
        return self._equations[place]

    def _path(self, place: int, distinct: bool | str) -> tuple[str, object]:
        """What a row has in common with those that are the same as it, and why they are dropped."""
        if distinct == "equations" and (worked := self.equations(place)):
            return "same_equations", tuple(one.text for one in worked)
        return "same_text", " ".join(self._texts[place].as_py().split())

    def first(
        self, places: Iterable[int], distinct: bool | str, most: Callable[[int], int | None], dropped: Counter[str]
    ) -> list[int]:
        """The first rows of each question, `most(question)` of them; None: all. What is left out is counted."""
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
        """As `first`, but each row of a question after its first is the one that is farthest from all kept before it.

        Distances are Levenshtein's of the texts, as a share of the longer one; the first drawn of several wins.
        """
        kept: list[int] = []
        by_question: dict[int, list[int]] = {}
        for place in places:
            by_question.setdefault(self.questions[place], []).append(place)
        for question, left in by_question.items():
            kept += self._spread(left, distinct, most(question), dropped)
        return kept

    def _spread(self, places: list[int], distinct: bool | str, most: int | None, dropped: Counter[str]) -> list[int]:
        """The rows of a question that are kept: the first of them, then one by one the farthest from those so far."""
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
