"""The shipped tasks: where questions come from and how answers are judged. One file per task, registered here."""

from orchestrator.tasks.base import Task
from orchestrator.tasks.dyck import DyckTask
from orchestrator.tasks.file import FileTask
from orchestrator.tasks.gsm8k import Gsm8kTask
from orchestrator.tasks.units import UnitsTask

__all__ = ["TASKS", "Task"]

TASKS: dict[str, type[Task]] = {
    "units": UnitsTask,
    "file": FileTask,
    "gsm8k": Gsm8kTask,
    "dyck": DyckTask,
}
