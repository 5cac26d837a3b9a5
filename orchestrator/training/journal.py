"""What a job tells of its progress: JSON lines in its work folder, written by workers, read by the driver.

A file, not a message: it outlives both processes, so the curve of a run that was killed is whole when it goes on.
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
    """The writing side. `start` drops what was written after the step that training goes on from."""

    def __init__(self, work: Path) -> None:
        self.path = work / NAME
        self._shown = 0.0

    def start(self, step: int) -> None:
        """Keep the records up to `step`, forget the rest."""
        kept = [r for r in read(self.path) if r.get("step", 0) <= step]
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(r) + "\n" for r in kept))
        temporary.replace(self.path)

    def progress(self, step: int, total: int) -> None:
        """`step` of `total` are done; written at most four times a second."""
        now = time.monotonic()
        if now - self._shown >= 0.25 or step == total:
            self._shown = now
            self._append({"step": step, "total": total})

    def metrics(self, step: int, values: dict[str, float], right: str = "") -> None:
        """One point of each curve; `right`: which of the questions asked were answered right, a 0 or 1 for each."""
        record = {"step": step, "metrics": values, "time": int(time.time() * 1000)}
        self._append(record | ({"right": right} if right else {}))
        _log.info("step %d: %s", step, ", ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def finding(self, step: int, finding: Finding) -> None:
        """What the watch over a training has found."""
        self._append({"step": step, "finding": asdict(finding)})
        _log.warning("%s: %s", finding.check, finding.what)

    def _append(self, record: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")


class JournalOfAnother(Journal):
    """The journal that another worker writes, of those that train together: here it is only read."""

    def start(self, step: int) -> None:
        """The other does."""

    def _append(self, record: dict[str, Any]) -> None:
        """The other does."""


def read(path: Path) -> list[dict[str, Any]]:
    """All whole records; a last line that a crash cut short is left out."""
    return list(Tail(path).new()) if path.exists() else []


@dataclass
class Tail:
    """The reading side: the records that came since the last look."""

    path: Path
    stale: int = 0
    """The inode of a file that an earlier run has left: it is not read, as the job will write it again."""
    _offset: int = field(default=0, repr=False)
    _inode: int = field(default=0, repr=False)

    @classmethod
    def of_a_job(cls, path: Path) -> "Tail":
        """The records of a job that is about to begin, without those of one that was cut off before it."""
        return cls(path, path.stat().st_ino if path.exists() else 0)

    def new(self) -> Iterator[dict[str, Any]]:
        """Records not seen before; all of them again where the file was rewritten."""
        try:
            with self.path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode == self.stale:
                    return
                self.stale = 0  # the number may be given again
                if inode != self._inode:  # not its size: a restarted job may have written more by now
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
            except ValueError:  # a power failure leaves zeros where a line was
                continue
            if isinstance(record, dict):
                yield record
