"""YAML as people write it, and the line of each setting."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.errors import RecipeError
from orchestrator.recipe.yaml_source import DEEPEST, LONGEST, MOST, parse, parse_value, read_data, write_data
from tests.conftest import REPOSITORY


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
        "r.yaml:5: b.c: duplicate key (first defined on line 3); keep one",
        "r.yaml:6: a: duplicate key (first defined on line 1); keep one",
    ]
    assert "d: duplicate key" in problems("a: [{d: 1, d: 1}]")[0]


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
        ("a: 1\n? {b: 1}\n: 2", "r.yaml:2:3: not valid YAML: found a key that is a list or a block"),
        ("a: !!int '1:30'", "r.yaml: not valid YAML: "),
        ("a: !!float '1:30'", "r.yaml: not valid YAML: "),
        ("a: \udc80", "r.yaml: is not text in UTF-8"),
        ("[" * 2_000, "r.yaml:1: is nested too deeply"),
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
    assert problems("a: &x {b: *x}") == ["r.yaml:1: a.b: is a recursive alias: remove it"]


def test_values_of_overrides() -> None:
    assert parse_value("1e-4", "o") == 1e-4
    assert parse_value("{file: my.json}", "o") == {"file": "my.json"}
    assert parse_value("", "o") is None
    with pytest.raises(RecipeError, match=r"^override 'a=\[1'.*not valid YAML"):
        parse_value("[1", "override 'a=[1'")


# --- bounded work


def levels(first: str, level: str, wide: int = 8, deep: int = 8) -> str:
    """Blocks that each use the previous one `wide` times: wide to the power of deep values."""
    inner = "".join(f"a{i}: &a{i} {level.format(','.join([f'*a{i - 1}'] * wide))}\n" for i in range(1, deep + 1))
    return f"a0: &a0 {first}\n{inner}"


HUGE = {
    "lists": levels("[x, x, x, x, x, x, x, x]", "[{}]"),
    "blocks": "a0: &a0 x\n"
    + "".join(f"a{i}: &a{i} {{{', '.join(f'k{j}: *a{i - 1}' for j in range(8))}}}\n" for i in range(1, 9)),
    "merges": levels("{k: 1, l: 2}", "{{<<: [{}]}}"),
    "as a key": levels("[x, x]", "[{}]", deep=5) + "? *a5\n: x\n",
    "of ten levels, two wide": levels("[x]", "[{}]", wide=2, deep=40),
    "text": f"a: &a {'x' * 100_000}\nb: [{','.join(['*a'] * 50)}]\n",
    "merges in a chain": "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}}}\n" for i in range(1, 9_000)),
    "10,000 brackets": "a: " + "[" * 10_000 + "]" * 10_000,
    "brackets without end": "[" * 1_000_000,
    "braces": "{a: " * 300_000,
    "dashes": "- " * 500_000,
    "complex keys": "? " * 500_000,
    "a wide list": "a: [" + "1," * 900_000 + "]",
    "a whole number": f"a: {'1' * 1_900_000}",
    "sixties": f"a: !!int '1{':1' * 900_000}'",
    "sixties of floats": f"a: !!float '1{':1' * 900_000}'",
    "an alias": f"a: *{'x' * 1_900_000}",
    "a tag": f"a: !{'x' * 1_900_000} b",
    "a key": f"? {'x' * 900_000}\n: 1\n? {'x' * 900_000}\n: 2\n",
    "50 MB": "a: " + "x" * 50_000_000,
}
MEASURED = """
import json, resource, sys
{before}
from orchestrator.errors import RecipeError
from orchestrator.recipe.yaml_source import parse
base = resource.getrusage(resource.RUSAGE_SELF)
said = {{}}
for name, text in json.load(sys.stdin).items():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    try:
        parse(text, "r.yaml")
        problems = []
    except RecipeError as error:
        problems = error.problems
    said[name] = (problems, resource.getrusage(resource.RUSAGE_SELF).ru_utime - before)
