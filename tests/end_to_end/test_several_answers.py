"""`evaluate: {n: 4, temperature: 0.6}`: several answers to each question, from the run to its report."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestrator.store.mlflow import MlflowStore
from tests.conftest import SMALL, Called, call

Run = tuple[Path, Called]
RECIPE = """\
extends: {small}
stages: {{samples: null, chosen: null, rft: null, grpo: null}}
evaluate: {{n: 4, temperature: 0.8}}
"""


@pytest.fixture
def several(small_copy: Path) -> Run:
    """A run of two models that each answered every question four times; their training is reused."""
    (small_copy / "r.yaml").write_text(RECIPE.format(small=SMALL))
    return small_copy, call(small_copy, "run", "r.yaml", "--json")


def test_several_answers_to_each_question(several: Run, monkeypatch: Any) -> None:
    folder, ran = several
    assert ran.code == 0, ran.err
    monkeypatch.chdir(folder)
    store = MlflowStore()
    models = store.children(ran.json["run_id"])
    run = models["sft"]
    rows = pq.read_table(store.output(run, "eval/results.parquet")).to_pylist()
    assert len(rows) == 240 and [row["draw"] for row in rows[:5]] == [0, 1, 2, 3, 0]
    texts = [row["text"] for row in rows]
    assert len({*texts[:4]}) > 1 or len({*texts[4:8]}) > 1, "answers are sampled"
    right = sum(row["status"] == "correct" for row in rows)
    found = run.metrics
    assert found["accuracy"] == pytest.approx(right / 240) and found["pass_at_1"] == pytest.approx(right / 240)
    assert found["n"] == 60 and found["answers_per_question"] == 4
    solved = {row["example_id"] for row in rows if row["status"] == "correct"}
    assert found["pass_at_4"] == pytest.approx(len(solved) / 60) == pytest.approx(found["coverage"])
    assert found["accuracy"] <= found["pass_at_2"] <= found["pass_at_4"] and 0 <= found["maj_at_4"] <= found["coverage"]
    [sft] = [model for model in ran.json["models"] if model["model"] == "sft"]
    assert (sft["n"], sft["answers_each"]) == (60, 4)
    assert sft["accuracy_low"] < sft["accuracy"] < sft["accuracy_high"]

    again = call(folder, "run", "r.yaml")
    assert "60 questions with 4 answers each, the same for every model" in " ".join(again.out.split())
    assert "t-test on each question's share of right answers" in " ".join(again.out.split())
    compared = call(folder, "compare", "--json").json
    assert compared["models"][1]["answers_each"] == 4
    page = Path(ran.json["report"])
    assert "with 4 answers each" in page.read_text() and "answers, the first is shown" in page.read_text()
    diagnosed = call(folder, "diagnose", "--json")
    checks = {finding["check"] for finding in diagnosed.json["findings"]}
    assert not checks & {"not-the-model", "adapter-not-attached", "prompts-mixed-up"}


def test_more_answers_draw_the_missing_ones(several: Run) -> None:
    folder, _ = several
    planned = call(folder, "plan", "r.yaml", "evaluate.n=6", "--json").json["stages"]
    assert [s["drawn"] is not None for s in planned if s["name"].startswith("evaluate")] == [True, True]
    ran = call(folder, "run", "r.yaml", "evaluate.n=6", "--json")
    assert ran.code == 0 and ran.json["models"][1]["answers_each"] == 6


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("evaluate={n: 4}", "the 4 answers to a question are all the same at temperature 0; set temperature"),
        ("evaluate={top_p: 0.9}", "top_p changes nothing at temperature 0"),
    ],
)
def test_what_would_change_nothing_is_refused(override: str, said: str) -> None:
    refused = call(Path(), "plan", str(SMALL), override)
    assert refused.code == 2 and said in refused.err and len(refused.err.splitlines()) == 1
