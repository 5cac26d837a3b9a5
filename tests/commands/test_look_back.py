"""Commands that inspect a recipe or a past run: check, diagnose, ask and judge, on one finished small run."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from orchestrator import cli
from orchestrator.commands.ask import ask
from orchestrator.commands.check import check
from orchestrator.commands.diagnose import diagnose, diagnose_run
from orchestrator.commands.judge import CompletionColumns, judge_file
from orchestrator.health.diagnosis import ALONE
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.past import past_run
from tests.cli.test_cli import orch
from tests.conftest import SMALL, Called, call, command, environment
from tests.support.store import artifact, children, client, rows, runs

MODELS = ["base", "sft", "rft", "grpo"]
Run = tuple[Path, Called]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Call `orch` in a folder, in this process: exit code 2, this error on one line, nothing on stdout."""
    monkeypatch.setattr(cli, "_quiet", lambda: None)

    def check_it(said: str, folder: Path, *arguments: str) -> None:
        monkeypatch.chdir(folder)
        assert orch(*arguments) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("orch: ") and err.count("\n") == 1 and said in err

    return check_it


def run_id(small_run: Run) -> str:
    return str(small_run[1].json["run_id"])


# --- how it is called


@pytest.mark.parametrize("verb", ["ask", "check", "judge", "report"])
def test_a_process_begun_from_nothing_says_the_same(small_run: Run, verb: str) -> None:
    """Most calls here are forked from a process that has loaded the libraries: none is missing, and none prints."""
    folder, called = small_run
    results = artifact(children(folder, called.json["run_id"])["sft"], "eval/results.parquet")
    arguments = {"ask": ("last", QUESTION), "check": (str(SMALL),), "judge": (str(results), "--answer", "gold")}
    fresh, forked = (call(folder, verb, *arguments.get(verb, ()), fresh=fresh) for fresh in (True, False))
    assert fresh.code == 0 and _words(fresh) == _words(forked)


def _words(called: Called) -> tuple[list[str], list[str]]:
    """The output without numbers: the free disk space differs each time."""
    return re.sub(r"[\d.]+", " ", called.out).split(), re.sub(r"[\d.]+", " ", called.err).split()


# --- check


def test_check_of_a_sound_recipe(tmp_path: Path) -> None:
    called = call(tmp_path, "check", str(SMALL), "--json")
    assert called.code == 0, called.err
    found = called.json
    assert set(found) == {"recipe", "findings"} and called.out.count("\n") == 1
    assert set(found["findings"][0]) == {"check", "severity", "what", "evidence", "cause", "remedy"}
    severities = {f["check"]: f["severity"] for f in found["findings"]}
    assert "error" not in severities.values()
    assert severities["test-too-small"] == "warning", "60 questions"
    assert severities["resources"] == "info"
    assert "sft, row 1" in called.err and "tokens are trained on" in called.err and "no errors" in called.err
    assert not list(tmp_path.iterdir()), "it writes nothing"


def test_check_that_finds_an_error(tmp_path: Path) -> None:
    called = call(tmp_path, "check", str(SMALL), "evaluate.max_tokens=8")
    assert called.code == 3 and "✗ answers-cut-off: stage evaluate.base: 120 of 120 targets" in called.out
    assert called.err == "" and "1 error," in called.out.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_check_looks_at_what_is_still_to_be_made(small_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_run[0])
    whole = check(load_recipe(SMALL))
    assert {row.stage for row in whole.rows} == {"sft"}, "nothing is left to run, so everything is checked"
    changed = check(load_recipe(SMALL, ["stages.rft.learning_rate=1e-3"]))
    assert {row.stage for row in changed.rows} == {"rft"}


# --- diagnose


