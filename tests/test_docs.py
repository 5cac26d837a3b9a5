"""Machine-checkable claims of the docs: commands parse, recipes load, links resolve, snippets compile."""

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import yaml

import orchestrator
from orchestrator.cli import app
from orchestrator.errors import RecipeError
from orchestrator.recipe.recipe import load_recipe
from orchestrator.recipe.yaml_source import parse
from tests.conftest import REPOSITORY
from tests.support.documents import Block, Page, commands_in, page
from tests.test_layout import ORDER

README = REPOSITORY / "README.md"
DOCS = sorted((REPOSITORY / "docs").glob("*.md"))
PAGES = {
    str(path.relative_to(REPOSITORY)): page(path)
    for path in (README, REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "CHANGELOG.md", *DOCS)
}
MOST_LINES = 170
VERBS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
"""The commands of orch by name, as defined on the command line."""
RUN_FOR_REAL = ("judge", "clean", "plan")
"""Cheap commands that need no store: calls of these in the docs are executed."""
HUB = re.compile(r"gsm8k\.yaml|Qwen/|hub:")
"""Matches commands whose recipe cannot be planned offline."""
OTHER_PROGRAMS = {"cp", "kubectl", "sbatch", "make", "python", ".venv/bin/python", "pip", "export", "docker", "git"}
FOREIGN_WORDS = re.compile(
    r"\b(mend(?:s|ed)?|foretold|anew|(?:this|these) very|hand(?:s|ed)? on|stands? (?:twice|in)|(?:is|are) told)\b"
)
"""Phrases that an English reader stumbles over."""


def calls_of_orch() -> list[Any]:
    """A test parameter for each command in the docs that calls orch, without the first word."""
    found = [(name, words[1:]) for name, one in PAGES.items() for words in one.commands if words[0] == "orch"]
    return [pytest.param(words, id=f"{name}: {' '.join(words)[:50]}") for name, words in found]


def yaml_blocks() -> list[Any]:
    found = [(name, block) for name, one in PAGES.items() for block in one.blocks if block.words[:1] == ("yaml",)]
    return [pytest.param(block, id=f"{name}:{block.line}") for name, block in found]


def parsed(words: list[str]) -> Any:
    """The context of a call of orch, as the command line parses it; KeyError if there is no such verb."""
    return VERBS[words[0]].make_context(words[0], list(words[1:]))


