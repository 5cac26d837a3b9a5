"""Where two answer formats differ: a model that learned one is asked or read wrongly with the other."""

from orchestrator.answers.formats import AnswerFormat
from orchestrator.errors import DataError

_QUESTION = "How much is 6 times 7?"
_REASONING = "6 * 7 = 42"
_ANSWER = 42.0
_AROUND = 12


def first_difference(a: AnswerFormat, b: AnswerFormat) -> str | None:
    """The model's format `a` and the recipe's `b`, side by side, and the first place where they differ.

    None if they are the same.
    """
    first, second = a.model_dump(), b.model_dump()
    names = dict.fromkeys((*first, *second))
    missing = "(no such setting)"
    parted = next((n for n in names if first.get(n, missing) != second.get(n, missing)), None)
    if parted is None:
        return None
    both = zip(_shown(a), _shown(b), strict=True)
    rows = [("", "the model's", "the recipe's"), *((name, x, y) for (name, x), (_, y) in both)]
    left = max(len(row[0]) for row in rows)
    middle = max(len(row[1]) for row in rows)
    lines = [f"{name:<{left}}  {x:<{middle}}  {y}".rstrip() for name, x, y in rows]
    return "\n".join([*lines, _where(parted, first.get(parted, missing), second.get(parted, missing))])


def _shown(answer_format: AnswerFormat) -> list[tuple[str, str]]:
    """A format for people to read: the prompt, the expected completion, the stop strings."""
    try:
        target = repr(answer_format.target_text(_ANSWER, _REASONING))
    except DataError:  # a pattern that matches no number, a stop string within the sample
        target = "(this sample cannot be written)"
    prompt = repr(answer_format.prompt_text(_QUESTION) + answer_format.prefix)
    chat = "no" if not answer_format.chat else f"yes, system {answer_format.system!r}"
    stop = repr(list(answer_format.stop))
    return [("type", answer_format.type), ("prompt", prompt), ("chat", chat), ("target", target), ("stop", stop)]


def _where(name: str, first: object, second: object) -> str:
    if not (isinstance(first, str) and isinstance(second, str)):
        return f"they first differ at {name}: {first!r} and {second!r}"
    at = next((i for i, (x, y) in enumerate(zip(first, second, strict=False)) if x != y), min(len(first), len(second)))
    x, y = (repr(text[max(0, at - _AROUND) : at + _AROUND]) for text in (first, second))
    return f"they first differ at {name}, character {at + 1}: {x} and {y}"
