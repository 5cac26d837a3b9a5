"""What a run came to, in one tag of its run: a list of many runs is read with one request."""

import json
from collections.abc import Sequence

from orchestrator.results import ModelOverSeeds, ModelResult
from orchestrator.store.base import StoredRun
from orchestrator.store.names import MODELS_TAG

_LONGEST = 7500
"""Characters: a tag's text may have 8000 in MLflow."""


def headline(models: Sequence[ModelResult | ModelOverSeeds]) -> dict[str, str]:
    """The tag that holds the figures of a run's models; of several seeds the means. Empty where it has no room."""
    rows = [
        [m.model, m.accuracy, m.accuracy_low, m.accuracy_high, m.answer_rate, m.n]
        if isinstance(m, ModelResult)
        else [m.model, m.accuracy_mean, m.accuracy_low, m.accuracy_high, m.answer_rate_mean, m.n]
        for m in models
    ]
    text = json.dumps(rows)
    return {MODELS_TAG: text} if len(text) <= _LONGEST else {}


def headline_of(run: StoredRun) -> tuple[ModelResult, ...]:
    """The figures of a run's models; empty where it came to none, or was made by an older version."""
    return tuple(ModelResult(*row) for row in json.loads(run.tags.get(MODELS_TAG, "[]")))
