"""Every key of a recipe as a page: made from the schema that editors use, so that the two cannot differ."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.answers.formats import FORMATS
from orchestrator.answers.judges import JUDGES
from orchestrator.recipe.json_schema import Schema, recipe_schema
from orchestrator.stages import STAGES
from orchestrator.tasks import TASKS

_HEAD = """\
# Every key of a recipe

Printed by `orch schema --markdown`; a test keeps it up to date. `orch schema` prints the same as a JSON Schema, for
editors: where `# yaml-language-server: $schema=recipe.schema.json` is the first line of a recipe, and that file is
beside it, an editor with a YAML language server completes and checks the recipe while you type.

A block in a table is explained under its name further down. Keys without a default have to be written.
"""
_BELOW = ("Source", "Columns")
"""Blocks that several tasks have, shown after them."""


def reference() -> str:
    """The page, in Markdown."""
    schema = recipe_schema()
    blocks: Mapping[str, Schema] = schema["$defs"]
    shown: set[str] = set()

    def section(title: str, name: str, block: Schema | None = None) -> Iterator[str]:
        found = blocks[name] if block is None else block
        shown.add(name)
        yield f"## {title}"
        if text := found.get("description"):
            yield text
        found = next((one for one in found.get("anyOf", ()) if "properties" in one), found)
        if rows := list(_rows(found)):
            yield "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *rows])

    parts = [_HEAD.rstrip(), *section("The recipe", "", schema)]
    for name, task in TASKS.items():
        parts += section(f"`task`, type `{name}`", task.__name__)
    for name in _BELOW:
        parts += section(f"`{name}`", name)
    for name, one in FORMATS.items():
        parts += section(f"`task.format`, type `{name}`", one.__name__)
    for name, judge in JUDGES.items():
        parts += section(f"`task.judge`, type `{name}`", judge.__name__)
    parts += section("`model`", "ModelSpec")
    for name, verb in STAGES.items():
        parts += section(f"A stage of type `{name}`", verb.__name__)
    parts += section("`repeat`", "Repeat")
    parts += section("`evaluate`", "Evaluate")
    parts += section("`sweep`", "Sweep")
    for name, block in blocks.items():
        if name not in shown and ("properties" in block or name == "Parameter"):
            parts += section(f"`{name}`", name)
    return "\n\n".join(parts) + "\n"


def _rows(block: Schema) -> Iterator[str]:
    further = []
    for key, value in block.get("properties", {}).items():
        if set(value) == {"description"}:
            further.append(key)
            continue
        default = "" if key in block.get("required", ()) else _value(value.get("default"))
        yield f"| `{key}` | {_kind(value)} | {default} | {_cell(value.get('description', ''))} |"
    if further:
        listed = ", ".join(f"`{key}`" for key in further)
        yield f"| {listed} | | TRL's | Arguments of TRL's, under their own names. |"


def _kind(value: Schema) -> str:
    """What may be written, in words."""
    if "$ref" in value:
        return f"block `{value['$ref'].rpartition('/')[2]}`"
    if "enum" in value:
        return " or ".join(f"`{one}`" for one in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "anyOf" in value:
        kinds = dict.fromkeys(_kind(one) for one in value["anyOf"] if one.get("type") != "null")
        blocks = [kind for kind in kinds if kind.startswith("block ")]
        if len(blocks) > 3:
            return "a block, by its `type`"
        return " or ".join(kinds)
    kind = value.get("type")
    if kind == "array":
        items = value.get("items") or {}
        return f"list of {_kind(items)}" if items else "list"
    if kind == "object":
        inside = value.get("additionalProperties") or next(iter(value.get("patternProperties", {}).values()), None)
        return f"block of names, each with {_kind(inside)}" if isinstance(inside, dict) and inside else "block"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
    return words.get(str(kind), "anything") + _limits(value)


def _limits(value: Schema) -> str:
    said = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "up to {}", "exclusiveMaximum": "below {}"}
    found = [text.format(_number(value[name])) for name, text in said.items() if name in value]
    return f" {', '.join(found)}" if found else ""


def _number(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _value(default: Any) -> str:
    """A default as a recipe would have it."""
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, dict):
        kind = default.get("type")
        return f"`{kind}`" if kind else "its own defaults" if default else "none"
    if isinstance(default, list):
        return _cell(", ".join(f"`{one}`" for one in default)) or "none"
    return f"`{_cell(str(default))}`" if default != "" else "empty"


def _cell(text: str) -> str:
    """Text as a cell of a table holds it."""
    return text.replace("|", "\\|").replace("\n", "\\n")
