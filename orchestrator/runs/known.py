"""Look up a plan's stages in a store: the finished ones, and stored completions for the others."""

from orchestrator.plan.plan import Plan, TrialsPlan
from orchestrator.store.base import Store


def known(plan: Plan | TrialsPlan, store: Store) -> Plan | TrialsPlan:
    """The same plan, with its finished stages and its existing completions marked.

    Raises:
        OutputError: outputs that have changed since they were written, each named.
    """
    plan = plan.with_cached(store.finished(plan.stages))
    return plan.with_drawn(store.drawn(plan.may_be_drawn()))
