"""Faults of training rows: their labels, prompts, targets and ends, compared with inference.

All rows are checked, one after another; only the first with each fault is kept. Must not know how rows are built.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.training.invariants import MASKED, parts_at, wrong_label
from orchestrator.types import Finding

_LOOKED_AT = 1000
"""Number of rows per stage that are decoded, to see whether they come back as the same text."""


@dataclass(frozen=True, slots=True)
class Row:
    """One (question, target) pair in tokens: its prompt and its target at inference, and its row in training."""

    question: str
    target: str
    prompt: Sequence[int]
    answer: Sequence[int]
    ids: Sequence[int]
    labels: Sequence[int]


class _Counted:
    """The rows with one fault: their number, and the first of them."""

    def __init__(self) -> None:
        self.n = 0
        self.first: Row | None = None

    def add(self, row: Row) -> None:
        """Count one more row."""
        self.n += 1
        self.first = self.first or row


def row_findings(stage: str, rows: Iterable[Row], tokenizer: Any) -> Iterator[Finding]:
    """Findings on the labels, prompts, targets, ends and beginnings of all of a stage's rows."""
    faults = {name: _Counted() for name in _FINDINGS}
    n = 0
    for n, row in enumerate(rows, 1):
        for name in _faults(row, tokenizer, n <= _LOOKED_AT):
            faults[name].add(row)
    for name, finding in _FINDINGS.items():
        first = faults[name].first
        if first is not None and not (name == "prompt-trained" and faults["prompts-differ"].n):
            yield finding(stage, f"{faults[name].n:,} of {n:,} rows", first, tokenizer)


def _faults(row: Row, tokenizer: Any, read: bool) -> Iterator[str]:
    """The names of a row's faults; `read`: decode it, too."""
    ids, labels, begin = row.ids, row.labels, len(row.prompt)
    if wrong_label(ids, labels) is not None:
        yield "label-not-token"
        return
    same = parts_at(ids, [*row.prompt, *row.answer]) is None
    masked = not any(label != MASKED for label in labels[begin if same else 0 :])
    if masked:
        yield "labels-masked"
    elif labels[-1] != tokenizer.eos_token_id:
        yield "end-not-trained"
    if not same and list(ids[:begin]) != list(row.prompt):
        yield "prompts-differ"
    elif any(label != MASKED for label in labels[:begin]):
        yield "prompt-trained"
    bos = tokenizer.bos_token_id
    if bos is not None and list(ids[:2]) == [bos, bos]:
        yield "double-bos"
    lost = (read or not same) and bool(text := row.target.strip()) and text not in _text(tokenizer, ids)
    if lost:
        yield "tokenizer-loses-text"
    elif not same and list(ids[:begin]) == list(row.prompt) and (masked or labels[-1] == tokenizer.eos_token_id):
        yield "targets-differ"


def _labels(stage: str, share: str, row: Row, tokenizer: Any) -> Finding:
    at = wrong_label(row.ids, row.labels) or 0
    shown = [part[at] if at < len(part) else None for part in (row.labels, row.ids)]
    label, token = (repr(tokenizer.decode([i])) if i is not None and i >= 0 else str(i) for i in shown)
    trained = [i for i, one in enumerate(row.labels) if one != MASKED]
    shifted = all(i + 1 < len(row.ids) and row.labels[i] == row.ids[i + 1] for i in trained[:-1])
    return Finding(
        "label-not-token",
        "error",
        f"stage {stage}: in {share} a label is not the token at its place",
        f"row {tokenizer.decode(row.ids)[:160]!r}: the token at place {at} is {token}, but its label is {label}",
        "the labels are shifted by one place: the trainer shifts them itself, so the model would learn to skip a token"
        if shifted
        else "the labels were changed, truncated or shifted after they were built",
        f"make labels a copy of the tokens, with {MASKED} on the prompt, and do not shift them",
    )


def _masked(stage: str, share: str, row: Row, tokenizer: Any) -> Finding:
    return Finding(
        "labels-masked",
        "error",
        f"stage {stage}: {share} have only masked labels, so nothing is learned from them",
        _row(row, tokenizer),
        "the target is truncated, or the prompt's mask covers the whole row",
        "look at the token view: the answer must be in the row, and its labels must not be -100",
    )


