"""A model from the Hub, without the Hub: the same code on a local cache as `huggingface_hub` lays it out."""

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.errors import ModelError
from orchestrator.models.base import TINY, resolve_model
from orchestrator.models.loading import load_base, load_tokenizer
from orchestrator.models.settings import ModelSpec
from tests.conftest import call

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RECIPE = """
name: hub
task: {type: units, demonstrations: {generate: 16}, test: {generate: 4}}
model: {name: someone/small}
stages:
  sft: {type: sft, data: demonstrations, learning_rate: 1e-3, max_steps: 2, per_device_train_batch_size: 4}
evaluate: {models: [sft], max_tokens: 96}
"""


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


def test_a_run_stays_with_the_weights_it_was_trained_on(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--someone--small"
    shutil.copytree(TINY, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(repository.parent)}
    (tmp_path / "r.yaml").write_text(RECIPE)
    called = call(tmp_path, "run", "r.yaml", "--json", **offline)
    assert called.code == 0, called.err
    later = COMMIT[::-1]
    shutil.copytree(TINY, repository / "snapshots" / later)
    (repository / "snapshots" / later / "chat_template.jinja").write_text("{{ messages[0].content }}")
    (repository / "refs" / "main").write_text(later)
    assert not any(s["cached"] for s in call(tmp_path, "plan", "r.yaml", "--json", **offline).json["stages"])
    exported = call(tmp_path, "export", "last", "out", **offline)
    assert exported.code == 0, exported.err
    assert json.loads((tmp_path / "out" / "base.json").read_text())["revision"] == COMMIT
