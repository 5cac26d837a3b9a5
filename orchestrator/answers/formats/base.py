"""The base of answer formats: how a question is asked, what should be written, where the answer is in it.

One object serves training, sampling, GRPO and evaluation, so that they cannot drift apart. It handles text only: it
must not know about tokenizers, judges or tasks. Reading takes linear time and never raises, whatever a model wrote.
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
"""Where the text that opens an answer begins, and the answer."""
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
# A line that begins another exchange: what follows it answers another question.
_NEW_QUESTION = (
    r"(?im)^[ \t#*_>-]*+(?:question|problem|exercise|instruction|user|human|q)[ \t]*+[0-9]{0,4}+[*_]*+[ \t]*+[:：]"
    r"|<[|｜](?:im_start|start_header_id|user|User|eot_id)[|｜]>"
)


class AnswerFormat(BaseModel):
    """The contract between the prompt, the training target and the answer read back. Base class of every format."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    VERSION: ClassVar[int] = 3
    """Incremented whenever the same settings would ask, write or read differently: it is part of a stage's key."""
    guarded: ClassVar[bool] = False
    """True: reading may never end, so it runs in a process that can be killed."""

    type: str
    prompt: str = "{question}\n"
    """The prompt; it contains `{question}` exactly once. Other braces are plain text."""
    prefix: str = ""
    """Text that opens the completion, such as `<answer>`: it ends the prompt, and reading begins with it."""
    chat: bool = False
    """True: the prompt is one user message in the tokenizer's chat template, with its generation prompt."""
    system: str | None = None
    """The system message before the user message; only with `chat: true`."""
    stop: tuple[str, ...] = ()
    """Stop strings: generation ends when one is written. It stays in the completion; anything after it is not read."""
    take: Literal["first", "last"] = "last"
    """Which of several complete answers counts."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        found = self.prompt.count(_SLOT)
        if found != 1:
            raise ValueError(f"prompt must contain {_SLOT} exactly once, not {found} times: {self.prompt!r}")
        if self.system is not None and not self.chat:
            raise ValueError("system is a chat message: set chat: true, or put the text into prompt")
        if "" in self.stop:
            raise ValueError("stop contains an empty text, which would end every completion at once; remove it")
        return self

    def prompt_text(self, question: str) -> str:
        """The user-visible prompt, before any chat template and without the prefix."""
        return self.prompt.replace(_SLOT, question)

    def target_text(self, answer: Answer, reasoning: str = "") -> str:
        """The text a model should write after the prefix: the reasoning, then the answer where `extract` finds it.

        Raises DataError if `extract` would not find it.
        """
        written = answer_text(answer).strip()
        target = self.completion_of(self.written(written, reasoning.rstrip()))
        if self.extract(target) != written:
            raise DataError(f"answer {written!r} cannot be read back {self.why_not(target)}")
        return target

    def completion_of(self, text: str) -> str:
        """A worked solution as a completion: without the prefix if it begins with it, otherwise unchanged."""
        return text.removeprefix(self.prefix)

    def cut(self, completion: str) -> str:
        """A completion up to and including its first stop string."""
        if not self.stop:
            return completion
        ends = [at + len(stop) for stop in self.stop if (at := completion.find(stop)) >= 0]
        return completion[: min(ends)] if ends else completion

    def ending(self, text: str) -> str | None:
        """The answer at the end of a worked solution, exactly as `target_text` writes it; None if there is none.

        Punctuation may follow it, as in `so it is $\\boxed{7}$.`, but no letter or digit.
        """
        found = self.extract(self.completion_of(text))
        _, written, rest = text.rpartition(self.written(found, "").strip()) if found else ("", "", "")
        return found if written and not any(character.isalnum() for character in rest) else None

    def extract(self, completion: str) -> str | None:
        """The answer's raw text, stripped; None if there is none. `take` chooses among several complete answers.

        Anything after a token that ends a turn is not read.
        """
        text = before_end(self.cut(completion) if self.stop else completion)
        found = self.find(self.prefix + text if self.prefix else text)
        return None if found is None else found[1].strip()

    def answer_start(self, completion: str) -> int | None:
        """Where the answer that `extract` reads begins in a completion, including the text that opens it.

        A character offset, 0 if the prefix already opens it; None if there is no answer.
        """
        found = self.find(self.prefix + before_end(self.cut(completion)))
        return None if found is None or not found[1].strip() else max(0, found[0] - len(self.prefix))

    def in_words(self) -> str:
        """Where the answer is, in a few words: `answers in <answer> tags`."""
        return self.place() + ("" if self.take == "last" else ", the first of several")

    def place(self) -> str:
        """The same, without saying which of several answers counts."""
        return f"answers as {self.type} finds them"

    def fingerprint(self) -> dict[str, Any]:
        """Everything that determines what this format does, for a stage's key."""
        return {"version": self.VERSION, **self.model_dump(mode="json")}

    def find(self, text: str) -> Found | None:
        """The answer that counts in a text that begins with the prefix; None if there is none.

        An empty answer does not count, and a mere placeholder (`...`, `your answer`) counts only if there is no other.
        """
        kept: Found | None = None
        for found in self.answers(text):
            if found[1] and not found[1].isspace():
                if found[1][-1].isdigit() or _PLACEHOLDER.fullmatch(found[1]) is None:
                    return found
                kept = kept or found
        return kept

    def runs_on(self, completion: str) -> bool:
        """Whether a completion continues with another question after an answer: the answer read may be to that one."""
        text = self.prefix + self.cut(completion)
        begins = self._new_question.search(text, len(self.prefix))
        return begins is not None and self.find(text[: begins.start()]) is not None

    @cached_property
    def _new_question(self) -> re.Pattern[str]:
        lead = self.prompt.partition(_SLOT)[0].strip().rpartition("\n")[2]
        own = rf"|^[ \t]*+{re.escape(lead)}" if len(lead) > 2 else ""
        return re.compile(_NEW_QUESTION + own)

    def answers(self, text: str) -> Iterable[Found]:
        """The complete answers in a text with its prefix, even empty ones; the one `take` chooses comes first."""
        raise NotImplementedError

    def written(self, answer: str, reasoning: str) -> str:
        """Reasoning and answer as they should be written, prefix included."""
        raise NotImplementedError

    def why_not(self, target: str) -> str:
        """Why a target cannot be read back, as the end of a sentence."""
        if self.cut(target) != target:
            return f"because {target!r} contains one of the stop strings {list(self.stop)}: change them or the answer"
        return f"by the answer format {self.type!r} from {target!r}: change the answer or the answer format"
