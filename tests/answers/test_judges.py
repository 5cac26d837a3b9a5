"""The judges: the verdict on an extracted answer."""

import math
import warnings
from importlib import metadata
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator.answers.formats import TagsFormat
from orchestrator.answers.judges import JUDGES, BaseJudge, ExactJudge, Judge, MathJudge, NumericJudge, SequenceJudge
from orchestrator.types import Verdict, answer_text


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
        ("1e308", -1e308, Verdict("wrong", "1e308")),
        ("three", 3.0, Verdict("unparsed")),
        (r"\frac{3}{4}", 0.75, Verdict("correct", "0.75")),
        ("$1.5M", 1.5, Verdict("wrong", "1500000")),
        ("5k", "5,000", Verdict("correct", "5000")),
        ("10^9999", 1.0, Verdict("unparsed")),
        ("5", "five", Verdict("error", "5")),
        ("5", math.nan, Verdict("error", "5")),
        ("5", math.inf, Verdict("error", "5")),
    ],
)
def test_numeric_verdicts(extracted: str, gold: float | str, verdict: Verdict) -> None:
    assert NumericJudge(tolerance=0.05, decimals=3).judge(extracted, answer_text(gold), "stop") == verdict


@pytest.mark.parametrize("judge", [NumericJudge(), ExactJudge()])
def test_only_a_completion_that_was_cut_before_its_answer_is_truncated(judge: NumericJudge | ExactJudge) -> None:
    assert judge.judge(None, "1", "length") == Verdict("truncated")
    assert judge.judge(None, "1", "stop") == Verdict("unparsed")
    assert judge.judge("1", "1", "length") == Verdict("correct", "1")


def test_text_that_is_no_number_is_unparsed_even_when_cut() -> None:
    assert NumericJudge().judge("no idea", "1", "length") == Verdict("unparsed")


# answers on both sides of the limit; the tolerance is 5% unless the settings say otherwise
@pytest.mark.parametrize(
    ("settings", "extracted", "gold", "status"),
    [
        ({}, ".0014", ".0012", "wrong"),
        ({}, ".00126", ".0012", "correct"),
        ({}, ".0104", ".0105", "correct"),
        ({"tolerance": 0}, ".4996", ".5", "wrong"),
        ({}, "0.0000000001", "0", "wrong"),
        ({}, "105.00000000000000000001", "100", "wrong"),
        ({}, "1.05", "1", "correct"),
        ({}, "-0.95", "-1", "correct"),
        ({"tolerance": 0.1}, "0.3", "1/3", "correct"),
        ({"tolerance": 0.1}, "0.29999999999999999999", "1/3", "wrong"),
        ({"tolerance": 0}, "9007199254740993", "9007199254740992", "wrong"),
        ({"tolerance": 0}, "9007199254740993", "9007199254740993", "correct"),
        ({"tolerance": 0}, "6.02×10^23", "6.02e23", "correct"),
        ({"tolerance": 0}, "2/6", "1/3", "correct"),
        ({"tolerance": 0}, "0.333333333333333333333333333333", "1/3", "wrong"),
        ({"tolerance": 0}, "1234.567", 1234.567, "correct"),
        ({"tolerance": 0}, "99999.99", 99999.99, "correct"),
        ({"tolerance": 0}, "100000000000000000000", 1e20, "correct"),
        ({"tolerance": 0}, "0.1", 0.1, "correct"),
        ({"tolerance": None}, "26", "25", "wrong"),
        ({"tolerance": None}, "25.0", "25", "correct"),
        ({"tolerance": 0.9999}, "0", "25", "wrong"),
        ({"tolerance": 0, "decimals": 3}, "4.6604", "4.66", "correct"),
        ({"tolerance": 0, "decimals": 3}, "4.6606", "4.66", "wrong"),
        ({"tolerance": 0, "decimals": 4}, "4.6604", "4.66", "wrong"),
        ({"tolerance": 0, "decimals": 3}, "0.333", "1/3", "correct"),
        ({"decimals": 0, "tolerance": 0}, "1e300", "1e300", "correct"),
    ],
)
def test_the_tolerance_is_of_the_number_itself(
    settings: dict[str, Any], extracted: str, gold: float | str, status: str
) -> None:
    judge = NumericJudge(**{"tolerance": 0.05} | settings)
    assert judge.judge(extracted, answer_text(gold), "stop").status == status


