"""The base class of tasks: where questions come from, how they are asked, how answers are extracted and judged.

A task is a frozen pydantic model: its fields are the settings under `task:` in a recipe, its methods are its behavior.
It knows nothing of models, tokenizers or trackers.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, field_validator

from orchestrator.answers.formats import Format, TagsFormat
from orchestrator.answers.judges import Judge
from orchestrator.answers.judges.choice import is_letter
from orchestrator.answers.libraries import installed
from orchestrator.answers.limits import JudgeLimits
from orchestrator.errors import DataError
from orchestrator.tasks.columns import AppendAnswer
from orchestrator.tasks.rows import Row
from orchestrator.tasks.source import Source
from orchestrator.tasks.splits import SPLITS, Split, SplitName, Splits, normalised
from orchestrator.types import Completion, Example, FinishReason, Verdict


class Task(BaseModel):
    """Base class of all tasks. A custom task is a subclass that overrides the methods it needs to change.

    `generate` and `read_row` produce questions; `verdict` and `judge_completion` judge. (`judge` itself is the setting
    of that name.)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    VERSION: ClassVar[int] = 1
    """Part of every key: raise it when the same settings produce different questions or verdicts."""
    LIBRARY: ClassVar[str | None] = None
    """The PyPI name of a library that generates the questions or judges: its installed version is part of every key."""
    SOURCE: ClassVar[str | None] = None
    """Digest of a custom task's file and of the modules it imports from its folder: a changed file changes the keys."""
    CODE: ClassVar[bytes | None] = None
    """The content of that file, as it was run."""
    MODULES: ClassVar[Mapping[str, bytes]] = {}
    """The content of those modules, by path relative to the file's folder."""

    type: str
    seed: int = 0
    """Seed of the questions, separate from the recipe's seed: models trained with different seeds get the same test."""
    demonstrations: Source | None = None
    """Worked solutions: the training data for SFT."""
    train: Source | None = None
    """Questions and answers for sampling and GRPO."""
    test: Source
    """The questions that models are compared on."""
    validation: Source | None = None
    """Questions for validation during training and for choosing the checkpoint."""
    further: dict[SplitName, Source] = {}
    """Further splits to evaluate on, such as harder questions, each under its own name."""
    format: Format = TagsFormat()
    """How answers are requested, and where in a completion they are found."""
    judge: Judge
    """Decides whether an answer matches the gold answer."""
    judge_limits: JudgeLimits = JudgeLimits()
    """Time and memory limits for judging one completion."""

    def __init_subclass__(cls, **settings: Any) -> None:
        """Accept any `type`: a custom task that subclasses a shipped one is named by its file, not like its parent."""
        super().__init_subclass__(**settings)
        cls.__annotations__.setdefault("type", str)

    @field_validator("further")
    @classmethod
    def _new_names(cls, value: dict[str, Source]) -> dict[str, Source]:
        if taken := [name for name in value if name in (*SPLITS, "eval", "status")]:
            raise ValueError(f"{taken[0]!r} is a reserved name; choose another")
        return value

    def generate(self, split: Split, n: int) -> list[Example]:
        """Generate n distinct examples of a split, deterministically."""
        raise DataError(f"{self.where(split)}: task {self.type!r} has no generator; name a file: {{file: my.jsonl}}")

    def read_row(self, row: Row) -> Row:
        """Interpret a row: its gold answer and its worked solution. Raises ValueError for an unusable row."""
        return row

    def read(self, row: Row) -> Row:
        """Interpret a row with the task and its judge. Raises ValueError for an unusable row."""
        return self.read_row(replace(row, answer=self.judge.written(row.answer)) if row.is_number else row)

    def with_answer(self, row: Row, how: AppendAnswer) -> Row:
        """The row, with its answer appended to its worked solution if `how` calls for it.

        Raises:
            DataError: `how` is "always", and the appended answer could not be read back.
        """
        worked = row.demonstration
        if worked is None or how == "never":
            return row
        if how == "auto" and self.format.extract(self.format.completion_of(worked)) is not None:
            return row
        try:
            return replace(row, demonstration=self.format.target_text(row.answer, worked))
        except DataError:
            if how == "always":
                raise
            return row  # appending does not help; the checks report why

    @property
    def guarded(self) -> bool:
        """Whether judging may hang or crash, so that it runs in a separate process that can be killed."""
        return self.judge.guarded or self.format.guarded or self.own_verdict

    @property
    def own_verdict(self) -> bool:
        """Whether the task judges with its own code."""
        return type(self).verdict is not Task.verdict or self.own_scores

    @property
    def own_scores(self) -> bool:
        """Whether the task judges by more than the gold answer, so that scores between 0 and 1 are possible."""
        return type(self).judge_completion is not Task.judge_completion

    def judge_completion(self, completion: Completion, example: Example) -> Verdict:
        """Judge one completion; all judging starts here. By default, `verdict` compares it with the gold answer.

        Override it to judge by more, such as `example.data`, or to give scores between 0 and 1.
        """
        return self.verdict(completion.text, example.answer, completion.finish_reason)

    def verdict(self, text: str, answer: str, finish_reason: FinishReason) -> Verdict:
        """Judge a text by the gold answer alone. By default, `format` extracts the answer and `judge` judges it."""
        return self.judge.judge(self.format.extract(text), answer, finish_reason)

    def same_answer(self, one: str, other: str) -> bool:
        """Whether the judge considers two gold answers of one question equal, with zero tolerance."""
        judge = self.judge
        if "tolerance" in type(judge).model_fields:
            judge = judge.model_copy(update={"tolerance": 0.0})
        try:
            return all(judge.judge(a, b, "stop").status == "correct" for a, b in ((one, other), (other, one)))
        except Exception:  # the judge cannot read them, so it cannot tell
            return False

    def target(self, example: Example) -> str:
        """The text a model should write for an example: its worked solution, or the bare answer if there is none."""
        if example.demonstration is not None:
            return self.format.completion_of(example.demonstration)
        return self.format.target_text(example.answer)

    def splits(self) -> tuple[Split, ...]:
        """The splits that the recipe defines, the further ones last."""
        return (*(split for split in SPLITS if getattr(self, split) is not None), *self.further)

    def where(self, split: Split) -> str:
        """The recipe key that defines a split."""
        return f"task.{split}" if split in SPLITS else f"task.further.{split}"

    def examples(self, split: Split) -> list[Example]:
        """The examples of a split, in order."""
        return self._splits[split]

    def repeated(self, split: Split) -> int:
        """Number of rows left out of a split because they repeat an earlier question and its answer."""
        self.examples(split)
        return self._splits.repeated.get(split, 0)

    def appended(self, split: Split) -> int:
        """Number of a split's worked solutions that had the gold answer appended."""
        return sum(example.question in self._splits.appended for example in self.examples(split))

    def read_already(self) -> dict[Split, list[Example]]:
        """The splits read or generated so far, which are not pickled with the task itself."""
        return dict(self._splits)

    def example_of(self, id: str, question: str, answer: str) -> Example:
        """The example behind a stored row, with its data, if its split was read; else one built from the row alone."""
        for examples in self.read_already().values():
            for example in examples:
                if (example.id, example.question, example.answer) == (id, question, answer):
                    return example
        return Example(id, question, answer)

    def use(self, examples: Mapping[Split, list[Example]]) -> None:
        """Use these examples, which were read elsewhere, for their splits."""
        self._splits.update(examples)

    def fingerprint(self, split: Split) -> dict[str, Any]:
        """The inputs that determine a split's content: settings if it is generated, a digest of the rows for files."""
        source = self.source_of(split)
        whole = split != "train" or not any(self.source_of(s).hold_out for s in self.splits() if s != "train")
        if source.generate is not None and whole:
            return self._identity() | {"split": split, "n": source.generate} | self.generator(split)
        return {"rows": self._splits.digest(split)}

    def generator(self, split: Split) -> dict[str, Any]:
        """The inputs that determine a split's generated questions, apart from their number."""
        return self.model_dump(mode="json", exclude={"type", *SPLITS, "further", "judge", "judge_limits"})

    def judging(self) -> dict[str, Any]:
        """The inputs that determine a verdict."""
        found = self._identity() | {"judge": self.judge.fingerprint()}
        if self.own_verdict:  # it may read any setting that the task adds
            found["settings"] = self.model_dump(
                mode="json", include=set(type(self).model_fields) - set(Task.model_fields)
            )
        if self.guarded:
            found["limits"] = self.judge_limits.model_dump()
        return found

    def _identity(self) -> dict[str, Any]:
        found: dict[str, Any] = {"task": type(self).__name__, "version": self.VERSION, "source": self.SOURCE}
        return found | ({"library": [self.LIBRARY, installed(self.LIBRARY)]} if self.LIBRARY is not None else {})

    def check(self) -> None:
        """Read every split. DataError with every problem: unusable gold answers, splits that share questions."""
        problems: list[str] = []
        seen: dict[str, str] = {}
        for split in self.splits():
            try:
                examples = self.examples(split)
            except DataError as error:
                problems += [problem for problem in error.problems if problem not in problems]
                continue
            bad = [(e, why) for e in examples if (why := self.judge.check_gold(e.answer))]
            source = self.source_of(split)
            where = self.where(split) + (f": {read}" if (read := source.file or source.hub) else "")
            if len(bad) > 0.5 * len(examples) and all(self.judge.check_gold(e.question) is None for e, _ in bad):
                problems.append(
                    f"{where}: questions and answers look swapped, as {len(bad)} of {len(examples)} gold answers "
                    "cannot be judged and their questions can: swap columns.question and columns.answer"
                )
            problems += [f"{where}: {e.id}: gold answer {e.answer!r}: {why}" for e, why in bad[:3]]
            if len(bad) == len(examples) > 1 and all(is_letter(e.answer) for e, _ in bad):
                problems.append(f"{where}: these are option letters: set task.judge: {{type: choice}}")
            if len(bad) > 3:
                problems.append(f"{where}: ... and {len(bad) - 3} more gold answers that cannot be judged")
            shared: dict[str, list[str]] = {}
            for example in examples:
                other = seen.setdefault(normalised(example.question), split)
                if other != split:
                    shared.setdefault(other, []).append(example.question)
            for other, questions in shared.items():
                problems.append(
                    f"{self.where(split)}: {len(questions)} questions also appear in {self.where(other)}, such as "
                    f"{questions[0]!r}: splits must not share questions; separate them with rows, or use "
                    "{hold_out: N}"
                )
        if problems:
            raise DataError(*problems)

    def source_of(self, split: Split) -> Source:
        """The source of a split. Raises DataError if the recipe does not define it."""
        source: Source | None = getattr(self, split) if split in SPLITS else self.further.get(split)
        if source is None:
            raise DataError(
                f"{self.where(split)}: the recipe uses this split but does not define it; add {{generate: N}} or "
                "{file: my.jsonl}"
            )
        if source.hold_out is not None and split == "train":
            raise DataError("task.train: hold_out takes questions from train; give train a file or generate")
        return source

    @cached_property
    def _splits(self) -> Splits:
        return Splits(self)

    def __getstate__(self) -> dict[Any, Any]:
        """Leave out the examples: a worker gets the ones it needs separately from the task."""
        state = super().__getstate__()
        return state | {"__dict__": {k: v for k, v in state["__dict__"].items() if k != "_splits"}}
