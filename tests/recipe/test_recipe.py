"""Recipes: what is accepted, what is refused, and with which message."""

import os
import py_compile
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.errors import DataError, RecipeError
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import RESERVED, Recipe, load_recipe
from orchestrator.stages.evaluate import Evaluate
from orchestrator.stages.grpo import Grpo
from orchestrator.stages.sample import Sample
from orchestrator.stages.select import Select
from orchestrator.stages.sft import Sft
from tests.conftest import REPOSITORY, SMALL

GOOD = """\
name: test
task:
  type: units
  demonstrations: {generate: 4}
  train: {generate: 5}
  test: {generate: 6}
model: {name: tiny}
stages:
  sft: {type: sft}
  samples: {type: sample, model: sft}
  chosen: {type: select, from: samples}
  rft: {type: sft, data: [demonstrations, chosen]}
  grpo: {type: grpo, model: rft}
"""


def write(text: str, name: str = "r.yaml") -> Path:
    Path(name).write_text(text)
    return Path(name)


def good(*overrides: str, text: str = GOOD) -> Recipe:
    return load_recipe(write(text), overrides)


def problems(*overrides: str, text: str = GOOD) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(text), overrides)
    assert all("\n" not in problem for problem in caught.value.problems)
    return list(caught.value.problems)


def stages(block: str) -> list[str]:
    """The problems of a recipe with these stages."""
    return problems(text=GOOD[: GOOD.index("stages:")] + "stages:\n" + block)


# --- what is accepted


