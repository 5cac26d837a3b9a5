"""Checks that need a tokenizer, a model's shape or its logits, on the embedded model; nothing is trained."""

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from orchestrator.answers.formats import TagsFormat
from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.health.adapter import adapter_findings
from orchestrator.health.agreement import Passage, agreement, greedy
from orchestrator.health.base_weights import base_findings
from orchestrator.health.lengths import length_findings
from orchestrator.health.probe import asked, load_engine, origin_findings
from orchestrator.health.row_faults import Row, row_findings
from orchestrator.health.rows import built, known_pairs, rows_findings
from orchestrator.health.weights import weight_findings
from orchestrator.models.base import TINY, BaseModelRef, resolve_model
from orchestrator.models.loading import config_of, context_of, load_base, load_tokenizer, save_adapter
from orchestrator.models.reference import ModelRef
from orchestrator.models.settings import ModelSpec
from orchestrator.plan.plan import Plan, Stage, compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.sampling.engine import Decoding, Request
from orchestrator.sampling.transformers_engine import TransformersEngine
from orchestrator.training.sft import collator
from orchestrator.types import Finding
from tests.conftest import SMALL

BASE = resolve_model(ModelSpec(name="tiny"))
WEIGHTS = "adapter_model.safetensors"


def plan(*overrides: str) -> Plan:
    return compile_plan(load_recipe(SMALL, overrides))


def only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


def checks(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(f.check, f.severity) for f in findings]


@pytest.fixture(scope="module")
def shared_tokenizer() -> Any:
    return load_tokenizer(BASE)


@pytest.fixture
def tokenizer() -> Any:
    return load_tokenizer(BASE)


# --- rows: what is learned


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["task.format.type=hash"],
        ["task.format.type=boxed"],
        ["task.format.prefix=<answer>"],
        ["task.format.chat=true"],
    ],
    ids=["tags", "hash", "boxed", "prefix", "chat"],
)
def test_rows_of_training_begin_with_the_prompt_of_inference(overrides: list[str], tokenizer: Any) -> None:
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}> {{ m.content }}{% endfor %}<assistant> "
    made = plan(*overrides)
    stage = made.stage("sft")
    rows = built(made, stage, tokenizer, known_pairs(made, stage.spec)[:20])  # type: ignore[arg-type]
    assert len(rows) == 20 and list(row_findings("sft", rows, tokenizer)) == []
    for row in rows:
        prompt = prompt_ids(tokenizer, made.recipe.task.format, row.question)
        target = target_ids(tokenizer, row.target)
        assert row.prompt == prompt and row.ids == prompt + target
        assert row.labels == [-100] * len(prompt) + target
        assert row.labels[-1] == tokenizer.eos_token_id


def test_the_token_view_shows_what_is_learned(shared_tokenizer: Any) -> None:
    made = plan()
    found, views = rows_findings(made, made.stage("sft"), shared_tokenizer)
    assert found == [] and [view.stage for view in views] == ["sft", "sft"]
    for view, example in zip(views, made.recipe.task.examples("demonstrations"), strict=False):
        learned = "".join(text for text, trained in view.pieces if trained)
        read = "".join(text for text, trained in view.pieces if not trained)
        assert read == made.recipe.task.format.prompt_text(example.question)
        assert learned == made.recipe.task.target(example) + shared_tokenizer.eos_token
        assert view.trained == len(target_ids(shared_tokenizer, made.recipe.task.target(example)))


def test_the_end_is_learned_though_padding_is_the_end_of_text(tokenizer: Any) -> None:
    tokenizer.pad_token = tokenizer.eos_token
    end = tokenizer.eos_token_id
    rows_of = [
        {"input_ids": [5, 6, 7, end], "labels": [-100, 6, 7, end]},
        {"input_ids": [5, end], "labels": [-100, end]},
    ]
    batch = collator(tokenizer)(rows_of)
    assert batch["labels"].tolist() == [[-100, 6, 7, end], [-100, end, -100, -100]]
    made = plan()
    rows = built(made, made.stage("sft"), tokenizer, known_pairs(made, made.stage("sft").spec)[:5])  # type: ignore[arg-type]
    assert list(row_findings("sft", rows, tokenizer)) == []


