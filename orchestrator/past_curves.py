"""What the curves of a past run's training say: their shapes, and what the watch over a training says of them again.

Knows no files, models or completions.
"""

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.health.curve_reading import StageCurves
from orchestrator.health.curves import read_curves
from orchestrator.health.watch import Watch
from orchestrator.past_run import PastRun, PastStage
from orchestrator.recipe import BASE
from orchestrator.types import Finding


def stage_curves(past: PastRun, stage: PastStage) -> StageCurves | None:
    """A stage's curves and what their shapes say; None where it has none."""
    if not stage.curves:
        return None
    spec = past.recipe.stages.get(stage.name)
    settings = spec.model_dump(mode="json") if spec is not None else {}
    readings = read_curves(stage.verb, stage.curves, settings, f"stages.{stage.name}.")
    return StageCurves(stage.name, stage.verb, stage.curves, readings, stage.chosen)


def findings_of(past: PastRun, stage: PastStage, curves: StageCurves | None) -> Iterator[Finding]:
    """What was noticed while it ran, what the watch sees in it now, and what the shapes say: each thing once."""
    read = [_of(stage, reading.finding) for reading in curves.readings] if curves is not None else []
    told = {finding.check for finding in read}  # they know the whole curve, and the stage's settings
    yield from (finding for finding in stage.noticed if finding.check not in told)
    told |= {finding.check for finding in stage.noticed}
    yield from (finding for finding in _watched(past, stage) if finding.check not in told)
    yield from read


def _watched(past: PastRun, stage: PastStage) -> Iterator[Finding]:
    """The watch over a training, held again over its stored curves."""
    points: dict[int, dict[str, float]] = {}
    for name, curve in stage.curves.items():
        for step, value in curve:
            points.setdefault(step, {})[name] = value
    if not points:
        return
    from_base = getattr(past.recipe.stages.get(stage.name), "model", BASE) == BASE and past.start.adapter is None
    watch = Watch(stage.verb, max(points), from_base)
    for step in sorted(points):
        for finding in watch.look(step, points[step]):
            yield _of(stage, finding)


def _of(stage: PastStage, finding: Finding) -> Finding:
    return replace(finding, what=f"stage {stage.name}: {finding.what}")
