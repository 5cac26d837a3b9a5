"""What an engine is: it turns prompts into completions, one for each request, in order."""

from dataclasses import dataclass
from typing import Protocol

from orchestrator.types import FinishReason


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


class Engine(Protocol):
    """A loaded model that generates."""

    tokenizer: object

    def generate(self, requests: list[Request], decoding: Decoding) -> list[Generated]:
        """Complete every request, in order."""
        ...
