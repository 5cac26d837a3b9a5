"""Findings from the training curves of a past run: from their shapes, and from replaying the training watch over them.

Knows nothing of files, models or completions.
"""

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.health.curves.read import read_curves
from orchestrator.health.curves.reading import StageCurves
from orchestrator.models.start import is_trained
from orchestrator.runs.past import PastRun, PastStage
from orchestrator.stages.base import Verb
from orchestrator.stages.training import Training
from orchestrator.training.watch import Watch
from orchestrator.types import BASE, Finding


def stage_curves(past: PastRun, stage: PastStage) -> StageCurves | None:
    """A stage's curves and the readings of their shapes; None if it has none."""
    if not stage.curves:
        return None
    spec = past.recipe.stages.get(stage.name)
    settings = spec.model_dump(mode="json") if spec is not None else {}
    readings = read_curves(stage.headline, stage.curves, settings, f"stages.{stage.name}.", _ended(stage))
    return StageCurves(stage.name, stage.verb, stage.curves, readings, stage.chosen)


def findings_of(past: PastRun, stage: PastStage, curves: StageCurves | None) -> Iterator[Finding]:
    """Findings from while it ran, from the replayed watch, and from the curves' shapes: each check once."""
    read = [_of(stage, reading.finding) for reading in curves.readings] if curves is not None else []
    told = {finding.check for finding in read}  # these see the whole curve and the stage's settings
    yield from (finding for finding in stage.noticed if finding.check not in told)
    told |= {finding.check for finding in stage.noticed}
    yield from (finding for finding in _watched(past, stage) if finding.check not in told)
    yield from read


def _watched(past: PastRun, stage: PastStage) -> Iterator[Finding]:
    """The training watch, replayed over the stored curves."""
    points: dict[int, dict[str, float]] = {}
    for name, curve in stage.curves.items():
        for step, value in curve:
            points.setdefault(step, {})[name] = value
    spec = past.recipe.stages.get(stage.name)
    total = max(points, default=None) if _ended(stage) else _planned(spec, stage)
    if total is None:
        return
    from_base = getattr(spec, "model", BASE) == BASE and not is_trained(past.start.base, past.start.adapter)
    watch = Watch(stage.headline, total, from_base)
    for step in sorted(points):
        for finding in watch.look(step, points[step]):
            yield _of(stage, finding)


def _ended(stage: PastStage) -> bool:
    """Whether it trained to its last step; a model's run stays finished whatever happens to its evaluation."""
    return stage.status == "FINISHED"


def _planned(spec: Verb | None, stage: PastStage) -> int | None:
    """The planned number of steps of a training that was cut off; None if neither settings nor curves reveal it."""
    if not isinstance(spec, Training):
        return None
    if spec.max_steps is not None:
        return spec.max_steps
    step, epochs = max(stage.curves.get("epoch", ()), default=(0, 0.0))
    return round(step * (spec.num_train_epochs or spec.DEFAULT_EPOCHS) / epochs) if epochs else None


def _of(stage: PastStage, finding: Finding) -> Finding:
    return replace(finding, what=f"stage {stage.name}: {finding.what}")
