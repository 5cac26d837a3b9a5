"""Answer examples with a loaded model: prompts, generation, text, verdicts. Shards, `orch ask` and probes use it."""

import hashlib
from collections.abc import Sequence

from orchestrator.answers.tokens import completion_text, prompt_ids
from orchestrator.sampling.engine import Decoding, Engine, Generated, Request
from orchestrator.tasks import Task
from orchestrator.tasks.judging import verdicts
from orchestrator.types import Completion, Example, Verdict


def draw_seed(seed: int, example_id: str, draw: int) -> int:
    """64 bits that depend only on the recipe's seed, the example and the number of the draw."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{draw}\0{example_id}".encode()).digest()[:8])


def requests(engine: Engine, task: Task, examples: Sequence[Example], draws: range, seed: int) -> list[Request]:
    """The requests for each draw of each example, in order."""
    prompts = [tuple(prompt_ids(engine.tokenizer, task.format, example.question)) for example in examples]
    return [
        Request(prompt, draw_seed(seed, example.id, draw))
        for example, prompt in zip(examples, prompts, strict=True)
        for draw in draws
    ]


def judged(
    engine: Engine, task: Task, examples: Sequence[Example], draws: range, made: Sequence[Generated]
) -> list[tuple[Completion, Verdict]]:
    """The completions generated for these requests, each with its verdict, in order."""
    texts = [task.format.cut(completion_text(engine.tokenizer, list(one.ids))) for one in made]
    asked = [(example, draw) for example in examples for draw in draws]
    completions = [
        Completion(example.id, draw, text, len(one.ids), one.finish_reason)
        for (example, draw), text, one in zip(asked, texts, made, strict=True)
    ]
    pairs = [(completion, example) for completion, (example, _) in zip(completions, asked, strict=True)]
    return list(zip(completions, verdicts(task, pairs), strict=True))


def answer(
    engine: Engine, task: Task, examples: Sequence[Example], draws: range, decoding: Decoding, seed: int
) -> list[tuple[Completion, Verdict]]:
    """Each draw of each example, judged, in order."""
    made = engine.generate(requests(engine, task, examples, draws, seed), decoding)
    return judged(engine, task, examples, draws, made)
