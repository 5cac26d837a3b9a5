"""The outputs of stages in the store, checked against their recorded digests. Knows MLflow only through its client.

An output's digests are in a tag of the run that produced it; if it has very many files, they are in an artifact next to
it, whose own digest is in the tag. Runs of older versions have no such tag: their outputs are accepted as they are.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.errors import OutputError
from orchestrator.store.artifacts import Artifacts
from orchestrator.store.base import StoredRun
from orchestrator.store.digests import Digests, as_text, changes, digests_of, from_text, give_times, lost
from orchestrator.store.names import digest_tag, is_whole

LISTED = "digests.json"
"""The artifact that lists the digests of an output with too many files for a tag."""
_LONGEST = 7500
"""Characters of a tag; MLflow allows 8000."""
_SHOWN = 3


class StoredOutputs:
    """The outputs in one store."""

    def __init__(self, artifacts: Artifacts) -> None:
        self.artifacts = artifacts

    def record(self, folder: Path, name: str) -> dict[str, str]:
        """The tag with the digests of the output `name`, whose files are to be logged from `folder`.

        If it has too many files for a tag, they are listed in an additional file in the folder.
        """
        digests = digests_of(folder / name)
        text = as_text(digests)
        if len(text) > _LONGEST:
            (folder / LISTED).write_text(text, encoding="utf-8")
            text = as_text(digests_of(folder / LISTED))
        return {digest_tag(name): text}

    def recorded(self, run: StoredRun, name: str) -> Digests | None:
        """The recorded digests of an output; None if its run has none."""
        digests = from_text(run.tags.get(digest_tag(name), ""))
        if digests is None or set(digests) != {LISTED}:
            return digests
        file = self.artifacts.path(run, LISTED)
        if found := list(changes(file, digests)):
            raise OutputError(_changed(run.run_id, found, file))
        return from_text(file.read_text(encoding="utf-8"))

    def path(self, run: str | StoredRun, name: str, full: bool = False) -> Path:
        """The path of an output, or of a copy of it, after checking that it is unchanged.

        With `full` all content is read. `run` is an id, or the run if it is already known.

        Raises:
            OutputError: the output has changed.
        """
        run = self.artifacts.known(run)
        recorded = self.recorded(run, name)
        path = self.artifacts.path(run, name)
        if recorded is None:
            return path
        found = list(changes(path, recorded, full))
        copied = self.artifacts.is_copy(path)
        if found and copied:  # an interrupted transfer, or a copy changed here: the store may have it intact
            self.artifacts.forget(run, name)
            path = self.artifacts.path(run, name)
            found = list(changes(path, recorded, full))
        if found:
            raise OutputError(_changed(run.run_id, found, path))
        if copied:
            give_times(path, recorded)
        return path

    def is_there(self, run: StoredRun, name: str, changed: Callable[[str], None]) -> bool:
        """Whether the output `name` is complete and unchanged; a change is reported to `changed`.

        Behind a server only names and sizes are checked; content is checked when it is fetched.
        """
        sizes = self.artifacts.sizes(run, name)
        if not is_whole(name, sizes):
            return False
        try:
            recorded = self.recorded(run, name)
            if recorded is None:
                return True
            path = self.artifacts.local(run, name)
            if path is None:
                return self._listed(run, name, recorded, sizes, changed)
            if lost(path, recorded):
                return False
            self.path(run, name)
        except OutputError as error:
            changed(error.problems[0])
            return False
        return True

    def _listed(
        self, run: StoredRun, name: str, recorded: Digests, sizes: Mapping[str, int], changed: Callable[[str], None]
    ) -> bool:
        right_here = {file: was for file, was in recorded.items() if "/" not in file}
        if any(was.size and not sizes.get(file) for file, was in right_here.items()):
            return False
        found = [
            f"{file} has {sizes[file]:,} bytes instead of {was.size:,}"
            for file, was in right_here.items()
            if sizes.get(file, was.size) != was.size
        ]
        if found:
            changed(_changed(run.run_id, found, Path(name)))
        return not found


def _changed(run_id: str, found: list[str], path: Path) -> str:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (
        f"the output of run {run_id} has changed since it was written: {'; '.join(found[:_SHOWN])}{more} ({path}); "
        "restore it from a copy, or remove that file or the run to make the stage run again"
    )
