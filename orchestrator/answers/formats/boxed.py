r"""The format `boxed`: the answer is in LaTeX's `\boxed{...}`. Braces are counted, LaTeX is not understood."""

import re
from collections.abc import Iterable
from typing import Literal

from orchestrator.answers.formats.base import AnswerFormat, Found

# A box with what may open it, an escaped character, or a brace; possessive, so that a text is passed through once.
_TOKEN = re.compile(r"(?:\\\\?(?:boxed|fbox)|\x08oxed)(?![A-Za-z])(?:\s*+(\{)|[^\S\n]++([^\s${}\\]++))?+|\\[\\{}]|[{}]")
_COLOURED = re.compile(r"\s*+\\textcolor\s*+\{[^{}]*+\}\s*+\{((?:[^{}]|\{[^{}]*+\})*+)\}\s*+")


def _bare(content: str) -> str:
    """What is in a box without its colour, and without the ties that keep it off the frame."""
    if "\\textcolor" in content and (coloured := _COLOURED.fullmatch(content)):
        content = coloured[1]
    tied = content.strip()
    return tied.strip("~ ") if tied.startswith("~") and tied.endswith("~") and tied.strip("~ ") else content


class BoxedFormat(AnswerFormat):
    r"""`\boxed{\frac{3}{4}}`, also `\fbox{72}` and `\boxed 72`; of several complete ones the one that begins last.

    A doubled backslash or a backspace in place of `\b` comes from a text that was escaped once too often.
    """

    type: Literal["boxed"] = "boxed"

    def answers(self, text: str) -> Iterable[Found]:
        """What is in each box whose braces are balanced; of a box within a box, the inner one comes first."""
        found: list[Found] = []
        open_braces: list[tuple[int, int, bool] | None] = []  # a box's: where it begins, its content, doubled or not
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
