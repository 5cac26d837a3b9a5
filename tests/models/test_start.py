"""The model that a recipe starts from, the format it was trained with, and the limits that a recipe sets for itself."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from orchestrator.answers.formats import AnswerFormat, HashFormat, TagsFormat
from orchestrator.errors import FormatChange, ModelError, RecipeError
from orchestrator.health.findings import format_changed
from orchestrator.models.base import resolve_model
from orchestrator.models.settings import ModelSpec
from orchestrator.models.start import StartModel, base_of_adapter, check_adapter, recorded_base, resolve_start
from orchestrator.plan.plan import Plan, compile_plan, compile_trials
from orchestrator.recipe.recipe import WATCHED, Limits, Recipe, load_recipe, load_task

RECIPE = """\
name: test
task: {type: units, demonstrations: {generate: 4}, test: {generate: 3}}
model: {name: tiny}
stages:
  sft: {type: sft}
"""


def recipe(*overrides: str) -> Recipe:
    Path("r.yaml").write_text(RECIPE)
    return load_recipe("r.yaml", overrides)


def base_folder(name: str = "whole") -> Path:
    """A folder that looks like a whole model."""
    folder = Path(name)
    folder.mkdir(exist_ok=True)
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / file).write_text(f'{{"file": "{file}"}}')
    return folder


def adapter(name: str = "adapter", on: Path | None = None, under: AnswerFormat | None = None, **files: str) -> Path:
    """A folder with the file names of an adapter saved by orch; its weights are not real."""
    folder = Path(name)
    folder.mkdir()
    ref = resolve_model(ModelSpec(name=str(on or base_folder())))
    content = {
        "adapter_config": json.dumps({"r": 4, "base_model_name_or_path": ref.location}),
        "base": json.dumps(asdict(ref)),
        "answer_format": json.dumps((under or TagsFormat()).model_dump(mode="json")),
    }
    for file, text in (content | files).items():
        (folder / f"{file}.json").write_text(text)
    (folder / "adapter_model.safetensors").write_text("weights")
    return folder


def start(name: object, **settings: Any) -> StartModel:
    return resolve_start(ModelSpec(name=str(name), **settings))


# --- a base


def test_a_base_is_its_own_start() -> None:
    found = start("tiny")
    assert found.adapter is None and found.answer_format is None
    assert found.base.name == "tiny" and found.digest == found.base.digest
    check_adapter(found)


def test_a_folder_called_tiny_is_not_the_embedded_model() -> None:
    adapter("tiny")
    assert start("tiny").adapter is None and start("./tiny").adapter is not None


def test_a_whole_model_knows_its_format_where_it_stands_beside_it() -> None:
    folder = base_folder()
    before = start(folder)
    assert before.answer_format is None
    (folder / "answer_format.json").write_text(json.dumps(HashFormat().model_dump(mode="json")))
    assert start(folder).answer_format == HashFormat()


@pytest.mark.parametrize("name", ["x" * 300, "~no-such-user-here/x", "./nowhere", "a\0b"])
def test_a_name_that_cannot_be_a_folder_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        start(name)
    assert len(caught.value.problems) == 1 and "\n" not in str(caught.value)


# --- an adapter


def test_an_adapter_leads_to_its_base() -> None:
    base = base_folder()
    folder = adapter(on=base, under=HashFormat())
    found = start(folder)
    assert found.base == resolve_model(ModelSpec(name=str(base)))
    assert found.adapter == str(folder.resolve()) and found.answer_format == HashFormat()
    assert found.digest != found.base.digest
    check_adapter(found)


def test_an_adapter_made_elsewhere_leads_to_the_base_it_names() -> None:
    folder = adapter()
    (folder / "base.json").unlink()
    (folder / "answer_format.json").unlink()
    assert recorded_base(folder) == {}
    found = start(folder)
    assert Path(found.base.location).name == "whole" and found.answer_format is None


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json"])
def test_the_digest_changes_with_the_adapter(file: str) -> None:
    folder = adapter()
    before = start(folder)
    (folder / "README.md").write_text("prose")
    assert start(folder).digest == before.digest
    with (folder / file).open("a") as opened:
        opened.write(" ")
    assert start(folder).digest != before.digest


def test_a_copy_of_an_adapter_has_the_same_digest() -> None:
    folder = adapter()
    shutil.copytree(folder, "copy")
    assert start("copy").digest == start(folder).digest


def test_a_base_that_has_changed_since_is_refused() -> None:
    base = base_folder()
    folder = adapter(on=base)
    (base / "model.safetensors").write_text("other weights")
    for find in (lambda: start(folder), lambda: base_of_adapter(folder)):
        with pytest.raises(ModelError, match=r"was trained on whole with weights \w{12}, but .* now holds \w{12}"):
            find()


def test_a_base_that_is_gone_is_refused() -> None:
    base = base_folder().resolve()
    folder = adapter(on=base)
    shutil.rmtree(base)
    with pytest.raises(ModelError, match=r"whole: no such folder"):
        start(folder)


def test_a_base_that_was_named_from_another_folder_is_found_where_it_lay(monkeypatch: pytest.MonkeyPatch) -> None:
    base = base_folder()
    folder = adapter(on=base).resolve()
    assert recorded_base(folder)["name"] == "whole"
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert start(folder).base.location == str(base.resolve().parent.parent / "whole")
    (base_folder() / "model.safetensors").write_text("a folder of the same name, with other weights")
    found = start(folder).base
    assert found.digest == recorded_base(folder)["digest"] and "elsewhere" not in found.location


def test_a_base_that_has_moved_with_the_adapter_is_found_by_its_name(tmp_path: Path) -> None:
    folder = adapter(on=base_folder())
    shutil.move("whole", "other")
    (tmp_path / "there").mkdir()
    shutil.move("other", "there/whole")
    edited = recorded_base(folder) | {"name": "there/whole"}
    (folder / "base.json").write_text(json.dumps(edited))
    assert start(folder).base.location == str(tmp_path / "there" / "whole")


def test_a_folder_that_is_gone_is_not_looked_for_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = adapter(on=base_folder())
    shutil.rmtree("whole")
    monkeypatch.setattr("orchestrator.models.base._hub_commit", lambda spec: pytest.fail("the Hub was asked"))
    with pytest.raises(ModelError, match="whole: no such folder"):
        start(folder)


@pytest.mark.parametrize("recorded", [True, False], ids=["by orch", "by PEFT"])
def test_a_base_on_the_hub_is_asked_for_at_its_revision(recorded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    asked = []
    monkeypatch.setattr(
        "orchestrator.models.base._hub_commit", lambda spec: asked.append(spec.revision) or spec.revision
    )
    mine = {"name": "a/b", "location": "a/b", "revision": commit, "digest": f"a/b@{commit}"}
    theirs = {"base_model_name_or_path": "a/b", "revision": commit}
    folder = adapter(adapter_config=json.dumps(theirs), base=json.dumps(mine))
    if not recorded:
        (folder / "base.json").unlink()
    assert start(folder).base.revision == commit and asked == [commit]


def test_an_adapter_that_does_not_say_of_what_is_refused() -> None:
    folder = adapter(adapter_config="{}", base="{}")
    with pytest.raises(ModelError, match="does not name its base"):
        start(folder)


def test_an_adapter_is_no_base_of_another() -> None:
    inner = adapter("inner")
    folder = adapter("outer", adapter_config=json.dumps({"base_model_name_or_path": str(inner)}), base="{}")
    with pytest.raises(ModelError, match="holds an adapter, not a whole model"):
        start(folder)


def test_an_adapter_in_a_folder_has_no_revision() -> None:
    with pytest.raises(ModelError, match=r"model\.revision: adapter is a folder"):
        start(adapter(), revision="main")


@pytest.mark.parametrize("name", ["adapter_config", "base", "answer_format"])
@pytest.mark.parametrize("content", ["", "{", "[]", "7", "\udcff"])
def test_a_damaged_file_is_named(name: str, content: str) -> None:
    folder = adapter()
    if name == "adapter_config":
        (folder / "base.json").unlink()
    (folder / f"{name}.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=rf"adapter/{name}\.json") as caught:
        start(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ['{"type": "no such format"}', '{"type": "hash", "opening": "x"}'])
def test_a_format_that_is_not_known_is_an_error_of_the_model(content: str) -> None:
    with pytest.raises(ModelError, match=r"answer_format\.json holds no answer format"):
        start(adapter(answer_format=content))


def test_an_adapter_without_weights_is_refused() -> None:
    folder = adapter()
    (folder / "adapter_model.safetensors").write_text("")
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors has 0 bytes"):
        check_adapter(start(folder))
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="is an adapter without weights"):
        check_adapter(start(folder))
    with pytest.raises(ModelError, match="is an adapter without weights"):
        compile_plan(recipe(f"model.name={folder}"))


# --- the format it was trained with


def planned(*overrides: str) -> Plan:
    return compile_plan(recipe(*overrides))


def test_a_model_under_its_own_format_is_planned() -> None:
    plan = planned(f"model.name={adapter()}")
    assert plan.format_change is None and plan.start.adapter is not None
    assert plan.base.name == "whole"


def test_a_model_under_another_format_is_refused_with_both_formats_and_the_place() -> None:
    folder = adapter()
    with pytest.raises(FormatChange) as caught:
        planned(f"model.name={folder}", "task.format.prompt='Q: {question} A:'")
    error = caught.value
    assert error.exit_code == 3
    text = str(error)
    assert text.startswith(f"r.yaml: {folder} was trained with a different answer format")
    assert "'How much is 6 times 7?\\n'" in text and "'Q: How much is 6 times 7? A:'" in text
    assert "they first differ at prompt, character 1: '{question}\\n' and 'Q: {question'" in text
    assert "allow_format_change: true" in text


def test_another_kind_of_format_is_refused_too() -> None:
    with pytest.raises(FormatChange, match=r"#### 42(.|\n)*they first differ at type"):
        planned(f"model.name={adapter()}", "task.format.type=hash")


def test_a_recipe_may_allow_the_change_and_then_says_so() -> None:
    folder = adapter()
    plan = planned(f"model.name={folder}", "task.format.type=hash", "allow_format_change=true")
    assert plan.format_change is not None and "they first differ at type" in plan.format_change
    assert format_changed(plan.format_change).evidence == plan.format_change
    same = planned(f"model.name={folder}", "allow_format_change=true")
    assert same.format_change is None
    assert [s.key for s in same.stages] == [s.key for s in planned(f"model.name={folder}").stages]


def test_a_trial_that_does_not_allow_the_change_is_refused() -> None:
    changed = recipe(f"model.name={adapter()}", "task.format.type=hash")
    allowed, refused = {"allow_format_change": True}, {"allow_format_change": False}
    with pytest.raises(FormatChange):
        compile_trials(changed, [allowed, refused])
    [only] = compile_trials(changed, [allowed]).trials
    assert only.plan.format_change is not None


# --- limits


def limits(*overrides: str) -> Limits:
    return recipe(*overrides).limits


def test_limits_by_default() -> None:
    assert limits() == Limits(adapter_mb=20, difference=0.1, stop_on=())


def test_what_a_recipe_may_set() -> None:
    found = limits("limits={adapter_mb: 0.5, difference: 0.02, stop_on: [loss-not-finite, groups-alike]}")
    assert found == Limits(adapter_mb=0.5, difference=0.02, stop_on=("loss-not-finite", "groups-alike"))
    assert limits("limits.stop_on=all").stop_on == ("all",)
    assert limits(f"limits.stop_on={WATCHED[0]}").stop_on == (WATCHED[0],)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("limits.stop_on=loss-nan", f"unknown warning 'loss-nan' (choices: all, {', '.join(WATCHED)})"),
        ("limits.stop_on=[all, x]", "unknown warning 'x' (choices: all, "),
        ("limits.stop_on=7", "limits.stop_on"),
        ("limits.stop_onn=all", "did you mean 'stop_on'?"),
        ("limits.adapter_mb=0", "greater than 0"),
        ("limits.adapter_mb=.inf", "finite"),
        ("limits.difference=0", "greater than 0"),
        ("limits.difference=1.5", "less than or equal to 1"),
        ("limits=all", "must be a block of keys"),
    ],
)
def test_limits_that_are_none(override: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        limits(override)
    (problem,) = caught.value.problems
    assert problem.startswith("override limits") and said in problem


def test_limits_change_no_key() -> None:
    settings = ("limits.adapter_mb=1", "limits.stop_on=all", "limits.difference=0.5", "allow_format_change=true")
    assert planned(*settings).key == planned().key


def test_a_recipe_with_limits_is_read_back_from_its_resolved_form() -> None:
    import yaml

    before = recipe("limits.stop_on=all", "limits.adapter_mb=7")
    Path("resolved.yaml").write_text(yaml.safe_dump(before.resolved()))
    assert load_recipe("resolved.yaml").limits == before.limits


# --- a task with only its format and judge


def test_a_task_from_settings() -> None:
    assert load_task([]).format == TagsFormat() and load_task([]).judge.type == "numeric"
    found = load_task(["format.type=hash", "judge.type=exact", "judge.casefold=true"])
    assert found.format == HashFormat() and found.judge.fingerprint()["casefold"] is True


@pytest.mark.parametrize(
    ("settings", "problems"),
    [
        (
            ["format.type=bxed"],
            ["override task.format.type: unknown type 'bxed'; did you mean 'boxed'? (choices: tags"],
        ),
        (["formt.type=boxed"], ["overrides: task.formt: unknown key 'formt'; did you mean 'format'?"]),
        (["format=boxed"], ["override task.format: must be a block of keys, not 'boxed'"]),
        (["x", "y"], ["override 'x': must read key=value", "override 'y': must read key=value"]),
        (["x", "judge.tolerance=-1"], ["override 'x': must read", "override task.judge.tolerance: input should be"]),
        (["format.type=[1"], ["override 'format.type=[1':1:3: not valid YAML"]),
        (["type=nope"], ["override task.type: unknown task 'nope'"]),
    ],
)
def test_settings_that_are_none(settings: list[str], problems: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_task(settings)
    assert len(caught.value.problems) == len(problems)
    for said, problem in zip(caught.value.problems, problems, strict=True):
        assert said.startswith(problem), said
