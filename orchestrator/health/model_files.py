"""Checks that a model's files are present and complete, before they are loaded.

Reads only the headers of weight files and small JSON files, so it takes milliseconds however large the model is. It
checks the files that transformers and PEFT would load, and no others; it must not load weights or the model's code.
"""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from orchestrator.health.base_weights import DAMAGED_CAUSE
from orchestrator.models.base import BaseModelRef
from orchestrator.models.start import ADAPTER_FILE, StartModel
from orchestrator.types import Finding

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""The files that transformers looks for, in its order: it loads the first that exists."""
_JSON = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_LFS = b"version https://git-lfs"
_SHOWN = 3

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of the tensors in a file, by name."""


@dataclass(frozen=True, slots=True)
class _Broken:
    """A file that cannot be used, and the reason."""

    file: str
    why: str


def file_of(base: BaseModelRef) -> Callable[[str], Path | None]:
    """A function that finds a file of the model by name. It returns None if the file is not on this machine."""
    folder = Path(base.location)
    if folder.is_absolute():
        return lambda name: folder / name if (folder / name).is_file() else None
    from huggingface_hub import try_to_load_from_cache

    def cached(name: str) -> Path | None:
        found = try_to_load_from_cache(base.location, name, revision=base.revision)
        return Path(found) if isinstance(found, str) else None

    return cached


def damaged_json(base: BaseModelRef) -> str | None:
    """The first JSON file of a model that does not contain a JSON object, with the reason; None if all do."""
    find = file_of(base)
    for name in _JSON:
        if (path := find(name)) is not None and (why := _no_json(path)) is not None:
            return f"{path} {why}"
    return None


def file_findings(start: StartModel, model: torch.nn.Module) -> Iterator[Finding]:
    """Findings on the weights of the base and of its adapter; `model` is the base's shape, without weights."""
    base = start.base
    broken, shapes = _weights_of(base)
    if broken:
        files = ", ".join(one.file for one in broken[:_SHOWN]) + (", ..." if len(broken) > _SHOWN else "")
        yield Finding(
            "base-damaged",
            "error",
            f"the base model {base.name} cannot be loaded: {files} {broken[0].why}",
            "\n".join(f"{one.file} {one.why}" for one in broken[:10]),
            DAMAGED_CAUSE,
            "fetch the file again and compare its size with the original",
        )
    elif shapes:
        yield from _fits(base, shapes, model)
    if start.adapter is not None:
        file = Path(start.adapter) / ADAPTER_FILE
        found = _tensors(file)
        if isinstance(found, str):
            yield Finding(
                "adapter-damaged",
                "error",
                f"the adapter cannot be loaded: {file} {found}",
                f"{file.name} has {file.stat().st_size:,} bytes",
                DAMAGED_CAUSE,
                "copy it again and compare the sizes, or train it again",
            )


def _weights_of(base: BaseModelRef) -> tuple[list[_Broken], Shapes]:
    """The weight files that cannot be used, and the tensors in those that can."""
    find = file_of(base)
    first = next((name for name in _WEIGHTS if find(name) is not None), None)
    if first is None:
        if not Path(base.location).is_absolute():
            return [], {}  # a Hub model that is downloaded later
        names = ", ".join(sorted(p.name for p in Path(base.location).iterdir() if p.suffix in (".safetensors", ".bin")))
        return [_Broken(names or base.location, f"would not be loaded: transformers looks for {_WEIGHTS[0]}")], {}
    if not first.endswith(".index.json"):
        found = _tensors(_there(find, first))
        return ([_Broken(first, found)], {}) if isinstance(found, str) else ([], found)
    return _sharded(find, first)


def _sharded(find: Callable[[str], Path | None], index: str) -> tuple[list[_Broken], Shapes]:
    path = _there(find, index)
    if (why := _no_json(path)) is not None:
        return [_Broken(index, why)], {}
    placed: Any = json.loads(path.read_text(encoding="utf-8")).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        return [_Broken(index, "has no weight_map: it does not say which tensor is in which file")], {}
    broken: list[_Broken] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for shard in sorted(set(map(str, placed.values()))):
        file = find(shard)
        found = f"is missing, but {index} lists it" if file is None else _tensors(file)
        if isinstance(found, str):
            broken.append(_Broken(shard, found))
            continue
        shapes |= found
        lost = [name for name, where in placed.items() if where == shard and found and name not in found]
        if lost:
            broken.append(_Broken(shard, f"does not contain {lost[0]}, but {index} lists it there"))
    return broken, shapes


def _tensors(file: Path) -> Shapes | str:
    """The tensors of a file, or what is wrong with it. Of a .bin file, only completeness is checked, no tensors."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        begin = opened.read(len(_LFS))
    if begin == _LFS:
        return "is a Git LFS pointer, not the weights: fetch them with `git lfs pull`"
    if size == 0:
        return "has 0 bytes"
    if file.suffix != ".safetensors":
        zipped = begin[:2] == b"PK"
        return f"is truncated or damaged ({size:,} bytes)" if zipped and not zipfile.is_zipfile(file) else {}
    try:
        with safe_open(file, framework="pt") as opened_tensors:
            names = opened_tensors.keys()
            return {name: tuple(opened_tensors.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        return f"is truncated or damaged ({size:,} bytes): {str(error).strip()[:200]}"


def _fits(base: BaseModelRef, shapes: Shapes, model: torch.nn.Module) -> Iterator[Finding]:
    """Findings on tensors whose shape contradicts config.json, or that no file contains: those would be random."""
    wanted: Shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    quantized = getattr(getattr(model, "config", None), "quantization_config", None) is not None
    if quantized or not set(shapes) <= set(wanted):  # stored under other names, which only loading can map
        return
    other = [name for name, shape in shapes.items() if shape != wanted[name]]
    tied = dict(getattr(model, "all_tied_weights_keys", None) or {})
    shared = {one for pair in tied.items() if set(pair) & set(shapes) for one in pair}
    missing = [name for name in wanted if name not in shapes and name not in shared]
    if other:
        name = other[0]
        yield Finding(
            "base-damaged",
            "error",
            f"the base model {base.name} cannot be loaded: the shapes of {len(other)} of its tensors do not match "
            "config.json",
            f"{name}: the file has {shapes[name]}, config.json implies {wanted[name]}",
            "config.json belongs to another model, or was changed after the weights were saved",
            "fetch config.json and the weights from the same source",
        )
    elif missing:
        yield Finding(
            "base-incomplete",
            "error",
            f"the base model {base.name} lacks {len(missing)} of the {len(wanted)} tensors that config.json describes",
            f"missing: {', '.join(missing[:_SHOWN])}",
            "a shard is missing, or config.json belongs to another model; missing tensors would be initialized at "
            "random, without an error",
            "fetch all files of the weights again, and config.json from the same source",
        )


def _no_json(path: Path) -> str | None:
    """Why a file does not contain a JSON object; None if it does."""
    size = path.stat().st_size
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"is truncated or not JSON ({size:,} bytes): {str(error)[:200]}"
    return None if isinstance(found, dict) else "does not contain a JSON object"


def _there(find: Callable[[str], Path | None], name: str) -> Path:
    path = find(name)
    assert path is not None
    return path
