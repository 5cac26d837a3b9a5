"""The content of an exported folder: weights, tokenizer, decoding, answer format, base, card; checked before use.

Writes into a given folder; its final place is the caller's concern.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.answers.formats import AnswerFormat
from orchestrator.answers.formats.difference import first_difference
from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.comparison import Comparison, compare_one_run
from orchestrator.comparison.baseline import baseline_of
from orchestrator.exports.card import Card, Kind, model_card, trained_by
from orchestrator.exports.loading_code import Loading, loading_code
from orchestrator.health.adapter import adapter_findings
from orchestrator.health.base_weights import base_findings, read_weights
from orchestrator.health.findings import CheckReport, errors_of, findings_of, format_changed
from orchestrator.models.base import BaseModelRef
from orchestrator.models.merge_agreement import Agreement
from orchestrator.models.reference import ModelRef
from orchestrator.models.saving import (
    POSITIONS,
    Row,
    check_tokenizer,
    dtype_name,
    save_adapter_files,
    save_decoding,
    save_tokenizer,
    save_whole,
)
from orchestrator.models.start import BASE_FILE, FORMAT_FILE
from orchestrator.runs.past import RECIPE_FILE, PastRun
from orchestrator.store.base import StoredRun
from orchestrator.store.opening import open_store
from orchestrator.store.tables import first_answers
from orchestrator.tasks.judged_by import judged_by
from orchestrator.types import BASE, Finding

CARD_FILE = "README.md"
QUESTIONS = 8
"""Number of the run's questions that the exported model is checked on."""
Asked = tuple[str, str | None]
"""A question and the model's answer in its run, if known."""


def write_folder(past: PastRun, ref: ModelRef, folder: Path, merged: bool, dtype: str) -> tuple[Kind, Agreement | None]:
    """Write the model `ref` of a run into an empty folder.

    Raises:
        CheckError: the model's files are damaged, or the written files do not agree with the model.
    """
    _check_sound(ref)
    asked = _asked(past, ref.name)
    answer_format = _format(past, ref.name)
    kind: Kind = "whole" if ref.adapter is None else "merged" if merged else "adapter"
    tokenizer = save_tokenizer(ref.base, answer_format, folder)
    agreement = None
    wanted = dtype_name(ref.base.dtype if dtype == "auto" else dtype)
    if kind == "adapter":
        save_adapter_files(Path(str(ref.adapter)), ref.base, folder)
    elif kind == "merged" or dtype != "auto":
        rows = [_row(tokenizer, answer_format, *pair) for pair in asked]
        agreement = save_whole(ref, wanted, rows, folder)
    else:
        wanted = _copy_whole(Path(ref.base.location), folder) or wanted
    save_decoding(tokenizer, ref.base, folder)
    check_tokenizer(tokenizer, ref.base, answer_format, [question for question, _ in asked], folder)
    _dump(answer_format.model_dump(mode="json"), folder / FORMAT_FILE)
    origin = ref.base if kind == "adapter" else past.start.base
    _dump(asdict(_portable(origin)), folder / BASE_FILE)
    card = _card(past, ref, kind, wanted, agreement, asked[0], tokenizer)
    (folder / CARD_FILE).write_text(model_card(card), encoding="utf-8")
    for path in folder.iterdir():  # some libraries write files that only their owner may read
        path.chmod((folder / CARD_FILE).stat().st_mode)
    return kind, agreement


def _check_sound(ref: ModelRef) -> None:
    weights = cache(read_weights)
    found = list(base_findings(ref.base, weights))
    if ref.adapter is not None:
        found += adapter_findings(ref.name, Path(ref.adapter), ref.base, weights)
    report = CheckReport(tuple(found))
    if report.errors:
        raise errors_of(report)


