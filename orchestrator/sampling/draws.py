"""Statistics over the draws of each question: pass@k, maj@k, solved questions, identical draws.

Everything is counted one piece of whole questions at a time (`completions.whole_questions`). Knows no model.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestrator.sampling.same_draws import Groups


class Draws:
    """Counts n judged draws of each question."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._right: list[NDArray[np.int64]] = []
        self._majority: list[NDArray[np.float64]] = []
        self._identical = 0
        self._first: str | None = None

    def add(self, table: pa.Table) -> None:
        """Count these questions, each with all of its draws, in any order. Reads example_id, status, value, text.

        Raises:
            ValueError: not every question has n draws.
        """
        from orchestrator.stats.draws import majority_shares

        if not table.num_rows:
            return
        order = np.argsort(_numbers(table["example_id"]), kind="stable")
        by_question = (-1, self.n)
        right = pc.equal(table["status"], "correct").to_numpy()[order].reshape(by_question)
        self._right.append(right.sum(axis=1))
        self._majority.append(majority_shares(_numbers(table["value"])[order].reshape(by_question), right))
        texts = _numbers(table["text"])[order].reshape(by_question)
        self._identical += int((texts == texts[:, :1]).all(axis=1).sum())
        if self._first is None:
            self._first = table["text"][0].as_py()

    @property
    def right(self) -> NDArray[np.int64]:
        """Number of correct draws of each question."""
        return np.concatenate(self._right)

    def groups(self) -> Groups:
        """The number of questions, and of those whose draws all have the same text."""
        return Groups(len(self.right), self._identical, self.n, self._first or "")

    def metrics(self) -> dict[str, float]:
        """Coverage, pass@k for k = 1, 2, 4, ... and n, and maj@n.

        Answers are compared as parsed. MLflow allows no @ in metric names: `pass_at_4`, `maj_at_4`.
        """
        from orchestrator.stats import pass_at_k  # scipy is slow to load

        right, n = self.right, self.n
        ks = sorted({n, *(2**i for i in range(n.bit_length()) if 2**i < n)})
        found = {"coverage": float((right > 0).mean())} | {f"pass_at_{k}": pass_at_k(right, n, k) for k in ks}
        return found | ({f"maj_at_{n}": float(np.concatenate(self._majority).mean())} if n > 1 else {})


def _numbers(texts: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number for each text, the same for equal texts; -1 for null."""
    encoded = texts.combine_chunks().dictionary_encode()
    return np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
