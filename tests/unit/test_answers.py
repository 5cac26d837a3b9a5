"""The answer format, numbers as text, and the judges."""

import math
import time
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator.answers.format import AnswerFormat
from orchestrator.answers.judge import JUDGES, ExactJudge, Judge, NumericJudge
from orchestrator.answers.numbers import format_number, parse_number
from orchestrator.errors import DataError
from orchestrator.types import Verdict

# --- the format


def test_a_question_may_hold_braces_and_even_the_slot() -> None:
    question = "What is {x} + {question} - {{0}}?"
    assert AnswerFormat(prompt="Q {a}: {question}\nA:").prompt_text(question) == f"Q {{a}}: {question}\nA:"


@pytest.mark.parametrize("prompt", ["", "no slot", "{Question}", "{question} and {question}"])
def test_a_prompt_holds_the_question_exactly_once(prompt: str) -> None:
    with pytest.raises(ValidationError, match="exactly once"):
        AnswerFormat(prompt=prompt)


@pytest.mark.parametrize(
    ("opening", "closing"), [("", "x"), ("x", ""), (" \n", "x"), ("**", "**"), ("<a", "<a>"), ("##", "##x")]
)
def test_delimiters_that_cannot_be_told_apart_are_refused(opening: str, closing: str) -> None:
    with pytest.raises(ValidationError):
        AnswerFormat(opening=opening, closing=closing)


def test_a_format_is_frozen_and_knows_its_fields() -> None:
    with pytest.raises(ValidationError):
        AnswerFormat().chat = True
    with pytest.raises(ValidationError):
        AnswerFormat(stop="x")  # type: ignore[call-arg]


def test_targets() -> None:
    answer_format = AnswerFormat()
    assert answer_format.target_text(4.66) == "<answer>4.66</answer>"
    assert answer_format.target_text(420.0, "7 * 60 = 420") == "7 * 60 = 420 <answer>420</answer>"
    assert answer_format.target_text(" ( ) ", "x\n") == "x <answer>( )</answer>"
    assert AnswerFormat(opening="\n#### ", closing="\n").target_text(72.0, "so") == "so\n#### 72\n"


@pytest.mark.parametrize(
    ("answer", "reasoning"),
    [("x", ""), (0.1, "a"), ("two words", "r"), (1e20, "<answer>1</answer> no:"), ("5", "I open <answer> too early")],
)
def test_a_target_is_read_back(answer: float | str, reasoning: str) -> None:
    extracted = AnswerFormat().extract(AnswerFormat().target_text(answer, reasoning))
    assert extracted == (answer if isinstance(answer, str) else format_number(answer))


@pytest.mark.parametrize("answer", ["", "  ", "a</answer>b", "<answer>", "1<answer>2"])
def test_an_answer_that_could_not_be_read_back_is_refused(answer: str) -> None:
    with pytest.raises(DataError, match="cannot be read back"):
        AnswerFormat().target_text(answer)


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
        ("<answer>1</answer><answer></answer>", None),
        ("<answer>a\x00\ud800{}</answer>", "a\x00\ud800{}"),
    ],
)
def test_extraction_takes_the_last_complete_pair(text: str, answer: str | None) -> None:
    assert AnswerFormat().extract(text) == answer


def test_delimiters_that_overlap_are_told_apart() -> None:
    assert AnswerFormat(opening="ab", closing="ba").extract("aba") is None
    assert AnswerFormat(opening="ab", closing="ba").extract("ab1ba") == "1"


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
    assert AnswerFormat(opening="\n#### ", closing="\n").extract(text) == answer


def test_extraction_is_linear() -> None:
    started = time.perf_counter()
    for text in ("<answer>" * 200_000, "</answer>" * 200_000, "<answer></answer>" * 100_000):
        assert AnswerFormat().extract(text) is None
    assert time.perf_counter() - started < 2


def test_the_fingerprint_changes_with_every_setting() -> None:
    formats = [
        AnswerFormat(),
        AnswerFormat(prompt="{question} "),
        AnswerFormat(opening="<a>"),
        AnswerFormat(closing="</a>"),
        AnswerFormat(chat=True),
    ]
    prints = [answer_format.fingerprint() for answer_format in formats]
    assert all(prints.count(one) == 1 for one in prints)
    assert set(prints[0]) == {"version", *AnswerFormat.model_fields}


