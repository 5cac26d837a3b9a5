"""`grpo`: train on by reward; the reward is the same judge that evaluates."""

from typing import Any

from orchestrator.stage_specs import GrpoSpec, Resources
from orchestrator.stages.base import Context, Job, Output, one_gpu_job
from orchestrator.stages.training import trained


def resources(asked: Resources, cores: int, gpus: float) -> tuple[int, float]:
    """Two cores and a GPU."""
    return one_gpu_job(asked, cores, gpus, default_cpus=2)


def jobs(context: Context) -> list[Job]:
    """One job."""
    spec = context.stage.spec
    assert isinstance(spec, GrpoSpec)
    task, seed = context.task, context.plan.recipe.seed
    examples = tuple(task.examples(spec.prompts))
    return [Job(_run, (context.work, context.model(spec.model), task.format, spec, seed, context.cpus, task, examples))]


def _run(argument: tuple[Any, ...]) -> None:
    from orchestrator.training.grpo import GrpoJob, run_grpo

    run_grpo(GrpoJob(*argument))


def finish(context: Context) -> Output:
    """The adapter and its curves."""
    return trained(context, "reward", (), {})
