"""`grpo`: train on by reward; the reward is the same judge that evaluates."""

from typing import Any

from orchestrator.stages.base import Context, Job, Output, one_gpu_job
from orchestrator.stages.training import trained, validation_of
from orchestrator.training.settings import GrpoSpec, Resources


def resources(asked: Resources, cores: int, gpus: float) -> tuple[int, float]:
    """Two cores and a GPU."""
    return one_gpu_job(asked, cores, gpus, default_cpus=2)


def jobs(context: Context) -> list[Job]:
    """One job."""
    spec = context.spec
    assert isinstance(spec, GrpoSpec)
    task, seed = context.task, context.seed
    examples = tuple(task.examples(spec.prompts))
    model, stop_on = context.model(spec.model), context.stop_on
    looked = validation_of(context)
    return [Job(_run, (context.work, model, task.format, spec, seed, context.cpus, task, examples, stop_on, looked))]


def _run(argument: tuple[Any, ...]) -> None:
    from orchestrator.training.grpo import GrpoJob, run_grpo

    *settings, stop_on, looked = argument
    run_grpo(GrpoJob(*settings, stop_on=stop_on, validation=looked))


def finish(context: Context) -> Output:
    """The adapter and its curves."""
    return trained(context, "reward", (), {})