def test_what_a_select_stage_will_choose_is_stood_for_by_what_is_known() -> None:
    made = plan("stages.rft.data=[chosen]")
    task = made.recipe.task
    sft, rft = (known_pairs(made, made.stage(name).spec) for name in ("sft", "rft"))  # type: ignore[arg-type]
    assert sft == [(e.question, task.target(e)) for e in task.examples("demonstrations")]
    assert rft == [(e.question, task.target(e)) for e in task.examples("train")]
    both = plan("stages.rft.data=[chosen, demonstrations]")
    assert known_pairs(both, both.stage("rft").spec) == sft  # type: ignore[arg-type]


def test_rows_that_are_too_long_are_named_and_the_others_looked_at(shared_tokenizer: Any) -> None:
    made = plan()
    stage = made.stage("sft")
    lengths = sorted(
        len(prompt_ids(shared_tokenizer, made.recipe.task.format, q)) + len(target_ids(shared_tokenizer, t))
        for q, t in known_pairs(made, stage.spec)  # type: ignore[arg-type]
    )
    limit = lengths[100]
    made = plan(f"stages.sft.max_length={limit}")
    found, views = rows_findings(made, made.stage("sft"), shared_tokenizer)
    long = only(found)
    assert checks([long]) == [("rows-too-long", "error")] and len(views) == 2
    assert f"{sum(n > limit for n in lengths)} of 120 rows" in long.what
    assert f"set stages.sft.max_length to {lengths[-1]} or more" in long.remedy
    enough = plan(f"stages.sft.max_length={lengths[-1]}")
    assert rows_findings(enough, enough.stage("sft"), shared_tokenizer)[0] == []
    none = plan("stages.sft.max_length=1")
    assert checks(rows_findings(none, none.stage("sft"), shared_tokenizer)[0]) == [("rows-too-long", "error")]


def test_rows_that_are_yet_to_be_drawn_may_be_too_long(shared_tokenizer: Any) -> None:
    made = plan()
    longest = max(
        len(prompt_ids(shared_tokenizer, made.recipe.task.format, e.question))
        for e in made.recipe.task.examples("train")
    )

    def found(stage: str, *overrides: str) -> list[Finding]:
        made = plan("stages.samples.max_tokens=300", *overrides)
        return rows_findings(made, made.stage(stage), shared_tokenizer)[0]

    assert found("rft", f"stages.rft.max_length={longest + 300}") == []
    told = only(found("rft", f"stages.rft.max_length={longest + 299}"))
    assert checks([told]) == [("rows-may-be-too-long", "warning")]
    assert f"up to {longest + 300} tokens" in told.what and "stage rft: rows from chosen may" in told.what
    assert f"set stages.rft.max_length to {longest + 300}, or stages.samples.max_tokens to 299" in told.remedy
    assert found("sft", "stages.sft.max_length=200") == [], "it trains on demonstrations, whose length is known"


# --- rows: what can be wrong with them


@pytest.fixture
def row(shared_tokenizer: Any) -> Row:
    prompt = prompt_ids(shared_tokenizer, TagsFormat(), "How many legs has a spider?")
    target = target_ids(shared_tokenizer, "<answer>8</answer>")
    labels = [-100] * len(prompt) + target
    return Row("How many legs has a spider?", "<answer>8</answer>", prompt, target, prompt + target, labels)


def spoilt(row: Row, check: str) -> Row:
    """The row with one fault."""
    at = len(row.prompt)
    return {
        "labels-masked": lambda: replace(row, labels=[-100] * len(row.labels)),
        "end-not-trained": lambda: replace(row, labels=[*row.labels[:-1], -100]),
        "end missing": lambda: replace(row, ids=row.ids[:-1], labels=row.labels[:-1]),
        "prompts-differ": lambda: replace(row, prompt=[*row.prompt[:3], 9, *row.prompt[3:]]),
        "longer prompt": lambda: replace(row, prompt=[*row.ids, 9]),
        "prompt-trained": lambda: replace(row, labels=row.ids[:at] + row.labels[at:]),
        "tokenizer-loses-text": lambda: replace(row, target="<answer>9</answer>"),
    }[check]()


