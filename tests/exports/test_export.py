"""`orch export`: its output, whether plain transformers and peft get the same results from it, and what it refuses."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.recipe.recipe import load_recipe
from orchestrator.sampling.answering import answer
from orchestrator.sampling.engine import Decoding
from orchestrator.sampling.transformers_engine import TransformersEngine
from tests.conftest import SMALL, Called, call, environment
from tests.support.store import artifact, as_of_an_older_version, children, rows, runs

Run = tuple[Path, Called]
PLAIN = """
import json, sys
from pathlib import Path
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

folder, limit = sys.argv[1], int(sys.argv[2])
questions = json.loads(sys.stdin.read())
form = json.loads((Path(folder) / "answer_format.json").read_text())
base = folder
if (Path(folder) / "adapter_config.json").exists():
    base = json.loads((Path(folder) / "adapter_config.json").read_text())["base_model_name_or_path"]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(base, dtype="float32")
if base != folder:
    from peft import PeftModel
    model = PeftModel.from_pretrained(model, folder)
model.eval()
texts = [form["prompt"].replace("{question}", q) + form["prefix"] for q in questions]
batch = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
made = model.generate(**batch, generation_config=GenerationConfig.from_pretrained(folder), max_new_tokens=limit)
written = tokenizer.batch_decode(made[:, batch["input_ids"].shape[1]:], skip_special_tokens=True)
assert not [name for name in sys.modules if name.startswith("orchestrator")]
print(json.dumps(written))
"""


def export(folder: Path, *arguments: str) -> dict[str, Any]:
    called = call(folder, "export", *arguments, "--json")
    assert called.code == 0, called.err
    return called.json


@pytest.fixture(scope="module")
def made(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports of the small run: `adapter` and `merged`, the latter with its bundle."""
    place = tmp_path_factory.mktemp("made")
    assert export(small_run[0], "last", str(place / "adapter"))["kind"] == "adapter"
    assert export(small_run[0], "last", str(place / "merged"), "--merged", "--bundle")["kind"] == "merged"
    return place


