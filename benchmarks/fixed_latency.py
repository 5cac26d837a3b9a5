"""An engine that takes a fixed time for every shard and computes nothing, for `many_workers`.

It always returns the tokens of the same text. A shard's requests, its judging and its file are real.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from orchestrator.models.loading import load_tokenizer
from orchestrator.models.reference import ModelRef
from orchestrator.sampling import engines
from orchestrator.sampling.engine import Decoding, Engine, Generated, Request, Room

SECONDS, SPANS = "ORCH_BENCHMARK_SECONDS", "ORCH_BENCHMARK_SPANS"
"""Environment variables: how long a shard takes, and the folder in which each shard's start and end are recorded."""
_TEXT = "There are 1000 m in a km, and 3 km are 3 * 1000 = 3000 m. The answer is 3000."


class FixedLatency(Engine):
    """Waits for a fixed time, then returns the same text."""

    def __init__(self, model: ModelRef, room: Room) -> None:
        self.tokenizer: Any = load_tokenizer(model.base)
        self._made = Generated(tuple(self.tokenizer.encode(_TEXT)), "stop")

    def generate(self, requests: list[Request], decoding: Decoding) -> list[Generated]:
        """The same text for every request."""
        began = time.time()
        time.sleep(float(os.environ[SECONDS]))
        name = f"{os.getpid()}-{began}"
        (Path(os.environ[SPANS]) / name).write_text(json.dumps([began, time.time(), len(requests)]))
        return [self._made] * len(requests)

    def turned_to(self, model: ModelRef) -> bool:
        """Always true: it serves every model."""
        return True


def with_fixed_latency(call: tuple[Any, Any]) -> Any:
    """Run a call on a worker with this engine in place of transformers."""
    engines.ENGINES["transformers"] = engines.EngineKind("benchmarks.fixed_latency:FixedLatency")
    function, argument = call
    return function(argument)
