"""Faults found after a run: a finished run is broken on purpose, and `diagnose` must name the fault first.

One healthy run of tests/small.yaml is copied for each fault; models are loaded and queried for real.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from orchestrator.answers.tokens import completion_text, prompt_ids
from orchestrator.commands.diagnose import diagnose, diagnose_folder, diagnose_run
from orchestrator.health.diagnosis import Diagnosis
from orchestrator.models.loading import load_base, load_for_generation
from orchestrator.models.reference import ModelRef
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.past import PastRun, past_run
from orchestrator.sampling.engine import Decoding, Generated, Request
from orchestrator.sampling.transformers_engine import TransformersEngine
from orchestrator.training.journal import NAME, read
from tests.conftest import SMALL
from tests.end_to_end.faults.recipes import edit_json, tiny_copy
from tests.support.store import as_of_an_older_version

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def past(small_copy: Path) -> PastRun:
    """A healthy run, free to be broken: its artifacts are in this test's own folder.

    It has no digests of its outputs, so that damage done here passes for the original output.
    """
    as_of_an_older_version(small_copy)
    found, _ = past_run()
    assert all(stage.model().is_relative_to(small_copy) for stage in found.stages.values())
    return found


def folder_of(past: PastRun, model: str = "sft") -> Path:
    return past.stages[model].model()


def looked(model: str = "sft") -> Diagnosis:
    found, _ = past_run()
    return diagnose_run(found, [model], questions=24)


def first(diagnosis: Diagnosis) -> str:
    return diagnosis.findings[0].check


def start_from(past: PastRun, base: Path) -> None:
    """Make the run's recipe name another base model."""
    file = folder_of(past).parent.parent.parent / past.run_id / "artifacts" / "recipe.yaml"
    data = yaml.safe_load(file.read_text())
    data["model"]["name"] = str(base)
    file.write_text(yaml.safe_dump(data, sort_keys=False))


def test_a_healthy_run_has_no_error(past: PastRun) -> None:
    diagnosis = diagnose_run(past, questions=24)
    assert [f.check for f in diagnosis.findings if f.severity == "error"] == []
    assert [m.model for m in diagnosis.models] == ["base", "sft", "rft", "grpo"]
    assert diagnosis.generations and diagnosis.rows


# --- files


def emptied(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"")


def removed(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def cut_off(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])


def pointed(folder: Path) -> None:
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\nsize 1234567\n")


def no_number(folder: Path) -> None:
    changed(folder, lambda key, tensor: tensor * float("nan"))


def zeroed(folder: Path) -> None:
    changed(folder, lambda key, tensor: tensor * 0 if "lora_B" in key else tensor)


