"""Who imports whom: dependencies point one way, and what is light stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "orchestrator"
LEVELS = (
    {"check_names", "errors", "types"},
    {
        "answers",
        "yaml_source",
        "schema_errors",
        "own_code",
        "terminal_text",
        "cluster",
        "journal",
        "provenance",
        "stats",
        "work",
    }
    | {
        "artifacts",
        "dotted",
        "machine",
        "memory_peak",
        "outputs",
        "spec_types",
        "store_client",
        "digests",
        "disk_space",
        "file_soundness",
        "store_names",
        "store_place",
        "stored_outputs",
        "stored_tables",
    },
    {"tasks", "stage_specs", "trl_arguments"},
    {"completion_rows", "lineage", "recipe_head", "stages_block", "stored_task", "task_block"},
    {"recipe", "judging_file"},
    {"base_model"},
    {"bundling", "merge_agreement", "start_model", "model_ref"},
    {"plan"},
    {"cost", "model_loading", "results"},
    {"sampling", "training", "health"},
    {"model_saving"},
    {"stages"},
    {"comparison", "mlflow_ui", "over_seeds", "tracking"},
    {"comparing", "forecast", "showing"},
    {"description", "record", "showing", "past_run", "report"},
    {"branch", "seeds_record"},
    {"model_folder", "past_curves", "past_outputs"},
    {"asking", "cleaning", "diagnosing", "exporting", "planning", "remote_check", "reporting", "walk", "ui"},
    {
        "checking",
        "comparison_screen",
        "execute",
        "finding_screen",
        "pushing",
        "report_screen",
        "screen_parts",
        "storage_screen",
    },
    {"model_screen", "seeds_screen"},
    {"screen"},
    {"cli"},
)
"""From the bottom up: a part imports from its own level and from those below."""
HEAVY = ("torch", "ray", "trl", "transformers", "peft", "mlflow", "datasets", "pandas", "scipy")


def name_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, ast.Module]:
    return {name_of(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def imports(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """Every import of a module, also inside functions: (module, name or None). What only types need is left out."""
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
    """For each module of orch: the modules of orch that it imports."""
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
    """The file or the folder right under orchestrator/ that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def importers(package: str) -> set[str]:
    """The modules of orch that import a package from outside."""
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
    assert "orchestrator.tasks.unit_questions" in edges()["orchestrator.tasks.units"]


def test_every_import_of_orch_is_of_a_module_that_is_there() -> None:
    missing = {(module, target) for module, targets in edges().items() for target in targets - set(modules())}
    assert not missing


def test_every_part_has_its_level() -> None:
    parts = {part(module) for module in modules()} - {"", "tiny"}
    assert parts == set.union(*LEVELS)


def test_dependencies_point_one_way() -> None:
    level = {name: number for number, names in enumerate(LEVELS) for name in names}
    upward = [
        f"{module} imports {target}"
        for module, targets in edges().items()
        for target in targets
        if part(module) in level and level.get(part(target), -1) > level[part(module)]
    ]
    assert not upward


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
    users = {module for module, targets in edges().items() if any(part(target) == "tiny" for target in targets)}
    assert all(part(module) == "tiny" for module in users)


def test_each_large_library_has_one_home() -> None:
    assert {part(module) for module in importers("trl")} == {"training"}
    assert importers("mlflow") == {"orchestrator.tracking"}
    assert {part(module) for module in importers("ray")} == {"cluster", "remote_check", "walk"}
    with_torch = {part(module) for module in importers("torch")}
    assert with_torch <= {"health", "model_loading", "model_saving", "sampling", "training", "tiny"}
    assert {part(module) for module in importers("peft")} <= {"health", "model_loading", "model_saving", "training"}


def test_ray_is_started_in_one_place() -> None:
    calls = {
        module
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("ray.init", "init")
    }
    assert calls == {"orchestrator.cluster"}


def test_the_schemas_import_pydantic_yaml_and_the_standard_library() -> None:
    known = set(sys.stdlib_module_names) | {"orchestrator", "pydantic", "yaml"}
    for name in ("errors", "types", "yaml_source", "schema_errors", "stage_specs", "recipe_head", "recipe", "plan"):
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


@pytest.mark.parametrize("code", ["import orchestrator.recipe, orchestrator.plan", HELP], ids=["schemas", "help"])
def test_what_is_light_loads_nothing_heavy(code: str) -> None:
    command = [sys.executable, "-c", f"import sys\n{code}\n{CHECK}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if code == HELP:
        assert all(verb in done.stdout for verb in ("run", "plan", "check", "diagnose", "judge", "ask", "ui"))
