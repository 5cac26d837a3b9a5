"""The answer formats a recipe may name."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Tag, TypeAdapter

from orchestrator.answers.formats.base import AnswerFormat
from orchestrator.answers.formats.boxed import BoxedFormat
from orchestrator.answers.formats.json_field import JsonFormat
from orchestrator.answers.formats.last_number import LastNumberFormat
from orchestrator.answers.formats.line import HashFormat, MarkerFormat
from orchestrator.answers.formats.pattern import RegexFormat
from orchestrator.answers.formats.tags import TagsFormat

__all__ = [
    "FORMATS",
    "AnswerFormat",
    "BoxedFormat",
    "Format",
    "HashFormat",
    "JsonFormat",
    "LastNumberFormat",
    "MarkerFormat",
    "RegexFormat",
    "TagsFormat",
    "load_format",
]

FORMATS: dict[str, type[AnswerFormat]] = {
    "tags": TagsFormat,
    "hash": HashFormat,
    "boxed": BoxedFormat,
    "marker": MarkerFormat,
    "regex": RegexFormat,
    "json": JsonFormat,
    "last_number": LastNumberFormat,
}


def _type_of(answer_format: Any) -> Any:
    if isinstance(answer_format, dict):
        return answer_format.get("type", "tags")
    return getattr(answer_format, "type", None)


if TYPE_CHECKING:
    Format = AnswerFormat
else:
    _tagged = (Annotated[answer_format, Tag(name)] for name, answer_format in FORMATS.items())
    Format = Annotated[reduce(or_, _tagged), Discriminator(_type_of)]
"""Any format as written in a recipe: `{type: hash}`, `{opening: "<a>", closing: "</a>"}`; the default type is tags."""

_ADAPTER: TypeAdapter[AnswerFormat] = TypeAdapter(Format)


def load_format(data: Mapping[str, Any]) -> AnswerFormat:
    """Load the format saved beside a model, as `model_dump` wrote it. Raises pydantic's ValidationError."""
    return _ADAPTER.validate_python(dict(data))