def changed(folder: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    tensors = load_file(folder / WEIGHTS)
    save_file({key: change(key, tensor) for key, tensor in tensors.items()}, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("break_it", "named"),
    [
        (emptied, "adapter-empty"),
        (removed, "adapter-missing"),
        (shutil.rmtree, "adapter-missing"),
        (cut_off, "adapter-damaged"),
        (pointed, "adapter-damaged"),
        (no_number, "adapter-not-finite"),
        (zeroed, "adapter-zero"),
    ],
    ids=["0 bytes", "missing", "its temporary folder is gone", "cut off", "a pointer", "NaN", "all-zero B"],
)
def test_a_broken_adapter(past: PastRun, break_it: Callable[[Path], None], named: str) -> None:
    break_it(folder_of(past))
    diagnosis = looked()
    assert first(diagnosis) == named, [f.check for f in diagnosis.findings]
    assert diagnosis.findings[0].severity == "error" and diagnosis.models[0].accuracy > 0


def test_an_adapter_of_another_base(past: PastRun) -> None:
    base = tiny_copy()
    weights = load_file(base / "model.safetensors")
    save_file({k: v * 1.01 for k, v in weights.items()}, base / "model.safetensors", {"format": "pt"})
    start_from(past, base)
    assert first(looked()) == "adapter-other-base"


def test_an_adapter_of_another_shape(past: PastRun) -> None:
    config = load_base(past.start.base).config
    config.intermediate_size = 256
    from transformers import LlamaForCausalLM

    base = tiny_copy("narrow")
    LlamaForCausalLM(config).save_pretrained(base)
    start_from(past, base)
    diagnosis = looked()
    assert first(diagnosis) == "adapter-other-base" and "do not fit" in diagnosis.findings[0].what


def test_an_adapter_merged_twice(past: PastRun) -> None:
    merged = tiny_copy("merged")
    load_for_generation(past.model("sft")).save_pretrained(merged)
    start_from(past, merged)
    assert first(looked()) == "merged-twice"


def forgotten(past: PastRun, names: Path | None = None) -> None:
    """Remove the record of the base beside the adapter; its configuration names a folder that may be gone."""
    folder = folder_of(past)
    (folder / "base.json").unlink()
    edit_json(folder / "adapter_config.json", base_model_name_or_path=str(names or Path.cwd() / "gone"))


@pytest.mark.parametrize("original", ["there", "gone"])
def test_an_adapter_merged_twice_without_a_record_of_its_base(past: PastRun, original: str) -> None:
    merged = tiny_copy("merged")
    load_for_generation(past.model("sft")).save_pretrained(merged)
    forgotten(past, tiny_copy("original") if original == "there" else None)
    start_from(past, merged)
    diagnosis = looked()
    assert first(diagnosis) == "merged-twice", [f.check for f in diagnosis.findings]


def test_an_adapter_of_another_base_without_a_record_of_it(past: PastRun) -> None:
    other = tiny_copy("other")
    weights = load_file(other / "model.safetensors")
    noise = torch.Generator().manual_seed(0)
    moved = {k: v + 0.02 * torch.randn(v.shape, generator=noise) for k, v in weights.items()}
    save_file(moved, other / "model.safetensors", {"format": "pt"})
    forgotten(past, tiny_copy("original"))
    start_from(past, other)
    assert first(looked()) == "adapter-other-base"


def test_an_adapter_on_its_own_base_without_a_record_of_it(past: PastRun) -> None:
    forgotten(past)
    assert [f.check for f in looked().findings if f.severity == "error"] == []


def test_an_adapter_on_a_base_that_holds_another(past: PastRun) -> None:
    """RFT's adapter has much in common with SFT's, but a base with one merged into it does not contain the other."""
    merged = tiny_copy("merged")
    load_for_generation(past.model("rft")).save_pretrained(merged)
    start_from(past, merged)
    assert first(looked()) == "adapter-other-base"


def test_a_base_that_has_overflowed(past: PastRun) -> None:
    base = tiny_copy("overflowed")
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * float("inf")
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    start_from(past, base)
    assert first(looked("base")) == "base-not-finite"


@pytest.mark.parametrize("model", ["base", "sft"])
def test_a_base_that_is_cut_off(past: PastRun, model: str) -> None:
    base = tiny_copy("cut_off")
    whole = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    start_from(past, base)
    diagnosis = looked(model)
    assert first(diagnosis) == "base-damaged" and diagnosis.findings[0].severity == "error"
    assert [m.model for m in diagnosis.models] == [model], "its figures are shown anyway"


def test_a_whole_model_that_one_asks_about_is_called_sick(past: PastRun) -> None:
    """The embedded model knows no answer format: normal for a run's base, a fault in a model diagnosed by itself."""
    diagnosis = diagnose_folder(tiny_copy("mine"), load_recipe(SMALL), questions=24)
    assert diagnosis.sick and {f.check for f in diagnosis.findings} >= {"answer-rate-zero"}
    assert not {"not-the-model", "base-damaged"} & {f.check for f in diagnosis.findings}


def test_a_whole_model_that_does_well_is_left_alone(past: PastRun) -> None:
    folder = tiny_copy("merged")
    load_for_generation(past.model("sft")).save_pretrained(folder)
    diagnosis = diagnose_folder(folder, load_recipe(SMALL), questions=24)
    assert [f.check for f in diagnosis.findings if f.severity == "error"] == []
    assert diagnosis.models[0].accuracy > 0.3


def test_a_model_that_cannot_be_asked_as_the_recipe_asks(past: PastRun) -> None:
    """The recipe uses a chat template, and the model has none."""
    recipe = load_recipe(SMALL, ["task.format.chat=true"])
    diagnosis = diagnose_folder(tiny_copy("mine"), recipe, questions=24)
    checks = [f.check for f in diagnosis.findings if f.severity == "error"]
    assert "chat-template-missing" in checks and "not-the-model" not in checks and diagnosis.models == ()


# --- answers that are not the model's


def rewrite(
    past: PastRun, model: str, texts: list[str], verdicts: list[tuple[str, str | None]], ends: list[str] | None = None
) -> None:
    """Replace the stored results of an evaluation; every text ended on its own unless `ends` says otherwise."""
    path = past.stages[model].results
    assert path is not None
    table = pq.read_table(path)
    for name, column in (
        ("text", texts),
        ("status", [status for status, _ in verdicts]),
        ("value", [value for _, value in verdicts]),
        ("finish_reason", ends or ["stop"] * len(texts)),
    ):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(column, pa.string()))
    pq.write_table(table, path)


