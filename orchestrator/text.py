r"""Text of any origin on a terminal, in a page or in a log: what would steer it is shown, not sent.

A stream of any encoding takes every text: signs that it lacks become ASCII (`−` is `-`), other characters `\u2603`.
"""

import codecs
import re
from typing import TextIO

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
_DIRECTING = {
    code: f"\\u{code:04x}"
    for code in (0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""Marks that turn the text around them, or end its line, where nobody sees them."""
_NOWHERE = {code: f"\\u{code:04x}" for code in (*range(0xD800, 0xE000), 0xFFFE, 0xFFFF)}
"""Halves of characters, and no characters: no UTF-8 file may hold the one, no HTML page the other."""
_SHOWN = _CONTROL | _DIRECTING | _NOWHERE

_ASCII = {
    **dict.fromkeys("‐‑‒–—―−─━┄┈╌", "-"),
    **dict.fromkeys("│┃┆┊╎║", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╞╡╪┏┓┗┛┣┫┳┻╋┡┩╇╈", "+"),
    **dict.fromkeys("═", "="),
    **dict.fromkeys("‘’‚′", "'"),
    **dict.fromkeys("“”„″", '"'),
    **dict.fromkeys("•·∙⋅", "*"),
    **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
    **{"…": "...", "→": "->", "←": "<-", "↑": "^", "↓": "v", "▶": ">", "×": "x", "÷": "/", "±": "+/-", "≈": "~"},
    **{"≤": "<=", "≥": ">=", "≠": "!=", "✓": "ok", "✗": "x", "µ": "u", "°": " deg"},
}


def plain(text: str) -> str:
    r"""The text with each control character but line feed and tab, and each directing mark, written out: `\x1b`."""
    return text.translate(_SHOWN)


def write_in_any_encoding(*streams: TextIO) -> None:
    """From now on these streams refuse no character, whatever encoding the terminal or the locale gave them."""
    codecs.register_error("orch-ascii", _in_ascii)
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)  # a stream that a caller has put there may have none
        if reconfigure is not None:
            reconfigure(errors="orch-ascii")


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    written = "".join(_ASCII.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in lacking)
    return written, error.end


# --- inside Markdown: a text shows as it is and means nothing

_ACTIVE = re.compile(r"([\\`*_\[\]<>#|~&$])")


def inline(text: object) -> str:
    """A piece of running text on one line, also in a table's cell."""
    return _ACTIVE.sub(r"\\\1", plain(" ".join(str(text).split())))


def code(text: object) -> str:
    """A piece of code on one line; not for a table's cell, where `|` would end it."""
    shown = plain(str(text).replace("\n", " "))
    marks = _marks(shown, 1)
    padded = f" {shown} " if shown.startswith("`") or shown.endswith("`") else shown
    return f"{marks}{padded}{marks}"


def fenced(text: str, language: str = "") -> str:
    """A block of code, exactly as it is, whatever fences it holds itself."""
    marks = _marks(text, 3)
    return f"{marks}{language}\n{plain(text.removesuffix(chr(10)))}\n{marks}"


def _marks(text: str, least: int) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * (max(least, longest + 1) if longest >= least or least == 1 else least)
