"""Checks an adapter's files: that they exist, are complete, belong to this base, and change anything.

Reads tensors; loads no model, except the base's weights.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from orchestrator.errors import ModelError
from orchestrator.health.base_weights import Weights, damaged, read_weights
from orchestrator.health.merged import times_merged
from orchestrator.models.base import BaseModelRef
from orchestrator.models.start import ADAPTER_CONFIG, ADAPTER_FILE, BASE_FILE, base_of_adapter, recorded_base
from orchestrator.types import Finding

_PREFIX = "base_model.model."
_SAME = 0.05
"""Relative error up to which a difference of weights counts as the adapter itself."""


def adapter_findings(name: str, folder: Path, base: BaseModelRef, weights: Weights = read_weights) -> Iterator[Finding]:
    """Findings on the adapter of model `name`; none if it is sound."""
    file = folder / ADAPTER_FILE
    if not file.is_file() or not (folder / ADAPTER_CONFIG).is_file():
        missing = ADAPTER_FILE if not file.is_file() else ADAPTER_CONFIG
        yield _broken(
            "adapter-missing",
            f"model {name}: {missing} is not in {folder}",
            f"contents of the folder: {_content(folder)}",
            "it was saved in a temporary folder that is gone, was never saved, or was deleted",
            "run the recipe again, which trains it again, or copy the file back",
        )
        return
    size = file.stat().st_size
    if size == 0:
        yield _broken(
            "adapter-empty",
            f"model {name}: {file} has 0 bytes",
            f"contents of the folder: {_content(folder)}",
            "the disk was full, or the process was killed while writing",
            "free some disk space, delete the run, and train it again",
        )
        return
    try:
        tensors = _read(file)
        scaling = _scaling(folder)
        recorded_base(folder)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, ModelError) as error:
        yield _broken(
            "adapter-damaged",
            f"model {name}: the adapter in {folder} cannot be read",
            f"{file.name} has {size:,} bytes; {error}",
            "a file is truncated or is not what its name says: an interrupted copy, a Git LFS pointer, a full disk",
            "copy it again and compare the sizes, or train it again",
        )
        return
    bad = [key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        yield _broken(
            "adapter-not-finite",
            f"model {name}: {len(bad)} of {len(tensors)} tensors of the adapter contain NaN or infinity",
            bad[0],
            "training diverged: the learning rate was too high, or half precision overflowed",
            "train again with a lower learning rate, in bfloat16 or float32",
        )
        return
    halves = [key for key in tensors if (other := _other_half(key)) and other not in tensors]
    if halves:
        yield _broken(
            "adapter-damaged",
            f"model {name}: {len(halves)} of {len(tensors)} tensors of the adapter lack the other half of their pair",
            f"{halves[0]} has no {_other_half(halves[0])}",
            "it was written by another program, or only in part; the missing half would be initialized at random",
            "copy it again, or train it again",
        )
        return
    ups = {key: tensor for key, tensor in tensors.items() if ".lora_B." in key}
    if ups and not any(bool(tensor.any()) for tensor in ups.values()):
        yield _broken(
            "adapter-zero",
            f"model {name}: all {len(ups)} B matrices of the adapter are zero, so it changes nothing",
            f"r = {scaling.rank}, {len(tensors)} tensors",
            "nothing was learned: the learning rate was 0, all labels were masked, or it was saved before training",
            "check learning_rate and the labels (`orch check`), then train again",
        )
    try:
        whole = weights(base)
    except ModelError as error:
        yield damaged(base, error)
        return
    yield from _fits(name, folder, base, whole, _Changes(_pairs(tensors), scaling), weights)


def _fits(
    name: str,
    folder: Path,
    base: BaseModelRef,
    whole: Mapping[str, torch.Tensor],
    changes: "_Changes",
    weights: Weights,
) -> Iterator[Finding]:
    """The finding for an adapter that does not belong to this base, or that this base already contains."""
    shapes = {key: tuple(tensor.shape) for key, tensor in whole.items()}
    pairs = changes.pairs
    strange = [m for m in pairs if shapes.get(f"{m}.weight") not in changes.shapes(m)]
    recorded = recorded_base(folder)
    if strange:
        module = strange[0]
        yield _broken(
            "adapter-other-base",
            f"model {name}: {len(strange)} of {len(pairs)} adapter modules do not fit the base {base.name}",
            f"{module}: the adapter is for {changes.shapes(module)[0]}, the base has {shapes.get(f'{module}.weight')}",
            f"it was trained on another model ({recorded.get('name', 'unknown')})",
            "load it on the model it was trained on (base.json next to it names that model)",
        )
        return
    then = recorded.get("digest") or _digest_of(folder)
    if then == base.digest:
        return
    twice = _holds_adapter(folder, whole, changes, weights)
    if twice is not None:
        yield _broken(
            "merged-twice",
            f"model {name}: the weights of {base.name} already contain this adapter, and it is applied once more",
            twice,
            "the adapter was merged into the base, saved, and then loaded on the merged model",
            "load the merged model alone, or the adapter on the original base",
        )
    elif then is not None:
        yield _broken(
            "adapter-other-base",
            f"model {name}: the adapter was trained on weights other than those of {base.name}",
            f"trained on {recorded.get('name') or 'the model that its configuration names'} with digest "
            f"{str(then)[:16]}, this base has {base.digest[:16]}",
            "the base was replaced, trained further or updated after the adapter was trained",
            f"load it on the model it was trained on ({BASE_FILE} or {ADAPTER_CONFIG} next to it names that model)",
        )


def _digest_of(folder: Path) -> str | None:
    """The digest of the base that an adapter's own configuration names; None if that base is no longer available."""
    try:
        return base_of_adapter(folder).digest
    except ModelError:
        return None