def test_an_adapter_that_was_never_attached(past: PastRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The evaluation is repeated by code that forgets the adapter."""
    from orchestrator.health.probe import asked

    engine = TransformersEngine(ModelRef("sft", past.start.base))
    task = past.recipe.task
    rows = asked(engine, task, task.examples("test"), 64)
    path = past.stages["sft"].results
    assert path is not None
    table = pq.read_table(path)
    for name in ("text", "status", "value", "finish_reason"):
        column = pa.array([getattr(row, name) for row in rows], pa.string())
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, path)
    assert first(looked()) == "adapter-not-attached"


def test_a_table_that_answers_in_the_models_place(past: PastRun) -> None:
    path = past.stages["sft"].results
    assert path is not None
    golds = pq.read_table(path)["gold"].to_pylist()
    rewrite(past, "sft", [f"<answer>{g}</answer>" for g in golds], [("correct", g) for g in golds])
    diagnosis = looked()
    assert first(diagnosis) == "not-the-model"
    assert "stored 24 of 24" in diagnosis.findings[0].evidence and "shuffled" in diagnosis.findings[0].evidence


def test_a_table_of_worked_solutions(past: PastRun) -> None:
    """Texts that the model would write in other words or with other figures."""
    path = past.stages["sft"].results
    assert path is not None
    worked = {e.id: e.demonstration for e in past.recipe.task.examples("test")}
    table = pq.read_table(path)
    texts = [str(worked[name]) for name in table["example_id"].to_pylist()]
    rewrite(past, "sft", texts, [("correct", gold) for gold in table["gold"].to_pylist()])
    assert first(looked()) == "not-the-model"


def test_a_table_for_a_part_of_the_questions(past: PastRun) -> None:
    """The first 25 texts and every third one after them are the model's own; the rest are looked up."""
    path = past.stages["sft"].results
    assert path is not None
    table = pq.read_table(path).to_pylist()
    own = [(row["text"], row["finish_reason"], row["status"], row["value"]) for row in table]
    looked_up = [(f"<answer>{row['gold']}</answer>", "stop", "correct", row["gold"]) for row in table]
    mixed = [looked_up[n] if n > 24 and n % 3 else own[n] for n in range(len(own))]
    rewrite(past, "sft", [t for t, *_ in mixed], [(s, v) for _, _, s, v in mixed], [e for _, e, *_ in mixed])
    assert first(looked()) == "not-the-model"


@pytest.mark.parametrize("way", ["right", "right and read"])
def test_an_evaluation_that_padded_on_the_wrong_side(past: PastRun, way: str) -> None:
    """The code that pads has been fixed since, so only the stored texts show the fault.

    Left padding that is attended to does not show: this model writes the same texts.
    """
    ref = past.model("sft")
    engine = TransformersEngine(ref)
    task, pad = past.recipe.task, engine.tokenizer.pad_token_id
    examples = task.examples("test")
    texts, verdicts, ends = [], [], []
    for begin in range(0, len(examples), 32):
        part = examples[begin : begin + 32]
        prompts = [prompt_ids(engine.tokenizer, task.format, e.question) for e in part]
        width = max(map(len, prompts))
        gaps = [[pad] * (width - len(prompt)) for prompt in prompts]
        sides = [gap + prompt if "left" in way else prompt + gap for prompt, gap in zip(prompts, gaps, strict=True)]
        ids, mask = torch.tensor(sides), torch.ones((len(part), width), dtype=torch.long)
        if "read" not in way:
            for row, gap in enumerate(gaps):
                mask[row, width - len(gap) :] = 0
        made = engine.model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=64, do_sample=False)
        for example, row in zip(part, made[:, width:].tolist(), strict=True):
            stop = next((n for n, token in enumerate(row) if token in engine.stops), None)
            text = completion_text(engine.tokenizer, row[:stop])
            ends.append("length" if stop is None else "stop")
            verdict = task.judge.judge(task.format.extract(text), example.answer, ends[-1])
            texts.append(text)
            verdicts.append((verdict.status, verdict.value))
    rewrite(past, "sft", texts, verdicts, ends)
    diagnosis = looked()
    assert first(diagnosis) == "padding-mixed-up", [f.check for f in diagnosis.findings]
    assert way.partition(" ")[0] in diagnosis.findings[0].evidence