def fresh(code: str, folder: Path, *arguments: str, given: str = "") -> str:
    """The output of Python code in a new process, started in a folder."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        cwd=folder,
        env=environment() | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        input=given,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def block(card: str, after: str) -> str:
    """The code block that follows a text in a card."""
    return re.search(r"```\w*\n(.*?)\n```", card[card.index(after) :], re.DOTALL)[1]  # type: ignore[index]


# --- the exported files


def test_the_folder_holds_what_is_needed_and_nothing_else(made: Path) -> None:
    common = {"README.md", "answer_format.json", "base.json", "generation_config.json"}
    common |= {"tokenizer.json", "tokenizer_config.json"}
    names = {kind: {p.name for p in (made / kind).iterdir()} for kind in ("adapter", "merged")}
    assert names["adapter"] == common | {"adapter_config.json", "adapter_model.safetensors"}
    assert names["merged"] == common | {"config.json", "model.safetensors"}
    assert sorted(p.name for p in made.iterdir()) == ["adapter", "merged", "merged.zip"]
    base = json.loads((made / "adapter" / "base.json").read_text())
    assert base["name"] == "tiny" and len(base["digest"]) == 64


def test_the_adapter_is_the_runs_own(small_run: Run, made: Path) -> None:
    folder, run = small_run
    stored = artifact(children(folder, run.json["run_id"])["grpo"], "model")
    for name in ("adapter_model.safetensors", "answer_format.json"):
        assert (made / "adapter" / name).read_bytes() == (stored / name).read_bytes()


@pytest.mark.parametrize("kind", ["adapter", "merged"])
def test_the_card_holds_the_runs_figures(small_run: Run, made: Path, kind: str) -> None:
    run = small_run[1].json
    card = (made / kind / "README.md").read_text()
    for m in run["models"]:
        name = m["model"] + (" (this one)" if m["model"] == "grpo" else "")
        interval = f"{m['accuracy_low']:.3f} to {m['accuracy_high']:.3f}"
        [row] = [line for line in card.splitlines() if line.startswith(f"| {name} |")]
        assert row.startswith(f"| {name} | {m['accuracy']:.3f} | {interval} | {m['answer_rate']:.3f} |")
        assert row.endswith("| 60 |")
    (gap,) = [d for d in run["differences"] if d["model"] == "grpo"]
    told = f"{gap['difference']:+.3f} to sft, {gap['low']:+.3f} to {gap['high']:+.3f}"
    assert f"| {told} | 60 |" in card
    assert run["run_id"] in card and "Seed 0" in card and "torch 2" in card
    Path("again.yaml").write_text(block(card, "## The recipe"))
    assert load_recipe("again.yaml").stages == load_recipe(SMALL).stages


@pytest.mark.parametrize("kind", ["adapter", "merged"])
def test_the_cards_code_prints_what_the_run_wrote(made: Path, kind: str) -> None:
    card = (made / kind / "README.md").read_text()
    code = block(card, "## Load it")
    assert ("from peft" in code) == (kind == "adapter")
    printed = fresh(code + "\nimport sys\nassert 'orchestrator' not in sys.modules\n", made / kind)
    assert printed == block(card, "In its run it wrote") + "\n"


@pytest.mark.parametrize("kind", ["adapter", "merged"])
def test_plain_libraries_write_what_orch_writes(
    small_run: Run, made: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 questions of another seed, greedily, character for character."""
    examples = load_recipe(SMALL, ["task.seed=7", "task.test={generate: 200}"]).task.examples("test")
    given = json.dumps([e.question for e in examples])
    plain = json.loads(fresh(PLAIN, made, kind, "64", given=given))
    monkeypatch.chdir(small_run[0])
    from orchestrator.runs.past import past_run

    past, _ = past_run("last")
    asked = answer(
        TransformersEngine(past.model("grpo")), past.recipe.task, examples, range(1), Decoding(0.0, 1.0, 64), 0
    )
    assert len(plain) == 200
    assert plain == [completion.text for completion, _ in asked]


def test_merged_weights_were_compared(small_run: Run, tmp_path: Path) -> None:
    done = export(small_run[0], "last", str(tmp_path / "m"), "--model", "rft", "--merged")
    agreement = done["agreement"]
    assert agreement["questions"] == 8 and agreement["dtype"] == "float32"
    assert 0 < agreement["off"] <= agreement["tolerance"] == 1e-4
    assert done["model"] == "rft" and "| rft (this one) |" in (tmp_path / "m" / "README.md").read_text()


def test_merged_weights_may_be_stored_in_half_the_size(small_run: Run, made: Path) -> None:
    done = export(small_run[0], "last", "half", "--merged", "--dtype", "bfloat16")
    half = small_run[0] / "half"
    whole, stored = (f / "model.safetensors" for f in (made / "merged", half))
    assert stored.stat().st_size < 0.51 * whole.stat().st_size
    assert json.loads((half / "config.json").read_text())["dtype"] == "bfloat16"
    assert done["agreement"]["dtype"] == "bfloat16" and 1e-4 < done["agreement"]["off"] < 0.05
    card = (half / "README.md").read_text()
    assert 'dtype="bfloat16"' in card and "A whole model in bfloat16" in card
    shutil.rmtree(half)


# --- one file


