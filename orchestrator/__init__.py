"""orch: rejection-sampling fine-tuning experiments from one YAML recipe."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.commands.check import check
    from orchestrator.commands.clean import clean
    from orchestrator.commands.export import export
    from orchestrator.commands.plan import plan
    from orchestrator.commands.run import run
    from orchestrator.commands.sweep import sweep
    from orchestrator.comparison.side_by_side import compare
    from orchestrator.recipe.recipe import Recipe, load_recipe
    from orchestrator.report.make import report
    from orchestrator.tasks import Task

_HOME = {
    "Recipe": "orchestrator.recipe.recipe",
    "Task": "orchestrator.tasks",
    "check": "orchestrator.commands.check",
    "clean": "orchestrator.commands.clean",
    "compare": "orchestrator.comparison.side_by_side",
    "export": "orchestrator.commands.export",
    "load_recipe": "orchestrator.recipe.recipe",
    "plan": "orchestrator.commands.plan",
    "report": "orchestrator.report.make",
    "run": "orchestrator.commands.run",
    "sweep": "orchestrator.commands.sweep",
}
__all__ = ["Recipe", "Task", "check", "clean", "compare", "export", "load_recipe", "plan", "report", "run", "sweep"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `orch --help` loads neither torch nor Ray."""
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Package(ModuleType):
    """A package whose public names take precedence over its submodules: `plan` is the function, not the module.

    When a submodule is first imported, Python binds it to its package and overwrites any attribute of that name.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOME or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
