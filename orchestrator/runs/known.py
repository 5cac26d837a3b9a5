"""What a store holds of a plan: stages that are made, and completions of those that are not."""

from orchestrator.plan.plan import Plan, TrialsPlan
from orchestrator.store.base import Store


def known(plan: Plan | TrialsPlan, store: Store) -> Plan | TrialsPlan:
    """The same plan, knowing what need not be made and what need not be drawn.

    Raises:
        OutputError: outputs that were changed since they were made, each named.
    """
    plan = plan.with_cached(store.finished(plan.stages))
    return plan.with_drawn(store.drawn(plan.may_be_drawn()))