def test_answers_written_in_half_precision(past: PastRun) -> None:
    """An evaluation done on a GPU and diagnosed without one."""
    from orchestrator.health.probe import asked

    ref = past.model("sft")
    engine = TransformersEngine(replace(ref, base=replace(ref.base, dtype="bfloat16")))
    written = asked(engine, past.recipe.task, past.recipe.task.examples("test"), 64)
    verdicts = [(row.status, row.value) for row in written]
    rewrite(past, "sft", [row.text for row in written], verdicts, [row.finish_reason for row in written])
    assert engine.model.dtype is torch.bfloat16
    assert not [f.check for f in looked().findings if f.severity == "error"]


def sft_folder(past: PastRun) -> Path:
    return Path(shutil.copytree(folder_of(past), "model"))


def test_a_table_inside_generate(past: PastRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """`generate` itself is replaced by a lookup of the gold answers."""
    task = past.recipe.task
    gold = {e.question: e.answer for e in task.examples("test")}

    def look_up(self: TransformersEngine, requests: list[Request], decoding: Decoding) -> list[Generated]:
        made = []
        for request in requests:
            question = self.tokenizer.decode(list(request.prompt)).strip()
            text = f"<answer>{gold.get(question, 1)}</answer>"
            made.append(Generated(tuple(self.tokenizer(text)["input_ids"]), "stop"))
        return made

    monkeypatch.setattr(TransformersEngine, "generate", look_up)
    diagnosis = diagnose_folder(sft_folder(past), load_recipe(SMALL), questions=24)
    assert first(diagnosis) == "not-the-model"
    assert diagnosis.models[0].accuracy == 1.0


def test_prompts_padded_on_the_right(past: PastRun, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = TransformersEngine.generate

    def padded_right(self: TransformersEngine, requests: list[Request], decoding: Decoding) -> list[Generated]:
        width = max(len(r.prompt) for r in requests)
        pad = self.tokenizer.pad_token_id
        padded = [Request(r.prompt + (pad,) * (width - len(r.prompt)), r.seed) for r in requests]
        return sound(self, padded, decoding)

    monkeypatch.setattr(TransformersEngine, "generate", padded_right)
    diagnosis = diagnose_folder(sft_folder(past), load_recipe(SMALL), questions=24)
    assert first(diagnosis) == "padding-mixed-up"


# --- contracts


def test_a_boxed_prompt_on_a_model_that_learnt_another(tmp_path: Path) -> None:
    """A base that answers in \\boxed{} is taught ####, then asked for \\boxed{}: accuracy drops; diagnose says why."""
    boxed = [f"model.name={trained_model(tmp_path / 'first', 'boxed', 'tiny', merged=True)}"]
    folder = trained_model(tmp_path / "second", "hash", boxed[0].partition("=")[2], merged=False)
    recipe = load_recipe(SMALL, [*boxed, "task.format.type=boxed", "task.test.generate=100"])
    diagnosis = diagnose_folder(folder, recipe, questions=100)
    found = diagnosis.findings[0]
    accuracy = {m.model: m.accuracy for m in diagnosis.models}
    assert found.check == "format-changed" and found.severity == "error"
    assert accuracy["base"] < accuracy["base without its adapter"]
    assert "the drop is significant" in found.cause and "McNemar p" in found.evidence
    assert "####" in found.evidence and r"\boxed{42}" in found.evidence


def trained_model(work: Path, kind: str, base: str, merged: bool) -> Path:
    """Teach a model one answer format with the product's own training; return its folder."""
    from orchestrator.plan.plan import compile_plan
    from orchestrator.training.sft import SftJob, run_sft

    recipe = load_recipe(SMALL, [f"model.name={base}", f"task.format.type={kind}"])
    plan = compile_plan(recipe)
    ref = ModelRef("base", plan.base)
    pairs = tuple((e.question, recipe.task.target(e)) for e in recipe.task.examples("demonstrations"))
    work.mkdir()
    spec: Any = recipe.stages["sft"]
    run_sft(SftJob(work, ref, recipe.task.format, spec, 0, 1, pairs))
    if not merged:
        return work / "model"
    folder = tiny_copy(str(work / "merged"))
    load_for_generation(ModelRef("sft", plan.base, str(work / "model"))).save_pretrained(folder)
    return folder


def test_a_recipe_whose_data_is_gone(past: PastRun) -> None:
    file = folder_of(past).parent.parent.parent / past.run_id / "artifacts" / "recipe.yaml"
    data = yaml.safe_load(file.read_text())
    data["task"]["train"] = {"file": "gone.jsonl"}
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    assert first(looked()) == "set-up-refused"


def test_what_is_recorded_of_the_base_leads_to_it(past: PastRun) -> None:
    recorded = json.loads((folder_of(past) / "base.json").read_text())
    assert recorded["name"] == "tiny"
    edit_json(folder_of(past) / "base.json", digest="0" * 64)
    assert first(looked()) == "adapter-other-base"


# --- verdicts


def edited(past: PastRun, *changes: tuple[str, Any]) -> None:
    """Change columns of the stored evaluation of SFT."""
    path = past.stages["sft"].results
    assert path is not None
    table = pq.read_table(path)
    for name, change in changes:
        column = pa.array([change(value) for value in table[name].to_pylist()], pa.string())
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, path)


def test_a_judge_that_has_changed(past: PastRun) -> None:
    """The recipe's judge accepts any number within 90%; the evaluation was judged by another."""
    file = folder_of(past).parent.parent.parent / past.run_id / "artifacts" / "recipe.yaml"
    data = yaml.safe_load(file.read_text())
    data["task"]["judge"] = {"type": "numeric", "tolerance": 0.9}
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    found = looked().findings[0]
    assert found.check == "judge-changed" and "wrong is now correct" in found.evidence


def test_verdicts_that_were_changed_in_the_file(past: PastRun) -> None:
    """The judge is unchanged, so the file must have been changed."""
    edited(past, ("status", lambda status: "correct"))
    diagnosis = looked()
    assert first(diagnosis) == "verdicts-changed" and "as they are now" in diagnosis.findings[0].evidence


# --- what was taught


Rows = Callable[[dict[str, Any]], dict[str, Any]]


def taught(past: PastRun, *overrides: str, change: Rows | None = None, slip: int = 0) -> Diagnosis:
    """Diagnose a run whose SFT model and curve come from the product's own training on the small recipe.

    `change`: applied to its tokenized rows, bypassing the collator that would refuse them. `slip`: by how many rows the
    targets are shifted.
    """
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from orchestrator.training import sft

    work = Path("taught")
    work.mkdir()
    recipe = load_recipe(SMALL, overrides)
    task, spec = past.recipe.task, recipe.stages["sft"]
    examples = task.examples("demonstrations")
    targets = [task.target(e) for e in examples]
    pairs = tuple(zip((e.question for e in examples), targets[slip:] + targets[:slip], strict=True))
    with pytest.MonkeyPatch.context() as patch:
        if change is not None:
            sound = sft.tokenized
            patch.setattr(sft, "tokenized", lambda job, tokenizer: sound(job, tokenizer).map(change))
            patch.setattr(
                sft, "collator", lambda tokenizer, *_: DataCollatorForLanguageModeling(tokenizer.pad_token_id)
            )
        sft.run_sft(sft.SftJob(work, past.model("base"), task.format, spec, 0, 1, pairs))  # type: ignore[arg-type]
    folder = folder_of(past)
    shutil.rmtree(folder)
    shutil.copytree(work / "model", folder)
    points = [(r["step"], r["metrics"]) for r in read(work / NAME) if "metrics" in r]
    curves = {name: [(s, m[name]) for s, m in points if name in m] for name in ("loss", "learning_rate", "epoch")}
    stage = replace(past.stages["sft"], curves=curves, results=None)
    stages = {name: spec if name == "sft" else old for name, old in past.recipe.stages.items()}
    changed = past.recipe.model_copy(update={"stages": stages})
    return diagnose_run(replace(past, recipe=changed, stages=dict(past.stages) | {"sft": stage}), ["sft"], 24)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda row: {"labels": [*row["labels"][1:], -100]}, "the token after next"),
        (lambda row: {"labels": [-100, *row["labels"][:-1]]}, "the token it reads"),
    ],
    ids=["by one too many", "back"],
)
def test_labels_that_were_shifted(past: PastRun, change: Rows, what: str) -> None:
    diagnosis = taught(past, change=change)
    assert first(diagnosis) == "labels-shifted", [f.check for f in diagnosis.findings]
    assert what in diagnosis.findings[0].what


