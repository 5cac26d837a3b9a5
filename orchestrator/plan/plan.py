"""Recipe -> Plan: the stages in order, each with a key that hashes everything that determines its output.

Knows neither Ray nor MLflow nor torch: it describes what would run, not how. The store is queried only if a recipe
names draws of other runs.
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
    """Names of the stages whose outputs this one reads."""
    model: str | None
    """The model that the stage produces, evaluates or samples from."""
    cached: str | None = None
    """The MLflow run that already contains this stage's output."""
    also: str | None = None
    """The further split that an evaluation uses; None: the one that models are compared on."""
    recipe_digest: str = ""
    """Like the key, but without the seed, of this stage and all it depends on: equal for seeds of one recipe."""
    draws_digest: str | None = None
    """Equal for stages whose completions are the same, however they are judged and however many; None if it draws none,
    or if judging decides which ones it draws."""
    pool: str | None = None
    """For a stage that draws: equal if the same questions are prompted, parsed and judged alike."""
    pooled: Mapping[str, str] = field(default_factory=dict)
    """Its inputs from other runs: for each RUN:STAGE the MLflow run that contains it."""
    drawn: str | None = None
    """The MLflow run with completions that the stage would draw, if its own output does not exist."""
    judging_digest: str | None = None
    """For an evaluation: equal if answers are prompted for, parsed and judged alike."""
    judged_by: str | None = None
    """For an evaluation: how answers are parsed and judged, as text."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of all its inputs: stages, and RUN:STAGE for other runs."""
        return (*self.inputs, *self.pooled)

    @property
    def run_name(self) -> str:
        """The MLflow run the stage is logged in: an evaluation is logged in the run of the model it evaluates."""
        return self.model if self.is_evaluation and self.model else self.name

    @property
    def is_evaluation(self) -> bool:
        """Whether it evaluates a model, whose run then contains its figures."""
        return self.spec.MAKES is Kind.RESULTS

    @property
    def output(self) -> str:
        """Its output artifact."""
        return output_of(self.spec.OUTPUT, self.also)


@dataclass(frozen=True, slots=True)
class Plan:
    """The compiled recipe."""

    recipe: Recipe
    start: StartModel
    stages: tuple[Stage, ...]
    format_change: str | None = None
    """How the recipe's answer format differs from the one its model was trained with, if the recipe allows it."""
    tolerance: str | None = None
    """The judge's tolerance and the reason for it, if the recipe leaves it open; the plan's own recipe has it set."""
    elsewhere: dict[tuple[str, str], PooledDraws] = field(default_factory=dict, compare=False, repr=False)
    """Known draws of other runs, for the plans of variants."""

    @property
    def base(self) -> BaseModelRef:
        """The whole model under any adapters."""
        return self.start.base

    @property
    def key(self) -> str:
        """Identifies the whole plan: every stage's key under its name."""
        return digest({stage.name: stage.key for stage in self.stages})

    def __repr__(self) -> str:
        return f"Plan({self.recipe.name}: {_to_run(self.stages)})"

    def _repr_html_(self) -> str:
        """The stages, and which of them are already finished."""
        rows = [(s.name, *_about(s, self.base.name)) for s in self.stages]
        return table(("stage", "verb", "reads", "key", "state"), rows) + paragraphs([_to_run(self.stages)])

    def stage(self, name: str) -> Stage:
        """The stage with that name."""
        return next(stage for stage in self.stages if stage.name == name)

    def needed(self) -> "Plan":
        """The same plan without the stages that no evaluation depends on."""
        evaluated = [stage for stage in self.stages if stage.is_evaluation]
        wanted = {name for stage in evaluated for name in stage.inputs}
        made = behind(self.recipe.stages, wanted)
        return replace(self, stages=tuple(s for s in self.stages if s.is_evaluation or s.name in made))

    def with_cached(self, runs: Mapping[str, str]) -> "Plan":
        """The same plan with finished stages marked as cached: `runs` maps a key to a run id."""
        return replace(self, stages=tuple(replace(s, cached=runs.get(s.key)) for s in self.stages))

    def with_drawn(self, runs: Mapping[str, str]) -> "Plan":
        """The same plan with existing completions noted: `runs` maps a key to a run id."""
        return replace(self, stages=tuple(replace(s, drawn=runs.get(s.key)) for s in self.stages))

    def may_be_drawn(self) -> list[Stage]:
        """The stages to run whose completions may already exist: all their inputs are finished."""
        made = {stage.name for stage in self.stages if stage.cached is not None}
        return [s for s in self.stages if s.cached is None and s.draws_digest is not None and made >= set(s.inputs)]