def _holds_adapter(
    folder: Path, whole: Mapping[str, torch.Tensor], changes: "_Changes", weights: Weights
) -> str | None:
    """Evidence that a base already contains the adapter; None if it does not.

    Compares with the adapter's own base if that is still available; otherwise uses the weights alone.
    """
    layers = [module for module in changes.pairs if f"{module}.weight" in whole]
    try:
        original = weights(base_of_adapter(folder))
    except ModelError:
        pairs = ((whole[f"{m}.weight"].float(), changes.of(m, whole[f"{m}.weight"].shape)) for m in layers)
        times = times_merged((weight, change.to(weight.device)) for weight, change in pairs)
        return f"its share in the weights is {times} (median over {len(layers)} modules)" if times else None
    found = 0
    for module in layers:
        key = f"{module}.weight"
        if key not in original or original[key].shape != whole[key].shape:
            continue
        delta = whole[key].float() - original[key].float()
        adapter = changes.of(module, delta.shape).to(delta.device)
        size = float(adapter.norm())
        found += size > 0 and float((delta - adapter).norm()) <= _SAME * size
    return f"base - original = scale x B A in {found} modules" if found > len(changes.pairs) / 2 else None


def _read(file: Path) -> dict[str, torch.Tensor]:
    with safe_open(file, framework="pt") as opened:
        return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - it is not a dict


@dataclass(frozen=True, slots=True)
class _Scaling:
    """How an adapter's matrices become a change of weights, according to its adapter_config.json."""

    rank: int
    factor: float
    transposed: bool
    """Whether the weights it changes are stored as (in, out), like GPT-2's (PEFT's `fan_in_fan_out`)."""


def _scaling(folder: Path) -> _Scaling:
    try:
        config: dict[str, Any] = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{ADAPTER_CONFIG}: {error}") from None
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    factor = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return _Scaling(rank, factor, bool(config.get("fan_in_fan_out")))


@dataclass(frozen=True, slots=True)
class _Changes:
    """An adapter's changes to the weights of its base."""

    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    """For each module of the base: A, of shape (r, in), and B, of shape (out, r)."""
    scaling: _Scaling

    def shapes(self, module: str) -> tuple[tuple[int, ...], ...]:
        """The weight shapes that fit, the likeliest first."""
        a, b = self.pairs[module]
        shape = b.shape[0], a.shape[1]
        return (shape[::-1], shape) if self.scaling.transposed else (shape,)

    def of(self, module: str, shape: tuple[int, ...]) -> torch.Tensor:
        """The change to a module's weights of that shape: scale x B A."""
        a, b = self.pairs[module]
        change = self.scaling.factor * (b.float() @ a.float())
        return change.T if self.scaling.transposed and shape == change.T.shape else change


def _pairs(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """A and B for each module of the base."""
    found = {}
    for key, tensor in tensors.items():
        module, mark, rest = key.partition(".lora_A.")
        other = f"{module}.lora_B.{rest}"
        if mark and other in tensors:
            found[module.removeprefix(_PREFIX)] = (tensor, tensors[other])
    return found


def _other_half(key: str) -> str | None:
    """For the name of an A, that of its B, and vice versa; None for any other tensor."""
    for mine, other in ((".lora_A.", ".lora_B."), (".lora_B.", ".lora_A.")):
        if mine in key:
            return key.replace(mine, other)
    return None


def _content(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    return ", ".join(f"{p.name} ({p.stat().st_size:,} bytes)" for p in sorted(folder.iterdir())) or "nothing"


def _broken(check: str, what: str, evidence: str, cause: str, remedy: str) -> Finding:
    return Finding(check, "error", what, evidence, cause, remedy)
