"""Answer formats: prompts, targets and extraction."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator.answers.formats import (
    FORMATS,
    AnswerFormat,
    BoxedFormat,
    Format,
    HashFormat,
    JsonFormat,
    LastNumberFormat,
    MarkerFormat,
    RegexFormat,
    TagsFormat,
    load_format,
)
from orchestrator.answers.formats.difference import first_difference
from orchestrator.answers.tokens import prompt_ids
from orchestrator.errors import DataError
from orchestrator.types import answer_text

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k" / "train.jsonl"
REGEX = RegexFormat(pattern=r"is: (\S+)!", target="It is: {answer}!")
ALL: list[AnswerFormat] = [
    TagsFormat(),
    HashFormat(),
    BoxedFormat(),
    MarkerFormat(),
    REGEX,
    JsonFormat(),
    LastNumberFormat(),
]

# --- common to all formats, and tags


def test_a_question_may_hold_braces_and_even_the_slot() -> None:
    question = "What is {x} + {question} - {{0}}?"
    assert TagsFormat(prompt="Q {a}: {question}\nA:").prompt_text(question) == f"Q {{a}}: {question}\nA:"


@pytest.mark.parametrize("prompt", ["", "no slot", "{Question}", "{question} and {question}"])
def test_a_prompt_holds_the_question_exactly_once(prompt: str) -> None:
    with pytest.raises(ValidationError, match="exactly once"):
        TagsFormat(prompt=prompt)


@pytest.mark.parametrize(
    ("opening", "closing"), [("", "x"), ("x", ""), (" \n", "x"), ("**", "**"), ("<a", "<a>"), ("##", "##x")]
)
def test_delimiters_that_cannot_be_told_apart_are_refused(opening: str, closing: str) -> None:
    with pytest.raises(ValidationError):
        TagsFormat(opening=opening, closing=closing)


def test_a_format_is_frozen_and_knows_its_fields() -> None:
    with pytest.raises(ValidationError):
        TagsFormat().chat = True
    with pytest.raises(ValidationError):
        TagsFormat(stops="x")  # type: ignore[call-arg]


def test_targets() -> None:
    answer_format = TagsFormat()
    assert answer_format.target_text(4.66) == "<answer>4.66</answer>"
    assert answer_format.target_text(420.0, "7 * 60 = 420") == "7 * 60 = 420 <answer>420</answer>"
    assert answer_format.target_text(" ( ) ", "x\n") == "x <answer>( )</answer>"
    assert TagsFormat(opening="\n#### ", closing="\n").target_text(72.0, "so") == "so\n#### 72\n"


@pytest.mark.parametrize(
    ("answer", "reasoning"),
    [("x", ""), (0.1, "a"), ("two words", "r"), (1e20, "<answer>1</answer> no:"), ("5", "I open <answer> too early")],
)
def test_a_target_is_read_back(answer: float | str, reasoning: str) -> None:
    extracted = TagsFormat().extract(TagsFormat().target_text(answer, reasoning))
    assert extracted == answer_text(answer)


@pytest.mark.parametrize("answer", ["", "  ", "a</answer>b", "<answer>", "1<answer>2"])
def test_an_answer_that_could_not_be_read_back_is_refused(answer: str) -> None:
    with pytest.raises(DataError, match="cannot be read back"):
        TagsFormat().target_text(answer)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", None),
        ("no tags, 42", None),
        ("<answer>42", None),
        ("42</answer>", None),
        ("</answer>42<answer>", None),
        ("<answer></answer>", None),
        ("<answer> \n </answer>", None),
        ("<ANSWER>1</ANSWER>", None),
        ("so <answer> 42\n</answer> and more", "42"),
        ("<answer>1</answer> no, <answer>2</answer>", "2"),
        ("<answer>1</answer> <answer>2", "1"),
        ("<answer>1 <answer>2</answer>", "2"),
        ("<answer>1 <answer>2</answer></answer>", "2"),
        ("<answer>1</answer> 2</answer>", "1"),
        ("<answer>1</answer><answer></answer>", "1"),
        ("<answer>a\x00\ud800{}</answer>", "a\x00\ud800{}"),
    ],
)
def test_extraction_takes_the_last_complete_pair(text: str, answer: str | None) -> None:
    assert TagsFormat().extract(text) == answer


def test_delimiters_that_overlap_are_told_apart() -> None:
    assert TagsFormat(opening="ab", closing="ba").extract("aba") is None
    assert TagsFormat(opening="ab", closing="ba").extract("ab1ba") == "1"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so\n#### 72\n", "72"),
        ("so\n#### 72", None),
        ("\n#### 1\n\n#### 2\n", "2"),
        ("\n#### 1\n#### 2", "1"),
        ("\n#### \n", None),
    ],
)
def test_an_opening_may_hold_the_closing(text: str, answer: str | None) -> None:
    assert TagsFormat(opening="\n#### ", closing="\n").extract(text) == answer


def test_extraction_is_linear() -> None:
    started = time.process_time()
    for text in ("<answer>" * 200_000, "</answer>" * 200_000, "<answer></answer>" * 100_000):
        assert TagsFormat().extract(text) is None
        assert TagsFormat(take="first").extract(text) is None
    assert time.process_time() - started < 15


def test_the_fingerprint_changes_with_every_setting() -> None:
    formats = [
        TagsFormat(),
        TagsFormat(prompt="{question} "),
        TagsFormat(opening="<a>"),
        TagsFormat(closing="</a>"),
        TagsFormat(chat=True),
        TagsFormat(chat=True, system="s"),
        TagsFormat(prefix="<answer>"),
        TagsFormat(stop=("x",)),
        HashFormat(),
        MarkerFormat(),
        MarkerFormat(ignore_case=False),
        JsonFormat(),
        JsonFormat(field="x"),
    ]
    prints = [answer_format.fingerprint() for answer_format in formats]
    assert all(prints.count(one) == 1 for one in prints)
    assert set(prints[0]) == {"version", *TagsFormat.model_fields}


# --- the other formats


HASH = [
    ("#### 72", "72"),
    ("so\n#### $1,200 \nmore", "$1,200"),
    ("#### 1\n#### 2", "2"),
    ("#### 1 #### 2", "2"),
    ("#### 1\n#### ", "1"),
    ("#### 1\n####", "1"),
    ("####\n72", None),
    ("### 72", None),
    ("", None),
]
BOXED = [
    (r"\boxed{5}", "5"),
    (r"so $\boxed{\frac{3}{4}}$.", r"\frac{3}{4}"),
    (r"\boxed{1} no, \boxed{2}", "2"),
    (r"\boxed{1} no, \boxed{2", "1"),
    (r"\boxed{1} no, \boxed{\frac{2}{3}", "1"),
    (r"\boxed{\boxed{5}}", "5"),
    (r"\fbox{5}", "5"),
    (r"\boxed 5", "5"),
    (r"is $\boxed 5$.", "5"),
    (r"is \boxed 5.", "5"),
    (r"\boxed {5}", "5"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed{a\}", None),
    (r"\boxed{}", None),
    (r"\boxedx{5}", None),
    (r"set {1, \boxed{5}", "5"),
    (r"} \boxed{5}", "5"),
    (r"\boxed", None),
    ("5", None),
]
MARKER = [
    ("FINAL ANSWER: 72", "72"),
    ("Final answer: 72\nthat is it", "72"),
    ("FINAL ANSWER: 1\nFINAL ANSWER: 2", "2"),
    ("FINAL ANSWER: 1 FINAL ANSWER: 2", "2"),
    ("FINAL ANSWER: 1\nFINAL ANSWER:", "1"),
    ("FINAL ANSWER:\n72", None),
    ("ANSWER: 72", None),
]
JSON = [
    ('{"answer": 72}', "72"),
    ('so {"steps": [1, {"a": 2}], "answer": "two words"} done', "two words"),
    ('{"answer": 1} {"answer": 2.50}', "2.50"),
    ('{"answer": 1} {"answer": 2', "1"),
    ('{"answer": 1} {"other": 2}', "1"),
    ('{"answer": 1, "meta": {"answer": 2}}', "1"),
    ('{"result": {"answer": 3}}', "3"),
    ('[{"answer": 3}, {"answer": 4}]', "4"),
    ('```json\n{\n  "answer": [1, 2]\n}\n```', "[1, 2]"),
    ('{"answer": true}', "true"),
    ('{"answer": {"x": 1}}', '{"x": "1"}'),
    ('{"answer": null}', None),
    ('{"answer": ""}', None),
    ('{"why": "line\nbreak", "answer": 5}', "5"),
    ('{x} = {1, 2} and {"answer": 5}', "5"),
    ("{'answer': 5}", None),
    ('{"answer": 1e999}', "1e999"),
    ('{"answer": ' + "9" * 5_000 + "}", "9" * 5_000),
    ('"answer"', None),
    (r'{"steps": "a \( b", "answer": 72}', "72"),
    (r'\(x\) {"steps": "\alpha, \u12", "answer": "\frac{3}{4}"} \[', r"\frac{3}{4}"),
    (r'{"answer": "72\text{ km}"}', r"72\text{ km}"),
    (r'{"answer": "72\\text{ km}"}', r"72\text{ km}"),
    (r'{"answer": "3 \times 10^2"}', r"3 \times 10^2"),
    (r'{"answer": "a\ttext\n\"b\" \u00e9\\"}', 'a\ttext\n"b" é\\'),
]
PATTERN = [("It is: 5! No, it is: 6! is: ", "6"), ("It is: 5", None), ("", None)]
LAST_NUMBER = [("1 and 2", "2"), ("it costs $1,200.", "$1,200"), ("none", None)]


@pytest.mark.parametrize(
    ("answer_format", "text", "answer"),
    [
        (answer_format, text, answer)
        for answer_format, cases in zip(ALL[1:], (HASH, BOXED, MARKER, PATTERN, JSON, LAST_NUMBER), strict=True)
        for text, answer in cases
    ],
)
def test_the_last_complete_answer_is_read(answer_format: AnswerFormat, text: str, answer: str | None) -> None:
    assert answer_format.extract(text) == answer


HIDDEN = [
    (TagsFormat(), "<answer>72</answer> {}", "<answer>{}</answer>"),
    (BoxedFormat(), r"\boxed{{72}} {}", r"\boxed{{{}}}"),
    (HashFormat(), "#### 72\n{}", "#### {}"),
    (MarkerFormat(), "FINAL ANSWER: 72\n{}", "FINAL ANSWER: {}"),
    (RegexFormat(pattern=r"is: ([^!]*)!"), "is: 72! {}", "is: {}!"),
    (JsonFormat(), '{{"answer": 72}} {}', '{{"answer": "{}"}}'),
]
PLACEHOLDERS = [
    "",
    " ",
    "...",
    "…",
    "?",
    "your answer",
    "answer",
    "your final answer here",
    "<your answer>",
    "___",
    "[answer]",
    "-",
    "**",
    "&nbsp;",
    "\u200b",
    "number only",
    "just the number",
    "答案",
    "XX",
    "TODO",
    "a number",
    "—",
]


@pytest.mark.parametrize(("answer_format", "text", "pair"), HIDDEN, ids=lambda value: getattr(value, "type", ""))
def test_an_empty_or_placeholder_pair_hides_no_answer(answer_format: AnswerFormat, text: str, pair: str) -> None:
    for placeholder in PLACEHOLDERS:
        whole = text.format(pair.format(placeholder))
        assert answer_format.extract(whole) == "72", placeholder
        first = answer_format.model_copy(update={"take": "first"})
        assert first.extract(f"{pair.format(placeholder)}\n{text.format('')}") == "72", placeholder
    assert answer_format.extract(text.format(pair.format("15"))) == "15"


@pytest.mark.parametrize(
    "placeholder",
    [
        *(r"\ldots", r"\dots", r"\cdots", r"\quad", r"\ ", r"\_\_", r"\square", r"\phantom{0}", "-", "—", "XX", "TODO"),
        *("a number", r"\mathrm{ans}", r"\text{your answer}", r"\qquad\qquad", r"\underline{\quad}"),
    ],
)
def test_placeholders_in_tex_hide_no_answer(placeholder: str) -> None:
    assert BoxedFormat().extract(rf"\boxed{{72}} as in \boxed{{{placeholder}}}") == "72"


@pytest.mark.parametrize(
    "answer", ["-5", "?x", r"\dots 5", "no", "none", "x", "X", r"\square ABC", "an ant", "number 5", "()"]
)
def test_answers_that_are_no_placeholders(answer: str) -> None:
    assert BoxedFormat().extract(rf"\boxed{{72}} no, \boxed{{{answer}}}") == answer


@pytest.mark.parametrize("answer_format", ALL, ids=lambda f: f.type)
@pytest.mark.parametrize(
    "token", ["<|endoftext|>", "<|im_end|>", "</s>", "<eos>", "<｜end▁of▁sentence｜>", "<|end|>", "[EOS]"]
)
def test_what_follows_the_end_of_a_turn_is_not_read(answer_format: AnswerFormat, token: str) -> None:
    target, other = answer_format.target_text("72"), answer_format.target_text("5")
    assert answer_format.extract(f"{target}{token}{other}") == "72"
    assert answer_format.extract(f"{token}\n{target}{token}\n{other}") == "72"
    assert answer_format.extract(f"so{token}{other}") is None
    assert answer_format.extract(f"<|channel|>final<|message|>{target}") == "72"
    assert answer_format.extract(f"<|channel|>analysis<|message|>so<|end|><|start|>assistant: {target}") == "72"
    start = answer_format.answer_start(f"so {target}{token}{other}")
    assert start is not None and start < len(f"so {target}")


def test_what_dresses_up_a_boxed_answer() -> None:
    assert BoxedFormat().extract(r"\boxed{\textcolor{red}{72}}") == "72"
    assert BoxedFormat().extract(r"\boxed{\textcolor{red}{\frac{3}{4}}}") == r"\frac{3}{4}"
    assert BoxedFormat().extract(r"\boxed{~72~}") == "72"
    assert BoxedFormat().extract(r"\boxed{~72}") == "~72", "the tilde means about"


def test_other_placeholders() -> None:
    assert BoxedFormat().extract(r"\boxed{72} as \boxed{\text{answer}}") == "72"
    assert BoxedFormat().extract(r"\boxed{72} as \boxed{\text{ }}") == "72"
    assert JsonFormat().extract('{"answer": 72} {"answer": null}') == "72"
    assert TagsFormat().extract("<answer>...</answer>") == "...", "with no other answer, the placeholder is the answer"
    assert TagsFormat().extract("<answer>1</answer><answer>( )</answer>") == "( )", "brackets may be an answer"
    assert TagsFormat().extract("<answer>1</answer><answer>answer 2</answer>") == "answer 2"


@pytest.mark.parametrize("answer_format", [f for f in ALL if f.type != "last_number"], ids=lambda f: f.type)
def test_the_first_answer_is_taken_where_that_is_asked_for(answer_format: AnswerFormat) -> None:
    first = answer_format.model_copy(update={"take": "first"})
    text = "\n".join(answer_format.target_text(answer, "so") for answer in ("7", "8", "9"))
    assert (first.extract(text), answer_format.extract(text)) == ("7", "9")
    assert first.fingerprint() != answer_format.fingerprint()
    assert first.answer_start(text) == AnswerFormat.answer_start(first, text.partition("8")[0])


def test_the_first_of_nested_answers_is_the_inner_one() -> None:
    assert BoxedFormat(take="first").extract(r"\boxed{\boxed{5}} \boxed{6}") == "5"
    assert TagsFormat(take="first").extract("<answer>1 <answer>2</answer></answer> <answer>3</answer>") == "2"
    assert TagsFormat(take="first", opening="\n#### ", closing="\n").extract("\n#### 1\n#### 2\n") == "1"


def test_a_doubled_backslash_opens_a_box() -> None:
    assert BoxedFormat().extract(r"so \\boxed{72}.") == "72"
    assert BoxedFormat().extract(r"so \\boxed{\\frac{3}{4}}.") == r"\frac{3}{4}"
    assert BoxedFormat().extract("so \boxed{72}.") == "72", "\\b that was read as a backspace"
    assert BoxedFormat().extract(r"a \\ \boxed{72}") == "72"


@pytest.mark.parametrize(
    ("answer_format", "text", "answer"),
    [
        (HashFormat(), "#### 72<|im_end|>", "72"),
        (HashFormat(), "#### 72</s>", "72"),
        (HashFormat(), "#### 72<eos><pad>", "72"),
        (HashFormat(), "#### 72<|eot_id|>\n#### ", "72"),
        (HashFormat(), "#### 72<｜end▁of▁sentence｜>", "72"),
        (HashFormat(), "##### 72", "72"),
        (HashFormat(), "#### a < b", "a < b"),
        (HashFormat(), "#### 72 (because 6*12)", "72 (because 6*12)"),
        (MarkerFormat(), "FINAL ANSWER: 72</s>", "72"),
        (MarkerFormat(), "**FINAL ANSWER:** 72", "72"),
        (MarkerFormat(), "**FINAL ANSWER: 72**", "72"),
        (MarkerFormat(marker="The answer is"), "The answer is: 72", "72"),
        (MarkerFormat(marker="The answer is"), "The answer is 72", "72"),
    ],
)
def test_what_stands_around_an_answer_on_its_line(answer_format: AnswerFormat, text: str, answer: str) -> None:
    assert answer_format.extract(text) == answer


@pytest.mark.parametrize(
    ("answer_format", "text", "runs_on"),
    [
        (HashFormat(), "so\n#### 72\n\nQuestion: How many?\nAnswer: 15\n#### 15", True),
        (HashFormat(), "so\n#### 72\n\nQuestion: How m", True),
        (HashFormat(prompt="Aufgabe: {question}\n"), "#### 72\nAufgabe: Wie viele?", True),
        (HashFormat(), "#### 72<|im_end|>\n<|im_start|>user\nmore", True),
        (BoxedFormat(), r"\boxed{72}" + "\n**Problem 2:** and", True),
        (LastNumberFormat(), "It is 72.\nQ: How many?\nA: 15", True),
        (HashFormat(stop=("\n\n",)), "so\n#### 72\n\nQuestion: How many?\n#### 15", False),
        (HashFormat(), "Question: How many?\nso\n#### 72", False),
        (HashFormat(), "so\n#### 72\nThat is the answer to the question: 72.", False),
        (TagsFormat(), "<answer>1</answer> no, <answer>2</answer>", False),
        (TagsFormat(), "Question: a\nQuestion: b", False),
        (TagsFormat(), "", False),
    ],
)
def test_a_text_that_goes_on_with_another_question_runs_on(
    answer_format: AnswerFormat, text: str, runs_on: bool
) -> None:
    assert answer_format.runs_on(text) is runs_on


def test_a_marker_may_heed_case() -> None:
    assert MarkerFormat(ignore_case=False).extract("Final answer: 1") is None
    assert MarkerFormat(marker="A (x)*:").extract("a (X)*: 1") == "1"


def test_a_pattern_may_name_its_group() -> None:
    assert RegexFormat(pattern=r"(a|b)=(?P<answer>\d+)").extract("a=1 b=2") == "2"
    assert RegexFormat(pattern=r"(\d+)|x").extract("1 x") == "1", "a match without the group does not count"
    assert RegexFormat.guarded and not TagsFormat.guarded


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"type": "regex", "pattern": "("}, "not a regular expression"),
        ({"type": "regex", "pattern": "x"}, "has no group"),
        ({"type": "regex", "pattern": "(x)", "target": "x"}, "target must contain"),
        ({"type": "marker", "marker": " "}, "text on one line"),
        ({"type": "marker", "marker": "a\nb"}, "text on one line"),
        ({"type": "json", "field": ""}, "at least 1"),
        ({"type": "hash", "stop": [""]}, "empty text"),
        ({"type": "hash", "system": "s"}, "chat: true"),
        ({"type": "hash", "opening": "x"}, "Extra inputs"),
        ({"type": "hash", "take": "middle"}, "'first' or 'last'"),
        ({"type": "last_number", "take": "first"}, "leave it out"),
        ({"type": "tag"}, "does not match"),
        ({"stop": "x"}, "tuple"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        load_format(settings)


@pytest.mark.parametrize("answer_format", ALL, ids=lambda f: f.type)
def test_every_format_can_stand_in_a_recipe_and_be_loaded_again(answer_format: AnswerFormat) -> None:
    assert FORMATS[answer_format.type] is type(answer_format)
    saved = json.loads(json.dumps(answer_format.model_dump(mode="json")))
    assert load_format(saved) == answer_format
    assert TypeAdapter[AnswerFormat](Format).validate_python(answer_format) == answer_format
    assert json.dumps(answer_format.fingerprint())


def test_a_format_without_a_type_is_tags() -> None:
    old = {"prompt": "{question} ", "opening": "<a>", "closing": "</a>", "chat": False}
    assert load_format(old) == TagsFormat(prompt="{question} ", opening="<a>", closing="</a>")
    assert set(FORMATS) == {answer_format.type for answer_format in ALL}


@pytest.mark.parametrize("answer_format", ALL, ids=lambda f: f.type)
@pytest.mark.parametrize("reasoning", ["", "6 * 7 = 42", "two\nlines\n"])
@pytest.mark.parametrize("answer", [42.0, -1.5, 1e20, 0.00062, 99999.99, "7", "1,200"])
def test_every_target_is_read_back(answer_format: AnswerFormat, reasoning: str, answer: float | str) -> None:
    written = answer_text(answer)
    target = answer_format.target_text(answer, reasoning)
    assert answer_format.extract(target) == written and target.startswith(reasoning.rstrip())
    with pytest.raises(DataError, match="cannot be read back"):
        answer_format.target_text(" ")


@pytest.mark.parametrize(
    ("answer_format", "answer"),
    [
        (HashFormat(), "a\nb"),
        (BoxedFormat(), "{"),
        (MarkerFormat(), "Final answer: x"),
        (LastNumberFormat(), "Paris"),
        (RegexFormat(pattern="is (x)"), "x"),
        (TagsFormat(stop=("\n",)), "a\nb"),
        (HashFormat(stop=("#",)), "5"),
    ],
)
def test_a_target_that_is_not_read_back_is_refused(answer_format: AnswerFormat, answer: str) -> None:
    with pytest.raises(DataError, match="cannot be read back"):
        answer_format.target_text(answer)


def test_json_with_tex_begins_where_it_stands_in_the_text() -> None:
    before = r'\(x\) {"other": "\alpha"} and '
    text = before + r'{"steps": "a \( b", "answer": 72} \]'
    assert JsonFormat().answer_start(text) == len(before)
    assert JsonFormat(prefix=before).answer_start(text.removeprefix(before)) == 0


def test_json_writes_numbers_and_texts() -> None:
    assert JsonFormat().target_text(4.66, "so") == 'so {"answer": 4.66}'
    assert JsonFormat(field="é").target_text('say "x"') == '{"é": "say \\"x\\""}'
    assert JsonFormat().target_text("007") == '{"answer": "007"}'


# --- prefix and stop


def test_a_prefix_is_read_before_what_the_model_wrote() -> None:
    answer_format = TagsFormat(prefix="<answer>", stop=("</answer>",))
    assert answer_format.extract("120</answer> and <answer>5</answer>") == "120"
    assert answer_format.extract("120") is None
    assert answer_format.target_text(120.0) == "120</answer>"
    assert answer_format.target_text(120.0, "2 * 60") == "2 * 60 <answer>120</answer>"
    assert answer_format.completion_of("<answer>5</answer>") == "5</answer>"
    assert answer_format.completion_of("so <answer>5</answer>") == "so <answer>5</answer>"
    assert HashFormat(prefix="#### ").target_text("5") == "5"


def test_what_follows_the_first_stop_is_not_read() -> None:
    answer_format = HashFormat(stop=("\n\n", "END"))
    assert answer_format.cut("#### 1END\n\n#### 2") == "#### 1END"
    assert answer_format.extract("so\n#### 1\n\nQuestion: ...\n#### 2") == "1"
    assert answer_format.extract("#### 1") == "1"
    assert HashFormat(prefix="\n\n", stop=("\n\n",)).extract("#### 1") == "1", "the prefix is not cut at a stop"


class Tokenizer:
    """Records the texts it is asked to tokenize."""

    eos_token_id = -1

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def get_chat_template(self) -> str:
        return ""

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return "".join(f"[{m['role']}]{m['content']}" for m in messages) + "[assistant]"

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        self.seen.append(text)
        return {"input_ids": [1]}


def test_the_prefix_ends_the_prompt_also_in_a_chat() -> None:
    tokenizer = Tokenizer()
    prompt_ids(tokenizer, TagsFormat(prefix="<answer>"), "2+2?")
    prompt_ids(tokenizer, TagsFormat(prompt="{question}", prefix="<answer>", chat=True, system="Add."), "2+2?")
    prompt_ids(tokenizer, TagsFormat(prompt="{question}", chat=True), "2+2?")
    assert tokenizer.seen == [
        "2+2?\n<answer>",
        "[system]Add.[user]2+2?[assistant]<answer>",
        "[user]2+2?[assistant]",
    ]


# --- adversarial texts


@pytest.mark.parametrize("answer_format", [f for f in ALL if not f.guarded], ids=lambda f: f.type)
def test_no_text_is_slow_or_fatal(answer_format: AnswerFormat) -> None:
    parts = [
        "(",
        "{",
        "}",
        '{"',
        '{"a":',
        '{"answer":',
        '{"answer":[',
        '{"answer": 1, ',
        '{"a',
        "[",
        r"\boxed{",
        r"\boxed ",
        r'{"answer":"\(',
        r'{"answer":"\q"}',
        r"\frac",
    ]
    parts += ["<answer>", "</answer>", "####", "#### ", "#### \n", "FINAL ANSWER:", "1 ", "a1", "1,", "\n", " ", "\\"]
    parts += ["\x00", "\u202e5", "\ud800", "９", "ß", "\boxed{{}", '"answer":']
    texts = [part * 100_000 for part in parts]
    texts += [text + "}" * 1_000 + "</answer>\n5" for text in texts] + ["x" * 1_000_000, "1" * 1_000_000]
    for text in texts:
        started = time.process_time()
        answer_format.extract(text)
        answer_format.runs_on(text)
        assert time.process_time() - started < 5, text[:20]  # linear reading takes half a second, quadratic hours


# --- two formats compared


@pytest.mark.parametrize(
    ("first", "second", "parted"),
    [
        (TagsFormat(), HashFormat(), "they first differ at type, character 1: 'tags' and 'hash'"),
        (TagsFormat(), TagsFormat(closing="</answer> "), "they first differ at closing, character 10: "),
        (
            TagsFormat(),
            TagsFormat(prompt="{question}\n\n"),
            r"they first differ at prompt, character 12: '{question}\n' and ",
        ),
        (TagsFormat(), TagsFormat(chat=True), "they first differ at chat: False and True"),
        (TagsFormat(), TagsFormat(stop=("x",)), "they first differ at stop: () and ('x',)"),
        (JsonFormat(), JsonFormat(field="a"), "they first differ at field, character 2: 'answer' and 'a'"),
        (REGEX, TagsFormat(stop=("*",)), "they first differ at type"),
    ],
)
def test_the_first_difference_of_two_formats(first: AnswerFormat, second: AnswerFormat, parted: str) -> None:
    shown = first_difference(first, second)
    assert shown is not None and shown.splitlines()[-1].startswith(parted)
    assert [line.split(" ")[0] for line in shown.splitlines()[1:-1]] == ["type", "prompt", "chat", "target", "stop"]
    assert first_difference(first, first.model_copy()) is None


@pytest.mark.skipif(not GSM8K.exists(), reason="the GSM8K file is not here")
def test_every_worked_solution_of_gsm8k_is_read() -> None:
    for line in GSM8K.read_text().splitlines():
        solution = json.loads(line)["answer"]
        reasoning, _, gold = solution.rpartition("\n#### ")
        assert HashFormat().extract(solution) == gold
        for answer_format in (TagsFormat(), BoxedFormat(), MarkerFormat(), JsonFormat(), LastNumberFormat()):
            assert answer_format.extract(answer_format.target_text(gold, reasoning)) == gold
