"""Listing the store's runs, and ways to name a run."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli.show.runs import show_runs, when
from orchestrator.commands.runs import ListedRun, runs
from orchestrator.errors import InputError, TrackingError
from orchestrator.results import ModelOverSeeds, ModelResult
from orchestrator.runs.headline import headline
from orchestrator.store.memory import MemoryStore
from orchestrator.store.names import PARENT_TAG, SEEDS_TAG, SOURCE_TAG, SWEEP, VERB_TAG, WHOLE_RUN
from orchestrator.store.opening import using
from tests.conftest import Called, call

SFT = ModelResult("sft", 0.618, 0.574, 0.66, 0.974, 500)
SEEDS = ModelOverSeeds("rft", (0, 1), (0.8, 0.9), 0.85, 0.07, 0.7, 0.95, 0.99, 500, False)


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    """A finished run, a failed one of two seeds, a sweep in progress, and the runs below them."""
    made = MemoryStore(tmp_path / "store")
    words, units = made.experiment("words"), made.experiment("units")
    first = made.start(words, "words", {VERB_TAG: WHOLE_RUN, SOURCE_TAG: "w.yaml"}, {})
    made.start(words, "sft", {VERB_TAG: "sft", PARENT_TAG: first}, {})
    made.log(first, {}, headline([SFT]))
    made.end(first, "FINISHED")
    second = made.start(units, "units", {VERB_TAG: WHOLE_RUN, SOURCE_TAG: "u.yaml", SEEDS_TAG: "0,1"}, {})
    made.log(second, {}, headline([SEEDS]))
    made.end(second, "FAILED", "stage 'sft' failed: [loss] is NaN\nmore")
    third = made.start(units, "sweep of units", {VERB_TAG: SWEEP, SOURCE_TAG: "u.yaml"}, {})
    made.start(units, "trial 0", {VERB_TAG: "swept", PARENT_TAG: third}, {})
    return made


def shown(found: list[ListedRun], more: bool = False, width: int = 80) -> str:
    console = Console(file=(file := StringIO()), width=width)
    show_runs(console, found, more)
    return file.getvalue()


def test_runs_and_sweeps_are_listed_the_newest_first(store: MemoryStore) -> None:
    with using(store):
        found = runs()
        assert [(run.experiment, run.kind, run.state) for run in found] == [
            ("units", "sweep", "running"),
            ("units", "run", "failed"),
            ("words", "run", "finished"),
        ]
        assert found[2].models == (SFT,) and found[2].recipe == "w.yaml"
        assert found[1].seeds == (0, 1)
        assert found[1].models == (ModelResult("rft", 0.85, 0.7, 0.95, 0.99, 500),)
        assert [run.experiment for run in runs("words")] == ["words"]
        assert [run.state for run in runs(state="failed")] == ["failed"]
        assert len(runs(limit=2)) == 2
        with pytest.raises(InputError, match="unknown experiment 'wrods'; did you mean 'words'"):
            runs("wrods")
        with pytest.raises(InputError, match="unknown state 'done'"):
            runs(state="done")  # type: ignore[arg-type]


def test_the_table_fits_and_says_why_a_run_failed(store: MemoryStore) -> None:
    with using(store):
        text = shown(runs(), more=True)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["run", "experiment", "started", "took", "state", "accuracy"]
    assert lines[1].split()[-1] == "sweep" and "2 seeds: rft 0.850" in lines[2] and "sft 0.618" in lines[3]
    assert lines[4].endswith("stage 'sft' failed: [loss] is NaN"), "text in brackets is not markup"
    assert lines[5].startswith("Older runs are not shown")
    assert shown([]) == "No runs here yet: `orch run RECIPE` creates one.\n"


def test_a_day_is_told_where_it_is_not_today() -> None:
    now = 1_700_000_000.0
    assert len(when(now, now)) == len("14:02")
    assert when(now - 3 * 86_400, now).endswith(when(now, now)) and len(when(now - 3 * 86_400, now)) > 5
    assert when(now - 400 * 86_400, now).count("-") == 2


def test_a_run_is_named_by_its_id_the_beginning_of_it_or_its_experiment(store: MemoryStore) -> None:
    with using(store):
        newest, *_, first = runs()
    assert store.find(first.run_id).run_id == store.find(first.run_id[:12]).run_id == first.run_id
    assert store.find("words").run_id == first.run_id
    assert store.find("units").run_id == newest.run_id
    with pytest.raises(TrackingError, match=r"no run 'wrods' in the store; did you mean 'words', an experiment\?"):
        store.find("wrods")
    with pytest.raises(TrackingError, match="no run '%'"):
        store.find("%")


def test_a_finished_run_is_listed_by_its_experiment(small_run: tuple[Path, Called]) -> None:
    folder, called = small_run
    listed = call(folder, "runs", "--json")
    assert listed.code == 0, listed.err
    [run] = listed.json["runs"]
    assert run["run_id"] == called.json["run_id"] and run["state"] == "finished"
    assert run["models"] == called.json["models"]
    compared = call(folder, "compare", "small", "--json")
    assert compared.code == 0, compared.err


def test_where_there_is_no_store_there_are_no_runs(tmp_path: Path) -> None:
    listed = call(tmp_path, "runs")
    assert listed.code == 0 and "No runs here yet" in listed.out
    assert not (tmp_path / "mlruns").exists()
