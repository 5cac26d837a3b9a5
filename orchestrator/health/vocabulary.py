"""Texts as tokens: ids that the model has no embedding for, and texts that are special tokens.

Special tokens are not decoded, so text written with them is never read. Knows no template and loads no weights.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from orchestrator.answers.tokens import completion_text, prompt_ids, target_ids
from orchestrator.health.contract import targets
from orchestrator.plan.plan import Plan
from orchestrator.types import Finding

_LOOKED_AT = 100
"""Number of targets searched for special tokens in a split that is not trained on."""


def embedding_findings(plan: Plan, tokenizer: Any, rows: int) -> Iterator[Finding]:
    """The finding for token ids that occur but are beyond the `rows` rows of the model's embedding."""
    vocabulary = tokenizer.get_vocab()
    if max(vocabulary.values(), default=0) < rows:
        return
    ends = {
        f"{kind} {token!r}": token_id
        for kind, token, token_id in (
            ("the end of text", tokenizer.eos_token, tokenizer.eos_token_id),
            ("the padding", tokenizer.pad_token, tokenizer.pad_token_id),
        )
        if token_id is not None and token_id >= rows
    }
    where, ids = next(iter(ends.items()), (None, None)) if ends else _beyond(plan, tokenizer, rows)
    if where is None:
        return
    yield Finding(
        "token-without-embedding",
        "error",
        f"{where} is token {ids}, but the embedding of {plan.base.name} has {rows:,} rows (0 to {rows - 1:,})",
        f"the tokenizer has {len(vocabulary):,} tokens, up to id {max(vocabulary.values()):,}",
        "tokens were added to the tokenizer without enlarging the model's embedding, or the tokenizer belongs to "
        "another model",
        "save the model after model.resize_token_embeddings(len(tokenizer)), or use the tokenizer that came with it",
    )


def _beyond(plan: Plan, tokenizer: Any, rows: int) -> tuple[str | None, int | None]:
    """The first text that contains an id of `rows` or more, and that id."""
    task = plan.recipe.task
    for split in task.splits():
        for example in task.examples(split):
            high = max(prompt_ids(tokenizer, task.format, example.question), default=0)
            if high >= rows:
                token = tokenizer.convert_ids_to_tokens(high)
                return f"{token!r} in the prompt of {task.where(split)}, {example.id},", high
        for example, target in targets(task, split)[0]:
            high = max(target_ids(tokenizer, target), default=0)
            if high >= rows:
                token = tokenizer.convert_ids_to_tokens(high)
                return f"{token!r} in the target of {task.where(split)}, {example.id},", high
    return None, None


def special_token_findings(plan: Plan, tokenizer: Any) -> Iterator[Finding]:
    """Findings on texts of the recipe and its rows that the tokenizer reads as special tokens."""
    special = _Special(tokenizer)
    task = plan.recipe.task
    trained = any(stage.spec.row_sources() for stage in plan.stages)
    hidden: list[tuple[str, list[str]]] = []
    others: list[tuple[str, list[str]]] = []
    for split in task.splits():
        few = None if split == "demonstrations" and trained else _LOOKED_AT
        for _, target in targets(task, split)[0][:few]:
            if found := special.in_(target):
                decoded = completion_text(tokenizer, target_ids(tokenizer, target)[:-1])
                unread = task.format.extract(decoded) != task.format.extract(target)
                (hidden if unread else others).append((target, found))
    if hidden:
        target, found = hidden[0]
        decoded = completion_text(tokenizer, target_ids(tokenizer, target)[:-1])
        yield Finding(
            "answer-marks-special",
            "error",
            f"{_named(found)} in the answer {_are(found)} of the tokenizer: decoding skips special tokens, so no "
            "answer would ever be found",
            f"written {target[-120:]!r}\nread    {decoded[-120:]!r}",
            "the tags were added to the tokenizer as special tokens, or one of the model's tokens is used as a tag",
            'use tags that are plain text in task.format, or add them to the tokenizer with "special": false',
        )
    yield from _in_targets(others, tokenizer)
    stops = [stop for stop in task.format.stop if special.in_(stop)]
    if stops:
        yield Finding(
            "stop-is-special",
            "warning",
            f"task.format.stop: {_named(stops)} {_are(stops)} of the tokenizer: decoding skips special tokens, so "
            "nothing is cut there",
            f"the tokens: {', '.join(special.in_(stops[0]))}",
            "stop texts are searched for in the decoded text",
            "leave it out: the end of text ends a completion, as do the tokens in the model's generation_config.json",
        )
    asked = [e for split in task.splits() for e in task.examples(split) if special.in_(e.question)]
    if asked:
        yield Finding(
            "special-token-in-question",
            "warning",
            f"{len(asked):,} questions contain {_named(special.in_(asked[0].question))}, which the model reads as "
            "special tokens",
            f"{asked[0].id}: {asked[0].question[:160]!r}",
            "markers that structure the model's own training data got into the questions",
            "remove them from the questions",
        )


def _in_targets(rows: Sequence[tuple[str, list[str]]], tokenizer: Any) -> Iterator[Finding]:
    """The finding for special tokens in training targets whose answer is still read."""
    end = tokenizer.eos_token
    ended = [target for target, found in rows if end in found]
    if ended:
        inside = [target for target in ended if end in target.rstrip().removesuffix(end)]
        yield Finding(
            "end-in-target",
            "error" if inside else "warning",
            f"{len(ended):,} targets contain the end of text, {end!r}"
            + (f", {len(inside):,} of them before their end" if inside else ""),
            f"{(inside or ended)[0][-160:]!r}",
            "the solutions contain the model's end of text, and training adds its own"
            + (": nothing after the first one is ever generated" if inside else ""),
            f"remove {end!r} from the worked solutions",
        )
    elif rows:
        target, found = rows[0]
        yield Finding(
            "special-token-in-target",
            "warning",
            f"{len(rows):,} targets contain {_named(found)}, special tokens of the tokenizer",
            f"{target[:160]!r}",
            "the model learns to write tokens that decoding skips: they are missing from every text that is read",
            "remove them from the worked solutions, unless they are intended",
        )


class _Special:
    """The texts that decoding skips."""

    def __init__(self, tokenizer: Any) -> None:
        added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        by_first: dict[str, list[str]] = {}  # a model may have thousands: at each place of a text, only few are tried
        for text in sorted({*added, *tokenizer.all_special_tokens}, key=len, reverse=True):
            by_first.setdefault(text[0], []).append(re.escape(text[1:]))
        grouped = [f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in by_first.items()]
        self.pattern = re.compile("|".join(grouped) or r"(?!)")

    def in_(self, text: str) -> list[str]:
        """The special tokens in a text, each once."""
        return list(dict.fromkeys(self.pattern.findall(text)))


def _named(texts: Iterable[str]) -> str:
    return " and ".join(map(repr, texts))


def _are(texts: Sequence[str]) -> str:
    return "are special tokens" if len(texts) > 1 else "is a special token"
