"""Blocks of settings: their base class, their number types, and pydantic's errors as lines a user can act on.

Each line says where, what, the choices, and the closest match.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

Loc = tuple[str | int, ...]
_LONGEST = 600
"""Maximum characters of a sentence, which may quote a value of any length."""
_NAME = 60
"""Maximum characters of a quoted name or value."""
M = TypeVar("M", bound=BaseModel)
_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "base_model": ("model", "name"),
    "batch": ("per_device_train_batch_size", "batch_size"),
    "batch_size": ("per_device_train_batch_size",),
    "dataset": ("data", "task"),
    "epochs": ("num_train_epochs",),
    "eval": ("evaluate",),
    "evaluation": ("evaluate",),
    "grad_accum": ("gradient_accumulation_steps",),
    "gradient_accumulation": ("gradient_accumulation_steps",),
    "group_size": ("num_generations",),
    "kl_coef": ("beta",),
    "lora_alpha": ("lora",),
    "lora_dropout": ("lora",),
    "lora_r": ("lora",),
    "lr": ("learning_rate",),
    "lr_scheduler": ("lr_scheduler_type",),
    "max_new_tokens": ("max_tokens", "max_completion_length"),
    "max_seq_len": ("max_length",),
    "max_seq_length": ("max_length",),
    "micro_batch_size": ("per_device_train_batch_size",),
    "model_id": ("model", "name"),
    "model_name": ("model", "name"),
    "model_name_or_path": ("model", "name"),
    "n_epochs": ("num_train_epochs",),
    "n_samples": ("n", "num_generations"),
    "num_epochs": ("num_train_epochs",),
    "num_return_sequences": ("n", "num_generations"),
    "num_samples": ("n", "num_generations"),
    "num_steps": ("max_steps",),
    "optimizer": ("optim",),
    "path": ("file", "name"),
    "pipeline": ("stages",),
    "scheduler": ("lr_scheduler_type",),
    "steps": ("max_steps",),
    "train_batch_size": ("per_device_train_batch_size",),
    "warmup": ("warmup_steps",),
}
"""Names from other tools, with their equivalents here; the first that is a valid choice is suggested."""


Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1)]


def as_tuple(value: object) -> object:
    """A single name as a tuple; any other value unchanged."""
    return (value,) if isinstance(value, str) else value


OneOrMore = BeforeValidator(as_tuple, json_schema_input_type=str | tuple[str, ...])
"""Accepts a single name in place of a list."""
Names = Annotated[tuple[str, ...], OneOrMore, Field(min_length=1)]


class Spec(BaseModel):
    """A frozen block of a recipe that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)
    """Numbers are finite: cache keys are hashed from JSON, which has neither infinity nor NaN."""


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every leaf value under its dotted path."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def validate(model: type[M], data: object, path: Loc, problems: list[tuple[Loc, str]]) -> M | None:
    """`data` as a `model`, or None after adding each problem as (path, sentence)."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found: dict[Loc, str] = {}
        for item in error.errors():
            # the first one per location: a union has one error for each of its types
            found.setdefault(_written(data, item["loc"], item["type"]), _sentence(model, item["loc"], dict(item)))
        problems += [((*path, *loc), clipped(sentence, _LONGEST)) for loc, sentence in found.items()]
        return None


def unknown(what: str, name: str, choices: Iterable[str], also: Iterable[str] = ()) -> str:
    """`unknown key 'modle'; did you mean 'model'? (choices: ...)`; `also`: further choices, too many to list."""
    names, more = list(choices), list(also)
    close = [one for one in _SYNONYMS.get(name.lower(), ()) if one in names or one in more]
    if not close and len(name) <= _NAME:
        close = get_close_matches(name, [*names, *more], n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listed = f"{', '.join(names) or 'none'}{', and further arguments of TRL' if more else ''}"
    return f"unknown {what} {clipped(name, _NAME)!r}{hint} (choices: {listed})"


def clipped(text: str, most: int = _NAME) -> str:
    """The text, with its middle cut out if it is too long: a recipe's values may have any length."""
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def _sentence(model: type[BaseModel], loc: Loc, item: dict[str, Any]) -> str:
    kind, value = item["type"], item.get("input")
    if kind == "extra_forbidden":
        owner = _owner(model, loc[:-1])
        if (explain := getattr(owner, "explain_unknown", None)) is not None:
            return str(explain(str(loc[-1])))
        return unknown("key", str(loc[-1]), _keys(owner) if owner else [])
    if kind == "missing":
        return "is missing"
    if kind in ("value_error", "assertion_error"):
        return str(item["ctx"]["error"])
    if kind in ("literal_error", "enum"):
        choices = [c.strip().strip("'") for c in item["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return unknown("value", str(value), choices)
    if kind == "union_tag_invalid":
        choices = [c.strip().strip("'") for c in item["ctx"]["expected_tags"].split(",")]
        return unknown("type", str(item["ctx"]["tag"]), choices)
    if kind in ("model_type", "model_attributes_type", "dict_type", "union_tag_not_found"):
        return f"must be a block of keys, not {_shown(value)}"
    return f"{item['msg'][:1].lower()}{item['msg'][1:]}, got {_shown(value)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _NAME else f"{text[: _NAME - 3]}..."


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _written(data: Any, loc: Loc, kind: str) -> Loc:
    """A location as the user wrote it: without the tags and type names that pydantic inserts for a union."""
    parts: list[str | int] = []
    for place, part in enumerate(loc):
        if isinstance(data, dict) and (part in data or (kind == "missing" and place == len(loc) - 1)):
            parts.append(part)
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            parts.append(part)
            data = data[part]
    return (*parts, "type") if kind == "union_tag_invalid" else tuple(parts)


def _owner(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """The model class that a location inside `model` belongs to."""
    found = [model]
    for part in loc:
        by_name = {field.alias or name: field for name, field in model.model_fields.items()}
        if part in by_name:
            found = _models_in(by_name[str(part)].annotation)
            if not found:
                return None
            model = found[0]
        else:  # the tag of a union, or the index of a list
            model = next((m for m in found if part in _tags(m)), model)
    return model


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(model.model_fields["type"].annotation) if "type" in model.model_fields else ()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for arg in get_args(annotation) for model in _models_in(arg)]
