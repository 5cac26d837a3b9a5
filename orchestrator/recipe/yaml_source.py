"""The one reader of YAML: it reads what people write, remembers on which line each setting stands, and its work is
bounded whoever wrote the text: a recipe, an override on the command line, or a recipe that a store holds.

Departures from PyYAML's safe loader, which reads YAML 1.1: `1e-4` is a number; `on`, `yes`, dates, `10:50` (650 to YAML
1.1) and `010` (8 to it) are text; a key written twice is an error; a tag makes no type that a recipe has no use for.

In a user's own recipe, `${VAR}` in a value is that variable of the environment, and `${VAR:-text}` has a default;
`$${` is `${` itself. An unquoted value is read as what it then is: `${STEPS}` may be a number.

Limits: the length of the text, how deep it is nested, and how many values and characters it holds. A block that is used
by an alias or a merge counts each time: eight lines can stand for a billion values. All of it is counted while nodes
are put together, before a value is made of them.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import yaml
from yaml.composer import Composer
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import Resolver

from orchestrator.errors import RecipeError
from orchestrator.schema import clipped

if TYPE_CHECKING or not yaml.__with_libyaml__:
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class _Events(Reader, Scanner, Parser):
        """PyYAML's own parser, where it was built without libyaml."""

        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)
else:
    from yaml.cyaml import CParser as _Events

Path = tuple[str, ...]

