"""A user's own task in a recipe that was read back from a store. It runs no code by itself.

A store is someone else's input: the file that its recipe names, and the copies that the run has kept of it and of the
modules that it imports from its folder, may hold anything by now. So a task stands there as its settings, its answer
format and its judge, which is enough to ask and to export a model. Where the class itself is needed, a file is run
without further ado only where it lies in the working folder, defines that class, and is what ran then, byte for byte,
as are the modules beside it that it imports; any other needs the user's word.
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
"""What a task of one's own may do in its own way."""


def overridden(cls: type[Task]) -> list[str]:
    """What a class does in its own way."""
    return [name for name in OVERRIDABLE if getattr(cls, name) is not getattr(Task, name)]


@dataclass(frozen=True, slots=True)
class StoredCode:
    """The code that a stored recipe names, and whether it may be run."""

    run_id: str
    name: str
    """As in the recipe: `my_task.py:MyTask`."""
    kept: Path | None
    """The copy that the run has kept; None: it kept none."""
    overrides: frozenset[str] | None
    """What the class did in its own way, as the run wrote it down; None: an older run."""
    trusted: bool
    kept_modules: Path | None = None
    """The folder of the copies of the modules beside it that it imports; None: there are none."""

    def load(self) -> type[Task]:
        """The class. Of a file that has changed it is today's; of one that is gone, the copy's.

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
            raise UntrustedCode(f"{clipped(file, 300)}: is not there (relative to {Path.cwd()}): put the file back")
        kept = self._modules()
        return class_in(file, attribute, content, OwnModules(Path(file).parent, self._reader(file, kept), list(kept)))

    def _modules(self) -> dict[str, bytes]:
        """The modules beside the file, as the run kept them, by their paths from its folder."""
        folder = self.kept_modules
        if folder is None:
            return {}
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.py"))}

    def _reader(self, file: str, kept: Mapping[str, bytes]) -> Read:
        """Reads a module as it was kept; one that was not is today's, where that may be run."""
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
        """Why a file with this content may not be run; None where it may."""
        if not _inside(file):
            return f"lies outside the working folder {Path.cwd()}"
        if content is None:
            return f"is not there (relative to {Path.cwd()})"
        if self.kept is None:
            return f"may have changed since run {self.run_id[:8]}, which kept no copy of it"
        with self.kept.open("rb") as copy:
            then = hashlib.file_digest(copy, "sha256").hexdigest()
        now = hashlib.sha256(content).hexdigest()
        if then != now:
            return f"has changed since run {self.run_id[:8]} (sha256 {then[:12]} then, {now[:12]} now)"
        if not _defines(content, attribute):
            return f"is no task's file, it defines no class {clipped(attribute)!r}"
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
        """Say where its code is; before anything else."""
        self._code = code

    @property
    def code(self) -> StoredCode:
        """Where its code is."""
        return self._code

    def loaded(self) -> Task:
        """The task itself.

        Raises:
            UntrustedCode: its code may not be run.
            RecipeError: it cannot be run, or does not take these settings any more.
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
        """What judges an answer as the task did, without its code where that can be; and what to know of it."""
        if self._code.overrides is not None and not self.own_verdict:
            return self, ()
        try:
            return self.loaded(), ()
        except UntrustedCode as error:
            plain = self.model_copy()
            plain._code = replace(self._code, overrides=frozenset())
            own = "may have" if self._code.overrides is None else "has"
            return plain, (
                f"the answer is read by format and judge alone: the task {own} a verdict of its own; {error}",
            )

    def examples(self, split: Split) -> list[Example]:
        """The examples of a split, by the task's own code."""
        return self.loaded().examples(split)

    @property
    def own_verdict(self) -> bool:
        """Whether the task judges by code of its own, as far as the run tells."""
        return bool({"verdict", "judge_completion"} & (self._code.overrides or frozenset()))

    @property
    def own_scores(self) -> bool:
        """Whether it judges by more than the gold answer, as far as the run tells."""
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
    """Whether a file lies in the working folder, wherever links lead; the whole disk is no such folder."""
    folder = Path.cwd().resolve()
    try:
        return folder != folder.parent and Path(file).resolve().is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):
        return False


def _defines(content: bytes, name: str) -> bool:
    """Whether a file looks like a task's: a store may name any file of the user's."""
    try:
        body = ast.parse(content).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.ClassDef) and node.name == name and node.bases for node in body)
