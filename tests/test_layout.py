"""Import rules: dependencies point one way, and light modules stay light."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "orchestrator"
ORDER = (
    *("types", "errors", "schema", "text", "figures", "notebook", "stats", "results"),
    *("answers", "store", "tasks", "models", "sampling", "training", "stages"),
    *("recipe", "plan", "health", "comparison", "runs", "sweeps"),
    *("report", "exports", "commands", "cli"),
)
"""Packages and top-level modules, from the bottom up: each imports only those before it, and itself."""
MOST_IN_ROOT = 8
HEAVY = ("torch", "ray", "trl", "transformers", "peft", "mlflow", "datasets", "pandas", "scipy", "rich")


def name_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, ast.Module]:
    return {name_of(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def imports(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """Every import of a module, including inside functions: (module, name or None). Type-only imports are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "imports are absolute"
            yield from ((node.module, alias.name) for alias in node.names)
        else:
            yield from imports(node)


@cache
def edges() -> dict[str, set[str]]:
    """The modules of orch that each module of orch imports."""
    found: dict[str, set[str]] = {}
    for module, tree in modules().items():
        targets = set()
        for source, name in imports(tree):
            if source.split(".")[0] == "orchestrator":
                inner = f"{source}.{name}"
                targets.add(inner if inner in modules() else source)
        found[module] = targets
    return found