# --- numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("  5\n", 5),
        ("1,234.50", 1234.5),
        ("1,234,567", 1234567),
        ("18.", 18),
        (".5", 0.5),
        ("-.5", -0.5),
        ("+7", 7),
        ("- 7", -7),
        ("−7", -7),
        ("–7", -7),
        ("$5", 5),
        ("-$5", -5),
        ("$-5", -5),
        ("\\$1,200", 1200),
        ("€ 3.20", 3.2),
        ("5€", 5),
        ("$73$", 73),
        ("$5/hour", 5),
        ("1e3", 1000),
        ("1E+3", 1000),
        ("1.5e-7", 1.5e-7),
        ("1e−2", 0.01),
        ("1.2 x 10^3", 1200),
        ("1.2×10^{-3}", 0.0012),
        ("3 \\times 10^5 km", 300000),
        ("2*10**3", 2000),
        ("3/4", 0.75),
        ("3 / 4 km", 0.75),
        ("1,000/8", 125),
        ("2 1/2", 2.5),
        ("-2 1/2 cups", -2.5),
        ("50%", 50),
        ("50 %", 50),
        ("50 percent", 50),
        ("**73**", 73),
        ("**73** km", 73),
        ("**$73.**", 73),
        ("`-1`", -1),
        ("= 5", 5),
        ("≈5", 5),
        ("~5", 5),
        ("7.5 km", 7.5),
        ("7.5km.", 7.5),
        ("90 km/h", 90),
        ("9.81 m/s^2", 9.81),
        ("9 kg·m/s²", 9),
        ("50 m2", 50),
        ("12 sq. ft.", 12),
        ("60 miles per hour", 60),
        ("20 °C", 20),
        ("3 µm", 3),
        ("5 million", 5e6),
        ("2.5 Billion dollars", 2.5e9),
        ("5 hundred thousand", 5e5),
        ("3 millionaires", 3),
        ("1e-999", 0),
        ("9" * 200, float("9" * 200)),
    ],
)
def test_numbers_as_they_are_written(text: str, number: float) -> None:
    assert parse_number(text) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", "-", "$", "%", "**", "nan", "NaN", "inf", "-Infinity", "words", "e5", "five", "x = 5", "USD 5"),
        *("1e999", "1e99999", "1 x 10^9999", "0 x 10^9999", "9" * 201, "5" + " " * 200, "1/0", "0/0", "1 1/0"),
        *("1,23", "1,5", "1234,567", "1,2345", "1.2.3", "1.234,5", "1 000", "1_000", "0x1F", "1/2/2024", "10:30"),
        *("5 or 6", "5-6", "5 - 3", "5, 6", "5 3", "3 hours 20 minutes", "50% of 20", "5x10", "5*x", "5 km 2", "--5"),
        *("½", "2½", "2²", "10⁵", "٣", "五", "5\x00", "\x005", "5 \ud800", "\ud800", "(5)", "[5]", "5!", "<answer>5"),
    ],
)
def test_what_is_not_one_number(text: str) -> None:
    assert parse_number(text) is None


def test_the_sign_of_a_number_is_kept_apart_from_its_parts() -> None:
    assert parse_number("-3/4") == -0.75
    assert parse_number("-1 million") == -1e6


