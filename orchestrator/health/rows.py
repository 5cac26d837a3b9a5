"""Training rows, compared token by token with inference: the model must learn what it will be asked for later.

Rows are built by the code that builds them for training, and labels come from the trainer's own collator.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.health.contract import targets
from orchestrator.health.row_faults import Row, row_findings
from orchestrator.health.token_view import TokenView, token_view
from orchestrator.models.reference import ModelRef
from orchestrator.plan.plan import Plan, Stage
from orchestrator.stages.base import Kind, Verb
from orchestrator.tasks.splits import Split
from orchestrator.training.invariants import wrong_label
from orchestrator.training.settings import SftSettings
from orchestrator.training.sft import SftJob, collator, tokenized
from orchestrator.types import Finding

_AT_ONCE = 256
"""Number of rows built at a time: the labels of all rows would not fit into memory."""
_VIEWS = 2


def known_pairs(plan: Plan, spec: Verb) -> list[tuple[str, str]]:
    """The (question, target) pairs of a stage that are known before anything has run.

    The choices of a `select` stage are not. If there are no others, bare answers to training questions replace them.
    """
    task = plan.recipe.task
    split: Split = "demonstrations" if "demonstrations" in spec.row_sources() or task.train is None else "train"
    return [(example.question, target) for example, target in targets(task, split)[0]]


def rows_findings(plan: Plan, stage: Stage, tokenizer: Any) -> tuple[list[Finding], list[TokenView]]:
    """Findings on the rows of a stage that fine-tunes on rows, and views of the first two."""
    spec = stage.spec
    if not isinstance(spec, SftSettings):
        return [], []
    pairs, answer_format = known_pairs(plan, spec), plan.recipe.task.format
    tokens = [
        (array("i", prompt_ids(tokenizer, answer_format, q)), array("i", target_ids(tokenizer, t))) for q, t in pairs
    ]
    lengths = [len(prompt) + len(target) for prompt, target in tokens]
    fitting = [i for i, length in enumerate(lengths) if length <= spec.max_length]
    found = list(_too_long(stage.name, pairs, lengths, spec.max_length))
    found += _may_be_too_long(plan, stage.name, spec, spec.max_length, tokenizer)
    views: list[TokenView] = []

    def rows() -> Iterator[Row]:
        for start in range(0, len(fitting), _AT_ONCE):
            part = fitting[start : start + _AT_ONCE]
            for row in built(plan, stage, tokenizer, [pairs[i] for i in part], [tokens[i] for i in part]):
                if len(views) < _VIEWS:
                    views.append(token_view(stage.name, tokenizer, list(row.ids), list(row.labels)))
                yield row

    found += row_findings(stage.name, rows(), tokenizer)
    return found, views


def built(
    plan: Plan,
    stage: Stage,
    tokenizer: Any,
    pairs: Sequence[tuple[str, str]],
    tokens: Sequence[tuple[Sequence[int], Sequence[int]]] | None = None,
) -> list[Row]:
    """Rows as training builds and collates them; `tokens` are their prompts and targets at inference, if known."""
    spec = stage.spec
    assert isinstance(spec, SftSettings) and spec.model_read is not None
    if not pairs:
        return []
    task, recipe = plan.recipe.task, plan.recipe
    if tokens is None:
        tokens = [(prompt_ids(tokenizer, task.format, q), target_ids(tokenizer, t)) for q, t in pairs]
    model = ModelRef(spec.model_read, plan.base)
    job = SftJob(Path(gettempdir()), model, task.format, spec, recipe.seed, 1, tuple(pairs))
    data = tokenized(job, tokenizer).select_columns(["input_ids", "labels"]).to_list()
    sound = [row for row in data if wrong_label(row["input_ids"], row["labels"]) is None]
    batch = collator(tokenizer)(sound) if sound else {"input_ids": [], "labels": []}
    put_together = iter(zip(batch["input_ids"], batch["labels"], strict=True))
    rows = []
    for (question, target), (prompt, answer), row in zip(pairs, tokens, data, strict=True):
        ids, labels = row["input_ids"], row["labels"]
        if wrong_label(ids, labels) is None:  # the collator accepts no other rows
            length = len(ids)
            ids, labels = (part[:length].tolist() for part in next(put_together))
        rows.append(Row(question, target, prompt, answer, ids, labels))
    return rows


def _too_long(stage: str, pairs: Sequence[tuple[str, str]], lengths: Sequence[int], limit: int) -> Iterator[Finding]:
    long = [i for i, length in enumerate(lengths) if length > limit]
    if not long:
        return
    worst = max(long, key=lambda i: lengths[i])
    question, target = pairs[worst]
    yield Finding(
        "rows-too-long",
        "error",
        f"stage {stage}: {len(long):,} of {len(pairs):,} rows ({len(long) / len(pairs):.1%}) are longer than "
        f"max_length = {limit} tokens",
        f"the longest has {lengths[worst]} tokens: question {question[:80]!r}, target ends {target[-60:]!r}",
        "truncating them would cut off their answers, so their labels would never end in one",
        f"set stages.{stage}.max_length to {max(lengths)} or more, or leave these rows out",
    )


def _longest(names: Sequence[str], stages: Mapping[str, Verb]) -> str:
    """The one of these stages that may write the longest completions."""

    def limit(name: str) -> int:
        drawing = stages[name].source(stages)
        return 0 if drawing is None else drawing.max_tokens

    return max(names, key=limit)


def _may_be_too_long(plan: Plan, stage: str, spec: Verb, most: int, tokenizer: Any) -> Iterator[Finding]:
    """The finding for draws that may be too long: training starts hours later, and a single one makes it fail."""
    task, stages = plan.recipe.task, plan.recipe.stages
    for chosen in spec.row_sources():
        drawing = stages[chosen].source(stages) if chosen in stages else None
        if drawing is None:
            continue
        drawn_by = _longest([ref.stage for ref in stages[chosen].references() if ref.kind is Kind.COMPLETIONS], stages)
        examples = task.examples(drawing.split)
        longest = max((len(prompt_ids(tokenizer, task.format, e.question)) for e in examples), default=0)
        room, left = longest + drawing.max_tokens, most - longest
        if room > most:
            less = f", or stages.{drawn_by}.{drawing.limit} to {left}" if left > 0 else ""
            yield Finding(
                "rows-may-be-too-long",
                "warning",
                f"stage {stage}: rows from {chosen} may have up to {room} tokens, prompt included, but max_length is "
                f"{most}",
                f"the longest prompt has {longest} tokens, and {drawn_by} may write {drawing.max_tokens}",
                "a row that is too long is an error, and these rows are not known until they are drawn",
                f"set stages.{stage}.max_length to {room}{less}",
            )
