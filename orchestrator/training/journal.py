"""The progress of a job: JSON lines in its work folder, written by workers and read by the driver.

A file, not messages: it outlives both processes, so the curve of a killed run is complete when the run resumes.
"""

import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.types import Finding

NAME = "journal.jsonl"
_log = logging.getLogger("orch")


class Journal:
    """The writing side. `start` drops the records after the step that training resumes from."""

    def __init__(self, work: Path) -> None:
        self.path = work / NAME
        self._shown = 0.0

    def start(self, step: int) -> None:
        """Keep the records up to `step` and drop the rest."""
        kept = [r for r in read(self.path) if r.get("step", 0) <= step]
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(r) + "\n" for r in kept))
        temporary.replace(self.path)

    def progress(self, step: int, total: int) -> None:
        """Record that `step` of `total` steps are done; written at most four times a second."""
        now = time.monotonic()
        if now - self._shown >= 0.25 or step == total:
            self._shown = now
            self._append({"step": step, "total": total})

    def metrics(self, step: int, values: dict[str, float], right: str = "") -> None:
        """Record one point of each curve; `right`: which questions were answered correctly, a 0 or 1 for each."""
        record = {"step": step, "metrics": values, "time": int(time.time() * 1000)}
        self._append(record | ({"right": right} if right else {}))
        _log.info("step %d: %s", step, ", ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def finding(self, step: int, finding: Finding) -> None:
        """Record a finding of the training's watch."""
        self._append({"step": step, "finding": asdict(finding)})
        _log.warning("%s: %s", finding.check, finding.what)

    def _append(self, record: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")


class JournalOfAnother(Journal):
    """The journal on a worker that is not the first of those that train together: it only reads."""

    def start(self, step: int) -> None:
        """Done by the first worker."""

    def _append(self, record: dict[str, Any]) -> None:
        """Done by the first worker."""


def read(path: Path) -> list[dict[str, Any]]:
    """All complete records; a last line cut short by a crash is left out."""
    return list(Tail(path).new()) if path.exists() else []


@dataclass
class Tail:
    """The reading side: the records added since the last call."""

    path: Path
    stale: int = 0
    """Inode of a file left over from an earlier run: it is not read, because the job will rewrite it."""
    _offset: int = field(default=0, repr=False)
    _inode: int = field(default=0, repr=False)

    @classmethod
    def of_a_job(cls, path: Path) -> "Tail":
        """The records of a job that is about to start, without those of an earlier, interrupted attempt."""
        return cls(path, path.stat().st_ino if path.exists() else 0)

    def new(self) -> Iterator[dict[str, Any]]:
        """Records not returned before; all of them again if the file was rewritten."""
        try:
            with self.path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode == self.stale:
                    return
                self.stale = 0  # the inode may be reused
                if inode != self._inode:  # not the size: a restarted job may have written more by now
                    self._offset, self._inode = 0, inode
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        end = data.rfind(b"\n") + 1
        self._offset += end
        for line in data[:end].splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # a power failure can leave zeros in place of a line
                continue
            if isinstance(record, dict):
                yield record
