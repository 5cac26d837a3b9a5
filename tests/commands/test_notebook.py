"""Progress in a notebook: one output of the cell is kept up to date; in a script nothing is shown.

IPython is not a dependency, so there is a stand-in for it.
"""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

import orchestrator.commands.run as module
from orchestrator.commands.notebook import sweep_watched_here, watched_here
from orchestrator.plan.plan import Stage
from orchestrator.recipe.recipe import load_recipe
from orchestrator.results import RunResult
from orchestrator.runs.state import RunState, StageState
from orchestrator.stages.sft import Sft
from tests.conftest import SMALL


class Notebook:
    """A stand-in for IPython: each output of a cell with everything it has shown, the newest last."""

    def __init__(self, kernel: bool) -> None:
        self.outputs: list[list[Any]] = []
        self.display = SimpleNamespace(display=self._display)
        self._shell = SimpleNamespace(kernel=object()) if kernel else SimpleNamespace()

    def get_ipython(self) -> Any:
        return self._shell

    def _display(self, shown: Any, display_id: bool) -> Any:
        assert display_id
        self.outputs.append([shown])
        return SimpleNamespace(update=self.outputs[-1].append)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    made = Notebook(kernel=True)
    monkeypatch.setitem(sys.modules, "IPython", made)
    return made


def stage(name: str, **fields: Any) -> StageState:
    return StageState(Stage(name, "sft", Sft(type="sft"), "k" * 32, (), name), **fields)


def test_one_output_is_brought_up_to_date(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    run = RunState("small", watched_here(), began=100.0)
    one = stage("<b>sft</b>")
    with run.watched():
        run.set_up("starting Ray")
        run.run_id = "f" * 32
        run.walked([one])
        one.state = "running"
        one.begun()
        for tick in range(41):  # ten seconds
            clock[0] = 100 + tick / 4
            one.progress(tick, 40)
            run.walked([one])
        one.state, one.figure = "failed", "<i>no</i> memory"
    [shown] = notebook.outputs
    assert 12 <= len(shown) <= 18, "once a second, and when something has ended"
    assert "starting Ray" in shown[0]._repr_html_() and any("20/40 steps" in one._repr_html_() for one in shown)
    last = shown[-1]._repr_html_()
    assert "&lt;b&gt;sft&lt;/b&gt;" in last and "&lt;i&gt;no&lt;/i&gt; memory" in last and "f" * 32 in last
    assert repr(shown[8]).startswith("small: 0 of 1 stages; running: <b>sft</b> ")


def test_many_stages_stay_a_table_that_fits(notebook: Notebook) -> None:
    run = RunState("small", watched_here())
    run.walked([*(stage(f"s{i}") for i in range(500)), stage("now", state="running", at_work=True)])
    [[shown]] = notebook.outputs
    assert shown._repr_html_().count("<tr>") < 70 and ">now<" in shown._repr_html_()


def test_run_shows_it_where_no_watcher_is_named(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module, "_run", lambda recipe, state: state.set_up("starting Ray") or RunResult("r", "e", (), ())
    )
    module.run(load_recipe(SMALL))
    [[first, last]] = notebook.outputs
    assert "starting Ray" in first._repr_html_() and ">finished<" in last._repr_html_()


def test_a_sweep_says_what_it_is_at(notebook: Notebook) -> None:
    watch = sweep_watched_here("small")
    watch(None, [stage("sft", figure="starting <Ray>")])
    [[shown]] = notebook.outputs
    assert "small: starting &lt;Ray&gt;, " in shown._repr_html_()


@pytest.mark.parametrize("where", ["script", "terminal"])
def test_elsewhere_nothing_is_shown(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Notebook(kernel=False)
    if where == "script":
        monkeypatch.delitem(sys.modules, "IPython", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "IPython", shell)
    run = RunState("small", watched_here())
    run.set_up("starting Ray")
    sweep_watched_here("small")(None, [])
    assert capsys.readouterr().out == "" and shell.outputs == []
