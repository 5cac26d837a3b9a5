"""Generation with transformers: one wide, left-padded batch at a time, each row with its own random numbers."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteriaList,
    StopStringCriteria,
)

from orchestrator.answers.tokens import completion_text
from orchestrator.models.decoding import can_decode, decode
from orchestrator.models.loading import context_of, load_for_generation, load_tokenizer, stop_ids
from orchestrator.models.reference import ModelRef
from orchestrator.sampling.engine import NO_ROOM, Decoding, Engine, Generated, Request, Room


class TransformersEngine(Engine):
    """A model loaded in this process."""

    def __init__(self, ref: ModelRef, room: Room | None = None) -> None:
        self.ref = ref
        self._hold(load_for_generation(ref), load_tokenizer(ref.base))

    def turned_to(self, model: Any) -> bool:
        """Whether this model is the loaded one; it cannot switch, because an adapter is folded into the weights."""
        return bool(model == self.ref)

    def _hold(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.stops = stop_ids(self.tokenizer, self.model.generation_config)
        self.loop = decode if can_decode(self.model) else None
        self.most = context_of(self.model.config) or 2**31
        """Maximum tokens of a prompt plus its completion."""
        self.fits: dict[int, int] = {}
        """By `max_tokens`: rows per batch that fit in memory, once a batch did not."""
        # the model's own settings (repetition_penalty, top_k, ...) would apply wherever a call sets none
        self.model.generation_config = GenerationConfig(
            eos_token_id=self.stops, pad_token_id=self.tokenizer.pad_token_id
        )

    def generate(self, requests: list[Request], decoding: Decoding) -> list[Generated]:
        """Complete every request, in order. A batch that does not fit in memory is halved."""
        made = [NO_ROOM] * len(requests)
        # a row that exceeds the model's positions would fail the whole batch
        by_room: dict[int, list[int]] = {}
        for place, one in enumerate(requests):
            if (room := min(decoding.max_tokens, self.most - len(one.prompt))) > 0:
                by_room.setdefault(room, []).append(place)
        for room, in_one in by_room.items():
            self._complete(requests, in_one, replace(decoding, max_tokens=room), made)
        return made

    def _complete(self, requests: list[Request], places: list[int], decoding: Decoding, made: list[Generated]) -> None:
        """Complete the requests at these indices, as many at once as fit in memory."""
        while places:
            at_once = places[: self.fits.get(decoding.max_tokens)]
            try:
                found = self._batch([requests[place] for place in at_once], decoding)
            except RuntimeError as error:
                if len(at_once) == 1 or not _out_of_memory(error):
                    raise
                self.fits[decoding.max_tokens] = len(at_once) // 2  # kept: the next shard is no smaller
            else:
                for place, completed in zip(at_once, found, strict=True):
                    made[place] = completed
                places = places[len(at_once) :]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _batch(self, requests: list[Request], decoding: Decoding) -> list[Generated]:
        pad = self.tokenizer.pad_token_id
        width = max(len(r.prompt) for r in requests)
        device = self.model.device
        input_ids = torch.tensor([[pad] * (width - len(r.prompt)) + list(r.prompt) for r in requests], device=device)
        mask = torch.tensor([[0] * (width - len(r.prompt)) + [1] * len(r.prompt) for r in requests], device=device)
        processors = LogitsProcessorList()
        if decoding.temperature > 0:
            processors.append(RowSampler([r.seed for r in requests], decoding, width))
        ends = StoppingCriteriaList()
        if decoding.stop:  # with a custom loop, `generate` loses the tokenizer that its own setting needs
            ends.append(StopStringCriteria(self.tokenizer, list(decoding.stop)))
        config = GenerationConfig(
            max_new_tokens=decoding.max_tokens,
            do_sample=False,
            pad_token_id=pad,
            eos_token_id=self.stops,
        )
        output = self.model.generate(
            input_ids=input_ids,
            attention_mask=mask,
            generation_config=config,
            logits_processor=processors,
            stopping_criteria=ends,
            custom_generate=self.loop,
        )
        return [self._cut(row, decoding) for row in output[:, width:].tolist()]

    def _cut(self, ids: list[int], decoding: Decoding) -> Generated:
        for index, token in enumerate(ids):
            if token in self.stops:
                return Generated(tuple(ids[:index]), "stop")
        if not decoding.stop:
            return Generated(tuple(ids), "length")
        # a row that ended in a stop string is padded until the last row has ended; one that ended last is not
        end = len(ids)
        while end and ids[end - 1] == self.tokenizer.pad_token_id:
            end -= 1
        kept = tuple(ids[:end])
        if end < decoding.max_tokens or any(
            stop in completion_text(self.tokenizer, list(kept)) for stop in decoding.stop
        ):
            return Generated(kept, "stop")
        return Generated(kept, "length")


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether an error means that a GPU, or this machine, is out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


class RowSampler(LogitsProcessor):  # type: ignore[misc]
    """Samples each row by inverse CDF from the row's own random stream.

    Token t of a row is sampled with the t-th uniform number of a Philox generator keyed by the row's seed, so a draw
    does not depend on its neighbors in the batch, on the batch size or on the worker. All tokens but the sampled one
    are then ruled out, and `generate` runs greedily.
    """

    def __init__(self, seeds: list[int], decoding: Decoding, prompt_width: int) -> None:
        rows = [np.random.Generator(np.random.Philox(key=seed)).random(decoding.max_tokens) for seed in seeds]
        self.uniforms = torch.from_numpy(np.stack(rows))
        self.decoding = decoding
        self.prompt_width = prompt_width

    def keep(self, rows: torch.Tensor) -> None:
        """Continue with only these rows."""
        self.uniforms = self.uniforms[rows.cpu()]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores, shape (rows, vocabulary), with all but one token per row at minus infinity."""
        step = input_ids.shape[1] - self.prompt_width
        uniform = self.uniforms[:, step].to(scores.device, torch.float32).unsqueeze(1)
        probabilities = torch.softmax(scores.float() / self.decoding.temperature, dim=-1)
        if self.decoding.top_p < 1:
            ordered, order = probabilities.sort(dim=-1, descending=True)
            before = ordered.cumsum(dim=-1) - ordered  # a token stays while those above it total less than top_p
            probabilities = torch.zeros_like(probabilities).scatter(
                1, order, ordered.masked_fill(before >= self.decoding.top_p, 0.0)
            )
        cumulative = probabilities.cumsum(dim=-1)
        whole = cumulative[:, -1:]
        target = torch.minimum(uniform * whole, torch.nextafter(whole, torch.zeros_like(whole)))  # 1.0 by rounding
        # the first token whose cumulative probability exceeds the target; never one of probability zero
        drawn = torch.searchsorted(cumulative, target, right=True).clamp(max=scores.shape[1] - 1)
        return torch.full_like(scores, float("-inf")).scatter(1, drawn, 0.0)
