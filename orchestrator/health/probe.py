"""Ask a model now, and ask whether what it is said to have written is its own.

Loads models in this process; nothing is written.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.answers.judges.base import as_kept
from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.health.agreement import agreement
from orchestrator.health.written import Written
from orchestrator.model_ref import ModelRef
from orchestrator.sampling.answering import answer
from orchestrator.sampling.engine import Decoding, Request
from orchestrator.sampling.transformers_engine import TransformersEngine
from orchestrator.tasks import Task
from orchestrator.types import Example, Finding

_OWN = 0.7
"""From this share of texts on that follow from a model's logits, they are taken to be its own."""
_LOOKED_AT = 24


def asked(engine: TransformersEngine, task: Task, examples: Sequence[Example], max_tokens: int) -> list[Written]:
    """What a model writes now, greedily."""
    made = answer(engine, task, examples, range(1), Decoding(0.0, 1.0, max_tokens, task.format.stop), 0)
    return [
        Written(e.id, e.question, as_kept(e.answer), c.text, v.value, v.status, c.finish_reason)
        for e, (c, v) in zip(examples, made, strict=True)
    ]


def origin_findings(
    name: str, ref: ModelRef, engine: TransformersEngine, task: Task, rows: Sequence[Written], max_tokens: int
) -> Iterator[Finding]:
    """Are these texts the model's own? If not, whose are they, or what stood in between?"""
    looked = [row for row in rows if row.text][:_LOOKED_AT]
    if len(looked) < 4:
        return
    tokens = [_ids(engine, task, row) for row in looked]
    own = agreement(engine.model, tokens)
    if own >= _OWN:
        return
    share = f"{own:.0%} of {len(looked)} stored texts follow from the logits of model {name}"
    if ref.adapter is not None:
        theirs = agreement(TransformersEngine(replace(ref, adapter=None)).model, tokens)
        if theirs >= _OWN:
            yield Finding(
                "adapter-not-attached",
                "error",
                f"model {name}: its completions come from the base model, the adapter was not attached",
                f"{share}, {theirs:.0%} from those of the base without the adapter",
                "the adapter was not loaded, was switched off, or was saved before it was trained",
                "evaluate again with the adapter on; `orch ask` shows what the model writes with it",
            )
            return
    alone = [engine.generate([request], Decoding(0.0, 1.0, max_tokens))[0].ids for request in _requests(tokens)]
    together = [made.ids for made in engine.generate(_requests(tokens), Decoding(0.0, 1.0, max_tokens))]
    same = sum(a == b for a, b in zip(alone, together, strict=True)) / len(alone)
    if same < _OWN:
        yield Finding(
            "padding-mixed-up",
            "error",
            f"model {name}: a question is answered differently in a batch than alone",
            f"{same:.0%} of {len(alone)} answers are the same; {share}",
            "prompts are padded on the right, or padding is not masked: the model reads padding before it writes",
            "pad prompts on the left and hand the attention mask to generate",
        )
        return
    yield _not_the_model(name, engine, task, looked, share, max_tokens)


def _not_the_model(
    name: str, engine: TransformersEngine, task: Task, rows: Sequence[Written], share: str, max_tokens: int
) -> Finding:
    """Answers from somewhere else: what the model itself makes of the same questions, and of their shuffled words."""
    examples = [Example(r.example_id, r.question, r.gold) for r in rows]
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
        "a table, a cache or other code answers in the model's place, or the results are those of another model",
        "look for what stands between the question and `generate`; trust no figure of this model",
    )


def _requests(tokens: Sequence[tuple[list[int], list[int]]]) -> list[Request]:
    return [Request(tuple(prompt), 0) for prompt, _ in tokens[:8]]


def _ids(engine: TransformersEngine, task: Task, row: Written) -> tuple[list[int], list[int]]:
    text = target_ids(engine.tokenizer, row.text)
    ended = row.finish_reason == "stop" and not task.format.stop
    return prompt_ids(engine.tokenizer, task.format, row.question), text if ended else text[:-1]


def _shuffled(question: str) -> str:
    words = question.split()
    random.Random(question).shuffle(words)
    return " ".join(words)
