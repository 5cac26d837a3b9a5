"""The engine interface: an engine turns prompts into completions, one per request.

Every engine guarantees:

- A completion depends only on its request and the decoding, not on the rest of the batch.
- It ends at an end-of-text token, which is left out, at a stop text, which is kept, or at its last token: that of
  `max_tokens`, or the last one that fits the model.
- A prompt that leaves the model no room for a token gets an empty completion with finish reason `length`; all others
  are answered.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from orchestrator.types import FinishReason

Lot = TypeVar("Lot")
"""The caller's identifier for a lot of requests."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How to decode. `temperature` 0 is greedy."""

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    """Texts that end a completion and stay in it; the token that completes one may add more text after it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one completion."""

    prompt: tuple[int, ...]
    """Token ids."""
    seed: int
    """Determines every random choice of this completion, whatever else is in the batch; 64 bits."""


@dataclass(frozen=True, slots=True)
class Generated:
    """The completion of a request."""

    ids: tuple[int, ...]
    """Token ids, without the end of text."""
    finish_reason: FinishReason


NO_ROOM = Generated((), "length")
"""The completion of a prompt that fills all of the model's positions."""


@dataclass(frozen=True, slots=True)
class Room:
    """The resources that an engine may use, and its configuration."""

    cpus: int = 1
    gpus: float = 0.0
    arguments: tuple[tuple[str, Any], ...] = ()
    """The recipe's `engine_args`: names and values."""
    deterministic: bool = False
    """Whether a completion must be computed bit for bit the same, whatever else is in the batch."""


class Engine(ABC):
    """A loaded model that generates. It is constructed from a model and its room."""

    tokenizer: Any

    @abstractmethod
    def generate(self, requests: list[Request], decoding: Decoding) -> list[Generated]:
        """Complete every request, in order."""

    def stream(
        self, lots: Iterable[tuple[Lot, list[Request]]], decoding: Decoding
    ) -> Iterator[tuple[Lot, list[Generated]]]:
        """Complete lots of requests; yields each lot once it is complete.

        An engine may start the next lot before the last completion of one is finished.
        """
        for lot, requests in lots:
            yield lot, self.generate(requests, decoding)

    def turned_to(self, model: Any) -> bool:
        """Switch to this model if possible; returns whether the engine now uses it."""
        return False
