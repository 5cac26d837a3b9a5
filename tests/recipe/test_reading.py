"""Recipes made of several files, environment variables, and paths relative to their own folder."""

import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.commands.plan import plan
from orchestrator.errors import RecipeError
from orchestrator.recipe.recipe import Recipe, load_recipe
from orchestrator.recipe.yaml_source import parse, write_data
from orchestrator.store.memory import MemoryStore
from orchestrator.store.opening import using

BASE = """\
name: base
task:
  type: units
  demonstrations: {generate: 4}
  train: {generate: 5}
  test: {generate: 6}
model: {name: tiny}
stages:
  sft: {type: sft, learning_rate: 1e-3, lora: {r: 4, lora_alpha: 8}}
  samples: {type: sample, model: sft, n: 2}
  chosen: {type: select, from: samples}
  rft: {type: sft, data: [demonstrations, chosen]}
"""
ROWS = "question,answer\n" + "".join(f"{n} + {n}?,{2 * n}\n" for n in range(20))


def write(text: str, name: str = "r.yaml") -> Path:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
    return Path(name)


def problems(name: str = "r.yaml", *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, overrides)
    return list(caught.value.problems)


def keys(recipe: Recipe) -> dict[str, str]:
    with using(MemoryStore(Path("store"))):
        return {stage.name: stage.key for stage in plan(recipe).stages}


# --- extends


def test_a_recipe_extends_another_and_has_the_keys_of_one_written_in_one_file() -> None:
    write(BASE, "base.yaml")
    made = load_recipe(write("extends: base.yaml\nname: mine\nstages:\n  sft: {lora: {r: 8}}\n  more: {type: sft}\n"))
    whole = BASE.replace("name: base", "name: mine").replace("r: 4", "r: 8") + "  more: {type: sft}\n"
    assert made.resolved() == load_recipe(write(whole, "whole.yaml")).resolved()
    assert keys(made) == keys(load_recipe("whole.yaml"))
    assert made.source == "r.yaml"


def test_blocks_are_merged_lists_replaced_and_null_takes_out() -> None:
    write(BASE, "base.yaml")
    write("extends: base.yaml\nstages:\n  rft: {data: [chosen]}\n  sft: {learning_rate: null}\n")
    made = load_recipe("r.yaml")
    assert made.stages["rft"].model_dump()["data"] == ("chosen",)
    assert made.stages["sft"].model_dump()["learning_rate"] != 1e-3
    assert made.stages["sft"].model_dump()["lora"]["r"] == 4


def test_of_several_files_a_later_one_has_the_last_word() -> None:
    write(BASE, "base.yaml")
    write("name: first\nseed: 1\n", "one.yaml")
    write("seed: 2\n", "two.yaml")
    write("extends: [base.yaml, one.yaml, two.yaml]\n")
    made = load_recipe("r.yaml", ["model.dtype=float32"])
    assert (made.name, made.seed, made.model.dtype) == ("first", 2, "float32")


def test_a_base_may_extend_another_and_names_count_from_the_file_that_has_them() -> None:
    write(BASE, "shared/far/base.yaml")
    write("extends: far/base.yaml\nseed: 3\n", "shared/near.yaml")
    assert load_recipe(write("extends: ../shared/near.yaml\nname: mine\n", "mine/r.yaml")).seed == 3


