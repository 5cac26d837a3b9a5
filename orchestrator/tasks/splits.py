"""The splits of a task: questions that are read, generated or held out from train, each split computed once."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from orchestrator.errors import DataError
from orchestrator.tasks.files import Origin
from orchestrator.tasks.own_code import contained
from orchestrator.tasks.rows import Row, distinct_questions, rows_error
from orchestrator.tasks.source import Source
from orchestrator.types import Example, answer_text

if TYPE_CHECKING:
    from orchestrator.tasks.base import Task

SplitName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Split = str
"""One of SPLITS, or a further one named by the recipe."""
SPLITS: tuple[Split, ...] = ("demonstrations", "train", "test", "validation")


class Splits(dict[Split, list[Example]]):
    """The splits of a task, each computed on first access."""

    def __init__(self, task: "Task") -> None:
        super().__init__()
        self.task = task
        self.repeated: dict[Split, int] = {}
        self.appended: set[str] = set()
        """Questions whose worked solution had its answer appended."""
        self._digests: dict[Split, tuple[list[Example], str]] = {}
        self._whole: list[Example] | None = None

    def digest(self, split: Split) -> str:
        """sha256 of the rows of a split, computed once."""
        examples = self[split]
        known = self._digests.get(split)
        if known is None or known[0] is not examples:
            rows = hashlib.sha256()
            has_data = any(example.data for example in examples)
            for example in examples:
                row = (example.id, example.question, example.answer, example.demonstration)
                whole = (*row, str(example.data)) if has_data else row
                rows.update(repr(whole).encode("utf-8", "surrogatepass"))
            known = self._digests[split] = (examples, rows.hexdigest())
        return known[1]

    def __missing__(self, split: Split) -> list[Example]:
        source = self.task.source_of(split)
        held = self._held_out()
        if source.hold_out is not None:
            examples = [e for e in self._pool() if held.get(e.id) == split]
        elif split == "train":
            examples = [e for e in self._pool() if e.id not in held]
        else:
            examples = self._read(split, source)
        self[split] = examples
        return examples

    def _pool(self) -> list[Example]:
        """Train's questions before any are set aside, read once."""
        if self._whole is None:
            self._whole = self._read("train", self.task.source_of("train"))
        return self._whole

    @property
    def _gives_solutions(self) -> bool:
        """Whether worked solutions are set aside from train."""
        demonstrations = self.task.demonstrations
        return demonstrations is not None and demonstrations.hold_out is not None

    def _held_out(self) -> dict[str, Split]:
        """The ids of train's questions that go to other splits: a seeded choice, independent of their order."""
        wanted = [(split, self.task.source_of(split).hold_out) for split in self.task.splits()]
        wanted.sort(key=lambda one: one[0] != "test")
        if not any(n for _, n in wanted):
            return {}
        pool: dict[str, list[str]] = {}
        solved: set[str] = set()
        for example in self._pool():  # questions that `check` considers equal stay in one split
            pool.setdefault(normalised(example.question), []).append(example.id)
            if example.demonstration is not None:
                solved.add(normalised(example.question))
        questions = sorted(pool)
        random.Random(f"hold-out {self.task.seed}").shuffle(questions)
        total = sum(n or 0 for _, n in wanted)
        if total >= len(questions):
            raise DataError(
                f"task: hold_out asks for {total} of train's {len(questions)} questions: none would be left"
            )
        held: dict[str, Split] = {}
        for split, n in wanted:
            if split == "demonstrations":
                # from the other end, so that their number does not change the evaluation splits, nor vice versa
                order = sorted(questions, key=lambda question: question not in solved)
            else:
                order = questions[::-1]
            chosen = set(order[: n or 0])
            questions = [question for question in questions if question not in chosen]
            held |= {name: split for question in chosen for name in pool[question]}
        return held

    def _read(self, split: Split, source: Source) -> list[Example]:
        if self.task.SOURCE is None:
            return self._made(split, source)
        with contained(self.task.type.rpartition(":")[0], f"{self.task.where(split)} cannot be loaded"):
            return self._made(split, source)

    def _made(self, split: Split, source: Source) -> list[Example]:
        if source.generate is not None:
            return _generated(split, source.generate, self.task.generate(split, source.generate))
        read, origin = source.read(split, split == "demonstrations" or (split == "train" and self._gives_solutions))
        rows, problems = [], []
        for row in read:
            try:
                rows.append(self.task.with_answer(plain := self.task.read(row), source.columns.append_answer))
                if rows[-1] is not plain:
                    self.appended.add(plain.question)
            except (ValueError, DataError) as error:
                problems.append(f"{origin.place(row.line)}: {error}")
        if problems:
            raise rows_error(problems)
        rows, self.repeated[split] = distinct_questions(rows, origin, self.task.same_answer)
        if split == "demonstrations" and all(row.demonstration is None for row in rows):
            raise DataError(
                f"task.demonstrations: {origin.name} has no worked solutions; name their column: "
                "{columns: {demonstration: NAME}}"
            )
        return _examples(split, rows, origin)


def _generated(split: Split, n: int, made: Iterable[Any]) -> list[Example]:
    """Check the n examples of a task's generator; ids must be unique, as completions are joined to examples by id."""
    examples: list[Example] = []
    for one in made:
        if not isinstance(one, Example):
            raise DataError(
                f"task.{split}: generate gave {one!r:.60}, a {type(one).__name__}: return each as an Example, from "
                "orchestrator.types"
            )
        examples.append(one if isinstance(one.answer, str) else replace(one, answer=answer_text(one.answer)))
    if len(examples) != n:
        raise DataError(f"task.{split}: generate gave {len(examples)} examples, {n} were asked for")
    [(most, times)] = Counter(example.id for example in examples).most_common(1) or [("", 0)]
    if times > 1:
        raise DataError(
            f"task.{split}: generate gave {times} examples the id {most!r}: give each example of a split its own id"
        )
    return examples


def _examples(split: Split, rows: list[Row], origin: Origin) -> list[Example]:
    """Rows as examples. A row without an id is named after its line, which may be another row's own id."""
    line_of: dict[str, int] = {}
    examples, problems = [], []
    for row in rows:
        name = row.id or f"{split}-{row.line}"
        if line_of.setdefault(name, row.line) != row.line:
            first, second = sorted((line_of[name], row.line))
            problems.append(
                f"{origin.place(second)}: would have the id {name!r}, like {origin.unit} {first}: one of them has no "
                "id of its own; give every row an id, or none"
            )
        examples.append(Example(name, row.question, row.answer, row.demonstration, row.data))
    if problems:
        raise DataError(*problems)
    return examples


def normalised(question: str) -> str:
    """A question normalized for comparison: case and white space are ignored."""
    return " ".join(question.casefold().split())
