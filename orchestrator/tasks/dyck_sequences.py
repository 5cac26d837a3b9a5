"""Bracket sequences (Dyck words): a seeded generator of open ones with worked solutions, and a check of answers.

Knows nothing of models, files or training. A sequence always belongs to the same split, which is determined by a hash
of its brackets, so no split changes when another grows.
"""

import hashlib
import random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.answers.formats import AnswerFormat, MarkerFormat
from orchestrator.types import Example

Kind = Literal["()", "[]", "{}", "<>"]
KINDS: tuple[Kind, ...] = ("()", "[]", "{}", "<>")
CLOSING: dict[str, str] = {kind[0]: kind[1] for kind in KINDS}
OPENING: dict[str, str] = {closing: opening for opening, closing in CLOSING.items()}

VERSION = 2
"""Raise it whenever the same arguments would give different examples."""
LONGER = "longer"
"""The split whose sequences are longer than those of all others."""
SPLIT_SHARES: dict[str, range] = {
    "demonstrations": range(0, 2),
    "train": range(2, 5),
    "test": range(5, 7),
    "validation": range(7, 8),
    LONGER: range(0, 8),
}
"""Split -> its eighths of the hash range; `longer` has no length in common with the others, so it gets them all."""
ASKED = "Close the brackets.\n"
"""The sequence follows without spaces: tokenizers split isolated and adjacent brackets in the same way."""
MOST_MISSES = 20_000
"""Consecutive draws without a new sequence before the generator gives up."""
MOST_BRACKETS = 1000
_MARKER = MarkerFormat()

Count = Annotated[int, Field(ge=1, le=MOST_BRACKETS)]


