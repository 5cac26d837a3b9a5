"""JSON in files of rows: numbers keep their spelling, and objects with duplicate keys are rejected."""

import json
import re
from typing import Any

from orchestrator.tasks.cells import WrittenNumber

_STRUCTURE = re.compile(
    r"""(?P<open> [{\[]) | (?P<close> [}\]]) | (?P<key> "(?:[^"\\]|\\.)*+") (?=\s*:) | "(?:[^"\\]|\\.)*+" """,
    re.VERBOSE,
)
"""Tells the keys of JSON from its other strings."""


def parse(text: str) -> Any:
    """Parse a JSON text. Raises DoubledKey if a key occurs twice in one object."""
    # Python refuses to parse integers of thousands of digits; as text they are reported like any other bad value.
    return json.loads(
        text,
        parse_int=lambda digits: int(digits) if len(digits) < 300 else digits,
        parse_float=WrittenNumber,
        object_pairs_hook=_once,
    )


class DoubledKey(Exception):
    """An object with a duplicate key."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. Raises DoubledKey if a key occurs twice, as either value may be meant."""
    if len(found := dict(pairs)) < len(pairs):
        raise DoubledKey
    return found


def doubled_key(text: str) -> tuple[int, str]:
    """The first duplicate key in valid JSON: the number of line breaks before it, and the key itself."""
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
