"""One recipe through the real stack: its results in MLflow, and what runs again when something changes."""

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file

from orchestrator.stats import wilson
from tests.conftest import SMALL, Called, call
from tests.support.store import artifact, children, client, rows, runs

STAGES = ["sft", "samples", "chosen", "rft", "grpo"]
MODELS = ["base", "sft", "rft", "grpo"]
EVALUATIONS = [f"evaluate.{m}" for m in MODELS]
Run = tuple[Path, Called]


def test_json_says_what_was_done(small_run: Run) -> None:
    result = small_run[1].json
    assert [s["name"] for s in result["stages"]] == STAGES + EVALUATIONS
    assert all(s["state"] == "done" and not s["cached"] and s["seconds"] > 0 for s in result["stages"])
    assert [m["model"] for m in result["models"]] == MODELS
    assert all(m["n"] == 60 and m["accuracy_low"] <= m["accuracy"] <= m["accuracy_high"] for m in result["models"])
    assert result["experiment"] == "small"


def test_something_is_learned(small_run: Run) -> None:
    models = {m["model"]: m for m in small_run[1].json["models"]}
    assert models["base"]["accuracy"] <= 0.02
    assert models["sft"]["answer_rate"] > 0.8
    assert models["sft"]["accuracy"] > models["base"]["accuracy_high"]


def test_no_library_speaks_on_the_screen(small_run: Run) -> None:
    _, called = small_run
    assert called.out.count("\n") == 1
    for word in ("warning", "Warning", "INFO", "it/s", "Traceback"):
        assert word not in called.err


def test_every_stage_is_a_run_under_its_parent(small_run: Run) -> None:
    folder, called = small_run
    found = children(folder, called.json["run_id"])
    assert sorted(found) == sorted([*STAGES, "base"])
    parent = client(folder).get_run(called.json["run_id"])
    assert {r.info.status for r in [*found.values(), parent]} == {"FINISHED"}
    for name, run in found.items():
        assert run.data.tags["orch.stage"] == name
        assert len(run.data.tags["orch.key"]) == 32
    assert found["sft"].data.tags["orch.verb"] == "sft"
    assert found["base"].data.tags["orch.verb"] == "evaluate"
    assert {n: r.data.tags.get("orch.model") for n, r in found.items()} == {m: m for m in MODELS} | {
        "samples": None,
        "chosen": None,
    }


def test_models_carry_their_figures_beside_their_settings(small_run: Run) -> None:
    folder, called = small_run
    found = children(folder, called.json["run_id"])
    for said in called.json["models"]:
        metrics = found[said["model"]].data.metrics
        for name in ("accuracy", "accuracy_low", "accuracy_high", "answer_rate", "n"):
            assert metrics[name] == said[name]
    assert found["grpo"].data.params["num_generations"] == "4"
    assert found["rft"].data.params["learning_rate"] == "0.004"
    with_accuracy = [name for name, run in found.items() if "accuracy" in run.data.metrics]
    assert sorted(with_accuracy) == sorted(MODELS)


def test_metrics_agree_with_the_results_of_each_question(small_run: Run) -> None:
    folder, called = small_run
    for model in MODELS:
        run = children(folder, called.json["run_id"])[model]
        results = rows(run, "eval/results.parquet")
        assert {"example_id", "question", "gold", "text", "value", "status"} <= set(results[0])
        statuses = Counter(r["status"] for r in results)
        assert run.data.metrics["accuracy"] == statuses["correct"] / 60
        assert run.data.metrics["answer_rate"] == (statuses["correct"] + statuses["wrong"]) / 60
        low, high = wilson(statuses["correct"], 60)
        assert (run.data.metrics["accuracy_low"], run.data.metrics["accuracy_high"]) == (low, high)


def test_all_draws_are_kept_and_the_chosen_are_correct(small_run: Run) -> None:
    folder, called = small_run
    found = children(folder, called.json["run_id"])
    drawn = rows(found["samples"], "completions.parquet")
    assert len({(r["example_id"], r["draw"]) for r in drawn}) == len(drawn) == 48 * 4
    correct = {(r["example_id"], r["draw"]): r["text"] for r in drawn if r["status"] == "correct"}
    assert 0 < len(correct) < len(drawn)
    chosen = rows(found["chosen"], "chosen.parquet")
    assert all(correct[r["example_id"], r["draw"]] == r["text"] for r in chosen)
    assert max(Counter(r["example_id"] for r in chosen).values()) <= 2
    assert len({(r["example_id"], " ".join(r["text"].split())) for r in chosen}) == len(chosen)


def test_adapters_are_whole_and_were_trained(small_run: Run) -> None:
    folder, called = small_run
    found = children(folder, called.json["run_id"])
    weights = {m: load_file(artifact(found[m], "model/adapter_model.safetensors")) for m in MODELS[1:]}
    for model, tensors in weights.items():
        trained = [t for name, t in tensors.items() if "lora_B" in name]
        assert trained and all(abs(t).max() > 0 for t in trained), model
        assert json.loads(artifact(found[model], "model/answer_format.json").read_text())["closing"] == "</answer>"
    before, after = weights["rft"], weights["grpo"]
    assert any((before[name] != after[name]).any() for name in before)


