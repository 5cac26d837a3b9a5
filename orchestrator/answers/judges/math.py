r"""The judge `math`: an expression that is worth the same is right, as math-verify sees it.

math-verify is imported when the first answer is judged. Its own time limits rest on SIGALRM, which does nothing outside
the main thread: they are off, and the whole judge runs in a process that can be killed.
"""

import logging
from typing import Any, ClassVar, Literal

from pydantic import Field

from orchestrator.answers.judges.base import BaseJudge, check_text, nothing_extracted
from orchestrator.types import FinishReason, Verdict

_MAX_CHARS = 2_000
"""No answer is longer; the grammar takes a stack frame for each bracket."""


class MathJudge(BaseJudge):
    r"""Right is an expression worth the same as the gold one: `\frac{1}{2}` for `0.5`, `x+1` for `1+x`."""

    guarded: ClassVar[bool] = True  # 9**9**9 is an expression

    type: Literal["math"] = "math"
    precision: int = Field(default=6, ge=0, le=15)
    """Decimals to which numbers are rounded before they are compared."""

    def judge(self, extracted: str | None, gold: str, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (no expression there), truncated (cut off before an answer) or error (bad gold)."""
        if extracted is None:
            return nothing_extracted(finish_reason)
        value = " ".join(extracted.split())
        found = _parse(value)
        if not found:
            return Verdict("unparsed")
        wanted = _parse(gold) if self.check_gold(gold) is None else []
        if not wanted:
            return Verdict("error", value)
        from math_verify import verify

        same = verify(wanted, found, float_rounding=self.precision, timeout_seconds=None)
        return Verdict("correct" if same else "wrong", value)

    def check_gold(self, answer: str) -> str | None:
        """Why this gold answer cannot be judged, None if it may be: it is not parsed here, where nothing ends it."""
        if problem := check_text(answer):
            return problem
        return None if len(answer) <= _MAX_CHARS else f"it is longer than {_MAX_CHARS} characters: shorten it"

    def prepare(self) -> None:
        """Import math-verify and SymPy, and let them build their tables: seconds, once."""
        logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its time limits are off
        self.judge(r"\frac{1}{2}", "0.5", "stop")


def _parse(text: str) -> list[Any]:
    """What math-verify reads in a text: the expression and how it was written; empty if there is none."""
    if len(text) > _MAX_CHARS:
        return []
    from math_verify import LatexExtractionConfig, parse

    # read as LaTeX alone: what math-verify does with plain expressions ends in SymPy's parse_expr, which is an eval
    latex = [LatexExtractionConfig(boxed_match_priority=0)]
    boxed: list[Any] = parse(f"\\boxed{{{text}}}", latex, parsing_timeout=None)
    return boxed or list(parse(text, latex, parsing_timeout=None))
