"""The seeded generator of unit-conversion questions, with worked demonstrations.

Knows the unit table and nothing of models, files or training. A question always belongs to the same split, which is
determined by a hash of its content (the value and the two units, whatever the wording), so no question of one split is
a rewording of another's, and no split changes when another grows.
"""

import hashlib
import random
from fractions import Fraction

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.answers.formats import AnswerFormat, TagsFormat
from orchestrator.tasks.units_table import DIMENSIONS, UNITS, Dimension, Unit
from orchestrator.types import Example

_TAGS = TagsFormat()
VERSION = 2
"""Raise it whenever the same arguments would give different questions."""

SPLIT_SHARES: dict[str, range] = {
    "demonstrations": range(0, 2),
    "train": range(2, 5),
    "test": range(5, 7),
    "validation": range(7, 8),
}
"""Split -> its eighths of the hash range."""

PHRASINGS: tuple[str, ...] = (
    "{n} {a} in {b}?",
    "Give {n} {a} in {b}.",
    "Turn {n} {a} into {b}.",
    "Write {n} {a} as {b}.",
    "Work out {n} {a} in {b}.",
    "State {n} {a} using {b}.",
    "Switch {n} {a} over to {b}.",
    "Rewrite {n} {a} in units of {b}.",
    "How would you put {n} {a} in {b}?",
    "I have {n} {a}; what would that be in {b}?",
    "Suppose you are given {n} {a}. Report it in {b}.",
    "Could you tell me {n} {a} in {b}, please?",
    "Quick one: {n} {a}, how much in {b}?",
    "{n} {a} is the same as what number of {b}?",
    "If something measures {n} {a}, what does it read in {b}?",
    "What is the result of a conversion of {n} {a} to {b}?",
    "Please show {n} {a} as an equivalent in {b}.",
    "A label says {n} {a}, but someone needs it in {b}. What should it say?",
    "How many {b} do {n} {a} come to?",
    "How many {b} would you get out of {n} {a}?",
    "Find the number of {b} in {n} {a}.",
    "In {b}, what do {n} {a} amount to?",
    "What number of {b} matches {n} {a}?",
    "What would a measurement in {b} show for {n} {a}?",
    "Compute the {b} equal to {n} {a}.",
    "Help me get {b} from {n} {a}.",
    "Going from {a} to {b}, what do {n} units become?",
    "Change from {a} to {b}: {n} units.",
    "With {a} to start and {b} to end, what is the value for {n} units?",
    "Between {a} and {b}, how does one convert {n} of the first?",
    "From {a} to {b}, what is {n} worth?",
)

DIGITS = 4
"""Significant digits of factors and products in a demonstration."""
FRACTIONS = tuple(Fraction(t) for t in ("1/2", "1/4", "3/4", "1/5", "2/5", "1/8"))
MOST_MISSES = 20_000
"""Consecutive draws without a new question before the generator gives up."""
SMALLEST_ANSWER, LARGEST_ANSWER = 0.05, 1e7
"""Answers are judged to three decimals, so smaller ones would be judged on their rounding."""


