"""The manifest of a Kubernetes job, checked against KubeRay's own schema, and what is not sent along."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from orchestrator.commands.kubernetes import Pods, kubernetes_manifest
from orchestrator.errors import InputError, RecipeError
from orchestrator.recipe.recipe import load_recipe
from tests.cli.test_cli import orch
from tests.commands.test_submit import RECIPE, STORE
from tests.conftest import REPOSITORY

SCHEMA = json.loads((REPOSITORY / "tests" / "data" / "rayjob-schema.json").read_text())
"""The schema of RayJob in version v1, without its descriptions."""
DATA = RECIPE.replace(
    "type: units, demonstrations: {generate: 3}", "type: file, demonstrations: {file: data/mine.jsonl}"
)
ROWS = '{"question": "1 + 1?", "answer": 2, "demonstration": "1 + 1 = 2\\nAnswer: 2"}\n' * 3


@pytest.fixture(autouse=True)
def _recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("r.yaml").write_text(RECIPE)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", STORE)


def unknown(data: Any, schema: Any, at: str = "") -> Iterator[str]:
    """The fields in data that a schema does not name; the schema itself allows them."""
    if isinstance(data, dict) and "properties" in schema:
        for key, value in data.items():
            if key in schema["properties"]:
                yield from unknown(value, schema["properties"][key], f"{at}.{key}")
            elif at:  # apiVersion, kind and metadata are Kubernetes' own
                yield f"{at}.{key}"
    elif isinstance(data, list):
        for value in data:
            yield from unknown(value, schema.get("items", {}), f"{at}[]")


def documents(*overrides: str, pods: Pods | None = None, sweep: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    files, job = yaml.safe_load_all(
        kubernetes_manifest("r.yaml", overrides, pods or Pods("registry.example/orch:1"), sweep=sweep)
    )
    jsonschema.Draft202012Validator(SCHEMA).validate(job)
    assert [*unknown(job, SCHEMA)] == []
    return files, job


def test_it_is_a_job_of_kuberays_that_asks_for_what_was_asked() -> None:
    files, job = documents(pods=Pods("registry.example/orch:1", 3, 4, 2, "32Gi", "store"))
    spec = job["spec"]
    assert spec["entrypoint"] == "orch run /recipe/recipe.yaml storage=/tmp/orch"
    assert job["metadata"]["name"] == files["metadata"]["name"] == "orch-test"
    head = spec["rayClusterSpec"]["headGroupSpec"]
    [workers] = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert head["rayStartParams"]["num-cpus"] == "0", "it runs no work"
    assert workers["replicas"] == workers["minReplicas"] == workers["maxReplicas"] == 3
    [container] = workers["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": 4, "memory": "32Gi", "nvidia.com/gpu": 2}
    assert container["envFrom"] == [{"secretRef": {"name": "store"}}]
    assert {"name": "MLFLOW_TRACKING_URI", "value": STORE} in container["env"]
    assert container["volumeMounts"] == [{"name": "recipe", "mountPath": "/recipe", "readOnly": True}]


def test_the_unknown_is_found_by_the_test() -> None:
    _, job = documents()
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["imagge"] = "x"
    assert [*unknown(job, SCHEMA)] == [".spec.rayClusterSpec.workerGroupSpecs[].template.spec.containers[].imagge"]


def test_the_recipe_and_its_files_go_along(tmp_path: Path) -> None:
    Path("data").mkdir()
    Path("data/mine.jsonl").write_text(ROWS.replace("1 + 1", "2 + 3"))
    Path("r.yaml").write_text(DATA.replace("{generate: 2}", "{file: data/test.jsonl}"))
    Path("data/test.jsonl").write_text(ROWS)
    files, _ = documents("stages.sft.learning_rate=1e-3")
    assert set(files["data"]) == {"recipe.yaml", "0-mine.jsonl", "1-test.jsonl"}
    assert files["data"]["0-mine.jsonl"] == Path("data/mine.jsonl").read_text()
    written = yaml.safe_load(files["data"]["recipe.yaml"])
    assert written["task"]["demonstrations"]["file"] == "/recipe/0-mine.jsonl"
    assert written["stages"]["sft"]["learning_rate"] == 1e-3 and "storage" not in written
    there = tmp_path / "there"
    there.mkdir()
    for name, text in files["data"].items():
        (there / name).write_text(text.replace("/recipe/", f"{there}/"))
    assert load_recipe(there / "recipe.yaml").task.examples("test")[0].question == "1 + 1?"


def test_two_files_of_one_name_do_not_become_one() -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "rows.jsonl").write_text(ROWS.replace("1 + 1", f"{len(folder)} + 1 {folder}"))
    Path("r.yaml").write_text(DATA.replace("data/mine", "a/rows").replace("{generate: 2}", "{file: b/rows.jsonl}"))
    files, _ = documents()
    written = yaml.safe_load(files["data"]["recipe.yaml"])["task"]
    there = [Path(written[split]["file"]).name for split in ("demonstrations", "test")]
    assert [files["data"][name] for name in there] == [Path(f, "rows.jsonl").read_text() for f in ("a", "b")]


def test_a_sweep_keeps_its_block() -> None:
    grid = "stages.sft.learning_rate=1e-3,2e-3"
    files, job = documents(grid, "task.validation={generate: 3}", sweep=True)
    assert job["spec"]["entrypoint"].startswith("orch sweep ")
    assert "stages.sft.learning_rate" in yaml.safe_load(files["data"]["recipe.yaml"])["sweep"]["parameters"]
    with pytest.raises(RecipeError, match="has no sweep block"):
        documents(sweep=True)


@pytest.mark.parametrize(
    ("pods", "said"),
    [
        (Pods("a b"), r"--image: 'a b' is not an image name"),
        (Pods("orch", 0), "--nodes: at least 1, not 0"),
        (Pods("orch", 1, 0), "--cpus: at least 1, not 0"),
        (Pods("orch", 1, 1, -1), "--gpus: at least 0, not -1"),
        (Pods("orch", memory="much"), "--memory: 'much' is not a memory size"),
    ],
)
def test_what_makes_no_sense_is_refused(pods: Pods, said: str) -> None:
    with pytest.raises(InputError, match=said):
        documents(pods=pods)


def test_what_cannot_go_along_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("model").mkdir()
    with pytest.raises(InputError, match=r"model\.name: the folder .*model is not sent along"):
        documents("model.name=./model")
    Path("big.jsonl").write_text(ROWS * 10_000)
    with pytest.raises(InputError, match=r"the recipe's files total .* MB, and at most 0\.9 MB can be sent along"):
        documents("task={type: file, demonstrations: {file: big.jsonl}, test: {file: big.jsonl}}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///x.db")
    with pytest.raises(InputError, match="a job needs a store that the cluster can reach"):
        documents()


def test_the_command_writes_it_and_says_what_comes_next(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("submit", "r.yaml", "--kubernetes", "job.yaml", "--image", "registry.example/orch:1")
    assert orch(*words) == 0 and "kubectl apply -f job.yaml" in capsys.readouterr().out
    assert len([*yaml.safe_load_all(Path("job.yaml").read_text())]) == 2
    assert orch(*words) == 2 and "job.yaml already exists" in capsys.readouterr().err
