"""What `orch check` says of a plan, from one of Ray's workers: it has the libraries loaded for what follows."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import InputError, OrchError, StageError
from orchestrator.health.findings import CheckReport, errors_of
from orchestrator.plan.plan import Plan
from orchestrator.runs.cluster import Cluster
from orchestrator.runs.failure import one_line
from orchestrator.runs.work import WorkFolder
from orchestrator.tasks.base import Split
from orchestrator.types import Example, Finding

_RETRIES = 2


def checked(plan: Plan, work: WorkFolder, cluster: Cluster) -> tuple[Finding, ...]:
    """The warnings of the check before a run, and what it found and the recipe ignores.

    Raises:
        InputError: machines of the cluster do not see the folder that they are to work in.
        CheckError: the set-up would make the numbers wrong.
        StageError: the check itself could not be made.
    """
    import ray

    _refuse_unseen(work.root, cluster)
    argument = (plan, plan.recipe.task.read_already(), work.root, cluster.joined)
    crew = cluster.submit([(_check, argument)], 1, 0, _RETRIES)
    try:
        _, done = crew.take(next(iter(crew.pending)))
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, OrchError):
            raise cause from None
        raise StageError(f"the check of the set-up could not be made: {one_line(error)}") from error
    report: CheckReport = done.result
    if report.errors:
        raise errors_of(report)
    ignored = plan.recipe.limits.ignore
    return tuple(f for f in report.findings if f.severity == "warning" or f.check in ignored)


def _refuse_unseen(root: Path, cluster: Cluster) -> None:
    """Whether all machines that may train see the work folder: one that does not would train into its own disk."""
    if not cluster.joined:
        return
    locks = root / "locks"
    locks.mkdir(parents=True, exist_ok=True)  # a run that was refused has removed it, while it was empty
    with tempfile.NamedTemporaryFile(dir=locks, prefix="seen-") as mark:
        seen = cluster.on_each_machine(os.path.exists, mark.name)
    blind = sorted(name for name, there in seen.items() if not there)
    if blind:
        raise InputError(
            f"storage: {root} is not seen by {', '.join(blind[:5])} of the Ray cluster, whose stages write to it: "
            "name a folder that all of its machines share, storage=FOLDER"
        )


def _check(argument: tuple[Plan, Mapping[Split, list[Example]], Path, bool]) -> CheckReport:
    from orchestrator.health.check import check_plan

    plan, examples, work, elsewhere = argument
    plan.recipe.task.use(examples)  # a worker may see neither the user's files nor the Hub
    return check_plan(plan, work, elsewhere)