def test_a_tie_is_rounded_as_python_rounds_the_nearest_float() -> None:
    for decimals in (0, 1, 2, 3):
        judge = NumericJudge(tolerance=0, decimals=decimals)
        for n in range(-2000, 2000):
            text = f"{n * 5}e-{decimals + 1}"
            rounded = str(round(float(text), decimals))
            assert judge.judge(text, rounded, "stop").status == "correct", text


def test_equal_answers_have_equal_values() -> None:
    written = ["1234.5", "$1,234.50", "**1234.5** km", "2469/2"]
    assert {NumericJudge().judge(text, "1", "stop").value for text in written} == {"1234.5"}


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
        ({}, "3.14159", 3.14159265, "wrong"),
        ({}, "3.14159265", 3.14159265, "correct"),
        ({}, "\x1f", "x", "unparsed"),
    ],
)
def test_exact_verdicts(settings: dict[str, Any], extracted: str, gold: float | str, status: str) -> None:
    assert ExactJudge(**settings).judge(extracted, answer_text(gold), "stop").status == status


@pytest.mark.parametrize("gold", [5.0, "5", "$1,200", "3/4", 0.0, "0", 0.001, -1e300])
def test_gold_numbers_that_can_be_judged(gold: float | str) -> None:
    assert NumericJudge().check_gold(answer_text(gold)) is None
    assert NumericJudge().judge("1", answer_text(gold), "stop").status != "error"


@pytest.mark.parametrize(
    ("judge", "gold", "reason"),
    [
        (NumericJudge(), "five", "not a number"),
        (NumericJudge(), "", "not a number"),
        (NumericJudge(), math.nan, "not a number"),
        (NumericJudge(), math.inf, "not a number"),
        (NumericJudge(decimals=3), 0.0004, "raise judge.decimals"),
        (NumericJudge(decimals=3), "4e-4", "raise judge.decimals"),
        (NumericJudge(), "0,5", "set judge.decimal_comma: true"),
        (ExactJudge(), " \n", "empty"),
    ],
)
def test_gold_that_cannot_be_judged_says_why(judge: NumericJudge | ExactJudge, gold: float | str, reason: str) -> None:
    assert reason in str(judge.check_gold(answer_text(gold)))


def test_an_exact_judge_takes_every_target_whose_gold_it_accepts() -> None:
    for gold in map(answer_text, (0.1, 420.0, 1234567.0, -2.5, 1e20, 0.000001, 99999.99, 1 / 3, "two words")):
        assert ExactJudge().check_gold(gold) is None
        extracted = TagsFormat().extract(TagsFormat().target_text(gold))
        assert ExactJudge().judge(extracted, gold, "stop").status == "correct"


