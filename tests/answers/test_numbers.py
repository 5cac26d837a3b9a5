"""Numbers as text: reading one, finding the last one, writing one."""

import json
import math
import time
from pathlib import Path

import pytest

from orchestrator.answers.last_number import last_number
from orchestrator.answers.numbers import format_number, number_text, parse_number
from orchestrator.tasks.units_table import SPELLINGS

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k" / "train.jsonl"


def find_last_number(text: str) -> str | None:
    found = last_number(text)
    if found is None:
        return None
    start, written = found
    assert text[start : start + len(written)] == written
    return written


def as_float(text: str) -> float:
    number = parse_number(text)
    assert number is not None
    return float(number)


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
        ("x = 5", 5),
        ("**total_cost = $5**", 5),
        ("73 dollars", 73),
        ("$1,234.50", 1234.5),
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
        ("9" * 200, float("9" * 200)),
        ("72 m**3", 72),
        ("5 cm**3 per m**2", 5),
        ("10^3", 1000),
        ("2^10", 1024),
        ("10**3", 1000),
        ("10 ** 3", 1000),
        ("10^{-3} km", 0.001),
        ("-2^2", -4),
        ("1.5^2%", 2.25),
        ("2*10^3", 2000),
        ("$$72$$", 72),
        ("$50 cm^2$", 50),
        ("$x = 5$", 5),
    ],
)
def test_numbers_as_they_are_written(text: str, number: float) -> None:
    assert as_float(text) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"72 \text{ dollars}", 72),
        (r"72\%", 72),
        ("1{,}234", 1234),
        (r"\$1{,}234{,}567.50", 1234567.5),
        (r"1\,234", 1234),
        (r"1,\!234", 1234),
        (r"1\!234", 1234),
        (r"\frac{3}{4}", 0.75),
        (r"-\dfrac{3}{4}", -0.75),
        (r"\tfrac{-3}{4}", -0.75),
        (r"\frac34", 0.75),
        (r"\frac{1,000}{8}\text{ km}", 125),
        (r"2\frac{1}{2}", 2.5),
        (r"2 \frac 1 2", 2.5),
        (r"\text{72}", 72),
        (r"\text{\$72}", 72),
        (r"\textbf{72 dollars}", 72),
        (r"\mathbf{72}\,\mathrm{~km}", 72),
        (r"\boxed{\mathbf{\frac{3}{4}}}", 0.75),
        (r"\mbox{5 million}", 5e6),
        (r"\(72\)", 72),
        (r"\[ 72 \]", 72),
        (r"$72\%$", 72),
        (r"72^\circ", 72),
        (r"72^{\circ}\text{C}", 72),
        (r"72\degree", 72),
        (r"50 \text{ cm}^2", 50),
        (r"50\;\text{cm}^{2}", 50),
        (r"90\frac{\text{km}}{\text{h}}", 90),
        (r"1.2 \times 10^{3}", 1200),
        (r"1.2 \cdot 10^{-3}", 0.0012),
        (r"\mathbf{10^{3}}", 1000),
        (r"x \approx 5", 5),
        (r"\displaystyle\frac{1}{2}", 0.5),
    ],
)
def test_numbers_in_tex(text: str, number: float) -> None:
    assert as_float(text) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5k", 5_000),
        ("5M€", 5_000_000),
        (r"1.5\cdot10^{3}", 1_500),
        ("5k.", 5_000),
        ("**5k**", 5_000),
        ("-1.5k", -1_500),
        ("5k dollars", 5_000),
        ("5k per day", 5_000),
        ("$5k/month", 5_000),
        ("$5K", 5_000),
        ("$1.5M", 1.5e6),
        ("**$1.5M**.", 1.5e6),
        ("-$2B", -2e9),
        ("€3bn", 3e9),
        ("\\$5M", 5e6),
        ("$\\$5M$", 5e6),
        ("$1.5Million", 1.5e6),
        ("5 km", 5),
        ("5km", 5),
        ("5kB", 5),
        ("$5m", 5e6),
        ("5bn", 5e9),
        ("300 K", 300),
        ("5 B", 5),
        ("$5 per M", 5),
    ],
)
def test_short_scales_are_told_from_units(text: str, number: float) -> None:
    assert as_float(text) == number


