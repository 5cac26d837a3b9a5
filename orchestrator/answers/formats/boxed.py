r"""The format `boxed`: the answer stands in LaTeX's `\boxed{...}`. Braces are counted, LaTeX is not understood."""

import re
from typing import Literal

from orchestrator.answers.formats.base import AnswerFormat

# A box with what may open it, an escaped character, or a brace; possessive, so that a text is passed through once.
_TOKEN = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])(?:\s*+(\{)|[^\S\n]++([^\s${}\\]++))?+|\\[\\{}]|[{}]")


class BoxedFormat(AnswerFormat):
    r"""`\boxed{\frac{3}{4}}`, also `\fbox{72}` and `\boxed 72`; of several complete ones the one that begins last."""

    type: Literal["boxed"] = "boxed"

    def find(self, text: str) -> tuple[int, str] | None:
        """What stands in the last box whose braces are balanced; in a box within a box, the inner one's."""
        found: tuple[int, str] | None = None
        open_braces: list[tuple[int, int] | None] = []  # for a box's brace: where the box begins, and its content
        for match in _TOKEN.finditer(text):
            token = match[0]
            if token == "}":
                box = open_braces.pop() if open_braces else None
                if box is not None and (found is None or box[0] > found[0]):
                    found = (box[0], text[box[1] : match.start()])
            elif token == "{":
                open_braces.append(None)
            elif match[1]:
                open_braces.append((match.start(), match.end()))
            elif match[2]:
                found = (match.start(), match[2].rstrip(".,;:"))
        return found

    def written(self, answer: str, reasoning: str) -> str:
        return f"{reasoning}{' ' if reasoning else ''}\\boxed{{{answer}}}"
