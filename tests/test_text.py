"""Text of any origin on streams of any encoding."""

import io
import sys

import pytest

from orchestrator.report.html import shown
from orchestrator.text import plain, write_in_any_encoding


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u200f", "\u061c", "\u2028", "\x1b", "\x9b", "\r", "\ud800"])
def test_what_steers_a_terminal_is_shown(mark: str) -> None:
    written = ascii(mark)[1:-1] if mark != "\r" else "\\x0d"
    assert plain(f"a{mark}b") == shown(f"a{mark}b") == f"a{written}b"


def test_text_is_left_alone() -> None:
    assert plain("שלום, 答案 — 72 €\n\tπ") == "שלום, 答案 — 72 €\n\tπ"


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", "RFT - SFT: +19.4 +/- 2 -> 90 deg ... \\u7b54 \\u20ac"),
        ("cp1252", "RFT - SFT: +19.4 ± 2 -> 90° … \\u7b54 €"),
        ("latin-1", "RFT - SFT: +19.4 ± 2 -> 90° ... \\u7b54 \\u20ac"),
        ("utf-8", "RFT − SFT: +19.4 ± 2 → 90° … 答 €"),
        ("utf-16-le", "RFT − SFT: +19.4 ± 2 → 90° … 答 €"),
    ],
)
def test_a_stream_of_any_encoding_takes_any_text(encoding: str, written: str) -> None:
    below = io.BytesIO()
    stream = io.TextIOWrapper(below, encoding=encoding)
    write_in_any_encoding(stream)
    stream.write("RFT − SFT: +19.4 ± 2 → 90° … 答 €")
    stream.flush()
    assert below.getvalue().decode(encoding) == written


def test_every_character_can_be_written() -> None:
    below = io.BytesIO()
    stream = io.TextIOWrapper(below, encoding="ascii")
    write_in_any_encoding(stream)
    stream.write("".join(map(chr, range(sys.maxunicode + 1))))
    stream.flush()
    assert below.getvalue().isascii()


def test_a_stream_that_cannot_be_changed_is_left_alone() -> None:
    write_in_any_encoding(io.StringIO())
