"""The judge `math`: the meaning of plain notation, which answers are equal, and which golds are refused."""

import pytest

from orchestrator.answers.judges import JUDGES, BaseJudge, ChoiceJudge, MathJudge
from orchestrator.answers.plain_math import NotMathematicsError, as_tex
from orchestrator.answers.plain_value import value_at
from orchestrator.types import Verdict

# gold, answer
SAME = [
    *(("2*pi*r", r"2\pi r"), ("2*pi*r", "2 pi r"), ("2*pi*r", "2πr"), ("pi/2", r"\frac{\pi}{2}"), ("x**2", "x^2")),
    *(("1e5", "100000"), ("exp(x)", "e^x"), ("2 1/2", "2.5"), ("2 1/2", r"\frac{5}{2}"), ("2½", "5/2")),
    *(("sqrt(2)", r"\sqrt{2}"), ("3(x+1)", "3x+3"), ("x^10", "x^{10}"), ("sin(x)", r"\sin x"), ("ln(2)", r"\ln 2")),
    *(("101_2", "101_{2}"), ("101_2", "5"), ("12_8", "10"), ("101₂", "101_2"), ("1F_16", "31")),
    *(("1.6e-19", r"1.6\times 10^{-19}"), ("1.6e-19", "0.00000000000000000016"), ("3.0×10⁸", "3e8")),
    *(("0.5", "1/2"), ("1/3", "0.333333"), ("1.41421356", "sqrt(2)"), ("0.1x", "x/10"), ("1.6e-19*x", "x*1.6e-19")),
    *(
        ("x=5", "5"),
        ("5", "x = 5"),
        ("50%", r"50\%"),
        ("50%", "0.5"),
        ("5 km", "5"),
        (r"5\,000", "5000"),
        ("5!", "120"),
    ),
    *(("-2^2", "-4"), ("2^3^2", "512"), ("sin(pi)", "0"), ("1/x", "x^-1"), ("1/(2x)", r"\frac{1}{2x}"), ("0", "0")),
    *(("{1,2}", r"\{2,1\}"), ("(1,2)", "(1, 2)"), ("[0,inf)", "[0, infinity)"), ("abs(x)", "|x|"), ("x<3", "3>x")),
    *(("2xy", "2yx"), ("3+4i", "4i+3"), ("pi", "π"), ("theta", "θ"), ("e^2", "exp(2)"), (r"\text{cat}", r"\text{cat}")),
    *(
        ("a/b*c", "ac/b"),
        ("v*t", "vt"),
        ("l*w*h", "lwh"),
        ("b*h", "bh"),
        ("1/2*b*h", r"\frac{bh}{2}"),
        ("mgh", "m*g*h"),
    ),
    *(("pi*r**2*h", r"\pi r^2 h"), ("mc^2", "c^2*m"), ("rho*g*h", r"\rho g h"), ("gamma*x", r"\gamma x")),
    *(("5", "5 m"), ("5", "5m"), ("5", r"5 \text{ cm}"), ("5", r"5\,\mathrm{cm}^2"), ("5", "5 m/s"), ("5", "5 cm^2")),
    *(("5 km", r"5 \text{ km}"), ("5 km", "5 km"), ("5", "5 hours"), (r"5\sqrt{2}", r"5\sqrt{2} cm"), ("5", r"\(5\)")),
    *(
        ("2*pi*R", "2*pi*R"),
        ("pi*R**2", r"\pi R^2"),
        ("P*V", "VP"),
        ("V/R", r"\frac{V}{R}"),
        ("A+B", "B+A"),
        ("N", "N"),
    ),
    *(("A", "A"), ("E", "E"), ("E=mc^2", "E = m c^2"), ("V=IR", "V=RI"), ("I_0 x", "x I_0"), ("IV", "VI")),
    *(("arccos(x)", r"\arccos x"), ("acos(x)", "arccos(x)"), ("asin(x)", r"\arcsin(x)"), ("acos(2x)", "arccos(2x)")),
    *(("x=5", "5 m"), ("5", "x = 5 m"), ("x=5", "x = 5 cm"), ("100 km/h", "100"), ("GM/r^2", r"\frac{GM}{r^2}")),
    *(("cbrt(8)", "2"), ("3+4*I", "3+4i"), ("(1+i)^2", "2i"), ("2(3)", "6"), ("(2)(3)", "6"), ("2^3(4)", "32")),
    *(("1 1/2 x", r"\frac{3x}{2}"), ("1 1/2 x", "1.5x"), ("lnx", r"\ln x"), ("sinx", r"\sin(x)")),
    *(("5x10^3", "5000"), ("5x10^3", r"5\times10^3"), ("3x10^8", "3e8"), ("6.02x10^23", "6.02e23")),
    *((r"\sum_{i=1}^{3} i", "6"), ("log2(8)", "3"), ("2**1000", "2**1000"), ("x,y", r"\{x,y\}")),
]
OTHER = [
    *(("2*pi*r", "2*i*p*r"), ("101_2", "101"), ("12_8", "12"), ("2 1/2", "1.5"), ("1e5", "5e"), ("x^10", "x^11")),
    *(("1.6e-19", "9.1e-31"), ("9.1e-31", "1.6e-19"), ("1.6e-19", "0"), ("0", "0.0000001"), ("0.0012", "0.0012001")),
    *(("1.6e-19*x", "9.1e-31*x"), ("1.6e-19*pi", "9.1e-31*pi"), ("{1.6e-19}", "{9.1e-31}"), ("x=1.6e-19", "9.1e-31")),
    *(("12345678901234567890", "12345678901234567891"), ("1000001", "1000002"), ("1e20", "100000000000000000001")),
    *(("9007199254740993", "9007199254740992"), ("99999.99", "100000"), ("x", "y"), ("x**2", "2x"), ("[1,2]", "[1,2)")),
    *(("x^2", "x^2 t"), ("2*pi*r", r"2\pi r h"), (r"\pi r^2", r"\pi r^2 h"), ("v_0", "v_0 t"), ("x+1", "(x+1) t")),
    *((r"\frac12", r"\frac12 h"), ("5x", "5x h"), ("x*c", "x*d"), ("n*h", "n*m"), ("a/b*c", "a/b*d")),
    *(("x=5", "y = 5 m"), ("12pi", r"12\pi h"), ("5", "6 m"), ("x=h", "x=5 h"), ("5/2", "5/2 x")),
    *(("2*g*h", "2*g*m"), ("x*y*t", "x*y*h"), ("R", "r"), ("5 km", "5 m"), ("5 m", "5 h"), ("5x", "5X")),
    *(("(1,2)", "{1,2}"), ("{1,2}", "(1,2)"), (r"\{1,2\}", "(1,2)"), ("(1,2)", r"\{1,2\}")),
    *(("2**1000", "2**1000+1"), ("100!", "100!+1"), ("3+4*I", "3-4i")),
]


