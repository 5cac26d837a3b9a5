"""orch: rejection-sampling fine-tuning experiments from one YAML recipe."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.checking import check
    from orchestrator.comparing import compare
    from orchestrator.execute import run
    from orchestrator.exporting import export
    from orchestrator.planning import plan
    from orchestrator.recipe import Recipe, load_recipe
    from orchestrator.tasks import Task

_HOME = {
    "Recipe": "orchestrator.recipe",
    "Task": "orchestrator.tasks",
    "check": "orchestrator.checking",
    "compare": "orchestrator.comparing",
    "export": "orchestrator.exporting",
    "load_recipe": "orchestrator.recipe",
    "plan": "orchestrator.planning",
    "run": "orchestrator.execute",
}
__all__ = ["Recipe", "Task", "check", "compare", "export", "load_recipe", "plan", "run"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `orch --help` loads neither torch nor Ray."""
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