@pytest.mark.parametrize("path", sorted((REPOSITORY / "recipes").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_recipe_loads(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.stages and recipe.models()


def test_recipes_are_shipped() -> None:
    assert (REPOSITORY / "recipes" / "rft.yaml").is_file()


def test_a_recipe_as_it_is_written() -> None:
    recipe = good()
    assert (recipe.name, recipe.seed, recipe.storage, recipe.source) == ("test", 0, None, "r.yaml")
    assert recipe.models() == ["base", "sft", "rft", "grpo"]
    kinds = [Sft, Sample, Select, Sft, Grpo]
    assert [type(spec) for spec in recipe.stages.values()] == kinds
    assert isinstance(recipe.stages["rft"], Sft) and recipe.stages["rft"].data == ("demonstrations", "chosen")
    assert recipe.evaluate == Evaluate()


def test_one_name_does_for_a_list_of_names() -> None:
    recipe = good("stages.rft.data=chosen", "evaluate.models=rft")
    assert isinstance(recipe.stages["rft"], Sft) and recipe.stages["rft"].data == ("chosen",)
    assert recipe.models() == ["rft"]


def test_a_model_named_twice_is_evaluated_once() -> None:
    assert good("evaluate.models=[rft, base, rft]").models() == ["rft", "base"]


def test_a_byte_order_mark_is_tolerated() -> None:
    Path("r.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_recipe("r.yaml").name == "test"


def test_a_task_may_be_named_alone() -> None:
    [problem] = problems("task=units")
    assert problem == "override task.test: is missing"


@pytest.mark.parametrize("changes", [[], ["evaluate.models=[base, rft]", "stages.grpo.lr_scheduler_type=cosine"]])
def test_a_resolved_recipe_loads_as_the_same_recipe(changes: list[str]) -> None:
    recipe = good("stages.sft.lora={r: 4, target_modules: [q_proj]}", "task.judge={tolerance: 0.1}", *changes)
    again = load_recipe(write(yaml.safe_dump(recipe.resolved(), sort_keys=False), "resolved.yaml"))
    assert again.resolved() == recipe.resolved()
    first, second = compile_plan(recipe), compile_plan(again)
    assert [(s.name, s.key) for s in first.stages] == [(s.name, s.key) for s in second.stages]
    assert recipe.resolved()["stages"]["rft"]["learning_rate"] == 2e-4, "defaults are written out"


# --- files that are not recipes


def test_files_that_are_no_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(path: str) -> str:
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        [problem] = caught.value.problems
        assert problem.startswith(f"{path}: ")
        return problem

    Path("folder").mkdir()
    Path("binary.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    Path("nul.yaml").write_bytes(b"name: \x00")
    for name, text in {"empty": "", "list": "- a\n- b\n", "text": "just text\n"}.items():
        Path(f"{name}.yaml").write_text(text)
    assert "no such recipe; `orch init --list` shows recipes to start from" in said("missing.yaml")
    assert "no such recipe; did you mean 'list.yaml'?" in said("lists.yml")
    assert "is a folder" in said("folder")
    assert "is not a text file" in said("binary.yaml")
    assert "not valid YAML" in said("nul.yaml")
    assert "cannot be read: Not a directory" in said("list.yaml/x")
    for name in ("empty", "list", "text"):
        assert "must be a block of keys (name, task, model, stages, evaluate)" in said(f"{name}.yaml")

    def refuse(*_: Any, **__: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read: Permission denied" in said("list.yaml")


# --- keys and values


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: test", "nam: test", "r.yaml:1: nam: unknown key 'nam'; did you mean 'name'? (choices: name, seed"),
        ("model: {name", "modle: {name", "r.yaml:7: modle: unknown key 'modle'; did you mean 'model'?"),
        ("{name: tiny}", "{nme: tiny}", "r.yaml:7: model.nme: unknown key 'nme'; did you mean 'name'?"),
        ("sft: {type: sft}", "sft: {type: sft, lerning_rate: 1}", "r.yaml:9: stages.sft.lerning_rate: unknown key"),
        ("from: samples", "form: samples", "r.yaml:11: stages.chosen.form: unknown key 'form'; did you mean 'from'?"),
        ("type: units", "type: unit", "r.yaml:3: task.type: unknown task 'unit'; did you mean 'units'?"),
        ("{generate: 6}", "{genrate: 6}", "r.yaml:6: task.test.genrate: unknown key 'genrate'; did you mean 'gen"),
        ("{generate: 6}", "{generate: 6, file: a}", "r.yaml:6: task.test: give exactly one of generate, file, hub and"),
        ("{generate: 6}", "{}", "r.yaml:6: task.test: give exactly one of generate, file, hub and hold_out, not none"),
        ("{generate: 6}", "{hold_out: 6, rows: '1:'}", "r.yaml:6: task.test: rows and columns apply only to a file"),
        ("{generate: 6}", "{file: a, config: b}", "r.yaml:6: task.test: config: only a Hub data set has this"),
        ("{generate: 6}", "a.json", "r.yaml:6: task.test: must be a block of keys, not 'a.json'"),
        ("name: tiny", "name: ''", "r.yaml:7: model.name: string should have at least 1 character"),
        ("model: {name: tiny}", "model: tiny", "r.yaml:7: model: must be a block of keys, not 'tiny'"),
    ],
)
def test_problems_have_a_line_a_path_and_a_way_out(old: str, new: str, problem: str) -> None:
    assert old in GOOD
    found = problems(text=GOOD.replace(old, new))
    assert any(line.startswith(problem) for line in found), found


def test_the_unknown_key_is_named_once_with_its_choices() -> None:
    text = GOOD.replace("{type: grpo, model: rft}", "{type: grpo, model: rft, num_generation: 4}")
    [problem] = problems(text=text)
    assert problem.startswith(
        "r.yaml:13: stages.grpo.num_generation: unknown key 'num_generation'; did you mean 'num_ge"
    )
    assert "beta" in problem and "max_length" not in problem, "the keys of this verb, not of another"


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("seed=x", "seed: input should be a valid integer"),
        ("seed=-1", "seed: input should be greater than or equal to 0, got -1"),
        ("seed=4294967296", "seed: input should be less than"),
        ("name=", "name: input should be a valid string, got None"),
        ("stages.samples.n=0", "stages.samples.n: input should be greater than 0, got 0"),
        ("stages.samples.n=2.5", "stages.samples.n: input should be a valid integer"),
        ("stages.samples.n=[8]", "stages.samples.n: input should be a valid integer"),
        ("stages.samples.temperature=0", "stages.samples.temperature: input should be greater than 0"),
        ("stages.samples.top_p=1.1", "stages.samples.top_p: input should be less than or equal to 1"),
        ("stages.samples.top_p=.nan", "stages.samples.top_p: "),
        ("stages.samples.engine=vlm", "stages.samples.engine: unknown engine 'vlm'; did you mean 'vllm'?"),
        ("stages.samples.prompts=test", "stages.samples.prompts: unknown value 'test'"),
        ("stages.sft.learning_rate=.inf", "stages.sft.learning_rate: input should be a finite number"),
        ("stages.sft.learning_rate=abc", "stages.sft.learning_rate: input should be a valid number"),
        ("stages.sft.data=[]", "stages.sft.data: "),
        ("stages.sft.data=5", "stages.sft.data: "),
        ("stages.sft.lora=5", "stages.sft.lora: must be a block of keys, not 5"),
        ("stages.sft.lora.rr=5", "stages.sft.lora.rr: unknown key 'rr'; did you mean 'r'?"),
        ("stages.sft.lora.target_modules=5", "stages.sft.lora.target_modules: "),
        ("stages.grpo.num_generations=1", "stages.grpo.num_generations: input should be greater than or equal to 2"),
        ("stages.sft={type: sft, max_steps: 1, num_train_epochs: 1}", "stages.sft: max_steps and num_train_epochs"),
        ("stages.sft.resources.cpus=0", "stages.sft.resources.cpus: input should be greater than 0"),
        ("stages.sft.resources.gpu=1", "stages.sft.resources.gpu: unknown key 'gpu'; did you mean 'gpus'?"),
        ("task.judge={tolerence: 1}", "task.judge.tolerence: unknown key 'tolerence'; did you mean 'tolerance'?"),
        ("task.judge={type: exact, casfold: true}", "task.judge.casfold: unknown key 'casfold'; did you mean 'casefo"),
        ("task.judge={tolerance: -1}", "task.judge.tolerance: input should be greater than or equal to 0"),
        ("task.judge.type=exat", "task.judge.type: unknown type 'exat'; did you mean 'exact'?"),
        ("task.judge=exact", "task.judge: must be a block of keys, not 'exact'"),
        ("task.questions.decimals=2", "task.questions.decimals: input should be less than or equal to 1"),
        ("evaluate.on=tset", "evaluate.on: unknown split 'tset'; did you mean 'test'?"),
        ("evaluate.also=longer", "evaluate.also.0: unknown split 'longer' (choices: demonstrations, train, test, "),
        ("evaluate.also=[train, test]", "evaluate.also.1: 'test' is already evaluated on; leave it out"),
        ("evaluate.also=[train, train]", "evaluate.also.1: 'train' is already evaluated on"),
        ("task.further={eval: {generate: 3}}", "task.further: 'eval' is a reserved name; choose another"),
        ("task.further={test: {generate: 3}}", "task.further: 'test' is a reserved name"),
        ("task.further={A b: {generate: 3}}", "task.further.A b"),
        ("task.further={more: {file: a.json, hold_out: 3}}", "task.further.more: give exactly one of"),
        ("evaluate.modles=[rft]", "evaluate.modles: unknown key 'modles'; did you mean 'models'?"),
        ("evaluate.models=[]", "evaluate.models: "),
        ("evaluate.models=[rtf]", "evaluate.models.0: unknown model 'rtf'; did you mean 'rft'? (choices: base, sft, "),
        ("evaluate.models=[base, samples]", "evaluate.models.1: unknown model 'samples'"),
        ("evaluate=[]", "evaluate: must be a block of keys, not []"),
        ("source=x", "source: unknown key 'source'"),
    ],
)
def test_wrong_values(override: str, problem: str) -> None:
    [found] = problems(override)
    assert found.startswith(f"override {problem}"), found


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("stages.grpo.lora={r: 4}", "override stages.grpo.lora: training continues on the adapter of 'rft' as it is"),
        (
            "stages.grpo.num_generations=7",
            "r.yaml:13: stages.grpo: per_device_train_batch_size x gradient_accumulation",
        ),
        (
            "stages.grpo={type: grpo, num_generations: 7}",
            "override stages.grpo: per_device_train_batch_size x gradient",
        ),
        ("task.format.prompt=x", "r.yaml:2: task.format: prompt must contain {question} exactly once"),
    ],
)
def test_settings_that_do_not_go_together_are_problems_of_their_block(override: str, problem: str) -> None:
    [found] = problems(override)
    assert found.startswith(problem), found


@pytest.mark.parametrize("key", ["name", "task", "model", "stages"])
def test_what_is_missing_is_named(key: str) -> None:
    data = yaml.safe_load(GOOD)
    del data[key]
    assert problems(text=yaml.safe_dump(data, sort_keys=False)) == [f"r.yaml: {key}: is missing"]
    [problem] = problems(f"{key}=null")
    assert problem.startswith(f"override {key}: ")


def test_all_problems_are_told_at_once() -> None:
    text = GOOD.replace("name: tiny", "nme: tiny").replace("type: sample,", "type: sampel,").replace("type: units", "")
    found = problems("nonsense", "stages.grpo.beta=-1", "evaluate.on=x", text=text)
    expected = ("override 'nonsense'", "r.yaml:2: task.type", "r.yaml:7: model.nme", "r.yaml:7: model.name")
    expected += ("r.yaml:10: stages.samples.type", "override stages.grpo.beta", "override evaluate.on")
    for start in expected:
        assert sum(problem.startswith(start) for problem in found) == 1, (start, found)
    assert len(found) == len(expected)


# --- stages and what they refer to


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (
            "  a: {type: sftt}",
            "r.yaml:9: stages.a.type: unknown stage type 'sftt'; did you mean 'sft'? (choices: sft, ",
        ),
        ("  a: {type: evaluate}", "r.yaml:9: stages.a.type: models are evaluated by the block `evaluate`, which"),
        ("  a: {type: rft}", "r.yaml:9: stages.a.type: RFT is three stages: sample, select (from those completions)"),
        ("  a: {type: sft, lr: 1e-3}", "r.yaml:9: stages.a.lr: unknown key 'lr'; did you mean 'learning_rate'?"),
        ("  a: {type: sft, epochs: 2}", "r.yaml:9: stages.a.epochs: unknown key 'epochs'; did you mean 'num_train_ep"),
        ("  a: {type: sft, batch_size: 2}", "r.yaml:9: stages.a.batch_size: unknown key 'batch_size'; did you mean 'p"),
        ("  a: {type: sample, model: base, max_new_tokens: 9}", "r.yaml:9: stages.a.max_new_tokens: unknown key 'max_"),
        ("  a: {type: sample, model: base, num_samples: 9}", "r.yaml:9: stages.a.num_samples: unknown key 'num_sample"),
        ("  a: {model: base}", "r.yaml:9: stages.a.type: is missing (choices: sft, sample, select, grpo)"),
        ("  a: {type: 5}", "r.yaml:9: stages.a.type: is missing"),
        ("  a: sft", "r.yaml:9: stages.a: must be a block of keys with a type"),
        ("  a:", "r.yaml:9: stages.a: must be a block of keys with a type"),
        ("  A: {type: sft}", "r.yaml:9: stages.A: a stage's name is lower-case letters"),
        ("  a.b: {type: sft}", "r.yaml:9: stages.a.b: a stage's name is lower-case letters"),
        ("  1: {type: sft}", "r.yaml:9: stages.1: a stage's name is lower-case letters"),
        (f"  {'a' * 41}: {{type: sft}}", f"r.yaml:9: stages.{'a' * 41}: a stage's name is lower-case letters"),
        ("  '[red]': {type: sft}", "r.yaml:9: stages.[red]: a stage's name is lower-case letters"),
        ("  a: {type: grpo, model: b}", "r.yaml:9: stages.a.model: unknown stage 'b' (choices: base)"),
        ("  a: {type: sample}", "r.yaml:9: stages.a.model: is missing"),
        ("  a: {type: select}", "r.yaml:9: stages.a.from: is missing"),
        ("  a: {type: sft, data: b}", "r.yaml:9: stages.a.data: unknown stage 'b' (choices: demonstrations)"),
        (
            "  a: {type: sft}\n  b: {type: grpo, model: aa}",
            "r.yaml:10: stages.b.model: unknown stage 'aa'; did you mean",
        ),
        (
            "  a: {type: sft}\n  b: {type: sft, data: a}",
            "r.yaml:10: stages.b.data: 'a' is an sft stage, which makes a model; name a stage that makes rows",
        ),
        ("  a: {type: sample, model: base}\n  b: {type: sft, model: a}", "r.yaml:10: stages.b.model: 'a' is a sample"),
        (
            "  a: {type: sft}\n  b: {type: select, from: a}",
            "r.yaml:10: stages.b.from: 'a' is an sft stage, which makes a model; name a stage that makes completions",
        ),
        ("  b: {type: grpo, model: a}\n  a: {type: sft}", "r.yaml:9: stages.b.model: stage 'a' comes later in the re"),
        ("  a: {type: sft, model: a}", "r.yaml:9: stages.a.model: 'a' depends on itself"),
        ("  a: {type: sft, model: b}\n  b: {type: sft, model: a}", "r.yaml:9: stages.a.model: 'b' and 'a' depend"),
    ],
)
def test_stages_that_cannot_be(block: str, problem: str) -> None:
    [found] = stages(block + "\n")
    assert found.startswith(problem), found


