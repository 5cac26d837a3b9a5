"""The services of docker-compose.yml as plain processes: its own commands, in its environment, in its order.

Only what a container provides is replaced: host names become addresses of this machine, volumes become folders.
Postgres is Debian's, run as the user that its package creates.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import REPOSITORY, Called, call, command
from tests.support.composed import FILE, Machine, compose, missing, variables
from tests.support.machines import free_port

SCHEMA = REPOSITORY / "tests" / "data" / "compose-spec.json"
RECIPE = """\
name: composed
task:
  type: units
  demonstrations: {generate: 16}
  train: {generate: 4}
  test: {generate: 8}
model: {name: tiny}
stages:
  sft:     {type: sft, learning_rate: 4e-3, max_steps: 4, per_device_train_batch_size: 4}
  samples: {type: sample, model: sft, prompts: train, n: 2, temperature: 0.8, max_tokens: 96, batch_size: 8}
evaluate: {models: [sft], on: test, max_tokens: 96, batch_size: 8}
"""


# --- the file


def test_it_is_a_compose_file() -> None:
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(compose())


def test_no_port_is_open_to_others_and_no_secret_is_in_the_file() -> None:
    for name, service in compose()["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    needed = set(re.findall(r"\$\{(\w+):\?", FILE.read_text()))
    assert needed == {"POSTGRES_PASSWORD", "RAY_AUTH_TOKEN"} and needed <= set(variables())
    said = set(re.findall(r"\$\{(\w+)", FILE.read_text())) | {"COMPOSE_PROFILES"}
    assert said == set(variables()), "every variable is explained in .env.example"


def test_what_stays_up_is_restarted_and_looked_after() -> None:
    services = compose()["services"]
    for name, service in services.items():
        assert service["restart"] == ("no" if name == "orch" else "unless-stopped"), name
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy" and "healthcheck" in services[other], (name, other)
    for name in ("mlflow", "ray-head", "ray-cpu", "ray-gpu", "orch"):
        assert services[name]["environment"]["MLFLOW_DISABLE_TELEMETRY"] == "true"
        assert services[name]["environment"]["RAY_USAGE_STATS_ENABLED"] == "0"
        assert name == "orch" or "healthcheck" in services[name], name


def test_the_image_holds_what_is_installed_here_and_runs_as_nobody_in_particular() -> None:
    lines = [line for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if line and line[0] != "#"]
    installs = [line for line in lines if "pip install" in line]
    assert installs and all("--constraint constraints.txt" in line for line in installs)
    assert [line for line in lines if line.startswith("USER")] == ["USER orch"]
    copied = {name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]}
    sent = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == sent and all((REPOSITORY / name).exists() for name in copied)
    for link in [path for name in copied for path in (REPOSITORY / name).rglob("*") if path.is_symlink()]:
        assert link.resolve().relative_to(REPOSITORY).parts[0] in copied, f"{link} would point nowhere in the image"
    volumes = {at.split(":")[1] for s in compose()["services"].values() for at in s.get("volumes", [])}
    made = next(line for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if "mkdir" in line)
    assert all(volume in made for volume in volumes if not volume.startswith("/var"))


# --- the services


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if (why := missing()) is not None:
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="compose") as folder:  # Ray's sockets need a short path
        made = Machine(Path(folder))
        with made.stack:
            made.postgres()
            made.begin("mlflow")
            own = [f"--temp-dir={folder}/ray"]
            size = ["--object-store-memory=100000000"]
            # other clusters on this machine use the agents' default port
            made.begin("ray-head", *own, *size, f"--dashboard-agent-listen-port={free_port()}")
            made.begin("ray-cpu", "--num-cpus=1", f"--dashboard-agent-listen-port={made.ports['agent']}", *size)
            yield made


@pytest.mark.slow
def test_the_main_job_is_done_in_it(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "rft.yaml").write_text(RECIPE)
    called = machine.orch(tmp_path, "run", "recipes/rft.yaml", "--json")
    assert called.code == 0, called.err + (machine.folder / "ray-head.log").read_text()
    assert {s["state"] for s in called.json["stages"]} == {"done"}
    assert [m["model"] for m in called.json["models"]] == ["sft"]
    assert not (tmp_path / "mlruns" / "mlflow.db").exists() and list((machine.folder / "artifacts").iterdir())
    again = machine.orch(tmp_path, "run", "recipes/rft.yaml", "--json")
    assert again.code == 0, again.err
    assert {s["state"] for s in again.json["stages"]} == {"cached"}
    assert again.json["models"] == called.json["models"]


@pytest.mark.slow
def test_a_job_that_is_submitted_does_it_too(machine: Machine, tmp_path: Path) -> None:
    """Through Ray's Jobs API: this folder is sent, and the job's output and exit status come back."""
    (tmp_path / "r.yaml").write_text(RECIPE)
    env = machine.environment("orch") | {"RAY_ADDRESS": ""}
    address = f"http://127.0.0.1:{machine.ports['page']}"

    def submitted(*arguments: str) -> Called:
        words = command("submit", "r.yaml", *arguments, "--address", address)
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        return Called(done.returncode, done.stdout, done.stderr)

    called = submitted()
    assert called.code == 0, called.out + called.err
    assert re.search(r"^sft +\d\.\d{3} ", called.out, re.MULTILINE), called.out
    own = re.search(r"^MLflow run (\w{32})$", called.out, re.MULTILINE)
    listed = call(tmp_path, "runs", "--json", MLFLOW_TRACKING_URI=env["MLFLOW_TRACKING_URI"])
    assert own is not None and own[1] in listed.out and not (tmp_path / "mlruns").exists()
    # an error that occurs only there fails the job, and with it this command
    failed = submitted("model.name=no/such-model")
    assert failed.code not in (0, None) and "Traceback" not in failed.out + failed.err


@pytest.mark.slow
def test_what_was_backed_up_is_found_again_in_a_new_database(machine: Machine, tmp_path: Path) -> None:
    """As documented: the database is dumped and restored, the artifacts are copied. Nothing runs again."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "rft.yaml").write_text(RECIPE)
    stored = machine.environment("mlflow")["MLFLOW_BACKEND_STORE_URI"].replace("+psycopg", "")
    dump, artifacts = tmp_path / "mlflow.dump", machine.folder / "artifacts"
    for words in (
        ("pg_dump", f"--dbname={stored}", "--format=custom", f"--file={dump}"),
        ("psql", stored, "--command=CREATE DATABASE restored"),
        ("pg_restore", f"--dbname={stored.rpartition('/')[0]}/restored", str(dump)),
    ):
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    copy = Path(shutil.copytree(artifacts, tmp_path / "copied"))
    artifacts.rename(artifacts.with_suffix(".gone"))
    new = machine.beside("mlflow")
    database = machine.environment("mlflow")["MLFLOW_BACKEND_STORE_URI"].rpartition("/")[0] + "/restored"
    new.begin("mlflow", MLFLOW_BACKEND_STORE_URI=database, MLFLOW_ARTIFACTS_DESTINATION=str(copy))
    address = new.environment("orch")["MLFLOW_TRACKING_URI"]
    called = call(tmp_path, "run", "recipes/rft.yaml", "--json", MLFLOW_TRACKING_URI=address)
    artifacts.with_suffix(".gone").rename(artifacts)
    assert called.code == 0, called.err
    assert {s["state"] for s in called.json["stages"]} == {"cached"}
    exported = call(tmp_path, "export", "last", "out", MLFLOW_TRACKING_URI=address)
    assert exported.code == 0 and (tmp_path / "out" / "adapter_config.json").is_file(), exported.err
