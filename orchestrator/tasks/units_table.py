"""The unit table: six dimensions, their units, every spelling of each, and exact factors between them.

Knows nothing of questions, splits or models. A factor is in base units per unit; the base units are the meter, second,
kilogram, bit, cubic meter and meter per second. Customary volumes are those of the United States, a "ton" is metric,
data units are decimal (1 kB = 1000 bytes), a year is the mean tropical year, and a month is one twelfth of it.
"""

from dataclasses import dataclass
from typing import Literal

Dimension = Literal["length", "time", "mass", "data", "volume", "speed"]
DIMENSIONS: tuple[Dimension, ...] = ("length", "time", "mass", "data", "volume", "speed")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of one dimension."""

    dimension: Dimension
    factor: float
    """Number of base units in one of this unit."""
    spellings: tuple[str, ...]
    """All its spellings, case-sensitive (`m` is a meter, `M` a megabyte); the first names the unit."""

    @property
    def name(self) -> str:
        return self.spellings[0]


INCH = 0.0254
DAY = 86400.0
YEAR = 365.242198781 * DAY
POUND = 0.45359237
GALLON = 231 * INCH**3

UNITS: tuple[Unit, ...] = (
    Unit("length", 1e-3, ("mm", "millimeter", "millimeters", "millimetre", "millimetres")),
    Unit("length", 1e-2, ("cm", "centimeter", "centimeters", "centimetre", "centimetres")),
    Unit("length", 1.0, ("m", "meter", "meters", "metre", "metres")),
    Unit("length", 1e3, ("km", "kilometer", "kilometers", "kilometre", "kilometres")),
    Unit("length", INCH, ("in", "inch", "inches")),
    Unit("length", 12 * INCH, ("ft", "foot", "feet")),
    Unit("length", 36 * INCH, ("yd", "yard", "yards")),
    Unit("length", 63360 * INCH, ("mi", "mile", "miles")),
    Unit("time", 1.0, ("s", "sec", "second", "seconds")),
    Unit("time", 60.0, ("min", "minute", "minutes")),
    Unit("time", 3600.0, ("h", "hr", "hour", "hours")),
    Unit("time", DAY, ("day", "days")),
    Unit("time", 7 * DAY, ("week", "weeks")),
    Unit("time", YEAR / 12, ("month", "months")),
    Unit("time", YEAR, ("year", "years")),
    Unit("time", 10 * YEAR, ("decade", "decades")),
    Unit("time", 100 * YEAR, ("century", "centuries")),
    Unit("mass", 1e-3, ("g", "gram", "grams")),
    Unit("mass", 1.0, ("kg", "kilogram", "kilograms")),
    Unit("mass", 1e3, ("tonne", "tonnes", "ton", "tons", "metric ton", "metric tons")),
    Unit("mass", POUND / 16, ("ounce", "ounces", "oz")),
    Unit("mass", POUND, ("pound", "pounds", "lb")),
    Unit("data", 1.0, ("bit", "bits")),
    Unit("data", 8.0, ("byte", "bytes", "B")),
    Unit("data", 8e3, ("kB", "KB", "kilobyte", "kilobytes")),
    Unit("data", 8e6, ("MB", "M", "megabyte", "megabytes")),
    Unit("data", 8e9, ("GB", "G", "gigabyte", "gigabytes")),
    Unit("volume", 1e-9, ("mm^3", "mm**3")),
    Unit("volume", 1e-6, ("cm^3", "cm**3", "cc")),
    Unit("volume", 1e-6, ("mL", "ml", "milliliter", "milliliters", "millilitre", "millilitres")),
    Unit("volume", 1e-3, ("L", "l", "liter", "liters", "litre", "litres")),
    Unit("volume", 1.0, ("m^3", "m**3")),
    Unit("volume", GALLON / 128, ("fluid ounce", "fluid ounces", "fl oz", "ounce", "ounces", "oz")),
    Unit("volume", GALLON / 8, ("pint", "pints")),
    Unit("volume", GALLON / 4, ("quart", "quarts")),
    Unit("volume", GALLON, ("gallon", "gallons")),
    Unit("speed", 1.0, ("m/s",)),
    Unit("speed", 1 / 3.6, ("km/h", "kmh")),
    Unit("speed", 63360 * INCH / 3600, ("mph", "mi/h")),
    Unit("speed", 12 * INCH, ("ft/s",)),
    Unit("speed", INCH, ("in/s",)),
)

SPELLINGS: dict[str, tuple[Unit, ...]] = {
    spelling: tuple(unit for unit in UNITS if spelling in unit.spellings)
    for unit in UNITS
    for spelling in unit.spellings
}
"""Spelling -> the units it may mean: one, except for the ounce, which is a unit of mass or of volume."""


def resolve(source: str, target: str) -> tuple[Unit, Unit]:
    """The units meant by two spellings; for an ounce, the other one decides. ValueError: unknown or incompatible."""
    for spelling in (source, target):
        if spelling not in SPELLINGS:
            raise ValueError(f"unknown unit {spelling!r}: it is not among the {len(SPELLINGS)} spellings of the table")
    for a in SPELLINGS[source]:
        for b in SPELLINGS[target]:
            if a.dimension == b.dimension:
                return a, b
    a, b = SPELLINGS[source][0], SPELLINGS[target][0]
    raise ValueError(f"{source!r} is a unit of {a.dimension} and {target!r} of {b.dimension}: not convertible")


def factor(source: str, target: str) -> float:
    """Number of `target` units in one `source` unit."""
    a, b = resolve(source, target)
    return a.factor / b.factor
