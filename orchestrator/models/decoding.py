"""The loop that completes a batch of prompts: the result of transformers' `generate`, with less work.

A prompt shared by several rows is processed once, finished rows leave the batch, and a layer's key-value cache is not
copied for every new token. The tokens are those of `generate`, except for rounding, as sums are taken in another order.
The loop is passed to `generate` itself as its `custom_generate`, so that transformers still interprets the settings:
which processors change the scores, and what ends a row.
"""

from inspect import signature
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessorList,
    MinPLogitsWarper,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

_ROOM = 64
"""Tokens by which a layer's cache grows at a time."""
_WORTH_IT = 0.8
"""Finished rows leave the batch when at most this share of it continues: this costs a copy of the others' cache."""
_ROW_BY_ROW = (TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper, MinPLogitsWarper)
"""Processors of transformers that treat each row independently and keep no state."""
_TAKEN = {"attention_mask", "position_ids", "past_key_values", "logits_to_keep"}
"""Arguments that a model's forward pass must accept."""
_BY_THE_LONGEST = ("dynamic", "longrope")
"""RoPE types whose positions change for all rows with the longest of them."""


def can_decode(model: Any) -> bool:
    """Whether `decode` supports a model, with or without an adapter.

    The model must accept positions, keep no state but a plain key-value cache, and prepare its inputs in the standard
    way. Any other model uses its own loop.
    """
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = whole.config
    return (
        not config.is_encoder_decoder
        and "generate" not in vars(whole)
        and type(whole).prepare_inputs_for_generation is GenerationMixin.prepare_inputs_for_generation
        and set(signature(whole.forward).parameters) >= _TAKEN
        and (getattr(config, "rope_parameters", None) or {}).get("rope_type") not in _BY_THE_LONGEST
        and all(type(layer) in (_Roomy, DynamicSlidingWindowLayer) for layer in _cache(whole).layers)
    )


@torch.no_grad()  # type: ignore[untyped-decorator]
def decode(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    **inputs: Any,
) -> torch.Tensor:
    """Complete prompts, shape (rows, width), padded on the left; returns (rows, width + length), padded on the right.

    Rows leave the batch only if every processor either treats each row independently or has a method `keep`, which gets
    the indices, in the current batch, of the rows that stay.
    """
    pad = generation_config.pad_token_id
    mask = inputs.get("attention_mask")
    if mask is None:  # nothing is padded
        mask = torch.ones_like(input_ids)
    logits, cache = _read(model, input_ids, mask)
    position = mask.sum(dim=-1, keepdim=True)
    rows = torch.arange(len(input_ids), device=input_ids.device)
    going = torch.ones_like(rows, dtype=torch.bool)
    may_leave = all(isinstance(one, _ROW_BY_ROW) or hasattr(one, "keep") for one in logits_processor)
    ids, ended = input_ids, []
    while True:
        scores = logits_processor(ids, logits.to(torch.float32, copy=True))
        if generation_config.do_sample:
            token = torch.multinomial(torch.softmax(scores, dim=-1), num_samples=1)
        else:
            token = scores.argmax(dim=-1, keepdim=True)
        ids = torch.cat([ids, token.where(going.unsqueeze(1), pad)], dim=1)
        going = going & ~stopping_criteria(ids, None)
        left = int(going.sum())
        if left <= (_WORTH_IT * len(rows) if may_leave else 0):
            ended.append((rows[~going], ids[~going]))
            stay = going.nonzero().squeeze(1)
            rows, ids, mask, position, going = rows[stay], ids[stay], mask[stay], position[stay], going[stay]
            if not left:
                break
            cache.batch_select_indices(stay)
            for processor in logits_processor:
                if hasattr(processor, "keep"):
                    processor.keep(stay)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        logits = _step(model, ids[:, -1:], mask, position, cache)
        position = position + 1
    made = input_ids.new_full((len(input_ids), ids.shape[1]), pad)
    for places, finished in ended:
        made[places, : finished.shape[1]] = finished
    return made


def _read(model: Any, input_ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, DynamicCache]:
    """The logits of each row's next token, and the cache of its prompt; equal prompts are processed once."""
    prompts, of = torch.stack([input_ids, mask], dim=1).unique(dim=0, return_inverse=True)
    ids, seen = prompts[:, 0], prompts[:, 1]
    cache = _cache(model)
    logits = _step(model, ids, seen, (seen.cumsum(dim=-1) - 1).clamp(min=0), cache)
    cache.batch_select_indices(of)
    return logits[of], cache


def _step(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
) -> torch.Tensor:
    told = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits: torch.Tensor = told.logits[:, -1]
    return logits


def _cache(model: Any) -> DynamicCache:
    cache = DynamicCache(config=model.config)
    cache.layers = [_Roomy() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class _Roomy(DynamicLayer):  # type: ignore[misc]
    """A layer's keys and values, with spare room: transformers' own layer copies all of them for each new token."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the new tokens; returns all keys and all values, shape (rows, heads, tokens, head size)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.room = [key_states[:, :, :0], value_states[:, :, :0]]
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        for index, new in enumerate((key_states, value_states)):
            if end > self.room[index].shape[-2]:
                rows, heads, _tokens, size = new.shape
                larger = new.new_empty(rows, heads, end + _ROOM, size)
                larger[:, :, :start] = self.room[index][:, :, :start]
                self.room[index] = larger
            self.room[index][:, :, start:end] = new
        self.keys, self.values = (room[:, :, :end] for room in self.room)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Select these rows."""
        if not self.is_initialized:  # the model has not used it
            return
        length = self.get_seq_length()
        self.room = [room[indices] for room in self.room]
        self.keys, self.values = (room[:, :, :length] for room in self.room)
