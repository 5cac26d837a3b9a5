"""The equations of worked solutions: what counts as one, and whether it holds."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.answers.equations import equations
from tests.conftest import REPOSITORY


def found(text: str) -> list[str]:
    """The equations of a text; one that does not hold ends with a question mark."""
    return [one.text if one.holds else f"{one.text}?" for one in equations(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("She sold 48/2 = <<48/2=24>>24 clips. 48+24 = <<48+24=72>>72", ["48/2=24", "48+24=72"]),
        ("She has 20 - 3 + 4 = 21 eggs.", ["20-3+4=21"]),
        ("So that is 3*5=15, 4*2=8.", ["3*5=15", "4*2=8"]),
        ("1. 3 + 4 = 7\n- 3 + 5 = 9\n2) 3 x 4 = 12 apples", ["3+4=7", "3+5=9?", "3*4=12"]),
        ("$5 × 3 = $15. 1,000 − 500 = 500; 6 ÷ 2 = 3", ["5*3=15", "1000-500=500", "6/2=3"]),
        ("Total (3 + 4 = 7)", ["3+4=7"]),
        ("a = 3 + 4 = 7", ["3+4=7"]),
        ("2 + 3 = 5 = 10/2", ["2+3=5"]),
        ("10 - 2 = 5 + 3", ["10-2=5+3"]),
        ("-3 + 4 = 1", ["-3+4=1"]),
        ("(2+3)*4 = 20 and 2^10 = 1024 and 1/2 + 1/4 = 3/4", ["(2+3)*4=20", "2^10=1024", "1/2+1/4=3/4"]),
        # a rounded result holds if it is off by less than one in its last place
        ("10/3 = 3.33", ["10/3=3.33"]),
        ("10/3 = 3", ["10/3=3"]),
        ("10/3 = 3.4", ["10/3=3.4"]),
        ("10/3 = 3.5", ["10/3=3.5?"]),
        ("7 + 1 = 9", ["7+1=9?"]),
        ("1/3 = 2/6", ["1/3=2/6"]),
        ("1/3 = 2/7", ["1/3=2/7?"]),
        # percent, on one side or on both
        ("20% * 50 = 10, 5/20 = 25%", ["20%*50=10", "5/20=25%"]),
        ("100 - 60 = 40%, 100 - 60 = 50%", ["100-60=40%", "100-60=50%?"]),
        ("5/0 = 3", ["5/0=3?"]),
        # not equations: algebra, units between the numbers, text that continues, the tail of something longer
        *((text, []) for text in (
            "2x + 3 = 7", "x + 2 = 5", "x1 + 2 = 5", "24 - 10 = 24 - x", "12 * 5 = 60km", "3 km * 1000 = 3000 m",
            "5 apples + 2 * 3 = 11", "60 pages x 2/3 = 40 pages", "at 6:00 + 48 = 6:48", "f(3 + 4) = 7", "3 + 4 == 7",
            "10 / 4 = 2 1/2", "2(3+4) = 14", "<<x=3>>", "3 = 3", "= = =", "", "9^9^9 = 3", "((1 = 2", "007 + 1 = 8",
        )),
    ],
)  # fmt: skip
def test_what_is_an_equation_and_whether_it_holds(text: str, wanted: list[str]) -> None:
    assert found(text) == wanted


@given(st.text(alphabet="0123456789.,+-*/^()=%$x <>\n", max_size=400))
def test_any_text_has_equations_or_none(text: str) -> None:
    assert all(" " not in one.text and "=" in one.text for one in equations(text))


@pytest.mark.parametrize(
    "bad", ["(" * 50_000, "1+" * 50_000 + "=2", "1 = " * 25_000, "<<" * 25_000, "9^" * 50_000 + "=1"]
)
def test_a_text_that_is_meant_to_take_long_does_not(bad: str) -> None:
    assert equations(bad) == ()


def test_solutions_of_gsm8k_hold() -> None:
    """Each of these solutions is right, with its marks and without."""
    [file] = (REPOSITORY / "recipes" / "data").glob("gsm8k*.json*")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    texts = [row["answer"] for row in rows]
    for each in (texts, [re.sub(r"<<.*?>>", "", text) for text in texts]):
        read = [one for text in each for one in equations(text)]
        assert len(read) > len(texts) and all(one.holds for one in read)
