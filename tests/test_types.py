"""A gold answer is stored as text, whatever its original type."""

import pickle
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from orchestrator.types import Example, answer_text


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("  007 ", "  007 "),
        (42, "42"),
        (42.0, "42"),
        (-0.0, "0"),
        (99999.99, "99999.99"),
        (1234.567, "1234.567"),
        (1e15, "1000000000000000"),
        (1e20, "1e20"),
        (-1.5e-12, "-1.5e-12"),
        (0.00062, "0.00062"),
        (1 / 3, "0.3333333333333333"),
        (9007199254740993, "9007199254740993"),
        (10**30, "1" + "0" * 30),
        (Decimal("72.00"), "72"),
        (Decimal("0.10"), "0.1"),
        (Fraction(6, 8), "3/4"),
        (Fraction(-8, 2), "-4"),
        (float("nan"), "nan"),
        (np.float64(99999.99), "99999.99"),
        (np.float32(0.1), "0.1"),
        (np.int64(7), "7"),
    ],
)
def test_an_answer_becomes_text_with_all_its_digits(answer: Any, text: str) -> None:
    assert answer_text(answer) == text == Example("a", "a?", answer).answer


@pytest.mark.parametrize("number", [0.1, 1e-9, 1e-10, 123456789.123456789, 5e-324, 1.7976931348623157e308, -2.5e17])
def test_a_float_is_read_back_as_itself(number: float) -> None:
    assert float(answer_text(number)) == number


@pytest.mark.parametrize("answer", [None, True, [1], {"a": 1}, 1j, np.bool_(True)])
def test_what_is_neither_text_nor_a_number_is_no_answer(answer: Any) -> None:
    with pytest.raises(TypeError, match="a gold answer is text or a number, not"):
        Example("a", "a?", answer)


def test_an_example_is_copied_and_sent_as_it_is() -> None:
    example = Example(id="a", question="a?", answer=1.5, demonstration="so")
    assert pickle.loads(pickle.dumps(example)) == example == replace(example, answer="1.5")
