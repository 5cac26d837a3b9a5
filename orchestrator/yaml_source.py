"""Read YAML the way people write it, and remember on which line each setting stands.

Departures from PyYAML's safe loader, which reads YAML 1.1: `1e-4` is a number, `on`, `yes` and dates are text, and a key
written twice is an error.
"""

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from orchestrator.errors import RecipeError

Path = tuple[str, ...]


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":timestamp"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def parse(text: str, source: str) -> tuple[Any, dict[Path, int]]:
    """The value of a YAML document, and the line (from 1) of each dotted path in it."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines: dict[Path, int] = {}
        if node is None:
            return None, lines
        problems = _walk(node, (), lines, source)
        if problems:
            raise RecipeError(*problems)
        return loader.construct_document(node), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"{where}: not valid YAML: {what}") from None
    finally:
        loader.dispose()


def parse_value(text: str, source: str) -> Any:
    """The value of one override, such as `1e-4` or `{file: my.json}`."""
    return parse(text, source)[0]


def _walk(node: Node, path: Path, lines: dict[Path, int], source: str) -> list[str]:
    problems: list[str] = []
    lines[path] = node.start_mark.line + 1
    if isinstance(node, MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                dotted = ".".join((*path, name))
                problems.append(f"{source}:{line}: {dotted}: stands twice, first on line {seen[name]}: keep one")
            seen[name] = line
            problems += _walk(value, (*path, name), lines, source)
            lines[(*path, name)] = line
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            problems += _walk(value, (*path, str(index)), lines, source)
    return problems