def test_every_spelling_of_the_unit_table_may_stand_behind_a_number() -> None:
    for spelling in SPELLINGS:
        assert parse_number(f"7.5 {spelling}") == 7.5, spelling


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            ".",
            "-",
            "$",
            "%",
            "**",
            "nan",
            "NaN",
            "inf",
            "-Infinity",
            "words",
            "e5",
            "five",
            "2x = 5",
        ),
        *(
            "1e999",
            "1e-999",
            "1e-999^0",
            "1e99999",
            "1 x 10^9999",
            "0 x 10^9999",
            "9" * 201,
            "1/0",
            "0/0",
            "1 1/0",
        ),
        *("1,23", "1,5", "1234,567", "1,2345", "1.2.3", "1.234,5", "1 000", "1_000", "0x1F", "1/2/2024", "10:30"),
        *("5 or 6", "5-6", "5 - 3", "5, 6", "5 3", "3 hours 20 minutes", "50% of 20", "5x10", "5*x", "5 km 2", "--5"),
        *("五", "5\x00", "\x005", "5 \ud800", "\ud800", "(5)", "[5]", "5!", "<answer>5"),
        *(
            "10^9999",
            "9^9999",
            "0^-1",
            "1e300^2",
            "2^0.5",
            "2^2^2",
            "2^3/4",
            "3/4^2",
            "2^",
            "**73** 5",
            "5 x**2",
        ),
        *(
            r"10^\frac{1}{2}",
            r"\frac{1}{2}5",
            r"\frac{1}{0}",
            r"\frac{x}{2}",
            r"\frac{5}{x}",
            r"\frac{1}{2}\frac{1}{2}",
        ),
        *(r"5\pi", r"\sqrt{2}", r"1\,23", "1{,}5", r"1234\,567", r"\text{five}", r"72\\%", r"5\(3\)", r"\text{5", "\\"),
    ],
)
def test_what_is_not_one_number(text: str) -> None:
    assert parse_number(text) is None


def test_the_sign_of_a_number_is_kept_apart_from_its_parts() -> None:
    assert parse_number("-3/4") == -0.75
    assert parse_number("-1 million") == -1e6