@pytest.mark.parametrize(
    ("fault", "check", "severity", "said"),
    [
        ("labels-masked", "labels-masked", "error", "1 of 3 rows have only masked labels"),
        ("end-not-trained", "end-not-trained", "error", "1 of 3 rows do not end in a label for the end of text"),
        ("end missing", "end-not-trained", "error", "1 of 3 rows do not end in a label"),
        ("prompts-differ", "prompts-differ", "error", "in 1 of 3 rows the prompt in training is not the prompt"),
        ("longer prompt", "prompts-differ", "error", "in 1 of 3 rows"),
        ("prompt-trained", "prompt-trained", "warning", "in 1 of 3 rows the loss includes the prompt"),
        ("tokenizer-loses-text", "tokenizer-loses-text", "error", "1 of 3 rows are not the same text"),
    ],
)
def test_one_spoilt_row_is_found(
    fault: str, check: str, severity: str, said: str, row: Row, shared_tokenizer: Any
) -> None:
    found = only(row_findings("sft", [row, spoilt(row, fault), row], shared_tokenizer))
    assert (found.check, found.severity) == (check, severity)
    assert found.what.startswith("stage sft: ") and said in found.what and found.evidence and found.remedy


def test_where_two_prompts_part_is_said(row: Row, shared_tokenizer: Any) -> None:
    found = only(row_findings("sft", [spoilt(row, "prompts-differ")], shared_tokenizer))
    assert "they first differ at token 3" in found.evidence


def test_bos_twice_is_found(row: Row, tokenizer: Any) -> None:
    tokenizer.bos_token = tokenizer.eos_token
    bos = tokenizer.bos_token_id
    once = replace(row, prompt=[bos, *row.prompt], ids=[bos, *row.ids], labels=[-100, *row.labels])
    assert list(row_findings("sft", [once], tokenizer)) == []
    twice = replace(once, prompt=[bos, *once.prompt], ids=[bos, *once.ids], labels=[-100, *once.labels])
    found = only(row_findings("sft", [once, twice], tokenizer))
    assert found.check == "double-bos" and "1 of 2 rows" in found.what


# --- lengths


def lengths(made: Plan, tokenizer: Any, context: int | None = None) -> list[Finding]:
    return list(length_findings(made, made.stages, tokenizer, context))


def longest(made: Plan, tokenizer: Any) -> list[int]:
    task = made.recipe.task
    return sorted(len(target_ids(tokenizer, task.target(e))) for e in task.examples("demonstrations"))


def test_answers_that_fit(shared_tokenizer: Any) -> None:
    made = plan()
    need = longest(made, shared_tokenizer)[-1]
    fits = [f"{s}={need}" for s in ("evaluate.max_tokens", "stages.samples.max_tokens")]
    assert lengths(plan(*fits, f"stages.grpo.max_completion_length={need}"), shared_tokenizer) == []


@pytest.mark.parametrize(
    ("setting", "stage"),
    [
        ("evaluate.max_tokens", "evaluate.base"),
        ("stages.samples.max_tokens", "samples"),
        ("stages.grpo.max_completion_length", "grpo"),
    ],
)
def test_answers_that_are_cut_off(setting: str, stage: str, shared_tokenizer: Any) -> None:
    roomy = ["evaluate.max_tokens=200", "stages.samples.max_tokens=200", "stages.grpo.max_completion_length=200"]
    sizes = longest(plan(), shared_tokenizer)
    found = only(lengths(plan(*roomy, f"{setting}={sizes[-1] - 1}"), shared_tokenizer))
    few = sum(n == sizes[-1] for n in sizes)
    assert found.check == "answers-cut-off" and found.what.startswith(f"stage {stage}: {few} of 120 targets")
    assert found.severity == ("error" if few >= 6 else "warning")
    assert f"the longest has {sizes[-1]} tokens" in found.evidence
    found = only(lengths(plan(*roomy, f"{setting}=5"), shared_tokenizer))
    assert found.severity == "error" and "120 of 120" in found.what and setting.rpartition(".")[2] in found.remedy
    wanted = int(found.remedy.split(" to ")[1].split()[0])
    assert lengths(plan(*roomy, f"{setting}={wanted}"), shared_tokenizer) == []


def test_prompts_that_do_not_fit_into_the_model(shared_tokenizer: Any) -> None:
    made = plan("evaluate.max_tokens=64")
    task = made.recipe.task
    widest = {
        split: max(len(prompt_ids(shared_tokenizer, task.format, e.question)) for e in task.examples(split))
        for split in ("train", "test")
    }
    assert "context-too-small" not in dict(checks(lengths(made, shared_tokenizer, max(widest.values()) + 64)))
    evaluation = [s for s in made.stages if s.verb == "evaluate"]

    def at(context: int) -> list[Finding]:
        found = length_findings(made, evaluation, shared_tokenizer, context)
        return [f for f in found if f.check == "context-too-small"]

    assert only(at(widest["test"] + 63)).severity == "warning"
    assert only(at(widest["test"])).severity == "error"
    assert at(widest["test"] + 64) == []
    assert f"({widest['test']} tokens)" in only(at(10)).what


