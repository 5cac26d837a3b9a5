"""The names that `from orchestrator import ...` provides, regardless of the order of imports."""

import subprocess
import sys

import pytest

import orchestrator

PLAIN = "from orchestrator import Recipe, Task, check, clean, compare, export, load_recipe, plan, report, run, sweep"
PARTS_FIRST = f"import orchestrator.plan.plan, orchestrator.report.html, orchestrator.recipe.recipe\n{PLAIN}"
PARTS_AFTER = f"{PLAIN}\nimport orchestrator.report.html\nfrom orchestrator.plan.plan import Plan\n{PLAIN}"


@pytest.mark.parametrize("code", [PLAIN, PARTS_FIRST, PARTS_AFTER])
def test_a_public_name_is_the_function_not_the_file_of_that_name(code: str) -> None:
    names = orchestrator.__all__
    code += f"\nassert all(callable(one) for one in ({', '.join(names)})), 'a module'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"from orchestrator import {', '.join(names)}" == PLAIN


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = orchestrator.nothing