def test_no_text_is_slow() -> None:
    texts = ["1" * 200, "1,111" * 40, "*" * 200, "5 " + "a " * 98 + "1", "5" + " " * 190 + "1", "1/" * 100]
    texts += ["\\text{" * 33, "\\frac{1}{" * 20, "\\" * 200, "1{,}" * 50, "5^" * 100, "\\text{5}" * 25, "5**" * 66]
    texts += ["5 million" * 20 + "1", "5 " + "*_" * 99, "5" + "a." * 99, "1" * 1_000_000, " " * 1_000_000, "\x00" * 200]
    started = time.process_time()
    for text in texts:
        for _ in range(100):
            parse_number(text)
    assert time.process_time() - started < 15


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
    assert as_float(text) == pytest.approx(number, rel=1e-5)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_only_finite_numbers_are_written(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        format_number(number)


# --- the last number of a text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so there are 72 eggs.", "72"),
        ("1 and 2, then $1,234.50, ok", "$1,234.50"),
        ("\\$5 each", "\\$5"),
        ("it fell by -$5.", "-$5"),
        ("x = −5", "−5"),
        ("10-5", "5"),
        ("12 times H2O", "12"),
        ("about 3/4 of it", "3/4"),
        ("2 1/2 cups", "2 1/2"),
        ("**50%**.", "50%"),
        ("5 million people", "5 million"),
        ("1.2 x 10^3 m", "1.2 x 10^3"),
        ("1, 2, 3", "3"),
        ("(see .5)", ".5"),
        ("1e3", "1e3"),
        ("7 and then" + " words" * 5_000, "7"),
        ("x " * 1_999 + "1,234,567 " + "y " * 1_998, "1,234,567"),
        ("words", None),
        ("The area is 50 m^2.", "50"),
        ("it costs 5M€ now", "5M€"),
        (r"it is 3 \cdot 10^8.", r"3 \cdot 10^8"),
        (r"so $50 \text{ cm}^2$", "$50"),
        (r"so $50\,\text{cm}^{2}$", "$50"),
        ("5000 cm^3", "5000"),
        ("50 m**2", "50"),
        ("50cm**3 in all", "50"),
        ("9.81 m s^{-2}", "9.81"),
        ("5 per m^{-1}", "5"),
        ("3^{n+1} = 9", "9"),
        ("in m^{-1}", None),
        ("it is 10^3", "10^3"),
        ("2^10 bytes", "2^10"),
        ("10**3.", "10**3"),
        ("-10^{-3}", "-10^{-3}"),
        ("10^3 = 1000", "1000"),
        ("**73**", "73"),
        ("it is **73**.", "73"),
        ("total**73**", "73"),
        ("**Answer**5", "5"),
        ("is $1{,}234$.", "$1{,}234"),
        (r"is 1\,234 m", r"1\,234"),
        (r"is $2\frac{1}{2}$ cups", r"$2\frac{1}{2}"),
        (r"is $-\frac{3}{4}$", r"$-\frac{3}{4}"),
        ("he has 5k.", "5k"),
        ("5k-10k", "10k"),
        ("costs $1.5M in all", "$1.5M"),
        ("it is $5m$", "$5"),
        ("300 K", "300"),
        (r"\frac{1}{2}M", r"\frac{1}{2}"),
        ("x2 and H2O", None),
        ("½", "½"),
        ("", None),
    ],
)
def test_the_last_number(text: str, number: str | None) -> None:
    assert find_last_number(text) == number
    assert number is None or parse_number(number) is not None


def test_the_last_number_is_found_wherever_the_text_is_cut_for_looking() -> None:
    for gap in range(3_980, 4_220):
        assert find_last_number("it is 1,234.5 " + " " * gap) == "1,234.5"
        assert find_last_number("9" * 300 + " " * gap) == "9" * 300


def test_the_last_number_is_found_in_linear_time() -> None:
    once = [
        "^",
        "^{",
        "1^",
        "\\frac{1",
        "1\\frac{",
        "a**",
        "1{,}",
        "a**1 ",
        "1^{",
        "5k",
        "1 ",
        "a1",
        "1",
        "1,",
        "1,111",
        ".",
        "$",
        "-",
        " ",
        "1/",
        "(",
        "1 million ",
        "1/1.",
        "1 million",
        "\x00",
    ]
    for text in [*(part * (1_000_000 // len(part)) for part in once), "1" + "a" * 1_000_000, "H2" + " " * 1_000_000]:
        started = time.process_time()
        find_last_number(text)
        assert time.process_time() - started < 5, text[:10]  # linear time is a tenth of a second


@pytest.mark.skipif(not GSM8K.exists(), reason="the GSM8K file is not here")
def test_every_gold_answer_of_gsm8k_is_a_number() -> None:
    for line in GSM8K.read_text().splitlines():
        solution = json.loads(line)["answer"]
        gold = solution.rpartition("####")[2].strip()
        value = parse_number(gold)
        assert value is not None and find_last_number(solution) == gold
        assert parse_number(number_text(value)) == value
        for written in (f"${gold}", f"**{gold}**", f"\\${gold}", f"{gold}.", f"{gold} dollars", f"x = {gold}"):
            assert parse_number(written) == value, written
