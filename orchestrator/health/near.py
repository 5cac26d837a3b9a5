"""Short questions that are almost the same: they differ only at their ends, by an insertion, or in one number.

Long questions are compared by runs of words (overlap.py); these are too short for that. Must not know about splits.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.types import Example

_LONGEST = 16
"""Number of words up to which a question with one changed word may have no run of eight unchanged ones."""
_SHORTEST = 3
"""Number of words that two questions must share."""
_CUT = 6
"""Number of extra words allowed before or after them."""
_PATTERN = 3
"""Number of questions with the same words up to which they are not a pattern of the data."""
_COMMON = 0.05
"""A gold answer of a larger share of the questions may be shared by chance."""

_CHARACTER = re.compile(r"[\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Near:
    """The questions that have a double, by the kind of change."""

    around: tuple[tuple[Example, Example], ...]
    """The same words and gold answer, with other words before or after them."""
    inside: tuple[tuple[Example, Example], ...]
    """The same characters and gold answer, with others inserted among them, in scripts without spaces."""
    number: tuple[tuple[Example, Example], ...]
    """The same words with one number changed, in data that does not consist of a few patterns."""
    pattern: tuple[tuple[Example, Example], ...]
    """The same, if most questions follow a few patterns and differ only in their numbers."""


def near(asked: Sequence[tuple[Example, Words]], known: Sequence[tuple[Example, Words]]) -> Near:
    """The questions of `asked` that occur in `known` almost word for word, each with its double."""
    asked, known = (
        [(e, words) for e, words in side if len(words) <= (_LONGEST + _CUT) * _scale(words)] for side in (asked, known)
    )
    around = list(_around(asked, known))
    found = {example.id for example, _ in around}
    inside = list(_inside([(e, words) for e, words in asked if e.id not in found], known))
    found |= {example.id for example, _ in inside}
    number = list(_one_number([(e, words) for e, words in asked if e.id not in found], known))
    patterns = Counter(_pattern(words) for _, words in [*asked, *known])
    alike = sum(times for times in patterns.values() if times > _PATTERN)
    of_patterns = alike >= 0.5 * (len(asked) + len(known))
    return Near(
        tuple(around), tuple(inside), () if of_patterns else tuple(number), tuple(number) if of_patterns else ()
    )


def spaced(text: str) -> str:
    """A text with spaces around each Chinese or Japanese character, since there are none between their words."""
    return _CHARACTER.sub(r" \g<0> ", text)


def in_characters(words: Sequence[str]) -> bool:
    """Whether most words of a text are single characters of a script without spaces."""
    return sum(bool(_CHARACTER.match(word)) for word in words) > 0.5 * len(words)


def _scale(words: Words) -> int:
    """Number of these words that correspond to about one word of other languages."""
    return 2 if in_characters(words) else 1


def _around(
    asked: Sequence[tuple[Example, Words]], known: Sequence[tuple[Example, Words]]
) -> Iterator[tuple[Example, Example]]:
    rare = _rare(known)
    whole: dict[Hashable, Example] = {}
    clean: dict[Hashable, Example] = {}
    every: dict[Hashable, Example] = {}
    for example, words in known:
        gold = example.answer.strip()
        if gold in rare:
            whole.setdefault((words, gold), example)
            for core, left_out in _cores(words):
                every.setdefault((core, gold), example)
                if not any(map(_is_number, left_out)):
                    clean.setdefault((core, gold), example)
    for example, words in asked:
        gold = example.answer.strip()
        double = every.get((words, gold))
        for core, left_out in _cores(words):
            # a number may be cut off only if exactly the other question remains
            there = whole if any(map(_is_number, left_out)) else clean
            double = double or there.get((core, gold))
        if double is not None:
            yield example, double


def _rare(known: Sequence[tuple[Example, Words]]) -> set[str]:
    """The gold answers that two questions are unlikely to share by chance."""
    golds = Counter(example.answer.strip() for example, _ in known)
    return {gold for gold, times in golds.items() if times <= max(1, _COMMON * len(known))}


def _inside(
    asked: Sequence[tuple[Example, Words]], known: Sequence[tuple[Example, Words]]
) -> Iterator[tuple[Example, Example]]:
    rare = _rare(known)
    by_gold: dict[str, list[tuple[Example, Words]]] = {}
    for example, words in known:
        if in_characters(words) and (gold := example.answer.strip()) in rare:
            by_gold.setdefault(gold, []).append((example, words))
    for example, words in asked:
        if not in_characters(words):
            continue
        others = by_gold.get(example.answer.strip(), ())
        double = next((other for other, there in others if _but_for_insertion(words, there)), None)
        if double is not None:
            yield example, double


def _but_for_insertion(one: Words, other: Words) -> bool:
    """Whether one text is the other with a few characters inserted, none of them a number or a sign."""
    less, more = sorted((one, other), key=len)
    inserted = len(more) - len(less)
    if not 0 < inserted <= min(_CUT, len(less) // 2):
        return False
    start = next((place for place, word in enumerate(less) if word != more[place]), len(less))
    extra = more[start : start + inserted]
    return less[start:] == more[start + inserted :] and all(w[0].isalpha() for w in extra)


def _cores(words: Words) -> Iterator[tuple[Words, Words]]:
    """A question without some words at its beginning or end, and those words; more than half of it is left."""
    least = max(_SHORTEST, len(words) // 2 + 1)
    yield words, ()
    for cut in range(1, min(_CUT * _scale(words), len(words) - least) + 1):
        for core, left_out in ((words[cut:], words[:cut]), (words[:-cut], words[-cut:])):
            if all(word[0].isalnum() for word in left_out):  # signs are not mere wording: ( [ is not [
                yield core, left_out


def _one_number(
    asked: Sequence[tuple[Example, Words]], known: Sequence[tuple[Example, Words]]
) -> Iterator[tuple[Example, Example]]:
    holes: dict[Words, Example] = {}
    for example, words in known:
        for masked in _masked(words):
            holes.setdefault(masked, example)
    for example, words in asked:
        double = next((holes[masked] for masked in _masked(words) if masked in holes), None)
        if double is not None:
            yield example, double


def _masked(words: Words) -> Iterator[Words]:
    """A question with one of its numbers left out, if it has enough other words."""
    if sum(not _is_number(word) for word in words) < _SHORTEST:
        return
    for place, word in enumerate(words):
        if _is_number(word):
            yield (*words[:place], "\x00", *words[place + 1 :])


def _pattern(words: Words) -> Words:
    return tuple("\x00" if _is_number(word) else word for word in words)


def _is_number(word: str) -> bool:
    return word[:1].isdigit()
