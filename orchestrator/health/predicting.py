"""Which token does a model predict: the next one, or one beside it? Labels that are shifted teach the wrong one.

A language model's loss is lowest on the token after each. One whose labels were shifted by hand, although the model
shifts them itself, has learned the token after next; one whose labels were shifted back repeats the token it reads.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from orchestrator.types import Finding

Row = tuple[Sequence[int], Sequence[int]]
"""A prompt and a target, as token ids."""
Losses = Mapping[int, float]
"""Mean loss, in nats, on the token at that distance after the next one: 0 is the next, 1 the one after, -1 the same."""
_PLACES = (-2, -1, 0, 1, 2)
_NAMES = {
    -2: "the token before the one it reads",
    -1: "the token it reads",
    1: "the token after next",
    2: "the third token",
}
_BELOW = 0.5
"""A place is predicted better than the next one if its loss is lower by so much."""
_WORSE, _LEARNED, _APART = 0.3, 3.0, 1.0
"""A training that was cut short has begun to teach the wrong place if it made the next token worse by the first, the
wrong one better by the second, and that one differs from all other wrong ones by the third."""


@torch.inference_mode()  # type: ignore[untyped-decorator]
def losses(model: Any, rows: Sequence[Row]) -> Losses:
    """A model's losses on the targets, for each place that it may have learned to predict."""
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
    """The finding for a model that predicts another token than the next; `before` are its base model's losses."""
    wrong = {place: loss for place, loss in now.items() if place}
    best = min(wrong, key=lambda place: wrong[place])
    others = min(loss for place, loss in wrong.items() if place != best)
    learned = wrong[best] < now[0] - _BELOW
    if not learned and before is not None:
        worse, better = now[0] - before[0], before[best] - now[best]
        learned = worse > _WORSE and better > _LEARNED and others - wrong[best] > _APART
    if not learned or others - wrong[best] < _BELOW:  # of noise every place is predicted alike
        return None
    base = "" if before is None else f"; its base model: next {before[0]:.2f}, that one {before[best]:.2f}"
    return Finding(
        "labels-shifted",
        "error",
        f"model {name} has learned to predict {_NAMES[best]}, not the next one",
        f"mean loss on the gold targets: on the next token {now[0]:.2f}, on {_NAMES[best]} {wrong[best]:.2f}{base}",
        "the labels were shifted against the tokens: a model shifts them itself, so labels are the tokens as they are",
        "make labels a copy of input_ids with -100 where nothing is learned, and train again",
    )
