"""A full check of the outputs of a past run's stages: reports every file that has changed or cannot be read."""

from collections.abc import Iterator

from orchestrator.errors import DataError, OutputError
from orchestrator.health.findings import file_damaged
from orchestrator.runs.past import PastStage
from orchestrator.store.names import RESULTS, output_of
from orchestrator.store.tables import read_stored
from orchestrator.types import Finding


def changed_outputs(stage: PastStage) -> Iterator[Finding]:
    """Findings on a stage's output and on the evaluations of its model; all content is read."""
    outputs = []
    if stage.output is not None and stage.status == "FINISHED":
        outputs.append((stage.origin, stage.output))
    if stage.results is not None:
        outputs.append((stage.run.evaluation_origin(), RESULTS))
    for also in stage.run.splits:
        outputs.append((stage.run.evaluation_origin(also), output_of(RESULTS, also)))
    for run_id, name in outputs:
        what = f"stage {stage.name}" if not name.startswith("eval/") else f"the evaluation of {stage.name}"
        path = stage.store.artifact(run_id, name)
        if not path.exists():
            continue  # a lost output is reported by whatever needs it
        try:
            if path.is_file():
                read_stored(path)
            stage.store.output(run_id, name, full=True)
        except DataError as error:
            if name != RESULTS:  # reported by whatever reads the answers
                yield file_damaged(what, error)
        except OutputError as error:
            yield _changed(what, error)


def _changed(what: str, error: OutputError) -> Finding:
    return Finding(
        "output-changed",
        "error",
        f"{what}: {error.problems[0]}",
        "its content does not match the digest recorded when it was written",
        "a copy was cut short, the file was replaced or edited, or the disk is failing",
        "do not trust any figure that depends on it; restore the file, or remove it and run the recipe again",
    )
