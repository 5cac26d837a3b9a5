"""A user's own task in a recipe that was read back from a store. It runs no code by itself.

A store is untrusted input: the file that its recipe names, and the run's copies of that file and of the modules that it
imports from its folder, may contain anything by now. So such a task consists of its settings, its answer format and its
judge, which is enough to query and to export a model. If the class itself is needed, a file is run without asking only
if it is in the working folder, defines that class, and is byte for byte what ran then, as are the modules beside it
that it imports; any other file needs the user's consent.
"""

import ast
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ConfigDict, PrivateAttr

from orchestrator.errors import RecipeError, UntrustedCode
from orchestrator.recipe.task import class_in, parted, read_task
from orchestrator.schema import Loc, clipped
from orchestrator.tasks.base import Task
from orchestrator.tasks.own_modules import OwnModules, Read, content_in
from orchestrator.tasks.splits import Split
from orchestrator.types import Completion, Example, Verdict

OVERRIDABLE = ("generate", "read_row", "verdict", "judge_completion", "target")
"""The methods that a user's own task may override."""


def overridden(cls: type[Task]) -> list[str]:
    """The methods that a class overrides."""
    return [name for name in OVERRIDABLE if getattr(cls, name) is not getattr(Task, name)]


@dataclass(frozen=True, slots=True)
class StoredCode:
    """The code that a stored recipe names, and whether it may be run."""

    run_id: str
    name: str
    """As written in the recipe: `my_task.py:MyTask`."""
    kept: Path | None
    """The run's copy of the file; None: it kept none."""
    overrides: frozenset[str] | None
    """The methods that the class overrode, as recorded by the run; None: an older run, which did not record them."""
    trusted: bool
    kept_modules: Path | None = None
    """The folder with copies of the modules beside the file that it imports; None: there are none."""

    def load(self) -> type[Task]:
        """The class: from the current file, even if it has changed; if the file is gone, from the run's copy.

        Raises:
            UntrustedCode: it may not be run.
            DataError: it cannot be run.
        """
        file, attribute = parted(self.name)
        local = _file(file)
        content = local.read_bytes() if local is not None and (self.trusted or _inside(file)) else None
        if not self.trusted and (why := self._refused(file, attribute, content)) is not None:
            copy = "--trust runs the copy that the run kept" if self.kept is not None else "put the file back"
            remedy = copy if local is None else "--trust runs it as it is now"
            raise UntrustedCode(f"{clipped(file, 300)}: {why}, so its code is not run; {remedy}")
        if content is not None and self.trusted:
            return class_in(file, attribute, content)
        if content is None and self.kept is not None:
            content = self.kept.read_bytes()
        if content is None:
            raise UntrustedCode(f"{clipped(file, 300)}: does not exist (relative to {Path.cwd()}): put the file back")
        kept = self._modules()
        return class_in(file, attribute, content, OwnModules(Path(file).parent, self._reader(file, kept), list(kept)))

    def _modules(self) -> dict[str, bytes]:
        """The run's copies of the modules beside the file, by path from its folder."""
        folder = self.kept_modules
        if folder is None:
            return {}
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.py"))}

    def _reader(self, file: str, kept: Mapping[str, bytes]) -> Read:
        """A reader that returns the run's copy of a module or, without one, the current file if that may be run."""
        today = content_in(Path(file).parent)

        def read(place: str) -> bytes | None:
            if place in kept:
                return kept[place]
            now = today(place)
            if now is not None and not self.trusted:
                raise UntrustedCode(
                    f"{clipped(file, 300)}: imports {clipped(place)}, of which run {self.run_id[:8]} kept no copy, so "
                    "its code is not run; --trust runs it as it is now"
                )
            return now

        return read

    def _refused(self, file: str, attribute: str, content: bytes | None) -> str | None:
        """Why a file with this content may not be run; None if it may."""
        if not _inside(file):
            return f"is outside the working folder {Path.cwd()}"
        if content is None:
            return f"does not exist (relative to {Path.cwd()})"
        if self.kept is None:
            return f"may have changed since run {self.run_id[:8]}, which kept no copy of it"
        with self.kept.open("rb") as copy:
            then = hashlib.file_digest(copy, "sha256").hexdigest()
        now = hashlib.sha256(content).hexdigest()
        if then != now:
            return f"has changed since run {self.run_id[:8]} (sha256 {then[:12]} then, {now[:12]} now)"
        if not _defines(content, attribute):
            return f"is not a task's file: it defines no class {clipped(attribute)!r}"
        for place, text in self._modules().items():
            module = Path(file).parent / place
            if not _inside(str(module)) or content_in(Path(file).parent)(place) != text:
                return f"imports {clipped(place)}, which has changed since run {self.run_id[:8]}"
        return None