def test_what_is_wrong_is_said_of_the_file_in_which_it_stands() -> None:
    write(BASE.replace("n: 2", "n: 0"), "base.yaml")
    write("extends: base.yaml\nname: mine\nstages:\n  sft: {learning_rat: 1}\n  rft: {model: nowhere}\n")
    samples, sft, rft = sorted(problems())
    assert samples == "base.yaml:10: stages.samples.n: input should be greater than 0, got 0"
    assert sft.startswith("r.yaml:4: stages.sft.learning_rat: unknown key")
    assert rft.startswith("r.yaml:5: stages.rft.model: unknown stage 'nowhere'")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "extends: nowhere.yaml\n",
            "r.yaml:1: extends: nowhere.yaml: there is no such file (its path is relative to .)",
        ),
        ("name: x\nextends: r.yaml\n", "r.yaml:2: extends: r.yaml also extends this file: remove one of the two"),
        ("extends: turn.yaml\n", "turn.yaml:1: extends: ./r.yaml also extends this file: remove one of the two"),
        ("extends: 3\n", "r.yaml:1: extends: must be the name of a file, or a list of them, such as base.yaml"),
        ("extends: [base.yaml, 3]\n", "r.yaml:1: extends: must be the name of a file, or a list of them"),
        ("extends: list.yaml\n", "list.yaml: must be a block of keys"),
        ("extends: .\n", ".: is a folder; name a recipe, a .yaml file"),
    ],
)
def test_a_base_that_cannot_be_had_is_named(text: str, said: str) -> None:
    write(BASE, "base.yaml")
    write("extends: ./r.yaml\n", "turn.yaml")
    write("- a\n", "list.yaml")
    write(text)
    [problem] = problems()
    assert problem.startswith(said)


# --- variables


def test_variables_of_the_environment_stand_in_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_TEST_RATE", "5e-4")
    monkeypatch.delenv("ORCH_TEST_UNSET", raising=False)
    changed = BASE.replace("name: base", "name: of-${ORCH_TEST_UNSET:-nobody}").replace("1e-3", '"${ORCH_TEST_RATE}"')
    made = load_recipe(write(changed))
    assert made.name == "of-nobody" and made.stages["sft"].model_dump()["learning_rate"] == 5e-4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: ${N}", 3),
        ("a: x${N}y", "x3y"),
        ('a: "${N}"', "3"),
        ("a: ${NONE:-4}", 4),
        ("a: ${EMPTY:-4}", 4),
        ("a: ${EMPTY}", None),
        ('a: "${EMPTY}"', ""),
        ("a: ${NONE:-}", None),
        ("a: $${N}", "${N}"),
        ("a: $$x$ and $N", "$$x$ and $N"),
        ("a: [1, '${N}']", [1, "3"]),
        ("a: ${PAIR}", "b: 1"),
        ("a: |\n  ${N} lines\n", "3 lines\n"),
    ],
)
def test_how_a_variable_is_read(text: str, value: Any) -> None:
    environment = {"N": "3", "EMPTY": "", "PAIR": "b: 1"}
    assert parse(text, "r.yaml", environment)[0] == {"a": value}


def test_what_an_alias_brings_again_is_filled_once() -> None:
    text = "a: &x $${N}\nb: *x\nc: &y ${DEEP}\nd: *y\n"
    assert parse(text, "r.yaml", {"N": "3", "DEEP": "${N}"})[0] == {"a": "${N}", "b": "${N}", "c": "${N}", "d": "${N}"}


def test_a_variable_is_no_key_and_brings_no_blocks() -> None:
    assert parse("${N}: 1", "r.yaml", {"N": "3"})[0] == {"${N}": 1}


def test_variables_that_are_not_set_are_all_named_with_their_lines() -> None:
    with pytest.raises(RecipeError) as caught:
        parse("a: ${ONE}\nb:\n  - ${TWO}/x\n", "r.yaml", {})
    assert [problem.partition(": set it")[0] for problem in caught.value.problems] == [
        "r.yaml:1: the environment variable ONE is not set",
        "r.yaml:3: the environment variable TWO is not set",
    ]
    assert "${ONE:-text}" in caught.value.problems[0]


def test_a_stored_recipe_reads_no_variable_and_what_is_written_reads_as_it_was() -> None:
    assert parse("a: ${HOME}", "r.yaml")[0] == {"a": "${HOME}"}
    for text in ("${HOME}", "$${HOME}", "costs ${x}$", "$x", "${1}", "${A:-b} ${C}"):
        written = write_data({"a": text})
        assert parse(written, "r.yaml")[0] == parse(written, "r.yaml", {"HOME": "/x"})[0] == {"a": text}


