"""YAML as people write it, and the line of each setting."""

from typing import Any

import pytest

from orchestrator.errors import RecipeError
from orchestrator.yaml_source import parse, parse_value


def value(text: str) -> Any:
    return parse(f"a: {text}", "r.yaml")[0]["a"]


def problems(text: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse(text, "r.yaml")
    assert all("\n" not in problem and problem.startswith("r.yaml") for problem in caught.value.problems)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-4", 1e-4),
        ("3E5", 3e5),
        ("-1e+3", -1e3),
        ("+2e0", 2.0),
        ("1.5e-4", 1.5e-4),
        (".5e1", 5.0),
        ("5.e2", 500.0),
        ("0.1", 0.1),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0.0", 0.0),
        ("1_0.5", 10.5),
    ],
)
def test_floats(text: str, number: float) -> None:
    assert value(text) == number
    assert isinstance(value(text), float)


def test_infinity_and_nan_are_floats() -> None:
    assert value(".inf") == float("inf") and value("-.INF") == -float("inf")
    assert value(".nan") != value(".nan")


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("12", 12), ("-3", -3), ("+7", 7), ("1_000", 1000)])
def test_whole_numbers(text: str, number: int) -> None:
    assert value(text) == number and type(value(text)) is int


WORDS = (
    "on off yes No y n 2024-01-01 10:50 1:30.5 010 0x1F 0b1 1e e5 1e- .e5 ._e5 0b_ 1.2.3 800: :800 -200: = a.py:B 1e5x"
)


@pytest.mark.parametrize("text", WORDS.split())
def test_what_stays_text(text: str) -> None:
    assert value(f"'{text}'") == text
    if not text.endswith(":"):  # a colon at the end opens a block
        assert value(text) == text


def test_true_false_and_null() -> None:
    assert parse("[true, True, FALSE, null, ~, ]", "r.yaml")[0] == [True, True, False, None, None]
    assert value("") is None
    assert value("'true'") == "true" and value("'1e-4'") == "1e-4"


def test_an_empty_document_is_nothing() -> None:
    assert parse("", "r.yaml") == (None, {})
    assert parse("# only a comment\n", "r.yaml") == (None, {})


def test_each_setting_has_its_line() -> None:
    text = "# head\nname: x\nstages:\n  a:\n    n: 8\n    data:\n    - one\n    - {two: 2}\n  b: {n: 1,\n    m: 2}\n"
    lines = parse(text, "r.yaml")[1]
    assert lines["name",] == 2
    assert lines["stages",] == 3
    assert lines["stages", "a"] == 4
    assert lines["stages", "a", "n"] == 5
    assert lines["stages", "a", "data", "1", "two"] == 8
    assert lines["stages", "b", "n"] == 9
    assert lines["stages", "b", "m"] == 10


def test_every_doubled_key_is_named_with_both_lines() -> None:
    found = problems("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n")
    assert found == [
        "r.yaml:5: b.c: stands twice, first on line 3: keep one",
        "r.yaml:6: a: stands twice, first on line 1: keep one",
    ]
    assert "d: stands twice" in problems("a: [{d: 1, d: 1}]")[0]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: [1, 2", "r.yaml:1:9: not valid YAML: "),
        ("a: 1\n b: 2", "r.yaml:2:3: not valid YAML: "),
        ("a:\n\t- 1", "r.yaml:2:1: not valid YAML: "),
        ("a: 'open", "r.yaml:1:9: not valid YAML: "),
        ("a: *nowhere", "r.yaml:1:4: not valid YAML: "),
        ("a: 1\n---\nb: 2", "r.yaml:2:1: not valid YAML: "),
        ("? [a]\n: b", "r.yaml:1:3: not valid YAML: "),
        ("a: !!python/object:os.system x", "r.yaml:1:4: not valid YAML: could not determine a constructor"),
        ("a: \x00", "r.yaml: not valid YAML: unacceptable character"),
        ("a: !!int x", "r.yaml: not valid YAML: "),
        ("a: !!bool x", "r.yaml: not valid YAML: "),
        ("a: !!timestamp x", "r.yaml: not valid YAML: "),
        ("[" * 2_000, "r.yaml: is nested too deep"),
    ],
)
def test_malformed_documents_say_where(text: str, where: str) -> None:
    [problem] = problems(text)
    assert problem.startswith(where)


def test_aliases_and_merges_work_but_not_in_a_circle() -> None:
    text = "x: &x {lr: 1e-3, n: 1}\na: *x\nb: {<<: *x, n: 2}\n"
    data, lines = parse(text, "r.yaml")
    assert data["a"] == {"lr": 1e-3, "n": 1} and data["b"] == {"lr": 1e-3, "n": 2}
    assert lines["a",] == 2
    assert problems("a: &x {b: *x}") == ["r.yaml:1: a.b: is an alias of a block that it stands in: leave it out"]


def test_values_of_overrides() -> None:
    assert parse_value("1e-4", "o") == 1e-4
    assert parse_value("{file: my.json}", "o") == {"file": "my.json"}
    assert parse_value("", "o") is None
    with pytest.raises(RecipeError, match=r"^override 'a=\[1'.*not valid YAML"):
        parse_value("[1", "override 'a=[1'")
