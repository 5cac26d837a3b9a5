"""Faults of the model that a recipe names, found before anything is spent: its files, tokens, template and adapter.

Each fault is put into a copy of the embedded model. Setups that are odd but healthy are tested as well.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, LlamaConfig, Qwen3Config

from orchestrator.commands.plan import plan
from orchestrator.errors import ModelError
from orchestrator.types import Finding
from tests.end_to_end.faults.recipes import (
    CHATML,
    HEALTHY,
    adapter,
    add_tokens,
    chatting,
    edit_json,
    looked_at,
    recipe,
    tiny_copy,
)

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def named(folder: Path) -> dict[str, Any]:
    return {"model": {"name": str(folder)}}


def alarms(*overrides: str, **blocks: Any) -> list[tuple[str, str]]:
    """Errors and warnings of a check, by name."""
    return [(f.check, f.severity) for f in looked_at(*overrides, **blocks).findings if f.severity != "info"]


def first(*overrides: str, **blocks: Any) -> Finding:
    return looked_at(*overrides, **blocks).findings[0]


# --- files


def cut(file: Path, share: float = 0.5) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def sharded(n_bytes: str = "300KB") -> Path:
    folder = tiny_copy()
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size=n_bytes)
    assert (folder / INDEX).is_file()
    return folder


def pickled() -> Path:
    folder = tiny_copy()
    torch.save(AutoModelForCausalLM.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    return folder


def shard(folder: Path) -> Path:
    return sorted(folder.glob("model-0*.safetensors"))[1]


def without(folder: Path, *tensors: str) -> None:
    kept = {name: t for name, t in load_file(folder / WEIGHTS).items() if name not in tensors}
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})


def spoilt(spoil: Callable[[Path], Any], of: Callable[[], Path] = tiny_copy) -> Path:
    folder = of()
    spoil(folder)
    return folder


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3000000\n"
FILES: dict[str, tuple[Callable[[], Path], str, str]] = {
    "cut in half": (lambda: spoilt(lambda f: cut(f / WEIGHTS)), "base-damaged", "model.safetensors is truncated"),
    "cut by a byte": (
        lambda: spoilt(lambda f: cut(f / WEIGHTS, 0.9999)),
        "base-damaged",
        "model.safetensors is truncated",
    ),
    "cut in its header": (lambda: spoilt(lambda f: cut(f / WEIGHTS, 1e-4)), "base-damaged", "safetensors is truncated"),
    "no byte": (lambda: spoilt(lambda f: cut(f / WEIGHTS, 0)), "base-damaged", "model.safetensors has 0 bytes"),
    "a pointer": (lambda: spoilt(lambda f: (f / WEIGHTS).write_text(LFS)), "base-damaged", "git lfs pull"),
    "a shard that is missing": (
        lambda: spoilt(lambda f: shard(f).unlink(), sharded),
        "base-damaged",
        "model-00002-of-00017.safetensors is missing",
    ),
    "a shard that is cut off": (
        lambda: spoilt(lambda f: cut(shard(f)), sharded),
        "base-damaged",
        "model-00002-of-00017.safetensors is truncated",
    ),
    "an index that is cut off": (
        lambda: spoilt(lambda f: cut(f / INDEX), sharded),
        "base-damaged",
        f"{INDEX} is truncated or not JSON",
    ),
    "a .bin that is cut off": (
        lambda: spoilt(lambda f: cut(f / "pytorch_model.bin"), pickled),
        "base-damaged",
        "pytorch_model.bin is truncated",
    ),
    "weights under another name": (
        lambda: spoilt(lambda f: (f / WEIGHTS).rename(f / "weights.safetensors")),
        "base-damaged",
        "weights.safetensors would not be loaded",
    ),
    "a layer that is missing": (
        lambda: spoilt(lambda f: without(f, "model.layers.3.mlp.up_proj.weight")),
        "base-incomplete",
        "model.layers.3.mlp.up_proj.weight",
    ),
    "the configuration of another size": (
        lambda: spoilt(lambda f: edit_json(f / "config.json", intermediate_size=640)),
        "base-damaged",
        "its tensors do not match config.json",
    ),
}


@pytest.mark.parametrize(("made", "check", "says"), FILES.values(), ids=FILES.keys())
def test_weights_that_are_not_whole(made: Callable[[], Path], check: str, says: str) -> None:
    found = first(**named(made()))
    assert (found.check, found.severity) == (check, "error")
    assert says in f"{found.what} {found.evidence}" and found.cause and found.remedy


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
def test_a_small_file_that_is_cut_off_is_named(file: str) -> None:
    folder = tiny_copy()
    (folder / file).write_text((folder / file).read_text()[:60])
    with pytest.raises(ModelError) as caught:
        looked_at(**named(folder))
    assert file in str(caught.value) and "\n" not in str(caught.value)


def test_whole_files_of_every_kind_are_sound() -> None:
    assert alarms(**named(sharded())) == []
    (Path("copy")).rename("sharded")
    folder = pickled()
    (folder / "consolidated.safetensors").write_bytes(b"not what is loaded")
    assert alarms(**named(folder)) == []


# --- tokens


def test_an_id_without_embedding_is_an_error_where_it_occurs() -> None:
    folder = add_tokens(tiny_copy(), "<answer>", "</answer>", special=False, embedded=False)
    found = first(**named(folder))
    assert (found.check, found.severity) == ("token-without-embedding", "error")
    assert "'</answer>' in the target of task.demonstrations" in found.what and "640 rows (0 to 639)" in found.what
    assert "resize_token_embeddings" in found.remedy


def test_an_id_without_embedding_in_a_single_test_question_is_found() -> None:
    folder = add_tokens(tiny_copy(), "kilopascal", special=False, embedded=False)
    test = [
        {"question": f"How many Pa are {n} kilopascal?" if n == 150 else f"How much is {n} + 1?", "answer": n}
        for n in range(200)
    ]
    Path("test.json").write_text(json.dumps(test))
    found = first(**named(folder), task=HEALTHY["task"] | {"test": {"file": "test.json"}})
    assert found.check == "token-without-embedding" and "'kilopascal' in the prompt of task.test" in found.what


@pytest.mark.parametrize("token", ["pad_token", "eos_token"])
def test_padding_and_the_end_of_text_always_occur(token: str) -> None:
    folder = add_tokens(tiny_copy(), "<new>", embedded=False)
    edit_json(folder / "tokenizer_config.json", **{token: "<new>"})
    found = first(**named(folder))
    assert found.check == "token-without-embedding" and "'<new>' is token 640" in found.what


def test_tokens_that_never_occur_need_no_embedding() -> None:
    assert alarms(**named(add_tokens(tiny_copy(), "<unused1>", "<unused2>", embedded=False))) == []


def test_an_embedding_with_more_rows_than_tokens_is_sound() -> None:
    folder = tiny_copy()
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(704, mean_resizing=False)
    model.save_pretrained(folder)
    assert alarms(**named(folder)) == []


@pytest.mark.parametrize(
    ("tokens", "answer_format"),
    [
        (["<answer>", "</answer>"], {}),
        (["<answer>"], {}),
        (["</answer>"], {}),
        (["FINAL ANSWER:"], {"type": "marker"}),
        (["####"], {"type": "hash"}),
        (["\\boxed"], {"type": "boxed"}),
    ],
)
def test_answer_marks_that_are_special_tokens(tokens: list[str], answer_format: dict[str, Any]) -> None:
    task = HEALTHY["task"] | {"format": {"type": "tags"} | answer_format}
    folder = add_tokens(tiny_copy(), *tokens)
    found = looked_at(**named(folder), task=task)
    assert [f.check for f in found.errors] == ["answer-marks-special"], "its consequences are not reported"
    assert repr(tokens[0]) in found.findings[0].what and '"special": false' in found.findings[0].remedy
    only_grpo = {"grpo": HEALTHY["stages"]["grpo"] | {"model": "base"}}
    assert ("answer-marks-special", "error") in alarms(**named(folder), task=task, stages=only_grpo)


def test_answer_marks_that_are_ordinary_tokens_are_sound() -> None:
    assert alarms(**named(add_tokens(tiny_copy(), "<answer>", "</answer>", special=False))) == []


def test_a_stop_text_that_is_a_special_token() -> None:
    folder = add_tokens(tiny_copy(), "<|im_end|>")
    found = first("task.format.stop=[<|im_end|>]", **named(folder))
    assert (found.check, found.severity) == ("stop-is-special", "warning")


def test_an_opening_in_the_prefix_is_read_though_it_is_special() -> None:
    folder = add_tokens(tiny_copy(), "<answer>")
    rows = [{"question": f"How much is {n} + {n}?", "answer": 2 * n} for n in range(24)]
    Path("train.json").write_text(json.dumps(rows))
    task = {"type": "file", "train": {"file": "train.json"}, "test": {"file": "test.json"}}
    test = [{"question": f"How much is {n} - 7?", "answer": n - 7} for n in range(200)]
    Path("test.json").write_text(json.dumps(test))
    stages = {"grpo": HEALTHY["stages"]["grpo"] | {"model": "base"}}
    assert alarms("task.format.prefix=<answer>", **named(folder), task=task, stages=stages) == []


def answer(number: int) -> str:
    return f"<answer>{number}</answer>"


def solutions(text: str) -> dict[str, Any]:
    """Worked solutions with some text around them."""
    rows = [
        {
            "question": f"How much is {n} + {n}?",
            "answer": 2 * n,
            "demonstration": text.format(f"<answer>{2 * n}</answer>"),
        }
        for n in range(24)
    ]
    Path("solutions.json").write_text(json.dumps(rows))
    return HEALTHY["task"] | {"demonstrations": {"file": "solutions.json"}}


@pytest.mark.parametrize(
    ("text", "check", "severity"),
    [
        ("Easy.<|end|>So {}", "end-in-target", "error"),
        ("So {}<|end|>", "end-in-target", "warning"),
        ("So<|pad|> {}", "special-token-in-target", "warning"),
    ],
)
def test_special_tokens_in_worked_solutions(text: str, check: str, severity: str) -> None:
    assert alarms(task=solutions(text))[0] == (check, severity)


def test_special_tokens_in_questions() -> None:
    rows = [{"question": f"How much is {n}<|end|> + {n}?", "answer": 2 * n} for n in range(24)]
    Path("train.json").write_text(json.dumps(rows))
    assert alarms(task=HEALTHY["task"] | {"train": {"file": "train.json"}}) == [
        ("special-token-in-question", "warning")
    ]


# --- the chat template

THINKING = CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")
LLAMA = (
    "{{ bos_token or '' }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content | trim }} [/INST]"
    "{% else %} {{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>model\n{% endif %}"
)
QWEN3 = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>"
    "\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
DATED = "Today is {{ strftime_now('%d %b %Y') }}.\n" + CHATML
ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
ALPACA = (
    "{% for m in messages %}{% if m.role == 'user' %}### Instruction:\n{{ m.content }}\n\n{% elif m.role == 'system' %}"
    "{{ m.content }}\n\n{% else %}### Response:\n{{ m.content }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}### Response:\n{% endif %}"
)
ALWAYS_OPEN = "{% for m in messages %}<{{ m.role }}> {{ m.content }}{% endfor %}<assistant> "

END = "<|im_end|>"
TEMPLATES: dict[str, tuple[Callable[[], dict[str, Any]], str, str]] = {
    "a turn that ends otherwise": (lambda: chatting(), "template-end-not-trained", "ends a turn with '<|im_end|>'"),
    "a mark that is no token": (
        lambda: chatting(CHATML.replace("im_end", "eot_id")),
        "template-end-not-trained",
        "'<|eot_id|>'",
    ),
    "no question": (
        lambda: chatting(CHATML.replace("m.content", "m.text"), END),
        "template-drops-question",
        "60 of 60",
    ),
    "another question": (
        lambda: chatting(CHATML.replace("m.content", "m.content | upper"), END),
        "template-drops-question",
        "A CONVERSION",
    ),
    "the first words alone": (
        lambda: chatting(CHATML.replace("m.content", "m.content[:20]"), END),
        "template-drops-question",
        "unchanged",
    ),
    "messages in parts": (
        lambda: chatting(CHATML.replace("{{ m.content }}", "{% for p in m.content %}{{ p.text }}{% endfor %}"), END),
        "template-drops-question",
        "messages of another shape",
    ),
    "no system message": (
        lambda: chatting(CHATML.replace("in messages", "in messages if m.role != 'system'"), END, system="Be brief."),
        "template-drops-system",
        "Be brief.",
    ),
    "thinking": (lambda: chatting(THINKING, END), "template-opens-thinking", "24 of 24 worked solutions"),
    "thinking in brackets": (
        lambda: chatting(THINKING.replace("<think>", "[THINK]"), END),
        "template-opens-thinking",
        "'[/THINK]\\n\\n'",
    ),
    "a turn that is not opened": (
        lambda: chatting(CHATML.partition("{% if add")[0], END),
        "template-turn-not-opened",
        "<|im_start|>assistant",
    ),
}


@pytest.mark.parametrize(("made", "check", "says"), TEMPLATES.values(), ids=TEMPLATES.keys())
def test_a_template_that_does_not_fit(made: Callable[[], dict[str, Any]], check: str, says: str) -> None:
    found = first(**made())
    assert found.check == check
    assert says in f"{found.what} {found.evidence} {found.cause} {found.remedy}"
    assert found.severity == ("warning" if check == "template-turn-not-opened" else "error")


SOUND: dict[str, Callable[[], dict[str, Any]]] = {
    "ChatML": lambda: chatting(end=END),
    "ChatML with a system message": lambda: chatting(end=END, system="Be brief."),
    "Llama 2 and Mistral": lambda: chatting(LLAMA),
    "Gemma": lambda: chatting(GEMMA, END),
    "Qwen3": lambda: chatting(QWEN3, END),
    "Zephyr": lambda: chatting(ZEPHYR),
    "a date": lambda: chatting(DATED, END),
    "Alpaca": lambda: chatting(ALPACA),
    "the next turn is always open": lambda: chatting(ALWAYS_OPEN),
    "thinking that is closed again": lambda: chatting(THINKING.replace("<think>\n", "<think>\n\n</think>\n\n"), END),
    "thinking that the prefix closes": lambda: chatting(THINKING, END, prefix="</think>\n\n"),
    "thinking in the instructions": lambda: chatting(end=END, prompt="{question}\nThink within <think> and </think>."),
    "thinking that solutions close": lambda: {
        **chatting(THINKING, END),
        "task": solutions("Well.</think>{}") | {"format": {"type": "tags", "chat": True}},
    },
    "marks that are plain text": lambda: {
        **named(tiny_copy()),
        "task": HEALTHY["task"] | {"format": {"type": "tags", "prompt": "<|im_start|>user\n{question}<|im_end|>\n"}},
    },
}


@pytest.mark.parametrize("made", SOUND.values(), ids=SOUND.keys())
def test_ordinary_templates_are_sound(made: Callable[[], dict[str, Any]]) -> None:
    assert alarms(**made()) == []


def test_an_end_at_which_the_model_stops_too_is_only_mentioned() -> None:
    blocks = chatting()
    folder = Path(blocks["model"]["name"])
    edit_json(
        folder / "generation_config.json", eos_token_id=[0, AutoTokenizer.from_pretrained(folder)(END)["input_ids"][0]]
    )
    report = looked_at(**blocks)
    assert [f.severity for f in report.findings if f.check == "template-end-not-trained"] == ["info"]
    assert [f for f in report.findings if f.severity != "info"] == []


def test_thinking_that_is_only_drawn_is_a_warning() -> None:
    blocks = chatting(THINKING, END)
    del blocks["task"]["demonstrations"]
    grpo = {"grpo": HEALTHY["stages"]["grpo"] | {"model": "base"}}
    assert alarms(**blocks, stages=grpo) == [("template-opens-thinking", "warning")]


def test_a_template_that_wants_roles_to_alternate_says_so_itself() -> None:
    template = (
        "{% if messages[0].role != 'system' %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    )
    with pytest.raises(ModelError, match="refuses a question: Conversation roles must alternate; set chat") as caught:
        looked_at(**chatting(template + CHATML, END))
    assert "task.format.system" not in str(caught.value)


# --- LoRA's targets, and the adapter that a recipe starts from


def small_model(config: Any) -> dict[str, Any]:
    """A model of another architecture, with random weights and the embedded model's tokenizer."""
    folder = tiny_copy()
    torch.manual_seed(0)
    (folder / "generation_config.json").unlink()
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return named(folder)


