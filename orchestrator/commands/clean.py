"""`clean` as a function: find and delete the leftovers of failed, rejected and abandoned runs in the work folder.

Never touched: folders that a running process has locked, and folders that are not orch's. An interrupted run resumes
from its folder, so that folder is kept until it is old, unless `everything` is set.
"""

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError, TrackingError
from orchestrator.notebook import paragraphs, table
from orchestrator.recipe.paths import is_url
from orchestrator.runs.work import LOCKS, WorkFolder, at_work, size_of
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.disk_space import PREFIX as DISK_FULL
from orchestrator.store.names import EVALUATION_KEY_TAG, KEY_TAG, evaluation_tag
from orchestrator.store.opening import existing_store
from orchestrator.store.place import store_folder

OLD = 14.0
"""Days since its last change after which work that could still be resumed is deleted."""
LARGE = 10**9
"""Bytes of work in progress above which `orch plan` mentions it."""
_KEY = re.compile(r"[0-9a-f]{32}")
_PROCESS = "run-"
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Leftover:
    """One folder of work in progress, or of copies."""

    path: Path
    size: int
    """Bytes."""
    days: float
    """Days since its last change."""
    what: str
    why: str
    """The reason why it is deleted or kept."""
    goes: bool
    """Whether it is to be deleted."""

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        return asdict(self) | {"path": str(self.path)}


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The leftovers in the work folder, and whether they were deleted."""

    folder: Path
    leftovers: tuple[Leftover, ...]
    """Those to delete before those to keep; each group largest first."""
    deleted: bool
    """False: they were only listed."""
    note: str = ""
    """What could not be determined."""

    @property
    def freed(self) -> int:
        """Bytes freed, or to be freed."""
        return sum(one.size for one in self.leftovers if one.goes)

    def __repr__(self) -> str:
        what = "deleted" if self.deleted else "to delete"
        return f"Cleaned({self.folder}: {self.freed / 1e6:.1f} MB {what})"

    def _repr_html_(self) -> str:
        """The leftovers, and whether each is deleted or kept."""
        rows = [
            (one.path.name, f"{one.size / 1e6:.1f}", f"{one.days:.1f}", one.what, one.why) for one in self.leftovers
        ]
        heads = ("folder", "MB", "days", "what", "why")
        return paragraphs([str(self.folder), *([self.note] if self.note else [])]) + table(heads, rows, ("MB", "days"))

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        return {
            "folder": str(self.folder),
            "deleted": self.deleted,
            "freed": self.freed,
            "note": self.note,
            "leftovers": [one.as_json() for one in self.leftovers],
        }


def clean(
    storage: str | Path | None = None, *, older_than: float = OLD, everything: bool = False, delete: bool = False
) -> Cleaned:
    """List what no run needs any more in the work folder; with `delete`, delete it.

    That is the work of finished or failed stages, inputs shared with a cluster, and, after `older_than` days (at once
    with `everything`), the work of interrupted runs and copies of a remote store's artifacts. `storage` is the recipe's
    `storage` folder; the default is the work folder next to the store.

    Raises:
        InputError: the folder is not one of orch's work folders.
    """
    if is_url(str(storage or "")):
        raise InputError(f"--storage {storage}: only folders are cleaned; delete what is left there with its own tools")
    root = Path(storage).expanduser() if storage is not None else store_folder() / "work"
    copies = store_folder() / "downloads" if storage is None else None
    if not root.is_dir() and not (copies is not None and copies.is_dir()):
        if storage is not None:
            raise InputError(f"--storage {root}: no such folder")
        return Cleaned(root, (), delete)
    if root.is_dir() and not (root / LOCKS).is_dir():
        raise InputError(f"{root} is not an orch work folder: it has no subfolder {LOCKS!r}, as all of them do")
    store, note = _store()
    found = list(_leftovers(root, copies, store, older_than, everything))
    if delete:
        found = [_deleted(root, one) if one.goes else one for one in found]
    return Cleaned(root, tuple(sorted(found, key=lambda one: (not one.goes, -one.size))), delete, note)


def much_work(storage: Path | None) -> str | None:
    """A notice that the work folder has become large; None if it has not."""
    root = storage or store_folder() / "work"
    folders = [path for path in root.iterdir() if path.name != LOCKS] if root.is_dir() else []
    size = sum(size_of(path) for path in folders)
    if size < LARGE:
        return None
    where = "" if storage is None else f" --storage {storage}"
    return f"{root} holds {size / 1e9:.1f} GB of work in progress: `orch clean{where}` lists what can be deleted"


def _store() -> tuple[Store | None, str]:
    try:
        store = existing_store()
        return store, "" if store else "there is no MLflow store here, so leftovers are judged by age alone"
    except TrackingError as error:  # on a full disk it cannot even be opened
        return None, f"leftovers are judged by age alone: {error}"


def _leftovers(
    root: Path, copies: Path | None, store: Store | None, older_than: float, everything: bool
) -> Iterator[Leftover]:
    busy = any(at_work(root, path.name) for path in (root / LOCKS).glob(f"{_PROCESS}*"))
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.is_symlink() or not path.is_dir():
            continue
        if _KEY.fullmatch(path.name):
            what, why, goes = _of_a_stage(root, path, store, everything)
            yield _aged(path, what, why, goes, older_than)
        elif path.name.partition("-")[0] == "inputs":
            why = "a run is active here" if busy else "no run is active here"
            yield _aged(path, "inputs shared with a cluster", why, not busy, older_than)
    for path in sorted(copies.iterdir()) if copies is not None and copies.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            what = f"copies of artifacts of run {path.name[:8]}"
            if busy:
                yield _aged(path, what, "a run is active here and may read them", False, older_than)
                continue
            goes = True if everything else None
            yield _aged(path, what, "fetched again when needed", goes, older_than)


def _of_a_stage(root: Path, path: Path, store: Store | None, everything: bool) -> tuple[str, str, bool | None]:
    """Whose work it is, why it is deleted or kept, and whether to delete it; None: once it is old."""
    about = WorkFolder.about(path)
    what = f"stage {about['stage']} of {about['recipe']}" if about else f"the stage with the key {path.name[:8]}"
    if at_work(root, path.name):
        return what, "a process is working on it", False
    state, why = _state(path.name, about, store)
    if everything or state in ("finished", "failed"):
        return what, why, True
    return what, why, None


def _state(key: str, about: dict[str, str], store: Store | None) -> tuple[str, str]:
    """`finished`, `failed`, `interrupted` or `unknown`, and an explanation."""
    if store is None:
        return "unknown", "no store records what became of it"
    also = about.get("also") or None
    holder = _holder(store, key, also)
    run = holder or _known(store, about.get("run")) or _known(store, about.get("parent"))
    if run is None:
        return "unknown", "no run in this store belongs to it"
    told, run_id = run.error or "", run.run_id[:8]
    if run.status == "FINISHED" and holder is not None:
        return "finished", f"the stage is finished in run {run_id}"
    if run.status == "FAILED" and DISK_FULL not in told:
        reason = " ".join(told.split())
        return "failed", f"it failed in run {run_id}" + (f": {reason[:100]}" if reason else "")
    full = ", when the disk was full" if DISK_FULL in told else ""
    return "interrupted", f"it was cut off in run {run_id}{full}; the same recipe resumes from here"


def _holder(store: Store, key: str, also: str | None) -> StoredRun | None:
    """The run with a stage's key, preferably a finished one; `also`: the extra split of an evaluation."""
    further = [] if also is None else [evaluation_tag(EVALUATION_KEY_TAG, also)]
    for tag in (KEY_TAG, EVALUATION_KEY_TAG, *further):
        for status in ("FINISHED", None):
            for run in store.runs({tag: key}, status=status, limit=1):
                return run
    return None


def _known(store: Store, run_id: str | None) -> StoredRun | None:
    """The run with that id; None if it does not exist or was deleted."""
    return next(store.runs(ids=[run_id], limit=1), None) if run_id else None


def _aged(path: Path, what: str, why: str, goes: bool | None, older_than: float) -> Leftover:
    times = [file.lstat().st_mtime for file in (path, *path.rglob("*"))]
    days = max(0.0, (time.time() - max(times)) / _DAY)
    return Leftover(path, size_of(path), days, what, why, days > older_than if goes is None else goes)


def _deleted(root: Path, one: Leftover) -> Leftover:
    """Delete a folder; a stage's folder under its lock, so that no run starts in it meanwhile."""
    lock = None
    if _KEY.fullmatch(one.path.name) and one.path.parent == root:
        work = WorkFolder(root, to_run=False)
        lock = work.lock(one.path.name)
        if lock is None:
            return replace(one, goes=False, why="a process has started working on it")
    try:
        shutil.rmtree(one.path)
    except OSError as error:
        return replace(one, goes=False, why=f"it cannot be deleted: {error.strerror} ({error.filename})")
    finally:
        if lock is not None:
            work.release(lock)
    return one
