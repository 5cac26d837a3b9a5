"""Sets up MLflow's pages for a run that has ended: the saved view of its models, and a line in each model's run."""

import time
from collections.abc import Sequence

from orchestrator.comparison.palette import model_colours
from orchestrator.results import RunResult
from orchestrator.runs.notes import model_note
from orchestrator.stages import STAGES
from orchestrator.store.base import Store
from orchestrator.store.names import COLOUR_TAG, NOTE_TAG
from orchestrator.store.pages import VIEW_TAG, run_link, view, view_link

_CHARTS = tuple(
    dict.fromkeys(
        (
            *(curve for verb in STAGES.values() for _, curves in verb.PANELS for curve in curves),
            "learning_rate",
            "grad_norm",
        )
    )
)
"""The curves that are charted: those of the report, and two that show how a training went."""


def show_models(store: Store, experiment_id: str, results: Sequence[RunResult]) -> None:
    """Show the evaluated models of these results in the experiment's saved view, shared ones once; do nothing for none.

    The runs of models that trials have reused keep their lines, which describe the runs that produced the models.
    """
    runs: list[str] = []
    for result in results:
        made = {row["name"]: row for row in result.stages}
        report = run_link(experiment_id, result.run_id, "report.html")
        colours = model_colours([model.model for model in result.models])  # those of the report
        for model in result.models:
            row = made.get(f"evaluate.{model.model}")
            if row is None or (run_id := row["run_id"]) is None or run_id in runs:
                continue
            runs.append(run_id)
            if len(results) == 1 or not row["cached"]:
                note = model_note(model, result.judged_by, view_link(experiment_id), report)
                store.log(run_id, {}, {NOTE_TAG: note, COLOUR_TAG: colours[model.model].light})
    if runs:
        store.tag_experiment(experiment_id, VIEW_TAG, view(tuple(runs), _CHARTS, int(time.time() * 1000)))
