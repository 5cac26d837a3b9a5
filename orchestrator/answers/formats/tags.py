"""The format `tags`: the answer stands between an opening and a closing text. Knows nothing of what it means."""

from typing import Literal, Self

from pydantic import Field, model_validator

from orchestrator.answers.formats.base import AnswerFormat


class TagsFormat(AnswerFormat):
    """`<answer>72</answer>`; of several the last complete pair counts."""

    type: Literal["tags"] = "tags"
    opening: str = Field(default="<answer>", min_length=1)
    """Stands before the answer."""
    closing: str = Field(default="</answer>", min_length=1)
    """Stands after the answer."""

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        if not self.opening.strip():
            raise ValueError("opening is blank, so every gap between words would open an answer; give it some text")
        # The other way round is sound: "\n#### " may be closed by "\n".
        if self.opening in self.closing:
            raise ValueError(
                f"closing {self.closing!r} holds opening {self.opening!r}, so every end would be a beginning too; "
                "make them differ"
            )
        return self

    def find(self, text: str) -> tuple[int, str] | None:
        """What stands in the last complete pair.

        A pair is an opening and the first closing after it with no other opening between them. So of nested openings
        the innermost counts, and one that is never closed (a cut-off completion) does not hide an earlier answer.
        """
        opens = text.rfind(self.opening, 0, max(text.rfind(self.closing), 0))
        if opens < 0:
            return None
        start = opens + len(self.opening)
        return opens, text[start : text.find(self.closing, start)]

    def written(self, answer: str, reasoning: str) -> str:
        gap = " " if reasoning and not self.opening[0].isspace() else ""
        return f"{reasoning}{gap}{self.opening}{answer}{self.closing}"

    def why_not(self, target: str) -> str:
        if self.cut(target) != target:
            return super().why_not(target)
        return (
            f"from between {self.opening!r} and {self.closing!r}: it is empty or holds one of them; change the answer, "
            "or the opening and closing of the answer format"
        )
