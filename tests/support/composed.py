"""The services of docker-compose.yml as plain processes on this machine, with the file's own commands and variables."""

import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
import psycopg
import yaml

from tests.conftest import REPOSITORY, Called, environment
from tests.support.machines import free_port

FILE = REPOSITORY / "docker-compose.yml"
EXAMPLE = REPOSITORY / ".env.example"
POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
BIN = Path(sys.executable).parent
PORTS = ("postgres", "mlflow", "ray", "page", "agent")


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


def variables() -> dict[str, str]:
    """The variables set in .env.example."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def filled(text: str, known: dict[str, str]) -> str:
    """Fill in variables as Compose does: $${X} is left, ${X:-usual} has a default, ${X:?why} must be set."""

    def value(found: re.Match[str]) -> str:
        name, _, usual = found[1].partition(":")
        return known.get(name, usual.removeprefix("-"))

    return re.sub(r"(?<!\$)\$\{([^}]+)\}", value, text).replace("$$", "$")


def missing() -> str | None:
    """Why the services cannot be started here; None if they can."""
    if POSTGRES is None or shutil.which("setpriv") is None or os.geteuid() != 0:
        return "Postgres cannot be started here: it needs Debian's package, and root to switch to its user"
    return None


@dataclass
class Machine:
    """This machine in place of the containers."""

    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in PORTS})
    stack: ExitStack = field(default_factory=ExitStack)
    services: dict[str, Any] = field(default_factory=lambda: compose()["services"])

    def here(self, text: str) -> str:
        """The text with the addresses and folders of this machine."""
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
        """Start a service, and wait until its health check passes. If it ends, it is restarted, as in Compose."""
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
            logs = sorted(self.folder.glob("*.log")) if time.monotonic() > limit else []
            assert not logs, "".join(f"{log.name}:\n{log.read_text()}\n" for log in logs) + asked.stderr.decode()
            time.sleep(0.5)

    def postgres(self) -> None:
        """Start the database, set up as by the Postgres image on its first start."""
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
        for process in self.rays():  # processes end with their container
            if process.pid not in known:
                process.kill()
        return Called(done.returncode, done.stdout, done.stderr)

    def beside(self, name: str) -> "Machine":
        """A copy with another port for one service."""
        return replace(self, ports=self.ports | {name: free_port()})

    def rays(self) -> list[psutil.Process]:
        """This cluster's raylets: one process for each of its machines."""
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
