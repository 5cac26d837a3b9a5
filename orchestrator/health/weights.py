"""The model before training: where LoRA is applied, the size of the adapter, and the memory and disk space needed.

The model is built without its weights, so this takes seconds and no memory, however large it is.
"""

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from orchestrator.models.loading import dtype, tied_targets
from orchestrator.models.settings import Lora
from orchestrator.plan.plan import Plan, Stage
from orchestrator.recipe.graph import is_adapter
from orchestrator.recipe.recipe import Limits
from orchestrator.stages.training import Training
from orchestrator.types import Finding

_ADAM_BYTES = 16
"""Bytes per trained parameter in float32: the parameter, its gradient and two moments."""
_CHECKPOINTS = 2
_LAYERS = (torch.nn.Linear, Conv1D)
"""The layers that LoRA is applied to: GPT-2 and the like have Conv1D layers, which store weights as (in, out)."""
_FULL = 0.9
"""If weights and optimizer take more than this share of the memory, there is no room for anything else."""


def weight_findings(
    plan: Plan, trainings: list[Stage], config: Any, work: Path, elsewhere: bool = False
) -> Iterator[Finding]:
    """Findings on each new adapter, and on memory and disk.

    `elsewhere`: the model may be trained on another machine.
    """
    largest = 0
    for lora, names in _adapters(plan, trainings).items():
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=plan.base.trust_remote_code)
        layers = _layers(model)  # PEFT replaces them
        try:
            with warnings.catch_warnings():  # what PEFT warns about is reported below or is intended
                warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`", UserWarning)
                warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
                trained = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **lora.arguments()))
        except ValueError as error:
            yield _no_target(names, lora, layers, error)
            continue
        yield from _unused_target(names, lora, trained, layers)
        yield from _head(names, trained)
        yield from _tied_target(names, lora, trained)
        size = sum(p.numel() for p in trained.parameters() if p.requires_grad)
        largest = max(largest, size)
        yield from _adapter_size(names, lora, size, plan.recipe.limits)
    with torch.device("meta"):
        whole = AutoModelForCausalLM.from_config(config, trust_remote_code=plan.base.trust_remote_code)
    parameters = sum(p.numel() for p in whole.parameters())
    full = sum(isinstance(s.spec, Training) and s.spec.lora is None for s in trainings)
    trained = [parameters] * full + [largest] * (len(trainings) - full)
    yield _needs(parameters, dtype(plan.base.dtype), trained, work, elsewhere)


def _adapters(plan: Plan, trainings: list[Stage]) -> dict[Lora, list[str]]:
    """Each new adapter, with the stages that start it."""
    found: dict[Lora, list[str]] = {}
    for stage in trainings:
        spec = stage.spec
        if isinstance(spec, Training) and spec.lora is not None and not is_adapter(plan.recipe.stages, spec.model):
            found.setdefault(spec.lora, []).append(stage.name)
    return found


def _no_target(names: list[str], lora: Lora, layers: dict[str, type], error: ValueError) -> Finding:
    conv = layers and all(kind is Conv1D for kind in layers.values())
    return Finding(
        "lora-target-missing",
        "error",
        f"stage {', '.join(names)}: lora.target_modules = {lora.target_modules!r} matches no module of this model",
        f"its {'Conv1D' if conv else 'linear'} layers: {', '.join(layers)}\n{str(error).splitlines()[0][:300]}",
        "the names belong to another architecture"
        + (": this one has Conv1D layers, like GPT-2, with their own names" if conv else ""),
        f"set stages.{names[0]}.lora.target_modules to all-linear, or to some of [{', '.join(layers)}]",
    )


def _layers(model: Any) -> dict[str, type]:
    """The layers that LoRA is applied to, by the last part of their names, without the output head."""
    head = model.get_output_embeddings()
    found = {
        n.rpartition(".")[2]: type(m) for n, m in model.named_modules() if isinstance(m, _LAYERS) and m is not head
    }
    return dict(sorted(found.items()))


def _unused_target(names: list[str], lora: Lora, model: PeftModel, layers: dict[str, type]) -> Iterator[Finding]:
    """The finding for target names that match no module: PEFT ignores them as long as another one matches."""
    if isinstance(lora.target_modules, str):
        return
    reached = model.base_model.targeted_module_names
    unused = [t for t in lora.target_modules if not any(name == t or name.endswith(f".{t}") for name in reached)]
    if unused:
        yield Finding(
            "lora-target-unused",
            "warning",
            f"stage {', '.join(names)}: lora.target_modules names {', '.join(unused)}, which this model does not have",
            f"the adapter reaches only {', '.join(sorted({name.rpartition('.')[2] for name in reached}))}",
            "the names belong to another architecture or are misspelled; PEFT ignores them silently",
            f"set stages.{names[0]}.lora.target_modules to all-linear, or to some of [{', '.join(layers)}]",
        )


def _head(names: list[str], model: PeftModel) -> Iterator[Finding]:
    """The finding for an adapter on the output head: TRL reads that layer's weights directly and rejects it."""
    if isinstance(model.get_output_embeddings(), BaseTunerLayer) and not tied_targets(model):
        yield Finding(
            "lora-target-head",
            "error",
            f"stage {', '.join(names)}: lora.target_modules reaches the output head, but TRL trains no adapter there",
            f"the output head is {model.get_output_embeddings().__class__.__name__} in the adapter",
            "the loss is computed from the head's own weights, so an adapter on it would never be trained",
            f"set stages.{names[0]}.lora.target_modules to all-linear, which leaves the head out",
        )


def _tied_target(names: list[str], lora: Lora, model: PeftModel) -> Iterator[Finding]:
    """The finding for an adapter on one of two layers with shared weights: trained on that one, merged into both."""
    targets = tied_targets(model)
    if targets:
        yield Finding(
            "lora-target-tied",
            "error",
            f"stage {', '.join(names)}: lora.target_modules reaches {' and '.join(targets)}, whose weights are tied",
            "the configuration has tie_word_embeddings: the input embeddings and the output head are one matrix; "
            f"target_modules = {lora.target_modules!r}",
            "the adapter is trained on one of the two layers but would be merged into both, so the merged model would "
            "be a different one",
            f"leave {' and '.join(n.rpartition('.')[2] for n in targets)} out of stages.{names[0]}.lora."
            "target_modules (all-linear does), or train all weights (lora: null)",
        )


def _adapter_size(names: list[str], lora: Lora, parameters: int, limits: Limits) -> Iterator[Finding]:
    limit = limits.adapter_mb
    megabytes = parameters * 4 / 1e6
    if megabytes > limit:
        fits = max(1, int(lora.r * limit / megabytes))
        yield Finding(
            "adapter-too-large",
            "error" if "adapter_mb" in limits.model_fields_set else "warning",  # the default only advises
            f"stage {', '.join(names)}: the adapter takes {megabytes:.1f} MB, more than limits.adapter_mb = {limit:g}",
            f"{parameters:,} parameters in float32 at r = {lora.r}",
            "r or the number of target modules is too large for the limit",
            f"set lora.r to {fits}, or raise limits.adapter_mb",
        )


def _needs(parameters: int, computed_in: torch.dtype, trainings: list[int], work: Path, elsewhere: bool) -> Finding:
    """The finding on memory and disk for trainings of these numbers of parameters.

    Training all parameters means the whole model in float32.
    """
    if torch.cuda.is_available():
        memory, where = torch.cuda.get_device_properties(0).total_memory, "the GPU"
    else:
        memory, where = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), "this machine"
    if elsewhere:
        where = f"{where} of the checked machine" if torch.cuda.is_available() else "the checked machine"
    trained = max(trainings, default=0)
    full = trained == parameters
    weights = 0 if full else parameters * computed_in.itemsize
    least = weights + trained * _ADAM_BYTES
    disk = sum(trainings) * (4 + _CHECKPOINTS * 12)
    there = next(p for p in (work, *work.parents) if p.exists())
    free = shutil.disk_usage(there).free
    optimised = f"gradients and moments {_gb(trained * _ADAM_BYTES)}, without activations; {where} has {_gb(memory)}"
    facts = (
        f"{'all weights in float32 with' if full else f'weights {_gb(weights)}, adapter with'} {optimised}\n"
        f"checkpoints and models up to {_gb(disk)}; {there} has {_gb(free)} free"
    )
    if least > _FULL * memory:
        return Finding(
            "memory-too-small",
            # the first GPU visible here need not be the one that trains
            "warning" if elsewhere or torch.cuda.is_available() else "error",
            f"training needs at least {_gb(least)}, but {where} has {_gb(memory)}",
            facts,
            f"{parameters / 1e9:.2f} billion parameters, at {_ADAM_BYTES} bytes for each trained one and "
            f"{computed_in.itemsize} for each frozen one, leave no room",
            "use a smaller model or a machine with more memory" + (", or train an adapter (without lora: null)" * full),
        )
    if disk > free:
        return Finding(
            "disk-too-small",
            "error",
            f"checkpoints and models take up to {_gb(disk)}, but {there} has {_gb(free)} free",
            facts,
            "the work folder is on a disk that is nearly full",
            "set storage to a folder with more space, or raise save_steps",
        )
    return Finding("resources", "info", f"training needs at least {_gb(least)} of memory", facts, "", "")


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f} GB"