@pytest.mark.parametrize(
    ("verb", "name", "meant"),
    [
        ("type: sample, model: base", "max_new_tokens", "max_tokens"),
        ("type: grpo, model: base", "max_new_tokens", "max_completion_length"),
        ("type: sample, model: base", "num_samples", "n"),
        ("type: grpo, model: base", "num_samples", "num_generations"),
        ("type: grpo, model: base", "kl_coef", "beta"),
        ("type: sft", "lora_r", "lora"),
        ("type: sft", "optimizer", "optim"),
    ],
)
def test_names_from_other_tools_are_understood(verb: str, name: str, meant: str) -> None:
    [found] = stages(f"  a: {{{verb}, {name}: 9}}\n")
    assert f"unknown key '{name}'; did you mean '{meant}'?" in found


def test_where_runs_are_logged_is_said() -> None:
    [found] = problems(text=GOOD + "wandb: {project: x}\n")
    assert "wandb: is not a recipe block: every run is logged to MLflow" in found


def test_a_long_circle_is_found() -> None:
    block = "  a: {type: sft, model: c}\n  b: {type: sft, model: a}\n  c: {type: sft, model: b}\n"
    [problem] = stages(block)
    assert problem.startswith("r.yaml:9: stages.a.model: 'c' and 'a' depend")