SIZES: dict[str, Any] = {"vocab_size": 640, "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 1}
GPT2 = GPT2Config(n_positions=512, n_embd=32, n_layer=2, n_head=2, **SIZES)
GROUPED: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED |= {"num_key_value_heads": 2, "max_position_embeddings": 512, **SIZES}
MODELS = {
    "GPT-2": GPT2,
    "Llama": LlamaConfig(tie_word_embeddings=False, **GROUPED),
    "Llama, tied": LlamaConfig(tie_word_embeddings=True, **GROUPED),
    "Qwen3": Qwen3Config(head_dim=16, tie_word_embeddings=True, **GROUPED),
}


@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS.keys())
def test_ordinary_models_are_sound(config: Any) -> None:
    assert alarms(**small_model(config)) == []


@pytest.mark.parametrize("pad", ["<|end|>", None], ids=["padding is the end", "no padding"])
def test_odd_tokenizers_are_sound(pad: str | None) -> None:
    folder = tiny_copy()
    edit_json(folder / "tokenizer_config.json", pad_token=pad)
    assert alarms(**named(folder)) == []


def test_layers_of_gpt2_are_named_where_those_of_llama_are_asked_for() -> None:
    blocks = small_model(GPT2)
    found = first("stages.sft.lora={target_modules: [q_proj, v_proj]}", **blocks)
    assert (found.check, found.severity) == ("lora-target-missing", "error")
    assert "Conv1D layers: c_attn, c_fc, c_proj" in found.evidence and "GPT-2" in found.cause
    assert "to all-linear, or to some of [c_attn, c_fc, c_proj]" in found.remedy
    assert alarms("stages.sft.lora={target_modules: [c_attn, c_proj]}", **blocks) == []
    some = first("stages.sft.lora={target_modules: [q_proj, c_attn]}", **blocks)
    assert (some.check, some.severity) == ("lora-target-unused", "warning")
    assert "names q_proj, which this model does not have" in some.what