@pytest.fixture(scope="module")
def judge() -> MathJudge:
    made = MathJudge()
    made.prepare()
    return made


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_what_is_worth_the_same_is_right(judge: MathJudge, gold: str, answer: str) -> None:
    assert judge.check_gold(gold) is None
    assert judge.judge(answer, gold, "stop") == Verdict("correct", answer)


@pytest.mark.parametrize(("gold", "answer"), OTHER)
def test_what_is_worth_something_else_is_wrong(judge: MathJudge, gold: str, answer: str) -> None:
    assert judge.check_gold(gold) is None
    assert judge.judge(answer, gold, "stop").status == "wrong"


@pytest.mark.parametrize("gold", ["cat", "proof", "notfound", "north", "East", "none", "no solution", "yes", "a cat"])
def test_words_are_no_products_of_letters(judge: MathJudge, gold: str) -> None:
    assert "set judge: {type: exact}" in str(judge.check_gold(gold))
    assert judge.judge("x", gold, "stop").status == "error"
    assert judge.judge(gold, "x", "stop") == Verdict("unparsed")


@pytest.mark.parametrize("gold", ["0xFF", "1/0", r"\frac{1}{0}", "x + 1/0", "lnrt"])
def test_golds_that_have_no_value_are_refused(judge: MathJudge, gold: str) -> None:
    assert judge.check_gold(gold) is not None
    assert judge.judge(gold, gold, "stop").status in ("unparsed", "error")