@dataclass(frozen=True, slots=True)
class Trial:
    """One variant of a recipe: what it changes, and its plan."""

    label: Mapping[str, Any]
    """Dotted names and their values, such as `{"seed": 1, "stages.rft.learning_rate": 1e-4}`."""
    plan: Plan
    name: str = ""
    """Its name, if that is not its label."""

    @property
    def title(self) -> str:
        """Its name, or the label in readable form: `seed 1, stages.rft.learning_rate 0.0001`."""
        return self.name or ", ".join(f"{name} {value}" for name, value in self.label.items())


@dataclass(frozen=True, slots=True)
class TrialsPlan:
    """A recipe with several variants: for each, the plan it would have on its own."""

    recipe: Recipe
    trials: tuple[Trial, ...]
    """In the recipe's order."""

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plan of each trial."""
        return tuple(trial.plan for trial in self.trials)

    @property
    def key(self) -> str:
        """Identifies all trials together, in any order."""
        return digest({"trials": {digest(dict(trial.label)): trial.plan.key for trial in self.trials}})

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every stage once: stages that trials have in common are shared."""
        found: dict[str, Stage] = {}
        for trial in self.trials:
            for stage in trial.plan.stages:
                found.setdefault(stage.key, stage)
        return tuple(found.values())

    def __repr__(self) -> str:
        return f"TrialsPlan({self.recipe.name}, {len(self.trials)} trials: {_to_run(self.stages)})"

    def _repr_html_(self) -> str:
        """Every stage once, which trial it belongs to, and whether it is already finished."""
        rows = []
        for stage in self.stages:
            sharers = self.sharing()[stage.key]
            whose = sharers[0].title if len(sharers) == 1 else f"{len(sharers)} of {len(self.trials)}"
            rows.append((stage.name, whose, *_about(stage, self.plans[0].base.name)))
        return table(("stage", "trial", "verb", "reads", "key", "state"), rows) + paragraphs([_to_run(self.stages)])

    def sharing(self) -> dict[str, tuple[Trial, ...]]:
        """For each key, the trials that have this stage."""
        found: dict[str, list[Trial]] = {}
        for trial in self.trials:
            for stage in trial.plan.stages:
                found.setdefault(stage.key, []).append(trial)
        return {key: tuple(trials) for key, trials in found.items()}

    def with_cached(self, runs: Mapping[str, str]) -> "TrialsPlan":
        """The same plans with finished stages marked as cached."""
        return replace(self, trials=tuple(replace(t, plan=t.plan.with_cached(runs)) for t in self.trials))

    def with_drawn(self, runs: Mapping[str, str]) -> "TrialsPlan":
        """The same plans with existing completions noted."""
        return replace(self, trials=tuple(replace(t, plan=t.plan.with_drawn(runs)) for t in self.trials))

    def may_be_drawn(self) -> list[Stage]:
        """Those of all plans, every stage once."""
        return list({stage.key: stage for plan in self.plans for stage in plan.may_be_drawn()}.values())


def _about(stage: Stage, base: str) -> tuple[str, str, str, str]:
    return stage.verb, ", ".join(stage.reads) or base, stage.key[:8], "to run" if stage.cached is None else "reused"


def _to_run(stages: Sequence[Stage]) -> str:
    return f"{sum(stage.cached is None for stage in stages)} of {len(stages)} stages to run"


def plans_of(compiled: Plan | TrialsPlan) -> tuple[Plan, ...]:
    """The plan itself, or the plan of each trial."""
    return compiled.plans if isinstance(compiled, TrialsPlan) else (compiled,)


def compile_recipe(recipe: Recipe) -> Plan | TrialsPlan:
    """The plan of a recipe, or its plans if it has several variants; raises like `compile_plan`."""
    labels = recipe.trials()
    return compile_trials(recipe, labels) if labels[0] else compile_plan(recipe)


def compile_trials(recipe: Recipe, labels: Sequence[Mapping[str, Any]]) -> TrialsPlan:
    """The plans of a recipe's variants; raises like `compile_plan`.

    If variants have the model and the task in common, these are read and checked only once.
    """
    first, *others = labels
    plan = compile_plan(recipe.varied(first))
    trials = [Trial(first, plan), *(Trial(label, compile_beside(recipe, label, plan)) for label in others)]
    return TrialsPlan(recipe.model_copy(update={"task": plan.recipe.task}), tuple(trials))


def compile_beside(recipe: Recipe, changes: Mapping[str, Any], plan: Plan) -> Plan:
    """The plan of a recipe's variant, given another variant's `plan`; raises like `compile_plan`."""
    variant = recipe.varied(changes)
    if variant.task is not recipe.task or variant.model != recipe.model:
        return compile_plan(variant)
    variant = variant.model_copy(update={"task": plan.recipe.task})
    change = _format_change(variant, plan.start)
    _check_adapters(variant, plan.start)
    _check_validation(variant)
    return replace(plan, recipe=variant, stages=_stages(variant, plan.start, plan.elsewhere), format_change=change)


