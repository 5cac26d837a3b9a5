"""Names that a driver has alone within a Ray cluster: what locks are to processes that see one folder."""

from typing import Any

from orchestrator.runs.cluster import on_this_machine


class ClusterNames:
    """Names of which a driver has each alone within a cluster; those of one that died are free."""

    def __init__(self) -> None:
        self._taken: dict[str, Any] = {}

    def take(self, name: str) -> bool:
        """Whether the name is this driver's from now on."""
        import ray

        holder = ray.remote(_Holder).options(
            name=name, namespace="orch", num_cpus=0, scheduling_strategy=on_this_machine()
        )
        try:
            self._taken[name] = holder.remote()
        except ValueError:  # another driver's
            return False
        return True

    def free(self, name: str) -> None:
        """Let go of a name."""
        import ray

        holder = self._taken.pop(name, None)
        if holder is not None and ray.is_initialized():
            ray.kill(holder)


class _Holder:
    """Holds a name while it lives, which is as long as its driver does at the most."""