# --- paths


def test_paths_count_from_the_folder_of_the_file_in_which_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    write(ROWS, "shared/data/train.csv")
    write(ROWS, "mine/test.csv")
    write(ROWS, "here.csv")
    write("task: {train: {file: data/train.csv}}\nstorage: work\n", "shared/base.yaml")
    text = (
        BASE.replace("units", "file").replace("{generate: 4}", "{hold_out: 3}").replace("  train: {generate: 5}\n", "")
    )
    write("extends: ../shared/base.yaml\n" + text.replace("{generate: 6}", "{file: test.csv}"), "mine/r.yaml")
    made = load_recipe("mine/r.yaml")
    assert made.task.train is not None and str(made.task.train.file) == "mine/../shared/data/train.csv"
    assert str(made.task.test.file) == "mine/test.csv" and str(made.storage) == "mine/../shared/work"
    assert len(made.task.examples("train")) == 17
    here = load_recipe("mine/r.yaml", ["task.test.file=here.csv"])
    assert str(here.task.test.file) == "here.csv", "a path on the command line is relative to the working folder"
    monkeypatch.chdir("mine")
    assert str(load_recipe("r.yaml").task.test.file) == "test.csv"


def test_the_home_folder_and_names_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd() / "home"))
    write(ROWS, "home/test.csv")
    Path("mine/models/small").mkdir(parents=True)
    changed = BASE.replace("{generate: 6}", "{file: ~/test.csv}")
    for name, seen in (
        ("tiny", "tiny"),
        ("models/small", "mine/models/small"),
        ("./none", "mine/./none"),
        ("org/model", "org/model"),
        ("~/model", f"{os.environ['HOME']}/model"),
        ("~nobody-here/model", "~nobody-here/model"),
    ):
        made = load_recipe(write(changed.replace("{name: tiny}", f'{{name: "{name}"}}'), "mine/r.yaml"))
        assert made.model.name == seen and str(made.task.test.file) == f"{os.environ['HOME']}/test.csv"
    assert load_recipe("mine/r.yaml", ["model.name=~/model"]).model.name == f"{os.environ['HOME']}/model"


def test_a_path_that_counts_from_elsewhere_is_put_right() -> None:
    write(ROWS, "data/test.csv")
    write(BASE.replace("{generate: 6}", "{file: data/test.csv}"), "recipes/r.yaml")
    assert problems("recipes/r.yaml") == [
        "recipes/r.yaml:6: task.test.file: data/test.csv is not in recipes, and paths in a recipe are relative to its "
        "own folder: write ../data/test.csv"
    ]


def test_a_sweeps_values_are_paths_too() -> None:
    for name in ("a", "b"):
        write(ROWS, f"mine/{name}.csv")
    swept = "sweep: {metric: {name: sft/accuracy, on: validation}, parameters: {task.train.file: [a.csv, b.csv]}}\n"
    text = (
        BASE.replace("units", "file")
        .replace("{generate: 4}", "{hold_out: 3}")
        .replace("{generate: 5}", "{file: a.csv}")
    )
    text = text.replace("{generate: 6}", "{hold_out: 4}\n  validation: {hold_out: 4}")
    made = load_recipe(write(text + swept, "mine/r.yaml"))
    assert made.sweep is not None
    assert made.sweep.parameters["task.train.file"].values == ("mine/a.csv", "mine/b.csv")


def test_a_task_of_ones_own_lies_beside_its_recipe() -> None:
    write(
        "from orchestrator import Task\nfrom orchestrator.answers.judges import NumericJudge\n\n\n"
        "class Mine(Task):\n    judge: NumericJudge = NumericJudge()\n",
        "mine/task.py",
    )
    write(ROWS, "mine/test.csv")
    text = BASE.replace("units", "task.py:Mine").replace("{generate: 6}", "{file: test.csv}")
    made = load_recipe(write(text, "mine/r.yaml"))
    assert made.task.type == "mine/task.py:Mine" and type(made.task).__name__ == "Mine"
