"""`sample`: draw n completions for every question; all of them are kept, each with its verdict."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orchestrator.sampling.engines import EngineName
from orchestrator.sampling.same_draws import sampling_finding
from orchestrator.schema import Fraction, Positive, PositiveFloat
from orchestrator.stages.base import Drawing, Kind, Verb
from orchestrator.stages.context import Context, Job, Output
from orchestrator.stages.drawing import count, digest, gather, readable, shard_jobs, silent
from orchestrator.store.names import COMPLETIONS
from orchestrator.tasks import Task
from orchestrator.types import DataUsed, Finding


class Sample(Verb):
    """Draw completions from a model; all of them are kept, each with its verdict."""

    type: Literal["sample"]
    model: str
    prompts: Literal["train", "demonstrations"] = "train"
    n: Positive = 8
    temperature: PositiveFloat = 1.0
    top_p: Fraction = 1.0
    max_tokens: Positive = 512
    batch_size: Positive = 256
    """Rows in one generate call; also the size of a shard, the unit of work that is never lost."""
    engine: EngineName = "transformers"

    VERSION = 2
    OUTPUT = COMPLETIONS
    MAKES = Kind.COMPLETIONS
    REFERENCES: ClassVar[Mapping[str, Kind]] = {"model": Kind.MODEL}
    SPLITS: ClassVar[Mapping[str, str]] = {"prompts": "prompts"}

    def drawing(self) -> Drawing:
        """As its settings say."""
        return Drawing(self.prompts, self.n, self.temperature, self.max_tokens, "max_tokens", self.top_p)

    def jobs(self, context: Context) -> list[Job]:
        """One job per shard: many narrow workers draw faster than few wide ones."""
        return shard_jobs(context, self.drawing(), self.batch_size, self.engine)

    def finish(self, context: Context) -> Output:
        """completions.parquet; the metrics describe draws, so none of them is called accuracy."""
        examples = context.task.examples(self.prompts)
        table = gather(context.work)
        context.output.mkdir(exist_ok=True)
        path = context.output / COMPLETIONS
        pq.write_table(table, path)
        counted = count(table, context.task.own_scores)
        statuses = table.select(["example_id", "status"]).to_pylist()
        solved = {row["example_id"] for row in statuses if row["status"] == "correct"}
        metrics = {
            "draws": counted["n"],
            "pass_rate": counted["accuracy"],
            "sampling/answer_rate": counted["answer_rate"],
            "coverage": len(solved) / len(examples),
            "tokens_per_completion": counted["tokens_per_completion"],
        } | {k: v for k, v in counted.items() if k.startswith("status/")}
        if "mean_score" in counted:
            metrics["sampling/mean_score"] = counted["mean_score"]
        metrics |= of_k(table, self.n)
        used = DataUsed(context.name, "sampling", digest(path), COMPLETIONS, table.num_rows)
        figure = f"{counted['accuracy']:.0%} of {table.num_rows:,} draws correct"
        shown, tokens = readable(table, examples, rows=40), sum(table["n_tokens"].to_pylist())
        findings = *silent(context, table), *alike(table, self.temperature, counted["accuracy"])
        return Output(figure, metrics, (used,), shown, findings, tokens=tokens)

    @classmethod
    def amount(cls, settings: Mapping[str, str], known: Mapping[str, float]) -> float | None:
        """Draws."""
        return known.get("draws")

    def countable(self, task: Task) -> Mapping[str, float]:
        """The draws."""
        return {"draws": len(task.examples(self.prompts)) * self.n}


def alike(table: pa.Table, temperature: float, correct: float) -> tuple[Finding, ...]:
    """The finding for draws of a question that are all the same."""
    texts: dict[str, list[str]] = {}
    for example, text in zip(table["example_id"].to_pylist(), table["text"].to_pylist(), strict=True):
        texts.setdefault(example, []).append(text)
    finding = sampling_finding(list(texts.values()), correct, temperature)
    return () if finding is None else (finding,)


def of_k(table: pa.Table, n: int) -> dict[str, float]:
    """pass@k for k = 1, 2, 4, ... and n, and maj@n, of n judged draws for each question.

    Answers are equal as they were parsed. MLflow's names of metrics have no @: `pass_at_4`, `maj_at_4`.
    """
    from orchestrator.stats import majority_at_k, pass_at_k  # scipy takes its time to load

    order = np.argsort(_numbered(table["example_id"]), kind="stable")
    right = (np.array(table["status"].to_pylist(), dtype=object) == "correct")[order].reshape(-1, n)
    numbers = _numbered(table["value"])[order].reshape(-1, n)
    ks = sorted({n, *(2**i for i in range(n.bit_length()) if 2**i < n)})
    found = {f"pass_at_{k}": pass_at_k(right.sum(axis=1), n, k) for k in ks}
    return found | ({f"maj_at_{n}": majority_at_k(numbers, right)} if n > 1 else {})


def _numbered(texts: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number for each text, the same for equal ones; -1 where there is none.

    Not `np.unique`: an array of texts takes as much memory for each as for the longest.
    """
    known: dict[str, int] = {}
    return np.array([-1 if t is None else known.setdefault(t, len(known)) for t in texts.to_pylist()], dtype=np.int64)
