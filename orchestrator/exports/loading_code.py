"""Python code that loads an exported folder with plain transformers and peft and asks the model a question.

It is shown in the model's card. It imports nothing from orch: the answer format is written out in it.
"""

from dataclasses import dataclass

from orchestrator.answers.formats import AnswerFormat
from orchestrator.models.base import BaseModelRef


@dataclass(frozen=True, slots=True)
class Loading:
    """The settings that the code depends on."""

    adapter_on: BaseModelRef | None
    """The base of an adapter; None: the folder contains a whole model."""
    trust_remote_code: bool
    dtype: str
    answer_format: AnswerFormat
    ends_itself: bool
    """Whether the tokenizer appends an end-of-text token to everything it encodes."""
    max_tokens: int


def loading_code(how: Loading, question: str) -> str:
    """Python code; run in the exported folder, it prints the model's answer to `question`."""
    lines = [*_load(how), "", "", "def ask(question):", *(f"    {line}" for line in _ask(how)), "", ""]
    return "\n".join([*lines, f"print(ask({question!r}))"]) + "\n"


def _load(how: Loading) -> list[str]:
    base, trust = how.adapter_on, ", trust_remote_code=True" if how.trust_remote_code else ""
    lines = ["import torch"]
    if base is not None:
        lines += ["from peft import PeftModel"]
    lines += ["from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig", ""]
    lines += ['folder = "."  # this folder, or its repository on the Hub']
    weights = "folder"
    if base is not None and base.revision is not None:
        lines += [f"base, revision = {base.location!r}, {base.revision!r}"]
        weights = "base, revision=revision"
    elif base is not None:
        lines += [f"base = {base.location!r}  # a folder on the machine that this was exported on"]
        weights = "base"
    lines += [
        'device = "cuda" if torch.cuda.is_available() else "cpu"',
        f"tokenizer = AutoTokenizer.from_pretrained(folder{trust})",
        f'model = AutoModelForCausalLM.from_pretrained({weights}, dtype="{how.dtype}"{trust})',
        "model.generation_config = GenerationConfig.from_pretrained(folder)  # greedy, as it was evaluated",
    ]
    if base is not None:
        lines += ["model = PeftModel.from_pretrained(model, folder)"]
    return [*lines, "model = model.to(device).eval()"]


def _ask(how: Loading) -> list[str]:
    """The body of `ask`: it builds the prompt like answers/tokens.py and cuts the answer like the format."""
    form = how.answer_format
    lines = [f'text = {form.prompt!r}.replace("{{question}}", question)']
    read = "tokenizer(text)"
    if form.chat:
        system = f"{{'role': 'system', 'content': {form.system!r}}}, " if form.system is not None else ""
        lines += [
            f"messages = [{system}{{'role': 'user', 'content': text}}]",
            "text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)",
        ]
        read = "tokenizer(text, add_special_tokens=False)"
    if form.prefix:
        lines += [f"text += {form.prefix!r}"]
    end = "[:-1]" if how.ends_itself and not form.chat else ""
    stop = f", stop_strings={list(form.stop)!r}, tokenizer=tokenizer" if form.stop else ""
    lines += [
        f"ids = torch.tensor([{read}['input_ids']{end}], device=device)",
        f"settings = dict(max_new_tokens={how.max_tokens}{stop})",
        "written = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)[0]",
        "written = written[ids.shape[1]:]",
        "answer = tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False)",
    ]
    if form.stop:
        lines += [
            f"ends = [answer.find(stop) + len(stop) for stop in {list(form.stop)!r} if stop in answer]",
            "answer = answer[:min(ends)] if ends else answer",
        ]
    return [*lines, "return answer"]
