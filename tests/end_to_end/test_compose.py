"""What docker-compose.yml starts, as plain processes: its own commands, in its environment, in its order.

Only what a container has of its own is put in place: names of machines become addresses of this one, volumes folders.
Postgres is Debian's, under the user that its package has made.
"""

import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import jsonschema
import psutil
import psycopg
import pytest
import yaml

from tests.conftest import REPOSITORY, Called, call, environment

FILE = REPOSITORY / "docker-compose.yml"
EXAMPLE = REPOSITORY / ".env.example"
SCHEMA = REPOSITORY / "tests" / "data" / "compose-spec.json"
POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
BIN = Path(sys.executable).parent
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
PORTS = ("postgres", "mlflow", "ray", "page", "agent")


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


def variables() -> dict[str, str]:
    """What .env.example sets."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def filled(text: str, known: dict[str, str]) -> str:
    """As Compose fills in variables: $${X} is left, ${X:-usual} has a default, ${X:?why} has to be there."""

    def value(found: re.Match[str]) -> str:
        name, _, usual = found[1].partition(":")
        return known.get(name, usual.removeprefix("-"))

    return re.sub(r"(?<!\$)\$\{([^}]+)\}", value, text).replace("$$", "$")


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
    volumes = {at.split(":")[1] for s in compose()["services"].values() for at in s.get("volumes", [])}
    made = next(line for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if "mkdir" in line)
    assert all(volume in made for volume in volumes if not volume.startswith("/var"))


# --- what it starts


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Machine:
    """This machine in place of the containers."""

    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in PORTS})
    stack: ExitStack = field(default_factory=ExitStack)
    services: dict[str, Any] = field(default_factory=lambda: compose()["services"])

    def here(self, text: str) -> str:
        """With the addresses and folders of this machine."""
        places = {
            "postgres:5432": f"127.0.0.1:{self.ports['postgres']}",
            "ray-head:6379": f"127.0.0.1:{self.ports['ray']}",
            "localhost:6379": f"127.0.0.1:{self.ports['ray']}",
            "http://mlflow:5000": f"http://127.0.0.1:{self.ports['mlflow']}",
            "mlflow:5000": f"127.0.0.1:{self.ports['mlflow']}",
            "localhost:52365": f"localhost:{self.ports['agent']}",
            "localhost:5000": f"localhost:{self.ports['mlflow']}",
            "127.0.0.1:5000": f"127.0.0.1:{self.ports['mlflow']}",
            "--port=5000": f"--port={self.ports['mlflow']}",
            "--port=6379": f"--port={self.ports['ray']}",
            "--dashboard-port=8265": f"--dashboard-port={self.ports['page']}",
            "/artifacts": str(self.folder / "artifacts"),
        }
        found = re.compile("|".join(map(re.escape, sorted(places, key=len, reverse=True))))
        return found.sub(lambda match: places[match[0]], filled(text, variables()))

    def environment(self, service: str) -> dict[str, str]:
        clean = {k: v for k, v in environment().items() if not k.startswith("RAY_")}
        own = {name: self.here(str(value)) for name, value in self.services[service]["environment"].items()}
        return clean | own | {"PATH": f"{BIN}:{os.environ['PATH']}", "OMP_WAIT_POLICY": "PASSIVE"}

    def command(self, service: str, *arguments: str) -> list[str]:
        described = self.services[service]
        words = described.get("entrypoint", []) + (list(arguments) or described["command"])
        return [self.here(word) for word in words]

    def begin(self, service: str, *more: str, **env: str) -> None:
        """Start a service, and wait until its health check says so. If it ends, it is started again, as in Compose."""
        log = self.stack.enter_context((self.folder / f"{service}.log").open("ab"))
        words, surroundings = [*self.command(service), *more], self.environment(service) | env
        stopped = Event()

        def kept_up() -> None:
            while not stopped.is_set():
                process = subprocess.Popen(
                    words,
                    env=surroundings,
                    cwd=self.folder,
                    start_new_session=True,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
                while process.poll() is None and not stopped.wait(0.2):
                    pass
                end(process)

        keeper = Thread(target=kept_up, name=service)
        keeper.start()
        self.stack.callback(keeper.join)
        self.stack.callback(stopped.set)
        self.wait(service)

    def wait(self, service: str) -> None:
        check = self.services[service].get("healthcheck")
        limit = time.monotonic() + 300
        while check is not None:
            words = [self.here(word) for word in check["test"][1:]]
            asked = subprocess.run(words, env=self.environment(service), capture_output=True)
            if asked.returncode == 0:
                return
            assert time.monotonic() < limit, (self.folder / f"{service}.log").read_text() + asked.stderr.decode()
            time.sleep(0.5)

    def postgres(self) -> None:
        """The database as the image of Postgres makes it at its first start."""
        assert POSTGRES is not None
        data, asked = self.folder / "database", self.services["postgres"]["environment"]
        user = pwd.getpwnam("postgres")
        data.mkdir()
        os.chown(data, user.pw_uid, user.pw_gid)
        secret = self.folder / "secret"
        secret.write_text(filled(asked["POSTGRES_PASSWORD"], variables()))
        secret.chmod(0o644)
        for parent in (self.folder, *self.folder.parents):
            if parent.stat().st_uid == os.getuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)

        def as_postgres(*words: str) -> list[str]:
            return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *words]

        made = ["--auth=scram-sha-256", f"--username={asked['POSTGRES_USER']}", f"--pwfile={secret}"]
        subprocess.run(
            as_postgres(str(POSTGRES / "initdb"), *made, "--encoding=UTF8", f"--pgdata={data}"),
            check=True,
            capture_output=True,
        )
        port = self.ports["postgres"]
        settings = ["-h", "127.0.0.1", "-p", str(port), "-k", str(data), "-c", "fsync=off"]
        log = self.stack.enter_context((self.folder / "postgres.log").open("wb"))
        process = subprocess.Popen(
            as_postgres(str(POSTGRES / "postgres"), "-D", str(data), *settings),
            start_new_session=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        self.stack.callback(end, process)
        address = f"postgresql://{asked['POSTGRES_USER']}:{secret.read_text()}@127.0.0.1:{port}"
        limit = time.monotonic() + 60
        while True:
            try:
                with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {asked['POSTGRES_DB']}")  # type: ignore[arg-type]
                return
            except psycopg.OperationalError:
                assert process.poll() is None and time.monotonic() < limit, (self.folder / "postgres.log").read_text()
                time.sleep(0.2)

    def orch(self, folder: Path, *arguments: str) -> Called:
        """`docker compose run --rm orch` with these arguments."""
        (folder / "recipes").mkdir(exist_ok=True)
        known = {p.pid for p in self.rays()}
        words = self.command("orch", *arguments)
        done = subprocess.run(words, cwd=folder, env=self.environment("orch"), capture_output=True, text=True)
        for process in self.rays():  # a container takes its processes with it
            if process.pid not in known:
                process.kill()
        return Called(done.returncode, done.stdout, done.stderr)

    def beside(self, name: str) -> "Machine":
        """The same with another port for one service."""
        return replace(self, ports=self.ports | {name: free_port()})

    def rays(self) -> list[psutil.Process]:
        """The processes of this cluster that Ray calls raylets: one for each of its machines."""
        address = self.here("ray-head:6379")
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name() == "raylet" and address in " ".join(process.cmdline()):
                    found.append(process)
        return found


def end(process: subprocess.Popen[bytes]) -> None:
    try:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        return
    for one in family:
        with suppress(psutil.Error):
            one.kill()
    process.wait()


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if POSTGRES is None or shutil.which("setpriv") is None or os.geteuid() != 0:
        pytest.skip("Postgres cannot be started here: it needs Debian's package, and root to become its user")
    with tempfile.TemporaryDirectory(prefix="compose") as folder:  # Ray's sockets need a short path
        made = Machine(Path(folder))
        with made.stack:
            made.postgres()
            made.begin("mlflow")
            own = [f"--temp-dir={folder}/ray"]
            size = ["--object-store-memory=100000000"]
            made.begin("ray-head", *own, *size)
            made.begin("ray-cpu", "--num-cpus=1", f"--dashboard-agent-listen-port={made.ports['agent']}", *size)
            yield made


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


def test_what_was_backed_up_is_found_again_in_a_new_database(machine: Machine, tmp_path: Path) -> None:
    """As the docs say it: the database is dumped and restored, the artifacts are copied. Nothing is run again."""
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
