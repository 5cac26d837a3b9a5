"""A real browser on real pages: Debian's Chromium, driven by Playwright; MLflow's server as `orch ui` starts it."""

import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from tests.conftest import Called, command, copied, environment
from tests.support.machines import free_port
from tests.support.store import client, runs

CHROMIUM = shutil.which("chromium")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
_FLAGS += ["--disable-component-update", "--disable-sync"]


@dataclass(frozen=True)
class Served:
    """A finished run of the shipped recipe, and the addresses of its pages."""

    address: str
    """The address of MLflow's server."""
    link: str
    """The link that `orch ui` says to open."""
    folder: Path
    parent: Any
    """The parent run of the stages."""
    models: dict[str, dict[str, Any]]
    conclusion: str
    """The first sentence of the comparison."""

    def page(self, *parts: str) -> str:
        """The address of a page of the experiment."""
        return "/".join([self.address, "#/experiments", self.parent.info.experiment_id, *parts])


@dataclass
class Watched:
    """A page, and the errors it reported."""

    page: Any
    wrong: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, started once."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Watched]]:
    """Open an address as a first-time visitor does; `wrong` lists the page's errors and warnings."""
    contexts = []

    def opened(address: str, width: int = 1400, **more: Any) -> Watched:
        context = chromium.new_context(viewport={"width": width, "height": 1000}, **more)
        contexts.append(context)
        context.set_default_timeout(30_000)
        watched = Watched(context.new_page())
        watched.page.on("console", lambda m: m.type in ("error", "warning") and watched.wrong.append(m.text))
        watched.page.on("pageerror", lambda error: watched.wrong.append(str(error)))
        watched.page.on("requestfailed", lambda request: watched.wrong.append(request.url))
        watched.page.goto(address)
        return watched

    yield opened
    for context in contexts:
        context.close()


@contextmanager
def ui(folder: Path) -> Iterator[tuple[str, str]]:
    """Run `orch ui` in a folder: the server's address, and the link that it printed."""
    port = free_port()
    log = folder / "ui.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            command("ui", "--port", str(port)), cwd=folder, env=environment(), stdout=out, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert server.poll() is None, log.read_text()
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=5):
                    break
            except (URLError, OSError):
                try:
                    server.wait(0.5)
                except subprocess.TimeoutExpired:
                    continue
        said = [line.rpartition("side by side: ")[2] for line in log.read_text().splitlines() if "side by side" in line]
        yield address, said[0] if said else ""
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture(scope="session")
def served(
    chromium: Any, shipped_run: tuple[Path, Called], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The shipped recipe's run in MLflow's pages: a copy, since other tests may read the original at the same time."""
    folder, called = copied(shipped_run[0], tmp_path_factory.mktemp("served")), shipped_run[1]
    [parent] = [run for run in runs(folder, "tags.`orch.verb` = 'run'") if run.info.run_id == called.json["run_id"]]
    assert client(folder).get_run(parent.info.run_id).info.status == "FINISHED"
    with ui(folder) as (address, link):
        models = {m["model"]: m for m in called.json["models"]}
        yield Served(address, link, folder, parent, models, called.json["conclusions"][0])
