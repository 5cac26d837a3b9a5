"""Recipe -> Plan: the stages in order, each with a key that hashes all that decides its output.

Knows neither Ray nor MLflow nor torch: it says what would run, not how. The store is asked only where a recipe names
draws of other runs.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from orchestrator.answers.formats.difference import first_difference
from orchestrator.errors import FormatChange, RecipeError
from orchestrator.models.base import BaseModelRef
from orchestrator.models.start import StartModel, check_adapter, resolve_start
from orchestrator.notebook import paragraphs, table
from orchestrator.plan.pooled import PooledDraws, pooled_draws
from orchestrator.recipe.graph import behind, whole_stage
from orchestrator.recipe.recipe import Recipe
from orchestrator.stages.base import Keys, Kind, Verb
from orchestrator.stages.training import Training
from orchestrator.store.names import output_of
from orchestrator.tasks import Task
from orchestrator.tasks.judged_by import judged_by
from orchestrator.tasks.splits import Split
from orchestrator.tasks.tolerance import fitted
from orchestrator.types import BASE


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a plan."""

    name: str
    verb: str
    spec: Verb
    key: str
    """32 hex digits."""
    inputs: tuple[str, ...]
    """Names of the stages whose output this one reads."""
    model: str | None
    """The model that the stage makes, or evaluates, or samples from."""
    cached: str | None = None
    """The MLflow run that holds this stage's output already."""
    also: str | None = None
    """The further split that an evaluation asks; None: the one that models are compared on."""
    recipe_digest: str = ""
    """As the key, but for the seed, of this stage and of all that it stands on: equal for seeds of one recipe."""
    draws_digest: str | None = None
    """Equal for stages whose completions are the same, however they are judged and however many; None: it makes none,
    or how they are judged decides which."""
    pool: str | None = None
    """Of a stage that draws: equal where the same questions are asked, read and judged alike."""
    pooled: Mapping[str, str] = field(default_factory=dict)
    """What it reads of other runs: for each RUN:STAGE the MLflow run that holds it."""
    drawn: str | None = None
    """The MLflow run that holds completions which the stage would draw, where its own output is not there."""
    judging_digest: str | None = None
    """Of an evaluation: equal where answers are asked for, read and judged alike."""
    judged_by: str | None = None
    """Of an evaluation: how answers are read and judged, in words."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of all that it reads: of stages, and RUN:STAGE of other runs."""
        return (*self.inputs, *self.pooled)

    @property
    def run_name(self) -> str:
        """The MLflow run a stage writes to: an evaluation goes into the run of the model it evaluates."""
        return self.model if self.is_evaluation and self.model else self.name

    @property
    def is_evaluation(self) -> bool:
        """Whether it judges a model, whose run then holds its figures."""
        return self.spec.MAKES is Kind.RESULTS

    @property
    def output(self) -> str:
        """The artifact that it leaves."""
        return output_of(self.spec.OUTPUT, self.also)


@dataclass(frozen=True, slots=True)
class Plan:
    """The compiled recipe."""

    recipe: Recipe
    start: StartModel
    stages: tuple[Stage, ...]
    format_change: str | None = None
    """How the recipe's answer format differs from the one its model was trained with, where the recipe allows it."""
    tolerance: str | None = None
    """The judge's tolerance and why it is that, where the recipe leaves it open; the plan's own recipe has it."""
    elsewhere: dict[tuple[str, str], PooledDraws] = field(default_factory=dict, compare=False, repr=False)
    """What is known of draws of other runs, for the plans of variants."""

    @property
    def base(self) -> BaseModelRef:
        """The whole model under every adapter."""
        return self.start.base

    @property
    def key(self) -> str:
        """Identifies the whole plan: every stage's key under its name."""
        return digest({stage.name: stage.key for stage in self.stages})

    def __repr__(self) -> str:
        return f"Plan({self.recipe.name}: {_to_run(self.stages)})"

    def _repr_html_(self) -> str:
        """The stages, and which of them are made already."""
        rows = [(s.name, *_about(s, self.base.name)) for s in self.stages]
        return table(("stage", "verb", "reads", "key", "state"), rows) + paragraphs([_to_run(self.stages)])

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        return next(stage for stage in self.stages if stage.name == name)

    def needed(self) -> "Plan":
        """The same plan without the stages that no evaluation stands on."""
        evaluated = [stage for stage in self.stages if stage.is_evaluation]
        wanted = {name for stage in evaluated for name in stage.inputs}
        made = behind(self.recipe.stages, wanted)
        return replace(self, stages=tuple(s for s in self.stages if s.is_evaluation or s.name in made))

    def with_cached(self, runs: Mapping[str, str]) -> "Plan":
        """The same plan, knowing which keys are made already: `runs` maps a key to a run id."""
        return replace(self, stages=tuple(replace(s, cached=runs.get(s.key)) for s in self.stages))

    def with_drawn(self, runs: Mapping[str, str]) -> "Plan":
        """The same plan, knowing which completions are there already: `runs` maps a key to a run id."""
        return replace(self, stages=tuple(replace(s, drawn=runs.get(s.key)) for s in self.stages))

    def may_be_drawn(self) -> list[Stage]:
        """The stages to be run whose completions may be there: all that they read is made."""
        made = {stage.name for stage in self.stages if stage.cached is not None}
        return [s for s in self.stages if s.cached is None and s.draws_digest is not None and made >= set(s.inputs)]


