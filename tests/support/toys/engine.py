"""`one_by_one`: transformers, one completion at a time. One file is all an engine needs."""

from orchestrator.models.reference import ModelRef
from orchestrator.sampling.engine import Decoding, Engine, Generated, Request, Room
from orchestrator.sampling.transformers_engine import TransformersEngine


class OneByOneEngine(Engine):
    """Answers each request separately."""

    def __init__(self, model: ModelRef, room: Room) -> None:
        self._engine = TransformersEngine(model, room)
        self.tokenizer = self._engine.tokenizer

    def generate(self, requests: list[Request], decoding: Decoding) -> list[Generated]:
        """Complete every request, in order."""
        return [self._engine.generate([request], decoding)[0] for request in requests]
