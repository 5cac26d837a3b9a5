"""The origin of a model, derived from recipes as plain data: its stages and settings, and where two recipes differ.

Plain data rather than the schema, so that recipes of other versions of orch can be compared, a thousand of them within
seconds.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.schema import flatten
from orchestrator.stages import EVALUATE, STAGES, every_verb, verb_of
from orchestrator.types import BASE

IDLE = frozenset(name for verb in every_verb() for name in verb.IDLE)
"""Settings of a stage that do not affect its output."""
_USUAL = {
    name: {later: kind.model_fields[later].default for later in kind.LATER}
    for name in (*STAGES, EVALUATE)
    if (kind := verb_of(name)) is not None
}
"""For each verb, the settings added in later versions, with the default that leaves its stages unchanged."""
_ABSENT = object()


def block(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A block of a recipe; empty if it has none."""
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}


def behind(stages: Mapping[str, Any], model: str) -> list[str]:
    """The stages behind a model: its own and all that it depends on, in the recipe's order."""
    wanted, queue = set(), [model]
    while queue:
        name = queue.pop()
        if name in stages and name not in wanted:
            wanted.add(name)
            queue += _named(stages[name])
    return [name for name in stages if name in wanted]


def _named(spec: Any) -> Iterator[str]:
    """Every string in a stage's block; those that are names of stages are its inputs."""
    if isinstance(spec, str):
        yield spec
    elif isinstance(spec, Mapping):
        for key, value in spec.items():
            if key != "type":
                yield from _named(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from _named(value)


def settings(recipe: Mapping[str, Any], model: str) -> dict[str, Any]:
    """All settings that decide a model and its evaluation, except the seed, by dotted name."""
    stages, evaluate = block(recipe, "stages"), block(recipe, "evaluate")
    made = {name: _deciding(stages[name]) for name in behind(stages, model)}
    asked = {k: v for k, v in _deciding(evaluate).items() if k not in {"on", "type"}}
    model_named = {k: v for k, v in block(recipe, "model").items() if k != "revision"}  # older runs have none
    parts = {"task": recipe.get("task"), "model": model_named, "stages": made, "evaluate": asked}
    return flatten(parts)


def changes(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that differ between two recipes, except the seed, with the value in each.

    None: not set. A stage that only one recipe has is a single entry, with its verb as the value.
    """
    a, b = _all_settings(ours), _all_settings(theirs)
    own = [{f"stages.{name}": spec for name, spec in block(one, "stages").items()} for one in (ours, theirs)]
    found: dict[str, tuple[Any, Any]] = {}
    for name in dict.fromkeys([*a, *b]):
        stage = ".".join(name.split(".")[:2])
        if any(stage in one for one in own) and not all(stage in one for one in own):
            here, there = (block(one, stage).get("type") for one in own)
            found[stage] = (here, there)
        elif repr(a.get(name)) != repr(b.get(name)):
            found[name] = (a.get(name), b.get(name))
    return found


def _all_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    asked = {k: v for k, v in _deciding(block(recipe, "evaluate")).items() if k not in {"type", "models"}}
    model_named = {k: v for k, v in block(recipe, "model").items() if k != "revision"}
    made = {name: _deciding(spec) for name, spec in block(recipe, "stages").items()}
    return flatten({"task": recipe.get("task"), "model": model_named, "stages": made, "evaluate": asked})


def _deciding(spec: Any) -> Any:
    """The settings of a block that affect the output, without later ones at the default that older versions imply."""
    if not isinstance(spec, Mapping):
        return spec
    usual = _USUAL.get(str(spec.get("type", EVALUATE)), {})
    return {k: v for k, v in spec.items() if k not in IDLE and not (k in usual and usual[k] == v)}


def made_from(recipe: Mapping[str, Any], model: str) -> str:
    """A digest that is equal for models whose recipes differ only in the seed; the content of data files is ignored."""
    text = json.dumps([model if model == BASE else "", settings(recipe, model)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def parting(recipes: list[Mapping[str, Any]], model: str) -> list[dict[str, Any]]:
    """For each of several recipes, the settings of one model that are not the same in all of them."""
    all_settings = [settings(recipe, model) for recipe in recipes]
    names = dict.fromkeys(name for found in all_settings for name in found)
    differing = [n for n in names if len({repr(found.get(n, _ABSENT)) for found in all_settings}) > 1]
    return [{name: found.get(name) for name in differing} for found in all_settings]
