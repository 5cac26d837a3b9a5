"""Names that a store, a file system or a URI would refuse: folders, experiments, keys of settings."""

import os
import sqlite3
from pathlib import Path

import pytest

from orchestrator.errors import RecipeError, TrackingError
from orchestrator.recipe.recipe import load_recipe
from orchestrator.store.legal_names import folder_of, keys, storable
from orchestrator.store.place import alone, database, store_exists, store_folder, tracking_uri
from tests.conftest import SMALL

ODD = "a b?c#d%20e%é'\"°C"


def test_the_store_stands_in_its_folder_whatever_the_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.engine import make_url

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / ODD
    folder.mkdir()
    monkeypatch.chdir(folder)
    uri, file = tracking_uri(), folder / "mlruns" / "mlflow.db"
    assert make_url(uri).database == str(file), "what SQLAlchemy opens"
    assert database(uri) == file and store_folder() == file.parent and not store_exists()
    file.parent.mkdir()
    sqlite3.connect(file).close()
    assert store_exists()


def test_a_folder_without_odd_signs_has_the_plain_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "é x").mkdir()
    monkeypatch.chdir(tmp_path / "é x")
    assert tracking_uri() == f"sqlite:///{tmp_path}/é x/mlruns/mlflow.db"


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:///a/b.db", "a/b.db"),
        ("sqlite:////a/b.db?timeout=30", "/a/b.db"),
        ("sqlite+pysqlite:////a%3Fb/c.db", "/a?b/c.db"),
        ("http://127.0.0.1:5000", None),
        ("postgresql://u:p@host/db", None),
    ],
)
def test_the_file_of_a_store_that_the_user_names(uri: str, file: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert database(uri) == (None if file is None else Path(file))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert store_folder() == (Path("mlruns") if file is None else Path(file).parent)


def test_a_store_that_would_land_in_another_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////a?b/mlflow.db")
    with pytest.raises(TrackingError, match="write the \\? of a folder's name as %3F"):
        tracking_uri()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    Path(odd).mkdir()
    monkeypatch.chdir(odd)
    with pytest.raises(TrackingError, match="is not UTF-8"):
        tracking_uri()


def test_no_empty_folder_stays_of_a_path_that_was_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / ODD).mkdir()
    monkeypatch.chdir(tmp_path / ODD)
    uri = tracking_uri()
    with alone(uri):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True)  # as mlflow does
    assert [entry.name for entry in tmp_path.iterdir()] == [ODD]


def test_keys_of_settings_that_mlflow_takes_stay_as_they_are() -> None:
    settings = {"task.further.harder.generate": 1, "stages/x": 2, "größe": 3, "a b-c_d:e": 4}
    assert keys(settings) == settings


def test_keys_of_settings_are_made_so_that_mlflow_takes_them() -> None:
    from mlflow.utils.validation import _validate_param

    odd = {
        "units.°C": 1,
        "units.€C": 2,
        "units._C": 3,
        "..": 4,
        "a//b": 5,
        "/a": 6,
        "../a": 7,
        "x" * 300: 8,
        "x" * 299: 9,
        "": 10,
        "a\nb": 11,
    }
    made = keys(odd)
    assert sorted(made.values()) == list(range(1, 12)), "none is lost"
    assert made["units._C"] == 3, "a legal key keeps its name"
    for key in made:
        _validate_param(key, "1")
        assert len(key) <= 250


@pytest.mark.parametrize("name", ["..", ".", ".hidden", "../../etc", "日" * 200, "x" * 200, "a/b?c%20", "°C"])
def test_the_folder_of_an_experiment_is_one_name_below_its_parent(name: str) -> None:
    folder = folder_of(name)
    assert Path(folder).name == folder and folder not in ("", ".", "..") and not folder.startswith(".")
    assert len(folder.encode()) <= 100
    assert folder_of("rft") == "rft" and folder_of("a b/c") == "a-b-c", "as before"
    assert folder_of("日" * 199 + "a") != folder_of("日" * 199 + "b")


def test_half_characters_can_be_stored() -> None:
    assert storable("a\udcffb") == "a\ufffdb" and storable("é😀") == "é😀"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x" * 300, "at most 200 characters"),
        ("a\\nb", "contains '\\n', which cannot be displayed"),
        ("a\\u202eb", "which cannot be displayed"),
        ("  ", "is blank"),
    ],
)
def test_names_of_experiments_that_are_refused_at_once(name: str, said: str) -> None:
    Path("r.yaml").write_text(SMALL.read_text().replace("name: small", f'name: "{name}"'))
    with pytest.raises(RecipeError) as caught:
        load_recipe("r.yaml")
    [problem] = caught.value.problems
    assert problem.startswith("r.yaml:2: name: ") and said in problem


@pytest.mark.parametrize("key", ["°C", "..", "a/b", "x" * 41, "A"])
def test_names_of_stages_and_splits_are_refused_at_once(key: str) -> None:
    Path("r.yaml").write_text(
        SMALL.read_text()
        .replace("  test:", f'  further: {{"{key}": {{generate: 5}}}}\n  test:')
        .replace(" chosen:", f' "{key}":')
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe("r.yaml")
    assert any("a stage's name is lower-case letters" in problem for problem in caught.value.problems)
    assert any("task.further" in problem for problem in caught.value.problems)


@pytest.mark.parametrize(("folder", "said"), [("x" * 256, "has 256 bytes"), ("é" * 128, "has 256"), ("a\\0b", "NUL")])
def test_folders_that_cannot_be_are_refused_at_once(folder: str, said: str) -> None:
    Path("r.yaml").write_text(SMALL.read_text().replace("name: small", f'name: small\nstorage: "work/{folder}/x"'))
    with pytest.raises(RecipeError) as caught:
        load_recipe("r.yaml")
    [problem] = caught.value.problems
    assert problem.startswith("r.yaml:3: storage: ") and said in problem
