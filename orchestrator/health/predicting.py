"""Which token a model predicts: the next one, or one near it. Shifted labels teach the wrong one.

A language model's loss is lowest on the next token. A model whose labels were shifted by hand, although it shifts them
itself, has learned the token after next; one whose labels were shifted back repeats the token it reads.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from orchestrator.types import Finding

Row = tuple[Sequence[int], Sequence[int]]
"""A prompt and a target, as token ids."""
Losses = Mapping[int, float]
"""Mean loss, in nats, by distance from the next token: 0 is the next, 1 the one after it, -1 the one just read."""
_PLACES = (-2, -1, 0, 1, 2)
_NAMES = {
    -2: "the token before the one it reads",
    -1: "the token it reads",
    1: "the token after next",
    2: "the third token ahead",
}
_BELOW = 0.5
"""A place is predicted better than the next token if its loss is lower by this much."""
_WORSE, _LEARNED, _APART = 0.3, 3.0, 1.0
"""A training that was cut short has begun to teach the wrong place if it raised the loss on the next token by the first
value, lowered that on the wrong place by the second, and the latter is below all other wrong places by the third."""


@torch.inference_mode()  # type: ignore[untyped-decorator]
def losses(model: Any, rows: Sequence[Row]) -> Losses:
    """A model's losses on the targets, for each place it may have learned to predict."""
    total, count = dict.fromkeys(_PLACES, 0.0), dict.fromkeys(_PLACES, 0)
    for prompt, target in rows:
        ids = torch.tensor([[*prompt, *target]], device=model.device)
        said = model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
        length = ids.shape[1]
        for place in _PLACES:
            read = torch.arange(len(prompt) - 1, length - 1, device=model.device)
            wanted = read + 1 + place
            read, wanted = read[(wanted >= 0) & (wanted < length)], wanted[(wanted >= 0) & (wanted < length)]
            total[place] -= float(said[read, ids[0, wanted]].sum())
            count[place] += len(read)
    return {place: total[place] / max(1, count[place]) for place in _PLACES}


def shift_finding(name: str, now: Losses, before: Losses | None) -> Finding | None:
    """The finding for a model that predicts a token other than the next; `before` are its base model's losses."""
    wrong = {place: loss for place, loss in now.items() if place}
    best = min(wrong, key=lambda place: wrong[place])
    others = min(loss for place, loss in wrong.items() if place != best)
    learned = wrong[best] < now[0] - _BELOW
    if not learned and before is not None:
        worse, better = now[0] - before[0], before[best] - now[best]
        learned = worse > _WORSE and better > _LEARNED and others - wrong[best] > _APART
    if not learned or others - wrong[best] < _BELOW:  # in noise, all places are predicted equally well
        return None
    base = "" if before is None else f"; its base model: {before[0]:.2f} and {before[best]:.2f}"
    return Finding(
        "labels-shifted",
        "error",
        f"model {name} has learned to predict {_NAMES[best]}, not the next one",
        f"mean loss on the gold targets: {now[0]:.2f} on the next token, {wrong[best]:.2f} on {_NAMES[best]}{base}",
        "the labels were shifted against the tokens, but the model shifts them itself: labels must be the unshifted "
        "tokens",
        "make labels a copy of input_ids, with -100 on tokens that are not learned, and train again",
    )
