"""Draws that would be noise, or would all be the same: temperature, top_p, top_k and min_p of each stage.

The share of texts that survive a temperature is measured on a few known texts, which the recipe's start model reads. It
need not be able to write them: on the embedded model, the figure is within a few hundredths of that of trained models.
Only a temperature above 1 is worth loading a model for, and only a small one that is available locally.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.errors import ModelError, StageError
from orchestrator.health.base_weights import loaded
from orchestrator.health.contract import targets
from orchestrator.health.model_files import file_of
from orchestrator.models.loading import context_of, load_for_generation
from orchestrator.models.reference import ModelRef
from orchestrator.plan.plan import Plan, Stage
from orchestrator.stages.base import Drawing
from orchestrator.tasks.splits import Split
from orchestrator.types import Finding

_NUCLEUS = 0.99
"""Tokens outside this share of the probability at temperature 1 are ones the model itself would not write."""
_ERROR, _WARNING = 0.05, 0.25
"""Shares of surviving texts, relative to temperature 1; trained models then get about 0.02 and 0.15 times as many draws
right."""
_NOISE, _HOT = 2.0, 1.5
"""Temperatures that are too high if nothing can be measured and nothing else narrows the draws."""
_ALIKE = 0.05
"""At this temperature a token 1.5 times as likely as another is drawn 3,000 times as often."""
_TEXTS, _TOKENS = 6, 128
_LARGE = 1_000_000_000
"""Number of parameters from which a model is not loaded for a check."""


def narrowed(drawing: Drawing) -> bool:
    """Whether anything other than the temperature narrows the draws."""
    return drawing.top_p < 0.95 or 0 < drawing.top_k <= 100 or drawing.min_p >= 0.01


def probabilities(drawing: Drawing, logits: torch.Tensor) -> torch.Tensor:
    """The distribution that tokens are sampled from, given logits of shape (tokens, vocabulary)."""
    shares = torch.softmax(logits.float() / drawing.temperature, dim=-1)
    if drawing.top_k > 0:
        least = shares.topk(min(drawing.top_k, shares.shape[-1])).values[:, -1:]
        shares = shares.masked_fill(shares < least, 0.0)
    if drawing.top_p < 1:
        shares = shares.masked_fill(~inside(shares / shares.sum(-1, keepdim=True), drawing.top_p), 0.0)
    if drawing.min_p > 0:
        shares = shares.masked_fill(shares < drawing.min_p * shares.amax(-1, keepdim=True), 0.0)
    return shares / shares.sum(-1, keepdim=True)


def draw_findings(plan: Plan, stages: Sequence[Stage], tokenizer: Any, model: torch.nn.Module) -> Iterator[Finding]:
    """Findings on each stage that draws; `model` is the base's shape, without weights."""
    drawings = [(stage, drawing) for stage in stages if (drawing := stage.spec.drawing()) is not None]
    logits = []
    if any(drawing.temperature > 1 for _, drawing in drawings):
        small = sum(p.numel() for p in model.parameters()) < _LARGE
        logits = _logits(plan, tokenizer, model) if small and _is_here(plan) else []
    for stage, drawing in drawings:
        why = _alike(drawing)
        if why is not None and drawing.n > 1:
            yield _same(stage, drawing, why)
        elif drawing.temperature > 1:
            yield from _noise(stage, drawing, logits)


def inside(probabilities: torch.Tensor, share: float) -> torch.Tensor:
    """A mask of the likeliest tokens that together make up a share: a token is in while those above it make up less."""
    ordered, order = probabilities.sort(dim=-1, descending=True)
    before = ordered.cumsum(dim=-1) - ordered
    return torch.zeros_like(probabilities, dtype=torch.bool).scatter(1, order, before < share)


def surviving(logits: torch.Tensor, length: int, drawing: Drawing) -> float:
    """The share of texts of `length` tokens that consist only of tokens the model would write at temperature 1."""
    outside = (probabilities(drawing, logits) * ~inside(torch.softmax(logits.float(), dim=-1), _NUCLEUS)).sum(-1)
    return math.exp(length * torch.log1p(-outside.double().clamp(max=1 - 1e-12)).mean().item())


