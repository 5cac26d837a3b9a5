"""`orch push` against a stand-in for the Hub: what arrives there, and what is refused."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Called, call
from tests.support.hub import TOKEN, Hub, Repository, hub

Run = tuple[Path, Called]


@pytest.fixture
def there() -> Iterator[Hub]:
    with hub() as state:
        yield state


@pytest.fixture(scope="module")
def made(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `orch export` wrote."""
    folder = tmp_path_factory.mktemp("made") / "model"
    called = call(small_run[0], "export", "last", str(folder))
    assert called.code == 0, called.err
    return folder


def push(there: Hub, folder: Path, *arguments: str, **env: Any) -> Called:
    given = {"HF_ENDPOINT": there.endpoint, "HF_TOKEN": TOKEN, "HF_HOME": str(Path.cwd()), "HF_HUB_DISABLE_XET": "1"}
    return call(folder, "push", *arguments, **given | {"HF_HUB_OFFLINE": "0"} | env)


def refused(called: Called) -> str:
    assert called.code == 2 and called.err.count("\n") == 1, called.err
    return called.err


def test_a_model_is_uploaded_in_one_commit(small_run: Run, there: Hub) -> None:
    folder, run = small_run
    called = push(there, folder, "last", "me/small", "--model", "rft", "--json")
    assert called.code == 0, called.err
    repository = there.repositories["me/small"]
    assert not repository.private and repository.commits == ["Upload adapter"]
    assert set(called.json["files"]) == set(repository.files) >= {"adapter_model.safetensors", "README.md"}
    assert repository.files["adapter_model.safetensors"] in there.large.values()
    assert called.json["url"] == f"{there.endpoint}/me/small" and called.json["size"] > 500_000
    assert run.json["run_id"] in repository.files["README.md"].decode()
    assert "--merged writes a model that needs nothing else" in called.err


def test_merged_weights_take_the_place_of_an_adapter(small_run: Run, there: Hub) -> None:
    folder, _ = small_run
    left = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"x", "notes.md": b"kept"}
    there.repositories["me/small"] = Repository(private=False, files=left)
    called = push(there, folder, "last", "me/small", "--merged", "--json")
    assert called.code == 0, called.err
    repository = there.repositories["me/small"]
    assert not any(name.startswith("adapter") for name in repository.files)
    assert {"model.safetensors", "config.json", "notes.md"} <= set(repository.files)
    assert repository.commits == ["Upload merged weights"]


def test_an_exported_folder_is_uploaded_as_it_is(made: Path, there: Hub, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "made")
    (tmp_path / "made" / "README.md").write_text("my own words")
    called = push(there, tmp_path, "made", "me/small", "--private")
    assert called.code == 0, called.err
    repository = there.repositories["me/small"]
    assert repository.private and "(private, commit " in called.out
    assert repository.files == {p.name: p.read_bytes() for p in (tmp_path / "made").iterdir()}
    assert "drop --model" in refused(push(there, tmp_path, "made", "me/small", "--merged"))
    (tmp_path / "made" / "base.json").unlink()
    assert "was not written by `orch export`: it has no base.json" in refused(push(there, tmp_path, "made", "me/x"))


def test_what_should_be_private_does_not_go_to_a_public_repository(made: Path, there: Hub) -> None:
    there.repositories["me/small"] = Repository(private=False)
    said = refused(push(there, made.parent, "model", "me/small", "--private"))
    assert "me/small is on the Hub already and is public" in said
    assert not there.repositories["me/small"].commits


def test_who_may_not_is_told_in_one_line(made: Path, there: Hub) -> None:
    folder = made.parent
    assert "needs a token to write: log in with `hf auth login`" in refused(
        push(there, folder, "model", "me/small", HF_TOKEN="")
    )
    assert "does not accept the token" in refused(push(there, folder, "model", "me/small", HF_TOKEN="hf_other"))
    there.full = True
    full = push(there, folder, "model", "me/full")
    assert full.code == 1 and "me/full: the Hugging Face Hub refused: " in full.err, full.err
    assert not there.repositories.pop("me/full").commits, "all or nothing"
    there.forbidden = True
    assert "me/small: the token may not write there" in refused(push(there, folder, "model", "me/small"))
    assert not there.repositories


def test_bad_names_and_no_network_are_told_in_one_line(small_run: Run, made: Path, there: Hub) -> None:
    folder, _ = small_run
    assert "cannot be the name of a repository" in refused(push(there, folder, "last", "me/x/y"))
    assert "HF_HUB_OFFLINE is set" in refused(push(there, folder, "last", "me/x", HF_HUB_OFFLINE="1"))
    assert "no run 'nothing-such'" in refused(push(there, folder, "nothing-such", "me/x"))
    gone = push(there, made.parent, "model", "me/x", HF_ENDPOINT="http://127.0.0.1:9")
    assert gone.code == 1 and "the Hugging Face Hub cannot be reached" in gone.err and gone.err.count("\n") == 1
