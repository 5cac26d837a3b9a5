"""Shared by all tests: calls of `orch`, and runs of recipes small enough to run for real."""

import compileall
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from tests.support.forking import forked

if TYPE_CHECKING:
    from orchestrator.store.mlflow import MlflowStore

# one thread per process: on a machine shared by tests, threads wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
REPOSITORY = Path(__file__).parent.parent
TWO_CORES = {"RAY_OVERRIDE_RESOURCES": '{"CPU": 2}'}
SMALL = REPOSITORY / "tests" / "small.yaml"


def pytest_configure(config: pytest.Config) -> None:
    """Compile `orch` once: otherwise, if Python cannot cache bytecode on import, each of the many processes would."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        compileall.compile_dir(REPOSITORY / "orchestrator", quiet=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put one file that needs the shipped recipe's run first, to create it, and the other such files last, to reuse it.

    Otherwise parallel processes would wait for it, one after another.
    """
    needing = list(dict.fromkeys(item.path for item in items if "shipped_run" in getattr(item, "fixturenames", ())))
    items.sort(key=lambda item: 1 if item.path not in needing else 0 if item.path == needing[0] else 2)


@dataclass(frozen=True)
class Called:
    """The result of a call of `orch`."""

    code: int | None
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.out.strip().splitlines()[-1]))

    @property
    def after_the_first_line(self) -> str:
        """A run's output without the first lines, which report its setup before anything is written."""
        at = "reading the store|starting Ray|joining Ray|checking data and model"
        return re.sub(rf"\A(?:\d\d:\d\d:\d\d  [^\n]*: (?:{at})\n)+", "", self.out)


def environment() -> dict[str, str]:
    """The environment of a call: the default store, no Hub, and one core, since test processes share the machine.

    Ray keeps idle workers, at the cost of memory, so that the next stage need not wait for one to import torch; they
    run at the same priority as the other tests. Tests that need several cores pass `TWO_CORES`.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RAY_"))}
    one_core = {"RAY_OVERRIDE_RESOURCES": '{"CPU": 1}', "RAY_num_workers_soft_limit": "3", "RAY_worker_niceness": "0"}
    return clean | one_core | {"HF_HUB_OFFLINE": "1", "COLUMNS": "100"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator.cli", *arguments]


def call(folder: Path, *arguments: str, fresh: bool = False, **env: str) -> Called:
    """Run `orch` in a folder and wait for it; with `fresh`, in a process started from scratch.

    So is a call with settings of the Hub's client, which reads them on import.
    """
    if not fresh and not any(name.startswith("HF_") for name in env):
        return Called(*forked(folder, arguments, environment() | env))
    done = subprocess.run(command(*arguments), cwd=folder, env=environment() | env, capture_output=True, text=True)
    return Called(done.returncode, done.stdout, done.stderr)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests from writing into the checkout, and an `--address` from outliving the test that set it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "")
    monkeypatch.delenv("RAY_ADDRESS")


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the time of day noon."""
    monkeypatch.setattr("time.strftime", lambda form: {"%H:%M:%S": "12:00:00"}[form])


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    """The folder of a finished run of the small recipe, and the result of `orch run --json`."""
    return _made_once(tmp_path_factory, "small", lambda folder: call(folder, "run", str(SMALL), "--json"))


@pytest.fixture(scope="session")
def shipped_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    """The folder of a finished run of the shipped recipe, and the result of `orch run --json`; it takes minutes."""
    recipe = str(REPOSITORY / "recipes" / "rft.yaml")
    return _made_once(tmp_path_factory, "shipped", lambda folder: call(folder, "run", recipe, "--json", fresh=True))


def _made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Called]
) -> tuple[Path, Called]:
    """A folder created once for all test processes, and the result of the call that created it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    said = folder.with_suffix(".json")
    with FileLock(folder.with_suffix(".lock")):
        if not said.is_file():
            folder.mkdir()
            called = make(folder)
            assert called.code == 0, called.err
            said.write_text(json.dumps(asdict(called)))
    return folder, Called(**json.loads(said.read_text()))


@pytest.fixture
def small_copy(small_run: tuple[Path, Called], tmp_path: Path) -> Path:
    """A folder with a copy of that run's store, which the test may change."""
    return copied(small_run[0], tmp_path)


def copied(folder: Path, to: Path) -> Path:
    """Copy a folder's store to another folder; the locations in the copy point to the copied files."""
    shutil.copytree(folder / "mlruns", to / "mlruns")
    with closing(sqlite3.connect(to / "mlruns" / "mlflow.db")) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(folder), str(to)))
    return to


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database file of an empty store: its tables are created once, which takes seconds, and then copied."""
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        from orchestrator.store.mlflow import MlflowStore

        MlflowStore()
    return folder / "mlruns" / "mlflow.db"


@pytest.fixture
def mlflow_store(empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> "MlflowStore":
    """An empty store in this test's folder."""
    from orchestrator.store.mlflow import MlflowStore

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("mlruns").mkdir()
    shutil.copyfile(empty_database, "mlruns/mlflow.db")
    return MlflowStore()
