"""What an engine is: it turns prompts into completions, one for each request.

What every engine guarantees:

- A completion is decided by its request and the decoding alone, not by what is drawn beside it.
- It ends at a token that ends a text, which is left out, at a stop text, which stays, or at its last token: that of
  `max_tokens`, or the last that the model holds.
- A prompt that leaves the model no room for a token gets an empty completion that ended for its length; all others are
  answered.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from orchestrator.types import FinishReason

Lot = TypeVar("Lot")
"""What a caller knows a lot of requests by."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How to decode. `temperature` 0 is greedy."""

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    """Texts that end a completion and stay in it; a token that ends one may bring more text behind it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One completion that is wanted."""

    prompt: tuple[int, ...]
    """Token ids."""
    seed: int
    """Decides every random choice of this completion, whatever else is in the batch; 64 bits."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What came of a request."""

    ids: tuple[int, ...]
    """Token ids, without the end of text."""
    finish_reason: FinishReason


NO_ROOM = Generated((), "length")
"""What comes of a prompt that fills all of the model's positions."""


@dataclass(frozen=True, slots=True)
class Room:
    """What an engine may take of its machine, and how it is set up."""

    cpus: int = 1
    gpus: float = 0.0
    arguments: tuple[tuple[str, Any], ...] = ()
    """The recipe's `engine_args`: names and values."""
    deterministic: bool = False
    """Whether it must compute a completion to the same bits whatever is drawn beside it."""


class Engine(ABC):
    """A loaded model that generates. It is made of a model and the room it has."""

    tokenizer: Any

    @abstractmethod
    def generate(self, requests: list[Request], decoding: Decoding) -> list[Generated]:
        """Complete every request, in order."""

    def stream(
        self, lots: Iterable[tuple[Lot, list[Request]]], decoding: Decoding
    ) -> Iterator[tuple[Lot, list[Generated]]]:
        """Complete lots of requests; each is handed back once all of it is there.

        An engine that can begins the next lot before the last completion of one is there.
        """
        for lot, requests in lots:
            yield lot, self.generate(requests, decoding)

    def turned_to(self, model: Any) -> bool:
        """Whether it now completes with this model."""
        return False
