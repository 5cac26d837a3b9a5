"""The training text of the embedded base model: generated prose on units, factors and arithmetic, and some copying.

Every text can only be continued by using what precedes it: the number and the units come first, in one of many
wordings, and the working follows. The corpus must never contain a question of the units task or a tag such as
`<answer>`; a test checks a large sample for both. Knows the unit table, but nothing of models or training.
"""

import random
from collections.abc import Iterator

from orchestrator.tasks.units_questions import UnitSettings, pairs, plain, plain_decimal, working
from orchestrator.tasks.units_table import Unit

READ_PAIRS = UnitSettings(smallest_factor=1e-4, largest_factor=1e6)
"""A little wider than the task's defaults, so that a user's harder settings are not entirely unfamiliar."""

OPENINGS: tuple[str, ...] = (
    "{n} {a} to {b}:",
    "Given {n} {a}, wanted {b}.",
    "Known: {n} {a}. Sought: {b}.",
    "The log has {n} {a}; the chart is kept in {b}.",
    "Entry {n} {a}, column {b}.",
    "The old sheet said {n} {a} and the new one is ruled in {b}.",
    "[{a} -> {b}] {n}",
    "unit {a}, target {b}, quantity {n};",
    "Our rule for {a} and {b} was tried on {n}.",
    "Table of {b} against {a}, row {n}.",
    "The {b} column was empty, though {n} {a} stood beside it.",
    "{b} were asked for, {n} {a} delivered.",
    "Its gauge counts {b}. The reading was {n} {a}.",
    "She had {n} {a}, he thinks in {b}.",
    "A clerk took {n} {a} down and had to enter {b}.",
    "Let x = {n} {a}. Then x is found in {b}.",
    "({n} {a}) / (1 {b}) is needed here.",
    "First {a}, then {b}; the figure is {n}.",
    "{b} <- {n} {a}",
    "Note {n} {a}, later read as {b}.",
    "An example with {n} {a} and the unit {b}.",
    "No {b} are given, but {n} {a} are.",
)
CLOSINGS: tuple[str, ...] = (
    "So {n} {a} = {r} {b}.",
    "The result is {r}.",
    "The answer is {r} {b}.",
    "({r} {b})",
    "answer: {r}",
    "Thus {r} {b}, that is {n} {a}.",
)
FACTS: tuple[str, ...] = (
    "1 {a} = {f} {b}",
    "1 {a} is {f} {b}",
    "one {a} holds {f} {b}",
    "{a} -> {b}: times {f}",
    "{f} {b} to the {a}",
)
COMMON_WORDS = """
answer apple average bag between boat book bread bridge brown carry change chart city clear cloud come compute convert
corn count cross day deep equal equivalent express far field find first fish flour fold for found from garden get give
glass go gold green half have heavy help hill house into item label leave letter level light line list long mark match
mean measure measured measurement meet mill more move much name near need north number old one open order other over
paper part path per place plain plate please point port provide put quantity quick rain read result river road rope
salt same sand scale second send ship show side small snow some stand start state stone store sum switch table take
tell term terms than that the them then there this three time translate tree turn two unit units use using value wall
want water way weigh well what when which wide will wind with wood word work worth would write yard year yes you
"""
WORDS: tuple[str, ...] = tuple(COMMON_WORDS.split())
Mix = tuple[int, int, int, int]
FIRST_MIX: Mix = (62, 18, 12, 8)
SECOND_MIX: Mix = (30, 60, 5, 5)
"""Shares of conversions, products, facts and copying: first to learn to read and copy, then mostly to multiply."""


def documents(seed: int, mix: Mix = FIRST_MIX) -> Iterator[str]:
    """An endless stream of short texts, the same for the same seed and mix."""
    rng = random.Random(f"corpus {seed}")
    allowed = pairs(READ_PAIRS)
    dimensions = list(dict.fromkeys(a.dimension for a, _ in allowed))
    groups = [[p for p in allowed if p[0].dimension == d] for d in dimensions]
    kinds = (_conversion, _products, _facts, _copying)
    while True:
        (kind,) = rng.choices(kinds, mix)
        yield kind(rng, groups)