def test_diagnose_of_a_healthy_run(small_copy: Path, small_run: Run) -> None:
    called = call(small_copy, "diagnose", "--json", "--html", "page.html")
    assert called.code == 0, called.err
    found = called.json
    assert set(found) == {"subject", "findings", "models", "generations", "rows", "decoding", "curves"}
    assert run_id(small_run) in found["subject"] and "small, FINISHED" in found["subject"]
    assert "error" not in {f["severity"] for f in found["findings"]}, found["findings"]
    said = {m["model"]: m for m in small_run[1].json["models"]}
    assert [m["model"] for m in found["models"]] == MODELS
    for model in found["models"]:
        assert model["source"] == "evaluation"
        for name in ("accuracy", "accuracy_low", "accuracy_high", "answer_rate", "n"):
            assert model[name] == said[model["model"]][name]
    assert {g["model"] for g in found["generations"]} == set(MODELS)
    assert found["decoding"] == {"temperature": 0, "max_tokens": 64, "engine": "transformers", "stop": []}
    assert found["rows"] and "no errors" in called.err and "most likely" not in called.err
    page = (small_copy / "page.html").read_text()
    assert page == artifact(client(small_copy).get_run(run_id(small_run)), "diagnosis.html").read_text()
    assert "Nothing was found that would make the numbers wrong" in page and "Training rows" in page


def test_diagnose_of_one_model_of_a_run_by_the_beginning_of_its_id(
    small_copy: Path, small_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_copy)
    sft = children(small_copy, run_id(small_run))["sft"].info.run_id
    by_stage, page = diagnose(sft[:8], questions=8)
    assert [m.model for m in by_stage.models] == ["sft"] and not by_stage.sick and run_id(small_run) in page
    narrowed, _ = diagnose(run_id(small_run), models=["sft"], questions=8)
    assert [f.check for f in narrowed.findings] == [f.check for f in by_stage.findings]
    assert replace(narrowed, findings=()) == replace(by_stage, findings=()), "free disk space may differ"


def test_prompts_and_texts_of_a_diagnosis_are_those_of_the_run(small_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_run[0])
    found = diagnose_run(past_run()[0], ["sft"])
    stored = {r["question"]: r for r in rows(children(small_run[0], run_id(small_run))["sft"], "eval/results.parquet")}
    assert len(found.generations) == 8
    for g in found.generations:
        assert g.prompt == f"{g.question}\n"
        assert (g.text, g.parsed, g.expected, g.status) == tuple(
            stored[g.question][name] for name in ("text", "value", "gold", "status")
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuchrun"], "no run 'nosuchrun' in the MLflow store"),
        (["--model", "nope"], "no model 'nope'; its models: base, sft, rft, grpo"),
        ([str(SMALL.parent)], "is a model folder: name the recipe"),
        ([str(SMALL.parent), "--recipe", str(SMALL)], "is not a model folder"),
        (["~no-such-user-here"], "no run"),
    ],
)
def test_diagnose_of_nothing_is_one_line(
    small_run: Run, refused: Callable[..., None], arguments: list[str], said: str
) -> None:
    refused(said, small_run[0], "diagnose", *arguments)


def test_no_traceback_of_a_process_of_its_own(small_run: Run) -> None:
    called = call(small_run[0], "diagnose", "nosuchrun", fresh=True)
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
    assert called.err.startswith("orch: no run 'nosuchrun' in the MLflow store at ")


