"""A recipe's `repeat` block: some of its stages again, each time from the model that they have made.

The recipe's own stages are the first round. Further rounds are plain stages with names of their own, `rft_2` and
`rft_3`, put behind the last of those that are repeated: `orch plan` lists them, others may refer to them, and nothing
after this knows of rounds. The first round is the same with and without `repeat`, so a round that is added runs alone.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from orchestrator.schema import Loc, Spec, unknown
from orchestrator.stages.base import Kind, Verb


class Repeat(Spec):
    """Stages that are repeated, such as sample, select and sft for iterated RFT."""

    times: Annotated[int, Field(ge=2, le=100)]
    """Rounds in all; the stages as the recipe has them are the first."""
    stages: Annotated[tuple[str, ...], Field(min_length=1)]
    """The stages that are repeated. In each further round those that draw, `sample` and `grpo`, start from the model
    that the round before has made last; the others refer to their own round."""
    pool: bool = False
    """Train each round on the rows that all rounds so far have selected, not on its own alone."""


def with_rounds(
    repeat: Repeat, stages: Mapping[str, Verb], wrong: Collection[str], problems: list[tuple[Loc, str]]
) -> dict[str, Verb]:
    """The stages with those of the further rounds, after adding each problem.

    `wrong` are stages that are so themselves: in further rounds they stand as they are, so that no stage that uses them
    there is called wrong too.
    """
    found = [*_problems(repeat.stages, stages)]
    problems += found
    if found:
        return dict(stages)
    own = [name for name in stages if name in repeat.stages]
    drawing = [name for name in own if stages[name].drawing() is not None]
    makers = [name for name in own if stages[name].makes_model]
    if not (makers and drawing) and not any(name in wrong for name in own):
        lacks = "draws from a model, as sample and grpo do" if makers else "makes a model"
        problems.append((("repeat", "stages"), f"none of them {lacks}: every round would be the same"))
        return dict(stages)
    made: dict[str, Verb] = {}
    for number in range(2, repeat.times + 1):
        before = _name((makers or own)[-1], number - 1)
        for name in own:
            start = before if name in drawing else None
            spec = stages[name]
            made[_name(name, number)] = spec if name in wrong else _again(spec, own, number, start, repeat.pool)
    if (taken := next((name for name in made if name in stages), None)) is not None:
        first = taken.rpartition("_")[0]
        problems.append(
            (("stages", taken), f"repeat makes {taken!r} of {first!r}: write settings there, or rename this")
        )
        return dict(stages)
    every: dict[str, Verb] = {}
    for name, spec in stages.items():
        every[name] = spec
        if name == own[-1]:
            every |= made
    return every


def said_once(problems: list[tuple[Loc, str]], stages: Collection[str]) -> list[tuple[Loc, str]]:
    """The problems without those of a further round that the first has too; `stages` are those of the recipe itself."""
    known = {loc for loc, _ in problems}

    def is_echo(loc: Loc) -> bool:
        if loc[:1] != ("stages",) or len(loc) < 2 or loc[1] in stages:
            return False
        return ("stages", str(loc[1]).rpartition("_")[0], *loc[2:]) in known

    return [(loc, text) for loc, text in problems if not is_echo(loc)]


def _problems(named: Sequence[str], stages: Mapping[str, Verb]) -> Iterator[tuple[Loc, str]]:
    for place, name in enumerate(named):
        if name not in stages:
            yield ("repeat", "stages", place), unknown("stage", name, stages)
        elif name in named[:place]:
            yield ("repeat", "stages", place), f"{name!r} is listed twice"


def _name(name: str, number: int) -> str:
    """What a stage is called in a round."""
    return name if number == 1 else f"{name}_{number}"


def _again(spec: Verb, own: list[str], number: int, start: str | None, pool: bool) -> Verb:
    """A stage as it is in a further round; `start` is the model that it draws from there."""

    def here(name: str) -> str:
        return _name(name, number) if name in own else name

    changes: dict[str, Any] = {}
    for field, kind in spec.REFERENCES.items():
        value = getattr(spec, field)
        if kind is Kind.MODEL and start is not None and value not in own:
            changes[field] = start
        elif isinstance(value, str):
            changes[field] = here(value)
        else:
            rounds = range(1, number + 1) if pool and kind is Kind.ROWS else (number,)
            changes[field] = tuple(
                each for name in value for each in ([_name(name, n) for n in rounds] if name in own else [name])
            )
    return spec.model_copy(update=changes)
