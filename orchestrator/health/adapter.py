"""An adapter's files: are they there, whole, of this base, and do they change anything?

Reads tensors, loads no model.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from orchestrator.base_model import BaseModelRef
from orchestrator.errors import ModelError
from orchestrator.model_loading import ADAPTER_FILE, load_base
from orchestrator.start_model import ADAPTER_CONFIG, base_of_adapter, recorded_base
from orchestrator.types import Finding

_PREFIX = "base_model.model."
_SAME = 0.05
"""Relative error up to which a difference of weights is taken to be the adapter itself."""


def adapter_findings(name: str, folder: Path, base: BaseModelRef) -> Iterator[Finding]:
    """What is wrong with the adapter of model `name`; nothing where it is sound."""
    file = folder / ADAPTER_FILE
    if not file.is_file() or not (folder / ADAPTER_CONFIG).is_file():
        missing = ADAPTER_FILE if not file.is_file() else ADAPTER_CONFIG
        yield _broken(
            "adapter-missing",
            f"model {name}: {missing} is not in {folder}",
            f"the folder holds: {_content(folder)}",
            "it was saved in a temporary folder that is gone, was never saved, or was deleted",
            "train it again (the stage is made anew), or copy the file back",
        )
        return
    size = file.stat().st_size
    if size == 0:
        yield _broken(
            "adapter-empty",
            f"model {name}: {file} has 0 bytes",
            f"the folder holds: {_content(folder)}",
            "the disk was full, or the process was killed while it wrote",
            "delete the run and train it again; make room first",
        )
        return
    try:
        tensors = _read(file)
        rank, scale = _scaling(folder)
        recorded_base(folder)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, ModelError) as error:
        yield _broken(
            "adapter-damaged",
            f"model {name}: the adapter in {folder} cannot be read",
            f"{file.name} has {size:,} bytes; {error}",
            "a file is cut off or is not what its name says: a copy that broke off, a Git LFS pointer, a full disk",
            "copy it again and compare the sizes, or train it again",
        )
        return
    bad = [key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        yield _broken(
            "adapter-not-finite",
            f"model {name}: {len(bad)} of {len(tensors)} tensors of the adapter hold NaN or infinity",
            bad[0],
            "training has diverged: the learning rate was too high, or half precision overflowed",
            "train again with a lower learning rate, in bfloat16 or float32",
        )
        return
    halves = [key for key in tensors if (other := _other_half(key)) and other not in tensors]
    if halves:
        yield _broken(
            "adapter-damaged",
            f"model {name}: {len(halves)} of {len(tensors)} tensors of the adapter lack the other one of their pair",
            f"{halves[0]} stands without {_other_half(halves[0])}",
            "it was written by something else, or only in part; the missing half would be drawn at random",
            "copy it again, or train it again",
        )
        return
    ups = {key: tensor for key, tensor in tensors.items() if ".lora_B." in key}
    if ups and not any(bool(tensor.any()) for tensor in ups.values()):
        yield _broken(
            "adapter-zero",
            f"model {name}: all {len(ups)} B matrices of the adapter are zero, so it changes nothing",
            f"r = {rank}, {len(tensors)} tensors",
            "nothing was learned: the learning rate was 0, all labels were masked, or it was saved before training",
            "look at learning_rate and at the labels (`orch check`), then train again",
        )
    yield from _fits(name, folder, base, tensors, scale)


def _fits(
    name: str, folder: Path, base: BaseModelRef, tensors: dict[str, torch.Tensor], scale: float
) -> Iterator[Finding]:
    """Does it belong to this base?"""
    weights = _weights(base)
    shapes = {key: tuple(tensor.shape) for key, tensor in weights.items()}
    pairs = _pairs(tensors)
    strange = [m for m, (a, b) in pairs.items() if shapes.get(f"{m}.weight") != (b.shape[0], a.shape[1])]
    recorded = recorded_base(folder)
    if strange:
        module = strange[0]
        a, b = pairs[module]
        yield _broken(
            "adapter-other-base",
            f"model {name}: {len(strange)} of {len(pairs)} adapter modules do not fit the base {base.name}",
            f"{module}: the adapter is for {(b.shape[0], a.shape[1])}, the base has {shapes.get(f'{module}.weight')}",
            f"it was trained on another model ({recorded.get('name', 'unknown')})",
            "load it on the model it was trained on (base.json beside it says which)",
        )
        return
    if recorded.get("digest") in (None, base.digest):
        return
    twice = _holds_adapter(folder, weights, pairs, scale)
    if twice:
        yield _broken(
            "merged-twice",
            f"model {name}: the weights of {base.name} hold this adapter already, and it is put on top once more",
            f"base - original = scale x B A in {twice} modules",
            "the adapter was merged into the base, saved, and then loaded on the merged model",
            "load the merged model alone, or the adapter on the original base",
        )
    else:
        yield _broken(
            "adapter-other-base",
            f"model {name}: the adapter was trained on other weights than those of {base.name}",
            f"trained on {recorded.get('name')} with digest {str(recorded['digest'])[:16]}, this base has "
            f"{base.digest[:16]}",
            "the base was replaced, trained on or updated after the adapter was made",
            "load it on the model it was trained on (base.json beside it says which)",
        )


def _holds_adapter(
    folder: Path, weights: dict[str, torch.Tensor], pairs: dict[str, tuple[torch.Tensor, torch.Tensor]], scale: float
) -> int:
    """In how many modules the base differs from the adapter's own base by the adapter; 0 where that is not there."""
    try:
        original = _weights(base_of_adapter(folder))
    except ModelError:
        return 0
    found = 0
    for module, (a, b) in pairs.items():
        key = f"{module}.weight"
        if key not in original or key not in weights:
            continue
        delta = weights[key].float() - original[key].float()
        adapter = scale * (b.float() @ a.float())
        size = float(adapter.norm())
        found += size > 0 and float((delta - adapter).norm()) <= _SAME * size
    return found if found > len(pairs) / 2 else 0


