"""What MLflow's own pages show without any setup: saved views with models or trials side by side, and links.

MLflow stores a saved view as a tag of the experiment and lists it under "Views". Knows nothing of mlflow's client.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.store.names import PARENT_TAG, SWEPT, VERB_TAG

VIEW = "Models side by side"
VIEW_TAG = "mlflow.sharedViewState.orch"
SWEEP_VIEW = "Trials of the newest sweep"
SWEEP_VIEW_TAG = "mlflow.sharedViewState.orch-sweep"
UNFOLDED = {"mlflow.runType": "evaluation"}
"""Tag of a run whose parent MLflow expands when the experiment is first opened."""
_COMPARED = ("accuracy", "answer_rate", "accuracy_low", "accuracy_high", "tokens_per_completion")
_COLUMNS = ("accuracy", "accuracy_low", "accuracy_high", "answer_rate", "n")
_TAGS = ("orch.model", "orch.verb", "orch.seed")
_MOST_RUNS = 100


def view_link(experiment_id: str, tag: str = VIEW_TAG) -> str:
    """The link to a saved view, relative to MLflow's address: by default the chart of the newest run's models."""
    return (
        f"#/experiments/{experiment_id}/runs?workflowType=machine_learning&compareRunsMode=CHART"
        f"&viewStateShareKey={tag.rpartition('.')[2]}"
    )


def run_link(experiment_id: str, run_id: str, artifact: str | None = None) -> str:
    """The link to a run's page, or to one of its artifacts."""
    return f"#/experiments/{experiment_id}/runs/{run_id}" + (f"/artifacts/{artifact}" if artifact else "")


def view(run_ids: Sequence[str], curves: Sequence[str], now: int) -> str:
    """The saved view of these models' runs, as MLflow reads it from its tag; `now` in milliseconds since 1970.

    `curves` are the metrics that get their own chart over the steps.
    """
    listed = ", ".join(f"'{run_id}'" for run_id in run_ids[:_MOST_RUNS])
    columns = [f"metrics.`{name}`" for name in _COLUMNS] + [f"tags.`{name}`" for name in _TAGS]
    charts = [
        *(_chart("BAR", name, "models") for name in _COMPARED),
        *(_chart("LINE", name, "curves", _LINE | {"selectedMetricKeys": [name]}) for name in curves),
    ]
    sections = [_section("models", VIEW), _section("curves", "Training")]
    return _saved(VIEW, f"attributes.run_id IN ({listed})", "accuracy", columns, sections, charts, now)


def sweep_view(sweep_id: str, params: Sequence[str], metric: str, now: int) -> str:
    """The saved view of a sweep's complete trials: parallel coordinates, the metric per trial and against settings."""
    trials = f"tags.`{PARENT_TAG}` = '{sweep_id}' AND tags.`{VERB_TAG}` = '{SWEPT}' AND metrics.`{metric}` >= 0"
    columns = [f"metrics.`{metric}`", *(f"params.`{name}`" for name in params)]
    across = {"selectedParams": list(params), "selectedMetrics": [metric], "showAllRuns": True}
    charts = [_chart("PARALLEL", metric, "sweep", across | {"uuid": "orch-parallel"}), _chart("BAR", metric, "sweep")]
    for name in params:
        axes = {"xaxis": {"key": name, "type": "PARAM"}, "yaxis": {"key": metric, "type": "METRIC"}}
        charts.append(_chart("SCATTER", metric, "sweep", axes | {"uuid": f"orch-by-{name}"}))
    return _saved(SWEEP_VIEW, trials, metric, columns, [_section("sweep", SWEEP_VIEW)], charts, now)


def _saved(
    name: str,
    runs: str,
    order: str,
    columns: Sequence[str],
    sections: Sequence[Mapping[str, Any]],
    charts: Sequence[Mapping[str, Any]],
    now: int,
) -> str:
    state = {
        "searchFilter": runs,
        # any order except by time, in which MLflow nests children under their parents
        "orderByKey": f"metrics.`{order}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "runsHiddenMode": "SHOW_ALL",
        "hideEmptyCharts": True,
        "isAccordionReordered": True,
        "compareRunSections": list(sections),
        "compareRunCharts": list(charts),
    }
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": _packed(state)})


_LINE = {"xAxisKey": "step", "yAxisKey": "metric", "useGlobalLineSmoothing": True, "useGlobalXaxisKey": True}


def _section(name: str, title: str) -> dict[str, Any]:
    return {"uuid": f"orch-{name}", "name": title, "columns": 2, "cardHeight": 300} | _FLAGS | {"isReordered": True}


def _chart(kind: str, metric: str, section: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    chart = {"type": kind, "uuid": f"orch-{metric}", "metricSectionId": f"orch-{section}", "metricKey": metric}
    return chart | {"displayName": metric, "runsCountToCompare": _MOST_RUNS} | _FLAGS | dict(more or {})


_FLAGS = {"display": True, "deleted": False, "isGenerated": True}


def _packed(state: Mapping[str, Any]) -> str:
    """MLflow's own compressed form, since a tag may have at most 5,000 characters."""
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