Groups = list[list[tuple[Unit, Unit]]]


def _draw_units(rng: random.Random, groups: Groups) -> tuple[str, str, float]:
    """Two spellings of one dimension and the factor between them; large dimensions are a little more frequent."""
    (group,) = rng.choices(groups, [len(g) ** 0.5 for g in groups])
    a, b = rng.choice(group)
    return rng.choice(a.spellings), rng.choice(b.spellings), a.factor / b.factor


def _draw_number(rng: random.Random) -> str:
    """A plain number of one to five digits, all lengths about equally likely, small whole numbers a little more so."""
    kind = rng.random()
    if kind < 0.2:
        return str(rng.randint(1, 12))
    size = 10 ** (rng.random() * 3.5)
    if kind < 0.6:
        return str(round(size))
    return plain_decimal(size, rng.choice((1, 1, 2, 2, 3)))


def _written(rng: random.Random, number: str) -> str:
    """The number with thousands separators, as people often write it."""
    if float(number) < 1000 or rng.random() < 0.5:
        return number
    whole, point, rest = number.partition(".")
    return f"{int(whole):,}{point}{rest}"


def _conversion(rng: random.Random, groups: Groups) -> str:
    """Number and units in some wording, then the working, then perhaps the result."""
    a, b, factor = _draw_units(rng, groups)
    number, opening = _draw_number(rng), rng.choice(OPENINGS)
    if rng.random() < 0.05:
        part, number = rng.choice((("1/2", "0.5"), ("1/4", "0.25"), ("3/4", "0.75"), ("1/5", "0.2"), ("1/8", "0.125")))
        text = opening.format(n=part, a=a, b=b)
    else:
        text = opening.format(n=_written(rng, number), a=a, b=b)
    worked, result = working(number, a, b, factor)
    if opening == OPENINGS[0] and text == worked[: len(text)]:
        text = worked
    else:
        text = f"{text}{rng.choice((' ', chr(10)))}{worked}"
    if rng.random() < 0.5:
        text += " " + rng.choice(CLOSINGS).format(n=number, a=a, b=b, r=result)
    return text


def _products(rng: random.Random, groups: Groups) -> str:
    """A few products, most of them by a factor from the table."""
    lines = []
    for _ in range(rng.randint(2, 5)):
        x = _draw_number(rng)
        y = plain(_draw_units(rng, groups)[2]) if rng.random() < 0.7 else _draw_number(rng)
        product = plain(float(x) * float(y))
        if float(product) > 0:
            lines.append(f"{x} * {y} = {product}")
    return rng.choice((". ", "; ", "\n")).join(lines)


def _facts(rng: random.Random, groups: Groups) -> str:
    """A few factors in a row."""
    lines = []
    for _ in range(rng.randint(2, 5)):
        a, b, factor = _draw_units(rng, groups)
        lines.append(rng.choice(FACTS).format(a=a, b=b, f=plain(factor)))
    return rng.choice((". ", "; ", "\n")).join(lines)


def _copying(rng: random.Random, groups: Groups) -> str:
    """A row of words or symbols, followed by the same row, its reverse, or its last and first items."""
    if rng.random() < 0.5:
        row = [rng.choice("()[]{}<>+-*/=#.,:;?!abcdefgxyz") for _ in range(rng.randint(2, 12))]
    else:
        row = [w.capitalize() if rng.random() < 0.2 else w for w in rng.choices(WORDS, k=rng.randint(2, 8))]
    first = " ".join(row)
    kind = rng.randrange(3)
    if kind == 0:
        return f"{first} | again {first}"
    if kind == 1:
        return f"{first} | back {' '.join(reversed(row))}"
    return f"{first} | last {row[-1]} first {row[0]}"