def test_an_adapter_on_the_output_head_is_refused_before_trl_does() -> None:
    blocks = small_model(MODELS["Llama"])
    found = first("stages.sft.lora={target_modules: [q_proj, lm_head]}", **blocks)
    assert (found.check, found.severity) == ("lora-target-head", "error")


def test_an_adapter_that_is_a_pickle_is_refused_and_the_advice_converts_it() -> None:
    folder = adapter()
    weights = load_file(folder / "adapter_model.safetensors")
    torch.save(weights, folder / "adapter_model.bin")
    assert plan(recipe(**named(folder))).start.adapter, "with both files present, the pickle is not read"
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"is a pickle \(adapter_model.bin\), which may run code") as caught:
        looked_at(**named(folder))
    told = str(caught.value)
    code = told[told.index('"import') + 1 : told.rindex('"')]
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    again = load_file(folder / "adapter_model.safetensors")
    assert again.keys() == weights.keys() and all(torch.equal(again[k], weights[k]) for k in weights)
    assert not looked_at(**named(folder)).errors


def test_an_adapter_that_is_cut_off() -> None:
    folder = adapter()
    cut(folder / "adapter_model.safetensors")
    found = first(**named(folder))
    assert (found.check, found.severity) == ("adapter-damaged", "error")
    assert "adapter_model.safetensors is truncated" in found.what