@pytest.mark.parametrize(
    "settings",
    [{"tolerance": -0.1}, {"tolerance": 1}, {"tolerance": 20}, {"tolerance": math.nan}, {"decimals": -1}, {"typo": 1}],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        NumericJudge(**settings)  # type: ignore[arg-type]


def test_every_registered_judge_can_stand_in_a_recipe() -> None:
    recipe = TypeAdapter[BaseJudge](Judge)
    for name, judge in JUDGES.items():
        assert recipe.validate_python({"type": name}) == judge()
        assert recipe.validate_python(judge()) == judge()
        versions = {library: metadata.version(library) for library in judge.LIBRARIES}
        libraries = {"libraries": versions} if versions else {}
        assert judge().fingerprint() == {"version": judge.VERSION, **judge().model_dump()} | libraries
    assert recipe.validate_python({"tolerance": 0}) == NumericJudge(tolerance=0)
    for bad in ({"type": "fuzzy"}, {"type": ["exact"]}, "exact", None, {"type": "exact", "tolerance": 1}):
        with pytest.raises(ValidationError):
            recipe.validate_python(bad)


# --- sequences


@pytest.mark.parametrize(
    ("settings", "extracted", "gold", "status"),
    [
        ({}, "1, 2, 3", "1 2 3", "correct"),
        ({}, "[1,2,\n3]", "1 2 3", "correct"),
        ({}, "( 1 2 3 )", "[1, 2, 3]", "correct"),
        ({}, "1 3 2", "1 2 3", "wrong"),
        ({}, "1 2", "1 2 3", "wrong"),
        ({}, "12 3", "1 2 3", "wrong"),
        ({}, ") ] }", ") ] }", "correct"),
        ({}, "( )", "( )", "correct"),
        ({}, "[ ( ) ]", "( )", "wrong"),
        ({}, "[ ( ) ]", "[ ( ) ]", "correct"),
        ({}, "red, green", "red green", "correct"),
        ({}, "7", 7.0, "correct"),
        ({}, " , ", "1", "unparsed"),
        ({}, "1", " , ", "error"),
        ({"by": "character"}, ")]}", ") ] }", "correct"),
        ({"by": "character"}, "( ) ]", "()]", "correct"),
        ({"by": "character"}, "()", ")", "wrong"),
        ({"by": "character"}, "[]", "[]", "correct"),
    ],
)
def test_sequences(settings: dict[str, Any], extracted: str, gold: float | str, status: str) -> None:
    judge, gold = SequenceJudge(**settings), answer_text(gold)
    assert judge.judge(extracted, gold, "stop").status == status
    assert (judge.check_gold(gold) is None) == (status != "error")


def test_equal_sequences_have_equal_values() -> None:
    assert {SequenceJudge().judge(t, "x", "stop").value for t in ("1 2", "[1,2]", "(1, 2)")} == {"1 2"}


# --- mathematics


@pytest.mark.parametrize(
    ("extracted", "gold", "status"),
    [
        (r"\frac{1}{2}", "0.5", "correct"),
        ("1/2", "0.5", "correct"),
        ("1+x", "x+1", "correct"),
        ("$x^2 - 1$", "(x-1)(x+1)", "correct"),
        ("1,234", "1234", "correct"),
        (r"\{1, 2\}", r"\{2, 1\}", "correct"),
        ("(1,2)", "(2,1)", "wrong"),
        ("5", "6", "wrong"),
        ("5", "", "error"),
        ("}{", "5", "unparsed"),
        ("", "5", "unparsed"),
        ("5" * 3_000, "5", "unparsed"),
    ],
)
def test_mathematics(extracted: str, gold: float | str, status: str) -> None:
    assert MathJudge().judge(extracted, gold, "stop").status == status


def test_mathematics_rounds_as_it_is_told() -> None:
    assert MathJudge(precision=2).judge("3.14", "3.1411", "stop").status == "correct"
    assert MathJudge(precision=4).judge("3.14", "3.1411", "stop").status == "wrong"
    assert MathJudge().judge(None, "1", "length") == Verdict("truncated")
    assert MathJudge().check_gold(" ") and MathJudge().check_gold("5" * 3_000)


def test_text_of_a_model_is_never_run() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in ("__import__('os')._exit(3)", "open('written','w')", "(lambda: 1/0)()", "exec('raise SystemExit')"):
            assert MathJudge().judge(text, "5", "stop").status in ("wrong", "unparsed")


def test_only_judges_that_may_never_end_are_guarded() -> None:
    assert [name for name, judge in JUDGES.items() if judge.guarded] == ["math"]
