"""The nouns that flow between the parts. Standard library only."""

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from typing import Literal

Status = Literal["correct", "wrong", "unparsed", "truncated", "timeout", "error"]
FinishReason = Literal["stop", "length"]
Answer = str | int | float | Decimal | Fraction
"""What a gold answer may be given as; it is kept as text."""
Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True, init=False)
class Example:
    """One question with its gold answer."""

    id: str
    question: str
    answer: str
    """Text, as it stands in the file: it is judged, trained on and stored with all its digits."""
    demonstration: str | None = None
    """The worked solution exactly as a model should write it, answer included; None: questions and answers only."""

    def __init__(self, id: str, question: str, answer: Answer, demonstration: str | None = None) -> None:
        """A number as the answer becomes its text. Raises TypeError where it is neither text nor a number."""
        for name, value in (("id", id), ("question", question), ("demonstration", demonstration)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "answer", answer_text(answer))


@dataclass(frozen=True, slots=True)
class Completion:
    """One draw from a model."""

    example_id: str
    draw: int
    text: str
    n_tokens: int
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a completion."""

    status: Status
    value: str | None = None
    """The parsed answer as text, None where none was found."""
    why: str | None = field(default=None, compare=False)
    """What a task's own code did that it should not: it raised, printed, ended its process. Not kept with results."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a health check found."""

    check: str
    """Which check, in kebab case: `labels-masked`."""
    severity: Severity
    """`error`: the numbers would be, or are, wrong; `warning`: look at it; `info`: good to know."""
    what: str
    """One sentence."""
    evidence: str
    """What was measured or seen; may have several lines."""
    cause: str
    """The most likely one."""
    remedy: str
    """What to do."""


def answer_text(answer: Answer) -> str:
    """An answer as text: text as it is, a number as the shortest text that is read back as the same number.

    Whole numbers stand without a point: `42`. Sizes outside 1e-9 to 1e16 are written with an exponent: `1e20`. Raises
    TypeError where it is neither text nor a number.
    """
    if isinstance(answer, str):
        return answer
    if isinstance(answer, Fraction):
        return str(answer)
    if isinstance(answer, Decimal):
        return _decimal_text(answer)
    if isinstance(answer, bool) or not isinstance(answer, Real):
        raise TypeError(f"a gold answer is text or a number, not {answer!r} ({type(answer).__name__})")
    if isinstance(answer, Integral):
        return str(int(answer))
    # `str` of a NumPy number of 32 bits has the digits of 32 bits
    return _decimal_text(Decimal(float.__repr__(answer) if isinstance(answer, float) else str(answer)))


def _decimal_text(number: Decimal) -> str:
    if not number.is_finite():
        return str(float(number))
    if number == 0:
        return "0"
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    written = "".join(map(str, digits)).lstrip("0")
    kept = written.rstrip("0")
    exponent += len(written) - len(kept)
    sign = "-" if number < 0 else ""
    size = len(kept) + exponent - 1
    if -9 <= size < 16:
        return f"{sign}{Decimal((0, tuple(map(int, kept)), exponent)):f}"
    mantissa = kept[0] + (f".{kept[1:]}" if len(kept) > 1 else "")
    return f"{sign}{mantissa}e{size}"


BASE = "base"
"""The name of the model that a recipe starts from."""


@dataclass(frozen=True, slots=True)
class DataUsed:
    """A data set that a stage made or read, for MLflow's list of inputs."""

    name: str
    context: str
    """`training` or `evaluation`."""
    digest: str
    source: str
    rows: int
