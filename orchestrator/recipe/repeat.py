"""A recipe's `repeat` block: several rounds of some of its stages, each starting from the previous round's model.

The recipe's own stages are the first round. Further rounds are ordinary stages with their own names, `rft_2` and
`rft_3`, inserted after the last repeated stage: `orch plan` lists them, other stages may refer to them, and no other
code knows about rounds. The first round is the same with and without `repeat`, so adding a round runs only that round.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from orchestrator.schema import Loc, Spec, unknown
from orchestrator.stages.base import Kind, Verb


class Repeat(Spec):
    """Stages to run in several rounds, such as sample, select and sft for iterated RFT."""

    times: Annotated[int, Field(ge=2, le=100)]
    """Total number of rounds; the recipe's own stages are the first."""
    stages: Annotated[tuple[str, ...], Field(min_length=1)]
    """The stages to repeat. In each further round, a stage that draws (`sample` or `grpo`) starts from the previous
    round's last model, unless its model comes from its own round; references to repeated stages stay within a round."""
    pool: bool = False
    """Train each round on the rows selected in all rounds so far, not only on its own."""


def with_rounds(
    repeat: Repeat, stages: Mapping[str, Verb], wrong: Collection[str], problems: list[tuple[Loc, str]]
) -> dict[str, Verb]:
    """The stages including those of the further rounds; appends to `problems`.

    `wrong` are the invalid stages: they are copied unchanged into further rounds, so that stages that use them there
    are not reported as well.
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
            (("stages", taken), f"repeat creates {taken!r} from {first!r}: put settings there, or rename this stage")
        )
        return dict(stages)
    every: dict[str, Verb] = {}
    for name, spec in stages.items():
        every[name] = spec
        if name == own[-1]:
            every |= made
    return every


def said_once(problems: list[tuple[Loc, str]], stages: Collection[str]) -> list[tuple[Loc, str]]:
    """The problems without those of further rounds that the first round has too; `stages` are the recipe's own."""
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
    """The name of a stage in a round."""
    return name if number == 1 else f"{name}_{number}"


def _again(spec: Verb, own: list[str], number: int, start: str | None, pool: bool) -> Verb:
    """A stage's copy for a further round; `start` is the model that it draws from there, if it draws."""

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
