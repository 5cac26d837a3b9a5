"""Writes a recipe file with other values for some settings: comments, order and style of the rest are preserved."""

import copy
import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from orchestrator.text import plain

_WIDEST = 10_000
"""Characters: so wide that no line is wrapped."""


def with_values(text: str, values: Mapping[str, Any], about: str) -> str:
    """The recipe's text with these values, by dotted name, and without its `sweep` block; `about` is put on top."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = _WIDEST
    yaml.indent(mapping=2, sequence=4, offset=2)
    data = yaml.load(text)
    data.pop("sweep", None)
    for ours, theirs in (("seed", "seeds"), ("seeds", "seed")):
        if ours in values:
            data.pop(theirs, None)
    for name, value in values.items():
        *path, last = name.split(".")
        block = data
        for key in path:
            if not isinstance(block.get(key), dict):
                block[key] = {}
            elif _times(data, block[key]) > 1:  # an alias: the other places keep their values
                block[key] = _plain_copy(block[key])
            block = block[key]
        block[last] = value
    written = io.StringIO()
    yaml.dump(data, written)
    return as_comment(about) + written.getvalue()


def as_comment(text: str) -> str:
    """Text as YAML comments, one per line."""
    return "".join(f"# {plain(line)}\n" for line in text.splitlines())


def _times(data: Any, block: Any) -> int:
    """Number of times a block occurs in a document; more than one if YAML aliases refer to it."""
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return (data is block) + sum(_times(one, block) for one in inner)


def _plain_copy(block: Any) -> Any:
    """A copy that is not an alias, written in the style of the block."""
    made = copy.deepcopy(block)
    made.yaml_set_anchor(None)
    return made