def _prompts(stage: str, share: str, row: Row, tokenizer: Any) -> Finding:
    return Finding(
        "prompts-differ",
        "error",
        f"stage {stage}: in {share} the prompt in training is not the prompt at inference",
        f"training:  {tokenizer.decode(row.ids[: len(row.prompt) + 8])!r}\n"
        f"inference: {tokenizer.decode(row.prompt)!r}\nthey first differ at token {parts_at(row.ids, row.prompt)}",
        "a chat template, a BOS or whitespace is added on one side only",
        "build both from one answer format (task.format)",
    )


def _trained(stage: str, share: str, row: Row, tokenizer: Any) -> Finding:
    return Finding(
        "prompt-trained",
        "warning",
        f"stage {stage}: in {share} the loss includes the prompt",
        _row(row, tokenizer),
        "the labels of the prompt are not masked",
        "mask the prompt, so that only the answer is learned",
    )


def _end(stage: str, share: str, row: Row, tokenizer: Any) -> Finding:
    same = tokenizer.pad_token_id == tokenizer.eos_token_id
    return Finding(
        "end-not-trained",
        "error",
        f"stage {stage}: {share} do not end in a label for the end of text, so the model does not learn to stop",
        f"end of text {tokenizer.eos_token!r}, padding {tokenizer.pad_token!r}; {_row(row, tokenizer)}",
        "padding is the end of text, and masking the padding masked the end, too"
        if same
        else "the end of text is missing from the targets, or its label is masked",
        "append the end of text to every target, and mask padding by the attention mask, not by its id",
    )


def _double(stage: str, share: str, row: Row, tokenizer: Any) -> Finding:
    return Finding(
        "double-bos",
        "error",
        f"stage {stage}: {share} begin with two BOS tokens",
        f"first tokens: {tokenizer.convert_ids_to_tokens(list(row.ids[:4]))}",
        "the prompt or the chat template writes BOS as text, and the tokenizer adds its own",
        f"remove {tokenizer.bos_token!r} from task.format.prompt, or set chat: true if it is part of a chat template",
    )


def _targets(stage: str, share: str, row: Row, tokenizer: Any) -> Finding:
    at = parts_at(row.ids, [*row.prompt, *row.answer]) or 0
    return Finding(
        "targets-differ",
        "error",
        f"stage {stage}: in {share} the target in training does not consist of the tokens that the model would write",
        f"training:  {tokenizer.convert_ids_to_tokens(list(row.ids[max(0, at - 4) : at + 6]))}\n"
        f"inference: {tokenizer.convert_ids_to_tokens([*row.prompt, *row.answer][max(0, at - 4) : at + 6])}\n"
        f"they first differ at token {at}",
        "a target was tokenized together with its prompt, or special tokens or whitespace were added to it",
        "build the row from `prompt_ids` followed by `target_ids`",
    )


def _lost(stage: str, share: str, row: Row, tokenizer: Any) -> Finding:
    return Finding(
        "tokenizer-loses-text",
        "error",
        f"stage {stage}: {share} are not the same text after encoding and decoding by the tokenizer",
        f"target {row.target[-80:]!r}\ncomes back as {_text(tokenizer, row.ids)[-100:]!r}",
        "the tokenizer was not loaded as it was built (another class, a missing merges file), or it normalizes text",
        "load the model with the tokenizer it was trained with; check tokenizer_class in tokenizer_config.json",
    )


_FINDINGS: dict[str, Callable[[str, str, Row, Any], Finding]] = {
    "label-not-token": _labels,
    "labels-masked": _masked,
    "prompts-differ": _prompts,
    "prompt-trained": _trained,
    "end-not-trained": _end,
    "double-bos": _double,
    "targets-differ": _targets,
    "tokenizer-loses-text": _lost,
}
"""The possible faults of rows, in the order in which to believe them."""


def _row(row: Row, tokenizer: Any) -> str:
    trained = [i for i, label in zip(row.ids, row.labels, strict=True) if label != MASKED]
    return f"row {tokenizer.decode(row.ids)[:160]!r}: {len(trained)} labels, {tokenizer.decode(trained)[-60:]!r}"


def _text(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
