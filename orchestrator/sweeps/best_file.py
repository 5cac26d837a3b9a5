"""A recipe file with other values of some settings: comments, order and spelling of the rest stay as they are."""

import copy
import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from orchestrator.text import plain

_WIDEST = 10_000
"""Characters: no line is broken that was one line."""


def with_values(text: str, values: Mapping[str, Any], about: str) -> str:
    """The recipe's text with these values by their dotted names, without its `sweep` block; `about` opens it."""
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
    """Text as comments of YAML, a line each."""
    return "".join(f"# {plain(line)}\n" for line in text.splitlines())


def _times(data: Any, block: Any) -> int:
    """How often a block is in a document; more than once where YAML's aliases name it."""
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return (data is block) + sum(_times(one, block) for one in inner)


def _plain_copy(block: Any) -> Any:
    """A copy that is no alias, written as the block is."""
    made = copy.deepcopy(block)
    made.yaml_set_anchor(None)
    return made
