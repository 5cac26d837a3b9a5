"""Asks a model now, and tests whether the completions attributed to it are its own.

Loads models in this process; writes nothing.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.answers.tokens import completion_text, prompt_ids, target_ids
from orchestrator.errors import ModelError
from orchestrator.health.agreement import Passage, agreement, counts, greedy
from orchestrator.health.base_weights import damaged, loaded
from orchestrator.health.written import Written
from orchestrator.models.reference import ModelRef
from orchestrator.sampling.answering import answer
from orchestrator.sampling.engine import Decoding, Request
from orchestrator.sampling.transformers_engine import TransformersEngine
from orchestrator.tasks import Task
from orchestrator.types import Example, Finding

_OWN = 0.99
"""Share of tokens that follow from a model's logits from which texts count as its own.

Measured on the embedded model: its own texts 1.000, even if they were written in bfloat16 and are checked in float32;
its worked solutions in other words 0.978; another adapter's texts 0.98, the base model's 0.89, bare gold answers 0.42.
"""
_SAME = 0.7
"""Share of texts reproduced word for word from which they are the model's own, whatever else is found."""
_PADDED = 0.97
"""Share of tokens from which a way to pad explains texts; batches formed differently leave a few unexplained."""
_LOOKED_AT, _AGAIN, _LEAST = 24, 8, 4
_MOST = 256
"""Maximum number of tokens to reproduce."""


def asked(engine: TransformersEngine, task: Task, examples: Sequence[Example], max_tokens: int) -> list[Written]:
    """A model's greedy completions, generated now."""
    made = answer(engine, task, examples, range(1), Decoding(0.0, 1.0, max_tokens, task.format.stop), 0)
    return [
        Written(e.id, e.question, e.answer, c.text, v.value, v.status, c.finish_reason)
        for e, (c, v) in zip(examples, made, strict=True)
    ]


