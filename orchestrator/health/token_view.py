"""A training row as the trainer sees it: which tokens are learned, and which are only read."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TokenView:
    """One training row of a stage."""

    stage: str
    pieces: tuple[tuple[str, bool], ...]
    """(text, whether it is trained on) for each token; the end of text appears by its name."""

    @property
    def trained(self) -> int:
        """Number of tokens the loss is computed on."""
        return sum(learned for _, learned in self.pieces)


def token_view(stage: str, tokenizer: Any, ids: list[int], labels: list[int]) -> TokenView:
    """A row token by token; a character spread over several tokens appears with the last of them."""
    pieces: list[tuple[str, bool]] = []
    pending: list[int] = []
    for token, label in zip(ids, labels, strict=True):
        pending.append(token)
        text = str(tokenizer.decode(pending, skip_special_tokens=False, clean_up_tokenization_spaces=False))
        if text.endswith("\ufffd") and len(pending) < 4:
            pieces.append(("", label != -100))
            continue
        pieces.append((text, label != -100))
        pending = []
    if pending:  # the row was cut inside a character
        pieces[-1] = (text, pieces[-1][1])
    return TokenView(stage, tuple(pieces))
