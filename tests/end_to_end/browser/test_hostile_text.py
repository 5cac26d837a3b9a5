"""Whatever a model wrote appears as text in MLflow's tables."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from orchestrator.stages.drawing import readable
from orchestrator.store.mlflow import MlflowStore
from orchestrator.types import Example
from tests.end_to_end.browser.conftest import Served, Watched

pytestmark = pytest.mark.slow
TEXTS = [
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">",
    "\x1b[31mred\x1b[0m and \x00 nothing",
    "x" * 1_000_000,
    "السلام عليكم 🙂 \u202eright to left",
]


def test_completions_of_any_kind_are_text(
    served: Served, visit: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{served.folder}/mlruns/mlflow.db")
    store = MlflowStore()
    experiment = store.experiment("hostile")
    run_id = store.start(experiment, "rft", {}, {})
    examples = [Example(id=str(i), question=text[:100], answer="5") for i, text in enumerate(TEXTS)]
    rows = {"example_id": [e.id for e in examples], "text": TEXTS, "value": [None] * 4, "status": ["wrong"] * 4}
    store.log_table(run_id, readable(pa.table(rows), examples, rows=4), "eval/samples.json")
    store.end(run_id, "FINISHED")
    page = visit(f"{served.address}/#/experiments/{experiment}/runs/{run_id}/artifacts/eval/samples.json").page
    page.get_by_text("View as table").wait_for()
    page.get_by_text("<script>document.title", exact=False).first.wait_for()
    shown = page.locator("body").inner_text()
    assert "\\x1b[31mred" in shown and "السلام عليكم 🙂" in shown and "xxxx" in shown
    assert "owned" not in page.title()
