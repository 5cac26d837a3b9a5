"""Training rows, token by token, against the prompts of inference: what is learned must be what is asked for later.

Rows are built by the code that builds them for training, and labels are read from the trainer's own collator.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.health.contract import targets
from orchestrator.health.token_view import TokenView, token_view
from orchestrator.model_ref import ModelRef
from orchestrator.plan import Plan, Stage
from orchestrator.stage_specs import SampleSpec, SelectSpec, SftSpec
from orchestrator.tasks.base import Split
from orchestrator.training.sft import SftJob, collator, tokenized
from orchestrator.types import Finding

_LOOKED_AT = 1000
"""Rows of a stage whose labels are looked at one by one."""


@dataclass(frozen=True, slots=True)
class Row:
    """One (question, target) pair in tokens: its prompt at inference, and its row in training."""

    question: str
    target: str
    prompt: list[int]
    ids: list[int]
    labels: list[int]


def known_pairs(plan: Plan, spec: SftSpec) -> list[tuple[str, str]]:
    """The (question, target) pairs of a stage that are known before anything has run.

    What a `select` stage will choose is not: bare answers to training questions stand for it where there is no other.
    """
    task = plan.recipe.task
    split: Split = "demonstrations" if "demonstrations" in spec.data or task.train is None else "train"
    return [(example.question, target) for example, target in targets(task, split)[0]]


def rows_findings(plan: Plan, stage: Stage, tokenizer: Any) -> tuple[list[Finding], list[TokenView]]:
    """What is wrong with the rows of an `sft` stage, and the first two of them to look at."""
    spec = stage.spec
    assert isinstance(spec, SftSpec)
    pairs = known_pairs(plan, spec)
    answer_format = plan.recipe.task.format
    lengths = [len(prompt_ids(tokenizer, answer_format, q)) + len(target_ids(tokenizer, t)) for q, t in pairs]
    fitting = [pair for pair, length in zip(pairs, lengths, strict=True) if length <= spec.max_length]
    found = list(_too_long(stage.name, pairs, lengths, spec.max_length))
    found += _may_be_too_long(plan, stage.name, spec, tokenizer)
    rows = built(plan, stage, tokenizer, fitting[:_LOOKED_AT])
    found += row_findings(stage.name, rows, tokenizer)
    views = [token_view(stage.name, tokenizer, row.ids, row.labels) for row in rows[:2]]
    return found, views


def built(plan: Plan, stage: Stage, tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[Row]:
    """Rows as training builds and collates them."""
    spec = stage.spec
    assert isinstance(spec, SftSpec)
    if not pairs:
        return []
    task, recipe = plan.recipe.task, plan.recipe
    model = ModelRef(spec.model, plan.base)
    job = SftJob(Path(), model, task.format, spec, recipe.seed, 1, tuple(pairs))
    data = tokenized(job, tokenizer)
    put_together = collator(tokenizer)
    rows = []
    for (question, target), row in zip(pairs, data, strict=True):
        batch = put_together([row])
        ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
        rows.append(Row(question, target, prompt_ids(tokenizer, task.format, question), ids, labels))
    return rows


def row_findings(stage: str, rows: Sequence[Row], tokenizer: Any) -> Iterator[Finding]:
    """Masks, ends, prefixes and beginnings of a stage's rows."""
    if not rows:
        return
    masked = [r for r in rows if all(label == -100 for label in r.labels)]
    parted = [r for r in rows if r.ids[: len(r.prompt)] != r.prompt]
    endless = [r for r in rows if r not in masked and r.labels[-1] != tokenizer.eos_token_id]
    asked = [r for r in rows if any(label != -100 for label in r.labels[: len(r.prompt)])]
    bos = tokenizer.bos_token_id
    doubled = [r for r in rows if bos is not None and r.ids[:2] == [bos, bos]]
    if masked:
        yield Finding(
            "labels-masked",
            "error",
            f"stage {stage}: {_share(masked, rows)} have no label that is not masked, so nothing is learned from them",
            _row(masked[0], tokenizer),
            "the target is cut off, or the mask of the prompt covers all of the row",
            "look at the token view: the answer must stand in the row, and its labels must not be -100",
        )
    if parted:
        first = parted[0]
        place = next(
            (i for i, (a, b) in enumerate(zip(first.ids, first.prompt, strict=False)) if a != b), len(first.ids)
        )
        yield Finding(
            "prompts-differ",
            "error",
            f"stage {stage}: in {_share(parted, rows)} the prompt in training is not the prompt at inference",
            f"training:  {tokenizer.decode(first.ids[: len(first.prompt) + 8])!r}\n"
            f"inference: {tokenizer.decode(first.prompt)!r}\nthey part at token {place}",
            "a chat template, a BOS or white space is added on one side only",
            "build both from one answer format (task.format)",
        )
    elif asked:
        yield Finding(
            "prompt-trained",
            "warning",
            f"stage {stage}: in {_share(asked, rows)} the loss is taken on the prompt too",
            _row(asked[0], tokenizer),
            "the labels of the prompt are not masked",
            "mask the prompt, so that the answer is what is learned",
        )
    if endless:
        same = tokenizer.pad_token_id == tokenizer.eos_token_id
        yield Finding(
            "end-not-trained",
            "error",
            f"stage {stage}: {_share(endless, rows)} do not end in a label for the end of text, so no model learns to "
            "stop",
            f"end of text {tokenizer.eos_token!r}, padding {tokenizer.pad_token!r}; {_row(endless[0], tokenizer)}",
            "padding is the end of text, and masking the padding has masked the end too"
            if same
            else "the end of text is missing from the targets, or its label is masked",
            "append the end of text to every target, and mask padding by the attention mask, not by its id",
        )
    if doubled:
        yield Finding(
            "double-bos",
            "error",
            f"stage {stage}: {_share(doubled, rows)} begin with two BOS tokens",
            f"first tokens: {tokenizer.convert_ids_to_tokens(doubled[0].ids[:4])}",
            "the prompt or the chat template writes BOS as text, and the tokenizer adds its own",
            f"take {tokenizer.bos_token!r} out of task.format.prompt, or set chat: true if it stands for a template",
        )
    lost = [r for r in rows if r.target.strip() and r.target.strip() not in _text(tokenizer, r.ids)]
    if lost:
        yield Finding(
            "tokenizer-loses-text",
            "error",
            f"stage {stage}: {_share(lost, rows)} are not the same text after the tokenizer has read and written them",
            f"target {lost[0].target[-80:]!r}\ncomes back as {_text(tokenizer, lost[0].ids)[-100:]!r}",
            "the tokenizer was not loaded as it was made (another class, a missing merges file), or it normalises text",
            "load the model with the tokenizer it was trained with; check tokenizer_class in tokenizer_config.json",
        )


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
        "cutting them would cut their answers off and leave labels that never end in one",
        f"set stages.{stage}.max_length to {max(lengths)} or more, or leave these rows out",
    )


