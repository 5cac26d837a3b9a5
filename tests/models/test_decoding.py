"""orch's own decoding loop gives the same results as `generate`."""

from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteriaList,
    StopStringCriteria,
)

from orchestrator.models.base import TINY
from orchestrator.models.decoding import can_decode, decode

END, PAD = 0, 1


@pytest.fixture(scope="module")
def tiny() -> Any:
    return AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32).eval()


def made(kind: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=320, eos_token_id=END, pad_token_id=PAD, bos_token_id=2, **settings)
    return AutoModelForCausalLM.from_config(config).eval()


def prompts(model: Any, widths: tuple[int, ...] = (9, 4, 9, 7, 4, 1)) -> dict[str, torch.Tensor]:
    """Prompts padded on the left; those of one width are equal, so some rows are the same."""
    ids = torch.full((len(widths), max(widths)), PAD)
    mask = torch.zeros_like(ids)
    for row, width in enumerate(widths):
        torch.manual_seed(width)
        ids[row, -width:] = torch.randint(3, model.config.vocab_size, (width,))
        mask[row, -width:] = 1
    return {"input_ids": ids, "attention_mask": mask}


KINDS = {
    "llama": {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "mistral": {
        **{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"num_key_value_heads": 2, "sliding_window": 8},
    },
    "gpt_neox": {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
    "qwen2": {
        **{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
        "num_key_value_heads": 2,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_tokens_are_those_of_generate(kind: str) -> None:
    """Rows end one after another: the end is as likely as the model makes it."""
    model = made(kind, **KINDS[kind])
    assert can_decode(model)
    asked = prompts(model)
    plain = model.generate(**asked, generation_config=GenerationConfig(max_new_tokens=70, pad_token_id=PAD))
    # end tokens that the rows reach at different lengths
    free = plain[:, asked["input_ids"].shape[1] :]
    ends = [int(free[0, 3]), int(free[3, 11]), END]
    config = GenerationConfig(max_new_tokens=70, eos_token_id=ends, pad_token_id=PAD)
    wanted = model.generate(**asked, generation_config=config)
    ours = model.generate(**asked, generation_config=config, custom_generate=decode)
    assert torch.equal(ours, wanted)


def test_rows_leave_as_they_end_and_the_others_go_on_as_before(tiny: Any) -> None:
    seen = []

    class Ending(LogitsProcessor):  # type: ignore[misc]
        """Ends row k after k further tokens, and is notified of rows that leave."""

        def __init__(self) -> None:
            self.after = torch.arange(6)
            self.step = 0

        def keep(self, rows: torch.Tensor) -> None:
            self.after = self.after[rows]

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            seen.append(len(input_ids))
            scores[self.after <= self.step, END] = 1e9
            scores[self.after > self.step, END] = -1e9
            self.step += 1
            return scores

    asked = prompts(tiny)
    config = GenerationConfig(max_new_tokens=30, eos_token_id=END, pad_token_id=PAD)
    whole = tiny.generate(**asked, generation_config=config, logits_processor=LogitsProcessorList([Ending()]))
    seen.clear()
    ours = tiny.generate(
        **asked, generation_config=config, logits_processor=LogitsProcessorList([Ending()]), custom_generate=decode
    )
    assert torch.equal(ours, whole)
    assert seen[0] == 6 and seen[-1] == 1 and seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("settings", [{}, {"top_k": 5}, {"top_p": 0.5}, {"repetition_penalty": 3.0}])
def test_tokens_are_drawn_as_often_as_by_generate(tiny: Any, settings: dict[str, Any]) -> None:
    rows = 4000
    one = prompts(tiny, (5,))
    asked = {name: value.repeat(rows, 1) for name, value in one.items()}
    config = GenerationConfig(
        max_new_tokens=2, do_sample=True, temperature=0.7, eos_token_id=END, pad_token_id=PAD, **settings
    )
    counts = []
    for loop in (None, decode):
        torch.manual_seed(0)
        tokens = tiny.generate(**asked, generation_config=config, custom_generate=loop)[:, -1]
        counts.append(torch.bincount(tokens, minlength=tiny.config.vocab_size) / rows)
    plain, ours = counts
    assert torch.allclose(plain, ours, atol=5 * (0.25 / rows) ** 0.5)
    assert torch.equal(plain > 0.01, ours > 0.01) or (plain - ours).abs().max() < 0.01


@pytest.mark.parametrize(
    "settings", [{"repetition_penalty": 3.0}, {"no_repeat_ngram_size": 2}, {"bad_words_ids": [[5]]}]
)
def test_where_processors_know_the_whole_batch_no_row_leaves(tiny: Any, settings: dict[str, Any]) -> None:
    asked = prompts(tiny)
    config = GenerationConfig(max_new_tokens=30, pad_token_id=PAD, **settings)
    free = tiny.generate(**asked, generation_config=config)[:, asked["input_ids"].shape[1] :]
    config.eos_token_id = [int(free[0, 3]), int(free[3, 11]), END]
    wanted = tiny.generate(**asked, generation_config=config)
    assert torch.equal(tiny.generate(**asked, generation_config=config, custom_generate=decode), wanted)


def test_a_text_that_ends_a_completion_ends_it(tiny: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    tokenizer.padding_side = "left"
    asked = tokenizer(["12 kg", "A mile is", "5 km to m: 1 km = "], padding=True, return_tensors="pt")
    asked.pop("token_type_ids", None)
    config = GenerationConfig(max_new_tokens=20, eos_token_id=END, pad_token_id=PAD)
    ends = StoppingCriteriaList([StopStringCriteria(tokenizer, ["m", " "])])
    wanted = tiny.generate(**asked, generation_config=config, stopping_criteria=ends)
    ours = tiny.generate(**asked, generation_config=config, stopping_criteria=ends, custom_generate=decode)
    assert torch.equal(ours, wanted)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("mamba", {"hidden_size": 32, "state_size": 4, "num_hidden_layers": 2}),
        ("falcon_h1", {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
                       "num_key_value_heads": 2, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8}),
        ("phi3", {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
                  "num_key_value_heads": 2}),
        ("llama", {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
                   "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}),
        ("lfm2", {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
                  "num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]}),
    ],
)  # fmt: skip
def test_a_model_that_remembers_otherwise_is_left_to_generate(kind: str, settings: dict[str, Any]) -> None:
    """Its state is not a list of keys and values, or it depends on the longest row."""
    assert not can_decode(made(kind, **settings))
