"""Checks that a base model's own weights can be read and are finite. Loads them; knows no adapters and no texts."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import torch

from orchestrator.errors import ModelError, StageError
from orchestrator.models.base import BaseModelRef
from orchestrator.models.loading import load_base
from orchestrator.types import Finding

T = TypeVar("T")
DAMAGED_CAUSE = "a file is truncated or is not what its name says (an interrupted copy, a Git LFS pointer, a full disk)"
Weights = Callable[[BaseModelRef], Mapping[str, torch.Tensor]]
"""Returns a base model's tensors by name, or raises as `loaded` does."""


def loaded(load: Callable[[], T], name: str) -> T:
    """The result of `load`, which loads a model from its files.

    Raises:
        ModelError: the files are damaged or do not fit together; its cause is the library's own error.
        StageError: there is too little memory.
    """
    try:
        return load()
    except (MemoryError, torch.OutOfMemoryError):
        raise StageError(f"model {name} does not fit into this machine's memory; check it on a larger one") from None
    except Exception as error:  # each library raises its own errors on files that are truncated or do not fit
        text = str(error).strip()
        raise ModelError(text.splitlines()[0][:200] if text else type(error).__name__) from error


def read_weights(base: BaseModelRef) -> Mapping[str, torch.Tensor]:
    """The tensors of a base model on this process's device. Raises as `loaded` does."""
    return loaded(lambda: dict(load_base(base).state_dict()), base.name)


def base_findings(base: BaseModelRef, weights: Weights = read_weights) -> Iterator[Finding]:
    """Findings on a base model's own weights."""
    try:
        tensors = weights(base)
    except ModelError as error:
        yield damaged(base, error)
        return
    bad = [key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        yield Finding(
            "base-not-finite",
            "error",
            f"the base model {base.name} has NaN or infinity in {len(bad)} of its tensors",
            bad[0],
            "it was saved in half precision after an overflow, or its file is damaged",
            "fetch the weights again, or save them in bfloat16 or float32",
        )


def damaged(base: BaseModelRef, error: ModelError) -> Finding:
    """The finding for a base model that cannot be loaded, with the error from `loaded`."""
    return Finding(
        "base-damaged",
        "error",
        f"the base model {base.name} cannot be loaded: {error}",
        f"{base.location}\n{str(error.__cause__)[:1000]}",
        f"{DAMAGED_CAUSE}, or it does not match config.json",
        "fetch the model again and compare the sizes of its files",
    )