class DyckSettings(BaseModel):
    """Difficulty of the sequences. A length is that of the open sequence, as it appears in the question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[Kind, ...] = Field(KINDS, min_length=1)
    """The pairs of brackets to use."""
    lengths: tuple[Count, Count] = (3, 8)
    """The minimum and maximum number of brackets. All numbers are equally likely, but balanced sequences and repeats
    are redrawn: as there are few short sequences, most of those in a large split are long."""
    longer: tuple[Count, Count] = (9, 12)
    """The same for the split `longer`: lengths that do not occur in training."""
    depth: Count = 4
    """The maximum number of brackets open at once, in every split."""

    @model_validator(mode="after")
    def _fits(self) -> "DyckSettings":
        if len(set(self.kinds)) < len(self.kinds):
            raise ValueError(f"kinds names a pair twice: {', '.join(self.kinds)}")
        for name, (fewest, most) in (("lengths", self.lengths), (LONGER, self.longer)):
            if fewest > most:
                raise ValueError(f"{name} is [fewest, most]: [{most}, {fewest}], not [{fewest}, {most}]")
            if self.depth == 1 and fewest == most and most % 2 == 0:
                raise ValueError(f"at depth 1 nothing is open after {most} brackets: add an odd number to {name}")
        if self.longer[0] <= self.lengths[1]:
            raise ValueError(
                f"longer begins at {self.longer[0]} brackets, but lengths goes up to {self.lengths[1]}: start it at "
                f"{self.lengths[1] + 1} or above"
            )
        return self


def spaced(sequence: str) -> str:
    """Brackets as written in answers: `( [ {`."""
    return " ".join(sequence)


def sequence_in(question: str) -> str:
    """The brackets at the end of a question, without white space; empty if there are none."""
    start = len(question)
    while start and (question[start - 1].isspace() or question[start - 1] in CLOSING | OPENING):
        start -= 1
    return "".join(question[start:].split())


def left_open(sequence: str) -> list[int]:
    """The positions, from 0, of the brackets left open. Linear time. ValueError: a bracket that does not fit."""
    stack: list[int] = []
    for place, bracket in enumerate(sequence):
        if bracket in CLOSING:
            stack.append(place)
        elif bracket not in OPENING:
            raise ValueError(f"{bracket!r} is not one of the brackets {' '.join(KINDS)}")
        elif not stack or sequence[stack[-1]] != OPENING[bracket]:
            last = f"the last one open is {sequence[stack[-1]]!r}" if stack else "none is open"
            raise ValueError(f"bracket {place + 1} is {bracket!r}, but {last}")
        else:
            stack.pop()
    return stack


def flaw(sequence: str, answer: str) -> str | None:
    """Why `answer` is not the shortest ending that balances `sequence`; None if it is. Linear in both.

    Each open bracket needs one closing bracket, so a balancing ending with exactly that many brackets is the shortest.
    It is the only one of that length, as the open brackets determine every position.
    """
    try:
        still = left_open(sequence)
    except ValueError as error:
        return f"the question's sequence cannot be closed: {error}"
    if not still:
        return "the question's sequence leaves nothing open"
    if answer.startswith(sequence):
        return f"the answer repeats the question's sequence: give only its end, {spaced(answer[len(sequence) :])!r}"
    try:
        after = left_open(sequence + answer)
    except ValueError as error:
        return f"the answer does not continue the sequence: {error}"
    if after:
        return f"the answer leaves {spaced(''.join((sequence + answer)[place] for place in after))!r} open"
    if len(answer) != len(still):
        return f"the answer has {len(answer)} brackets, but {len(still)} are enough"
    return None


def worked(sequence: str) -> tuple[str, str]:
    """The step-by-step solution of an open sequence, and the brackets that close it.

    Brackets are numbered as they are read, and the stack keeps the numbers, so that two of a kind can be told apart. It
    is written top first, so the text after a bracket is the same in every line, and the last line of the stack is
    already the closing order.
    """
    read = [f"{place}{bracket}" for place, bracket in enumerate(sequence, 1)]
    stack: list[str] = []
    lines = [f"# Thought 1: read {' '.join(read)}", "# Thought 2: stack, top first"]
    for numbered, bracket in zip(read, sequence, strict=True):
        if bracket in CLOSING:
            stack.append(numbered)
        else:
            stack.pop()
        lines.append(f"{numbered} {''.join(reversed(stack))}".rstrip())
    closing = "".join(CLOSING[numbered[-1]] for numbered in reversed(stack))
    pairs = " ".join(numbered + CLOSING[numbered[-1]] for numbered in reversed(stack))
    lines.append(f"# Thought 3: closing order {pairs}")
    lines += [f"# Step {place}: add '{bracket}'" for place, bracket in enumerate(closing, 1)]
    return "\n".join(lines), closing


def generate(
    split: str, n: int, seed: int, settings: DyckSettings, answer_format: AnswerFormat = _MARKER
) -> list[Example]:
    """Generate `n` distinct questions of a split, with answers and worked solutions. ValueError: too few exist."""
    if split not in SPLIT_SHARES:
        raise ValueError(f"unknown split {split!r}: sequences are divided among {', '.join(SPLIT_SHARES)}")
    rng = random.Random(f"dyck {split} {seed}")
    examples: list[Example] = []
    seen: set[str] = set()
    misses = 0
    while len(examples) < n:
        sequence = _draw(rng, settings, settings.longer if split == LONGER else settings.lengths)
        if sequence in seen or _eighth(sequence) not in SPLIT_SHARES[split]:
            misses += 1
            if misses > MOST_MISSES:
                raise ValueError(
                    f"only {len(examples)} of the {n} requested sequences could be generated for split {split!r}: ask "
                    "for fewer, or widen sequences (lengths, kinds, depth)"
                )
            continue
        misses = 0
        seen.add(sequence)
        reasoning, closing = worked(sequence)
        answer = spaced(closing)
        solution = answer_format.target_text(answer, reasoning)
        examples.append(Example(f"dyck-{split}-{len(examples)}", ASKED + sequence, answer, solution))
    return examples


def _draw(rng: random.Random, settings: DyckSettings, lengths: tuple[int, int]) -> str:
    """A sequence that leaves something open. Each position opens or closes with equal probability, within the depth."""
    while True:
        stack: list[str] = []
        sequence = ""
        for _ in range(rng.randint(*lengths)):
            if not stack or (len(stack) < settings.depth and rng.random() < 0.5):
                stack.append(rng.choice(settings.kinds)[0])
                sequence += stack[-1]
            else:
                sequence += CLOSING[stack.pop()]
        if stack:
            return sequence


def _eighth(sequence: str) -> int:
    """The eighth of the hash range that a sequence falls into."""
    return hashlib.sha256(sequence.encode()).digest()[0] % 8
