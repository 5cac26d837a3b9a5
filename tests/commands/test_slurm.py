"""The Slurm script, run by bash with stand-ins for a cluster's commands: their order and their arguments."""

import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.commands.slurm import Nodes, send, slurm_script
from orchestrator.errors import InputError, RecipeError
from tests.cli.test_cli import orch
from tests.commands.test_submit import RECIPE

STAND_INS = {
    "scontrol": "printf 'first\\nsecond\\n'",
    "hostname": "echo 10.0.0.1 10.0.0.2",
    "sleep": "exit 0",
    # the command after its options is run here
    "srun": 'echo "srun $*" >> calls; while [[ $1 == --* ]]; do shift; done; "$@"',
    # the head answers the second query, and the other node has joined by the third
    "ray": 'echo "ray $* token=${#RAY_AUTH_TOKEN}" >> calls; echo >> asked; n=$(wc -l < asked); '
    'if [[ $1 == status ]]; then echo "Active:"; echo " 1 node_a"; ((n < 6)) || echo " 1 node_b"; '
    "else [[ -f ready ]] || { touch ready; exit 1; }; fi",
    "orch": 'for word in "$@"; do echo "orch:$word" >> calls; done; echo "address=$RAY_ADDRESS" >> calls; exit 3',
}


@pytest.fixture(autouse=True)
def _recipe() -> None:
    Path("r.yaml").write_text(RECIPE)


def carried_out(folder: Path, text: str, nodes: int) -> tuple[int, list[str]]:
    """Run a script; return its exit code and the commands it called."""
    (folder / "bin").mkdir()
    for name, script in STAND_INS.items():
        file = folder / "bin" / name
        file.write_text(f"#!/bin/bash\n{script}\n")
        file.chmod(0o755)
    (folder / "job.sh").write_text(text)
    env = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_ID": "7"}
    env |= {"SLURM_NNODES": str(nodes), "SLURM_CPUS_PER_TASK": "4"}
    done = subprocess.run(["bash", "job.sh"], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.returncode, (folder / "calls").read_text().splitlines()


def test_ray_is_started_on_every_node_and_orch_on_the_first(tmp_path: Path) -> None:
    text = slurm_script("r.yaml", ["seed=1", "name=$(touch owned)"], Nodes(2, 4, 2, "1-00:00:00"), file="job.sh")
    code, calls = carried_out(tmp_path, text, 2)
    assert code == 3, "the job ends with orch's exit code"
    assert not (tmp_path / "owned").exists()
    heads = [call for call in calls if call.startswith("ray start --head")]
    others = [call for call in calls if call.startswith("ray start --address")]
    assert len(heads) == 1 and "--node-ip-address=10.0.0.1 --port=20007" in heads[0] and "--num-gpus=2" in heads[0]
    assert len(others) == 1 and "--address=10.0.0.1:20007 --num-cpus=4" in others[0] and "token=48" in others[0]
    assert [call for call in calls if call.startswith("srun") and "--exclude=first" in call]
    assert [call for call in calls if call.startswith("orch:")] == [
        "orch:run",
        "orch:r.yaml",
        "orch:seed=1",
        "orch:name=$(touch owned)",
    ]
    assert "address=10.0.0.1:20007" in calls
    looks = [place for place, call in enumerate(calls) if call.startswith("ray status --address=10.0.0.1:20007 ")]
    assert len(looks) > 1 and looks[-1] < calls.index("orch:run"), "it waits for the other node"
    for line in (
        "--nodes=2",
        "--cpus-per-task=4",
        "--gpus-per-node=2",
        "--time=1-00:00:00",
        "--job-name=--touch-owned-",
    ):
        assert f"#SBATCH {line}\n" in text, line


def test_one_node_without_gpus_asks_for_nothing_more(tmp_path: Path) -> None:
    text = slurm_script("r.yaml")
    code, calls = carried_out(tmp_path, text, 1)
    assert code == 3 and "gpus-per-node" not in text
    assert not [call for call in calls if "--exclude" in call or call.startswith("ray start --address")]


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (Nodes(0), "--nodes: at least 1, not 0"),
        (Nodes(1, 0), "--cpus: at least 1, not 0"),
        (Nodes(1, 1, -1), "--gpus: at least 0, not -1"),
        (Nodes(time="soon"), "--time: 'soon' is not a Slurm time"),
        (Nodes(time="1:00\n#SBATCH --wrap=x"), "is not a Slurm time"),
    ],
)
def test_what_slurm_would_not_understand_is_refused(nodes: Nodes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        slurm_script("r.yaml", (), nodes)
    assert said in str(caught.value)


def test_a_wrong_recipe_is_refused_before_a_script_is_written() -> None:
    with pytest.raises(RecipeError, match="learning_rate"):
        slurm_script("r.yaml", ["stages.sft.learning_rat=1"])
    with pytest.raises(RecipeError, match="no sweep block"):
        slurm_script("r.yaml", sweep=True)


def test_it_is_written_once_and_not_sent(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert orch("submit", "r.yaml", "--slurm", "job.sh", "--nodes", "2") == 0
    assert "Review it, then: sbatch job.sh" in capsys.readouterr().out
    assert Path("job.sh").read_text().startswith("#!/bin/bash\n# r.yaml: its run on 2 nodes\n")
    assert orch("submit", "r.yaml", "--slurm", "job.sh") == 2 and "already exists" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="sbatch is not installed here"):
        send(Path("job.sh"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--slurm", "nowhere/job.sh"), "nowhere/job.sh: there is no folder nowhere"),
        (("--kubernetes", "nowhere/job.yaml"), "nowhere/job.yaml: there is no folder nowhere"),
        (("--slurm", "job.sh", "--kubernetes", "job.yaml"), "cannot be combined"),
        (("--send",), "name its file with --slurm"),
    ],
)
def test_options_that_say_nothing_together_are_refused(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://store:5000")
    assert orch("submit", "r.yaml", *arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not Path("job.sh").exists() and not Path("job.yaml").exists()
