"""Write a model so that plain transformers and peft load it faithfully: tokenizer, decoding, merged weights.

The output is read back and compared. Knows nothing of runs, model cards or where a folder goes.
"""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from orchestrator.answers.formats import AnswerFormat
from orchestrator.answers.tokens import chat_template, prompt_ids
from orchestrator.errors import CheckError, OrchError
from orchestrator.models.base import BaseModelRef
from orchestrator.models.loading import device, dtype, free_memory, load_base, load_tokenizer, stop_ids
from orchestrator.models.merge_agreement import LOST, Agreement
from orchestrator.models.reference import ModelRef
from orchestrator.models.start import ADAPTER_CONFIG, ADAPTER_FILE

POSITIONS = 16
"""Number of positions per question at which logits are compared."""
_EXACTNESS = ("float32", "float16", "bfloat16")

Row = tuple[list[int], int]
"""Token ids of a question and the beginning of its answer, and the number of those in the question."""


def dtype_name(wanted: str) -> str:
    """The name of the dtype that a recipe's or a user's setting means on this machine."""
    return str(dtype(wanted)).removeprefix("torch.")


def save_adapter_files(source: Path, base: BaseModelRef, folder: Path) -> None:
    """Copy an adapter; its configuration names the base, with the commit of a Hub model."""
    shutil.copyfile(source / ADAPTER_FILE, folder / ADAPTER_FILE)
    config = json.loads((source / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.location, "revision": base.revision}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def save_tokenizer(base: BaseModelRef, answer_format: AnswerFormat, folder: Path) -> Any:
    """Write the tokenizer of `base`, with the chat template as it was used; returns the tokenizer for further use."""
    tokenizer = load_tokenizer(base)
    if answer_format.chat:
        tokenizer.chat_template = chat_template(tokenizer)
    tokenizer.save_pretrained(folder)
    return tokenizer


def check_tokenizer(
    tokenizer: Any, base: BaseModelRef, answer_format: AnswerFormat, questions: Sequence[str], folder: Path
) -> None:
    """Load the tokenizer from a folder that is otherwise complete, and encode questions with it.

    AutoTokenizer chooses its class by the model's type if there is a config.json, whatever the files contain.

    Raises:
        CheckError: the tokens of a question differ.
    """
    again = load_tokenizer(replace(base, location=str(folder), revision=None))
    for question in questions:
        if prompt_ids(again, answer_format, question) != prompt_ids(tokenizer, answer_format, question):
            raise CheckError(
                f"the tokenizer of {base.name} encodes {question[:60]!r} differently once it is saved: AutoTokenizer "
                "builds another one from its files; fix tokenizer_class in the base's tokenizer_config.json"
            )


def save_decoding(tokenizer: Any, base: BaseModelRef, folder: Path) -> GenerationConfig:
    """Write generation_config.json as used in evaluation: greedy, with all the tokens that end a completion."""
    where = {"revision": base.revision, "trust_remote_code": base.trust_remote_code}
    try:
        shipped = GenerationConfig.from_pretrained(base.read_from, **where)
    except OSError:  # the base ships none
        shipped = GenerationConfig.from_model_config(AutoConfig.from_pretrained(base.read_from, **where))
    config = GenerationConfig(
        do_sample=False, eos_token_id=stop_ids(tokenizer, shipped), pad_token_id=tokenizer.pad_token_id
    )
    config.save_pretrained(folder)
    return config


def save_whole(ref: ModelRef, wanted: str, rows: Sequence[Row], folder: Path) -> Agreement:
    """Write a model's weights in the dtype `wanted`, with its adapter merged in, and compare them with the model.

    The model is computed in its own dtype (`model.dtype`), on this process's device; the merge uses the finer of the
    two dtypes.

    Raises:
        CheckError: the written weights do not agree with the model.
        OrchError: the weights cannot be written.
    """
    computed = dtype_name(ref.base.dtype)
    model = _with_adapter(ref, load_base(ref.base))
    before = _logits(model, rows)
    alone = None
    if ref.adapter is not None:
        with model.disable_adapter():
            alone = _logits(model, rows)
    if _coarser(wanted, computed) == computed != wanted:
        del model
        free_memory()
        model = _with_adapter(ref, load_base(ref.base, dtype(wanted)))
    _write(model, wanted, folder)
    del model
    free_memory()
    written = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=ref.base.trust_remote_code, dtype="auto")
    after = _logits(written.to(device()).eval(), rows)
    found = _compared(before, after, alone, _coarser(wanted, computed))
    if not found.holds:
        raise CheckError(_apart(ref, wanted, found))
    return found


def _with_adapter(ref: ModelRef, model: Any) -> Any:
    return (model if ref.adapter is None else PeftModel.from_pretrained(model, ref.adapter)).eval()


def _write(model: Any, wanted: str, folder: Path) -> None:
    if isinstance(model, PeftModel):
        model = model.merge_and_unload()
    model = model.to(dtype(wanted))
    model.generation_config = GenerationConfig()  # save_decoding writes the one that counts
    try:
        model.save_pretrained(folder)
    except SafetensorError as error:  # how safetensors reports a full disk
        raise OrchError(f"{folder}: the weights cannot be written: {error}") from None


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _logits(model: Any, rows: Sequence[Row]) -> list[torch.Tensor]:
    """For each row: logits, (position, vocabulary), that predict the answer's first tokens, else the row's last."""
    found = []
    for ids, asked in rows:
        begin = asked - 1 if len(ids) > asked else max(0, asked - POSITIONS)
        logits = model(input_ids=torch.tensor([ids], device=device())).logits[0, begin : begin + POSITIONS]
        found.append(logits.float().cpu())
    return found


def _compared(
    before: Sequence[torch.Tensor], after: Sequence[torch.Tensor], alone: Sequence[torch.Tensor] | None, coarser: str
) -> Agreement:
    error = _size(a - b for a, b in zip(after, before, strict=True))
    lost = None
    if alone is not None:
        effect = _size(b - a for b, a in zip(before, alone, strict=True))
        lost = error / effect if effect else 0.0 if not error else math.inf
    return Agreement(len(before), error / _size(iter(before)), lost, coarser)


def _size(tensors: Iterator[torch.Tensor]) -> float:
    """Root of the sum of squares."""
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


def _coarser(a: str, b: str) -> str:
    return max(a, b, key=_EXACTNESS.index)


def _apart(ref: ModelRef, wanted: str, found: Agreement) -> str:
    what = f"model {ref.name}: weights in {wanted} were written, read again and compared on {found.questions} questions"
    if found.off <= found.tolerance:
        return (
            f"{what}: they miss {found.lost:.0%} of the adapter's effect, more than {LOST:.0%}: it is lost in "
            "rounding; export the adapter itself, or with --dtype float32"
        )
    return (
        f"{what}: logits are off by {found.off:.2g} (root mean square, relative to theirs), more than "
        f"{found.tolerance:g}; export the adapter itself, without --merged"
    )
