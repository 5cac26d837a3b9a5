r"""The format `boxed`: the answer is in LaTeX's `\boxed{...}`. Braces are counted, but LaTeX is not parsed."""

import re
from collections.abc import Iterable
from typing import Literal

from orchestrator.answers.formats.base import AnswerFormat, Found

# A box and its opening, an escaped character, or a brace; possessive, so that a text is scanned only once.
_TOKEN = re.compile(r"(?:\\\\?(?:boxed|fbox)|\x08oxed)(?![A-Za-z])(?:\s*+(\{)|[^\S\n]++([^\s${}\\]++))?+|\\[\\{}]|[{}]")
_COLOURED = re.compile(r"\s*+\\textcolor\s*+\{[^{}]*+\}\s*+\{((?:[^{}]|\{[^{}]*+\})*+)\}\s*+")


def _bare(content: str) -> str:
    """The content of a box without its color, and without the ties that keep it off the frame."""
    if "\\textcolor" in content and (coloured := _COLOURED.fullmatch(content)):
        content = coloured[1]
    tied = content.strip()
    return tied.strip("~ ") if tied.startswith("~") and tied.endswith("~") and tied.strip("~ ") else content


class BoxedFormat(AnswerFormat):
    r"""`\boxed{\frac{3}{4}}`, also `\fbox{72}` and `\boxed 72`; of several complete boxes, the last to begin counts.

    A doubled backslash, or a backspace in place of `\b`, is accepted: such a text was escaped once too often.
    """

    type: Literal["boxed"] = "boxed"

    def answers(self, text: str) -> Iterable[Found]:
        """The content of each box with balanced braces; of nested boxes, the inner one comes first."""
        found: list[Found] = []
        open_braces: list[tuple[int, int, bool] | None] = []  # a box: its start, its content's, doubled or not
        for match in _TOKEN.finditer(text):
            token = match[0]
            if token == "}":
                box = open_braces.pop() if open_braces else None
                if box is not None:
                    content = text[box[1] : match.start()]
                    found.append((box[0], _bare(content.replace(r"\\", "\\") if box[2] else content)))
            elif token == "{":
                open_braces.append(None)
            elif match[1]:
                open_braces.append((match.start(), match.end(), token.startswith(r"\\")))
            elif match[2]:
                found.append((match.start(), match[2].rstrip(".,;:")))
        return found if self.take == "first" else sorted(found, key=lambda box: box[0], reverse=True)

    def place(self) -> str:
        return r"answers in \boxed{}"

    def written(self, answer: str, reasoning: str) -> str:
        return f"{reasoning}{' ' if reasoning else ''}\\boxed{{{answer}}}"
