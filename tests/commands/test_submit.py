"""`orch submit`: what is refused before a cluster is contacted, what the job gets, and how it ends."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import orchestrator.commands.submit as module
from orchestrator.commands.submit import Submitted, submit
from orchestrator.errors import InputError, RecipeError
from orchestrator.runs.jobs import Ended
from tests.cli.test_cli import orch

RECIPE = """\
name: test
task: {type: units, demonstrations: {generate: 3}, test: {generate: 2}}
model: {name: tiny}
stages: {sft: {type: sft}}
"""
STORE = "http://store:5000"


class Jobs:
    """A cluster that accepts every job, and ends it as requested."""

    def __init__(self, ended: Ended | None = None, interrupted: bool = False) -> None:
        self.address, self._ended, self._interrupted = "", ended, interrupted
        self.taken: list[tuple[str, Path, dict[str, str]]] = []
        self.stopped: list[str] = []

    def __call__(self, address: str) -> "Jobs":
        self.address = address
        return self

    def submit(self, command: str, folder: Path, env: Mapping[str, str]) -> str:
        self.taken.append((command, folder, dict(env)))
        return "job-1"

    def follow(self, job: str, show: Callable[[str], None]) -> None:
        show("12:00:00  a line of orch run\n")
        if self._interrupted:
            raise KeyboardInterrupt

    def ended(self, job: str) -> Ended | None:
        return self._ended

    def stop(self, job: str) -> None:
        self.stopped.append(job)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("r.yaml").write_text(RECIPE)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", STORE)
    for name in ("RAY_API_SERVER_ADDRESS", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def taken_by(monkeypatch: pytest.MonkeyPatch, jobs: Jobs) -> Jobs:
    monkeypatch.setattr(module, "Jobs", jobs)
    return jobs


def test_a_job_is_the_same_command_in_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = taken_by(monkeypatch, Jobs())
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    monkeypatch.setenv("MINE", "value")
    made = submit(Path("r.yaml"), ["seed=1", "task.test={generate: 4}"], address="head", env=["MINE"])
    assert isinstance(made, Submitted) and made.job == "job-1" and made.address == "http://head:8265"
    [(command, folder, env)] = jobs.taken
    assert command == "orch run r.yaml seed=1 'task.test={generate: 4}'" and folder == tmp_path.resolve()
    assert {name: env[name] for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MINE")} == {
        "MLFLOW_TRACKING_URI": STORE,
        "MLFLOW_TRACKING_TOKEN": "secret",
        "MINE": "value",
    }
    assert "PATH" not in env


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("head", "http://head:8265"),
        ("head:99", "http://head:99"),
        ("http://head", "http://head:8265"),
        ("https://head:443", "https://head:443"),
    ],
)
def test_an_address_may_be_short(monkeypatch: pytest.MonkeyPatch, given: str, asked: str) -> None:
    taken_by(monkeypatch, Jobs())
    assert submit("r.yaml", address=given).address == asked


@pytest.mark.parametrize("uri", ["", "sqlite:///mlruns/mlflow.db", "file:///tmp/store", "mlruns"])
def test_a_store_that_the_cluster_does_not_reach_is_refused(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    jobs = taken_by(monkeypatch, Jobs())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InputError, match="a job needs a store that the cluster can reach"):
        submit("r.yaml", address="head")
    assert not jobs.taken


def test_what_is_wrong_here_is_refused_before_it_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = taken_by(monkeypatch, Jobs())
    with pytest.raises(RecipeError, match="learning_rate"):
        submit("r.yaml", ["stages.sft.learning_rat=1"], address="head")
    with pytest.raises(RecipeError, match="sweep"):
        submit("r.yaml", address="head", sweep=True)
    with pytest.raises(InputError, match="--env NOT_SET: that variable is not set here"):
        submit("r.yaml", address="head", env=["NOT_SET"])
    with pytest.raises(InputError, match="is not an address"):
        submit("r.yaml", address="http://head:port")
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(InputError, match="is not in this folder"):
        submit(tmp_path / "r.yaml", address="head")
    assert not jobs.taken


def test_a_cluster_that_does_not_answer_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert orch("submit", "r.yaml", "--address", "http://127.0.0.1:1") == 2
    said = capsys.readouterr().err
    assert said.startswith("orch: no Ray Jobs API answers at http://127.0.0.1:1: ") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (Ended("SUCCEEDED", 0, ""), 0),
        (Ended("FAILED", 2, "bad input"), 2),
        (Ended("FAILED", None, "the driver did not start"), 1),
        (Ended("STOPPED", None, ""), 130),
    ],
)
def test_it_ends_as_the_job_did(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ended: Ended, code: int
) -> None:
    taken_by(monkeypatch, Jobs(ended))
    assert orch("submit", "r.yaml", "--address", "head") == code
    said = capsys.readouterr()
    assert "a line of orch run" in said.out and ("the driver did not start" in said.err) == (code == 1)


def test_ctrl_c_leaves_the_job_where_nobody_can_be_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = taken_by(monkeypatch, Jobs(interrupted=True))
    assert orch("submit", "r.yaml", "--address", "head") == 130 and not jobs.stopped
    assert "The job continues. To stop it: ray job stop job-1 --address http://head:8265" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [True, False])
def test_ctrl_c_asks_whether_to_stop_it(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    jobs = taken_by(monkeypatch, Jobs(Ended("STOPPED", None, "stopped by the user"), interrupted=True))
    monkeypatch.setattr("typer.confirm", lambda *_, **__: answer)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert orch("submit", "r.yaml", "--address", "head") == 130
    assert jobs.stopped == (["job-1"] if answer else [])


def test_it_need_not_be_followed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    taken_by(monkeypatch, Jobs())
    assert orch("submit", "r.yaml", "--address", "head", "--detach", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["job"] == "job-1" and "a line of" not in said.err