print(json.dumps([said, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base.ru_maxrss) / 1024]))
"""


def measured(texts: dict[str, str], before: str = "") -> tuple[dict[str, tuple[list[str], float]], float]:
    """The problems of each text and the seconds they took, all in one process, and its growth in MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED.format(before=before)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    said, memory = json.loads(done.stdout)
    return said, memory


def test_texts_that_stand_for_more_than_they_hold_are_refused_in_one_short_line_and_bounded_work() -> None:
    said, memory = measured({name: text for name, text in HUGE.items() if name != "50 MB"})
    for name, (problems, seconds) in said.items():
        [problem] = problems
        assert problem.startswith("r.yaml") and len(problem) < 400 and "\n" not in problem, name
        assert seconds < 5, name  # half a second at most on a quiet machine; minutes or more without limits
    assert memory < 200


def test_a_text_of_50_mb_is_not_parsed_at_all() -> None:
    Path("r.yaml").write_text(HUGE["50 MB"])
    for read in (lambda: parse(HUGE["50 MB"], "r.yaml"), lambda: read_data("r.yaml", "r.yaml")):
        with pytest.raises(RecipeError, match=r"^r.yaml: is larger than a recipe may be, 2 MB: put"):
            read()


def test_the_limits_hold_without_libyaml() -> None:
    names = ("lists", "merges", "10,000 brackets", "brackets without end", "braces", "sixties")
    said, _ = measured({name: HUGE[name] for name in names}, before="import yaml; yaml.__with_libyaml__ = False")
    with_libyaml = {name: problems for name, (problems, _) in measured({n: HUGE[n] for n in names})[0].items()}
    assert {name: problems for name, (problems, _) in said.items()} == with_libyaml
    assert all(seconds < 10 for _, seconds in said.values())


def test_what_is_large_and_means_what_it_says_is_read() -> None:
    assert len(value("[" + "1," * (MOST - 10) + "]")) == MOST - 10
    assert len(value("x" * (LONGEST - 100))) == LONGEST - 100
    nested = value("[" * (DEEPEST - 2) + "1" + "]" * (DEEPEST - 2))
    assert str(nested).count("[") == DEEPEST - 2
    shared = parse("a: &a {lr: 1e-3, data: [x, y]}\nb: [" + "*a, " * 1_000 + "]\nc: {<<: *a, d: *a}\n", "r.yaml")[0]
    assert len(shared["b"]) == 1_000 and shared["c"] == {"lr": 1e-3, "data": ["x", "y"], "d": shared["a"]}


def test_a_limit_is_named_with_its_line() -> None:
    assert problems("a: 1\nb: " + "[" * 60 + "]" * 60) == [
        "r.yaml:2: is nested too deeply: more than 50 levels; simplify it, and put data into files"
    ]
    [problem] = problems(HUGE["lists"])
    assert problem.startswith("r.yaml:6: has more than 100,000 keys and values with its aliases expanded; ")


def test_what_is_written_reads_as_the_same_data_here_and_elsewhere() -> None:
    words = "1e5 1e-4 -1e+3 1_0 on 010 2024-01-01 10:30 0x1F = << null ~ true 1.5E3 .5"
    texts = [*words.split(" "), "é😀"]
    data = {"texts": texts, "numbers": [1e5, 1e-5, 10, -0.5, float("inf")], "rest": [None, True, "x: y\n#z", ""]}
    written = write_data(data)
    assert parse(written, "r.yaml")[0] == data
    assert yaml.safe_load(written) == data


def test_there_is_one_reader_of_yaml() -> None:
    loading = {
        path.name
        for path in (REPOSITORY / "orchestrator").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and any(
            name.split(".")[0] == "yaml" for name in [getattr(node, "module", "") or "", *(a.name for a in node.names)]
        )
    }
    assert loading == {"yaml_source.py"}
