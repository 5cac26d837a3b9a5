"""The parts of a model that a check reads without its weights: configuration, tokenizer, template.

Files and templates come from other people, and each library that reads them raises its own errors. They are tried here,
once, and each error becomes one line, so that no later check runs into it first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.utils.peft_utils import find_adapter_config_file

from orchestrator.answers.formats import AnswerFormat
from orchestrator.answers.tokens import prompt_ids
from orchestrator.errors import ModelError, OrchError
from orchestrator.health.model_files import damaged_json
from orchestrator.models.base import BaseModelRef
from orchestrator.models.loading import config_of, load_tokenizer
from orchestrator.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class ModelParts:
    """A model without its weights."""

    tokenizer: Any
    config: Any
    model: Any
    """The model's shape: tensors without values."""
    generation: GenerationConfig
    """The generation settings it ships with: the tokens that end a completion."""


def model_parts(plan: Plan) -> ModelParts:
    """The parts of a plan's model; its chat template is tried if the recipe uses it.

    Raises:
        ModelError: the model's repository contains an adapter, its files cannot be read, it is not a causal language
            model, or its chat template rejects the recipe's messages.
    """
    base, task = plan.base, plan.recipe.task
    config = _config(base)
    with _told(f"{base.name} cannot be built as a causal language model"), torch.device("meta"):
        model = _causal(base, config)
    with _told(f"the tokenizer of {base.name} cannot be loaded"):
        try:
            tokenizer = load_tokenizer(base)
        except ValueError as error:
            raise ValueError(damaged_json(base) or str(error)) from error
    if (damaged := damaged_json(base)) is not None:  # some files are silently ignored if they are damaged
        raise ModelError(f"model.name: {damaged}")
    if tokenizer.chat_template:  # if there is none, a finding reports that
        try_prompt(tokenizer, task.format, base.name)
    return ModelParts(tokenizer, config, model, _generation(base, config))


def try_prompt(tokenizer: Any, answer_format: AnswerFormat, name: str) -> None:
    """Build a prompt as a recipe does. Raises ModelError if model `name` does not support that."""
    if answer_format.chat:
        with_system = answer_format.system is not None
        asked = " and a system message" if with_system else ""
        advice = "leave task.format.system out, or " if with_system else ""
        advice += "set chat: false and write the messages into task.format.prompt"
        with _told(f"the chat template of {name} refuses a question{asked}", "task.format", advice):
            prompt_ids(tokenizer, answer_format, "How much is 6 times 7?")


def _config(base: BaseModelRef) -> Any:
    try:
        return config_of(base)
    except OSError as error:
        if find_adapter_config_file(base.location, revision=base.revision) is None:
            raise ModelError(_line("model.name", f"the configuration of {base.name} cannot be read", error)) from error
        raise ModelError(
            f"model.name: {base.name} on the Hub is an adapter, not a whole model; download it and set model.name to "
            f"its folder: hf download {base.name} --local-dir adapter"
        ) from error
    except Exception as error:
        raise ModelError(_line("model.name", f"the configuration of {base.name} cannot be read", error)) from error


def _generation(base: BaseModelRef, config: Any) -> GenerationConfig:
    """The model's own generation settings; if it has none, those implied by its configuration."""
    try:
        return GenerationConfig.from_pretrained(base.read_from, revision=base.revision)
    except OSError:
        return GenerationConfig.from_model_config(config)


def _causal(base: BaseModelRef, config: Any) -> Any:
    """The model's shape. If its class is not supported, the error omits the library's list of all 150 classes."""
    try:
        return AutoModelForCausalLM.from_config(config, trust_remote_code=base.trust_remote_code)
    except ValueError as error:
        if "Unrecognized configuration class" not in str(error):
            raise
        kind = type(config).__name__
        raise ModelError(
            f"model.name: {base.name} is not a causal language model ({kind}): use one that generates text, such as "
            "Qwen/Qwen2.5-0.5B-Instruct"
        ) from error


@contextmanager
def _told(what: str, where: str = "model.name", advice: str = "") -> Iterator[None]:
    try:
        yield
    except OrchError as error:
        raise ModelError(*(p if p.startswith(where) else f"{where}: {p}" for p in error.problems)) from error
    except Exception as error:
        raise ModelError(_line(where, what, error, advice)) from error


def _line(where: str, what: str, error: Exception, advice: str = "") -> str:
    text = str(error).strip()
    first = text.splitlines()[0][:300] if text else type(error).__name__
    if "trust_remote_code" in text:
        first = "it comes with its own code; read that code, then set model.trust_remote_code: true"
    elif advice:
        first += f"; {advice}"
    return f"{where}: {what}: {first}"