def test_the_context_is_the_models_own() -> None:
    assert context_of(config_of(BASE)) == json.loads((TINY / "config.json").read_text())["max_position_embeddings"]
    silent = SimpleNamespace(get_text_config=lambda: SimpleNamespace())
    assert context_of(silent) is None


# --- weights: LoRA's targets and size


def weights(made: Plan, work: Path | None = None, elsewhere: bool = False) -> list[Finding]:
    stages: list[Stage] = [s for s in made.stages if s.spec.makes_model]
    return list(weight_findings(made, stages, config_of(BASE), work or Path.cwd(), elsewhere))


def lora_size(r: int, *names: str) -> int:
    """Parameters of an adapter, from the shapes of the layers: r (in + out) for each."""
    modules = dict(load_base(BASE).named_modules())
    head = {"lm_head"}
    found = [m for n, m in modules.items() if isinstance(m, torch.nn.Linear) and n.rpartition(".")[2] not in head]
    if names:
        found = [m for n, m in modules.items() if n.rpartition(".")[2] in names]
    return sum(r * (m.in_features + m.out_features) for m in found)


def saved_size(folder: Path, **lora: Any) -> int:
    """Number of parameters in the file of an adapter that PEFT makes."""
    get_peft_model(load_base(BASE), LoraConfig(task_type="CAUSAL_LM", **lora)).save_pretrained(folder)
    return sum(tensor.numel() for tensor in load_file(folder / WEIGHTS).values())


@pytest.mark.parametrize(
    ("modules", "reached"),
    [
        ("all-linear", ""),
        (["q_proj", "v_proj"], ""),
        (["lm_head"], "lm_head"),
        (["q_proj", "lm_head"], "lm_head"),
        (r".*\.embed_tokens", "model.embed_tokens"),
    ],
)
def test_an_adapter_on_tied_weights_is_refused(modules: Any, reached: str) -> None:
    """The embedded model's input embeddings and output head are one matrix."""
    found = weights(plan(f"stages.sft.lora={json.dumps({'target_modules': modules})}", "stages.rft.model=sft"))
    tied = [f for f in found if f.check == "lora-target-tied"]
    assert [f.severity for f in tied] == ["error"] * bool(reached)
    assert not tied or tied[0].what.startswith(f"stage sft: lora.target_modules reaches {reached}, whose weights are")
    untied = config_of(BASE)
    untied.tie_word_embeddings = False
    made = plan(f"stages.sft.lora={json.dumps({'target_modules': modules})}", "stages.rft.model=sft")
    free = weight_findings(made, [s for s in made.stages if s.spec.makes_model], untied, Path.cwd())
    assert "lora-target-tied" not in [f.check for f in free]


@pytest.mark.parametrize(
    ("lora", "names"),
    [({"r": 16}, ()), ({"r": 3, "target_modules": ["q_proj", "down_proj"]}, ("q_proj", "down_proj"))],
)
def test_the_size_of_an_adapter_is_right_to_the_parameter(lora: dict[str, Any], names: tuple[str, ...]) -> None:
    expected = lora_size(lora["r"], *names)
    assert saved_size(Path("saved"), **{"target_modules": "all-linear"} | lora) == expected
    given = f"stages.sft.lora={json.dumps(lora)}"
    limit = expected * 4 / 1e6
    resources = "stages.rft.model=sft"  # no other stage starts a new adapter
    assert checks(weights(plan(given, resources, f"limits.adapter_mb={limit}"))) == [("resources", "info")]
    found = weights(plan(given, resources, f"limits.adapter_mb={limit - 1e-5}"))
    assert checks(found) == [("adapter-too-large", "error"), ("resources", "info")]
    assert f"{expected:,} parameters in float32 at r = {lora['r']}" in found[0].evidence
    assert found[0].what.startswith("stage sft: ")


def test_the_size_on_disk_is_what_was_said() -> None:
    parameters = saved_size(Path("saved"), r=16, lora_alpha=32, target_modules="all-linear")
    on_disk = (Path("saved") / WEIGHTS).stat().st_size
    assert parameters == lora_size(16) and 4 * parameters < on_disk < 1.05 * 4 * parameters