def options(verb: str) -> set[str]:
    return {option for parameter in VERBS[verb].params for option in parameter.opts} | {"--help", "-h"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The current folder, with the shipped recipes and the files that commands in the docs name."""
    (tmp_path / "recipes").symlink_to(REPOSITORY / "recipes")
    pairs = [[f"How many cm are {n} m?", str(100 * n)] for n in range(1, 301)]
    for name in ("my.json", "train.json"):
        (tmp_path / name).write_text(json.dumps(pairs))
    (tmp_path / "my.yaml").write_text((REPOSITORY / "recipes" / "rft.yaml").read_text())
    (tmp_path / "my.csv").write_text("\n".join(["prompt,gold", *(f"{q},{a}" for q, a in pairs)]))
    solved = [{"question": q, "answer": a, "steps": f"It is {a}"} for q, a in pairs]
    (tmp_path / "my.jsonl").write_text("\n".join(map(json.dumps, solved)))
    (tmp_path / "completions.jsonl").write_text('{"text": "<answer>42</answer>", "answer": "42"}\n')
    (tmp_path / "samples.jsonl").write_text('{"resps": ["<answer>1</answer>", "<answer>2</answer>"], "target": "2"}\n')
    pq.write_table(pa.table({"text": ["<answer>42</answer>"], "gold": ["42"]}), tmp_path / "out.parquet")
    own = next(block.text for block in PAGES["docs/own-data.md"].blocks if "class Doubling" in block.text)
    (tmp_path / "my_task.py").write_text(own)
    return tmp_path


SAMPLE = """# A `b` c-d

See [there](x.md#y), `orch
ui` and [out](https://example.org/a).

    orch compare --csv

```sh
orch run a.yaml \\
    'b={c: 1,
        d: 2}'   # why
```
"""


def test_the_reader_of_pages_sees_what_is_there() -> None:
    one = Page(Path("sample.md"), SAMPLE)
    assert one.commands == [["orch", "run", "a.yaml", "b={c: 1,\n        d: 2}"], ["orch", "compare", "--csv"]]
    assert (one.links, one.anchors, one.inline) == (["x.md#y"], {"a-b-c-d"}, ["b", "orch ui"])
    assert [(block.words, block.line) for block in one.blocks] == [(("sh",), 8)]
    assert sum(len(one.commands) for one in PAGES.values()) > 50


# --- commands


@pytest.mark.parametrize("words", calls_of_orch())
def test_a_command_of_the_docs_is_taken_as_it_is_written(words: list[str], folder: Path) -> None:
    """It parses; its recipe loads with the given overrides, and is planned if nothing has to be downloaded."""
    verb, called = words[0], parsed(words)
    if verb in ("run", "sweep") and not HUB.search(" ".join(words)):
        joined = words.index("--address") if "--address" in words else len(words)
        planned = [word for word in words[1:joined] + words[joined + 2 :] if word != "--json"]
        verb, called = "plan", parsed(["plan", *planned])
    if verb in RUN_FOR_REAL:
        with called:
            called.command.invoke(called)
    elif called.params.get("recipe") is not None:
        assert load_recipe(called.params["recipe"], called.params.get("overrides") or ()).stages


@pytest.mark.parametrize(
    "line", ["orch run recipes/rft.yaml --fast", "orch compare --on", "orch plan", "orch train recipes/rft.yaml"]
)
def test_a_command_that_orch_does_not_know_is_noticed(line: str) -> None:
    ((_, *words),) = commands_in(line)
    with pytest.raises(Exception, match=r"(?i)fast|requires an argument|missing|train"):
        parsed(words)


def test_an_override_that_a_recipe_does_not_know_is_noticed(folder: Path) -> None:
    ((_, *words),) = commands_in("orch plan recipes/rft.yaml stages.rft.learning_rat=1e-3")
    with pytest.raises(RecipeError, match="learning_rate"), parsed(words) as called:
        called.command.invoke(called)


@pytest.mark.parametrize("one", PAGES.values(), ids=PAGES)
def test_inline_code_names_verbs_and_options_that_exist(one: Page) -> None:
    known = set.union(*map(options, VERBS))
    for span in one.inline:
        if span.startswith("orch "):
            _, *words = next(commands_in(span))
            assert words[0] in VERBS or words[0] in ("--help", "--version", "--install-completion"), span
            given = {word.partition("=")[0] for word in words[1:] if word.startswith("-")}
            assert given <= (options(words[0]) if words[0] in VERBS else set()), span
        elif span.startswith("--"):
            assert span.split()[0] in known, span


@pytest.mark.parametrize("one", PAGES.values(), ids=PAGES)
def test_scripts_and_make_targets_exist(one: Page) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    spans = [span.split() for span in one.inline if span.startswith(("make ", "python "))]
    for words in (*one.commands, *spans):
        assert words[0] in {"orch", *OTHER_PROGRAMS}
        if words[0] == "make":
            assert all("=" in word or f"\n{word}:" in makefile for word in words[1:]), words
        elif words[0].endswith("python"):
            named = [word for word in words if word.endswith(".py")]
            named += [f"{word.replace('.', '/')}.py" for word in words if word.startswith(("benchmarks.", "tests."))]
            for name in named:
                assert (REPOSITORY / name).is_file(), words
            if named and named[0].startswith("benchmarks/"):
                text = (REPOSITORY / named[0]).read_text()
                assert all(f'"{word}"' in text for word in words if word.startswith("--")), words


def test_blocks_are_of_a_kind_that_is_checked() -> None:
    kinds = {(name, block.words[:1]) for name, one in PAGES.items() for block in one.blocks}
    assert {kind for _, kind in kinds} <= {("sh",), ("text",), ("yaml",), ("python",)}, kinds


# --- recipes


@pytest.mark.parametrize("block", yaml_blocks())
def test_yaml_is_a_recipe_or_the_part_of_one_that_it_says(block: Block, folder: Path) -> None:
    """After `yaml` come the recipe that the block is merged into, and the path of the part, if it is not the root."""
    data, _ = parse(block.text, "block")
    if len(block.words) > 1:
        recipe, *path = block.words[1:]
        for key in reversed(path[0].split(".") if path else []):
            data = {key: data}
        data = merged(parse((folder / recipe).read_text(), recipe)[0], data)
    Path("merged.yaml").write_text(json.dumps(data))
    assert load_recipe("merged.yaml").stages


def merged(data: Any, more: Any) -> Any:
    """A nested mapping with another one merged into it."""
    if not (isinstance(data, dict) and isinstance(more, dict)):
        return more
    return data | {key: merged(data.get(key), value) for key, value in more.items()}


def test_the_recipe_that_the_readme_explains_is_the_one_that_ships() -> None:
    (block,) = [block for block in PAGES["README.md"].blocks if block.words == ("yaml",)]
    shipped = (REPOSITORY / "recipes" / "rft.yaml").read_text()
    assert parse(block.text, "README")[0] == parse(shipped, "recipes/rft.yaml")[0]


# --- Python


def snippets() -> Iterator[tuple[str, str]]:
    for name, one in PAGES.items():
        yield from ((name, block.text) for block in one.blocks if block.words == ("python",))
        yield from ((name, span) for span in one.inline if span.startswith("from "))


def test_python_compiles_and_what_it_imports_and_calls_exists() -> None:
    assert list(snippets())
    for name, text in snippets():
        tree = ast.parse(text, name)
        imported: dict[str, Any] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("orchestrator"):
                for alias in node.names:
                    assert node.module != "orchestrator" or alias.name in orchestrator.__all__, (name, alias.name)
                    imported[alias.name] = getattr(importlib.import_module(node.module), alias.name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported:
                given = {keyword.arg or "": None for keyword in node.keywords}
                inspect.signature(imported[node.func.id]).bind(*node.args, **given)


def test_the_page_on_python_has_every_public_name() -> None:
    assert all(re.search(rf"`{name}\b", PAGES["docs/python.md"].text) for name in orchestrator.__all__)


# --- links and shape


@pytest.mark.parametrize("one", PAGES.values(), ids=PAGES)
def test_links_lead_to_a_file_and_to_a_heading_in_it(one: Page) -> None:
    for link in one.links:
        file, _, anchor = link.partition("#")
        target = (one.path.parent / file).resolve() if file else one.path
        assert target.exists() and target.is_relative_to(REPOSITORY), link
        assert not anchor or anchor in page(target).anchors, link


def test_every_page_is_in_the_index_and_in_the_readme() -> None:
    index = {link.partition("#")[0] for link in PAGES["docs/README.md"].links}
    assert {path.name for path in DOCS} - {"README.md"} <= index
    readme = {link.partition("#")[0] for link in PAGES["README.md"].links}
    assert {f"docs/{path.name}" for path in DOCS} - {"docs/README.md"} <= readme


def test_pages_that_recipes_and_code_refer_to_exist() -> None:
    files = [path for folder in ("recipes", "orchestrator", "benchmarks") for path in (REPOSITORY / folder).rglob("*")]
    for path in (*files, REPOSITORY / "Makefile"):
        if path.suffix in (".py", ".yaml", ".j2", ""):
            text = path.read_text() if path.is_file() else ""
            missing = [name for name in re.findall(r"\bdocs/[\w-]+\.md", text) if not (REPOSITORY / name).is_file()]
            assert not missing, path


def test_the_readme_is_a_door() -> None:
    assert len(PAGES["README.md"].text.splitlines()) <= MOST_LINES


def test_the_readme_shows_every_package_in_the_order_of_imports() -> None:
    tree = PAGES["README.md"].text.partition("## Where things are")[2]
    packages = [name for name in ORDER if (REPOSITORY / "orchestrator" / name).is_dir()]
    assert re.findall(r"^  (\w+)/ ", tree, re.MULTILINE) == packages
    assert all(f"\n{name}/ " in tree for name in ("orchestrator", "recipes", "tests", "benchmarks", "docs", "mlruns"))


@pytest.mark.parametrize("one", PAGES.values(), ids=PAGES)
def test_the_english_is_idiomatic(one: Page) -> None:
    assert not FOREIGN_WORDS.findall(re.sub(r"`[^`]+`", "", one.prose))


def test_the_commit_hooks_run_what_make_check_runs() -> None:
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    check = (REPOSITORY / "Makefile").read_text().partition("\ncheck: install\n")[2].partition("\n\n")[0]
    assert [hook["entry"] for hook in hooks] == [line.strip().removeprefix("$(BIN)/") for line in check.splitlines()]
