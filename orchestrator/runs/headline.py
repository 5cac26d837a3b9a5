"""A run's main figures in a single tag, so that many runs can be listed with one request."""

import json
from collections.abc import Sequence

from orchestrator.results import ModelOverSeeds, ModelResult
from orchestrator.store.base import StoredRun
from orchestrator.store.names import MODELS_TAG

_LONGEST = 7500
"""Characters: MLflow allows 8000 in a tag's value."""


def headline(models: Sequence[ModelResult | ModelOverSeeds]) -> dict[str, str]:
    """The tag with the figures of a run's models, or their means over several seeds. Empty if they do not fit."""
    rows = [
        [m.model, m.accuracy, m.accuracy_low, m.accuracy_high, m.answer_rate, m.n]
        if isinstance(m, ModelResult)
        else [m.model, m.accuracy_mean, m.accuracy_low, m.accuracy_high, m.answer_rate_mean, m.n]
        for m in models
    ]
    text = json.dumps(rows)
    return {MODELS_TAG: text} if len(text) <= _LONGEST else {}


def headline_of(run: StoredRun) -> tuple[ModelResult, ...]:
    """The figures of a run's models; empty if it has none or was written by an older version."""
    return tuple(ModelResult(*row) for row in json.loads(run.tags.get(MODELS_TAG, "[]")))
