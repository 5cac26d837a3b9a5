"""A program on its own pseudo-terminal, and how a screen would show its output."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_PIECE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|\x1b.")


class Screen:
    """The lines of a terminal of the given size, including those that have scrolled away."""

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.height = columns, lines
        self._lines = [""]
        self._row = self._column = 0

    @property
    def text(self) -> str:
        """All lines, from the first one written."""
        return "\n".join(line.rstrip() for line in self._lines).rstrip("\n")

    def write(self, text: str) -> None:
        """Process a program's output: text, cursor movements and erasures."""
        for found in _PIECE.finditer(text):
            number, command, control, words = found.groups()
            if control == "\r":
                self._column = 0
            elif control == "\n":
                self._down()
            elif words:
                for letter in words:
                    self._put(letter)
            elif command == "A":  # never above the visible screen
                top = max(0, len(self._lines) - self.height)
                self._row = max(top, self._row - int(number or 1))
            elif command == "K":
                self._lines[self._row] = ""

    def _put(self, letter: str) -> None:
        if self._column == self.columns:
            self._down()
            self._column = 0
        line = self._lines[self._row].ljust(self._column)
        self._lines[self._row] = line[: self._column] + letter + line[self._column + 1 :]
        self._column += 1

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append("")


class Terminal:
    """A program that runs on a terminal; `shown` is everything shown so far."""

    def __init__(
        self, command: Sequence[str], folder: Path, env: dict[str, str], columns: int = 80, lines: int = 24
    ) -> None:
        self.screen = Screen(columns, lines)
        self._here, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        clean = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}

        def on_it() -> None:
            fcntl.ioctl(there, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)

        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=clean | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
            preexec_fn=on_it,
        )
        os.close(there)
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def shown(self) -> str:
        return self.screen.text

    def press(self, keys: bytes) -> None:
        """Press keys, as a user does: `b"\\x03"` is Ctrl-C."""
        os.write(self._here, keys)

    def wait_for(self, what: Callable[[str], bool], seconds: float = 300) -> None:
        """Read until the shown text meets a condition."""
        end = time.monotonic() + seconds
        while not what(self.shown):
            assert self._read() and time.monotonic() < end, self.shown

    def ended(self, seconds: float = 300) -> int:
        """Read to the end; return the exit code."""
        end = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < end, self.shown
        code = self.process.wait(timeout=30)
        os.close(self._here)
        return code

    def _read(self) -> bool:
        """Read the program's output, waiting briefly for it; return whether the program still has the terminal."""
        if not select.select([self._here], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._here, 65_536)
        except OSError:  # on Linux: nothing has the other side open any more
            data = b""
        text = self._rest + self._decoder.decode(data, final=not data)
        cut = text.rfind("\x1b") if data and "\x1b" in text[-12:] else len(text)  # a sequence may be split in two
        self._rest = text[cut:]
        self.screen.write(text[:cut])
        return bool(data)