def test_a_word_is_not_another_of_the_same_letters(judge: MathJudge) -> None:
    assert judge.judge("cat", "act", "stop").status != "correct"
    assert judge.judge(r"\text{cat}", r"\text{act}", "stop").status == "wrong"


@pytest.mark.parametrize("gold", ["1/2x", "x/2y", "1/2 pi"])
def test_a_gold_of_two_readings_is_refused_with_both(judge: MathJudge, gold: str) -> None:
    verdict = judge.judge("5", gold, "stop")
    assert verdict.status == "error" and f"gold answer {gold!r} has two readings" in str(verdict.value)
    assert "by math-verify" in str(verdict.value) and "write it with brackets" in str(verdict.value)


@pytest.mark.parametrize(
    ("plain", "tex"),
    [
        ("x**(n+1)", "x^{n+1}"),
        ("x^-2", "x^{-2}"),
        ("x^ab", "x^{a}b"),
        ("x_max", "x_{max}"),
        ("√(x+1)", r"\sqrt{x+1}"),
        ("exp(-x**2/2)", "e^{-x^{2}/2}"),
        ("log2(8)", r"\log_{2}(8)"),
        (r"\frac 1 2", r"\frac 1 2"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
        ("x = 5 and y = 3", "x = 5  and  y = 3"),
        ("**5**", "5"),
        ("2xyz + mgh", "2xyz + mgh"),
    ],
)
def test_plain_notation_in_tex(plain: str, tex: str) -> None:
    assert as_tex(plain) == tex


@pytest.mark.parametrize("text", ["19_8", "5 000", "x^", "sqrt(2", "the answer", "x is cat", "sqrt(" * 1_500])
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(NotMathematicsError):
        as_tex(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("2 1/2", 2.5), ("-2^2", -4), ("2^3^2", 512), ("2**-1", 0.5), ("1e5", 1e5), ("101_2", 5), ("5!", 120)),
        *(("sqrt(16)/2*3", 6), ("(1+2)(3+4)", 21), ("abs(-3)", 3), ("1/2*4", 2), ("exp(0)", 1), ("8/2(2+2)", 16)),
    ],
)
def test_the_second_reading(text: str, value: float) -> None:
    assert value_at(text, 0) == pytest.approx(value)


def test_the_second_reading_knows_letters_and_its_limits() -> None:
    x = value_at("x", 1)
    assert x is not None and value_at("2x+x", 1) == pytest.approx(3 * x) and value_at("x", 2) != x
    for text in (r"\frac{1}{2}", "f(x)", "x_1", "x=5", "1/0", "", "cat", "(" * 5_000):
        assert value_at(text, 0) is None


@pytest.mark.parametrize("gold", ["1234.567", "99999.99", "1e20", "12345678901234567890", "72", "-0.5", "1.50"])
def test_a_number_is_itself_under_every_judge(gold: str) -> None:
    judges: list[BaseJudge] = [made() for made in JUDGES.values() if made is not ChoiceJudge]
    judges += [ChoiceJudge()] if gold == "72" else []
    for judge in judges:
        assert judge.check_gold(gold) is None
        assert judge.judge(gold, gold, "stop").status == "correct", judge


@pytest.mark.parametrize(
    ("gold", "answer"), [("v0*t", "v_0 t"), ("x1+x2", "x_1+x_2"), ("a1", "a_1"), ("2x1", "2 x_1"), ("x1", "x1")]
)
def test_a_digit_behind_a_letter_is_its_index(gold: str, answer: str) -> None:
    assert MathJudge().judge(answer, gold, "stop").status == "correct"
    assert MathJudge().judge("0", gold, "stop").status == "wrong"
