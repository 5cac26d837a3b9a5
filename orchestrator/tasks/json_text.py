"""JSON as files of rows hold it: numbers as they are written, and no object that says two things under one key."""

import json
import re
from typing import Any

from orchestrator.tasks.cells import WrittenNumber

_STRUCTURE = re.compile(
    r"""(?P<open> [{\[]) | (?P<close> [}\]]) | (?P<key> "(?:[^"\\]|\\.)*+") (?=\s*:) | "(?:[^"\\]|\\.)*+" """,
    re.VERBOSE,
)
"""What tells the keys of JSON from its other texts."""


def parse(text: str) -> Any:
    """The value of a JSON text. Raises DoubledKey where a key occurs twice in one object."""
    # Python refuses to read integers of thousands of digits; as text they are shown like any other bad value.
    return json.loads(
        text,
        parse_int=lambda digits: int(digits) if len(digits) < 300 else digits,
        parse_float=WrittenNumber,
        object_pairs_hook=_once,
    )


class DoubledKey(Exception):
    """An object that says two things under one key."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. Raises DoubledKey where a key occurs twice: any of the two may be meant."""
    if len(found := dict(pairs)) < len(pairs):
        raise DoubledKey
    return found


def doubled_key(text: str) -> tuple[int, str]:
    """The first key of valid JSON that its object holds already: after how many line breaks it stands, and itself."""
    inside: list[set[str]] = []
    for token in _STRUCTURE.finditer(text):
        if token["open"]:
            inside.append(set())
        elif token["close"]:
            inside.pop()
        elif token["key"]:
            key = json.loads(token["key"])
            if key in inside[-1]:
                return text.count("\n", 0, token.start()), key
            inside[-1].add(key)
    raise ValueError("no key occurs twice")