@dataclass(frozen=True, slots=True)
class Trial:
    """One variant of a recipe: what it changes, and the plan that makes it."""

    label: Mapping[str, Any]
    """Dotted names and their values, such as `{"seed": 1, "stages.rft.learning_rate": 1e-4}`."""
    plan: Plan
    name: str = ""
    """What it is called, where that is not its label."""

    @property
    def title(self) -> str:
        """The label for people: `seed 1, stages.rft.learning_rate 0.0001`."""
        return self.name or ", ".join(f"{name} {value}" for name, value in self.label.items())


@dataclass(frozen=True, slots=True)
class TrialsPlan:
    """A recipe with several variants: for each the plan that it would have by itself."""

    recipe: Recipe
    trials: tuple[Trial, ...]
    """In the recipe's order."""

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plan of each trial."""
        return tuple(trial.plan for trial in self.trials)

    @property
    def key(self) -> str:
        """Identifies all of it, in whatever order the trials are."""
        return digest({"trials": {digest(dict(trial.label)): trial.plan.key for trial in self.trials}})

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every stage once: what trials have in common is shared."""
        found: dict[str, Stage] = {}
        for trial in self.trials:
            for stage in trial.plan.stages:
                found.setdefault(stage.key, stage)
        return tuple(found.values())

    def __repr__(self) -> str:
        return f"TrialsPlan({self.recipe.name}, {len(self.trials)} trials: {_to_run(self.stages)})"

    def _repr_html_(self) -> str:
        """Every stage once, whose it is, and which of them are made already."""
        rows = []
        for stage in self.stages:
            sharers = self.sharing()[stage.key]
            whose = sharers[0].title if len(sharers) == 1 else f"{len(sharers)} of {len(self.trials)}"
            rows.append((stage.name, whose, *_about(stage, self.plans[0].base.name)))
        return table(("stage", "trial", "verb", "reads", "key", "state"), rows) + paragraphs([_to_run(self.stages)])

    def sharing(self) -> dict[str, tuple[Trial, ...]]:
        """For each key the trials whose stage it is."""
        found: dict[str, list[Trial]] = {}
        for trial in self.trials:
            for stage in trial.plan.stages:
                found.setdefault(stage.key, []).append(trial)
        return {key: tuple(trials) for key, trials in found.items()}

    def with_cached(self, runs: Mapping[str, str]) -> "TrialsPlan":
        """The same plans, knowing which keys are made already."""
        return replace(self, trials=tuple(replace(t, plan=t.plan.with_cached(runs)) for t in self.trials))

    def with_drawn(self, runs: Mapping[str, str]) -> "TrialsPlan":
        """The same plans, knowing which completions are there already."""
        return replace(self, trials=tuple(replace(t, plan=t.plan.with_drawn(runs)) for t in self.trials))

    def may_be_drawn(self) -> list[Stage]:
        """As of each plan, every stage once."""
        return list({stage.key: stage for plan in self.plans for stage in plan.may_be_drawn()}.values())


def _about(stage: Stage, base: str) -> tuple[str, str, str, str]:
    return stage.verb, ", ".join(stage.reads) or base, stage.key[:8], "to run" if stage.cached is None else "reused"


def _to_run(stages: Sequence[Stage]) -> str:
    return f"{sum(stage.cached is None for stage in stages)} of {len(stages)} stages to run"


def plans_of(compiled: Plan | TrialsPlan) -> tuple[Plan, ...]:
    """The plan, or that of each trial."""
    return compiled.plans if isinstance(compiled, TrialsPlan) else (compiled,)


def compile_recipe(recipe: Recipe) -> Plan | TrialsPlan:
    """The plan of a recipe, or its plans where it has several variants; raises as `compile_plan` does."""
    labels = recipe.trials()
    return compile_trials(recipe, labels) if labels[0] else compile_plan(recipe)