def base_findings(base: BaseModelRef) -> Iterator[Finding]:
    """What is wrong with the base model's own weights."""
    bad = [key for key, tensor in _weights(base).items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        yield _broken(
            "base-not-finite",
            f"the base model {base.name} has NaN or infinity in {len(bad)} of its tensors",
            bad[0],
            "it was saved in half precision after an overflow, or its file is damaged",
            "get the weights again, or save them in bfloat16 or float32",
        )


def _weights(base: BaseModelRef) -> dict[str, torch.Tensor]:
    return dict(load_base(base).state_dict())


def _read(file: Path) -> dict[str, torch.Tensor]:
    with safe_open(file, framework="pt") as opened:
        return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - it is not a dict


def _scaling(folder: Path) -> tuple[int, float]:
    config: dict[str, Any] = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    return rank, alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _pairs(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """For each module of the base: its A and B."""
    found = {}
    for key, tensor in tensors.items():
        module, mark, rest = key.partition(".lora_A.")
        other = f"{module}.lora_B.{rest}"
        if mark and other in tensors:
            found[module.removeprefix(_PREFIX)] = (tensor, tensors[other])
    return found


def _other_half(key: str) -> str | None:
    """For the name of an A its B's, and the other way round; None for any other tensor."""
    for mine, other in ((".lora_A.", ".lora_B."), (".lora_B.", ".lora_A.")):
        if mine in key:
            return key.replace(mine, other)
    return None


def _content(folder: Path) -> str:
    if not folder.is_dir():
        return "there is no such folder"
    return ", ".join(f"{p.name} ({p.stat().st_size:,} bytes)" for p in sorted(folder.iterdir())) or "nothing"


def _broken(check: str, what: str, evidence: str, cause: str, remedy: str) -> Finding:
    return Finding(check, "error", what, evidence, cause, remedy)
