"""GRPO's settings of drawing, tried on a model of a few numbers before anything is paid for.

transformers keeps any setting it is given, and only the first step would show that one is misspelt or impossible.
"""

from difflib import get_close_matches
from typing import Any

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig

from orchestrator.errors import StageError

_TRIED = ("top_p", "top_k", "min_p", "repetition_penalty", "cache_implementation", "temperature")
_VOCABULARY = 200_000
"""More tokens than most models know: settings may name theirs."""


def try_generation(made: GRPOConfig) -> None:
    """Raises StageError where transformers could not draw with these settings, or would draw something else."""
    given: dict[str, Any] = made.generation_kwargs or {}
    known = vars(GenerationConfig())
    for name in given:
        if name not in known or name.startswith("_"):
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise StageError(f"generation_kwargs: transformers has no setting {name!r} of drawing{hint}")
    if made.use_vllm:
        return
    asked = {name: getattr(made, name) for name in _TRIED} | given
    asked |= {"max_new_tokens": 2, "pad_token_id": 0, "eos_token_id": 1, "do_sample": given.get("do_sample", True)}
    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = torch.tensor([[2, 3], [4, 5]])
    try:
        config = GenerationConfig(**asked, disable_compile=True)
        with torch.random.fork_rng(devices=[]):  # the training draws as if nothing had been tried
            model = LlamaForCausalLM(LlamaConfig(vocab_size=_VOCABULARY, **size)).eval()
            drawn = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
    except Exception as error:  # of whatever kind transformers raises
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise StageError(f"transformers cannot draw with these settings of GRPO's: {first}") from None
    if not isinstance(drawn, torch.Tensor) or len(drawn) != len(ids):
        raise StageError(
            "generation_kwargs: one completion is drawn for each prompt, as a row of tokens; num_generations says how "
            "many there are of each question"
        )