def part(module: str) -> str:
    """The file or folder directly under orchestrator/ that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def importers(package: str) -> set[str]:
    """The modules of orch that import a third-party package."""
    return {
        module
        for module, tree in modules().items()
        if any(source.split(".")[0] == package for source, _ in imports(tree))
    }


def test_the_walk_sees_imports_inside_functions_but_not_those_of_types() -> None:
    tree = ast.parse(
        "if TYPE_CHECKING:\n    import a\nimport b.c\ndef f():\n    from d import e\n    class G:\n        import h\n"
    )
    assert list(imports(tree)) == [("b.c", None), ("d", "e"), ("h", None)]
    assert "orchestrator.sampling.shard" in edges()["orchestrator.stages.drawing"], "it is imported inside a function"
    assert "orchestrator.tasks.units_questions" in edges()["orchestrator.tasks.units"]


def test_every_import_of_orch_is_of_a_module_that_is_there() -> None:
    missing = {(module, target) for module, targets in edges().items() for target in targets - set(modules())}
    assert not missing


def test_every_part_has_its_place_and_the_root_is_small() -> None:
    assert {part(module) for module in modules()} - {""} == set(ORDER)
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_IN_ROOT


def test_packages_import_in_one_direction() -> None:
    """This rules out cycles between packages, too."""
    place = {name: number for number, name in enumerate(ORDER)}
    upward = [
        f"{module} imports {target}"
        for module, targets in edges().items()
        for target in targets
        if part(module) and place.get(part(target), len(ORDER)) > place[part(module)]
    ]
    assert not upward


def test_tests_stand_beside_what_they_test() -> None:
    """One folder per package; the remaining ones hold shared helpers or tests of `orch` as a whole."""
    folders = {
        path.name for path in (REPOSITORY / "tests").iterdir() if path.is_dir() and (path / "__init__.py").exists()
    }
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders - {"support", "end_to_end"} <= packages and packages - folders == set()


def test_no_module_waits_for_itself() -> None:
    done: set[str] = set()

    def walk(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above[above.index(module) :], module))
        if module not in done:
            for target in sorted(edges()[module]):
                walk(target, (*above, module))
            done.add(module)

    for module in edges():
        walk(module, ())
    assert done == set(modules())


def test_the_rebuilt_model_is_no_ones_dependency() -> None:
    tiny = "orchestrator.models.tiny"
    users = {module for module, targets in edges().items() if any(target.startswith(tiny) for target in targets)}
    assert all(module.startswith(tiny) for module in users)


def test_each_large_library_has_one_home() -> None:
    for library, home in {
        "trl": "training",
        "mlflow": "store",
        "ray": "runs",
        "rich": "cli",
        "optuna": "sweeps",
    }.items():
        assert {part(module) for module in importers(library)} == {home}, library
    with_torch = {part(module) for module in importers("torch")}
    assert with_torch <= {"health", "models", "sampling", "training"}
    assert {part(module) for module in importers("peft")} <= {"health", "models", "training"}


def outside_the_store() -> Iterator[tuple[str, ast.AST]]:
    for module, tree in modules().items():
        if part(module) != "store":
            yield from ((module, node) for node in ast.walk(tree))


def is_of_mlflow(node: ast.AST) -> bool:
    """Whether an expression reads an MLflow run: `run.info.` or `run.data.tags`."""
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Attribute):
        return False
    return node.value.attr == "info" or (node.value.attr == "data" and node.attr in ("tags", "metrics", "params"))


def test_no_run_of_mlflow_leaves_the_store() -> None:
    tree = ast.parse("a.info.b; a().data.tags; a.data.b; a.info; b.tags")
    assert [ast.unparse(node) for node in ast.walk(tree) if is_of_mlflow(node)] == ["a.info.b", "a().data.tags"]
    assert [f"{module}: {ast.unparse(node)}" for module, node in outside_the_store() if is_of_mlflow(node)] == []


def test_tags_are_spelled_in_one_place() -> None:
    """Outside the store: no tag of orch's or MLflow's, nor the beginning of one in an f-string."""
    spelled = [
        f"{module}: {node.value}"
        for module, node in outside_the_store()
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(("orch.", "mlflow."))
    ]
    assert spelled == []


def test_a_store_is_opened_in_one_place() -> None:
    """So any store can be passed in; the in-memory one is for tests."""
    users = {
        name: {module for module, targets in edges().items() if f"orchestrator.store.{name}" in targets}
        for name in ("mlflow", "memory")
    }
    assert users == {"mlflow": {"orchestrator.store.opening"}, "memory": set()}


def test_ray_is_started_in_one_place() -> None:
    calls = {
        module
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("ray.init", "init")
    }
    assert calls == {"orchestrator.runs.cluster"}


def test_the_schemas_import_pydantic_yaml_and_the_standard_library() -> None:
    known = set(sys.stdlib_module_names) | {"orchestrator", "pydantic", "yaml"}
    for name in (
        "errors",
        "types",
        "schema",
        "stages.base",
        "stages.context",
        "training.settings",
        "recipe.yaml_source",
        "recipe.head",
        "recipe.recipe",
        "plan.plan",
    ):
        found = {source.split(".")[0] for source, _ in imports(modules()[f"orchestrator.{name}"])}
        assert found <= known, name
    for name in ("errors", "types"):
        found = {source.split(".")[0] for source, _ in imports(modules()[f"orchestrator.{name}"])}
        assert found <= set(sys.stdlib_module_names), name


def test_every_module_says_what_it_is() -> None:
    for path in PACKAGE.rglob("*.py"):
        tree = modules()[name_of(path)]
        assert ast.get_docstring(tree) or not tree.body, path


CHECK = f"""
loaded = sorted({{name.split(".")[0] for name in sys.modules}} & set({HEAVY!r}))
sys.exit(f"loaded: {{loaded}}" if loaded else 0)
"""
HELP = """
from orchestrator.cli import main
sys.argv = ["orch", "--help"]
try:
    main()
except SystemExit as ended:
    assert ended.code == 0, ended.code
"""


@pytest.mark.parametrize(
    "code", ["import orchestrator.recipe.recipe, orchestrator.plan.plan", HELP], ids=["schemas", "help"]
)
def test_what_is_light_loads_nothing_heavy(code: str) -> None:
    command = [sys.executable, "-c", f"import sys\n{code}\n{CHECK}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if code == HELP:
        assert all(verb in done.stdout for verb in ("run", "plan", "check", "diagnose", "judge", "ask", "ui"))


WORN = re.compile(
    r"\b(mend(?:s|ed)?|foretold|anew|(?:this|these) very|hand(?:s|ed)? on|stands? (?:twice|in)|(?:is|are) told|"
    r"at the (?:most|least)|goes on|but for|(?:comes|came) to|whoever)\b"
)
"""Phrases with a plainer alternative: fix, predicted, again, the same, pass on, is in, reported, at most, continues,
except for, results in, the one that."""


def test_texts_of_the_code_are_plain_english() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {match[0]}"
        for path in sorted((*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.j2"), *REPOSITORY.glob("docs/*.md")))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := WORN.search(line)) is not None
    ]
    assert found == []