def test_a_run_that_is_not_there_is_refused_before_torch_is_loaded(small_run: Run) -> None:
    python, *arguments = command("diagnose", "nosuchrun")
    called = [python, "-X", "importtime", *arguments]
    done = subprocess.run(called, cwd=small_run[0], env=environment(), capture_output=True, text=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert done.returncode == 2 and "no run 'nosuchrun'" in done.stderr
    assert "orchestrator.runs.past" in loaded and not loaded & {"torch", "transformers", "scipy.stats", "ray"}


def test_diagnose_without_a_store(tmp_path: Path, refused: Callable[..., None]) -> None:
    refused("there is no MLflow store at", tmp_path, "diagnose")
    assert not list(tmp_path.iterdir())


def test_diagnose_of_a_model_folder(small_copy: Path, small_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_copy)
    folder = artifact(children(small_copy, run_id(small_run))["sft"], "model")
    before = len(runs(small_copy))
    found, page = diagnose(str(folder), SMALL, questions=60)
    assert not found.sick and str(folder) in found.subject and str(folder) in page
    accuracy = {m.model: m.accuracy for m in found.models}
    assert list(accuracy) == ["base", ALONE] and all(m.source == "asked now" for m in found.models)
    stored = {m["model"]: m["accuracy"] for m in small_run[1].json["models"]}
    assert accuracy["base"] == pytest.approx(stored["sft"], abs=0.05) and accuracy[ALONE] == stored["base"]
    assert len(runs(small_copy)) == before


def failed(folder: Path, run: Any, error: str) -> None:
    """Make a stage of a finished run look as if it had failed before it wrote a model."""
    for file in artifact(run, "model").iterdir():
        file.unlink()
    artifact(run, "model").rmdir()
    artifact(run, "eval/results.parquet").unlink()
    client(folder).set_tag(run.info.run_id, "orch.error", error)
    client(folder).set_terminated(run.info.run_id, "FAILED")


def test_a_stage_that_failed_is_told_by_its_error_and_not_by_the_model_it_never_made(
    small_copy: Path, small_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_copy)
    failed(small_copy, children(small_copy, run_id(small_run))["grpo"], "its worker process died: out of memory")
    past, _ = past_run()
    assert past.models() == ["base", "sft", "rft"]
    found = diagnose_run(past)
    errors = [f for f in found.findings if f.severity == "error"]
    assert [f.check for f in errors] == ["stage-failed"]
    assert errors[0].what == "stage grpo failed: its worker process died: out of memory"
    assert ask(None, "How many cm are 2 m?").model == "rft"


def test_an_evaluation_that_failed_is_told_though_its_model_is_made(
    small_copy: Path, small_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_copy)
    sft = children(small_copy, run_id(small_run))["sft"]
    artifact(sft, "eval/results.parquet").unlink()
    client(small_copy).set_tag(sft.info.run_id, "orch.error", "the judge went away")
    found = diagnose_run(past_run()[0], ["sft"], questions=12)
    assert [f.check for f in found.findings if f.severity == "error"] == ["stage-failed"]
    assert [(m.model, m.n, m.source) for m in found.models] == [("sft", 12, "asked now")]


# --- ask


QUESTION = "How many cm are 2 m?"


def test_ask_the_last_model(small_run: Run) -> None:
    called = call(small_run[0], "ask", "last", QUESTION, "--json")
    assert called.code == 0, called.err
    asked = called.json
    assert asked["run_id"] == run_id(small_run) and asked["model"] == "grpo" and asked["question"] == QUESTION
    assert asked["prompt"] == f"{QUESTION}\n"
    assert 0 < asked["n_tokens"] <= 64 and asked["finish_reason"] in ("stop", "length")
    if asked["value"] is not None:
        assert f"<answer>{asked['value']}" in asked["text"].replace("<answer> ", "<answer>")
    assert "prompt" in called.err and "written" in called.err and "model grpo" in called.err


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread, as in evaluation: summing in another order may swap two nearly equal tokens."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_ask_gives_what_evaluation_stored(small_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_run[0])
    sft = children(small_run[0], run_id(small_run))["sft"]
    for row in rows(sft, "eval/results.parquet")[:3]:
        for run, model in ((None, "sft"), (sft.info.run_id[:10], None)):
            asked = ask(run, row["question"], model)
            assert asked.model == "sft"
            assert (asked.text, asked.value, asked.n_tokens, asked.finish_reason) == (
                row["text"],
                row["value"],
                row["n_tokens"],
                row["finish_reason"],
            )


def test_ask_one_model_and_with_a_limit(small_run: Run) -> None:
    called = call(small_run[0], "ask", "last", QUESTION, "--model", "sft", "--max-tokens", "3", "--json")
    assert called.code == 0, called.err
    assert called.json["model"] == "sft" and called.json["n_tokens"] == 3
    assert called.json["finish_reason"] == "length" and called.json["value"] is None
    base = call(small_run[0], "ask", run_id(small_run)[:12], "[red]x[/red]", "--model", "base")
    assert base.code == 0 and base.err == "" and "[red]x[/red]" in base.out and "model base" in base.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["last", QUESTION, "--model", "nope"], "no model 'nope'; its models: base, sft, rft, grpo"),
        (["last", QUESTION, "--model", "samples"], "no model 'samples'"),
        (["nosuchrun", QUESTION], "no run 'nosuchrun' in the MLflow store"),
        (["last", " "], "the question is empty"),
    ],
)
def test_ask_nobody(small_run: Run, refused: Callable[..., None], arguments: list[str], said: str) -> None:
    refused(said, small_run[0], "ask", *arguments)


