"""`grpo`: reinforcement learning whose reward comes from the same judge that evaluates."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from orchestrator.sampling.same_draws import ANSWERED, IDENTICAL
from orchestrator.stages.base import Bounds, Drawing, Verb
from orchestrator.stages.context import Context, Job, Output
from orchestrator.stages.training import Training
from orchestrator.tasks import Task
from orchestrator.tasks.splits import Split
from orchestrator.training.job import TrainingJob
from orchestrator.training.settings import GrpoSettings
from orchestrator.types import Finding

_IDLE = {"temperature": 1.0, "top_p": 1.0, "top_k": 0.0, "min_p": 0.0}
"""Sampling settings, at the values that have no effect."""


def _run(argument: tuple[Any, ...]) -> None:
    from orchestrator.training.grpo import GrpoJob, run_grpo

    settings, stop_on, validation = argument
    run_grpo(GrpoJob(*settings, stop_on=stop_on, validation=validation))


class Grpo(GrpoSettings, Training):
    """Group relative policy optimization (TRL's GRPOTrainer); the reward is the score given by the task's judge."""

    type: Literal["grpo"]
    prompts: Literal["train", "demonstrations"] = "train"
    """The split that provides the questions."""

    VERSION = 2  # 2: orch's own loop draws the groups, with the adapter merged if that is exact
    SPLITS: ClassVar[Mapping[str, str]] = {"prompts": "prompts"}
    CURVES: ClassVar[tuple[str, ...]] = (
        *Training.CURVES,
        "reward",
        "frac_reward_zero_std",
        "completions/clipped_ratio",
        IDENTICAL,
        ANSWERED,
    )
    PANELS = (("reward, accuracy", ("reward", "eval_accuracy")),)

    def jobs(self, context: Context) -> list[Job]:
        """One job."""
        task, examples = context.task, tuple(context.task.examples(self.prompts))
        model = context.model(self.model)
        settings = (context.work, model, task.format, self, context.seed, context.cpus, task, examples)
        return [Job(_run, (settings, context.stop_on, self.validation_job(context)))]

    def finish(self, context: Context) -> Output:
        """The model and its curves."""
        return self.trained(context, (), {})

    def config(self, job: TrainingJob) -> Any:
        """TRL's GRPOConfig."""
        from orchestrator.training.configuration import grpo_config

        return grpo_config(job)

    def drawing(self) -> Drawing:
        """The groups of completions that it learns from; `generation_kwargs` take precedence."""
        own: dict[str, Any] = {"temperature": self.temperature, "top_p": self.top_p} | self.further
        given = own.get("generation_kwargs")
        own |= given if isinstance(given, dict) else {}
        temperature, top_p, top_k, min_p = (_number(own.get(name), idle) for name, idle in _IDLE.items())
        return Drawing(
            self.prompts,
            self.num_generations,
            0.0 if own.get("do_sample") is False else temperature,
            self.max_completion_length,
            "max_completion_length",
            top_p,
            int(top_k),
            min_p,
            learns=True,
        )

    def learns_from(self, stages: Mapping[str, Verb]) -> set[Split]:
        """The split of its prompts."""
        return {self.prompts}

    def bounds(self, task: Task, stages: Mapping[str, Verb]) -> Bounds:
        """The number of its questions."""
        n = len(task.examples(self.prompts))
        return Bounds(n, n)

    def too_few(self, name: str, task: Task, rows: Bounds) -> Finding | None:
        """The finding for fewer questions than one step takes."""
        wanted = self.questions_at_once
        if rows.most >= wanted:
            return None
        fits = rows.most * self.num_generations
        return Finding(
            "too-few-questions",
            "error",
            f"stage {name}: a step of GRPO takes {wanted:,} questions, and {task.where(self.prompts)} has "
            f"{rows.most:,}",
            f"{self.completions_at_once:,} completions are drawn at a time, {self.num_generations} of each question",
            "TRL drops an incomplete batch, so no step would be taken, and all earlier stages would be wasted",
            f"set stages.{name}.per_device_train_batch_size to {fits} or less (a multiple of num_generations), "
            "or give it more questions"
            if fits and "generation_batch_size" not in self.further and self.gradient_accumulation_steps == 1
            else f"draw {fits} completions at a time or fewer, or give it more questions",
        )

    @classmethod
    def rows_an_epoch(cls, settings: Mapping[str, str], known: Mapping[str, float]) -> float | None:
        """Completions per epoch: those of every question."""
        prompts = known.get("prompts")
        return None if prompts is None else prompts * float(settings["num_generations"])

    def countable(self, task: Task) -> Mapping[str, float]:
        """The number of questions."""
        return {"prompts": len(task.examples(self.prompts))}


def _number(value: Any, idle: float) -> float:
    return float(value) if isinstance(value, int | float) else idle