def test_a_stage_that_uses_a_broken_one_is_not_called_wrong_too() -> None:
    [problem] = stages(
        "  a: {type: sft, learning_rate: x}\n  b: {type: sample, model: a}\n  c: {type: select, from: b}\n"
    )
    assert problem.startswith("r.yaml:9: stages.a.learning_rate")


@pytest.mark.parametrize("name", RESERVED)
def test_names_that_mean_something_else(name: str) -> None:
    [problem] = stages(f"  {name}: {{type: sft}}\n")
    assert problem.startswith(f"r.yaml:9: stages.{name}: {name!r} is a reserved name")


@pytest.mark.parametrize("value", ["{}", "[]", "text", "5"])
def test_stages_must_be_a_block(value: str) -> None:
    assert problems(f"stages={value}") == ["override stages: must be a block of stages, each with a name and a type"]


# --- overrides


def test_overrides_change_and_add() -> None:
    recipe = good(
        "stages.rft.learning_rate=1e-4",
        "stages.sft.lora.r=4",
        "task.judge.tolerance=0.5",
        "task.test={file: my.json, rows: '10:50'}",
        " stages.extra={type: sft, model: rft}",
        "evaluate.models=[base, extra]",
        "name=a=b",
        "storage=here",
    )
    assert isinstance(recipe.stages["rft"], Sft) and recipe.stages["rft"].learning_rate == 1e-4
    assert isinstance(recipe.stages["sft"], Sft) and recipe.stages["sft"].lora is not None
    assert recipe.stages["sft"].lora.r == 4
    assert recipe.task.judge.fingerprint()["tolerance"] == 0.5
    assert (recipe.task.test.file, recipe.task.test.rows) == (Path("my.json"), "10:50")
    assert list(recipe.stages)[-1] == "extra" and recipe.models() == ["base", "extra"]
    assert (recipe.name, recipe.storage) == ("a=b", Path("here"))