def test_no_text_is_slow() -> None:
    texts = ["1" * 200, "1,111" * 40, "*" * 200, "5 " + "a " * 98 + "1", "5" + " " * 190 + "1", "1/" * 100]
    texts += ["5 million" * 20 + "1", "5 " + "*_" * 99, "5" + "a." * 99, "1" * 1_000_000, " " * 1_000_000, "\x00" * 200]
    started = time.perf_counter()
    for text in texts:
        for _ in range(100):
            parse_number(text)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (420.0, "420"),
        (420, "420"),
        (0.00062, "0.00062"),
        (4.6602834, "4.66028"),
        (0.1, "0.1"),
        (-2.5, "-2.5"),
        (1 / 3, "0.333333"),
        (0.0, "0"),
        (-0.0, "0"),
        (1e-6, "0.000001"),
        (20870.982787499997, "20871"),
        (1234567.0, "1234567"),
        (999999.7, "1000000"),
        (12345678.9, "12345700"),
        (999999999999999.0, "999999999999999"),
        (1e15, "1e15"),
        (1.5e300, "1.5e300"),
        (-2.5e-12, "-2.5e-12"),
    ],
)
def test_numbers_are_written_short(number: float, text: str) -> None:
    assert format_number(number) == text
    assert parse_number(text) == pytest.approx(number, rel=1e-5)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_only_finite_numbers_are_written(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        format_number(number)


# --- judges


@pytest.mark.parametrize(
    ("extracted", "gold", "verdict"),
    [
        ("105", 100.0, Verdict("correct", "105")),
        ("95", 100.0, Verdict("correct", "95")),
        ("105.01", 100.0, Verdict("wrong", "105.01")),
        ("-100", 100.0, Verdict("wrong", "-100")),
        ("-$1,000.00", -1000.0, Verdict("correct", "-1000")),
        ("0", 0.0, Verdict("correct", "0")),
        ("0.0004", 0.0, Verdict("correct", "0.0004")),
        ("0.001", 0.0, Verdict("wrong", "0.001")),
        ("3/4", "75/100", Verdict("correct", "0.75")),
        ("1e308", -1e308, Verdict("wrong", "1e+308")),
        ("three", 3.0, Verdict("unparsed")),
        ("5", "five", Verdict("error", "5")),
        ("5", math.nan, Verdict("error", "5")),
        ("5", math.inf, Verdict("error", "5")),
    ],
)
def test_numeric_verdicts(extracted: str, gold: float | str, verdict: Verdict) -> None:
    assert NumericJudge().judge(extracted, gold, "stop") == verdict


@pytest.mark.parametrize("judge", [NumericJudge(), ExactJudge()])
def test_only_a_completion_that_was_cut_before_its_answer_is_truncated(judge: NumericJudge | ExactJudge) -> None:
    assert judge.judge(None, 1.0, "length") == Verdict("truncated")
    assert judge.judge(None, 1.0, "stop") == Verdict("unparsed")
    assert judge.judge("1", 1.0, "length") == Verdict("correct", "1")


def test_text_that_is_no_number_is_unparsed_even_when_cut() -> None:
    assert NumericJudge().judge("no idea", 1.0, "length") == Verdict("unparsed")


def test_both_numbers_are_rounded_before_they_are_compared() -> None:
    strict = NumericJudge(tolerance=0)
    assert strict.judge("4.6604", 4.66, "stop").status == "correct"
    assert strict.judge("4.6606", 4.66, "stop").status == "wrong"
    assert NumericJudge(tolerance=0, decimals=4).judge("4.6604", 4.66, "stop").status == "wrong"


def test_equal_answers_have_equal_values() -> None:
    written = ["1234.5", "$1,234.50", "**1234.5** km", "2469/2"]
    assert {NumericJudge().judge(text, 1.0, "stop").value for text in written} == {"1234.5"}


@pytest.mark.parametrize(
    ("settings", "extracted", "gold", "status"),
    [
        ({}, "( [\n ] )", "( [ ] )", "correct"),
        ({}, "([ ])", "( [ ] )", "wrong"),
        ({}, "Paris", "paris", "wrong"),
        ({"casefold": True}, "STRASSE", "straße", "correct"),
        ({}, "420", 420.0, "correct"),
        ({}, "420.0", 420.0, "wrong"),
        ({}, "x", "  ", "error"),
        ({}, "3.14159", 3.14159265, "error"),
        ({}, "\x1f", "x", "unparsed"),
    ],
)
def test_exact_verdicts(settings: dict[str, Any], extracted: str, gold: float | str, status: str) -> None:
    assert ExactJudge(**settings).judge(extracted, gold, "stop").status == status


@pytest.mark.parametrize("gold", [5.0, "5", "$1,200", "3/4", 0.0, "0", 0.001, -1e300])
def test_gold_numbers_that_can_be_judged(gold: float | str) -> None:
    assert NumericJudge().check_gold(gold) is None
    assert NumericJudge().judge("1", gold, "stop").status != "error"


@pytest.mark.parametrize(
    ("judge", "gold", "reason"),
    [
        (NumericJudge(), "five", "not a number"),
        (NumericJudge(), "", "not a number"),
        (NumericJudge(), math.nan, "not a finite"),
        (NumericJudge(), math.inf, "not a finite"),
        (NumericJudge(), 0.0004, "raise judge.decimals"),
        (NumericJudge(), "4e-4", "raise judge.decimals"),
        (ExactJudge(), " \n", "empty"),
        (ExactJudge(), math.nan, "not a finite"),
        (ExactJudge(), 3.14159265, "written as 3.14159: put it in quotes"),
    ],
)
def test_gold_that_cannot_be_judged_says_why(judge: NumericJudge | ExactJudge, gold: float | str, reason: str) -> None:
    assert reason in str(judge.check_gold(gold))


def test_an_exact_judge_takes_every_target_whose_gold_it_accepts() -> None:
    for gold in (0.1, 420.0, 1234567.0, -2.5, 1e20, 0.000001, "two words"):
        assert ExactJudge().check_gold(gold) is None
        extracted = AnswerFormat().extract(AnswerFormat().target_text(gold))
        assert ExactJudge().judge(extracted, gold, "stop").status == "correct"


@pytest.mark.parametrize("settings", [{"tolerance": -0.1}, {"tolerance": math.nan}, {"decimals": -1}, {"typo": 1}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        NumericJudge(**settings)  # type: ignore[arg-type]


def test_every_registered_judge_can_stand_in_a_recipe() -> None:
    recipe = TypeAdapter[NumericJudge | ExactJudge](Judge)
    for name, judge in JUDGES.items():
        assert recipe.validate_python({"type": name}) == judge()
        assert recipe.validate_python(judge()) == judge()
        assert judge().fingerprint() == {"version": judge.VERSION, **judge().model_dump()}
    assert recipe.validate_python({"tolerance": 0}) == NumericJudge(tolerance=0)
    for bad in ({"type": "fuzzy"}, {"type": ["exact"]}, "exact", None, {"type": "exact", "tolerance": 1}):
        with pytest.raises(ValidationError):
            recipe.validate_python(bad)