def _asked(past: PastRun, name: str) -> list[Asked]:
    """Questions of the run, one that the model got right first; with its own answers if it was evaluated."""
    stage = past.stages.get(name)
    if stage is not None and stage.results is not None:
        rows = first_answers(stage.results, ["question", "text", "status"]).to_pylist()
        right = [row for row in rows if row["status"] == "correct"][:1]
        rest = [row for row in rows if row not in right]
        return [(row["question"], row["text"]) for row in (right + rest)[:QUESTIONS]]
    for other in past.stages.values():  # another evaluation's questions are in the store
        if other.results is not None:
            questions = first_answers(other.results, ["question"])["question"].to_pylist()[:QUESTIONS]
            return [(question, None) for question in questions]
    examples = past.recipe.task.examples(past.recipe.evaluate.on)[:QUESTIONS]
    return [(example.question, None) for example in examples]


def _format(past: PastRun, name: str) -> AnswerFormat:
    """The answer format a model was trained with: the recipe's, except for the model that the recipe started from."""
    own = past.start.answer_format if name == BASE else None
    return own or past.recipe.task.format


def _row(tokenizer: Any, answer_format: AnswerFormat, question: str, text: str | None) -> Row:
    prompt = prompt_ids(tokenizer, answer_format, question)
    return prompt + target_ids(tokenizer, text or "")[:-1][:POSITIONS], len(prompt)


def _copy_whole(source: Path, folder: Path) -> str | None:
    """Copy a whole model's files, except those that already exist; returns the dtype in its configuration."""
    for path in source.iterdir():
        if path.is_file() and path.name != CARD_FILE and not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    found = config.get("dtype") or config.get("torch_dtype")
    return str(found) if found else None


def _portable(base: BaseModelRef) -> BaseModelRef:
    """The base so that it can be found from any folder: no path is relative, and the embedded model needs none."""
    if base.name == "tiny":
        return replace(base, location="tiny")
    return base if base.revision else replace(base, name=base.location)


def _dump(data: dict[str, Any], file: Path) -> None:
    file.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _card(
    past: PastRun, ref: ModelRef, kind: Kind, dtype: str, agreement: Agreement | None, shown: Asked, tokenizer: Any
) -> Card:
    question, written = shown
    recipe, answer_format = past.recipe, _format(past, ref.name)
    store = open_store()
    run = store.find(past.run_id)
    ends_itself = tokenizer("1")["input_ids"][-1:] == [tokenizer.eos_token_id]
    base = ref.base if kind == "adapter" else None
    trust, limit = ref.base.trust_remote_code, recipe.evaluate.max_tokens
    loading = Loading(base, trust, dtype, answer_format, ends_itself, limit)
    evaluated = {name: stage.results for name, stage in past.stages.items() if stage.results}
    return Card(
        run_id=past.run_id,
        model=ref.name,
        kind=kind,
        start=past.start.base,
        base=ref.base,
        dtype=dtype,
        recipe=recipe,
        judged_by=run.judged_by() or judged_by(recipe.task),
        recipe_text=store.artifact(run, RECIPE_FILE).read_text(encoding="utf-8"),
        comparison=_compared(past, {name: evaluated[name] for name in past.models() if name in evaluated}, run),
        findings=tuple(_findings(past, ref.name)),
        agreement=agreement,
        code=loading_code(loading, question),
        prompt=tokenizer.decode(prompt_ids(tokenizer, answer_format, question)),
        written=written,
        versions=run.versions,
        commit=run.commit,
    )


def _compared(past: PastRun, results: Mapping[str, Path], run: StoredRun) -> Comparison | None:
    """The evaluated models against the baseline that the run itself compares them with."""
    if not results:
        return None
    stages = past.recipe.stages
    against = baseline_of((name for name in stages if name in results), {n: spec.verb for n, spec in stages.items()})
    return compare_one_run(past.recipe.evaluate.on, results, against, past.recipe.seed, findings_of(run.tags))


def _findings(past: PastRun, name: str) -> Sequence[Finding]:
    """The findings from the model's training."""
    found: list[Finding] = []
    if past.start.answer_format is not None:
        difference = first_difference(past.start.answer_format, past.recipe.task.format)
        found += [format_changed(difference)] if difference is not None else []
    for stage, _ in trained_by(past.recipe, name):
        found += past.stages[stage].noticed if stage in past.stages else ()
    return found
