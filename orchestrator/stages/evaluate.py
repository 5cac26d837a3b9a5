"""`evaluate`: every model answers the same questions greedily and is judged the same way."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BeforeValidator

from orchestrator.sampling.engines import EngineName
from orchestrator.schema import Names, Positive, as_tuple
from orchestrator.stages.base import Drawing, Kind, Verb
from orchestrator.stages.context import Context, Job, Output
from orchestrator.stages.drawing import count, gather, readable, scores, shard_jobs, silent, split_digest
from orchestrator.store.names import RESULTS, output_of
from orchestrator.tasks import Task
from orchestrator.types import DataUsed


class Evaluate(Verb):
    """How every model is evaluated: greedily, on the same questions, with the same judge.

    A recipe has one such block for all of its models; a plan has a stage of it for each model and split.
    """

    models: Names | None = None
    """Default: the base model and every model that a stage makes."""
    on: str = "test"
    """The split that models are compared on."""
    also: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Further splits that every model is asked, each with figures of its own: `longer/accuracy`."""
    max_tokens: Positive = 512
    batch_size: Positive = 256
    engine: EngineName = "transformers"

    VERSION = 2
    OUTPUT = RESULTS
    MAKES = Kind.RESULTS
    SPLITS: ClassVar[Mapping[str, str]] = {"on": "questions"}
    IDLE: ClassVar[Mapping[str, str]] = {
        **Verb.IDLE,
        "models": "each model has an evaluation of its own, whose key holds the model's",
        "also": "each split has an evaluation of its own",
    }

    @property
    def verb(self) -> str:
        """It has a block of its own in a recipe, and no `type`."""
        return "evaluate"

    def leaves_out(self) -> Mapping[str, str]:
        """Answers are greedy."""
        return {"seed": "nothing is left to chance"}

    def drawing(self) -> Drawing:
        """Greedily."""
        return Drawing(self.on, 1, 0.0, self.max_tokens, "evaluate.max_tokens")

    def jobs(self, context: Context) -> list[Job]:
        """One job per shard of questions."""
        return shard_jobs(context, self.drawing(), self.batch_size, self.engine)

    def finish(self, context: Context) -> Output:
        """The table of results, and the metrics that make models comparable; a further split's carry its name."""
        examples = context.task.examples(self.on)
        table = gather(context.work)
        by_id = {e.id: e for e in examples}
        ids = table["example_id"].to_pylist()
        columns = {
            "example_id": ids,
            "question": [by_id[i].question for i in ids],
            "gold": [by_id[i].answer for i in ids],
            "text": table["text"],
            "value": table["value"],
            "status": table["status"],
            "n_tokens": table["n_tokens"],
            "finish_reason": table["finish_reason"],
            "score": pa.array(scores(table), pa.float32()),
        }
        if any(example.data for example in examples):  # for whoever judges them again
            columns["data"] = [str(by_id[i].data) for i in ids]
        name = output_of(RESULTS, context.also)
        path = context.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)
        metrics = count(table, context.task.own_scores)
        used = DataUsed(self.on, "evaluation", split_digest(context.task, self.on), name, table.num_rows)
        shown = readable(table, examples, rows=20)
        figure = f"accuracy {metrics['accuracy']:.3f}"
        if context.also is not None:
            metrics = {f"{context.also}/{metric}": value for metric, value in metrics.items()}
        tokens = sum(table["n_tokens"].to_pylist())
        return Output(figure, metrics, (used,), shown, silent(context, table, examples), tokens=tokens)

    @classmethod
    def amount(cls, settings: Mapping[str, str], known: Mapping[str, float]) -> float | None:
        """Questions."""
        return known.get("n")

    def countable(self, task: Task) -> Mapping[str, float]:
        """The questions."""
        return {"n": len(task.examples(self.on))}
