"""Text of models and files on a terminal: what would steer the terminal is shown, not sent."""

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def plain(text: str) -> str:
    """The text with each control character but line feed and tab written out: `\\x1b`."""
    return text.translate(_CONTROL)
