"""Additions to MLflow's pages: the saved view, links, notes."""

import base64
import json
import zlib

from orchestrator.results import Evaluation, ModelResult, RunResult
from orchestrator.runs.notes import describe, model_note
from orchestrator.store.pages import VIEW_TAG, run_link, sweep_view, view, view_link
from orchestrator.types import Finding

MODEL = ModelResult("rft", 0.8, 0.75, 0.85, 1.0, 500)


CURVES = ("loss", "eval_loss", "reward", "eval_accuracy", "learning_rate", "grad_norm")


def state_of(text: str) -> dict[str, object]:
    packed = json.loads(text)["state"]
    assert packed.startswith("deflate;")
    return dict(json.loads(zlib.decompress(base64.b64decode(packed.removeprefix("deflate;")))))


def test_a_view_lists_these_runs_and_charts_what_is_compared() -> None:
    state = state_of(view(["a1", "b2"], CURVES, 5))
    assert state["searchFilter"] == "attributes.run_id IN ('a1', 'b2')"
    charts = state["compareRunCharts"]
    assert isinstance(charts, list) and isinstance(state["compareRunSections"], list)
    assert [c["metricKey"] for c in charts[:2]] == ["accuracy", "answer_rate"]
    assert {c["metricSectionId"] for c in charts} == {s["uuid"] for s in state["compareRunSections"]}
    assert len({c["uuid"] for c in charts}) == len(charts)


def test_a_view_of_many_models_fits_a_tag() -> None:
    """MLflow rejects experiment tags of more than 5,000 characters."""
    import random

    ids = ["".join(random.Random(i).choices("0123456789abcdef", k=32)) for i in range(500)]
    assert len(view(ids, CURVES, 1_800_000_000_000)) <= 5000


def test_the_view_of_a_sweep_opens_on_parallel_coordinates_of_its_complete_trials() -> None:
    names = ["stages.rft.learning_rate", "stages.samples.n"]
    state = state_of(sweep_view("s" * 32, names, "rft/accuracy", 5))
    wanted, charts = str(state["searchFilter"]), state["compareRunCharts"]
    assert "metrics.`rft/accuracy` >= 0" in wanted and "s" * 32 in wanted
    assert isinstance(charts, list)
    first, *others = charts
    assert first["type"] == "PARALLEL"
    assert first["selectedParams"] == names and first["selectedMetrics"] == ["rft/accuracy"]
    assert [chart["type"] for chart in others] == ["BAR", "SCATTER", "SCATTER"]
    assert len({chart["uuid"] for chart in charts}) == 4
    many = [f"stages.training_number_{i}.learning_rate" for i in range(12)]
    assert len(sweep_view("s" * 32, many, "rft/accuracy", 5)) < 5000, "the limit for a tag"


def test_links_lead_to_the_view_by_its_tag() -> None:
    assert view_link("7").endswith("viewStateShareKey=" + VIEW_TAG.removeprefix("mlflow.sharedViewState."))
    assert run_link("7", "ab", "report.html") == "#/experiments/7/runs/ab/artifacts/report.html"


def test_a_models_note_has_its_figures_and_the_ways_on() -> None:
    note = model_note(MODEL, "numeric; answers in <answer> tags", "#/chart", "#/report")
    assert "accuracy 0.800 (95% interval 0.750 to 0.850), answer rate 1.000, n = 500; judged by: numeric; " in note
    assert r"answers in \<answer\> tags. [Compared" in note
    assert "(#/chart)" in note and "(#/report)" in note


def test_a_description_begins_with_the_conclusion_and_its_text_means_nothing() -> None:
    stages = [
        {"name": "rft", "run_id": "r1"},
        {"name": "evaluate.rft", "run_id": "r1"},
        {"name": "evaluate.rft.longer", "run_id": "r2"},
        {"name": "failed", "run_id": None},
    ]
    found = RunResult(
        "p1",
        "x",
        (MODEL,),
        tuple(stages),
        errors=("stage <b>bad</b>",),
        findings=(Finding("warning", "a", "[click](http://x) <script>", "", "", ""),),
        also=(Evaluation("longer", (MODEL,), ()),),
        conclusions=("RFT is *better* than SFT.",),
        judged_by="exact; answers in <a> tags",
        remarks=("One seed each.",),
    )
    lines = describe(found, "7").splitlines()
    assert lines[0] == r"RFT is \*better\* than SFT." and lines[2].startswith("| model | accuracy |")
    assert lines[5:9] == ["", r"judged by: exact; answers in \<a\> tags", "", "One seed each."]
    assert any(line.startswith("| [rft](#/experiments/7/runs/r1) |") for line in lines)
    assert any(line.startswith("| [rft](#/experiments/7/runs/r2) |") for line in lines), "the further split's own run"
    assert "Stages: [rft](#/experiments/7/runs/r1)" in lines
    text = "\n".join(lines)
    assert "<script>" not in text and "<b>" not in text and r"\[click\]" in text and "(#/experiments/7/runs/p1/" in text
