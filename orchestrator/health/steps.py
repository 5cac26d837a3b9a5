"""How many steps a training will take, and whether its settings fit into them.

Counts as TRL's trainers do on one device. What a `select` stage will keep is not known before it has run: only bounds
are. It must not know a model or a tokenizer.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.plan.plan import Plan, Stage
from orchestrator.stages.specs import SampleSpec, SelectSpec
from orchestrator.training.settings import GrpoSpec, SftSpec, TrainingSpec
from orchestrator.types import Finding

_NO_WARMUP = ("constant",)
"""Schedules that take no warm-up, and say nothing of one that is asked for."""
_REACHED = 0.5
"""A training whose learning rate gets no further than this share of what the recipe says is another training."""


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows or questions a training has, as far as that is known."""

    least: int
    most: int


def step_findings(plan: Plan, stage: Stage) -> Iterator[Finding]:
    """Findings on the batches and the warm-up of a training stage."""
    spec = stage.spec
    if not isinstance(spec, TrainingSpec):
        return
    rows = rows_of(plan, spec)
    short = list(_too_few(plan, stage.name, spec, rows))
    yield from short
    if not short:
        yield from _warmup(stage.name, spec, steps(spec, rows.most))


def rows_of(plan: Plan, spec: TrainingSpec) -> Rows:
    """The rows of an `sft` stage, or the questions of a `grpo` stage."""
    task, stages = plan.recipe.task, plan.recipe.stages
    if isinstance(spec, GrpoSpec):
        n = len(task.examples(spec.prompts))
        return Rows(n, n)
    assert isinstance(spec, SftSpec)
    least = most = 0
    for source in spec.data:
        if source == "demonstrations":
            n = len(task.examples("demonstrations"))
            least, most = least + n, most + n
            continue
        chosen = stages[source]
        assert isinstance(chosen, SelectSpec)
        sampled = stages[chosen.source]
        assert isinstance(sampled, SampleSpec)
        each = min(sampled.n, chosen.max_per_example or sampled.n)
        least += 0 if chosen.allow_empty else 1
        most += each * len(task.examples(sampled.prompts))
    return Rows(least, most)


def questions_a_step(spec: GrpoSpec) -> int:
    """The questions that TRL draws completions for at a time; fewer than these make no step at all."""
    return _completions(spec) // spec.num_generations


def steps(spec: TrainingSpec, rows: int) -> int:
    """The optimizer steps of a training on so many rows or questions."""
    if spec.max_steps is not None:
        return spec.max_steps
    if isinstance(spec, GrpoSpec):
        generations = rows // max(1, questions_a_step(spec))
        batches = generations * spec.num_iterations * (_completions(spec) // spec.per_device_train_batch_size)
    elif spec.further.get("dataloader_drop_last"):
        batches = rows // spec.per_device_train_batch_size
    else:
        batches = math.ceil(rows / spec.per_device_train_batch_size)
    an_epoch = max(1, math.ceil(batches / spec.gradient_accumulation_steps))
    return math.ceil((spec.num_train_epochs or spec.DEFAULT_EPOCHS) * an_epoch)


def _completions(spec: GrpoSpec) -> int:
    """Completions that are drawn at a time, TRL's generation_batch_size."""
    own, a_generation = spec.further.get("generation_batch_size"), spec.further.get("steps_per_generation")
    if isinstance(own, int):
        return own
    batches = a_generation if isinstance(a_generation, int) else spec.gradient_accumulation_steps
    return spec.per_device_train_batch_size * batches


def _too_few(plan: Plan, name: str, spec: TrainingSpec, rows: Rows) -> Iterator[Finding]:
    """A training that would take no step."""
    if isinstance(spec, GrpoSpec):
        wanted = questions_a_step(spec)
        if rows.most < wanted:
            fits = rows.most * spec.num_generations
            yield Finding(
                "too-few-questions",
                "error",
                f"stage {name}: a step of GRPO takes {wanted:,} questions, and {plan.recipe.task.where(spec.prompts)} "
                f"has {rows.most:,}",
                f"{_completions(spec):,} completions are drawn at a time, {spec.num_generations} of each question",
                "TRL leaves out what fills no batch, so no step would be taken, after all stages before it were paid",
                f"set stages.{name}.per_device_train_batch_size to {fits} or less (a multiple of num_generations), "
                "or give it more questions"
                if fits and "generation_batch_size" not in spec.further and spec.gradient_accumulation_steps == 1
                else f"draw {fits} completions at a time or fewer, or give it more questions",
            )
    elif spec.further.get("dataloader_drop_last") and rows.most < spec.per_device_train_batch_size:
        yield Finding(
            "too-few-rows",
            "error",
            f"stage {name}: {rows.most:,} rows fill no batch of {spec.per_device_train_batch_size:,}",
            "dataloader_drop_last is true",
            "a batch that is not full is left out, so no step would be taken",
            f"leave stages.{name}.dataloader_drop_last out, or lower per_device_train_batch_size",
        )


def _warmup(name: str, spec: TrainingSpec, most: int) -> Iterator[Finding]:
    """A warm-up that outlasts the training, so that its learning rate is never reached."""
    if not spec.warmup_steps:
        return
    asked = spec.warmup_steps
    if spec.lr_scheduler_type in _NO_WARMUP:
        yield Finding(
            "warmup-ignored",
            "warning",
            f"stage {name}: warmup_steps = {asked:g} has no effect with lr_scheduler_type: {spec.lr_scheduler_type}",
            "the schedule is constant from the first step on",
            "this schedule has no warm-up, and TRL says nothing of it",
            f"set stages.{name}.lr_scheduler_type to constant_with_warmup, or leave warmup_steps out",
        )
        return
    warm = int(asked) if asked >= 1 else math.ceil(most * asked)
    if warm < most:
        return
    upto = "" if spec.max_steps is not None else "at most "
    trained = f"{upto}{most:,} step{'s' if most > 1 else ''}"
    yield Finding(
        "warmup-too-long",
        "error" if most - 1 < _REACHED * warm else "warning",
        f"stage {name}: warmup_steps = {asked:g} takes up the whole training, which has {trained}",
        f"the learning rate rises from 0 and gets no further than {spec.learning_rate * (most - 1) / max(1, warm):.3g} "
        f"of {spec.learning_rate:g}",
        "the warm-up was written for a longer training",
        f"set stages.{name}.warmup_steps to {max(1, most // 10)}, or to a share of the steps such as 0.1"
        if most > 1
        else f"leave stages.{name}.warmup_steps out, or train for more steps",
    )
