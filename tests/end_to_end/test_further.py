"""Further splits to evaluate on, through the real stack: separate stages, and an unchanged comparison."""

import json
from pathlib import Path

from tests.conftest import SMALL, Called, call
from tests.report.test_run_page import Page
from tests.support.store import artifact, children, rows, runs

MODELS = ["base", "sft", "rft", "grpo"]
FIGURES = ("accuracy", "accuracy_low", "accuracy_high", "answer_rate", "n")
ASKED = ("task.further={short: {file: short.json}}", "evaluate.also=short")
QUESTIONS = [[f"Turn {n} km into m.", 1000 * n] for n in range(2, 9)]


def test_a_further_split_is_evaluated_beside_the_test(small_copy: Path, small_run: tuple[Path, Called]) -> None:
    (small_copy / "short.json").write_text(json.dumps(QUESTIONS))
    before = small_run[1].json
    called = call(small_copy, "run", str(SMALL), *ASKED, "--json")
    assert called.code == 0, called.err
    done = [s["name"] for s in called.json["stages"] if s["state"] == "done"]
    assert done == [f"evaluate.{m}.short" for m in MODELS], "nothing else runs again"
    assert called.json["models"] == before["models"] and called.json["differences"] == before["differences"]
    [also] = called.json["also"]
    assert also["on"] == "short" and [m["model"] for m in also["models"]] == MODELS
    assert {d["model"] for d in also["differences"]} == {"base", "rft", "grpo"}
    found = children(small_copy, called.json["run_id"])
    for said, compared in zip(also["models"], called.json["models"], strict=True):
        run = found[said["model"]]
        assert run.info.status == "FINISHED"
        assert {name: run.data.metrics[f"short/{name}"] for name in FIGURES} == {name: said[name] for name in FIGURES}
        assert all(run.data.metrics[name] == compared[name] for name in FIGURES), "the test's figures are unchanged"
        results = rows(run, "eval/short/results.parquet")
        assert [r["question"] for r in results] == [question for question, _ in QUESTIONS]
        assert sum(r["status"] == "correct" for r in results) == said["accuracy"] * said["n"]
        assert artifact(run, "eval/short/samples.json").is_file()
        [used] = [i.dataset for i in run.inputs.dataset_inputs if i.dataset.name == "short"]
        assert Path(json.loads(used.source)["uri"].removeprefix("file://")).is_file()
    assert (
        "| [sft]("
        in runs(small_copy, f"attributes.run_id = '{called.json['run_id']}'")[0]
        .data.tags["mlflow.note.content"]
        .partition("On `short`:")[2]
    )
    page = Page(Path(called.json["report"]).read_text(encoding="utf-8"))
    assert "further" in [a.get("id") for a in page.all("h2")] and len(also["conclusions"]) > 0
    assert all(sentence in page.text.partition("Further splits short")[2] for sentence in also["conclusions"])

    again = call(small_copy, "run", str(SMALL), *ASKED, "--json")
    assert again.json["run_id"] == called.json["run_id"] and again.json["also"] == called.json["also"]

    fewer = call(small_copy, "run", str(SMALL), *ASKED, "name=other", "evaluate.models=[base, sft]", "--json")
    assert all(s["cached"] for s in fewer.json["stages"])
    [reused] = fewer.json["also"]
    assert reused["models"] == also["models"][:2]
    copied = children(small_copy, fewer.json["run_id"])
    for model in ("base", "sft"):
        assert copied[model].data.metrics["short/n"] == len(QUESTIONS)
        assert copied[model].data.metrics["n"] == 60 and "short/seconds" in copied[model].data.metrics
    without = call(small_copy, "run", str(SMALL), "name=third", "evaluate.models=[sft]", "--json")
    assert without.json["also"] == []
    plain = children(small_copy, without.json["run_id"])["sft"].data.metrics
    assert not any(name.startswith("short/") for name in plain) and plain["n"] == 60