def _noise(stage: Stage, drawing: Drawing, logits: Sequence[tuple[torch.Tensor, int]]) -> Iterator[Finding]:
    hot = drawing.temperature
    if logits:
        cool = replace(drawing, temperature=1.0, top_p=1.0, top_k=0, min_p=0.0)
        kept, all_of_it = (
            sum(surviving(row, length, d) for row, length in logits) / len(logits) for d in (drawing, cool)
        )
        share = kept / all_of_it if all_of_it else 0.0
        seen = (
            f"measured on {len(logits)} texts: {kept:.1%} of draws consist only of tokens that the model would write "
            f"at temperature 1, where the share is {all_of_it:.1%}"
        )
    else:
        share = 1.0 if narrowed(drawing) or hot < _HOT else 0.0 if hot >= _NOISE else _ERROR
        seen = f"temperature {hot:g}, top_p {drawing.top_p:g}; not measured: the model is large or not downloaded yet"
    if hot >= 2 * _NOISE and not narrowed(drawing):
        share = 0.0
    if share < _WARNING:
        yield Finding(
            "draws-are-noise",
            "error" if share < _ERROR else "warning",
            f"stage {stage.name}: at temperature = {hot:g} "
            + ("draws are noise" if share < _ERROR else "most draws are spoiled by accidental tokens"),
            seen,
            "a high temperature samples unlikely tokens so often that hardly any text is free of them",
            f"set stages.{stage.name}.temperature to 1 or less",
        )


def _alike(drawing: Drawing) -> str | None:
    """The setting that makes all draws of a question the same, or None."""
    if drawing.temperature <= _ALIKE:
        return f"temperature = {drawing.temperature:g}"
    if drawing.top_k == 1:
        return "top_k = 1"
    if drawing.top_p <= _ALIKE:
        return f"top_p = {drawing.top_p:g}"
    return f"min_p = {drawing.min_p:g}" if drawing.min_p >= 1 else None


def _same(stage: Stage, drawing: Drawing, why: str) -> Finding:
    grpo = drawing.learns
    return Finding(
        "draws-alike",
        "error",
        f"stage {stage.name}: with {why} the {drawing.n} draws of a question are all the same",
        f"temperature {drawing.temperature:g}, top_p {drawing.top_p:g}, top_k {drawing.top_k}, min_p {drawing.min_p:g}",
        "GRPO learns from the differences within a group, and there would be none"
        if grpo
        else "all but one draw of each question would be wasted, and pass@k would equal pass@1",
        f"set stages.{stage.name}.temperature to about 1, and leave top_p, top_k and min_p out"
        if grpo
        else f"set stages.{stage.name}.temperature to about 1 and top_p to 1, or n to 1",
    )


def _logits(plan: Plan, tokenizer: Any, shape: torch.nn.Module) -> list[tuple[torch.Tensor, int]]:
    """For a few known texts: the start model's logits on some of their tokens, and the number of all their tokens.

    Empty if the model cannot be loaded; texts that do not fit the model are left out. Other checks report both.
    """
    task = plan.recipe.task
    rows, context = shape.get_input_embeddings().weight.shape[0], context_of(shape.config)
    split: Split = next((s for s in ("demonstrations", "train") if s in task.splits()), "test")
    texts = targets(task, split)[0][:_TEXTS]
    load: Callable[[], Any] = lambda: load_for_generation(ModelRef("base", plan.base, plan.start.adapter))  # noqa: E731
    try:
        model = loaded(load, plan.base.name)
    except (ModelError, StageError):
        return []
    found = []
    with torch.inference_mode():
        for example, text in texts:
            prompt, target = prompt_ids(tokenizer, task.format, example.question), target_ids(tokenizer, text)
            ids = prompt + target[:_TOKENS]
            if max(ids) >= rows or len(ids) > (context or len(ids)):
                continue
            read = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False)
            logits = read.logits[0, len(prompt) - 1 : -1]
            found.append((logits.float().cpu(), len(target)))
    return found


def _is_here(plan: Plan) -> bool:
    """Whether the weights are available without a download."""
    return any(file_of(plan.base)(name) for name in ("model.safetensors", "pytorch_model.bin"))
