"""orch: rejection-sampling fine-tuning experiments from one YAML recipe."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.checking import check
    from orchestrator.cleaning import clean
    from orchestrator.comparing import compare
    from orchestrator.execute import run
    from orchestrator.exporting import export
    from orchestrator.planning import plan
    from orchestrator.recipe import Recipe, load_recipe
    from orchestrator.reporting import report
    from orchestrator.tasks import Task

_HOME = {
    "Recipe": "orchestrator.recipe",
    "Task": "orchestrator.tasks",
    "check": "orchestrator.checking",
    "clean": "orchestrator.cleaning",
    "compare": "orchestrator.comparing",
    "export": "orchestrator.exporting",
    "load_recipe": "orchestrator.recipe",
    "plan": "orchestrator.planning",
    "report": "orchestrator.reporting",
    "run": "orchestrator.execute",
}
__all__ = ["Recipe", "Task", "check", "clean", "compare", "export", "load_recipe", "plan", "report", "run"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `orch --help` loads neither torch nor Ray."""
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Package(ModuleType):
    """A package whose public names go before its parts: `plan` is the function, not the file plan.py.

    Python binds each part to its package when it is first imported, whatever stood there.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOME or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
