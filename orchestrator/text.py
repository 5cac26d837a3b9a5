r"""Safe output of untrusted text on a terminal, in a page or in a log: control characters are shown, not sent.

Streams of any encoding accept any text: symbols that they lack become ASCII (`−` is `-`), other characters `\u2603`.
"""

import codecs
import re
from typing import TextIO

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
_DIRECTING = {
    code: f"\\u{code:04x}"
    for code in (0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""Invisible characters that change the direction of the text around them, or end its line."""
_NOWHERE = {code: f"\\u{code:04x}" for code in (*range(0xD800, 0xE000), 0xFFFE, 0xFFFF)}
"""Surrogates and noncharacters: the former are invalid in UTF-8 files, the latter in HTML pages."""
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
    r"""The text with control characters (except line feed and tab) and direction marks written out: `\x1b`."""
    return text.translate(_SHOWN)


def write_in_any_encoding(*streams: TextIO) -> None:
    """Make these streams accept every character, whatever the encoding set by the terminal or the locale."""
    codecs.register_error("orch-ascii", _in_ascii)
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)  # a caller's replacement stream may lack it
        if reconfigure is not None:
            reconfigure(errors="orch-ascii")


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    written = "".join(_ASCII.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in lacking)
    return written, error.end


# --- inside Markdown: text is shown literally, without being interpreted

_ACTIVE = re.compile(r"([\\`*_\[\]<>#|~&$])")


def inline(text: object) -> str:
    """Running text on one line; also usable in a table cell."""
    return _ACTIVE.sub(r"\\\1", plain(" ".join(str(text).split())))


def code(text: object) -> str:
    """Inline code on one line; not for a table cell, which a `|` would end."""
    shown = plain(str(text).replace("\n", " "))
    marks = _marks(shown, 1)
    padded = f" {shown} " if shown.startswith("`") or shown.endswith("`") else shown
    return f"{marks}{padded}{marks}"


def fenced(text: str, language: str = "") -> str:
    """A code block with the text as is, whatever fences it contains."""
    marks = _marks(text, 3)
    return f"{marks}{language}\n{plain(text.removesuffix(chr(10)))}\n{marks}"


def _marks(text: str, least: int) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * (max(least, longest + 1) if longest >= least or least == 1 else least)