LONGEST = 2_000_000
"""Bytes of a text, and characters of all its values: a recipe names its data, it does not hold them."""
DEEPEST = 50
"""Levels of blocks and lists in each other."""
MOST = 100_000
"""Keys and values."""
_VARIABLE = re.compile(r"(?P<escaped>\$)?\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_SHOWN = 160
"""Characters of the reader's own message, which may quote the text."""


class _Limit(Exception):
    """A text goes beyond a limit; on this line."""

    def __init__(self, what: str, node_or_event: Any) -> None:
        super().__init__(what)
        self.line = node_or_event.start_mark.line + 1


class _Extent:
    """What a node comes to with every alias written out."""

    __slots__ = ("characters", "depth", "values")

    def __init__(self, values: int, characters: int, depth: int) -> None:
        self.values, self.characters, self.depth = values, characters, depth


_TEXT = "tag:yaml.org,2002:str"
_OPEN = _Extent(1, 0, 1)
"""Of a block that is not at its end yet, where an alias inside it names it: `_walk` refuses that."""


class _Loader(Composer, _Events, SafeConstructor, Resolver):
    """Nodes from events, counted; values from nodes."""

    def __init__(self, text: str, environment: Mapping[str, str] | None) -> None:
        _Events.__init__(self, text)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self.unset: list[tuple[int, str]] = []
        """Variables that the environment does not have, and the lines that name them."""
        self._environment = environment
        self._extents: dict[int, _Extent] = {}
        self._inside = self._nodes = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """A node, unless the text has gone beyond a limit with it."""
        self._inside += 1
        self._nodes += 1
        if self._inside > DEEPEST:
            raise _Limit(f"is nested too deep: more than {DEEPEST} levels", self.peek_event())  # type: ignore[no-untyped-call]
        if self._nodes > MOST:
            raise _Limit(f"holds more than {MOST:,} keys and values", self.peek_event())  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self._inside -= 1
        if node is not None and id(node) not in self._extents:  # an alias brings a node again, which is filled already
            is_key = isinstance(parent, MappingNode) and index is None
            if isinstance(node, ScalarNode) and not is_key and "${" in node.value:
                self._fill(node)
            self._extents[id(node)] = self._extent(node)
        return node

    def _fill(self, node: ScalarNode) -> None:
        """Put the environment's variables in the place of their names, and `${` in that of `$${`."""

        def text_of(found: re.Match[str]) -> str:
            if found["escaped"]:
                return found[0][1:]
            if self._environment is None:
                return found[0]
            value = self._environment.get(found["name"], "")
            if not value and found["default"] is not None:
                return found["default"]
            if found["name"] not in self._environment:
                self.unset.append((node.start_mark.line + 1, found["name"]))
            return value

        was_text = node.tag == _TEXT
        node.value = _VARIABLE.sub(text_of, node.value)
        if was_text and not node.style:
            node.tag = self.resolve(ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]

    def _extent(self, node: Node) -> _Extent:
        if isinstance(node, ScalarNode):
            return _Extent(1, len(node.value), 1)
        inner = [self._extents.get(id(child), _OPEN) for child in _children(node)]
        values, characters = 1 + sum(e.values for e in inner), sum(e.characters for e in inner)
        depth = 1 + max((e.depth for e in inner), default=0)
        if values > MOST:
            raise _Limit(f"holds more than {MOST:,} keys and values with its aliases written out", node)
        if characters > LONGEST:
            raise _Limit(f"holds more than {LONGEST:,} characters with its aliases written out", node)
        if depth > DEEPEST:
            raise _Limit(f"is nested too deep with its aliases written out: more than {DEEPEST} levels", node)
        return _Extent(values, characters, depth)


def _children(node: Node) -> Iterator[Node]:
    for item in node.value:
        if isinstance(node, MappingNode):
            yield from item
        else:
            yield item


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


def _whole(loader: _Loader, node: ScalarNode) -> int:
    """A whole number in decimal: sixties, octal and the like, which tags could still ask for, are none."""
    text = str(loader.construct_scalar(node))
    if len(text) > 1000:
        raise ConstructorError(None, None, "found a whole number of more than 1,000 digits", node.start_mark)
    return int(text.replace("_", ""))


def _real(loader: _Loader, node: ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).replace("_", "").lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:int", _whole)  # type: ignore[type-var]
_Loader.add_constructor("tag:yaml.org,2002:float", _real)  # type: ignore[type-var]


def read_text(path: str | FilePath, source: str) -> str:
    """The text of a recipe's file; no more of it is read than a recipe may have.

    Raises:
        OSError: it cannot be read.
        RecipeError: it is too long, or not UTF-8.
    """
    with FilePath(path).open("rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise RecipeError(_too_long(source))
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise RecipeError(f"{source}: is not a text file") from None


_KEY = re.compile(r"([\w-]+):\s+")
_PLAIN = re.compile(r"[^\s'\"\[{|>&*!]|\{\w+\}\s*[^\s,}]")
"""How a text without quotes begins; `{question} Answer:` is one too, though YAML reads a block."""


def parse(text: str, source: str, environment: Mapping[str, str] | None = None) -> tuple[Any, dict[Path, int]]:
    """The value of a YAML document, and the line (from 1) of each dotted path in it.

    `environment`: the variables that its values may name; None: names of variables stay as they are.

    Raises:
        RecipeError: it is no YAML, names a variable that is not set, or goes beyond a limit.
    """
    if len(text) > LONGEST:
        raise RecipeError(_too_long(source))
    try:
        loader = _Loader(text, environment)
        node = loader.get_single_node()
        lines: dict[Path, int] = {}
        if loader.unset:
            raise RecipeError(*(_unset(source, line, name) for line, name in loader.unset))
        if node is None:
            return None, lines
        problems = list(_walk(node, (), lines, source, set()))
        if problems:
            raise RecipeError(*problems)
        return loader.construct_document(node), lines
    except _Limit as error:
        raise RecipeError(f"{source}:{error.line}: {error}; write it out plainly, and put data into files") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{_place(mark, text)}" if mark else source
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"{where}: not valid YAML: {clipped(what, _SHOWN)}{_way_out(mark, text)}") from None
    except UnicodeEncodeError:
        raise RecipeError(f"{source}: is not text in UTF-8") from None
    except (AttributeError, LookupError, ValueError) as error:  # what PyYAML lets through for a tag like `!!int abc`
        raise RecipeError(f"{source}: not valid YAML: {clipped(str(error), _SHOWN)}; leave tags (!!) out") from None


def read_data(path: str | FilePath, source: str) -> Any:
    """The value of a file's YAML, such as the recipe that a run wrote down.

    Raises:
        OSError: it cannot be read.
        RecipeError: it is no YAML, or goes beyond a limit.
    """
    return parse(read_text(path, source), source)[0]


def parse_value(text: str, source: str) -> Any:
    """The value of one override, such as `1e-4` or `{file: my.json}`."""
    return parse(text, source)[0]


def write_data(data: Any) -> str:
    """A document that reads as this data again: text that looks like a number, such as '1e5', is put in quotes."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def write_documents(documents: Sequence[Any]) -> str:
    """Documents for other tools, in which `${...}` means nothing here: no text is changed."""
    return str(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=120))


class _Dumper(yaml.SafeDumper):
    """YAML 1.1 as other tools read it, and as it is read here."""

    def represent_str(self, data: str) -> ScalarNode:
        """Text, of which nothing is taken for a variable when it is read again."""
        return super().represent_str(_VARIABLE.sub(lambda found: f"${found[0]}", data))


_Dumper.add_representer(str, _Dumper.represent_str)

_Dumper.yaml_implicit_resolvers = {
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *_Loader.yaml_implicit_resolvers.get(first, [])]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}


def _unset(source: str, line: int, name: str) -> str:
    return (
        f"{source}:{line}: the environment has no variable {clipped(name)}: set it, give a default as in "
        f"${{{clipped(name)}:-text}}, or write $${{ where the characters themselves are meant"
    )


def _too_long(source: str) -> str:
    return (
        f"{source}: is longer than a recipe may be, {LONGEST / 1e6:g} MB: put its data into files, and name those in "
        "the recipe"
    )


def _place(mark: Any, text: str) -> str:
    """Line and column of a mark; libyaml puts the end of a text on a line of its own, where there is none."""
    lines = text.split("\n")
    if mark.line < len(lines):
        return f"{mark.line + 1}:{mark.column + 1}"
    return f"{len(lines)}:{len(lines[-1]) + 1}"


def _way_out(mark: Any, text: str) -> str:
    """What to write on the line of a mark instead, where that can be told: spaces, or a text in quotes."""
    lines = text.split("\n")
    if mark is None or mark.line >= len(lines) or len(line := lines[mark.line]) > _SHOWN:
        return ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return ": indent with spaces, not with tabs"
    for key in _KEY.finditer(line):
        before, value = line[: key.start()], line[key.end() :]
        if before.count("{") > before.count("}"):  # in a block on one line
            value = value.partition(",")[0]
            while value.count("}") > value.count("{"):
                value = value.rstrip()[:-1]
        value = value.strip()
        if _PLAIN.match(value) and (": " in value or "{" in value or value.endswith(":")):
            return f": put the text in quotes, {key[1]}: {json.dumps(value, ensure_ascii=False)}"
    return ""


def _walk(node: Node, path: Path, lines: dict[Path, int], source: str, around: set[int]) -> Iterator[str]:
    """The problems of a node and of all inside it; `lines` takes where each stands."""
    lines[path] = node.start_mark.line + 1
    if isinstance(node, ScalarNode):
        return
    if id(node) in around:
        yield f"{source}:{lines[path]}: {_dotted(path)}: is a recursive alias: remove it"
        return
    around.add(id(node))
    if isinstance(node, MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                where = f"{source}:{line}:{key.start_mark.column + 1}"
                yield f"{where}: not valid YAML: found a key that is a list or a block: a key is a name"
                continue
            name = str(key.value)
            if name in seen:
                where = f"{source}:{line}: {_dotted((*path, name))}"
                yield f"{where}: duplicate key (first defined on line {seen[name]}); keep one"
            seen[name] = line
            yield from _walk(value, (*path, name), lines, source, around)
            lines[(*path, name)] = line
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*path, str(index)), lines, source, around)
    around.discard(id(node))


def _dotted(path: Path) -> str:
    return ".".join(clipped(part) for part in path)
