"""What the stages of a past run have left, looked at in full: every file that is not what it was, or cannot be read."""

from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import DataError, OutputError
from orchestrator.health.report import file_damaged
from orchestrator.outputs import OUTPUTS, RESULTS, output_of
from orchestrator.past_run import PastStage
from orchestrator.stored_tables import read_stored
from orchestrator.types import Finding

_EVALUATED_BY = "orch.eval_cached_from"


def changed_outputs(stage: PastStage) -> Iterator[Finding]:
    """Findings on what a stage has made and on the evaluations of its model; all content is read."""
    outputs = []
    if stage.verb in OUTPUTS and stage.verb != "evaluate" and stage.status == "FINISHED":
        outputs.append((stage.origin, output_of(stage.verb)))
    if stage.results is not None or "accuracy" in stage.metrics:
        outputs.append((stage.tags.get(_EVALUATED_BY, stage.run_id), RESULTS))
    for tag, origin in _further(stage):
        outputs.append((origin, output_of("evaluate", tag)))
    for run_id, name in outputs:
        what = f"stage {stage.name}" if not name.startswith("eval/") else f"the evaluation of {stage.name}"
        try:
            path: Path = stage.store.output(run_id, name, full=True)
            if name.endswith(".parquet") and path.exists():
                read_stored(path)
        except (DataError, OutputError) as error:
            yield file_damaged(what, error)


def _further(stage: PastStage) -> Iterator[tuple[str, str]]:
    """The further splits that a model was asked, and the run that has each evaluation."""
    for tag in sorted(stage.tags):
        if tag.startswith("orch.eval_key."):
            also = tag.removeprefix("orch.eval_key.")
            yield also, stage.tags.get(f"{_EVALUATED_BY}.{also}", stage.run_id)
