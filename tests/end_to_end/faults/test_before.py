"""Faults that are reported before anything is spent: by the recipe's schema, by its data, or by `orch check`."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from orchestrator.commands.plan import plan
from orchestrator.errors import DataError, FormatChange, ModelError, RecipeError
from orchestrator.training import sft as sft_module
from tests.end_to_end.faults.recipes import HEALTHY, adapter, conversions, edit_json, looked_at, recipe, rows, tiny_copy


@dataclass(frozen=True)
class Fault:
    """A faulty setup, and the check that must name it first."""

    named: str
    overrides: tuple[str, ...] = ()
    blocks: Callable[[], dict[str, Any]] = dict
    says: str = ""


def with_files(**splits: list[dict[str, Any]]) -> dict[str, Any]:
    sources = {split: {"file": rows(f"{split}.jsonl", content)} for split, content in splits.items()}
    return {"task": {"type": "file"} | sources}


def files(
    demonstrations: list[dict[str, Any]] | None = None,
    train: list[dict[str, Any]] | None = None,
    test: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """A recipe on a user's own files; files not given are sound."""
    return with_files(
        demonstrations=demonstrations or conversions(24),
        train=train or conversions(24, 100),
        test=test or conversions(200, 1000),
    )


def other(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return row | changes


def solutions_in_questions() -> dict[str, Any]:
    told = [other(r, question=f"{r['question']} {r['demonstration']}") for r in conversions(24)]
    return files(demonstrations=told)


def wrong_solutions() -> dict[str, Any]:
    return files(demonstrations=[other(r, answer=r["answer"] * 3) for r in conversions(24)])


def shouted_test() -> dict[str, Any]:
    shouted = [other(r, question=r["question"].upper().replace(",", " -")) for r in conversions(24, 100)]
    return files(test=[*shouted, *conversions(180, 1000)])


def bos_twice() -> dict[str, Any]:
    """A tokenizer that adds BOS, and a prompt that begins with it."""
    folder = tiny_copy()
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    end = "<|end|>"
    token = next(t["id"] for t in tokenizer["added_tokens"] if t["content"] == end)
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": end, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {end: {"id": end, "ids": [token], "tokens": [end]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    edit_json(folder / "tokenizer_config.json", bos_token=end)
    return {"model": {"name": str(folder)}}


def lower_case_tokenizer() -> dict[str, Any]:
    folder = tiny_copy()
    edit_json(folder / "tokenizer.json", normalizer={"type": "Lowercase"})
    return {"model": {"name": str(folder)}}


def a_few_answers_told() -> dict[str, Any]:
    told = [other(r, question=f"{r['question']} {r['demonstration']}") for r in conversions(4)]
    return files(demonstrations=[*told, *conversions(20, 50)])


def slipped() -> dict[str, Any]:
    """Gold answers that are one row too low: each solution ends in the next row's gold answer."""
    sound = conversions(24)
    return files(demonstrations=[other(r, answer=sound[n - 1]["answer"]) for n, r in enumerate(sound)])


def swapped() -> dict[str, Any]:
    turned = [{"question": str(r["answer"]), "answer": f"How long is {r['answer']} cm?"} for r in conversions(24, 100)]
    return {"task": files(train=turned)["task"] | {"judge": {"type": "exact"}}}


def one_solution() -> dict[str, Any]:
    return files(demonstrations=[other(r, demonstration=conversions(1)[0]["demonstration"]) for r in conversions(24)])


def half_empty() -> dict[str, Any]:
    sound = conversions(24)
    return files(demonstrations=[other(r, demonstration="") if n % 2 else r for n, r in enumerate(sound)])


def reworded_test() -> dict[str, Any]:
    short = [{"question": f"{word} is {n}?", "answer": n} for n, word in enumerate(WORDS)]
    return files(train=short, test=[other(r, question=f"Say, {r['question']}") for r in short] + conversions(180, 1000))


WORDS = [f"{a} {b} {c}" for a in ("red", "blue", "old") for b in ("cat", "sun", "hat") for c in ("one", "two", "six")]
DRAWS = {
    "sft": {"type": "sft"},
    "samples": {"type": "sample", "model": "sft", "max_tokens": 1000},
    "chosen": {"type": "select", "from": "samples"},
    "rft": {"type": "sft", "data": ["demonstrations", "chosen"], "max_length": 1010},
}
LARGE = "stages.sft.lora={r: 600}"
FAULTS = {
    "the opening tag stands only in the prompt": Fault(
        "opening-in-prompt", ('task.format.prompt="{question}\\n<answer>"',), says="task.format.prefix"
    ),
    "the boxed opening stands only in the prompt": Fault(
        "opening-in-prompt", ("task.format.type=boxed", r"task.format.prompt='{question} \boxed{'")
    ),
    "worked solutions end in another answer than their row": Fault("gold-round-trip", blocks=wrong_solutions),
    "a stop text stands before the answer": Fault("gold-round-trip", ('task.format.stop=["to"]',), files),
    "all answers are cut off by max_length": Fault("rows-too-long", ("stages.sft.max_length=30",)),
    "answers do not fit into max_tokens": Fault("answers-cut-off", ("evaluate.max_tokens=12",), says="max_tokens"),
    "completions of GRPO are too short": Fault("answers-cut-off", ("stages.grpo.max_completion_length=8",)),
    "test questions in the training set, in capitals": Fault("test-in-training", blocks=shouted_test),
    "test questions in the training set, with another beginning": Fault(
        "near-duplicates", blocks=reworded_test, says="27 of 207"
    ),
    "gold answers that have slipped by a row": Fault("answers-shifted", blocks=slipped, says="next row"),
    "questions and answers swapped": Fault("columns-swapped", blocks=swapped, says="columns.question"),
    "one gold answer for all": Fault(
        "gold-constant", blocks=lambda: files(train=[other(r, answer=7) for r in conversions(24, 100)]), says="all 24"
    ),
    "one worked solution for all": Fault("demonstrations-alike", blocks=one_solution, says="24 of 24"),
    "half of the worked solutions missing": Fault("demonstrations-empty", blocks=half_empty, says="12 of 24"),
    "one row, many times": Fault(
        "rows-repeated", blocks=lambda: files(train=conversions(1, 100) * 60), says="59 of 60"
    ),
    "the question holds its solution": Fault("answer-in-prompt", blocks=solutions_in_questions),
    "a few questions hold their solution": Fault("answer-in-prompt", blocks=a_few_answers_told, says="4 of 24"),
    "a marker in other letters stands only in the prompt": Fault(
        "opening-in-prompt", ('task.format={type: marker, prompt: "{question}\\nFinal answer:"}',)
    ),
    "draws may be longer than training takes": Fault("rows-may-be-too-long", blocks=lambda: {"stages": DRAWS}),
    "GRPO goes on after the stop text": Fault("stop-not-in-grpo", ("task.format.stop=[</answer>]",)),
    "LoRA targets of another architecture": Fault(
        "lora-target-missing", ("stages.sft.lora={target_modules: [c_attn]}",), says="q_proj"
    ),
    "an adapter beyond the limit": Fault("adapter-too-large", (LARGE,), says="limits.adapter_mb"),
    "a chat template that is not there": Fault("chat-template-missing", ("task.format.chat=true",)),
    "BOS in the prompt and from the tokenizer": Fault(
        "double-bos", ('task.format.prompt="<|end|>{question}\\n"',), bos_twice
    ),
    "a tokenizer that loses capitals": Fault("tokenizer-loses-text", blocks=lower_case_tokenizer),
    "a test of twenty questions": Fault("test-too-small", ("task.test.generate=20",), says="difference"),
    "a run under the folder for temporary files": Fault("temporary-folder", ("storage=/tmp/orch-fault",)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_check_names_it_first(fault: Fault) -> None:
    report = looked_at(*fault.overrides, **fault.blocks())
    first = report.findings[0]
    assert first.check == fault.named, [f.check for f in report.findings]
    assert fault.says in f"{first.what} {first.evidence} {first.remedy}"
    assert first.cause and first.remedy


def test_the_healthy_recipe_has_no_error_and_no_warning() -> None:
    report = looked_at()
    assert [f.check for f in report.findings if f.severity != "info"] == []
    assert report.rows and all(0 < row.trained < len(row.pieces) for row in report.rows)


# --- what looks like a fault but is none


def marked_in_instructions() -> dict[str, Any]:
    return {"task": {**HEALTHY["task"], "format": {"type": "hash", "prompt": "{question}\nEnd in ####"}}}


def numbers_alike() -> dict[str, Any]:
    """Test questions that differ from training questions only in a sign or a point before a number."""
    train = [other(r, question=f"How much is {r['answer']}!, f'({r['answer']})?") for r in conversions(24, 100)]
    test = [other(r, question=f"How much is {r['answer']}, f(.{r['answer']})?") for r in conversions(24, 100)]
    return files(train=train, test=[*test, *conversions(180, 1000)])


@pytest.mark.parametrize("blocks", [marked_in_instructions, numbers_alike])
def test_nothing_is_said_of_it(blocks: Callable[[], dict[str, Any]]) -> None:
    assert [f.check for f in looked_at(**blocks()).findings if f.severity != "info"] == []


def test_what_the_recipe_ignores_is_told_and_refuses_nothing() -> None:
    report = looked_at("limits.ignore=test-in-training", **shouted_test())
    [found] = [f for f in report.findings if f.check == "test-in-training"]
    assert found.severity == "info" and found.what.endswith("(ignored by limits.ignore)")
    assert not report.errors and report.rows


def test_gold_answers_that_the_recipe_lets_pass_cost_no_other_check() -> None:
    report = looked_at("limits.ignore=[gold-round-trip]", "evaluate.max_tokens=12", **wrong_solutions())
    assert [f.check for f in report.errors] == ["answers-cut-off"] and report.rows


# --- faulty code


def test_labels_that_are_all_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = sft_module.tokenized

    def masked(job: Any, tokenizer: Any) -> Any:
        return sound(job, tokenizer).map(lambda row: {"labels": [-100] * len(row["labels"])})

    monkeypatch.setattr("orchestrator.health.rows.tokenized", masked)
    assert looked_at().findings[0].check == "labels-masked"


def test_the_end_of_text_masked_together_with_the_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_copy()
    edit_json(folder / "tokenizer_config.json", pad_token="<|end|>")

    def by_id(tokenizer: Any) -> Any:
        def put_together(batch: list[dict[str, Any]]) -> Any:
            made = sft_module.collator(tokenizer)(batch)
            made["labels"][made["input_ids"] == tokenizer.pad_token_id] = -100
            return made

        return put_together

    monkeypatch.setattr("orchestrator.health.rows.collator", by_id)
    first = looked_at(model={"name": str(folder)}).findings[0]
    assert first.check == "end-not-trained" and "padding is the end of text" in first.cause


def test_a_template_in_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = sft_module.prompt_ids

    def with_template(tokenizer: Any, answer_format: Any, question: str) -> list[int]:
        return sound(tokenizer, answer_format, f"User: {question} Assistant:")

    monkeypatch.setattr(sft_module, "prompt_ids", with_template)
    first = looked_at().findings[0]
    assert first.check == "prompts-differ" and "they first differ at token" in first.evidence


# --- what is refused outright, by name


def test_gold_answers_that_do_not_parse() -> None:
    vague = [other(r, answer="about five") for r in conversions(3, 100)]
    with pytest.raises(DataError, match="'about five': it is not a number"):
        looked_at(**files(train=vague))


def test_test_questions_in_the_training_set() -> None:
    with pytest.raises(DataError, match=r"also appear in task\.train"):
        looked_at(**files(test=conversions(20, 110)))


def test_completions_that_cannot_be_cut_into_groups() -> None:
    with pytest.raises(RecipeError, match="cannot be cut into groups of num_generations = 8"):
        looked_at("stages.grpo.per_device_train_batch_size=12")


def test_another_format_than_the_model_was_trained_with() -> None:
    folder = adapter()
    with pytest.raises(FormatChange) as caught:
        looked_at("task.format.type=boxed", model={"name": str(folder)})
    told = str(caught.value)
    assert caught.value.exit_code == 3
    assert "<answer>42</answer>" in told and r"\boxed{42}" in told and "they first differ at" in told
    allowed = plan(recipe("task.format.type=boxed", "allow_format_change=true", model={"name": str(folder)}))
    assert allowed.format_change is not None


def test_an_adapter_on_weights_it_was_not_trained_on() -> None:
    folder = adapter(digest="0" * 64)
    with pytest.raises(ModelError, match="an adapter only fits the weights it was trained on"):
        looked_at(model={"name": str(folder)})


def test_an_adapter_without_a_byte() -> None:
    folder = adapter()
    (folder / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="has 0 bytes"):
        looked_at(model={"name": str(folder)})


def test_a_chat_template_that_refuses_the_system_message() -> None:
    folder = tiny_copy()
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}{{ m.content }}{% endfor %}"
    )
    edit_json(folder / "tokenizer_config.json", chat_template=template)
    chat = ("task.format.chat=true",)
    with pytest.raises(ModelError, match=r"chat template of .* refuses .* a system message: System role not") as caught:
        looked_at(*chat, "task.format.system=Be brief.", model={"name": str(folder)})
    assert "\n" not in str(caught.value)
    assert not looked_at(*chat, model={"name": str(folder)}).errors


def test_a_model_that_continues_no_text() -> None:
    from transformers import T5Config

    folder = tiny_copy()
    T5Config(vocab_size=64, d_model=8).save_pretrained(folder)
    with pytest.raises(ModelError, match=r"not a causal language model \(T5Config\)") as caught:
        looked_at(model={"name": str(folder)})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("file", "told"), [("tokenizer.json", "the tokenizer of"), ("config.json", "the configuration of")]
)
def test_a_file_of_the_model_that_is_cut_off(file: str, told: str) -> None:
    folder = tiny_copy()
    (folder / file).write_text((folder / file).read_text()[:100])
    with pytest.raises(ModelError, match=f"model.name: {told} .* cannot be") as caught:
        looked_at(model={"name": str(folder)})
    assert "\n" not in str(caught.value)


def test_an_adapter_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--someone--adapter"
    adapter().rename(repository.parent.parent / "kept")
    shutil.copytree("kept", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for module in ("huggingface_hub.constants", "transformers.utils.hub", "huggingface_hub.file_download"):
        monkeypatch.setattr(f"{module}.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="someone/adapter on the Hub is an adapter, not a whole model") as caught:
        looked_at(model={"name": "someone/adapter"})
    assert "\n" not in str(caught.value)


def test_an_adapter_that_is_taken_further_is_sound() -> None:
    folder = adapter()
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({k: v + 0.01 for k, v in weights.items()}, folder / "adapter_model.safetensors")
    assert not looked_at(model={"name": str(folder)}).errors
