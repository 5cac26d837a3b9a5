"""Read YAML the way people write it, and remember on which line each setting stands.

Departures from PyYAML's safe loader, which reads YAML 1.1: `1e-4` is a number; `on`, `yes`, dates, `10:50` (650 to YAML
1.1) and `010` (8 to it) are text; a key written twice is an error.
"""

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from orchestrator.errors import RecipeError

Path = tuple[str, ...]


class _Loader(yaml.SafeLoader): ...


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?", "-+0123456789."),
    ("float", r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), list(_first))


def parse(text: str, source: str) -> tuple[Any, dict[Path, int]]:
    """The value of a YAML document, and the line (from 1) of each dotted path in it."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[Path, int] = {}
        if node is None:
            return None, lines
        problems = _walk(node, (), lines, source, frozenset())
        if problems:
            raise RecipeError(*problems)
        return loader.construct_document(node), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"{where}: not valid YAML: {what}") from None
    except RecursionError:
        raise RecipeError(f"{source}: is nested too deep to be a recipe") from None
    except (AttributeError, LookupError, ValueError) as error:  # what PyYAML lets through for a tag like `!!int abc`
        raise RecipeError(f"{source}: not valid YAML: {error}; leave tags (!!) out") from None


def parse_value(text: str, source: str) -> Any:
    """The value of one override, such as `1e-4` or `{file: my.json}`."""
    return parse(text, source)[0]


def _walk(node: Node, path: Path, lines: dict[Path, int], source: str, around: frozenset[int]) -> list[str]:
    problems: list[str] = []
    lines[path] = node.start_mark.line + 1
    if id(node) in around:
        return [f"{source}:{lines[path]}: {'.'.join(path)}: is an alias of a block that it stands in: leave it out"]
    around = around | {id(node)}
    if isinstance(node, MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                dotted = ".".join((*path, name))
                problems.append(f"{source}:{line}: {dotted}: stands twice, first on line {seen[name]}: keep one")
            seen[name] = line
            problems += _walk(value, (*path, name), lines, source, around)
            lines[(*path, name)] = line
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            problems += _walk(value, (*path, str(index)), lines, source, around)
    return problems