def test_the_advice_on_a_large_adapter_is_good() -> None:
    found = weights(plan("stages.sft.lora={r: 64}", "stages.rft.lora={r: 64}", "limits.adapter_mb=0.5"))[0]
    assert found.check == "adapter-too-large" and "stage sft, rft: " in found.what, "one adapter, two stages"
    r = int(found.remedy.split("lora.r to ")[1].split(",")[0])
    less = [f"stages.{s}.lora={{r: {r}}}" for s in ("sft", "rft")]
    assert checks(weights(plan(*less, "limits.adapter_mb=0.5"))) == [("resources", "info")]


def test_targets_that_the_model_does_not_have() -> None:
    found = weights(plan("stages.sft.lora={target_modules: [c_attn, c_proj]}"))[0]
    assert (found.check, found.severity) == ("lora-target-missing", "error")
    assert found.what.startswith("stage sft: ") and "c_attn" in found.what
    assert "down_proj, gate_proj, k_proj" in found.evidence and "all-linear" in found.remedy


def test_memory_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("the GPU's memory counts there")
    parameters = sum(p.numel() for p in load_base(BASE).parameters())
    least = parameters * 4 + lora_size(16) * 16
    memory = {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": int(least / 0.9) + 1}
    monkeypatch.setattr(os, "sysconf", memory.__getitem__)
    assert checks(weights(plan())) == [("resources", "info")]
    memory["SC_PAGE_SIZE"] = int(least / 0.9) - 1
    assert checks(weights(plan())) == [("memory-too-small", "error")]
    found = only(weights(plan(), elsewhere=True))
    assert (found.check, found.severity) == ("memory-too-small", "warning"), "it may be trained on another machine"
    assert "this machine" not in found.what and "the checked machine has" in found.what


def test_a_disk_that_is_nearly_full(monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(free=3 * lora_size(16) * 28)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: free)
    assert checks(weights(plan())) == [("resources", "info")]
    free.free -= 1
    found = only(weights(plan(), Path("not") / "there" / "yet"))
    assert (found.check, found.severity) == ("disk-too-small", "error") and "storage" in found.remedy


# --- agreement: is a text the model's own


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine(ModelRef("base", BASE))


QUESTIONS = ["7 h to min: 1 h", "12 kg", "A mile is", "3 * 40 = ", "There are 60 seconds in a", "x", "5 km to m: 1 km"]


@pytest.fixture(scope="module")
def passages(engine: TransformersEngine) -> list[Passage]:
    """Greedy continuations, generated in one padded batch."""
    prompts = [tuple(engine.tokenizer(text)["input_ids"]) for text in QUESTIONS]
    made = engine.generate([Request(prompt, 0) for prompt in prompts], Decoding(0.0, 1.0, 24))
    return [Passage(p, m.ids, m.finish_reason == "stop") for p, m in zip(prompts, made, strict=True)]


def other(token: int) -> int:
    return token + 1 if token < 100 else token - 1


def own(engine: TransformersEngine, given: list[Passage]) -> float:
    return float(agreement(engine.model, given, engine.stops))


def test_what_a_model_writes_is_its_own(engine: TransformersEngine, passages: list[Passage]) -> None:
    assert len(passages) == 7 and own(engine, passages) == 1.0
    assert [greedy(engine.model, p.prompt, engine.stops, 24) for p in passages] == passages
    short = greedy(engine.model, passages[0].prompt, engine.stops, 5)
    assert short == Passage(passages[0].prompt, passages[0].text[:5], False)


def test_each_token_counts(engine: TransformersEngine, passages: list[Passage]) -> None:
    total = sum(len(p.text) + p.ended for p in passages)
    first = passages[0]
    last = replace(first, text=(*first.text[:-1], other(first.text[-1])), ended=False)
    assert own(engine, [last, *(replace(p, ended=False) for p in passages[1:])]) == pytest.approx(
        1 - 1 / (total - sum(p.ended for p in passages)), abs=1e-9
    )
    early = [replace(p, text=(*p.text[:2], other(p.text[2]), *p.text[3:])) for p in passages]
    assert own(engine, early) < 0.96, "after a changed token the text would continue differently"


def test_the_end_is_any_token_that_ends_a_text(engine: TransformersEngine, passages: list[Passage]) -> None:
    first = replace(passages[0], ended=True)
    after = greedy(engine.model, first.prompt + first.text, (), 1).text[0]
    n = len(first.text) + 1
    assert float(agreement(engine.model, [first], [0, after])) == 1.0
    assert float(agreement(engine.model, [first], [other(after)])) == pytest.approx((n - 1) / n)


def test_the_text_of_another_question_is_not_the_models(engine: TransformersEngine, passages: list[Passage]) -> None:
    swapped = [replace(p, text=q.text) for p, q in zip(passages, passages[1:] + passages[:1], strict=True)]
    assert own(engine, swapped) < 0.95


def test_half_precision_makes_a_text_no_less_the_models(engine: TransformersEngine) -> None:
    """Written in bfloat16, as on a GPU, and checked in float32, and the other way round."""
    recipe = load_recipe(SMALL)
    half = TransformersEngine(ModelRef("base", replace(BASE, dtype="bfloat16")))
    assert half.model.dtype is torch.bfloat16
    for writer, looker, ref in ((half, engine, BASE), (engine, half, replace(BASE, dtype="bfloat16"))):
        rows = asked(writer, recipe.task, recipe.task.examples("test")[:24], 64)
        assert list(origin_findings("base", ModelRef("base", ref), looker, recipe.task, rows, 64)) == []


def test_a_text_that_ended_in_another_end_token_is_the_models_own(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chat models end their turn with a token that is not the tokenizer's end of text."""
    recipe = load_recipe(SMALL)
    comma = engine.tokenizer(",")["input_ids"][0]
    monkeypatch.setattr(engine, "stops", sorted({*engine.stops, comma}))
    rows = asked(engine, recipe.task, recipe.task.examples("test")[:24], 64)
    assert sum(row.finish_reason == "stop" for row in rows) > 4
    assert list(origin_findings("base", ModelRef("base", BASE), engine, recipe.task, rows, 64)) == []


def test_a_text_that_is_written_again_is_the_models_own_in_whatever_tokens(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(SMALL)
    ref, task = ModelRef("base", BASE), recipe.task
    rows = asked(engine, task, task.examples("test")[:12], 24)
    monkeypatch.setattr("orchestrator.health.probe.agreement", lambda *_: 0.0)  # as if tokenized differently
    assert list(origin_findings("base", ref, engine, task, rows, 24)) == []
    longer = [replace(row, text=f"{row.text} {row.text}") for row in rows]
    assert list(origin_findings("base", ref, engine, task, longer, 24)) == [], "compared as far as it was generated"
    table = [replace(row, text="7", finish_reason="stop") for row in rows]
    assert checks(origin_findings("base", ref, engine, task, table, 24)) == [("not-the-model", "error")]


@pytest.mark.parametrize("settings", [[], ["task.format.stop=['\\n']"], ["evaluate.max_tokens=7"]])
def test_what_is_asked_now_is_found_to_be_the_models_own(settings: list[str], engine: TransformersEngine) -> None:
    recipe = load_recipe(SMALL, settings)
    task, limit = recipe.task, recipe.evaluate.max_tokens
    rows = asked(engine, task, task.examples("test")[:12], limit)
    ref = ModelRef("base", BASE)
    assert len({row.text for row in rows}) > 4
    assert list(origin_findings("base", ref, engine, task, rows, limit)) == []
    table = [replace(row, text=f"<answer>{row.gold}</answer>", finish_reason="stop", status="correct") for row in rows]
    found = only(origin_findings("base", ref, engine, task, table, limit))
    assert found.check == "not-the-model" and "stored 12 of 12" in found.evidence
    assert list(origin_findings("base", ref, engine, task, table[:3], limit)) == [], "three texts prove nothing"


# --- adapters


def made_adapter(folder: Path, base: BaseModelRef = BASE, seed: int = 0) -> Path:
    """An adapter as training saves it, its B matrices filled at random."""
    torch.manual_seed(seed)
    model = load_base(base)
    lora = {"target_modules": "all-linear", "fan_in_fan_out": model.config.model_type == "gpt2"}
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, **lora))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    save_adapter(model, ModelRef("m", base), folder, TagsFormat().model_dump(mode="json"))
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_adapter(tmp_path_factory.mktemp("adapter") / "model")


@pytest.fixture
def adapter(sound: Path) -> Path:
    return Path(shutil.copytree(sound, "adapter"))


def found_in(folder: Path, base: BaseModelRef = BASE) -> list[Finding]:
    return list(adapter_findings("m", folder, base))


def test_a_sound_adapter(adapter: Path) -> None:
    assert found_in(adapter) == []
    (adapter / "base.json").unlink()
    assert found_in(adapter) == [], "an adapter made elsewhere"


def changed(folder: Path, change: Callable[[str, torch.Tensor], torch.Tensor | None]) -> None:
    tensors = {key: change(key, tensor) for key, tensor in load_file(folder / WEIGHTS).items()}
    save_file({k: t.contiguous() for k, t in tensors.items() if t is not None}, folder / WEIGHTS)


def first_only(value: float) -> Callable[[str, torch.Tensor], torch.Tensor]:
    """Write a value to one place of one tensor."""
    done: list[str] = []

    def change(key: str, tensor: torch.Tensor) -> torch.Tensor:
        if not done:
            done.append(key)
            tensor.view(-1)[0] = value
        return tensor

    return change


def truncate(file: Path, share: float) -> None:
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])


