"""Exclusive names within a Ray cluster: the counterpart of lock files for drivers that share no folder."""

from typing import Any

from orchestrator.runs.cluster import on_this_machine


class ClusterNames:
    """Names that only one driver in a cluster can hold at a time; a dead driver's names are free."""

    def __init__(self) -> None:
        self._taken: dict[str, Any] = {}

    def take(self, name: str) -> bool:
        """Take a name; return whether this driver holds it now."""
        import ray

        holder = ray.remote(_Holder).options(
            name=name, namespace="orch", num_cpus=0, scheduling_strategy=on_this_machine()
        )
        try:
            self._taken[name] = holder.remote()
        except ValueError:  # another driver holds it
            return False
        return True

    def free(self, name: str) -> None:
        """Release a name."""
        import ray

        holder = self._taken.pop(name, None)
        if holder is not None and ray.is_initialized():
            ray.kill(holder)


class _Holder:
    """Holds a name while it lives, which is at most as long as its driver does."""