def _may_be_too_long(plan: Plan, stage: str, spec: SftSpec, tokenizer: Any) -> Iterator[Finding]:
    """What is drawn first is trained on only hours later, and one draw that is too long ends the stage then."""
    task, stages = plan.recipe.task, plan.recipe.stages
    for chosen in spec.data:
        select = stages.get(chosen)
        if not isinstance(select, SelectSpec) or not isinstance(sample := stages.get(select.source), SampleSpec):
            continue
        examples = task.examples(sample.prompts)
        longest = max((len(prompt_ids(tokenizer, task.format, e.question)) for e in examples), default=0)
        room, left = longest + sample.max_tokens, spec.max_length - longest
        if room > spec.max_length:
            less = f", or stages.{select.source}.max_tokens to {left}" if left > 0 else ""
            yield Finding(
                "rows-may-be-too-long",
                "warning",
                f"stage {stage}: what {chosen} keeps may have up to {room} tokens with its prompt, and max_length is "
                f"{spec.max_length}",
                f"the longest prompt has {longest} tokens, and {select.source} may write {sample.max_tokens}",
                "a row that is too long is an error, and these rows are known only once they are drawn",
                f"set stages.{stage}.max_length to {room}{less}",
            )


def _share(part: Sequence[Row], rows: Sequence[Row]) -> str:
    return f"{len(part):,} of {len(rows):,} rows"


def _row(row: Row, tokenizer: Any) -> str:
    trained = [i for i, label in zip(row.ids, row.labels, strict=True) if label != -100]
    return f"row {tokenizer.decode(row.ids)[:160]!r}: {len(trained)} labels, {tokenizer.decode(trained)[-60:]!r}"


def _text(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