def test_the_last_override_wins() -> None:
    assert good("seed=1", "seed=2").seed == 2


@pytest.mark.parametrize("item", ["seed", "=1", "stages..n=1", ".seed=1", "seed.=1", ""])
def test_overrides_that_are_none(item: str) -> None:
    assert problems(item) == [f"override {item!r}: must read key=value, such as stages.rft.learning_rate=1e-4"]


def test_other_overrides_that_cannot_be() -> None:
    assert problems("name.x=1") == ["override 'name.x': 'name' is a single value and has no 'x' inside"]
    assert problems("seed=[1")[0].startswith("override 'seed=[1'")
    assert "not valid YAML" in problems("seed=[1")[0]
    assert len(problems("a", "b", "seed=x")) == 3


# --- a user's own tasks

MINE = """\
from orchestrator import Task
from orchestrator.answers.judges import Judge, NumericJudge
from orchestrator.types import Example

class MyTask(Task):
    judge: Judge = NumericJudge()
    step: int = 2

    def generate(self, split, n):
        return [Example(f"{split}-{i}", f"{split} {i}?", float(i * self.step)) for i in range(n)]
"""


def test_a_task_of_ones_own() -> None:
    Path("my_task.py").write_text(MINE)
    recipe = good("task={type: 'my_task.py:MyTask', step: 3, test: {generate: 3}}")
    assert [e.answer for e in recipe.task.examples("test")] == ["0", "3", "6"]
    assert recipe.resolved()["task"]["type"] == "my_task.py:MyTask"
    [problem] = problems("task={type: 'my_task.py:MyTask', stepp: 3, test: {generate: 3}}")
    assert problem.startswith("override task.stepp: unknown key 'stepp'; did you mean 'step'?")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("nowhere.py:MyTask", MINE, "nowhere.py: no such file"),
        ("my_task.py:YourTask", MINE, "my_task.py: has no class 'YourTask' that is a subclass of orchestrator.Task"),
        ("my_task.py:Example", MINE, "my_task.py: has no class 'Example' that is a subclass"),
        ("my_task.py:", MINE, "my_task.py: has no class ''"),
        (
            "my_task.py:MyTask",
            "import nowhere_at_all\n",
            "my_task.py:1: cannot be imported: ModuleNotFoundError: No modu",
        ),
        ("my_task.py:MyTask", "class MyTask(\n", "my_task.py:1: cannot be imported: SyntaxError"),
        ("my_task.py:MyTask", "\n1 / 0\n", "my_task.py:2: cannot be imported: ZeroDivisionError"),
        ("my_task.py:MyTask", "x = 1\0\n", "my_task.py: cannot be imported: "),
        ("my_task.py:MyTask", "(" * 100_000, "my_task.py"),
        ("my_task.py:MyTask", "import json\n\njson.loads('')\n", "my_task.py:3: cannot be imported: JSONDecodeError"),
        ("my_task.py:MyTask", "import sys\nsys.exit(0)\n", "my_task.py:2: cannot be imported: SystemExit: 0; it ends"),
        (
            "my_task.py:MyTask",
            "raise SystemExit\n",
            "my_task.py:1: cannot be imported: SystemExit; it ends the program",
        ),
        ("my_task.py:MyTask", "raise KeyboardInterrupt\n", "my_task.py:1: cannot be imported: KeyboardInterrupt"),
        ("my_task.py:MyTask", "raise GeneratorExit\n", "my_task.py:1: cannot be imported: GeneratorExit"),
        (
            "my_task.py:MyTask",
            "class E(Exception):\n    def __str__(self): raise self\nraise E",
            "my_task.py:3: cannot be imported: E: (its message cannot be read)",
        ),
        (
            "my_task.py:MyTask",
            MINE.replace(
                "step: int = 2", "step: int = 2\n    def model_post_init(self, _):\n        raise SystemExit(0)"
            ),
            "my_task.py:9: cannot read its settings: SystemExit: 0",
        ),
        (f"{'x' * 5_000}.py:MyTask", MINE, "xxx"),
    ],
)
def test_a_task_of_ones_own_that_cannot_be(name: str, text: str, problem: str) -> None:
    Path("my_task.py").write_text(text)
    [found] = problems(f"task={{type: '{name}', test: {{generate: 3}}}}")
    assert found.startswith(f"override task.type: {problem}"), found


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("raise SystemExit(0)", "my_task.py:10: task.test cannot be loaded: SystemExit: 0; it ends the program"),
        ("return {}['q']", "my_task.py:10: task.test cannot be loaded: KeyError: 'q'"),
    ],
)
def test_questions_of_ones_own_that_cannot_be_made(body: str, problem: str) -> None:
    Path("my_task.py").write_text(MINE[: MINE.index("return [")] + body + "\n")
    task = good("task={type: 'my_task.py:MyTask', test: {generate: 3}}").task
    with pytest.raises(DataError) as caught:
        task.examples("test")
    assert str(caught.value).startswith(problem)