@pytest.mark.parametrize("steps", [2, 8, 14])
def test_too_little_training(past: PastRun, steps: int) -> None:
    diagnosis = taught(past, f"stages.sft.max_steps={steps}")
    assert first(diagnosis) == "too-short", [f.check for f in diagnosis.findings]
    assert diagnosis.findings[0].severity == "error" and "max_steps from" in diagnosis.findings[0].remedy


@pytest.mark.parametrize("rate", ["1e-5", "1e-4"])
def test_a_learning_rate_that_is_too_low(past: PastRun, rate: str) -> None:
    diagnosis = taught(past, f"stages.sft.learning_rate={rate}")
    assert first(diagnosis) == "nothing-learned", [f.check for f in diagnosis.findings]
    assert "learning_rate from" in diagnosis.findings[0].remedy


def test_answers_that_belong_to_other_questions(past: PastRun) -> None:
    """The model learns the form as well as possible; more training would not help."""
    diagnosis = taught(past, "stages.sft.per_device_train_batch_size=16", slip=1)
    assert first(diagnosis) in ("accuracy-zero", "answers-not-learned"), [f.check for f in diagnosis.findings]


# --- files that are damaged


def halved(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])


def artifacts(past: PastRun, stage: str) -> Path:
    return folder_of(past, "sft").parent.parent.parent / past.stages[stage].run_id / "artifacts"