def compile_trials(recipe: Recipe, labels: Sequence[Mapping[str, Any]]) -> TrialsPlan:
    """The plans of a recipe's variants; raises as `compile_plan` does.

    Where variants have the model and the task in common, these are read and checked once.
    """
    first, *others = labels
    plan = compile_plan(recipe.varied(first))
    trials = [Trial(first, plan), *(Trial(label, compile_beside(recipe, label, plan)) for label in others)]
    return TrialsPlan(recipe.model_copy(update={"task": plan.recipe.task}), tuple(trials))


def compile_beside(recipe: Recipe, changes: Mapping[str, Any], plan: Plan) -> Plan:
    """The plan of a variant of a recipe of which another variant has a plan; raises as `compile_plan` does."""
    variant = recipe.varied(changes)
    if variant.task is not recipe.task or variant.model != recipe.model:
        return compile_plan(variant)
    variant = variant.model_copy(update={"task": plan.recipe.task})
    change = _format_change(variant, plan.start)
    _check_adapters(variant, plan.start)
    _check_validation(variant)
    return replace(plan, recipe=variant, stages=_stages(variant, plan.start, plan.elsewhere), format_change=change)


def compile_plan(recipe: Recipe) -> Plan:
    """Check the recipe's data and model, and give each stage its key; of several trials the first is planned.

    Raises:
        DataError: a split that cannot be read or used.
        ModelError: a base model that cannot be found.
        RecipeError: a new adapter on a model that is one already; a choice by a loss that cannot be measured.
        FormatChange: a model that was trained under another answer format, unless the recipe allows it.
    """
    if first := recipe.trials()[0]:
        recipe = recipe.varied(first)
    start = resolve_start(recipe.model)
    check_adapter(start)
    change = _format_change(recipe, start)
    recipe.task.check()
    task, tolerance = fitted(recipe.task)
    recipe = recipe.model_copy(update={"task": task})
    _check_adapters(recipe, start)
    _check_validation(recipe)
    elsewhere: dict[tuple[str, str], PooledDraws] = {}
    return Plan(recipe, start, _stages(recipe, start, elsewhere), change, tolerance, elsewhere)


def _stages(recipe: Recipe, start: StartModel, known: dict[tuple[str, str], PooledDraws]) -> tuple[Stage, ...]:
    """The stages in order, each with its key; what was found of draws of other runs is `known` from then on."""
    computed = {} if recipe.model.dtype == "auto" else {"dtype": recipe.model.dtype}
    keys: dict[str, str] = {BASE: digest({"base": start.digest} | computed)}
    seedless = {keys[BASE]: keys[BASE]}
    stages: list[Stage] = []
    for name, spec in recipe.stages.items():
        pooled = _pooled(recipe, name, spec, stages, known)
        keys |= {used: draws.key for used, draws in pooled.items()}
        payload = _payload(spec, recipe, keys, spec.model_read)
        keys[name] = digest(payload)
        seedless[keys[name]] = digest(_without_seed(payload, seedless))
        drawing = spec.drawing() if spec.MAKES is Kind.COMPLETIONS else None
        read = [reference.stage for reference in spec.references()]
        inputs = tuple(dict.fromkeys(read + _under(recipe, spec.model_read)))
        model = name if spec.makes_model else spec.model_read
        stages.append(
            Stage(
                name,
                spec.verb,
                spec,
                keys[name],
                inputs,
                model,
                recipe_digest=seedless[keys[name]],
                draws_digest=_draws_digest(spec, payload),
                pool=None if drawing is None else pool_of(recipe.task, drawing.split),
                pooled={used: draws.run_id for used, draws in pooled.items()},
            )
        )
    words = judged_by(recipe.task)
    judging = digest({"judging": recipe.task.judging(), "format": recipe.task.format.fingerprint()})
    for also, model in product((None, *recipe.evaluate.also), recipe.models()):
        asked = recipe.evaluate if also is None else recipe.evaluate.model_copy(update={"on": also, "also": ()})
        payload = _payload(asked, recipe, keys, model)
        alike, draws = digest(_without_seed(payload, seedless)), _draws_digest(asked, payload)
        if also is not None:
            payload["also"] = also  # its figures and files are named after it
        inputs = tuple(dict.fromkeys(([] if model == BASE else [model]) + _under(recipe, model)))
        name = f"evaluate.{model}" if also is None else f"evaluate.{model}.{also}"
        key = digest(payload)
        stages.append(
            Stage(
                name,
                asked.verb,
                asked,
                key,
                inputs,
                model,
                also=also,
                recipe_digest=alike,
                draws_digest=draws,
                judging_digest=judging,
                judged_by=words,
            )
        )
    return tuple(stages)