FAULTS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "weights gone": ("adapter-missing", lambda f: (f / WEIGHTS).unlink()),
    "settings gone": ("adapter-missing", lambda f: (f / "adapter_config.json").unlink()),
    "folder gone": ("adapter-missing", shutil.rmtree),
    "weights empty": ("adapter-empty", lambda f: (f / WEIGHTS).write_bytes(b"")),
    "weights cut off": ("adapter-damaged", lambda f: truncate(f / WEIGHTS, 0.6)),
    "one byte short": ("adapter-damaged", lambda f: truncate(f / WEIGHTS, 1 - 1e-5)),
    "no weights at all": ("adapter-damaged", lambda f: (f / WEIGHTS).write_text("version https://git-lfs")),
    "settings empty": ("adapter-damaged", lambda f: (f / "adapter_config.json").write_text("")),
    "settings of something else": ("adapter-damaged", lambda f: (f / "adapter_config.json").write_text("{}")),
    "settings no object": ("adapter-damaged", lambda f: (f / "adapter_config.json").write_text("[]")),
    "settings binary": ("adapter-damaged", lambda f: (f / "adapter_config.json").write_bytes(b"\xff\xfe\x00")),
    "base unreadable": ("adapter-damaged", lambda f: (f / "base.json").write_text("{")),
    "NaN": ("adapter-not-finite", lambda f: changed(f, first_only(float("nan")))),
    "infinity": ("adapter-not-finite", lambda f: changed(f, first_only(float("-inf")))),
    "B zero": ("adapter-zero", lambda f: changed(f, lambda key, t: t * 0 if "lora_B" in key else t)),
    "A wider": ("adapter-other-base", lambda f: changed(f, lambda k, t: t.repeat(1, 2) if "lora_A" in k else t)),
    "B taller": ("adapter-other-base", lambda f: changed(f, lambda k, t: t.repeat(2, 1) if "lora_B" in k else t)),
    "other digest": ("adapter-other-base", lambda f: (f / "base.json").write_text('{"name": "x", "digest": "0f0f"}')),
}