@pytest.mark.parametrize(
    ("stage", "name", "model", "break_it", "named"),
    [
        ("sft", "eval/results.parquet", "sft", halved, "output-damaged"),
        ("sft", "eval/results.parquet", "sft", lambda file: file.write_bytes(b""), "output-damaged"),
        ("samples", "completions.parquet", "sft", halved, "output-damaged"),
        ("chosen", "chosen.parquet", "sft", lambda file: file.unlink(), "output-missing"),
        ("sft", "model/adapter_config.json", "sft", halved, "adapter-damaged"),
        ("sft", "model/base.json", "sft", halved, "adapter-damaged"),
    ],
    ids=["results", "empty results", "completions", "chosen", "adapter_config.json", "base.json"],
)
def test_a_damaged_file_is_named_and_the_rest_looked_at(
    past: PastRun, stage: str, name: str, model: str, break_it: Callable[[Path], None], named: str
) -> None:
    file = artifacts(past, stage) / name
    break_it(file)
    found, _ = past_run()
    diagnosis = diagnose_run(found, questions=8)
    assert first(diagnosis) == named, [f.check for f in diagnosis.findings]
    assert file.name in diagnosis.findings[0].what + diagnosis.findings[0].evidence
    assert {"base", "rft", "grpo"} <= {m.model for m in diagnosis.models}
    assert [f.check for f in diagnosis.findings if f.severity == "error"] == [named]


@pytest.mark.parametrize("kept", ["half", "no stage after sft", "nothing"])
def test_a_recipe_that_is_cut_off(past: PastRun, kept: str) -> None:
    file = artifacts(past, "sft").parent.parent / past.run_id / "artifacts" / "recipe.yaml"
    text = file.read_text()
    cut = {"half": text[: len(text) // 2], "nothing": "", "no stage after sft": text[: text.index("  samples:")]}
    file.write_text(cut[kept])
    halved(artifacts(past, "samples") / "completions.parquet")
    emptied(folder_of(past, "rft"))
    diagnosis, page = diagnose()
    assert first(diagnosis) == "recipe-damaged" and str(file) in diagnosis.findings[0].what
    assert {"output-damaged", "adapter-empty"} <= {f.check for f in diagnosis.findings}
    assert {curves.stage for curves in diagnosis.curves} == {"sft", "rft", "grpo"} and "recipe-damaged" in page
