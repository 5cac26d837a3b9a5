"""The steps before a walk: Ray, the setup check, the store. Nothing is written before the check has passed.

The check runs on a Ray worker, which then has the libraries loaded for what follows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.errors import InputError, OrchError, StageError
from orchestrator.health.findings import CheckReport, errors_of
from orchestrator.plan.plan import Plan
from orchestrator.runs.cluster import Cluster, carry, connect, is_joined
from orchestrator.runs.cluster_names import ClusterNames
from orchestrator.runs.failure import one_line
from orchestrator.runs.home import Home, close_home, open_home
from orchestrator.runs.interruption import heed_sigterm
from orchestrator.runs.work import WorkFolder
from orchestrator.store.base import Store
from orchestrator.store.opening import existing_store, open_store
from orchestrator.tasks import TASKS
from orchestrator.tasks.splits import Split
from orchestrator.types import Example, Finding

_RETRIES = 2


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that a walk needs."""

    cluster: Cluster
    store: Store
    noticed: tuple[Finding, ...]
    """Findings of the check that do not prevent the run."""
    home: Home | None
    """Access to the driver's work folder for machines that do not see it; None if all do."""


def prepared(plans: Sequence[Plan], work: WorkFolder, notice: Callable[[str], None]) -> Prepared:
    """Start or join Ray, check these plans, and open the store, creating it if needed.

    `notice` is called with the current step. The caller must disconnect, even after an error.

    Raises:
        InputError: Ray or the store cannot be used; a stage fits on no machine; a machine can have no work folder.
        CheckError: the setup would make the numbers wrong.
        StageError: the check itself could not run.
    """
    home: Home | None = None
    try:
        notice("joining Ray" if is_joined() else "starting Ray")
        cluster = connect(notice)
        heed_sigterm()  # Ray has installed its own handler
        if (home := open_home(work.root, cluster)) is not None:
            cluster, work.names = replace(cluster, apart=True), ClusterNames()
        if problems := too_large(plans, cluster):
            raise InputError(*problems)
        task = type(plans[0].recipe.task)
        if task not in TASKS.values():
            carry(task)
        notice("checking data and model")
        found = [finding for plan in plans for finding in checked(plan, work, cluster)]
        return Prepared(cluster, existing_store() or open_store(create=True), tuple(dict.fromkeys(found)), home)
    except BaseException as error:
        if home is not None:
            close_home(home, cluster)
        if isinstance(error, OrchError):
            work.withdraw()
        raise


def checked(plan: Plan, work: WorkFolder, cluster: Cluster) -> tuple[Finding, ...]:
    """The warnings of the check before a run, and the findings that the recipe ignores.

    Raises:
        CheckError: the setup would make the numbers wrong.
        StageError: the check itself could not run.
    """
    import ray

    argument = (plan, plan.recipe.task.read_already(), work.root, cluster.joined)
    crew = cluster.submit([(_check, argument)], 1, 0, _RETRIES, with_the_files=True)
    try:
        taken = crew.take(next(iter(crew.pending)))
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, OrchError):
            raise cause from None
        raise StageError(f"the setup check could not run: {one_line(error)}") from error
    assert taken is not None  # it needs no GPU
    report: CheckReport = taken[1].result
    if report.errors:
        raise errors_of(report)
    ignored = plan.recipe.limits.ignore
    return tuple(f for f in report.findings if f.severity == "warning" or f.check in ignored)


def too_large(plans: Sequence[Plan], cluster: Cluster) -> list[str]:
    """The stages to run that fit on no machine, and why: they would fail only after others have been paid for."""
    problems: dict[str, None] = {}
    for stage in (stage for plan in plans for stage in plan.stages if stage.cached is None):
        where = "evaluate.resources" if stage.is_evaluation else f"stages.{stage.name}.resources"
        for why in cluster.too_large(stage.spec.share(cluster.cores, cluster.gpus)):
            problems[f"{where}.{why}: remove it or lower it"] = None
    return list(problems)


def _check(argument: tuple[Plan, Mapping[Split, list[Example]], Path, bool]) -> CheckReport:
    from orchestrator.health.check import check_plan

    plan, examples, work, elsewhere = argument
    plan.recipe.task.use(examples)  # a worker may have access to neither the user's files nor the Hub
    return check_plan(plan, work, elsewhere)