def origin_findings(
    name: str,
    ref: ModelRef,
    engine: TransformersEngine,
    task: Task,
    rows: Sequence[Written],
    max_tokens: int,
    batch_size: int | None = None,
) -> Iterator[Finding]:
    """The finding for texts that are not the model's own: whose they are, or what interfered.

    `batch_size`: for an evaluation, the number of its rows that were generated at once, in their order.
    """
    told = [(place, row, _passage(engine, task, row)) for place, row in enumerate(rows) if row.text]
    told = [one for one in told if one[2].text]
    n = min(len(told), _LOOKED_AT)
    told = [told[i * len(told) // n] for i in range(n)]  # spread over all of them: some may come from elsewhere
    if len(told) < _LEAST:
        return
    passages = [passage for _, _, passage in told]
    counted = counts(engine.model, passages, engine.stops)
    own = sum(near for near, _ in counted) / sum(total for _, total in counted)
    order = sorted(range(len(told)), key=lambda i: counted[i][0] / counted[i][1])
    strangest = [told[i][1:] for i in order[:_AGAIN]]
    if own >= _OWN or _written_again(engine, task, strangest, max_tokens) >= _SAME:
        return
    share = f"{own:.1%} of the tokens of {len(told)} stored texts follow from the logits of model {name}"
    if ref.adapter is not None:
        bare = load_engine(name, replace(ref, adapter=None))
        if isinstance(bare, Finding):
            yield bare
            return
        theirs = agreement(bare.model, passages, bare.stops)
        if theirs >= _OWN:
            yield Finding(
                "adapter-not-attached",
                "error",
                f"model {name}: its completions come from the base model; the adapter was not attached",
                f"{share}, {theirs:.1%} from those of the base without the adapter",
                "the adapter was not loaded, was switched off, or was saved before it was trained",
                "evaluate again with the adapter on; `orch ask` shows what the model writes with it",
            )
            return
    if batch_size is not None:
        widths = _pads(engine, task, rows, told, batch_size)
        padded = [(passage, pads) for passage, pads in zip(passages, widths, strict=True) if pads]
        side, theirs = _best_padding(engine, padded)
        before = agreement(engine.model, [passage for passage, _ in padded], engine.stops) if padded else 1.0
        if theirs >= _PADDED and 1 - theirs <= (1 - before) / 2:  # texts from elsewhere may fit a little better, too
            yield _mixed_up(
                f"model {name}: its completions were generated with padding on the wrong side",
                f"{theirs:.1%} of the tokens of {len(padded)} texts follow from the model's logits if the prompt is "
                f"padded {side}, to the longest of its batch, {before:.1%} without padding",
            )
            return
    prompts = [passage.prompt for passage in passages[:_AGAIN]]
    alone = [passage for prompt in prompts for passage in _now(engine, [prompt], max_tokens)]
    batch = _now(engine, prompts, max_tokens)
    apart, together = (agreement(engine.model, made, engine.stops) for made in (alone, batch))
    if together < _OWN <= apart:
        yield _mixed_up(
            f"model {name}: a question is answered differently in a batch than alone",
            f"{together:.1%} of the tokens of {len(batch)} answers generated in one batch follow from the model's "
            f"logits, {apart:.1%} of those generated alone; {share}",
        )
        return
    yield _not_the_model(name, engine, task, [row for _, row, _ in told], share, max_tokens)


def _mixed_up(what: str, evidence: str) -> Finding:
    return Finding(
        "padding-mixed-up",
        "error",
        what,
        evidence,
        "prompts are padded on the right, or padding is not masked: the model reads padding before it writes",
        "pad prompts on the left and pass the attention mask to generate",
    )


def _pads(
    engine: TransformersEngine,
    task: Task,
    rows: Sequence[Written],
    told: Sequence[tuple[int, Written, Passage]],
    batch_size: int,
) -> list[int]:
    """For each prompt, the number of tokens it was shorter than the longest of its batch."""
    lengths = [len(prompt_ids(engine.tokenizer, task.format, row.question)) for row in rows]
    begins = [place - place % batch_size for place, _, _ in told]
    return [
        max(lengths[begin : begin + batch_size]) - lengths[place]
        for begin, (place, _, _) in zip(begins, told, strict=True)
    ]


def _best_padding(engine: TransformersEngine, padded: Sequence[tuple[Passage, int]]) -> tuple[str, float]:
    """The wrong way to pad that explains texts best, and the share of tokens it explains; 0 if there are too few."""
    if len(padded) < _LEAST:
        return "", 0.0
    pad = engine.tokenizer.pad_token_id
    ways = {
        "on the right": [Passage((*p.prompt, *[pad] * n), p.text, p.ended, n, True) for p, n in padded],
        "on the right, positions continued": [Passage((*p.prompt, *[pad] * n), p.text, p.ended, n) for p, n in padded],
        "on the right and not masked": [Passage((*p.prompt, *[pad] * n), p.text, p.ended) for p, n in padded],
        "on the left and not masked": [Passage((*[pad] * n, *p.prompt), p.text, p.ended) for p, n in padded],
    }
    shares = {way: agreement(engine.model, passages, engine.stops) for way, passages in ways.items()}
    best = max(shares, key=lambda way: shares[way])
    return best, shares[best]


def load_engine(name: str, ref: ModelRef) -> TransformersEngine | Finding:
    """A model that answers, or the finding on its files."""
    try:
        return loaded(lambda: TransformersEngine(ref), name)
    except ModelError as error:
        return damaged(ref.base, error) if ref.adapter is None else _unloadable(name, error)


def _unloadable(name: str, error: ModelError) -> Finding:
    return Finding(
        "adapter-other-base",
        "error",
        f"model {name} cannot be loaded: {error}",
        str(error.__cause__)[:1000],
        "its files do not match each other",
        "load the adapter on the model it was trained on, with the library versions it was trained with",
    )


def _written_again(
    engine: TransformersEngine, task: Task, told: Sequence[tuple[Written, Passage]], max_tokens: int
) -> float:
    """The share of stored texts that the model's logits reproduce, as far as they are followed.

    Tokens are no evidence if a text is tokenized differently from how it was generated.
    """
    same = 0
    for row, passage in told:
        again = greedy(engine.model, passage.prompt, engine.stops, min(max_tokens, _MOST))
        written = completion_text(engine.tokenizer, list(again.text))
        text = task.format.cut(written)
        open_end = not again.ended and text == written
        same += row.text == text or (open_end and row.text.startswith(text.rstrip("\ufffd")))
    return same / len(told)


def _now(engine: TransformersEngine, prompts: Sequence[tuple[int, ...]], max_tokens: int) -> list[Passage]:
    made = engine.generate([Request(prompt, 0) for prompt in prompts], Decoding(0.0, 1.0, max_tokens))
    return [Passage(prompt, one.ids, one.finish_reason == "stop") for prompt, one in zip(prompts, made, strict=True)]


def _not_the_model(
    name: str, engine: TransformersEngine, task: Task, rows: Sequence[Written], share: str, max_tokens: int
) -> Finding:
    """The finding for answers from elsewhere, with the model's own to the same questions and to shuffled words."""
    examples = [task.example_of(r.example_id, r.question, r.gold) for r in rows]
    stored = sum(r.status == "correct" for r in rows)
    again = asked(engine, task, examples, max_tokens)
    mixed = asked(engine, task, [replace(e, question=_shuffled(e.question)) for e in examples], max_tokens)
    n = len(rows)
    kept = sum(a.value is not None and a.value == b.value for a, b in zip(rows, mixed, strict=True))
    return Finding(
        "not-the-model",
        "error",
        f"model {name}: its answers do not come from its weights",
        f"{share}\ncorrect: stored {stored} of {n}, asked again {sum(r.status == 'correct' for r in again)}, with the "
        f"words of the questions shuffled {sum(r.status == 'correct' for r in mixed)} ({kept} answers unchanged)\n"
        f"stored {rows[0].text[:120]!r}\nnow    {again[0].text[:120]!r}",
        "a table, a cache or other code answers in the model's place, or the results belong to another model",
        "look for code between the question and `generate`; do not trust this model's figures",
    )


def _passage(engine: TransformersEngine, task: Task, row: Written) -> Passage:
    """A stored text as tokens; without the last one if the text may have ended inside it."""
    prompt = tuple(prompt_ids(engine.tokenizer, task.format, row.question))
    ended = row.finish_reason == "stop" and not task.format.stop
    *text, _ = target_ids(engine.tokenizer, row.text)
    return Passage(prompt, tuple(text if ended else text[:-1]), ended)


def _shuffled(question: str) -> str:
    words = question.split()
    random.Random(question).shuffle(words)
    return " ".join(words)
