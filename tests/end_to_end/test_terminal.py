"""A run on a real terminal, as a person starts and interrupts it."""

from pathlib import Path

from tests.conftest import SMALL, call, command, environment
from tests.support.terminal import Terminal


def test_a_run_on_a_terminal_is_interrupted_and_goes_on(small_copy: Path) -> None:
    changed = ("run", str(SMALL), "stages.grpo.max_steps=8")
    terminal = Terminal(command(*changed), small_copy, environment())
    terminal.wait_for(lambda shown: "starting Ray" in shown)
    terminal.wait_for(lambda shown: "/8 steps" in shown)
    running = terminal.shown.splitlines()
    assert sum(" = reused" in line for line in running) == 7 and all(len(line) <= 80 for line in running)
    terminal.press(b"\x03")
    assert terminal.ended() == 130
    lines = terminal.shown.splitlines()
    assert sum(line.startswith("stage ") for line in lines) == 1, "one table, redrawn in place"
    [grpo] = [line for line in lines if line.startswith("grpo ")]
    assert "- interrupted  at " in grpo and "· waiting" in next(
        line for line in lines if line.startswith("evaluate.grpo ")
    )
    assert "orch: interrupted (run " in "".join(lines) and "running" not in terminal.shown

    resumed = call(small_copy, *changed)
    assert resumed.code == 0
    said = resumed.out.splitlines()
    begins = next(i for i, line in enumerate(said) if "  run " in line)
    assert all("small: " in line for line in said[:begins]), "the run's ID comes before its stages"
    assert any("grpo " in line and " running" in line for line in said[begins:])
    assert any("grpo " in line and " finished in " in line for line in said[begins:])
