"""What a check reads of a model without its weights: configuration, tokenizer, template. What ails them is one line.

Files and templates are other people's, and each library that reads them raises errors of its own: they are tried here,
once, so that no check after it meets them for the first time.
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
    """Its shape: tensors without values."""
    generation: GenerationConfig
    """What it ships for generation: the tokens that end a completion."""


def model_parts(plan: Plan) -> ModelParts:
    """The parts of a plan's model; the chat template is tried where it is asked for.

    Raises:
        ModelError: the model's repository holds an adapter, its files cannot be read, it is no causal language model,
            or its chat template refuses the messages of the recipe.
    """
    base, task = plan.base, plan.recipe.task
    config = _config(base)
    with _told(f"{base.name} is no model that texts can be continued with"), torch.device("meta"):
        model = _causal(base, config)
    with _told(f"the tokenizer of {base.name} cannot be loaded"):
        try:
            tokenizer = load_tokenizer(base)
        except ValueError as error:
            raise ValueError(damaged_json(base) or str(error)) from error
    if (damaged := damaged_json(base)) is not None:  # some files are passed over in silence where they are damaged
        raise ModelError(f"model.name: {damaged}")
    if tokenizer.chat_template:  # where there is none, a finding says so
        try_prompt(tokenizer, task.format, base.name)
    return ModelParts(tokenizer, config, model, _generation(base, config))


def try_prompt(tokenizer: Any, answer_format: AnswerFormat, name: str) -> None:
    """Ask a question as a recipe asks; ModelError where model `name` cannot be asked like that."""
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
            f"model.name: {base.name} on the Hub is an adapter, not a whole model; download it and name its folder: "
            f"hf download {base.name} --local-dir adapter"
        ) from error
    except Exception as error:
        raise ModelError(_line("model.name", f"the configuration of {base.name} cannot be read", error)) from error


def _generation(base: BaseModelRef, config: Any) -> GenerationConfig:
    """The model's own settings of generation; where it has none, those that its configuration gives."""
    try:
        return GenerationConfig.from_pretrained(base.read_from, revision=base.revision)
    except OSError:
        return GenerationConfig.from_model_config(config)


def _causal(base: BaseModelRef, config: Any) -> Any:
    """The model's shape; without the list of all 150 classes where its own is not among them."""
    try:
        return AutoModelForCausalLM.from_config(config, trust_remote_code=base.trust_remote_code)
    except ValueError as error:
        if "Unrecognized configuration class" not in str(error):
            raise
        kind = type(config).__name__
        raise ModelError(
            f"model.name: {base.name} is no causal language model ({kind}): take one that continues text, such as "
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
        first = "it comes with code of its own; read that code, then set model.trust_remote_code: true"
    elif advice:
        first += f"; {advice}"
    return f"{where}: {what}: {first}"