@pytest.fixture
def heeding_ctrl_c() -> Iterator[None]:
    """Test processes that run in parallel ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_ctrl_c")
def test_ctrl_c_while_a_task_file_is_read_ends_the_command() -> None:
    Path("my_task.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n")
    with pytest.raises(KeyboardInterrupt):
        good("task={type: 'my_task.py:MyTask', test: {generate: 3}}")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_a_task_file_prints_is_no_part_of_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    Path("my_task.py").write_text("import os\nprint('by Python')\nos.system('echo by another')\n" + MINE)
    print("before")
    good("task={type: 'my_task.py:MyTask', test: {generate: 3}}")
    print("after")
    out, err = capfd.readouterr()
    assert out == "before\nafter\n" and sorted(err.split("\n")) == ["", "by Python", "by another"]


def test_a_task_file_is_run_as_it_stands_not_as_it_was_compiled_before() -> None:
    """A compiled copy counts as current if the file's size and time are those it was compiled from."""
    Path("my_task.py").write_text(MINE)
    py_compile.compile("my_task.py")
    status = Path("my_task.py").stat()
    Path("my_task.py").write_text(MINE.replace("step: int = 2", "step: int = 5"))
    os.utime("my_task.py", (status.st_atime, status.st_mtime))
    task = good("task={type: 'my_task.py:MyTask', test: {generate: 3}}").task
    assert [e.answer for e in task.examples("test")] == ["0", "5", "10"]


