"""GRPO's generation settings, tried out on a tiny model before any expensive work starts.

transformers keeps any setting it is given, so that only the first step would reveal a misspelled or invalid one.
"""

from difflib import get_close_matches
from typing import Any

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig

from orchestrator.errors import StageError

_TRIED = ("top_p", "top_k", "min_p", "repetition_penalty", "cache_implementation", "temperature")
_VOCABULARY = 200_000
"""More tokens than most models have: settings may contain token ids."""


def try_generation(made: GRPOConfig) -> None:
    """Raise StageError if transformers cannot generate with these settings, or would generate something else."""
    given: dict[str, Any] = made.generation_kwargs or {}
    known = vars(GenerationConfig())
    for name in given:
        if name not in known or name.startswith("_"):
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise StageError(f"generation_kwargs: transformers has no generation setting {name!r}{hint}")
    if made.use_vllm:
        return
    asked = {name: getattr(made, name) for name in _TRIED} | given
    asked |= {"max_new_tokens": 2, "pad_token_id": 0, "eos_token_id": 1, "do_sample": given.get("do_sample", True)}
    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = torch.tensor([[2, 3], [4, 5]])
    try:
        config = GenerationConfig(**asked, disable_compile=True)
        with torch.random.fork_rng(devices=[]):  # does not affect the training's random numbers
            model = LlamaForCausalLM(LlamaConfig(vocab_size=_VOCABULARY, **size)).eval()
            drawn = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
    except Exception as error:  # transformers may raise anything
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise StageError(f"transformers cannot generate with GRPO's settings: {first}") from None
    if not isinstance(drawn, torch.Tensor) or len(drawn) != len(ids):
        raise StageError(
            "generation_kwargs: each prompt must yield one completion, as a row of tokens; num_generations sets how "
            "many there are per question"
        )
