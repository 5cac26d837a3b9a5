"""A recipe's `task` block: the class it names, built in or from a user's own file, and its settings."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from orchestrator.errors import DataError
from orchestrator.schema import Loc, clipped, unknown, validate
from orchestrator.tasks import TASKS, Task
from orchestrator.tasks.own_code import contained, run_module
from orchestrator.tasks.own_modules import PREFIX, OwnModules, digest

OwnTask = Callable[[str], type[Task]]
"""Maps `my_task.py:MyTask` to a class. Raises InputError."""


def is_own(name: str) -> bool:
    """Whether a task's type names a class in a user's own file."""
    return ".py:" in name


def task_class(name: str) -> type[Task]:
    """The class that `my_task.py:MyTask` names, for a recipe that the user gave: the file is run.

    Raises:
        DataError: no such file or class, or the file cannot be run.
    """
    file, attribute = parted(name)
    try:
        content = Path(file).read_bytes()
    except (OSError, ValueError):
        raise DataError(f"{clipped(file, 300)}: no such file (relative to {Path.cwd()})") from None
    return class_in(file, attribute, content)


def parted(name: str) -> tuple[str, str]:
    """The file and the class that `my_task.py:MyTask` names."""
    file, _, attribute = name.rpartition(":")
    return file, attribute


def class_in(file: str, attribute: str, content: bytes, own: OwnModules | None = None) -> type[Task]:
    """The class `attribute` of a file with this content, which is run; `own` finds the modules beside the file.

    Raises:
        DataError: it has no such class, or cannot be run.
    """
    own = own or OwnModules(Path(file).parent)
    module = run_module(f"{PREFIX}{Path(file).stem}", file, content, own)
    cls = getattr(module, attribute, None)
    if not (isinstance(cls, type) and issubclass(cls, Task) and cls is not Task):
        raise DataError(f"{file}: has no class {attribute!r} that is a subclass of orchestrator.Task")
    cls.SOURCE, cls.CODE, cls.MODULES = digest(content, own.ran), content, own.ran
    return cls


def read_task(data: Any, problems: list[tuple[Loc, str]], own_task: OwnTask = task_class) -> Task | None:
    """The task of a block, or None after appending each problem as (path, sentence). `own_task` finds a user's class.

    Raises:
        InputError: any error of `own_task` other than a DataError.
    """
    if data is None:
        return None
    if isinstance(data, str):
        data = {"type": data}
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        problems.append((("task", "type"), f"is missing (choices: {', '.join(TASKS)}, or my_task.py:MyTask)"))
        return None
    name = data["type"]
    if not is_own(name) and name not in TASKS:
        problems.append((("task", "type"), unknown("task", name, [*TASKS, "my_task.py:MyTask"])))
        return None
    try:
        cls = own_task(name) if is_own(name) else TASKS[name]
        own = cls.SOURCE is not None
        with contained(parted(name)[0], "cannot read its settings") if own else nullcontext():
            return validate(cls, data, ("task",), problems)
    except DataError as error:
        problems.append((("task", "type"), str(error)))
        return None
