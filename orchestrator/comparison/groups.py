"""Groups the models of several runs: each model once, seeds of one recipe together, each group under a label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.comparison import Evaluated
from orchestrator.comparison.past_models import PastModel, same_recipe
from orchestrator.figures import value_text
from orchestrator.recipe.plain import parting
from orchestrator.types import BASE

_LONG = 64
"""Maximum characters of a label; in a longer one, the run's id replaces the settings."""


@dataclass(frozen=True, slots=True)
class Variant:
    """The models that one recipe produces under one name, one per seed."""

    models: tuple[PastModel, ...]
    """In seed order."""

    @property
    def name(self) -> str:
        """The model's name in its recipe."""
        return self.models[0].model

    @property
    def seeds(self) -> tuple[int, ...]:
        """Empty if no seed affects it."""
        return tuple(m.seed for m in self.models if m.seed is not None)

    def evaluated(self, label: str) -> Evaluated:
        """The comparison's input for it."""
        return Evaluated(
            label,
            self.name,
            self.seeds,
            tuple(m.run_id for m in self.models),
            tuple(m.results for m in self.models),
            _mean([m.seconds for m in self.models]),
            _mean([m.gpu_hours for m in self.models]),
        )


def variants(models: Sequence[PastModel], apart: bool = False) -> list[Variant]:
    """The variants in the order of the models; if a model occurs twice, only the first occurrence counts.

    `apart`: models that differ only in their seed are kept separate.
    """
    found: dict[object, dict[object, PastModel]] = {}
    keys: set[str] = set()
    digests: dict[tuple[str, str], set[str]] = {}
    for model in models:
        if model.recipe_digest is not None:
            digests.setdefault((model.model, model.made_from), set()).add(model.recipe_digest)
    for model in models:
        if model.key in keys:
            continue
        keys.add(model.key)
        told = digests.get((model.model, model.made_from), set())  # an older run joins the one with the same text
        recipe = model.recipe_digest or (next(iter(told)) if len(told) == 1 else model.made_from)
        group: object = (model.model, recipe if model.model != BASE else model.key)
        if apart or model.seed in found.get(group, {}):  # same settings and seed, but another model: the data differ
            group = model.key
        found.setdefault(group, {})[model.seed] = model
    return [Variant(tuple(by_seed[seed] for seed in sorted(by_seed, key=_order))) for by_seed in found.values()]


def labelled(found: Sequence[Variant]) -> dict[str, Variant]:
    """A label for each: the model's name, plus what distinguishes it from others of that name."""
    labels: dict[str, Variant] = {}
    for variant, label in zip(found, _labels(found), strict=True):
        while label in labels:
            label += "'"
        labels[label] = variant
    return labels


def _labels(found: Sequence[Variant]) -> list[str]:
    by_name: dict[str, list[Variant]] = {}
    for variant in found:
        by_name.setdefault(variant.name, []).append(variant)
    told = {name: iter(_apart(same)) for name, same in by_name.items()}
    return [next(told[variant.name]) for variant in found]


def _apart(same: Sequence[Variant]) -> list[str]:
    """Labels for all variants of one name, from the settings that differ from the first variant's."""
    if len(same) == 1:
        return [same[0].name]
    if _seeds_tell(same):
        seeds = [", ".join(map(str, one.seeds)) for one in same]
        return [f"{one.name} seed{'s' if len(one.seeds) > 1 else ''} {of}" for one, of in zip(same, seeds, strict=True)]
    first, *others = parting([one.models[0].recipe for one in same], same[0].name)
    told = [first, *({n: v for n, v in each.items() if repr(v) != repr(first[n])} for each in others)]
    labels = [f"{one.name} {_told(differing, one.name)}" for one, differing in zip(same, told, strict=True)]
    if len(first) > 1:
        labels[0] = same[0].name  # the others' labels name the differences
    return [
        label if differing and len(label) <= _LONG else f"{one.name} ({one.models[0].above[:8]})"
        for label, differing, one in zip(labels, told, same, strict=True)
    ]


def _seeds_tell(same: Sequence[Variant]) -> bool:
    """Whether variants of one name come from one recipe, with different seeds."""
    one_recipe = all(same_recipe(same[0].models[0], other.models[0]) for other in same)
    return one_recipe and len({other.seeds for other in same}) > 1


def _told(differing: Mapping[str, Any], model: str) -> str:
    own = f"stages.{model}."
    return ", ".join(
        f"{name.removeprefix(own).removeprefix('stages.')} {'not set' if value is None else value_text(value)}"
        for name, value in differing.items()
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _order(seed: object) -> int:
    return seed if isinstance(seed, int) else -1