class UnitSettings(BaseModel):
    """Difficulty of the questions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimensions: tuple[Dimension, ...] = Field(DIMENSIONS, min_length=1)
    """The kinds of units in the questions."""
    largest: int = Field(1000, ge=1, le=1_000_000)
    """Numbers are between 1 and this, with every order of magnitude equally likely."""
    decimals: float = Field(0.3, ge=0, le=1)
    """The share of numbers with a decimal point."""
    places: int = Field(2, ge=1, le=4)
    """Maximum number of digits after the point."""
    fractions: float = Field(0.03, ge=0, le=1)
    """The share of numbers written as a fraction, such as 3/4 or 2 1/2."""
    separators: float = Field(0.5, ge=0, le=1)
    """The share of numbers from 1,000 up that have thousands separators."""
    smallest_factor: float = Field(1e-3, gt=0)
    """Pairs of units with a smaller factor are left out."""
    largest_factor: float = Field(1e5, gt=0)
    """Pairs of units with a larger factor are left out."""

    @model_validator(mode="after")
    def _shares_fit(self) -> "UnitSettings":
        if self.decimals + self.fractions > 1:
            raise ValueError(
                f"decimals ({self.decimals}) and fractions ({self.fractions}) are shares: together at most 1"
            )
        if not pairs(self):
            raise ValueError(
                f"no two units of {', '.join(self.dimensions)} have a factor between "
                f"{self.smallest_factor:g} and {self.largest_factor:g}: widen the range"
            )
        return self


def plain(value: float) -> str:
    """A number in plain decimals, rounded to four significant digits: 20870, 0.6214, 420."""
    text = f"{float(f'{value:.{DIGITS}g}'):.12f}"
    return text.rstrip("0").rstrip(".")


def working(number: str, source: str, target: str, factor: float) -> tuple[str, str]:
    """The worked conversion of a plain number, and its result: number and units first, then factor and product."""
    shown = plain(factor)
    result = plain(float(number) * float(shown))
    return f"{number} {source} to {target}: 1 {source} = {shown} {target}. {number} * {shown} = {result}", result


def pairs(settings: UnitSettings) -> list[tuple[Unit, Unit]]:
    """The pairs of distinct units that the settings allow, in table order."""
    return [
        (a, b)
        for a in UNITS
        for b in UNITS
        if a is not b
        and a.dimension == b.dimension
        and a.dimension in settings.dimensions
        and settings.smallest_factor <= a.factor / b.factor <= settings.largest_factor
    ]


def generate(
    split: str, n: int, seed: int, settings: UnitSettings, answer_format: AnswerFormat = _TAGS
) -> list[Example]:
    """Generate `n` distinct questions of a split, with exact answers and demonstrations. ValueError: too few exist."""
    if split not in SPLIT_SHARES:
        raise ValueError(f"unknown split {split!r}: questions are divided among {', '.join(SPLIT_SHARES)}")
    rng = random.Random(f"units {split} {seed}")
    allowed = pairs(settings)
    by_dimension = [[p for p in allowed if p[0].dimension == d] for d in dict.fromkeys(a.dimension for a, _ in allowed)]
    examples: list[Example] = []
    seen: set[str] = set()
    misses = 0
    while len(examples) < n:
        a, b = rng.choice(rng.choice(by_dimension))
        written, number = _number(rng, settings)
        source, target = rng.choice(a.spellings), rng.choice(b.spellings)
        question = rng.choice(PHRASINGS).format(n=written, a=source, b=target)
        ratio = a.factor / b.factor
        answer = float(f"{float(number) * ratio:.12g}")  # 60, not the 59.99999999999999 of floats
        if (
            question in seen
            or not SMALLEST_ANSWER <= answer <= LARGEST_ANSWER
            or _eighth(number, a, b) not in SPLIT_SHARES[split]
        ):
            misses += 1
            if misses > MOST_MISSES:
                raise ValueError(
                    f"only {len(examples)} of the {n} requested questions could be generated for split {split!r}: "
                    "ask for fewer, or widen the settings (largest, decimals, dimensions)"
                )
            continue
        misses = 0
        seen.add(question)
        worked, result = working(number, source, target, ratio)
        demonstration = answer_format.target_text(result, worked)
        examples.append(Example(f"units-{split}-{len(examples)}", question, answer, demonstration))
    return examples


def _eighth(number: str, a: Unit, b: Unit) -> int:
    """The eighth of the hash range that a question falls into, whatever its wording or spelling."""
    return hashlib.sha256(f"{number} {a.name} {b.name}".encode()).digest()[0] % 8


def _number(rng: random.Random, settings: UnitSettings) -> tuple[str, str]:
    """A number as people write it, and the same number in plain decimals."""
    kind = rng.random()
    size = settings.largest ** rng.random()
    if kind < settings.decimals:
        number = plain_decimal(size, rng.randint(1, settings.places))
        return _separated(rng, number, settings), number
    if kind < settings.decimals + settings.fractions:
        whole = rng.choice((0, 0, 1, 2, 3, rng.randint(4, 12)))
        whole = whole if whole < settings.largest else 0
        part = rng.choice(FRACTIONS)
        return f"{whole} {part}" if whole else str(part), plain(whole + float(part))
    number = str(round(size))
    return _separated(rng, number, settings), number


def plain_decimal(value: float, places: int) -> str:
    """A number with a decimal point and at most `places` digits after it, without trailing zeros: 3.5, 12.25."""
    text = f"{value:.{places}f}".rstrip("0")
    return text if not text.endswith(".") else text + "5"


def _separated(rng: random.Random, number: str, settings: UnitSettings) -> str:
    """The number, with thousands separators at the rate set."""
    if float(number) < 1000 or rng.random() >= settings.separators:
        return number
    whole, point, rest = number.partition(".")
    return f"{int(whole):,}{point}{rest}"
