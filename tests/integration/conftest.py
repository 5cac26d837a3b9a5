"""One undisturbed run of the small recipe, which many tests look at."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import SMALL, Called, call


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    """The folder of a finished run of the small recipe, and what `orch run --json` said."""
    folder = tmp_path_factory.mktemp("small")
    called = call(folder, "run", str(SMALL), "--json")
    assert called.code == 0, called.err
    return folder, called


@pytest.fixture
def small_copy(small_run: tuple[Path, Called], tmp_path: Path) -> Path:
    """A folder with a copy of that run's store, free to be changed."""
    folder, _ = small_run
    shutil.copytree(folder / "mlruns", tmp_path / "mlruns")
    return tmp_path
