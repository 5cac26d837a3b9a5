"""Writes a recipe for a file from the guesses about its rows: plain YAML with a comment for every choice.

The sizes of splits and trainings are a starting point for the number of rows and the model, not the best possible.
"""

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import DataError
from orchestrator.models.settings import ModelSpec
from orchestrator.recipe.drafting.guess import Guesses
from orchestrator.tasks.splits import normalised

_TINY = "tiny"
_CHATS = re.compile(r"(?:^|[-_.])(?:instruct|chat|it)(?:[-_.]|$)", re.IGNORECASE)
_FEWEST = 20
"""Minimum number of questions in a file: with fewer, nothing could be learned or measured."""
_CHARACTERS = {True: 1.3, False: 2.5}
"""Minimum characters per token: of the embedded model's tokenizer (True) and of others (False)."""
_ASKED = {
    "tags": "put the final answer between <answer> and </answer>",
    "hash": "end with a line of the form #### ANSWER",
    "boxed": "put the final answer into \\boxed{}",
    "marker": "end with a line of the form FINAL ANSWER: ...",
}
"""Instructions for a chat model, by the format's type."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A recipe, and the choices made in it."""

    text: str
    reasons: tuple[tuple[str, str, str], ...]
    """For each choice: its subject, the choice, and the reason."""


def draft(name: str, data: Path, guesses: Guesses, model: str, test: Path | None, folder: Path) -> Draft:
    """The recipe of that name for a file; `test`: a separate file of test questions; `folder`: the recipe's folder.

    Raises:
        DataError: the file has too few questions.
    """
    n = len({normalised(row.question) for row in guesses.rows})
    if n < _FEWEST:
        raise DataError(
            f"{data}: has {n} questions: at least {_FEWEST} are needed to learn from some and test on others"
        )
    tiny, chats = model == _TINY, _chats(model)
    held = 0 if test is not None else min(500, max(round(0.3 * n), min(60, n // 2)))
    # without worked solutions, a model that has never seen the answer format learns it from bare answers
    bare = not guesses.has_solutions and not chats
    shown = min(500, max(8, round(0.3 * (n - held)))) if guesses.has_solutions or bare else 0
    asked = n - held - shown
    tokens = math.ceil((guesses.longest / _CHARACTERS[tiny] + 16) / 32) * 32
    source = _flow({"file": _seen(data, folder)} | ({"columns": guesses.columns} if guesses.columns else {}))
    form = dict(guesses.format.setting or {})
    if chats:
        kind = form.get("type", "hash")
        form |= {"chat": True, "prompt": f"{{question}}\nThink step by step, then {_ASKED[kind]}."}
    about = f"{data.name}: {n:,} questions{' with worked solutions' if guesses.has_solutions else ''}"
    lines = [
        "# yaml-language-server: $schema=recipe.schema.json",
        f"# {about}. Written by `orch init`.",
        f"name: {json.dumps(name)}",
        "seed: 0",
        "",
        "task:",
        f"  type: {guesses.kind.setting:<9}          # {guesses.kind.why}",
    ]
    if shown:
        what = "most rows have no worked solution: SFT learns the format" if bare else "worked solutions for SFT"
        lines.append(f"  demonstrations: {{hold_out: {shown}}}   # {what}")
    lines += [
        f"  train: {source}",
        "  # " + f"{asked:,} questions are left for sampling",
        f"  test: {_flow({'file': _seen(test, folder)} | ({'columns': guesses.columns} if guesses.columns else {}))}"
        if test is not None
        else f"  test: {{hold_out: {held}}}             # never trained on; always the same ones",
    ]
    if form:
        lines += [f"  # {guesses.format.why}", f"  format: {_flow(form)}"]
    if guesses.judge.setting:
        lines += [f"  # {guesses.judge.why}", f"  judge: {_flow(guesses.judge.setting)}"]
    lines += [
        "",
        f"model: {_flow({'name': _seen(Path(model), folder) if Path(model).is_dir() else model})}"
        + (f"   # {_why(tiny)}" if tiny else ""),
        "",
        "stages:",
        *_stages(shown, tokens, tiny, chats),
    ]
    lines += ["", f"evaluate: {{on: test, max_tokens: {tokens}, batch_size: {256 if tiny else 64}}}", ""]
    judge = guesses.judge.setting["type"] if guesses.judge.setting else "numeric"
    reasons = [
        ("task", str(guesses.kind.setting), guesses.kind.why),
        *(
            (role, column, "as you named it" if role in guesses.named else "by its name")
            for role, column in guesses.columns.items()
        ),
        ("judge", judge, guesses.judge.why),
        ("format", str(form.get("type", "hash")), guesses.format.why),
        *([("sft", f"{shown} answers", "most rows have no worked solution: it learns the format")] if bare else []),
        ("test", str(held or test), "held out of your file" if held else "your other file"),
        ("model", model, "a chat model: it is prompted through its chat template" if chats else _why(tiny)),
    ]
    return Draft("\n".join(lines), tuple(reasons))


def _seen(path: Path, folder: Path) -> str:
    """A path as a recipe in that folder must write it."""
    return str(path) if path.is_absolute() else os.path.relpath(path, folder)


def _why(tiny: bool) -> str:
    return "1.7 million parameters, for a trial on any CPU: `--model` names a real one" if tiny else "as you named it"


def _chats(model: str) -> bool:
    """Whether a model is a chat model, by the chat template in its folder or else by its name."""
    folder = Path(ModelSpec(name=model).name).expanduser()
    if (folder / "chat_template.jinja").is_file():
        return True
    config = folder / "tokenizer_config.json"
    return "chat_template" in config.read_text() if config.is_file() else _CHATS.search(folder.name) is not None


def _stages(shown: int, tokens: int, tiny: bool, chats: bool) -> list[str]:
    """The lines of the stages: SFT if there is something to show, sampling, selection, RFT."""
    learned = (
        "learning_rate: 4e-3, per_device_train_batch_size: 16"
        if tiny
        else "learning_rate: 2e-4, per_device_train_batch_size: 8, gradient_accumulation_steps: 2"
    )
    lines = []
    drawn, rows = "base", "chosen"
    if shown:
        drawn, rows = "sft", "[demonstrations, chosen]"
        steps = "max_steps: 120" if tiny else "num_train_epochs: 3"
        lines.append(f"  sft: {{type: sft, data: demonstrations, {steps}, {learned}}}")
    empty = ", allow_empty: true" if tiny else ""
    lines += [
        "  # several draws of each question; RFT learns from those with the right answer",
        f"  samples: {{type: sample, model: {drawn}, prompts: train, n: {4 if tiny else 8}, temperature: 0.8, "
        f"max_tokens: {tokens}, batch_size: {256 if tiny else 64}}}",
        f"  chosen: {{type: select, from: samples, keep: correct, max_per_example: 4{empty}}}",
        f"  rft: {{type: sft, data: {rows}, {'max_steps: 120' if tiny else 'num_train_epochs: 3'}, {learned}}}",
        "  # for GRPO on top, remove the # below:",
        f"  # grpo: {{type: grpo, model: rft, prompts: train, max_steps: 50, max_completion_length: {tokens}}}",
    ]
    return lines


def _flow(value: Any) -> str:
    """A block on one line of YAML. Keys are plain words; text is quoted as JSON if necessary."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w./-]*", value) and value.lower() not in _READ_AS:
        return value
    return json.dumps(value, ensure_ascii=False)


_READ_AS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
"""Words that YAML reads as something other than text."""
