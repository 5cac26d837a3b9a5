"""The names of checks: one list of all of them, and recipes that ignore some."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import RecipeError
from orchestrator.health.causes import CAUSES
from orchestrator.health.findings import told_only
from orchestrator.recipe.check_names import CHECKS
from orchestrator.recipe.recipe import WATCHED, Limits, load_recipe
from orchestrator.types import Finding
from tests.conftest import REPOSITORY

MAKERS = ("Finding", "_broken")
"""Callables whose first argument is the name of a check."""


def names_in(tree: ast.AST) -> Iterator[str]:
    """The names in calls, and in the loops whose variable is passed to a call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in MAKERS and node.args:
            given = node.args[0]
            if isinstance(given, ast.Name):
                loops = [n for n in ast.walk(tree) if isinstance(n, ast.For) and given.id in ast.unparse(n.target)]
                for loop in loops:
                    rows = loop.iter.elts if isinstance(loop.iter, ast.Tuple) else []
                    yield from (str(ast.literal_eval(row)[0]) for row in rows)
            yield from (n.value for n in ast.walk(given) if isinstance(n, ast.Constant) and isinstance(n.value, str))


def test_every_finding_has_a_name_that_is_known() -> None:
    found = {
        name for path in (REPOSITORY / "orchestrator").rglob("*.py") for name in names_in(ast.parse(path.read_text()))
    }
    assert found - set(CHECKS) == set(), "add them to orchestrator/recipe/check_names.py"
    assert set(CHECKS) - found == set(), "no finding has these names any more"


def test_no_name_stands_twice_and_other_lists_hold_no_others() -> None:
    assert len(CHECKS) == len(set(CHECKS))
    assert set(CAUSES) <= set(CHECKS) and set(WATCHED) <= set(CHECKS)


# --- limits.ignore

RECIPE = """\
name: test
task: {type: units, demonstrations: {generate: 4}, test: {generate: 3}}
model: {name: tiny}
stages:
  sft: {type: sft}
"""


def limits(*overrides: str) -> Limits:
    Path("r.yaml").write_text(RECIPE)
    return load_recipe("r.yaml", overrides).limits


def test_checks_may_be_ignored_by_name() -> None:
    assert limits().ignore == ()
    assert limits("limits.ignore=test-in-training").ignore == ("test-in-training",)
    assert limits("limits.ignore=[double-bos, answer-in-prompt]").ignore == ("double-bos", "answer-in-prompt")


@pytest.mark.parametrize(
    ("name", "meant"), [("test-in-trainin", "test-in-training"), ("labels_masked", "labels-masked")]
)
def test_a_name_that_is_none_is_refused_with_the_one_that_is_meant(name: str, meant: str) -> None:
    with pytest.raises(RecipeError) as caught:
        limits(f"limits.ignore=[double-bos, {name}]")
    (problem,) = caught.value.problems
    assert problem.startswith("override limits.ignore: unknown check") and f"did you mean {meant!r}?" in problem


def test_what_is_ignored_ends_no_stage() -> None:
    assert limits("limits.stop_on=all").ends_on == WATCHED
    given = ("limits.ignore=[loss-too-low, double-bos]",)
    assert limits("limits.stop_on=all", *given).ends_on == tuple(n for n in WATCHED if n != "loss-too-low")
    assert limits("limits.stop_on=[loss-too-low, groups-alike]", *given).ends_on == ("groups-alike",)
    assert limits(*given).ends_on == ()


def test_what_is_ignored_is_told_and_no_more() -> None:
    error = Finding("double-bos", "error", "it is so", "seen", "why", "do")
    warning, other = replace(error, severity="warning"), replace(error, check="labels-masked")
    told = told_only([error, other, warning], ["double-bos"])
    assert told[1] is other
    assert told[0] == replace(error, severity="info", what="it is so (ignored by limits.ignore)") == told[2]
    assert told_only(told, ["double-bos"]) == told, "it is not marked twice"