class StoredTask(Task):
    """The settings of a user's own task, without its code."""

    model_config = ConfigDict(extra="allow", frozen=True)
    _code: StoredCode = PrivateAttr()
    _loaded: Task | None = PrivateAttr(default=None)

    def belongs_to(self, code: StoredCode) -> None:
        """Set the location of its code; call this before anything else."""
        self._code = code

    @property
    def code(self) -> StoredCode:
        """The location of its code."""
        return self._code

    def loaded(self) -> Task:
        """The task itself, with its code.

        Raises:
            UntrustedCode: its code may not be run.
            RecipeError: it cannot be run, or no longer accepts these settings.
        """
        if self._loaded is None:
            data = self.model_dump(mode="json", by_alias=True, exclude_none=True, serialize_as_any=True)
            problems: list[tuple[Loc, str]] = []
            self._loaded = read_task(data, problems, lambda _: self._code.load())
            if self._loaded is None:
                where = f"the recipe of run {self._code.run_id[:8]}"
                raise RecipeError(*(f"{where}: {'.'.join(map(str, loc))}: {text}" for loc, text in problems))
        return self._loaded

    def judging_task(self) -> tuple[Task, Sequence[str]]:
        """A task that judges as this one did, without running its code if possible, and remarks on any difference."""
        if self._code.overrides is not None and not self.own_verdict:
            return self, ()
        try:
            return self.loaded(), ()
        except UntrustedCode as error:
            plain = self.model_copy()
            plain._code = replace(self._code, overrides=frozenset())
            own = "may have" if self._code.overrides is None else "has"
            return plain, (f"the answer is read by format and judge alone: the task {own} its own verdict; {error}",)

    def examples(self, split: Split) -> list[Example]:
        """The examples of a split, from the task's own code."""
        return self.loaded().examples(split)

    @property
    def own_verdict(self) -> bool:
        """Whether the task judges with its own code, as far as the run recorded it."""
        return bool({"verdict", "judge_completion"} & (self._code.overrides or frozenset()))

    @property
    def own_scores(self) -> bool:
        """Whether it judges by more than the gold answer, as far as the run recorded it."""
        return "judge_completion" in (self._code.overrides or ())

    def judge_completion(self, completion: Completion, example: Example) -> Verdict:
        """Judge one completion as the task does."""
        if self.own_verdict:
            return self.loaded().judge_completion(completion, example)
        return super().judge_completion(completion, example)


def _file(name: str) -> Path | None:
    path = Path(name)
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):  # too long for a path, a NUL in it
        return None


def _inside(file: str) -> bool:
    """Whether a file is in the working folder, with links resolved; false if the working folder is the root."""
    folder = Path.cwd().resolve()
    try:
        return folder != folder.parent and Path(file).resolve().is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):
        return False


def _defines(content: bytes, name: str) -> bool:
    """Whether a file looks like a task's: a store may name any of the user's files."""
    try:
        body = ast.parse(content).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.ClassDef) and node.name == name and node.bases for node in body)
