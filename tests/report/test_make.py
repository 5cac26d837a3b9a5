"""The report of a run, on one finished small run: stored with it, shown again, rebuilt, never in the way."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator import cli, report
from orchestrator.errors import InputError
from orchestrator.health.power import PREDICTED
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.report.make import with_report
from orchestrator.runs.result import read_again
from orchestrator.store.mlflow import MlflowStore
from tests.cli.test_cli import orch
from tests.conftest import SMALL, Called, call
from tests.report.test_run_page import Page
from tests.support.store import artifact, as_of_an_older_version, children, client

Run = tuple[Path, Called]
FIGURES = [f"{name}.{kind}" for name in ("accuracy", "curves", "flow", "sampling") for kind in ("png", "svg")]


def kept(folder: Path, small_run: Run) -> Path:
    """The path of the run's report in a folder's store."""
    return artifact(client(folder).get_run(small_run[1].json["run_id"]), "report.html")


def test_a_run_ends_with_its_report(small_run: Run) -> None:
    folder, called = small_run
    page = kept(folder, small_run)
    assert called.json["report"] == str(page) and str(page) in called.err
    assert sorted(p.name for p in (page.parent / "figures").iterdir()) == FIGURES
    assert "report-not-made" not in {f["check"] for f in called.json["findings"]}
    assert page.stat().st_size < 2_000_000


def test_the_page_says_what_the_run_has_said(small_run: Run) -> None:
    folder, called = small_run
    page = Page(kept(folder, small_run).read_text(encoding="utf-8"))
    for sentence in (*called.json["conclusions"], *called.json["remarks"]):
        assert sentence in page.text
    assert f"judged by: {called.json['judged_by']}" in page.text
    for model in called.json["models"]:
        low, high = (f"{100 * model[name]:.1f}" for name in ("accuracy_low", "accuracy_high"))
        assert f"{100 * model['accuracy']:.1f}% [{low}, {high}]" in page.text
    shown = [finding for finding in called.json["findings"] if finding["check"] not in PREDICTED]
    for finding in shown:
        assert finding["check"] in page.text and " ".join(finding["what"].split()) in page.text
    assert page.text.count("smallest detectable difference") <= 1 and "test questions can show" not in page.text
    assert f"run {called.json['run_id']}" in page.text and "num_generations: 4" in page.text
    assert len([a for a in page.all("article") if "data-s" in a]) == 60
    samples = children(folder, called.json["run_id"])["samples"].data.metrics
    assert f"a coverage of {100 * samples['coverage']:.1f}%" in page.text
    assert len(page.all("figure")) == 3 and "expected pass rate" in page.text


def test_a_run_that_is_there_makes_no_report_again(small_copy: Path, small_run: Run) -> None:
    page = kept(small_copy, small_run)
    before = page.stat().st_mtime_ns
    again = call(small_copy, "run", str(SMALL), "--json")
    assert again.code == 0 and again.json["report"] == str(page) and page.stat().st_mtime_ns == before
    page.unlink()  # a missing report is written: the run may have been cut off while writing it
    assert call(small_copy, "run", str(SMALL), "--json").json["report"] == str(page) and page.exists()


def made_anew(folder: Path) -> str:
    """The page, rebuilt in a separate process: mlflow keeps one folder open for each run ID, even for a copy."""
    called = call(folder, "report", "--force", "--json")
    assert called.code == 0, called.err
    return Path(called.json["page"]).read_text(encoding="utf-8")


def timeless(page: Path) -> list[str]:
    """The page without the line that states when it was made."""
    return [line for line in page.read_text(encoding="utf-8").splitlines() if "Made by orch on" not in line]


def test_report_shows_what_is_there_and_makes_what_is_missing(
    small_copy: Path, small_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_copy)
    page, run_id = kept(small_copy, small_run), small_run[1].json["run_id"]
    shown = report()
    assert (shown.run_id, shown.page, shown.made) == (run_id, page, False)
    assert [file.name for file in shown.figures] == FIGURES
    before = timeless(page)
    page.unlink()
    stage = children(small_copy, run_id)["rft"].info.run_id[:10]
    by_stage = call(small_copy, "report", stage, "--out", "sub/out.html", "--json").json
    assert by_stage["run_id"] == run_id and by_stage["made"]
    assert Path(by_stage["page"]) == small_copy / "sub" / "out.html"
    assert timeless(page) == before == timeless(Path(by_stage["page"]))
    page.write_text("spoilt")
    assert not report().made and made_anew(small_copy) == page.read_text(encoding="utf-8") != "spoilt"


def test_report_on_the_command_line(small_run: Run) -> None:
    called = call(small_run[0], "report", "last", "--json")
    assert called.code == 0 and called.out.count("\n") == 1
    page = kept(*small_run[:1], small_run)
    figures = [str(page.parent / "figures" / name) for name in FIGURES]
    run_id = small_run[1].json["run_id"]
    assert called.json == {"run_id": run_id, "page": str(page), "figures": figures, "made": False, "notes": []}
    assert str(page) in called.err and "accuracy.png" in called.err


def test_the_page_is_shown_in_the_users_browser(small_run: Run, tmp_path: Path) -> None:
    browser, asked = tmp_path / "browser", tmp_path / "asked"
    browser.write_text(f'#!/bin/sh\necho "$1" > {asked}\n')
    browser.chmod(0o755)
    assert call(small_run[0], "report", "--open", BROWSER=f"{browser} %s").code == 0
    assert asked.read_text().strip() == kept(small_run[0], small_run).as_uri()
    refused = call(small_run[0], "report", "--open", BROWSER="/bin/false %s", PATH="")
    assert refused.code == 2 and "no browser could be opened here; open " in refused.err


HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e مرحبا 🙂 {{ 7 * 191 }}"


def test_what_models_write_is_text_on_the_page(small_copy: Path, small_run: Run) -> None:
    as_of_an_older_version(small_copy)  # otherwise the report would leave out what was changed since
    for name in ("sft", "rft"):
        file = artifact(children(small_copy, small_run[1].json["run_id"])[name], "eval/results.parquet")
        rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
        rows[0]["text"], rows[1]["text"] = HOSTILE, "x" * 1_000_000
        rows[2]["value"] = HOSTILE
        pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(file)), file)
    made = made_anew(small_copy)
    assert made.count("<script") == 1 and "\x1b" not in made and "\u202e" not in made and "1337" not in made
    said = Page(made).text
    assert said.count(r"<script>alert(1)</script>\x1b[31m\u202e مرحبا 🙂 {{ 7 * 191 }}") == 4
    assert said.count("(1,000,000 characters)") == 2 and len(made) < 2_000_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuchrun"], "no run 'nosuchrun' in the MLflow store"),
        (["last", "--out", "."], "is a folder; name a file"),
        (["last", "--out", "/dev/null/x.html"], "cannot be written"),
    ],
)
def test_report_of_nothing_is_one_line(
    small_run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(cli, "_quiet", lambda: None)
    monkeypatch.chdir(small_run[0])
    assert orch("report", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("orch: ") and err.count("\n") == 1 and said in err


def test_a_run_without_evaluations_is_refused(
    small_copy: Path, small_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_copy)
    store = client(small_copy)
    for run in children(small_copy, small_run[1].json["run_id"]).values():
        if "orch.eval_key" in run.data.tags:
            store.delete_tag(run.info.run_id, "orch.eval_key")
    with pytest.raises(InputError, match="has no evaluation to report on"):
        report(force=True)


def test_without_a_store_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no MLflow store"):
        report()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("why"), "the report could not be made: ValueError: why"),
        (OSError(28, "No space left on device"), "the report could not be made: disk full: "),
    ],
)
def test_a_report_that_cannot_be_made_is_a_finding_and_no_more(
    small_run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    monkeypatch.chdir(small_run[0])

    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(import_module("orchestrator.report.make"), "write_report", refuse)
    recipe = load_recipe(SMALL)
    store, plan = MlflowStore(), compile_plan(recipe)
    made = read_again(store, plan.with_cached(store.finished(plan.stages)))
    assert made is not None
    found = with_report(made, recipe.task)
    [told] = [f for f in found.findings if f.check == "report-not-made"]
    assert found.report is None and told.severity == "warning" and told.what.startswith(said)
    assert f"orch report {made.run_id}" in told.remedy and found.models == made.models


def test_a_table_of_draws_that_cannot_be_read_is_named_and_the_page_is_made(small_copy: Path, small_run: Run) -> None:
    drawn = artifact(children(small_copy, small_run[1].json["run_id"])["samples"], "completions.parquet")
    drawn.write_bytes(b"no parquet file")
    said = Page(made_anew(small_copy)).text
    assert "file-damaged" in said and "completions.parquet" in said


def test_the_page_needs_neither_the_model_nor_the_task_file(small_copy: Path, small_run: Run) -> None:
    """A run's results can be reported even if its model and task file are gone."""
    recipe = artifact(client(small_copy).get_run(small_run[1].json["run_id"]), "recipe.yaml")
    text = recipe.read_text().replace("type: units", "type: gone.py:Gone", 1).replace("name: tiny", "name: /gone", 1)
    recipe.write_text(text)
    made = made_anew(small_copy)
    assert "gone.py:Gone" in made and "expected pass rate" not in made and "solved by others" in made
    assert small_run[1].json["conclusions"][0] in Page(made).text
