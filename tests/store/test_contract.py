"""The contract of every store: the same tests for MLflow's, for a local one read without it, and for one in memory."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.errors import OutputError, RefusalError, TrackingError
from orchestrator.stages import verb_of
from orchestrator.store import connection
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.memory import MemoryStore
from orchestrator.store.mlflow import MlflowStore
from orchestrator.store.names import (
    BASE_TAG,
    EVALUATION_KEY_TAG,
    KEY_TAG,
    MODEL_TAG,
    PARENT_TAG,
    SEED_TAG,
    SEEDS_TAG,
    VERB_TAG,
    evaluation_tag,
    origin_tag,
    output_of,
)
from orchestrator.store.opening import connect
from orchestrator.types import DataUsed


@pytest.fixture(params=["mlflow", "local", "memory"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryStore(Path("memory"))
    store = request.getfixturevalue("mlflow_store")
    assert isinstance(store, MlflowStore)
    return store if request.param == "mlflow" else connect()


@pytest.fixture
def start(store: Store) -> Callable[..., str]:
    """Starts runs with the given tags; each begins later than the one before."""

    def make(tags: dict[str, str] | None = None, name: str = "sft", experiment: str = "test", **params: Any) -> str:
        time.sleep(0.002)  # times in stores are in milliseconds
        return store.start(store.experiment(experiment), name, tags or {}, params)

    return make


Start = Callable[..., str]


def ids(runs: Iterator[StoredRun]) -> list[str]:
    return [run.run_id for run in runs]


def stage(verb: str, key: str, also: str | None = None) -> Any:
    judges, kind = verb == "evaluate", verb_of(verb)
    assert kind is not None
    output = output_of(kind.OUTPUT, also)
    return SimpleNamespace(name=f"the {verb}", verb=verb, key=key, also=also, is_evaluation=judges, output=output)


def model(store: Store, run_id: str) -> Path:
    """Add the output of a training to a run."""
    folder = Path("made", run_id)
    (folder / "model").mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / "model" / name).write_text(name)
    store.log(run_id, {}, store.log_folder(run_id, folder, "model"))
    return store.output(run_id, "model")


# --- runs


def test_the_last_run_is_the_one_that_was_started_or_asked_for_last(store: Store, start: Start) -> None:
    assert store.last() is None
    first = start({VERB_TAG: "run"}, "one", "one")
    second = start({VERB_TAG: "run"}, "two", "two")
    start({VERB_TAG: "sft", PARENT_TAG: second})
    assert store.find(None).run_id == second
    store.asked_again(store.find(first))
    assert store.find(None).run_id == first
    third = start({VERB_TAG: "run"}, "one", "one")
    assert store.find(None).run_id == third
    store.asked_again(store.find(second))
    store.asked_again(store.find(first))
    assert store.find(None).run_id == first


def test_a_run_is_read_back_as_it_was_written(store: Store, start: Start) -> None:
    before = time.time() - 1
    parent = start({VERB_TAG: "run", SEEDS_TAG: "0,3"}, "above")
    tags = {VERB_TAG: "sft", KEY_TAG: "k", SEED_TAG: "3", MODEL_TAG: "m", BASE_TAG: "tiny", PARENT_TAG: parent}
    run_id = start(tags, rate=1e-4)
    store.log_params(run_id, {"lora": {"r": 8, "°C": None}})
    store.log(run_id, {"accuracy": 0.5}, {"orch.chosen": "why", "version.torch": "2", "a": "x" * 9000})
    store.end(run_id, "FAILED", "no memory\udcff")
    run = store.find(run_id)
    assert (run.run_id, run.name, run.experiment, run.status, run.parent) == (run_id, "sft", "test", "FAILED", parent)
    assert before < run.started <= (run.ended or 0) < time.time() + 1
    assert run.params == {"lora.r": "8", "lora._C": "None", "rate": "0.0001"} and run.metrics == {"accuracy": 0.5}
    assert (run.verb, run.key, run.seed, run.model, run.base, run.chosen) == ("sft", "k", 3, "m", "tiny", "why")
    assert run.error == "no memory\ufffd" and run.versions == {"torch": "2"} and len(run.tags["a"]) == 8000
    assert run.is_stage and run.origin == run.evaluation_origin() == run_id and run.splits == []
    above = store.find(parent)
    assert (above.status, above.ended, above.parent, above.seed, above.seeds) == ("RUNNING", None, None, None, (0, 3))
    assert not above.is_stage and ids(store.runs(ids=[run_id, "0" * 32])) == [run_id]


def test_runs_are_found_by_what_their_tags_say_the_newest_first(store: Store, start: Start) -> None:
    first = start({"a": "1", "b": "it's"})
    second = start({"a": "1"}, experiment="other")
    third = start({"a": "2"})
    assert ids(store.runs()) == [third, second, first]
    assert ids(store.runs({"a": "1"})) == [second, first] and ids(store.runs({"a": None})) == [third, second, first]
    assert ids(store.runs({"a": "1", "b": "it's"})) == ids(store.runs({"b": None})) == [first]
    assert ids(store.runs({"a": None}, limit=2)) == [third, second] and ids(store.runs(limit=0)) == []
    assert ids(store.runs(experiments=["test", "nowhere"])) == [third, first]
    assert ids(store.runs(experiments=[])) == ids(store.runs({"c": None})) == ids(store.runs(ids=[])) == []
    store.end(first, "FINISHED")
    assert ids(store.runs(status="FINISHED")) == [first] and ids(store.runs(status="RUNNING")) == [third, second]
    assert ids(store.runs({"a": "1"}, ids=[first, third])) == [first]


def test_a_run_is_found_by_the_beginning_of_its_id(store: Store, start: Start) -> None:
    with pytest.raises(TrackingError, match="contains no runs"):
        store.find(None)
    start({VERB_TAG: "sweep"})
    with pytest.raises(TrackingError, match="contains only sweeps: name one that `orch runs` lists"):
        store.find(None)
    runs = [start({VERB_TAG: "run"}), start({VERB_TAG: "run"}), start({VERB_TAG: "sft"})]
    assert store.find(None).run_id == runs[1], "the newest run of a recipe"
    assert store.find(runs[0][:31]).run_id == store.find(runs[0]).run_id == runs[0]
    for wanted in ("zz", "", "%", "' OR 1=1"):
        with pytest.raises(TrackingError, match="no run"):
            store.find(wanted)


def test_children_go_by_name_and_the_newer_counts(store: Store, start: Start) -> None:
    parent = start()
    older, other, newer = (start({PARENT_TAG: parent}, name) for name in ("a", "b", "a"))
    assert {name: run.run_id for name, run in store.children(parent).items()} == {"a": newer, "b": other} != older
    assert store.children(older) == {}


def test_what_a_process_left_open_is_closed(store: Store, start: Start) -> None:
    mine = start()
    store.process = "one"
    theirs, ended = start(), start()
    store.end(ended, "FINISHED")
    store.close_runs("one", "KILLED", "the process was killed")
    assert [store.find(run_id).status for run_id in (mine, theirs, ended)] == ["RUNNING", "KILLED", "FINISHED"]
    assert store.find(theirs).error == "the process was killed" and store.find(ended).error is None


def test_what_is_written_to_no_run_is_refused(store: Store) -> None:
    with pytest.raises(RefusalError):
        store.log("0" * 32, {"a": 1.0})


def test_experiments(store: Store, start: Start) -> None:
    start(experiment="a"), start(experiment="b")
    experiment_id = store.experiment("a")
    store.tag_experiment(experiment_id, "view", "x")
    assert experiment_id == store.experiment("a") != store.experiment("b")
    by_name = {each.name: each for each in store.experiments()}
    assert {"a", "b"} <= by_name.keys() and by_name["a"].tags["view"] == "x" and "view" not in by_name["b"].tags
    assert by_name["a"].experiment_id == experiment_id


# --- metrics


def test_a_curve_keeps_its_points_and_the_last_step_counts(store: Store, start: Start) -> None:
    run_id = start()
    records = [{"metrics": {"loss": 4.0 - step, "lr": 0.1}, "step": step, "time": 1000 + step} for step in (1, 2, 3)]
    store.log_points(run_id, records[:1])
    store.log_points(run_id, records[1:])
    store.log(run_id, {"loss": 9.0, "n": 3})
    assert sorted(store.history(run_id, "loss")) == [(0, 9.0), (1, 3.0), (2, 2.0), (3, 1.0)]
    assert store.find(run_id).metrics == {"loss": 1.0, "lr": 0.1, "n": 3.0} and store.history(run_id, "none") == []


def test_an_evaluation_writes_its_figures_into_the_run_of_its_model(store: Store, start: Start) -> None:
    run_id, data = start(), DataUsed("test", "evaluation", "1234", "eval/results.parquet", 4)
    for name in ("accuracy", "short/accuracy"):
        store.log_evaluation(run_id, "sft", {name: 0.5}, data, {SEED_TAG: "0"})
        store.log_data(run_id, data)
    assert store.find(run_id).metrics == {"accuracy": 0.5, "short/accuracy": 0.5}


# --- files


def test_files(store: Store, start: Start) -> None:
    run_id = start()
    store.log_file(run_id, "ä", "note.txt")
    store.log_file(run_id, b"\xe9\r\n", "task.py")
    store.log_table(run_id, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], "eval/samples.json")
    assert store.artifact(run_id, "note.txt").read_text(encoding="utf-8") == "ä"
    assert store.artifact(run_id, "task.py").read_bytes() == b"\xe9\r\n"
    assert '"columns"' in store.artifact(run_id, "eval/samples.json").read_text()
    assert not store.artifact(store.find(run_id), "other").exists()
    assert store.address(run_id, "note.txt") == str(store.artifact(run_id, "note.txt"))
    assert store.address(run_id, "other.txt") is None
    store.log_file(run_id, "new", "note.txt")
    assert store.artifact(run_id, "note.txt", fresh=True).read_text() == "new"


def test_an_output_is_what_was_made(store: Store, start: Start) -> None:
    run_id = start()
    made = model(store, run_id)
    assert store.output(store.find(run_id), "model", full=True) == made
    os.truncate(made / "adapter_model.safetensors", 3)
    with pytest.raises(OutputError, match=r"has changed since it was written: adapter_model\.safetensors has 3 bytes"):
        store.output(run_id, "model")
    assert (store.artifact(run_id, "model") / "adapter_model.safetensors").stat().st_size == 3


# --- keys


def test_a_stage_is_finished_once_a_closed_run_with_its_key_has_the_output(store: Store, start: Start) -> None:
    run_id, sft = start({KEY_TAG: "k"}), stage("sft", "k")
    assert store.finished([]) == store.finished([sft]) == {}
    store.end(run_id, "FINISHED")
    assert store.finished([sft]) == {}, "there is no output"
    model(store, run_id)
    assert store.finished([sft, sft, stage("sft", "other")]) == {"k": run_id}
    store.end(run_id, "FAILED")
    assert store.finished([sft]) == {}


def test_what_is_reused_is_found_with_the_run_that_made_it(store: Store, start: Start) -> None:
    sft = stage("sft", "k")
    maker = start()
    made = model(store, maker)
    store.end(maker, "FINISHED")
    for _ in range(3):
        store.end(start({KEY_TAG: "k", origin_tag(sft): maker}), "FINISHED")
    assert store.finished([sft]) == {"k": maker}
    (made / "adapter_model.safetensors").unlink()
    assert store.finished([sft]) == {}


def test_an_older_run_counts_where_the_newest_has_lost_its_output(store: Store, start: Start) -> None:
    older, newer = start({KEY_TAG: "k"}), start({KEY_TAG: "k"})
    for run_id in (older, newer):
        model(store, run_id)
        store.end(run_id, "FINISHED")
    assert store.finished([stage("sft", "k")]) == {"k": newer}
    (store.artifact(newer, "model") / "adapter_config.json").unlink()
    assert store.finished([stage("sft", "k")]) == {"k": older}


def test_a_changed_output_is_named_and_not_used(store: Store, start: Start) -> None:
    run_id = start({KEY_TAG: "k"})
    (model(store, run_id) / "adapter_config.json").write_text("{}")
    store.end(run_id, "FINISHED")
    with pytest.raises(OutputError, match=r"^stage the sft: the output of run \w+ has changed since it was written"):
        store.finished([stage("sft", "k")])


def test_evaluations_have_keys_of_their_own(store: Store, start: Start) -> None:
    asked, further = stage("evaluate", "e"), stage("evaluate", "f", "short")
    run_id = start({KEY_TAG: "k", EVALUATION_KEY_TAG: "e", evaluation_tag(EVALUATION_KEY_TAG, "short"): "f"})
    for name in ("eval/results.parquet", "eval/short/results.parquet"):
        file = Path("made", name)
        file.parent.mkdir(parents=True)
        file.write_text("x")
    store.log(run_id, {}, store.log_folder(run_id, Path("made"), "eval/results.parquet"))
    store.end(run_id, "FINISHED")
    run = store.find(run_id)
    assert (run.evaluation_key(), run.evaluation_key("short"), run.splits) == ("e", "f", ["short"])
    assert store.finished([asked, further]) == {"e": run_id, "f": run_id}
    assert store.finished([stage("sft", "e"), stage("evaluate", "f")]) == {}


# --- any number of runs


def test_many_runs_and_experiments_are_read_page_by_page(
    store: Store, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PAGE", 3)
    parent = start(experiment="above")
    made = [start({PARENT_TAG: parent}, f"child {n}", f"experiment {n}") for n in range(10)]
    assert ids(store.runs({PARENT_TAG: parent})) == made[::-1]
    assert [run.run_id for run in store.children(parent).values()] == made
    assert ids(store.runs({PARENT_TAG: parent}, limit=7)) == made[:2:-1]
    assert {f"experiment {n}" for n in range(10)} <= {each.name for each in store.experiments()}
    assert ids(store.runs(ids=made)) == made[::-1]