def test_an_override_of_a_shared_block_changes_its_own_stage_alone() -> None:
    text = Path("r.yaml")
    text.write_text(
        "name: x\ntask: {type: units, demonstrations: {generate: 4}, test: {generate: 4}}\n"
        "model: {name: tiny}\nstages:\n"
        "  one: {type: sft, lora: &lora {r: 8}}\n  two: {type: sft, lora: *lora}\n"
    )
    stages = load_recipe(text, ["stages.one.lora.r=4"]).stages
    assert (stages["one"].lora.r, stages["two"].lora.r) == (4, 8)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("block", "value"),
    [
        ("name: test", "name: {}"),
        ("type: units", "type: {}"),
        ("name: tiny", "name: {}"),
        ("type: sft}", "type: {}}}"),
        ("type: sft}", "type: sft, learning_rate: {}}}"),
        ("type: sft}", "type: sft, ? {} : 1}}"),
        ("model: rft", "model: {}"),
        ("stages:\n", "seeds: {}\nstages:\n"),
        ("stages:\n", "limits: {{ignore: {}}}\nstages:\n"),
        ("stages:\n", "? {}\n: 1\nstages:\n"),
        ("  sft: ", "  ? {}\n  : {{type: sft}}\n  sft: "),
    ],
)
def test_a_value_of_a_megabyte_is_told_in_a_line(block: str, value: str) -> None:
    for problem in problems(text=GOOD.replace(block, value.format("x" * 1_000_000), 1)):
        assert len(problem) < 1_000


