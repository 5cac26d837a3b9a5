"""The variants of a recipe that a sweep tries: their plans, and checks before anything runs."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from orchestrator.errors import DataError, OrchError, RecipeError
from orchestrator.plan.plan import Plan, Trial, compile_beside, compile_plan
from orchestrator.recipe.recipe import Recipe
from orchestrator.recipe.sweep import Metric, Sweep, own_metric

Label = Mapping[str, Any]
"""The swept settings of a trial, by dotted name, and its seed if there are several."""


class Variants:
    """Plans of variants of one recipe. What they have in common, the data and the base model, is read only once.

    `sweep` is the recipe's block, `metric` what trials are compared by, `own` the plan that a trial with the recipe's
    own values would have.
    """

    def __init__(self, recipe: Recipe) -> None:
        """Raises like `compile_plan`, and RecipeError for a parameter that cannot be varied this way."""
        assert recipe.sweep is not None
        self.recipe, self.sweep = recipe, recipe.sweep
        trained = [name for name, spec in recipe.stages.items() if spec.makes_model]
        self.metric: Metric = own_metric(self.sweep, trained)
        seeds = self.sweep.seeds or recipe.seeds or (recipe.seed,)
        self.seeds = seeds if self.sweep.finalists is None else seeds[:1]
        self.more_seeds = seeds[1:] or tuple((seeds[0] + i) % 2**32 for i in (1, 2))
        """The additional seeds that finalists are run with."""
        self._first = compile_plan(recipe.varied(self._asked({}, self.seeds[0])))
        self.own = self._first.needed()
        self._check()

    @property
    def several_seeds(self) -> bool:
        """Whether each trial is run with more than one seed."""
        return len(self.seeds) > 1

    @property
    def adapts(self) -> bool:
        """Whether proposals depend on the results of earlier trials."""
        return self.sweep.method == "tpe"

    @property
    def own_values(self) -> Label:
        """The recipe's own values of the varied settings."""
        data = self.recipe.resolved()
        return {name: _at(data, name) for name in self.sweep.names}

    def trial(self, number: int, values: Label, seed: int) -> Trial:
        """One seed of a trial, evaluated on the split that trials are compared on."""
        label = dict(values) | ({"seed": seed} if seed != self.seeds[0] or self.several_seeds else {})
        name = f"trial {number}, seed {seed}" if "seed" in label else f"trial {number}"
        return Trial(label, self._plan(self._asked(values, seed)), name)

    def tested(self, values: Label, seed: int, name: str) -> Trial:
        """A variant, evaluated on the split that the recipe itself evaluates on."""
        changes = {**values, **self._seed(seed), "sweep": None}
        changes |= {"evaluate.models": [self.metric.model], "evaluate.also": []}
        return Trial(dict(values) | ({"seed": seed} if self.several_seeds else {}), self._plan(changes), name)

    def _plan(self, changes: Label) -> Plan:
        return compile_beside(self.recipe, changes, self._first).needed()

    def _asked(self, values: Label, seed: int) -> dict[str, Any]:
        """The changes that turn the recipe into that of a trial."""
        asked = {"evaluate.on": self.metric.on, "evaluate.models": [self.metric.model], "evaluate.also": []}
        return {**values, **self._seed(seed), **asked, "sweep": None}

    def _seed(self, seed: int) -> dict[str, Any]:
        return {} if self.recipe.seeds is None and seed == self.recipe.seed else {"seed": seed}

    def _check(self) -> None:
        problems = self._unmeasured()
        idle = dict.fromkeys((place for place, _ in self.sweep.changes()), True)
        asked = self.recipe.task.examples(self.metric.on)
        for place, changes in self.sweep.changes():
            try:
                plan = self._plan(self._asked(changes, self.seeds[0]))
                if plan.recipe.task is not self._first.recipe.task and not _alike(
                    asked, plan.recipe.task.examples(self.metric.on)
                ):
                    problems.append(
                        f"{self._place(place)}: changes the questions of {self.metric.on}, on which trials are "
                        "compared: every trial must answer the same questions"
                    )
                    idle[place] = False
            except (DataError, RecipeError) as error:
                problems += [f"{self._place(place)}: {_bare(problem, place)}" for problem in error.problems]
                idle[place] = False
            except OrchError as error:
                problems.append(f"{self._place(place)}: {error}")
                idle[place] = False
            else:
                idle[place] = idle[place] and plan.key == self.own.key
        for place in (place for place, nothing in idle.items() if nothing and not place.startswith("linked")):
            problems.append(
                f"{self._place(place)}: changes nothing that affects {self.metric.model}: all trials would be the same"
            )
        if problems:
            raise RecipeError(*dict.fromkeys(problems))

    def _unmeasured(self) -> list[str]:
        """What is wrong if trials are to be ended early but there are no suitable measurements."""
        spec, early = self.recipe.stages[self.metric.model], self.sweep.early_terminate
        if early is not None and self.several_seeds:
            return [
                f"{self._place('early_terminate')}: relies on one training per trial, but there are several seeds: "
                "write finalists: 3 instead of seeds, so that only the best trials get more of them"
            ]
        if early is None or getattr(spec, "validation", None) is not None:
            return []
        return [
            f"{self._place('early_terminate')}: needs measurements during training: give "
            f"stages.{self.metric.model} a validation block, such as {{every: 20, questions: 64}}"
        ]

    def _place(self, place: str) -> str:
        places = self.recipe.written.places
        kind, _, rest = place.partition(".")
        for path in (("sweep", kind, rest), ("sweep", kind), ("sweep",)):
            if path in places:
                return f"{places[path]}: sweep.{place}"
        return f"{self.recipe.source}: sweep.{place}"


def _alike(ours: Any, theirs: Any) -> bool:
    return [(e.id, e.question, e.answer) for e in ours] == [(e.id, e.question, e.answer) for e in theirs]


def _at(data: Any, name: str) -> Any:
    """A recipe's value for a dotted name; None if it has none."""
    for part in name.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _bare(problem: str, place: str) -> str:
    """A problem without the location of an override: the sweep's own location is put before it."""
    return problem.removeprefix("override ").removeprefix(f"{place.partition('.')[2]}: ")


def grid(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """All combinations of the listed values, with the last parameter varying fastest."""
    rows: list[dict[str, Any]] = [dict(row) for row in sweep.linked] or [{}]
    values = [[{name: value} for value in one.values or ()] for name, one in sweep.parameters.items()]
    for row, *parts in product(rows, *values):
        made = dict(row)
        for part in parts:
            made |= part
        yield {name: made[name] for name in sweep.names}
