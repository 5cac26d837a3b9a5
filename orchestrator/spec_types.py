"""What the blocks of a recipe are made of: the numbers that a setting may be, and the block itself. Pydantic only."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1)]


def as_tuple(value: object) -> object:
    """One name where several may stand."""
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]


class Spec(BaseModel):
    """A frozen block of a recipe that knows no other keys than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)
    """Numbers are finite: a key is made of JSON, which has neither infinity nor NaN."""