def test_a_recipe_of_many_wrong_values_names_the_first() -> None:
    wrong = problems("evaluate.also=[" + "nope," * 20_000 + "]")
    assert len(wrong) == 51 and wrong[-1] == "r.yaml: ... and 19,950 more problems"
    assert problems("seeds=[" + ",".join(map(str, range(40_000))) + ",7]") == ["override seeds: seed 7 is listed twice"]
    many = "  s0: {type: sft}\n" + "".join(f"  s{i}: {{type: grpo, model: s{i - 1}}}\n" for i in range(1, 2_000))
    assert stages(many) == ["r.yaml:8: stages: has 2,000 stages; a recipe has at most 1,000"]


def test_an_override_is_bounded_as_a_recipe_is() -> None:
    [problem] = problems(".".join("a" * 10_000) + "=1")
    assert problem.endswith("': names 10,000 nested blocks; a recipe has at most 50 levels") and len(problem) < 400
    lists = "[&a [x, x, x, x, x, x, x, x]"
    lists += "".join(f", &a{i} [{','.join(['*a' + (str(i - 1) if i > 1 else '')] * 8)}]" for i in range(1, 9)) + "]"
    [problem] = problems(f"stages.sft.data={lists}")
    assert ":1: has more than 100,000 keys and values with its aliases expanded" in problem and len(problem) < 500


# --- variants


def test_a_variant_is_the_recipe_written_so_and_shares_its_task_where_no_setting_of_it_changes() -> None:
    recipe = load_recipe(SMALL, ["stages.sft.max_steps=7"])
    variant = recipe.varied({"stages.rft.learning_rate": 1e-4, "seed": 3})
    written = load_recipe(SMALL, ["stages.sft.max_steps=7", "stages.rft.learning_rate=1e-4", "seed=3"])
    assert variant.resolved() == written.resolved() and variant.task is recipe.task
    assert recipe.resolved() == load_recipe(SMALL, ["stages.sft.max_steps=7"]).resolved(), "the recipe is unchanged"
    assert recipe.varied({"task.seed": 5}).task.seed == 5 != recipe.task.seed
    assert (
        variant.varied({"seed": 4}).resolved()
        == recipe.varied({"stages.rft.learning_rate": 1e-4, "seed": 4}).resolved()
    )


def test_a_variant_that_cannot_be_is_refused_with_all_its_problems() -> None:
    recipe = load_recipe(SMALL)
    with pytest.raises(RecipeError) as error:
        recipe.varied({"stages.rft.learning_rat": 1, "stages.sft.max_steps": 0, "name.x": 1})
    assert error.value.problems == ("override 'name.x': 'name' is a single value and has no 'x' inside",)
    with pytest.raises(RecipeError) as error:
        recipe.varied({"stages.rft.learning_rat": 1, "stages.sft.max_steps": 0})
    assert [problem.partition(": ")[0] for problem in error.value.problems] == [
        "override stages.sft.max_steps",
        "override stages.rft.learning_rat",
    ]


def test_each_seed_is_a_variant() -> None:
    several = load_recipe(SMALL, ["seeds=[4, 2]"])
    assert several.trials() == ({"seed": 4}, {"seed": 2}) and load_recipe(SMALL).trials() == ({},)
    one = several.varied(several.trials()[1])
    assert one.seed == 2 and one.seeds is None and one.resolved() == load_recipe(SMALL, ["seed=2"]).resolved()


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("s3:/bucket/work", "storage: a URL has two slashes after its colon: write s3://bucket/work"),
        ("file://relative/work", "is not absolute: write file:///relative/work, or name a folder"),
        ("file://", "names no location"),
        ("s3://", "names no location"),
        ("5", "must be a folder, or a URL such as s3://bucket/work"),
    ],
)
def test_a_storage_that_is_no_place_is_refused(storage: str, said: str) -> None:
    with pytest.raises(RecipeError) as raised:
        load_recipe(SMALL, [f"storage={storage}"])
    [problem] = raised.value.problems
    assert said in problem


@pytest.mark.parametrize("storage", ["s3://bucket/work", "file:///tmp/work", "memory://x", "folder", "/tmp/a:b"])
def test_a_storage_is_a_folder_or_a_url_and_reads_as_it_was_written(storage: str) -> None:
    recipe = load_recipe(SMALL, [f"storage={storage}"])
    assert (recipe.work_url or str(recipe.work_folder)) == storage == str(recipe.resolved()["storage"])