def compile_plan(recipe: Recipe) -> Plan:
    """Check the recipe's data and model, and compute each stage's key; with several trials, plan the first.

    Raises:
        DataError: a split that cannot be read or used.
        ModelError: a base model that cannot be found.
        RecipeError: a new adapter on a model that already is one; a selection by a loss that cannot be measured.
        FormatChange: a model that was trained with a different answer format, unless the recipe allows it.
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
    """The stages in order, each with its key; draws found in other runs are added to `known`."""
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
        RecipeError: they cannot be selected from, or two of the stage's sources contain the same draws.
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
                f"{recipe.source}: stages.{name}: {other!r} and {source!r} are the same draws, or one includes those "
                "of the other: name only one of them, and raise its n for more"
            )
    return found


def _format_change(recipe: Recipe, start: StartModel) -> str | None:
    if start.answer_format is None:
        return None
    difference = first_difference(start.answer_format, recipe.task.format)
    if difference is not None and not recipe.allow_format_change:
        raise FormatChange(
            f"{recipe.source}: {recipe.model.name} was trained with a different answer format than task.format; "
            f"restore the earlier task.format, or set allow_format_change: true\n{difference}"
        )
    return difference


def _check_adapters(recipe: Recipe, start: StartModel) -> None:
    """The recipe's own model may be an adapter, which only its folder shows: then no new one may be started on it."""
    if start.adapter is None:
        return
    new = [n for n, s in recipe.stages.items() if isinstance(s, Training) and s.model == BASE and s.asks_for_lora]
    if new:
        raise RecipeError(
            *(
                f"{recipe.source}: stages.{name}.lora: {recipe.model.name} is already an adapter, whose training "
                "continues; leave lora out, or set it to null to merge the adapter and train all weights"
                for name in new
            )
        )


def _check_validation(recipe: Recipe) -> None:
    """A validation loss is computed on worked solutions, and only the data show whether there are any."""
    stages = [(n, s.validation) for n, s in recipe.stages.items() if isinstance(s, Training) and s.validation]
    problems = [
        f"{recipe.source}: stages.{name}.validation.select: best_loss uses the loss on worked solutions, but the "
        f"first {validation.questions} questions of task.validation have none; set it to best_accuracy, or give that "
        "split demonstrations"
        for name, validation in stages
        if validation.select == "best_loss"
        and all(e.demonstration is None for e in recipe.task.examples("validation")[: validation.questions])
    ]
    if problems:
        raise RecipeError(*problems)


def _under(recipe: Recipe, model: str | None) -> list[str]:
    """The stage whose whole model is under the model that a stage loads; empty if that is the recipe's own."""
    whole = whole_stage(recipe.stages, model or BASE)
    return [] if whole is None else [whole]


def _payload(spec: Verb, recipe: Recipe, keys: Mapping[str, str], model: str | None) -> dict[str, Any]:
    """The content that a stage's key hashes."""
    read = spec.key_inputs(Keys(recipe.task, recipe.seed, recipe.evaluate, keys, model))
    return {"verb": spec.verb, "version": spec.VERSION, "settings": spec.settings(), **read}


def _draws_digest(spec: Verb, payload: Mapping[str, Any]) -> str | None:
    """The digest of what determines a stage's individual completions; None if there is none."""
    decides = spec.decides_draws(payload)
    return None if decides is None else digest(decides)


def _without_seed(payload: Mapping[str, Any], seedless: Mapping[str, str]) -> dict[str, Any]:
    """A key's payload without the recipe's seed; `seedless` maps each stage's key to its counterpart without seed."""

    def told(value: Any) -> Any:
        if isinstance(value, list):
            return [told(one) for one in value]
        return seedless.get(value, value) if isinstance(value, str) else value

    return {name: told(value) for name, value in payload.items() if name != "seed"}


def pool_of(task: Task, split: Split) -> str:
    """Equal for draws that may be selected from together: the same questions, prompted, parsed and judged alike.

    Its first part is the result of `questions_of`.
    """
    alike = digest({"format": task.format.fingerprint(), "judging": task.judging()})
    return f"{questions_of(task, split)}-{alike[:16]}"


def questions_of(task: Task, split: Split) -> str:
    """Equal if a split has the same questions with the same gold answers."""
    return digest(task.fingerprint(split))[:16]


def digest(payload: Any) -> str:
    """sha256 of canonical JSON, shortened; raises TypeError for anything that JSON cannot represent, never guesses."""
    text = json.dumps(payload, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