def _pooled(
    recipe: Recipe, name: str, spec: Verb, above: Sequence[Stage], known: dict[tuple[str, str], PooledDraws]
) -> dict[str, PooledDraws]:
    """The draws of other runs that a stage selects from, by RUN:STAGE.

    Raises:
        RecipeError: they cannot be selected from, or two of its sources hold the same draws.
    """
    beside = {one.name: one for one in above if one.name in {reference.stage for reference in spec.references()}}
    pool = next((one.pool for one in beside.values() if one.pool is not None), None)
    found: dict[str, PooledDraws] = {}
    for used in spec.pooled():
        where = f"{recipe.source}: stages.{name}.{used.field}"
        assert pool is not None  # it names a stage of the recipe, too
        if (used.stage, pool) not in known:
            known[used.stage, pool] = pooled_draws(where, used.stage, pool)
        found[used.stage] = known[used.stage, pool]
    drawn: dict[str, str] = {}
    for source, made in (beside | found).items():
        if made.draws_digest is not None and (other := drawn.setdefault(made.draws_digest, source)) != source:
            raise RecipeError(
                f"{recipe.source}: stages.{name}: {other!r} and {source!r} are the same draws, or one has those of the "
                "other among its own: name one of them, and raise its n for more"
            )
    return found


def _format_change(recipe: Recipe, start: StartModel) -> str | None:
    if start.answer_format is None:
        return None
    difference = first_difference(start.answer_format, recipe.task.format)
    if difference is not None and not recipe.allow_format_change:
        raise FormatChange(
            f"{recipe.source}: {recipe.model.name} was trained under another answer format than task.format; "
            f"write task.format as it was, or set allow_format_change: true\n{difference}"
        )
    return difference


def _check_adapters(recipe: Recipe, start: StartModel) -> None:
    """The recipe's own model may be an adapter, which only its folder tells: then no other is begun on it."""
    if start.adapter is None:
        return
    new = [n for n, s in recipe.stages.items() if isinstance(s, Training) and s.model == BASE and s.asks_for_lora]
    if new:
        raise RecipeError(
            *(
                f"{recipe.source}: stages.{name}.lora: {recipe.model.name} is an adapter already, and that one is "
                "trained on; leave lora out, or write null to merge it and train all weights"
                for name in new
            )
        )


def _check_validation(recipe: Recipe) -> None:
    """A validation loss is that of worked solutions, and only the data tell whether there are any."""
    stages = [(n, s.validation) for n, s in recipe.stages.items() if isinstance(s, Training) and s.validation]
    problems = [
        f"{recipe.source}: stages.{name}.validation.select: best_loss goes by the loss on worked solutions, and the "
        f"first {validation.questions} questions of task.validation have none; set it to best_accuracy, or give that "
        "split demonstrations"
        for name, validation in stages
        if validation.select == "best_loss"
        and all(e.demonstration is None for e in recipe.task.examples("validation")[: validation.questions])
    ]
    if problems:
        raise RecipeError(*problems)


def _under(recipe: Recipe, model: str | None) -> list[str]:
    """The stage whose whole model lies under the one that a stage loads; empty where that is the recipe's own."""
    whole = whole_stage(recipe.stages, model or BASE)
    return [] if whole is None else [whole]


def _payload(spec: Verb, recipe: Recipe, keys: Mapping[str, str], model: str | None) -> dict[str, Any]:
    """What a stage's key hashes."""
    read = spec.key_inputs(Keys(recipe.task, recipe.seed, recipe.evaluate, keys, model))
    return {"verb": spec.verb, "version": spec.VERSION, "settings": spec.settings(), **read}


def _draws_digest(spec: Verb, payload: Mapping[str, Any]) -> str | None:
    """Of what decides the completions that a stage makes, one by one."""
    decides = spec.decides_draws(payload)
    return None if decides is None else digest(decides)


def _without_seed(payload: Mapping[str, Any], seedless: Mapping[str, str]) -> dict[str, Any]:
    """What makes a key, but for the recipe's seed; `seedless` holds for each stage's key what stands for it."""

    def told(value: Any) -> Any:
        if isinstance(value, list):
            return [told(one) for one in value]
        return seedless.get(value, value) if isinstance(value, str) else value

    return {name: told(value) for name, value in payload.items() if name != "seed"}


def pool_of(task: Task, split: Split) -> str:
    """Equal for draws that may be selected from together: of the same questions, asked, read and judged alike.

    Its first part is that of `questions_of`.
    """
    alike = digest({"format": task.format.fingerprint(), "judging": task.judging()})
    return f"{questions_of(task, split)}-{alike[:16]}"


def questions_of(task: Task, split: Split) -> str:
    """Equal where a split has the same questions with the same gold answers."""
    return digest(task.fingerprint(split))[:16]


def digest(payload: Any) -> str:
    """sha256 of canonical JSON; TypeError on anything that JSON cannot hold, never a guess."""
    text = json.dumps(payload, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
