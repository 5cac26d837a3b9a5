"""A recipe's `task` block: the class it names, built in or in a user's own file, and its settings."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from orchestrator.errors import DataError
from orchestrator.schema_errors import Loc, unknown, validate
from orchestrator.tasks import TASKS, Task


def read_task(data: Any, problems: list[tuple[Loc, str]]) -> Task | None:
    """The task of a block, or None after adding each problem as (path, sentence)."""
    if data is None:
        return None
    if isinstance(data, str):
        data = {"type": data}
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        problems.append((("task", "type"), f"is missing (choices: {', '.join(TASKS)}, or my_task.py:MyTask)"))
        return None
    name = data["type"]
    if ".py:" in name:
        try:
            cls = _own_task(name)
        except DataError as error:
            problems.append((("task", "type"), str(error)))
            return None
    elif name in TASKS:
        cls = TASKS[name]
    else:
        problems.append((("task", "type"), unknown("task", name, [*TASKS, "my_task.py:MyTask"])))
        return None
    return validate(cls, data, ("task",), problems)


def _own_task(name: str) -> type[Task]:
    """The class that `my_task.py:MyTask` names. It is the user's own code, and it is run."""
    file, _, attribute = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise DataError(f"{file}: no such file (relative to {Path.cwd()})")
    module_name = f"orch_task_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's file: whatever it raises is theirs to mend
        raise DataError(f"{file}: cannot be imported: {type(error).__name__}: {error}") from error
    cls = getattr(module, attribute, None)
    if not (isinstance(cls, type) and issubclass(cls, Task) and cls is not Task):
        raise DataError(f"{file}: has no class {attribute!r} that is a subclass of orchestrator.Task")
    cls.SOURCE = hashlib.sha256(path.read_bytes()).hexdigest()
    return cls
