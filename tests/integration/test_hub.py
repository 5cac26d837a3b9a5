"""A model from the Hub, without the Hub: the same code on a local cache as `huggingface_hub` lays it out."""

import shutil
from pathlib import Path

import pytest

from orchestrator.base_model import TINY, resolve_model
from orchestrator.errors import ModelError
from orchestrator.model_loading import load_base, load_tokenizer
from orchestrator.recipe import ModelSpec

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repository = tmp_path / "models--someone--small"
    shutil.copytree(TINY, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for module in ("huggingface_hub.constants", "transformers.utils.hub"):
        monkeypatch.setattr(f"{module}.HF_HUB_CACHE", str(tmp_path), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    return tmp_path


def test_a_hub_model_is_known_by_its_commit(cache: Path) -> None:
    ref = resolve_model(ModelSpec(name="someone/small"))
    assert ref.revision == COMMIT and ref.digest == f"someone/small@{COMMIT}"
    assert resolve_model(ModelSpec(name="someone/small", revision=COMMIT)) == ref


def test_a_hub_model_loads_like_any_other(cache: Path) -> None:
    ref = resolve_model(ModelSpec(name="someone/small"))
    assert load_tokenizer(ref)("12 km")["input_ids"]
    assert sum(p.numel() for p in load_base(ref).parameters()) > 1e6


def test_an_unknown_hub_model_is_refused(cache: Path) -> None:
    with pytest.raises(ModelError, match="someone/other"):
        resolve_model(ModelSpec(name="someone/other"))
