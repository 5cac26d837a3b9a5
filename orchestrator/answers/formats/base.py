"""What every answer format is: how a question is asked, what is to be written, where the answer is in it.

One object serves training, sampling, GRPO and evaluation, so that they cannot drift apart. It deals in text alone: it
must not know a tokenizer, a judge or a task. Reading takes linear time and never raises, whatever a model wrote.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from orchestrator.answers.control_tokens import before_end
from orchestrator.errors import DataError
from orchestrator.types import Answer, answer_text

Found = tuple[int, str]
"""Where what opens an answer begins, and the answer."""
_SLOT = "{question}"
_PLACEHOLDER = re.compile(
    r"""
    (?: [\s*~\u200b-\u200d\u2060\ufeff] | &nbsp; )++
    | [\s*`"'<>{}()\[\]$\u200b-\u200d\u2060\ufeff]*+ (?: \\(?:text|mathrm|textbf|mathbf|texttt)\{ \s*+ )?+
    (?: \}
      | (?: [\s.…?_~□⬜\-–—\u200b-\u200d\u2060\ufeff] | &nbsp; | \\[_,;:!\ ] | \{\}
          | \\(?: [lc]?dots[cbo]? | q?quad | square | Box | blacksquare ) (?![A-Za-z])
          | \\(?: phantom | hspace\*? | hphantom | rule | underline ) \s*+ \{ [^{}]*+ \} )++
      | X{2,}+ | x{3,}+ | (?: TODO | TBD ) \b
      | (?: (?: insert | put | write | your | the | my | final | numerical | numeric | correct | just | only | a | an
              | single | actual ) [\s_]++ )*+
        (?: answer | ans | number | result | value | integer ) (?: [\s_]++ (?: goes [\s_]++ )?+ (?: here | only ) )?+
      | (?: 你的 | 最终 | 您的 )*+ (?: 答案 | 答え | 数字 ) )
    [\s*`"'<>{}()\[\]$.…\u200b-\u200d\u2060\ufeff]*+
    """,
    re.VERBOSE | re.IGNORECASE,
)
# A line that begins another exchange: what stands behind it answers another question.
_NEW_QUESTION = (
    r"(?im)^[ \t#*_>-]*+(?:question|problem|exercise|instruction|user|human|q)[ \t]*+[0-9]{0,4}+[*_]*+[ \t]*+[:：]"
    r"|<[|｜](?:im_start|start_header_id|user|User|eot_id)[|｜]>"
)


class AnswerFormat(BaseModel):
    """The contract between what is asked, what is trained on and what is read back. Base of every format."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    VERSION: ClassVar[int] = 3
    """Raised whenever the same settings would ask, write or read differently: it is part of a stage's key."""
    guarded: ClassVar[bool] = False
    """True: reading may never end, so it is done in a process that can be killed."""

    type: str
    prompt: str = "{question}\n"
    """What the model reads; `{question}` is in it exactly once. Other braces are plain text."""
    prefix: str = ""
    """Where the model's own writing begins, such as `<answer>`: the end of what is asked, the first of what is read."""
    chat: bool = False
    """True: the prompt is one user message in the tokenizer's chat template, with its generation prompt."""
    system: str | None = None
    """The system message that goes before it."""
    stop: tuple[str, ...] = ()
    """Generation ends when one of these is written; it stays in the completion, and what follows it is not read."""
    take: Literal["first", "last"] = "last"
    """Which of several complete answers counts."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        found = self.prompt.count(_SLOT)
        if found != 1:
            raise ValueError(f"prompt must hold {_SLOT} exactly once, it holds it {found} times: {self.prompt!r}")
        if self.system is not None and not self.chat:
            raise ValueError("system is a message of a chat: set chat: true, or write it into prompt")
        if "" in self.stop:
            raise ValueError("stop holds an empty text, which would end every completion at once; leave it out")
        return self

    def prompt_text(self, question: str) -> str:
        """The user-visible prompt, before any chat template and without the prefix."""
        return self.prompt.replace(_SLOT, question)

    def target_text(self, answer: Answer, reasoning: str = "") -> str:
        """What a model should write after the prefix: the reasoning, then the answer where `extract` finds it again.

        Raises DataError if it would not.
        """
        written = answer_text(answer).strip()
        target = self.completion_of(self.written(written, reasoning.rstrip()))
        if self.extract(target) != written:
            raise DataError(f"answer {written!r} cannot be read back {self.why_not(target)}")
        return target

    def completion_of(self, text: str) -> str:
        """A worked solution as a completion: without the prefix where it begins with it, else as it is."""
        return text.removeprefix(self.prefix)

    def cut(self, completion: str) -> str:
        """A completion up to its first stop string, and with it."""
        if not self.stop:
            return completion
        ends = [at + len(stop) for stop in self.stop if (at := completion.find(stop)) >= 0]
        return completion[: min(ends)] if ends else completion

    def ending(self, text: str) -> str | None:
        """The answer in which a worked solution ends, just as `target_text` writes it; None: it ends in none.

        Signs may follow it, as in `so it is $\\boxed{7}$.`, but no letter or digit.
        """
        found = self.extract(self.completion_of(text))
        _, written, rest = text.rpartition(self.written(found, "").strip()) if found else ("", "", "")
        return found if written and not any(character.isalnum() for character in rest) else None

    def extract(self, completion: str) -> str | None:
        """The answer's raw text, stripped; None if there is none. Of several complete ones `take` says which.

        What follows a token that ends a turn is not read.
        """
        text = before_end(self.cut(completion) if self.stop else completion)
        found = self.find(self.prefix + text if self.prefix else text)
        return None if found is None else found[1].strip()

    def answer_start(self, completion: str) -> int | None:
        """Where the answer that `extract` reads begins in a completion, with the text that opens it.

        A character offset, 0 where the prefix opens it already; None where there is no answer.
        """
        found = self.find(self.prefix + before_end(self.cut(completion)))
        return None if found is None or not found[1].strip() else max(0, found[0] - len(self.prefix))

    def in_words(self) -> str:
        """Where the answer stands, in a few words: `answers in <answer> tags`."""
        return self.place() + ("" if self.take == "last" else ", the first of several")

    def place(self) -> str:
        """The same of one answer."""
        return f"answers as {self.type} finds them"

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides what this format does, for a stage's key."""
        return {"version": self.VERSION, **self.model_dump(mode="json")}

    def find(self, text: str) -> Found | None:
        """In a text that begins with the prefix: the answer that counts; None: none.

        An empty one is none, and one that only keeps its place (`...`, `your answer`) hides no other.
        """
        kept: Found | None = None
        for found in self.answers(text):
            if found[1] and not found[1].isspace():
                if found[1][-1].isdigit() or _PLACEHOLDER.fullmatch(found[1]) is None:
                    return found
                kept = kept or found
        return kept

    def runs_on(self, completion: str) -> bool:
        """Whether a completion goes on with another question after an answer: what is read may be that one's answer."""
        text = self.prefix + self.cut(completion)
        begins = self._new_question.search(text, len(self.prefix))
        return begins is not None and self.find(text[: begins.start()]) is not None

    @cached_property
    def _new_question(self) -> re.Pattern[str]:
        lead = self.prompt.partition(_SLOT)[0].strip().rpartition("\n")[2]
        own = rf"|^[ \t]*+{re.escape(lead)}" if len(lead) > 2 else ""
        return re.compile(_NEW_QUESTION + own)

    def answers(self, text: str) -> Iterable[Found]:
        """The complete answers of a text with its prefix, empty ones too; first the one that `take` names."""
        raise NotImplementedError

    def written(self, answer: str, reasoning: str) -> str:
        """Reasoning and answer as they should be written, prefix included."""
        raise NotImplementedError

    def why_not(self, target: str) -> str:
        """The end of the sentence that says why a target is not read back."""
        if self.cut(target) != target:
            return f"because {target!r} holds one of the stop strings {list(self.stop)}: change them or the answer"
        return f"by the answer format {self.type!r} from {target!r}: change the answer or the answer format"
