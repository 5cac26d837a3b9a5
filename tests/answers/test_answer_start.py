"""Where an answer begins in a text: the character that each format reports, and the token that starts there."""

import pytest
from transformers import AutoTokenizer

from orchestrator.answers.formats import (
    AnswerFormat,
    BoxedFormat,
    HashFormat,
    JsonFormat,
    LastNumberFormat,
    MarkerFormat,
    RegexFormat,
    TagsFormat,
)
from orchestrator.answers.tokens import answer_token, target_ids
from orchestrator.models.base import TINY

REGEX = RegexFormat(pattern=r"is: (\S+)!", target="It is: {answer}!")
TARGETS: list[tuple[AnswerFormat, str, str]] = [
    (TagsFormat(), "2 + 2 = 4 ", "<answer>4</answer>"),
    (TagsFormat(), "<answer>3</answer> no, ", "<answer>4</answer> then <answer>"),
    (HashFormat(), "2 + 2 = 4\n", "#### 4"),
    (BoxedFormat(), "2 + 2 = 4 ", r"\boxed{4}"),
    (BoxedFormat(), r"\boxed{3} or \boxed{", r"\boxed{4}}"),
    (MarkerFormat(), "2 + 2 = 4\n", "Final Answer: 4"),
    (REGEX, "2 + 2 = 4 It ", "is: 4!"),
    (JsonFormat(), "2 + 2 = 4 ", '{"answer": 4}'),
    (JsonFormat(), '{"answer": 3} ', '{"steps": {"answer": 4}}'),
    (LastNumberFormat(), "2 + 2 makes ", "4 in all"),
]


@pytest.mark.parametrize(("answer_format", "reasoning", "answer"), TARGETS)
def test_an_answer_begins_with_what_opens_it(answer_format: AnswerFormat, reasoning: str, answer: str) -> None:
    assert answer_format.extract(reasoning + answer) == "4"
    assert answer_format.answer_start(reasoning + answer) == len(reasoning)


@pytest.mark.parametrize("answer_format", [f for f, _, _ in TARGETS], ids=lambda f: f.type)
def test_a_text_without_an_answer_has_no_beginning_of_one(answer_format: AnswerFormat) -> None:
    assert answer_format.answer_start("nothing is said") is None
    assert answer_format.answer_start("") is None


def test_an_answer_that_the_prompt_opened_begins_at_once() -> None:
    assert TagsFormat(prefix="<answer>").answer_start("4</answer>") == 0
    assert TagsFormat(prefix="So ").answer_start("it is <answer>4</answer>") == len("it is ")


def test_what_follows_the_first_stop_is_no_answer() -> None:
    text = "<answer>3</answer>\n\n<answer>4</answer>"
    assert TagsFormat(stop=("\n\n",)).answer_start(text) == 0


@pytest.mark.parametrize("fast", [True, False])
def test_the_tokens_from_there_on_write_the_answer(fast: bool) -> None:
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    target = "3 km to m: 1 km = 1000 m. 3 * 1000 = 3000 <answer>3000</answer>"
    asked = tokenizer if fast else _Slow(tokenizer)
    place = answer_token(asked, TagsFormat(), target)
    assert place is not None
    ids = target_ids(tokenizer, target)
    assert tokenizer.decode(ids[:place]) == "3 km to m: 1 km = 1000 m. 3 * 1000 = 3000"
    assert tokenizer.decode(ids[place:]) == " <answer>3000</answer>" + tokenizer.eos_token
    assert answer_token(asked, TagsFormat(), "no answer at all") is None
    assert answer_token(asked, TagsFormat(), "<answer>1</answer>") == 0


class _Slow:
    """A tokenizer that cannot map tokens to characters."""

    is_fast = False

    def __init__(self, tokenizer: object) -> None:
        self.tokenizer = tokenizer

    def __call__(self, text: str, add_special_tokens: bool) -> object:
        return self.tokenizer(text, add_special_tokens=add_special_tokens)  # type: ignore[operator]
