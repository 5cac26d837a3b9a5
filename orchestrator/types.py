"""The basic types that modules exchange. Standard library only."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, Literal

Status = Literal["correct", "wrong", "unparsed", "truncated", "timeout", "error"]
FinishReason = Literal["stop", "length"]
Answer = str | int | float | Decimal | Fraction
"""The accepted types of a gold answer; it is stored as text."""
Severity = Literal["error", "warning", "info"]


def _plain_json(value: Any, where: str) -> Any:
    """A JSON value as dicts, lists and plain scalars; `where` is its path for the TypeError."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | int):
        return str(value) if isinstance(value, str) else int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain_json(item, f"{where}.{place}") for place, item in enumerate(value)]
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"a key{_inside(where)} is {odd[0]!r}, a {type(odd[0]).__name__}: JSON keys must be text")
        return {str(key): _plain_json(item, f"{where}.{key}") for key, item in value.items()}
    raise TypeError(f"{where.lstrip('.') or 'it'} is {value!r:.60}, a {type(value).__name__}, which JSON does not have")


def _inside(where: str) -> str:
    return f" in {where.lstrip('.')}" if where else ""


class JsonObject(Mapping[str, Any]):
    """An immutable JSON object: reading from it returns copies. Hashable; its keys are sorted.

    `str` returns canonical JSON.
    """

    __slots__ = ("_text",)

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        """Raises TypeError, with the path, for a value that JSON lacks; infinity and NaN are such values."""
        values = {} if values is None else values
        if not isinstance(values, Mapping):
            raise TypeError(f"a JSON object is a mapping, not {values!r:.60} ({type(values).__name__})")
        plain = _plain_json(values, "")
        self._text = json.dumps(plain, sort_keys=True, allow_nan=False, separators=(",", ":"))

    def plain(self) -> dict[str, Any]:
        """A copy as dicts and lists."""
        return dict(json.loads(self._text))

    def __getitem__(self, key: str) -> Any:
        return self.plain()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.plain())

    def __len__(self) -> int:
        return len(self.plain())

    def __bool__(self) -> bool:
        return self._text != "{}"

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, JsonObject) else super().__eq__(other)

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"JsonObject({self._text})"


NO_DATA = JsonObject()


@dataclass(frozen=True, slots=True, init=False)
class Example:
    """One question with its gold answer."""

    id: str
    question: str
    answer: str
    """Text as in the file: it is judged, trained on and stored with all its digits."""
    demonstration: str | None = None
    """The worked solution exactly as a model should write it, answer included; None: there is none."""
    data: JsonObject = NO_DATA
    """Data that a task judges by in addition to the gold answer; usually empty."""

    def __init__(
        self,
        id: str,
        question: str,
        answer: Answer,
        demonstration: str | None = None,
        data: Mapping[str, Any] = NO_DATA,
    ) -> None:
        """Store a numeric answer as text.

        Raises TypeError if the answer is neither text nor a number, or the data are not a JSON object.
        """
        for name, value in (("id", id), ("question", question), ("demonstration", demonstration)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "answer", answer_text(answer))
        object.__setattr__(self, "data", data if isinstance(data, JsonObject) else JsonObject(data))


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled completion of a model."""

    example_id: str
    draw: int
    text: str
    n_tokens: int
    """0 if not counted, as for text from a file."""
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True, init=False)
class Verdict:
    """The judgment of a completion."""

    status: Status
    value: str | None = None
    """The parsed answer as text; None if none was found."""
    why: str | None = field(default=None, compare=False)
    """Misbehavior of a task's own code: it raised, printed, or ended its process. Not stored with results."""
    score: float = 0.0
    """The completion's score from 0 to 1: 1 if correct, otherwise 0, unless the task assigns another."""

    def __init__(
        self, status: Status, value: str | None = None, why: str | None = None, score: float | None = None
    ) -> None:
        """Raises ValueError if the score is not a number from 0 to 1."""
        if score is None:
            score = 1.0 if status == "correct" else 0.0
        elif isinstance(score, bool) or not isinstance(score, Real) or not 0 <= (score := float(score)) <= 1:
            raise ValueError(f"a score is a number from 0 to 1, not {score!r}")
        _set_status(self, status)
        _set_value(self, value)
        _set_why(self, why)
        _set_score(self, score)


# every completion has a Verdict, and these take a third of the time of object.__setattr__
_set_status, _set_value, _set_why, _set_score = (
    Verdict.__dict__[name].__set__ for name in ("status", "value", "why", "score")
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of a health check."""

    check: str
    """The check's name in kebab case: `labels-masked`."""
    severity: Severity
    """`error`: the numbers are or would be wrong; `warning`: needs a look; `info`: good to know."""
    what: str
    """One sentence."""
    evidence: str
    """What was measured or observed; may have several lines."""
    cause: str
    """The most likely cause."""
    remedy: str
    """How to fix it."""


def answer_text(answer: Answer) -> str:
    """An answer as text: text unchanged, a number as the shortest text that parses back to the same number.

    Whole numbers have no decimal point: `42`. Magnitudes outside 1e-9 to 1e16 have an exponent: `1e20`. Raises
    TypeError if the answer is neither text nor a number.
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
    # `str` of a 32-bit NumPy number has only the digits of 32 bits
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
"""The name of the model a recipe starts from."""


@dataclass(frozen=True, slots=True)
class DataUsed:
    """A data set that a stage wrote or read, for MLflow's list of inputs."""

    name: str
    context: str
    """`training` or `evaluation`."""
    digest: str
    source: str
    rows: int