def test_the_bundle_is_the_folder_with_a_manifest(made: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(made / "merged.zip") as opened:
        opened.extractall(tmp_path / "m")
    manifest = json.loads((tmp_path / "m" / "manifest.json").read_text())
    assert manifest["model"] == "grpo" and manifest["kind"] == "merged"
    assert set(manifest["files"]) == {p.name for p in (made / "merged").iterdir()}
    for path in (made / "merged").iterdir():
        assert (tmp_path / "m" / path.name).read_bytes() == path.read_bytes()


def test_the_same_model_makes_the_same_bundle(small_run: Run, made: Path, tmp_path: Path) -> None:
    done = export(small_run[0], "last", str(tmp_path / "m"), "--merged", "--bundle")
    assert Path(done["bundle"]).read_bytes() == (made / "merged.zip").read_bytes()
    assert done["bundle_size"] == (made / "merged.zip").stat().st_size


# --- as the model of another recipe


def planned(model: Path, *overrides: str) -> Called:
    return call(Path.cwd(), "plan", str(SMALL), f"model.name={model}", *overrides, "--json")


def keys(called: Called) -> list[str]:
    assert called.code == 0, called.err
    return [stage["key"] for stage in called.json["stages"]]


@pytest.mark.parametrize("kind", ["adapter", "merged"])
def test_what_was_exported_is_planned_as_a_recipes_model(made: Path, kind: str) -> None:
    assert len(keys(planned(made / kind))) == 9


@pytest.mark.parametrize("kind", ["adapter", "merged"])
def test_its_format_is_kept_to(made: Path, kind: str) -> None:
    other = "task.format={type: hash, prompt: 'Q: {question}'}"
    called = planned(made / kind, other)
    assert called.code == 3
    assert "was trained with a different answer format than task.format" in called.err
    assert "'Q: How much is 6 times 7?'" in called.err
    assert planned(made / kind, other, "allow_format_change=true").code == 0


def test_an_unpacked_bundle_is_the_same_model(made: Path) -> None:
    with zipfile.ZipFile(made / "merged.zip") as opened:
        opened.extractall("unpacked")
    assert keys(planned(Path("unpacked"))) == keys(planned(made / "merged"))


def test_what_was_exported_can_be_checked_and_is_found_sound(made: Path) -> None:
    for kind in ("adapter", "merged"):
        called = call(Path.cwd(), "check", str(SMALL), f"model.name={made / kind}", "--json")
        assert called.code == 0, called.err


# --- models with all weights trained


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose `sft` is a whole model, and whose `more` is an adapter on it."""
    folder = tmp_path_factory.mktemp("whole")
    recipe = {
        "name": "whole",
        "task": {"type": "units", "demonstrations": {"generate": 40}, "test": {"generate": 10}},
        "model": {"name": "tiny"},
        "stages": {
            "sft": {"type": "sft", "lora": None, "learning_rate": 1e-3, "max_steps": 12},
            "more": {"type": "sft", "model": "sft", "learning_rate": 1e-3, "max_steps": 3},
        },
        "evaluate": {"max_tokens": 96},
    }
    (folder / "r.yaml").write_text(json.dumps(recipe))
    called = call(folder, "run", "r.yaml")
    assert called.code == 0, called.err
    return folder


def texts(folder: Path, model: str) -> tuple[list[str], list[str]]:
    """Questions, and what a model of the run wrote."""
    run = runs(folder, f"tags.`orch.model` = '{model}'")[-1]
    found = rows(run, "eval/results.parquet")
    return [r["question"] for r in found], [r["text"] for r in found]


def same(folder: Path, export_of: Path, model: str) -> bool:
    questions, written = texts(folder, model)
    found: Sequence[str] = json.loads(fresh(PLAIN, folder, str(export_of), "96", given=json.dumps(questions)))
    return list(found) == written


@pytest.mark.slow
def test_a_whole_model_is_copied_and_writes_the_same(whole_run: Path, tmp_path: Path) -> None:
    done = export(whole_run, "last", str(tmp_path / "m"), "--model", "sft", "--merged")
    assert done["kind"] == "whole" and done["agreement"] is None
    assert done["notes"] == ["sft was trained whole: there is no adapter to merge"]
    assert same(whole_run, tmp_path / "m", "sft")
    card = (tmp_path / "m" / "README.md").read_text()
    assert "`tiny` with all its weights trained" in card
    assert fresh(block(card, "## Load it"), tmp_path / "m") == block(card, "In its run it wrote") + "\n"
    assert call(tmp_path, "plan", str(SMALL), "model.name=m").code == 0


@pytest.mark.slow
def test_a_whole_model_may_be_stored_in_another_dtype(whole_run: Path, tmp_path: Path) -> None:
    done = export(whole_run, "last", str(tmp_path / "m"), "--model", "sft", "--dtype", "bfloat16")
    assert done["kind"] == "whole" and done["agreement"]["lost"] is None
    assert 0 < done["agreement"]["off"] < 0.05 and done["size"] < 3.6e6


@pytest.mark.slow
def test_an_adapter_on_a_whole_model_stands_on_the_run_or_is_merged(whole_run: Path, tmp_path: Path) -> None:
    done = export(whole_run, "last", str(tmp_path / "a"))
    assert done["kind"] == "adapter" and "on this machine as its base" in done["notes"][0]
    assert same(whole_run, tmp_path / "a", "more")
    assert call(tmp_path, "plan", str(SMALL), "model.name=a").code == 0
    export(whole_run, "last", str(tmp_path / "m"), "--merged")
    assert same(whole_run, tmp_path / "m", "more")
    assert "`tiny` → sft (sft) → more (sft)" in (tmp_path / "m" / "README.md").read_text()


# --- what is refused


def refused(folder: Path, *arguments: str, code: int = 2) -> str:
    before = sorted(str(p) for p in Path.cwd().rglob("*"))
    called = call(folder, "export", *arguments)
    assert (called.code, called.err.count("\n")) == (code, 1), called.err
    assert sorted(str(p) for p in Path.cwd().rglob("*")) == before, "something was left behind"
    return called.err


def test_a_place_that_is_taken_is_refused(small_run: Run, tmp_path: Path) -> None:
    folder, _ = small_run
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "new.zip").write_text("mine")
    assert "is not empty" in refused(folder, "last", str(tmp_path / "full"))
    assert "is a file" in refused(folder, "last", str(tmp_path / "file"))
    assert "cannot be written" in refused(folder, "last", str(tmp_path / "file" / "below"))
    assert "new.zip already exists" in refused(folder, "last", str(tmp_path / "new"), "--bundle")


def test_an_empty_folder_and_one_far_below_are_taken(small_run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    export(small_run[0], "last", str(tmp_path / "empty"))
    export(small_run[0], "last", str(tmp_path / "a" / "b" / "c"))
    for folder in (tmp_path / "empty", tmp_path / "a" / "b" / "c"):
        assert (folder / "README.md").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "empty"]


def test_what_there_is_none_of_is_refused(small_run: Run, tmp_path: Path) -> None:
    folder, _ = small_run
    new = str(tmp_path / "new")
    assert "no run 'nothing-such'" in refused(folder, "nothing-such", new)
    assert "has no model 'chosen'; its models: base, sft, rft, grpo" in refused(folder, "last", new, "--model=chosen")
    assert "is tiny itself, untrained" in refused(folder, "last", new, "--model=base")
    assert "--dtype bfloat16 is for whole weights" in refused(folder, "last", new, "--dtype=bfloat16")


def test_a_bundle_above_the_limit_leaves_nothing(small_run: Run, tmp_path: Path) -> None:
    said = refused(small_run[0], "last", str(tmp_path / "new"), "--bundle", "--bundle-mb", "0.5")
    assert "it would be 0.9 MB, more than the 0.5 allowed" in said


def test_an_adapter_that_is_not_sound_is_not_exported(small_copy: Path, small_run: Run) -> None:
    run = children(small_copy, small_run[1].json["run_id"])["grpo"]
    weights = artifact(run, "model") / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    said = refused(small_copy, "last", str(small_copy / "new"), code=2)
    assert "has changed since it was written: adapter_model.safetensors has 1,000 bytes" in said
    as_of_an_older_version(small_copy)  # its runs have no digests of their output
    for more in ((), ("--merged",)):
        assert "adapter-damaged" in refused(small_copy, "last", str(small_copy / "new"), *more, code=3)