# --- judge


@pytest.mark.parametrize("with_recipe", [True, False])
@pytest.mark.parametrize("model", ["base", "sft"])
def test_judge_gives_the_accuracy_of_the_run(small_run: Run, tmp_path: Path, model: str, with_recipe: bool) -> None:
    results = artifact(children(small_run[0], run_id(small_run))[model], "eval/results.parquet")
    more = ["--recipe", str(SMALL)] if with_recipe else ["judge.tolerance=0.05", "judge.decimals=3"]
    called = call(tmp_path, "judge", str(results), "--answer", "gold", *more, "--out", "verdicts.parquet", "--json")
    assert called.code == 0, called.err
    said = next(m for m in small_run[1].json["models"] if m["model"] == model)
    for name in ("accuracy", "accuracy_low", "accuracy_high", "answer_rate", "n"):
        assert called.json[name] == said[name]
    stored, judged = pq.read_table(results), pq.read_table(tmp_path / "verdicts.parquet")
    for name in ("question", "gold", "text", "status", "value"):
        assert judged[name].to_pylist() == stored[name].to_pylist()
    assert judged["row"].to_pylist() == list(range(1, 61))
    assert [p.name for p in tmp_path.iterdir()] == ["verdicts.parquet"]


def test_judge_of_a_sampling_counts_every_draw(small_run: Run) -> None:
    samples = children(small_run[0], run_id(small_run))["samples"]
    drawn = rows(samples, "completions.parquet")
    task = load_recipe(SMALL).task
    gold = {e.id: e.answer for e in task.examples("train")}
    Path("drawn.jsonl").write_text("".join(json.dumps(r | {"answer": gold[r["example_id"]]}) + "\n" for r in drawn))
    judged = judge_file(Path("drawn.jsonl"), task)
    assert [(v.status, v.value) for v in judged.verdicts] == [(r["status"], r["value"]) for r in drawn]
    assert judged.metrics()["accuracy"] == pytest.approx(samples.data.metrics["pass_rate"])


def test_stored_gold_answers_are_judged_alike_by_a_judge_of_texts(small_run: Run) -> None:
    """The results contain numbers as text: 42, as shown to models, not 42.0."""
    results = rows(children(small_run[0], run_id(small_run))["sft"], "eval/results.parquet")
    task = load_recipe(SMALL, ["task.judge={type: exact}"]).task
    answers = {e.id: e.answer for e in task.examples("test") if task.judge.check_gold(e.answer) is None}
    right = [
        r | {"text": task.format.target_text(answers[r["example_id"]])} for r in results if r["example_id"] in answers
    ]
    pq.write_table(pa.Table.from_pylist(right), "right.parquet")
    metrics = judge_file(Path("right.parquet"), task, CompletionColumns(answer="gold")).metrics()
    assert metrics["n"] == len(answers) > 10 and metrics["accuracy"] == 1.0
