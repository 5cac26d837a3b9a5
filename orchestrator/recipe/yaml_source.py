"""The only YAML reader: it accepts what people actually write, records the line of each setting, and does bounded work
no matter who wrote it: a recipe, an override on the command line, or a recipe read back from a store.

Departures from PyYAML's safe loader, which reads YAML 1.1: `1e-4` is a number; `on`, `yes`, dates, `10:50` (650 in YAML
1.1) and `010` (8 in it) are text; a duplicate key is an error; a tag creates no type that a recipe has no use for.

In a user's own recipe, `${VAR}` in a value is that environment variable, and `${VAR:-text}` gives a default; `$${` is a
literal `${`. The type of an unquoted value is decided after the substitution: `${STEPS}` may be a number.

Limits: the length of the text, its nesting depth, and the number of values and characters. A block used through an
alias or a merge counts every time: eight lines can expand to a billion values. Everything is counted while nodes are
composed, before any value is built from them.
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
        """PyYAML's own parser, for builds without libyaml."""

        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)
else:
    from yaml.cyaml import CParser as _Events

Path = tuple[str, ...]

LONGEST = 2_000_000
"""Maximum bytes of a text, and characters of all its values: a recipe names its data but does not contain it."""
DEEPEST = 50
"""Maximum nesting depth of blocks and lists."""
MOST = 100_000
"""Maximum number of keys and values."""
_VARIABLE = re.compile(r"(?P<escaped>\$)?\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_SHOWN = 160
"""Maximum characters shown of the parser's message, which may quote the text."""


class _Limit(Exception):
    """A text exceeds a limit, on this line."""

    def __init__(self, what: str, node_or_event: Any) -> None:
        super().__init__(what)
        self.line = node_or_event.start_mark.line + 1


class _Extent:
    """The size of a node with every alias expanded."""

    __slots__ = ("characters", "depth", "values")

    def __init__(self, values: int, characters: int, depth: int) -> None:
        self.values, self.characters, self.depth = values, characters, depth


_TEXT = "tag:yaml.org,2002:str"
_OPEN = _Extent(1, 0, 1)
"""For a block that is still being composed, if an alias inside it refers to it; `_walk` rejects that."""


class _Loader(Composer, _Events, SafeConstructor, Resolver):
    """Composes nodes from events, counting them, and constructs values from nodes."""

    def __init__(self, text: str, environment: Mapping[str, str] | None) -> None:
        _Events.__init__(self, text)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self.unset: list[tuple[int, str]] = []
        """Line and name of each variable that is not set in the environment."""
        self._environment = environment
        self._extents: dict[int, _Extent] = {}
        self._inside = self._nodes = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Compose a node; raise `_Limit` if the text exceeds a limit with it."""
        self._inside += 1
        self._nodes += 1
        if self._inside > DEEPEST:
            raise _Limit(f"is nested too deeply: more than {DEEPEST} levels", self.peek_event())  # type: ignore[no-untyped-call]
        if self._nodes > MOST:
            raise _Limit(f"has more than {MOST:,} keys and values", self.peek_event())  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self._inside -= 1
        if node is not None and id(node) not in self._extents:  # an alias repeats a node, which is already filled
            is_key = isinstance(parent, MappingNode) and index is None
            if isinstance(node, ScalarNode) and not is_key and "${" in node.value:
                self._fill(node)
            self._extents[id(node)] = self._extent(node)
        return node

    def _fill(self, node: ScalarNode) -> None:
        """Replace names of environment variables by their values, and `$${` by `${`."""

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
            raise _Limit(f"has more than {MOST:,} keys and values with its aliases expanded", node)
        if characters > LONGEST:
            raise _Limit(f"has more than {LONGEST:,} characters with its aliases expanded", node)
        if depth > DEEPEST:
            raise _Limit(f"is nested too deeply with its aliases expanded: more than {DEEPEST} levels", node)
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
    """A decimal integer; sexagesimal, octal and similar notations, which tags could still request, are not accepted."""
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
    """The text of a recipe's file, without reading more than a recipe may have.

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
"""How unquoted text begins; `{question} Answer:` counts too, though YAML reads it as a block."""


def parse(text: str, source: str, environment: Mapping[str, str] | None = None) -> tuple[Any, dict[Path, int]]:
    """The value of a YAML document, and the line (from 1) of each path in it.

    `environment`: the variables that its values may use; None: variables are not replaced.

    Raises:
        RecipeError: it is not valid YAML, uses a variable that is not set, or exceeds a limit.
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
        raise RecipeError(f"{source}:{error.line}: {error}; simplify it, and put data into files") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{_place(mark, text)}" if mark else source
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"{where}: not valid YAML: {clipped(what, _SHOWN)}{_way_out(mark, text)}") from None
    except UnicodeEncodeError:
        raise RecipeError(f"{source}: is not text in UTF-8") from None
    except (AttributeError, LookupError, ValueError) as error:  # PyYAML does not wrap these for a tag like `!!int abc`
        raise RecipeError(f"{source}: not valid YAML: {clipped(str(error), _SHOWN)}; leave tags (!!) out") from None


def read_data(path: str | FilePath, source: str) -> Any:
    """The value of a YAML file, such as the recipe that a run recorded.

    Raises:
        OSError: it cannot be read.
        RecipeError: it is not valid YAML, or exceeds a limit.
    """
    return parse(read_text(path, source), source)[0]


def parse_value(text: str, source: str) -> Any:
    """The value of one override, such as `1e-4` or `{file: my.json}`."""
    return parse(text, source)[0]


def write_data(data: Any) -> str:
    """A document that loads as the same data: text that looks like a number, such as '1e5', is quoted."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def write_documents(documents: Sequence[Any]) -> str:
    """Documents for other tools, which do not share our meaning of `${...}`: no text is escaped."""
    return str(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=120))


class _Dumper(yaml.SafeDumper):
    """Writes YAML that means the same to YAML 1.1 tools and to the reader here."""

    def represent_str(self, data: str) -> ScalarNode:
        """Text, escaped so that nothing in it is read as a variable."""
        return super().represent_str(_VARIABLE.sub(lambda found: f"${found[0]}", data))


_Dumper.add_representer(str, _Dumper.represent_str)

_Dumper.yaml_implicit_resolvers = {
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *_Loader.yaml_implicit_resolvers.get(first, [])]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}


def _unset(source: str, line: int, name: str) -> str:
    return (
        f"{source}:{line}: the environment variable {clipped(name)} is not set: set it, give a default as in "
        f"${{{clipped(name)}:-text}}, or write $${{ for a literal ${{"
    )


def _too_long(source: str) -> str:
    return (
        f"{source}: is larger than a recipe may be, {LONGEST / 1e6:g} MB: put its data into files and name them in "
        "the recipe"
    )


def _place(mark: Any, text: str) -> str:
    """Line and column of a mark; libyaml may put the end of a text on a line that does not exist."""
    lines = text.split("\n")
    if mark.line < len(lines):
        return f"{mark.line + 1}:{mark.column + 1}"
    return f"{len(lines)}:{len(lines[-1]) + 1}"


def _way_out(mark: Any, text: str) -> str:
    """How to fix the line of a mark, if that is clear: use spaces, or quote a text."""
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
    """The problems of a node and everything inside it; adds the line of each path to `lines`."""
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
                yield f"{where}: not valid YAML: found a key that is a list or a block: a key must be a name"
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
