"""`evaluate`: every model answers the same questions, by greedy decoding or sampling, and is judged the same way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator

from orchestrator.sampling.completions import RESULTS_SCHEMA, SCHEMA, Tally, shards, whole_questions, writing
from orchestrator.sampling.draws import Draws
from orchestrator.sampling.strict_judge import too_strict
from orchestrator.schema import Fraction, Names, NonNegative, OneOrMore, Positive
from orchestrator.stages.base import Drawing, Kind
from orchestrator.stages.context import Context, Job, Output
from orchestrator.stages.drawing import WithoutRoom, Writing, readable, shard_jobs, silent, split_digest
from orchestrator.store.names import RESULTS, output_of
from orchestrator.store.tables import read_stored
from orchestrator.tasks import Task
from orchestrator.types import BASE, DataUsed, Finding

_SHOWN = 20
"""Answers in the table of samples."""


class Evaluate(Writing):
    """How every model is evaluated: on the same questions, prompted and judged in the same way.

    A recipe has one such block for all its models; a plan has one such stage for each model and split.
    """

    models: Names | None = None
    """The models to evaluate; default: the base model and every model that a stage makes."""
    on: str = "test"
    """The split that models are compared on."""
    also: Annotated[tuple[str, ...], OneOrMore] = ()
    """Further splits to evaluate every model on, each with its own figures, such as `longer/accuracy`."""
    n: Positive = 1
    """Answers per question; if there are several, accuracy is the share of all answers that are right (avg@n)."""
    temperature: NonNegative = 0.0
    """0: greedy decoding, with the same answer each time; above 0, answers are sampled as in a `sample` stage."""
    top_p: Fraction = 1.0
    """Nucleus sampling: only the most probable tokens, up to this total probability, are sampled from."""
    max_tokens: Positive = 512
    """Maximum tokens per answer; a completion cut off before its answer is complete counts as wrong."""
    batch_size: Positive = 256
    """Answers per generate call; also the size of a shard, the unit in which finished work is saved."""

    VERSION = 2
    LATER = Writing.LATER | {"n", "temperature", "top_p"}
    OUTPUT = RESULTS
    MAKES = Kind.RESULTS
    COUNTS = "questions"
    SPLITS: ClassVar[Mapping[str, str]] = {"on": "questions"}
    IDLE: ClassVar[Mapping[str, str]] = {
        **Writing.IDLE,
        "models": "each model has its own evaluation, whose key includes the model's",
        "also": "each split has its own evaluation",
    }

    @model_validator(mode="after")
    def _answers_may_differ(self) -> "Evaluate":
        if not self.temperature and self.n > 1:
            raise ValueError(
                f"n: the {self.n} answers to a question are all the same at temperature 0; set temperature, such as 0.6"
            )
        if not self.temperature and self.top_p < 1:
            raise ValueError("top_p changes nothing at temperature 0; set temperature, or leave top_p out")
        return self

    @property
    def verb(self) -> str:
        """Its name: it has its own block in a recipe, and no `type`."""
        return "evaluate"

    @property
    def counts(self) -> str:
        """Questions, or answers if each question has several."""
        return "answers" if self.n > 1 else self.COUNTS

    def leaves_out(self) -> Mapping[str, str]:
        """The seed, if decoding is greedy."""
        return {} if self.temperature else {"seed": "nothing is random"}

    def drawing(self) -> Drawing:
        """The drawing that its settings describe."""
        return Drawing(self.on, self.n, self.temperature, self.max_tokens, "evaluate.max_tokens", self.top_p)

    def items(self, task: Task) -> int:
        """The number of answers."""
        return len(task.examples(self.on)) * self.n

    def jobs(self, context: Context) -> list[Job]:
        """The jobs for the shards of answers."""
        return shard_jobs(context, self, self.drawing(), self.batch_size)

    def finish(self, context: Context) -> Output:
        """The table of results, and the metrics to compare models by; those of a further split carry its name."""
        examples = context.task.examples(self.on)
        columns: dict[str, pa.Array] = {
            "example_id": pa.array([e.id for e in examples], pa.string()),
            "question": pa.array([e.question for e in examples], pa.string()),
            "gold": pa.array([e.answer for e in examples], pa.string()),
        }
        schema = RESULTS_SCHEMA
        if any(example.data for example in examples):  # needed to judge them again
            columns["data"] = pa.array([str(e.data) for e in examples], pa.string())
            schema = schema.insert(len(columns) - 1, pa.field("data", pa.string()))
        if self.n > 1:
            schema = schema.insert(len(columns), SCHEMA.field("draw"))
        asked = pa.table(columns)
        name = output_of(RESULTS, context.also)
        path = context.output / name
        tally, shown, first = Tally(context.task.own_scores), None, ""
        without_room, draws = WithoutRoom(), Draws(self.n)
        with writing(path, schema) as out:
            for table in whole_questions(shards(context.work)):
                rows = asked.take(pc.index_in(table["example_id"], asked["example_id"]))
                for column in schema.names[rows.num_columns :]:
                    rows = rows.append_column(column, table[column])
                out.write_table(rows)
                tally.add(table)
                without_room.add(table)
                if self.n > 1:
                    draws.add(table)
                if shown is None:
                    shown, first = readable(table, examples, rows=_SHOWN), table["text"][0].as_py()
        counted, figure = tally.summary(), ""
        if self.n > 1:
            counted = counted.of_questions(draws.right / self.n)
            figure = f" over {self.n} answers each"
        metrics = counted.metrics() | (draws.metrics() if self.n > 1 else {})
        used = DataUsed(self.on, "evaluation", split_digest(context.task, self.on), name, counted.asked)
        figure = f"accuracy {counted.accuracy:.3f}{figure}"
        if context.also is not None:
            metrics = {f"{context.also}/{metric}": value for metric, value in metrics.items()}
        findings = without_room.findings(context) + (silent(context, counted, first) or _strict(context, path))
        return Output(figure, metrics, (used,), shown or [], findings, tokens=counted.tokens)

    @classmethod
    def amount(cls, settings: Mapping[str, str], known: Mapping[str, float]) -> float | None:
        """The number of answers."""
        return known["n"] * known.get("answers_per_question", 1.0) if "n" in known else None

    def countable(self, task: Task) -> Mapping[str, float]:
        """The number of questions, and of answers to each."""
        return {"n": len(task.examples(self.on)), "answers_per_question": self.n}


def _strict(context: Context, results: Path) -> tuple[Finding, ...]:
    """The finding for a trained model whose answers are found, but nearly all rejected by the judge."""
    task = context.task
    if context.model_name == BASE or task.own_verdict:
        return ()
    table = read_stored(results, ("value", "gold", "status"))
    columns = (table[name].to_pylist() for name in ("value", "gold", "status"))
    found = too_strict(context.model_name, task.judge.type, list(zip(*columns, strict=True)))
    return () if found is None else (found,)
