"""A JSON Schema of recipes, for editors: every key of every block with its type, default and meaning.

Generated from the classes that validate recipes and the docstrings of their fields, so it always agrees with them.
`orch plan` checks what a schema cannot express, such as which stages another stage may refer to.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator.answers.formats import FORMATS
from orchestrator.answers.judges import JUDGES
from orchestrator.models.settings import ModelSpec
from orchestrator.recipe.head import Head
from orchestrator.recipe.reading import EXTENDS
from orchestrator.recipe.repeat import Repeat
from orchestrator.recipe.stages import NAME
from orchestrator.recipe.sweep import Parameter, Sweep
from orchestrator.stages import STAGES
from orchestrator.stages.evaluate import Evaluate
from orchestrator.tasks import TASKS
from orchestrator.training.settings import TrainingSettings

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_OWN_TASK = r"\.py:[A-Za-z_]\w*$"
"""Pattern for the name of a task in a user's own file."""
_FURTHER = "further arguments"
_TRLS = "One of TRL's arguments, under its own name; the default is TRL's."

Schema = dict[str, Any]


def recipe_schema() -> Schema:
    """The schema of a whole recipe."""
    classes: list[type[BaseModel]] = [Head, ModelSpec, Evaluate, Repeat, Sweep, *STAGES.values(), *TASKS.values()]
    _, made = models_json_schema([(one, "validation") for one in classes], ref_template="#/$defs/{model}")
    blocks: dict[str, Schema] = made["$defs"]
    for one in _blocks(classes):
        _describe(blocks[one.__name__], one)
    head = blocks.pop(Head.__name__)
    parameter = blocks[Parameter.__name__]
    blocks[Parameter.__name__] = {
        "description": parameter.pop("description"),
        "anyOf": [{"type": "array", "minItems": 1, "description": "The values."}, parameter],
    }
    needs_type: Schema = {"if": {"type": "object"}, "then": {"required": ["type"]}}
    schema: Schema = {
        "$schema": DRAFT,
        "description": "One experiment: a task, a model, the stages that train it, and how models are evaluated.",
        "type": "object",
        "additionalProperties": False,
        "if": {"not": {"required": [EXTENDS]}},
        "then": {
            "required": [*head["required"], "task", "model", "stages"],
            "properties": {"task": needs_type, "stages": {"additionalProperties": needs_type}},
        },
        "properties": {
            **head["properties"],
            EXTENDS: {
                "description": "Files whose settings this recipe inherits; its own settings override them.",
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            },
            "task": {
                "description": "Where questions come from, how they are asked, and how answers are read and judged.",
                "anyOf": [{"enum": list(TASKS)}, _chosen(TASKS, own={"type": {"pattern": _OWN_TASK}})],
            },
            "model": _reference(ModelSpec),
            "stages": {
                "description": "The stages in order, each with a name and its settings.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": f"^{NAME.pattern}$"},
                "additionalProperties": _chosen(STAGES),
            },
            "repeat": _reference(Repeat),
            "evaluate": _reference(Evaluate),
            "sweep": _reference(Sweep),
        },
        "$defs": blocks,
    }
    plainer: Schema = _plainer(schema)
    return plainer


def _chosen(registry: Mapping[str, type[BaseModel]], own: Mapping[str, Schema] | None = None) -> Schema:
    """A block whose `type` decides which keys it has; `own`: schemas for types that are not in the registry."""
    listed: Schema = {"type": {"enum": list(registry)}}
    return {
        "type": "object",
        "properties": listed if own is None else {"type": {"anyOf": [listed["type"], *own.values()]}},
        "allOf": [
            {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": _reference(one)}
            for name, one in registry.items()
        ],
    }


def _reference(block: type[BaseModel]) -> Schema:
    return {"$ref": f"#/$defs/{block.__name__}"}


def _blocks(classes: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    """These classes and those of all blocks inside them."""
    found: dict[type[BaseModel], None] = {}

    def add(kind: Any) -> None:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if kind not in found:
                found[kind] = None
                for field in kind.model_fields.values():
                    add(field.annotation)
        else:
            for part in get_args(kind):
                add(part)

    for one in (*classes, *FORMATS.values(), *JUDGES.values()):
        add(one)
    return list(found)


def _describe(block: Schema, source: type[BaseModel]) -> None:
    """Add the docstrings of a class's fields, and replace the field for further arguments with TRL's arguments."""
    meanings = field_docs(source)
    properties: dict[str, Schema] = block.get("properties", {})
    for name, field in source.model_fields.items():
        if (written := properties.get(field.alias or name)) is not None and name in meanings:
            written["description"] = meanings[name]
    if issubclass(source, TrainingSettings):
        properties.pop(_FURTHER)
        properties |= {name: {"description": _TRLS} for name in source.ARGUMENTS if name not in properties}


@cache
def field_docs(source: type[BaseModel]) -> Mapping[str, str]:
    """The docstring of each field of a class as one line, including inherited fields."""
    found: dict[str, str] = {}
    for one in reversed(source.__mro__):
        if issubclass(one, BaseModel) and one is not BaseModel:
            found |= dict(_documented(one))
    return found


def _documented(source: type) -> Iterator[tuple[str, str]]:
    [body] = ast.parse(textwrap.dedent(inspect.getsource(source))).body
    assert isinstance(body, ast.ClassDef)
    for field, after in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            yield field.target.id, " ".join(after.value.value.split())


def _plainer(schema: Any) -> Any:
    """Drop the titles that pydantic derives from names; let several alternatives fit, as `{}` fits every judge."""
    if isinstance(schema, list):
        return [_plainer(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        "anyOf" if key == "oneOf" else key: _plainer(value)
        for key, value in schema.items()
        if key != "title" or isinstance(value, dict)  # a setting named `title`
    }
