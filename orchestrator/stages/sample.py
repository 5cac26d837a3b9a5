"""`sample`: draw n completions for every question; all are kept, each with its verdict."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import pyarrow.compute as pc
from pydantic import model_validator

from orchestrator.sampling.audit import Audit
from orchestrator.sampling.budget import DrawBudget
from orchestrator.sampling.completions import SCHEMA, Tally, shards, whole_questions, writing
from orchestrator.sampling.draws import Draws
from orchestrator.sampling.same_draws import sampling_finding
from orchestrator.schema import Fraction, Positive, PositiveFloat
from orchestrator.stages.base import Drawing, Kind
from orchestrator.stages.context import Context, Job, Output
from orchestrator.stages.drawing import WithoutRoom, Writing, digest, readable, shard_jobs, silent
from orchestrator.store.names import COMPLETIONS
from orchestrator.tasks import Task
from orchestrator.types import DataUsed

_SHOWN = 40
"""Draws in the table of samples."""


class Sample(Writing):
    """Draw completions from a model; all are kept, each with its verdict."""

    type: Literal["sample"]
    model: str
    """The model to sample from: `base`, or a stage that makes a model."""
    prompts: Literal["train", "demonstrations"] = "train"
    """The split that provides the questions."""
    n: Positive = 8
    """Completions per question; with a `budget`, the upper limit of their average over all questions."""
    budget: DrawBudget | None = None
    """Spread the draws by difficulty: few for a question that is solved at once, many for one that hardly ever is."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature, by which the logits are divided: above 1 draws vary more, below 1 less."""
    top_p: Fraction = 1.0
    """Nucleus sampling: only the most probable tokens, up to this total probability, are sampled from."""
    max_tokens: Positive = 512
    """Maximum tokens per completion."""
    batch_size: Positive = 256
    """Completions per generate call; also the size of a shard, the unit in which finished work is saved."""

    VERSION = 2
    LATER = Writing.LATER | {"budget"}
    OUTPUT = COMPLETIONS
    MAKES = Kind.COMPLETIONS
    COUNTS = "draws"
    REFERENCES: ClassVar[Mapping[str, Kind]] = {"model": Kind.MODEL}
    SPLITS: ClassVar[Mapping[str, str]] = {"prompts": "prompts"}

    @model_validator(mode="after")
    def _fits(self) -> "Sample":
        if self.budget is not None and not self.budget.min_draws <= self.n <= self.budget.max_draws:
            raise ValueError(
                f"n is {self.n}, the upper limit of the average draws per question: with a budget, it must be from "
                f"min_draws = {self.budget.min_draws} to max_draws = {self.budget.max_draws}"
            )
        return self

    def drawing(self) -> Drawing:
        """The drawing that its settings describe."""
        how = (self.temperature, self.max_tokens, "max_tokens", self.top_p)
        return Drawing(self.prompts, self.n, *how, budget=self.budget)

    def items(self, task: Task) -> int:
        """The number of draws."""
        return len(task.examples(self.prompts)) * self.n

    def jobs(self, context: Context) -> list[Job]:
        """Jobs of one shard or a few: many narrow workers draw faster than a few wide ones."""
        return shard_jobs(context, self, self.drawing(), self.batch_size)

    def finish(self, context: Context) -> Output:
        """Write completions.parquet; the metrics describe draws, so none of them is called accuracy."""
        examples = context.task.examples(self.prompts)
        path = context.output / COMPLETIONS
        tally, shown, first = Tally(context.task.own_scores), None, ""
        # with a budget, only the first draws of a question are made whatever their outcome
        draws = Draws(self.n if self.budget is None else self.budget.min_draws)
        solved, without_room = 0, WithoutRoom()
        audit = Audit({} if context.task.own_verdict else {e.id: str(e.answer) for e in examples})
        with writing(path, SCHEMA) as out:
            for table in whole_questions(shards(context.work)):
                out.write_table(table)
                tally.add(table)
                without_room.add(table)
                audit.add(table)
                draws.add(table.filter(pc.less(table["draw"], draws.n)))
                solved += pc.count_distinct(table.filter(pc.equal(table["status"], "correct"))["example_id"]).as_py()
                if shown is None:
                    shown, first = readable(table, examples, rows=_SHOWN), table["text"][0].as_py()
        counted, groups = tally.summary(), draws.groups()
        metrics = {
            "draws": counted.n,
            "pass_rate": counted.accuracy,
            "sampling/answer_rate": counted.answer_rate,
            "tokens_per_completion": counted.tokens_per_completion or 0.0,
        }
        if counted.mean_score is not None:
            metrics["sampling/mean_score"] = counted.mean_score
        metrics |= {k: v for k, v in counted.metrics().items() if k.startswith("status/")} | draws.metrics()
        figure = f"{counted.accuracy:.0%} of {counted.n:,} draws correct"
        if self.budget is not None:
            asked = len(draws.right)
            metrics |= {"pass_rate": metrics["pass_at_1"], "coverage": solved / asked}
            metrics["draws_per_question"] = counted.n / asked
            figure = f"{solved:,} of {asked:,} questions solved in {counted.n:,} draws"
        used = DataUsed(context.name, "sampling", digest(path), COMPLETIONS, counted.n)
        alike = sampling_finding(groups, counted.accuracy, self.temperature)
        findings = (*without_room.findings(context), *silent(context, counted, first))
        findings += (*(() if alike is None else (alike,)), *audit.findings())
        return Output(figure, metrics, (used,), shown or [], findings, tokens=counted.tokens)

    @classmethod
    def amount(cls, settings: Mapping[str, str], known: Mapping[str, float]) -> float | None:
        """The number of draws."""
        return known.get("draws")

    def countable(self, task: Task) -> Mapping[str, float]:
        """The number of draws."""
        return {"draws": self.items(task)}