@pytest.mark.parametrize(("check", "spoil"), FAULTS.values(), ids=FAULTS.keys())
def test_a_broken_adapter_is_found(check: str, spoil: Callable[[Path], Any], adapter: Path) -> None:
    spoil(adapter)
    found = only(found_in(adapter))
    assert (found.check, found.severity) == (check, "error")
    assert found.what.startswith("model m: ") and found.evidence and found.cause and found.remedy


def test_what_is_there_is_said_where_something_is_missing(adapter: Path) -> None:
    (adapter / WEIGHTS).unlink()
    assert "adapter_config.json (" in only(found_in(adapter)).evidence
    assert only(found_in(Path("nowhere"))).evidence == "contents of the folder: no such folder"


@pytest.mark.parametrize("half", ["lora_A", "lora_B"])
def test_a_tensor_that_is_gone_is_found(half: str, adapter: Path) -> None:
    """PEFT loads the rest, and initializes the missing half of the pair."""
    first = next(key for key in load_file(adapter / WEIGHTS) if half in key)
    changed(adapter, lambda key, tensor: None if key == first else tensor)
    found = only(found_in(adapter))
    assert found.check == "adapter-damaged" and f"1 of {len(load_file(adapter / WEIGHTS))} tensors" in found.what
    assert first in found.evidence


def test_only_some_b_matrices_are_zero(adapter: Path) -> None:
    changed(adapter, lambda key, tensor: tensor * 0 if "lora_B" in key and "layers.0" in key else tensor)
    assert found_in(adapter) == []