def test_training_curves_are_in_mlflow(small_run: Run) -> None:
    folder, called = small_run
    found = children(folder, called.json["run_id"])
    history = client(folder).get_metric_history
    assert [m.step for m in history(found["sft"].info.run_id, "loss")] == list(range(5, 41, 5))
    assert history(found["sft"].info.run_id, "loss")[0].value > history(found["sft"].info.run_id, "loss")[-1].value
    for name in ("grad_norm", "learning_rate"):
        assert len(history(found["rft"].info.run_id, name)) == 8
    for name in ("reward", "reward_std", "frac_reward_zero_std", "completions/clipped_ratio", "rewards/correct/mean"):
        assert [m.step for m in history(found["grpo"].info.run_id, name)] == [1, 2, 3, 4, 5, 6], name


def test_data_sets_and_samples_can_be_looked_at(small_run: Run) -> None:
    folder, called = small_run
    found = children(folder, called.json["run_id"])
    used = {i.dataset.name: i.dataset for i in found["rft"].inputs.dataset_inputs}
    assert set(used) == {"demonstrations", "chosen", "test"}
    made = {i.dataset.name: i.dataset for i in found["chosen"].inputs.dataset_inputs}
    assert made["chosen"].digest == used["chosen"].digest
    assert Path(json.loads(used["chosen"].source)["uri"].removeprefix("file://")).exists()
    table = json.loads(artifact(found["samples"], "samples.json").read_text())
    assert table["columns"] == ["question", "expected", "completion", "parsed", "status"]
    assert any("<answer>" in row[2] for row in table["data"])


def test_the_parent_says_what_it_was(small_run: Run) -> None:
    folder, called = small_run
    parent = client(folder).get_run(called.json["run_id"])
    resolved = yaml.safe_load(artifact(parent, "recipe.yaml").read_text())
    assert resolved["stages"]["sft"]["learning_rate"] == 0.004
    assert parent.data.tags["version.trl"]
    note = parent.data.tags["mlflow.note.content"]
    assert "| [grpo](#/experiments/" in note and note.startswith(called.json["conclusions"][0][:20])


def test_nothing_is_left_in_the_work_folder(small_run: Run) -> None:
    work = small_run[0] / "mlruns" / "work"
    assert [p.name for p in work.iterdir()] == ["locks"]
    assert list((work / "locks").iterdir()) == []


def test_again_runs_nothing_and_adds_nothing(small_copy: Path, small_run: Run) -> None:
    before = len(runs(small_copy))
    called = call(small_copy, "run", str(SMALL), "--json")
    assert called.code == 0, called.err
    assert all(s["cached"] for s in called.json["stages"])
    assert called.json["run_id"] == small_run[1].json["run_id"]
    assert called.json["models"] == small_run[1].json["models"]
    assert called.json["differences"] == small_run[1].json["differences"]
    assert len(runs(small_copy)) == before


def test_a_comment_an_order_or_a_name_runs_nothing(small_copy: Path, tmp_path: Path) -> None:
    recipe = yaml.safe_load(SMALL.read_text())
    recipe["name"] = "other"
    recipe["evaluate"]["on"] = recipe["evaluate"].pop(True, "test")
    turned = {key: recipe[key] for key in reversed(recipe)}
    turned["stages"] = {n: dict(reversed(list(s.items()))) for n, s in recipe["stages"].items()}
    for stage in turned["stages"].values():
        for name, value in stage.items():
            if name == "learning_rate":
                stage[name] = float(value)
    (tmp_path / "turned.yaml").write_text("# a comment\n" + yaml.safe_dump(turned, sort_keys=False))
    called = call(tmp_path, "run", "turned.yaml", "--json")
    assert called.code == 0, called.err
    assert all(s["cached"] for s in called.json["stages"])


def test_a_changed_learning_rate_runs_what_depends_on_it(small_copy: Path) -> None:
    called = call(small_copy, "run", str(SMALL), "stages.rft.learning_rate=1e-3", "--json")
    assert called.code == 0, called.err
    ran = [s["name"] for s in called.json["stages"] if not s["cached"]]
    assert ran == ["rft", "grpo", "evaluate.rft", "evaluate.grpo"]
    found = children(small_copy, called.json["run_id"])
    assert sorted(found) == sorted([*STAGES, "base"])
    assert found["sft"].data.tags["orch.cached_from"] != found["sft"].info.run_id
    assert found["sft"].data.metrics["accuracy"] == next(
        m["accuracy"] for m in called.json["models"] if m["model"] == "sft"
    )
    # a reused stage points to the run that first produced it, even after further runs
    again = call(small_copy, "plan", str(SMALL), "--json").json
    assert {s["run_id"] for s in again["stages"] if s["name"] == "sft"} == {found["sft"].data.tags["orch.cached_from"]}


@pytest.mark.parametrize("deleted", ["samples"])
def test_what_was_deleted_in_the_ui_is_made_again(small_copy: Path, small_run: Run, deleted: str) -> None:
    run = children(small_copy, small_run[1].json["run_id"])[deleted]
    client(small_copy).delete_run(run.info.run_id)
    plan = call(small_copy, "plan", str(SMALL), "--json").json
    assert [s["name"] for s in plan["stages"] if not s["cached"]] == [deleted]
