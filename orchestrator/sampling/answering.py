"""Have a loaded model answer examples: prompts, generation, text, verdicts. Shards, `orch ask`, probes use it."""

import hashlib
from collections.abc import Sequence

from orchestrator.answers.tokens import completion_text, prompt_ids
from orchestrator.sampling.engine import Decoding, Engine, Request
from orchestrator.tasks import Task
from orchestrator.tasks.judging import verdicts
from orchestrator.types import Completion, Example, Verdict


def draw_seed(seed: int, example_id: str, draw: int) -> int:
    """64 bits that depend on the recipe's seed, the example and the number of the draw alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{draw}\0{example_id}".encode()).digest()[:8])


def answer(
    engine: Engine, task: Task, examples: Sequence[Example], draws: range, decoding: Decoding, seed: int
) -> list[tuple[Completion, Verdict]]:
    """Each draw of each example, judged, in order."""
    pairs = [(example, draw) for example in examples for draw in draws]
    prompts = {e.id: tuple(prompt_ids(engine.tokenizer, task.format, e.question)) for e in examples}
    requests = [Request(prompts[e.id], draw_seed(seed, e.id, draw)) for e, draw in pairs]
    made = engine.generate(requests, decoding)
    texts = [task.format.cut(completion_text(engine.tokenizer, list(one.ids))) for one in made]
    completions = [
        Completion(example.id, draw, text, len(one.ids), one.finish_reason)
        for (example, draw), text, one in zip(pairs, texts, made, strict=True)
    ]
    asked = (example for example, _ in pairs)
    judged = verdicts(task, list(zip(completions, asked, strict=True)))
    return list(zip(completions, judged, strict=True))
