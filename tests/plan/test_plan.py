"""Keys: what affects a stage's output changes its key and those after it; nothing else changes any."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.commands.plan import needs
from orchestrator.errors import DataError, ModelError, RecipeError
from orchestrator.models.base import TINY, resolve_model
from orchestrator.models.settings import ModelSpec
from orchestrator.plan.plan import Plan, compile_plan, digest
from orchestrator.recipe.recipe import load_recipe
from orchestrator.stages import verb_of
from orchestrator.stages.base import Keys

TEXT = """\
name: test
task:
  type: units
  demonstrations: {generate: 4}
  train: {generate: 5}
  test: {generate: 6}
model: {name: tiny}
stages:
  sft: {type: sft, learning_rate: 1e-3}
  samples: {type: sample, model: sft, n: 4}
  chosen: {type: select, from: samples}
  rft: {type: sft, data: [demonstrations, chosen], learning_rate: 1e-3}
  grpo: {type: grpo, model: rft}
"""
STAGES = ["sft", "samples", "chosen", "rft", "grpo"]
AFTER_SFT = ["sft", "samples", "chosen", "rft", "grpo", "evaluate.sft", "evaluate.rft", "evaluate.grpo"]
AFTER_SAMPLES = ["samples", "chosen", "rft", "grpo", "evaluate.rft", "evaluate.grpo"]
AFTER_CHOSEN = AFTER_SAMPLES[1:]
AFTER_RFT = ["rft", "grpo", "evaluate.rft", "evaluate.grpo"]
AFTER_GRPO = ["grpo", "evaluate.grpo"]
EVALUATIONS = ["evaluate.base", "evaluate.sft", "evaluate.rft", "evaluate.grpo"]
ALL = STAGES + EVALUATIONS


def made(*overrides: str, text: str = TEXT) -> Plan:
    Path("r.yaml").write_text(text)
    return compile_plan(load_recipe("r.yaml", overrides))


def keys(*overrides: str, text: str = TEXT) -> dict[str, str]:
    return {stage.name: stage.key for stage in made(*overrides, text=text).stages}


def changed(first: dict[str, str], second: dict[str, str]) -> list[str]:
    assert list(first) == list(second)
    return [name for name in first if first[name] != second[name]]


# --- the graph


def test_stages_in_order_with_what_they_read_and_make() -> None:
    plan = made()
    assert [stage.name for stage in plan.stages] == ALL
    assert [(s.name, s.verb, s.inputs, s.model, s.run_name) for s in plan.stages] == [
        ("sft", "sft", (), "sft", "sft"),
        ("samples", "sample", ("sft",), "sft", "samples"),
        ("chosen", "select", ("samples",), None, "chosen"),
        ("rft", "sft", ("chosen",), "rft", "rft"),
        ("grpo", "grpo", ("rft",), "grpo", "grpo"),
        ("evaluate.base", "evaluate", (), "base", "base"),
        ("evaluate.sft", "evaluate", ("sft",), "sft", "sft"),
        ("evaluate.rft", "evaluate", ("rft",), "rft", "rft"),
        ("evaluate.grpo", "evaluate", ("grpo",), "grpo", "grpo"),
    ]
    assert len({stage.key for stage in plan.stages}) == len(ALL)
    assert all(len(stage.key) == 32 and int(stage.key, 16) for stage in plan.stages)
    assert plan.stage("rft").verb == "sft"


def test_a_plan_knows_what_is_made() -> None:
    plan = made()
    known = plan.with_cached({plan.stage("sft").key: "run-1"})
    assert [s.name for s in known.stages if s.cached] == ["sft"]
    assert known.stage("sft").cached == "run-1" and known.key == plan.key


def test_what_stages_need_in_words() -> None:
    plan = made("stages.sft.resources={cpus: 3, gpus: 0.5}", "stages.rft.resources={workers: 2, gpus: 1}")
    said = {stage.name: needs(stage) for stage in plan.stages}
    assert said["sft"] == "3 CPU, 0.5 GPU" and said["chosen"] == "1 CPU"
    assert said["rft"] == "2 x (1-2 CPU, 1 GPU)"
    assert said["grpo"] == "1-2 CPU, 0-1 GPU" and said["samples"] == "1 CPU, 0-1 GPU"


# --- a loss on the validation split is that of worked solutions


def with_validation(select: str, *demonstrations: str | None) -> Plan:
    """A plan whose SFT is validated on questions from a file, each with the given worked solution."""
    rows = [{"question": f"q{n}", "answer": n} for n in range(len(demonstrations))]
    told = [row | {"demonstration": d} if d else row for row, d in zip(rows, demonstrations, strict=True)]
    Path("qa.json").write_text(json.dumps(told))
    looks = f"stages.sft.validation={{every: 5, questions: 3, select: {select}}}"
    return made("task.validation={file: qa.json}", looks)


@pytest.mark.parametrize("written", [(None, None, None), (None, None, None, "<answer>3</answer>")])
def test_no_loss_to_choose_by_is_refused(written: tuple[str | None, ...]) -> None:
    with pytest.raises(RecipeError) as caught:
        with_validation("best_loss", *written)
    assert caught.value.problems == (
        "r.yaml: stages.sft.validation.select: best_loss uses the loss on worked solutions, but the first 3 "
        "questions of task.validation have none; set it to best_accuracy, or give that split demonstrations",
    )
    assert with_validation("best_accuracy", *written).stage("sft").key


def test_some_worked_solutions_make_a_loss() -> None:
    assert with_validation("best_loss", "<answer>0</answer>", None, None).stage("sft").key


@pytest.mark.parametrize(("missing", "anew"), [((), False), ((3,), False), ((1,), True), ((0, 1, 2), True)])
def test_a_loss_that_was_once_of_bare_answers_is_measured_anew(missing: tuple[int, ...], anew: bool) -> None:
    """The first three questions are used; if all of them have worked solutions, the key is unchanged."""
    plan = with_validation("last", *(None if n in missing else f"<answer>{n}</answer>" for n in range(4)))
    keys = Keys(plan.recipe.task, 0, plan.recipe.evaluate, {"base": "key"}, "base")
    read = plan.stage("sft").spec.key_inputs(keys)["validation"]
    assert read.keys() - {"loss"} == {"questions", "judging", "max_tokens"} and ("loss" in read) is anew


# --- what changes no key


@pytest.mark.parametrize(
    "overrides",
    [
        ["name=other"],
        ["storage=elsewhere"],
        ["stages.sft.logging_steps=1"],
        ["stages.grpo.save_steps=7"],
        ["stages.sft.resources={cpus: 7, gpus: 1}"],
        ["stages.samples.resources.cpus=3"],
        ["evaluate.resources.cpus=3"],
        ["stages.sft.learning_rate=0.001"],
        ["stages.samples.temperature=1"],
        ["stages.sft.data=[demonstrations]"],
        ["stages.sft.warmup_steps=0"],
        ["task.judge={type: numeric}"],
        ["evaluate.models=[grpo, rft, sft, base]"],
    ],
)
def test_what_does_not_decide_the_output_changes_no_key(overrides: list[str]) -> None:
    found, before = keys(*overrides), keys()
    assert {name: found[name] for name in before} == before
    assert made(*overrides).key == made().key


def test_comments_and_the_order_of_keys_change_no_key() -> None:
    data = yaml.safe_load(TEXT)
    turned = {key: data[key] for key in reversed(data)}
    turned["task"] = {key: data["task"][key] for key in reversed(data["task"])}
    turned["stages"] = {name: {k: block[k] for k in reversed(block)} for name, block in data["stages"].items()}
    text = "# a comment\n" + yaml.safe_dump(turned, sort_keys=False) + "# another\n"
    assert keys(text=text) == keys()


def test_another_name_for_a_stage_changes_the_plans_key_alone() -> None:
    text = TEXT.replace("sft: {type", "tuned: {type").replace("model: sft", "model: tuned")
    renamed, before = made(text=text), made()
    assert [stage.key for stage in renamed.stages] == [stage.key for stage in before.stages]
    assert renamed.key != before.key


def test_stages_added_change_no_key_of_the_others() -> None:
    found = keys("stages.more={type: sft, learning_rate: 1}")
    assert {name: found[name] for name in ALL} == keys()
    assert made("stages.more={type: sft, learning_rate: 1}").key != made().key


def test_a_further_split_adds_evaluations_and_changes_no_key_of_the_others() -> None:
    asked = ["task.validation.generate=5", "evaluate.also=validation"]
    plan, before = made(*asked), made()
    assert [s.key for s in plan.stages[: len(ALL)]] == [s.key for s in before.stages]
    more = plan.stages[len(ALL) :]
    assert [s.name for s in more] == [f"evaluate.{m}.validation" for m in ("base", "sft", "rft", "grpo")]
    assert [(s.also, s.spec.on, s.run_name, s.inputs) for s in more[:2]] == [
        ("validation", "validation", "base", ()),
        ("validation", "validation", "sft", ("sft",)),
    ]
    assert len({s.key for s in plan.stages}) == len(plan.stages) and plan.key != before.key
    compared_on_it = made("task.validation.generate=5", "evaluate.on=validation")
    assert {s.key for s in more}.isdisjoint(s.key for s in compared_on_it.stages), "their files have other names"


# --- what changes keys, and which


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("stages.rft.learning_rate=1e-4", AFTER_RFT),
        ("stages.rft.data=chosen", AFTER_RFT),
        ("stages.rft.data=[chosen, demonstrations]", AFTER_RFT),
        ("stages.sft.learning_rate=1e-4", AFTER_SFT),
        ("stages.sft.lr_scheduler_type=cosine", AFTER_SFT),
        ("stages.sft.warmup_steps=0.1", AFTER_SFT),
        ("stages.sft.weight_decay=0.1", AFTER_SFT),
        ("stages.sft.max_grad_norm=0.1", AFTER_SFT),
        ("stages.sft.adam_beta2=0.99", AFTER_SFT),
        ("stages.sft.max_steps=5", AFTER_SFT),
        ("stages.sft.num_train_epochs=5", AFTER_SFT),
        ("stages.sft.per_device_train_batch_size=5", AFTER_SFT),
        ("stages.sft.gradient_accumulation_steps=5", AFTER_SFT),
        ("stages.sft.max_length=5", AFTER_SFT),
        ("stages.sft.lora.r=4", AFTER_SFT),
        ("stages.sft.lora.lora_alpha=4", AFTER_SFT),
        ("stages.sft.lora.target_modules=[q_proj]", AFTER_SFT),
        ("stages.samples.model=base", AFTER_SAMPLES),
        ("stages.samples.prompts=demonstrations", AFTER_SAMPLES),
        ("stages.samples.n=5", AFTER_SAMPLES),
        ("stages.samples.temperature=0.5", AFTER_SAMPLES),
        ("stages.samples.top_p=0.5", AFTER_SAMPLES),
        ("stages.samples.max_tokens=5", AFTER_SAMPLES),
        ("stages.samples.batch_size=5", AFTER_SAMPLES),
        ("stages.samples.engine=vllm", AFTER_SAMPLES),
        ("stages.chosen.distinct=false", AFTER_CHOSEN),
        ("stages.chosen.max_per_example=2", AFTER_CHOSEN),
        ("stages.grpo.model=sft", AFTER_GRPO),
        ("stages.grpo.prompts=demonstrations", AFTER_GRPO),
        ("stages.grpo.num_generations=4", AFTER_GRPO),
        ("stages.grpo.num_iterations=2", AFTER_GRPO),
        ("stages.grpo.max_completion_length=5", AFTER_GRPO),
        ("stages.grpo.temperature=0.5", AFTER_GRPO),
        ("stages.grpo.top_p=0.5", AFTER_GRPO),
        ("stages.grpo.beta=0.1", AFTER_GRPO),
        ("stages.grpo.loss_type=grpo", AFTER_GRPO),
        ("stages.grpo.scale_rewards=none", AFTER_GRPO),
        ("stages.grpo.epsilon=0.1", AFTER_GRPO),
        ("stages.grpo.mask_truncated_completions=true", AFTER_GRPO),
        ("evaluate.max_tokens=5", EVALUATIONS),
        ("evaluate.batch_size=5", EVALUATIONS),
        ("evaluate.engine=vllm", EVALUATIONS),
        ("evaluate.on=train", EVALUATIONS),
        ("seed=1", [name for name in ALL if name != "evaluate.base"]),
        ("task.seed=1", ALL),
        ("task.questions.largest=50", ALL),
        ("task.format.opening=<a>", ALL),
        ("task.format.prompt='Q: {question} '", ALL),
        ("task.judge.tolerance=0.5", [name for name in ALL if name not in ("sft",)]),
        ("task.judge.decimals=2", [name for name in ALL if name not in ("sft",)]),
        ("task.test.generate=7", EVALUATIONS),
        ("task.train.generate=7", AFTER_SAMPLES),
        ("task.demonstrations.generate=7", AFTER_SFT),
    ],
)
def test_a_setting_changes_its_stage_and_what_depends_on_it(override: str, expected: list[str]) -> None:
    assert sorted(changed(keys(), keys(override))) == sorted(expected)


@pytest.mark.parametrize("verb", ["sft", "sample", "select", "grpo", "evaluate"])
def test_a_verbs_version_is_part_of_its_keys(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys()
    monkeypatch.setattr(verb_of(verb), "VERSION", 99)
    first = {
        "sft": AFTER_SFT,
        "sample": AFTER_SAMPLES,
        "select": AFTER_CHOSEN,
        "grpo": AFTER_GRPO,
        "evaluate": EVALUATIONS,
    }
    assert sorted(changed(before, keys())) == sorted(first[verb])


def test_a_tasks_version_is_part_of_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = made()
    monkeypatch.setattr(type(plan.recipe.task), "VERSION", 99)
    assert changed({s.name: s.key for s in plan.stages}, keys()) == ALL


# --- data files


def rows(start: int, stop: int) -> list[dict[str, Any]]:
    return [{"question": f"{n}?", "answer": n, "demonstration": f"<answer>{n}</answer>"} for n in range(start, stop)]


def from_files(**files: list[dict[str, Any]]) -> dict[str, str]:
    """The keys if splits are read from files; the caller names the files, as `split_anything`."""
    blocks = []
    for name, content in files.items():
        Path(f"{name}.json").write_text(json.dumps(content))
        blocks.append(f"task.{name.partition('_')[0]}={{file: {name}.json}}")
    return keys("task.type=file", *blocks)


def test_the_content_of_a_file_counts_and_its_path_does_not() -> None:
    before = from_files(demonstrations=rows(0, 5), train=rows(5, 10), test=rows(10, 15))
    moved = from_files(demonstrations_2=rows(0, 5), train_2=rows(5, 10), test_2=rows(10, 15))
    assert moved == before
    more = {
        "demonstrations": (from_files(demonstrations=rows(-1, 5), train=rows(5, 10), test=rows(10, 15)), AFTER_SFT),
        "train": (from_files(demonstrations=rows(0, 5), train=rows(5, 9), test=rows(10, 15)), AFTER_SAMPLES),
        "test": (from_files(demonstrations=rows(0, 5), train=rows(5, 10), test=rows(10, 16)), EVALUATIONS),
    }
    for found, expected in more.values():
        assert sorted(changed(before, found)) == sorted(expected)


def test_a_gold_answer_counts() -> None:
    before = from_files(demonstrations=rows(0, 5), train=rows(5, 10), test=rows(10, 15))
    other = [*rows(10, 14), {"question": "14?", "answer": 13}]
    found = from_files(demonstrations=rows(0, 5), train=rows(5, 10), test=other)
    assert changed(before, found) == EVALUATIONS


def test_how_much_is_held_out_counts() -> None:
    before, after = (keys(f"task.test={{hold_out: {n}}}") for n in (1, 2))
    assert sorted(changed(before, after)) == sorted([*AFTER_SAMPLES, "evaluate.base", "evaluate.sft"])


def test_bad_data_is_an_error_before_anything_runs() -> None:
    with pytest.raises(DataError, match=r"nowhere\.json: there is no such file"):
        keys("task.test={file: nowhere.json}")
    with pytest.raises(DataError, match=r"task\.train: the recipe uses this split"):
        keys("task.train=null")


# --- the base model


def model_folder(path: str = "model", **more: str) -> Path:
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    files = {"config.json": "{}", "model.safetensors": "weights", "tokenizer.json": "{}", "README.md": "prose"}
    for name, text in (files | {name.replace("__", "."): text for name, text in more.items()}).items():
        (folder / name).write_text(text)
    return folder


def test_the_content_of_a_model_folder_counts_and_its_path_does_not() -> None:
    model_folder("here/model")
    before = keys("model.name=here/model")
    assert changed(keys(), before) == ALL
    model_folder("there")
    assert keys("model.name=there") == before
    model_folder("there", README__md="other prose")
    assert keys("model.name=there") == before
    for name in ("config__json", "model__safetensors", "tokenizer__json", "modeling_own__py", "merges__txt"):
        model_folder("there")
        model_folder("there", **{name: "something else"})
        assert changed(before, keys("model.name=there")) == ALL, name
        for file in Path("there").iterdir():
            file.unlink()


def refusal(name: str, revision: str | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        resolve_model(ModelSpec(name=name, revision=revision))
    [problem] = caught.value.problems
    return problem


def test_models_that_cannot_be() -> None:
    assert "no such folder" in refusal("./nowhere") and "no such folder" in refusal("a b")
    assert "no such folder" in refusal("/nowhere/at/all")
    Path("file").write_text("")
    assert "is a file; name the folder" in refusal("file")
    folder = model_folder()
    assert "only models on the Hub have revisions" in refusal("model", "main")
    for name, problem in {
        "config.json": "has no config.json",
        "model.safetensors": "has no weights",
        "tokenizer.json": "has no tokenizer",
    }.items():
        (folder / name).rename("aside")
        assert problem in refusal("model")
        Path("aside").rename(folder / name)
    (folder / "config.json").rename(folder / "adapter_config.json")
    assert "holds an adapter, not a whole model" in refusal("model")
    assert "cannot be a model" in refusal("~no_such_user_at_all/x")
    assert "cannot be a model" in refusal("x" * 4000)


def test_the_embedded_model_is_a_folder_like_others() -> None:
    assert resolve_model(ModelSpec(name="tiny")).digest == resolve_model(ModelSpec(name=str(TINY))).digest


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The local cache of a Hub that cannot be reached."""
    cache = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    for branch, commit in {"main": "c0ffee", "refs/pr/1": "beef"}.items():
        reference = cache / "models--some--model" / "refs" / branch
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit)
        (cache / "models--some--model" / "snapshots" / commit).mkdir(parents=True)
    return cache


def test_a_hub_model_is_known_by_its_commit(hub: Path) -> None:
    found = resolve_model(ModelSpec(name="some/model"))
    assert (found.location, found.revision, found.digest) == ("some/model", "c0ffee", "some/model@c0ffee")
    assert resolve_model(ModelSpec(name="some/model", revision="refs/pr/1")).revision == "beef"
    before = keys("model.name=some/model")
    assert keys("model={name: some/model, revision: c0ffee}") == before, "a branch and its commit have the same key"
    (hub / "models--some--model" / "refs" / "main").write_text("beef")
    assert changed(before, keys("model.name=some/model")) == ALL
    assert keys("model={name: some/model, revision: c0ffee}") == before


def test_a_hub_model_that_is_not_there(hub: Path) -> None:
    assert "the Hub cannot be reached and the local cache does not have it" in refusal("some/other")
    assert "the local cache does not have it" in refusal("some/model", "v2")
    assert "did you mean 'tiny'?" in refusal("tinny")


def test_nothing_that_cannot_be_hashed_is_guessed() -> None:
    for payload in (object(), {"x": {1, 2}}, {"x": Path("a")}):
        with pytest.raises(TypeError):
            digest(payload)
    with pytest.raises(ValueError):
        digest({"x": float("nan")})