def whole_copy(name: str, change: Callable[[str, torch.Tensor], torch.Tensor] | None = None) -> BaseModelRef:
    """Another base: a copy of the embedded one with changed weights."""
    folder = Path(shutil.copytree(TINY, name))
    if change is not None:
        tensors = load_file(folder / "model.safetensors")
        save_file({k: change(k, t) for k, t in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    return resolve_model(ModelSpec(name=str(folder.resolve())))


def test_an_adapter_on_weights_that_have_moved(adapter: Path) -> None:
    found = only(found_in(adapter, whole_copy("moved", lambda key, tensor: tensor * 1.01)))
    assert found.check == "adapter-other-base" and "trained on tiny with digest" in found.evidence
    assert found_in(adapter, whole_copy("same")) == [], "the same files under another name are the same weights"


def test_an_adapter_on_a_base_that_holds_it_already(adapter: Path) -> None:
    merged = PeftModel.from_pretrained(load_base(BASE), adapter).merge_and_unload()
    shutil.copytree(TINY, "merged")
    merged.save_pretrained("merged")
    ref = resolve_model(ModelSpec(name=str(Path("merged").resolve())))
    found = only(found_in(adapter, ref))
    assert found.check == "merged-twice" and "B A in" in found.evidence
    another = made_adapter(Path("another"), seed=1)
    assert only(found_in(another, ref)).check == "adapter-other-base", "it contains an adapter, but not this one"


@pytest.mark.parametrize(
    "spoil",
    [lambda file: truncate(file, 0.5), lambda file: file.write_text("version https://git-lfs"), Path.touch],
    ids=["cut off", "a pointer", "empty"],
)
def test_a_base_that_cannot_be_read(spoil: Callable[[Path], Any], adapter: Path) -> None:
    ref = whole_copy("bad")
    file = Path("bad") / "model.safetensors"
    if spoil is Path.touch:
        file.unlink()
    spoil(file)
    base, on_it = only(base_findings(ref)), only(found_in(adapter, ref))
    assert (base.check, base.severity) == ("base-damaged", "error") and base == on_it
    assert "\n" not in base.what and str(Path("bad").resolve()) in base.evidence
    engine = load_engine("m", ModelRef("m", ref))
    assert isinstance(engine, Finding) and engine.check == "base-damaged"
    engine = load_engine("m", ModelRef("m", BASE, str(made_adapter(Path("narrow"), gpt2()))))
    assert isinstance(engine, Finding) and engine.check == "adapter-other-base"


def gpt2(name: str = "gpt2", seed: int = 0) -> BaseModelRef:
    """A small GPT-2 model, whose weights are stored as (in, out)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    size = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
    shutil.copytree(TINY, name, dirs_exist_ok=True)
    vocabulary = json.loads((TINY / "config.json").read_text())["vocab_size"]
    GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, **size)).save_pretrained(name)
    return resolve_model(ModelSpec(name=str(Path(name).resolve())))


def test_an_adapter_of_a_model_that_stores_its_weights_transposed() -> None:
    base = gpt2()
    folder = made_adapter(Path("conv"), base)
    assert json.loads((folder / "adapter_config.json").read_text())["fan_in_fan_out"] is True
    assert found_in(folder, base) == []
    merged = PeftModel.from_pretrained(load_base(base), folder).merge_and_unload()
    shutil.copytree("gpt2", "merged")
    merged.save_pretrained("merged")
    twice = only(found_in(folder, resolve_model(ModelSpec(name=str(Path("merged").resolve())))))
    assert twice.check == "merged-twice" and "in 8 modules" in twice.evidence
    edit = json.loads((folder / "adapter_config.json").read_text()) | {"fan_in_fan_out": False}
    (folder / "adapter_config.json").write_text(json.dumps(edit))
    assert only(found_in(folder, base)).check == "adapter-other-base"


def test_a_base_with_nan_in_it() -> None:
    assert list(base_findings(BASE)) == []
    spoilt_base = whole_copy("bad", lambda k, t: t * float("nan") if k == "model.norm.weight" else t)
    found = only(base_findings(spoilt_base))
    assert (found.check, found.severity, found.evidence) == ("base-not-finite", "error", "model.norm.weight")


def test_what_training_writes_beside_an_adapter(adapter: Path) -> None:
    assert json.loads((adapter / "base.json").read_text()) | {"copy": None} == asdict(BASE)
    assert json.loads((adapter / "answer_format.json").read_text()) == json.loads(
        json.dumps(TagsFormat().model_dump(mode="json"))
    )
