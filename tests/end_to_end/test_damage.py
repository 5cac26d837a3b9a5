"""Files that are cut off, swapped or corrupted, and full disks: what is named, what is refused, and what continues."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from orchestrator.commands.ask import ask
from orchestrator.commands.export import export
from orchestrator.commands.plan import plan
from orchestrator.comparison.side_by_side import compare
from orchestrator.errors import InputError, OutputError
from orchestrator.recipe.recipe import load_recipe
from orchestrator.report.make import report
from tests.conftest import SMALL, Called, call, command, copied, environment
from tests.support.composed import end as end_all
from tests.support.store import artifact, as_of_an_older_version, children, client, runs

Run = tuple[Path, Called]
WEIGHTS = "model/adapter_model.safetensors"
OTHER = "stages.other={type: sft, data: demonstrations, learning_rate: 4e-3, max_steps: 2, save_steps: 1}"


def run_id(small_run: Run) -> str:
    return str(small_run[1].json["run_id"])


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def spoil(file: Path) -> None:
    """Change the content but not the size or the modification time."""
    data, stat = bytearray(file.read_bytes()), file.stat()
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


# --- a damaged file is one stage's failure


def test_a_damaged_file_is_the_failure_of_its_stage_and_of_no_other(small_copy: Path, small_run: Run) -> None:
    found = children(small_copy, run_id(small_run))
    as_of_an_older_version(small_copy)  # otherwise all of this would be refused before it begins
    cut(artifact(found["samples"], "completions.parquet"))
    cut(artifact(found["sft"], "eval/results.parquet"))
    called = call(small_copy, "run", str(SMALL), "stages.chosen.max_per_example=1", OTHER, "--json")
    assert called.code == 1 and "Traceback" not in called.err
    states = {stage["name"]: stage["state"] for stage in called.json["stages"]}
    assert states["chosen"] == "failed" and states["rft"] == states["evaluate.grpo"] == "skipped"
    assert states["other"] == states["evaluate.other"] == "done", "stages that do not depend on it continue"
    assert [m["model"] for m in called.json["models"]] == ["base", "other"]
    chosen, evaluation = called.json["errors"]
    assert chosen.startswith("stage 'chosen' failed: ") and "completions.parquet is damaged" in chosen
    assert evaluation.startswith("stage 'evaluate.sft': ") and "eval/results.parquet is damaged" in evaluation
    assert called.err.count(evaluation) == 1
    again = children(small_copy, called.json["run_id"])
    assert again["chosen"].info.status == "FAILED" and "completions.parquet" in again["chosen"].data.tags["orch.error"]
    assert again["other"].info.status == "FINISHED"
    parent = client(small_copy).get_run(called.json["run_id"])
    assert parent.info.status == "FAILED" and "completions.parquet" in parent.data.tags["orch.error"]
    page = Path(called.json["report"]).read_text()
    assert "Left out: model sft of run " in page and "eval/results.parquet" in page
    assert [path.name for path in (small_copy / "mlruns" / "work").iterdir()] == ["locks"], "nothing to resume from"


# --- changed files are refused


CHANGED: list[tuple[str, str, Callable[[Path], None]]] = [
    ("sft", WEIGHTS, cut),
    ("grpo", WEIGHTS, spoil),
    ("rft", "model/answer_format.json", lambda file: file.write_text("{}") and None),
    ("rft", "model/added.json", lambda file: file.write_text("{}") and None),
    ("samples", "completions.parquet", cut),
    ("chosen", "chosen.parquet", spoil),
    ("base", "eval/results.parquet", spoil),
]


@pytest.mark.parametrize(("run", "name", "change"), CHANGED, ids=[f"{run}-{name}" for run, name, _ in CHANGED])
def test_an_output_that_was_changed_is_refused_and_named(
    small_copy: Path, small_run: Run, run: str, name: str, change: Callable[[Path], None]
) -> None:
    one = children(small_copy, run_id(small_run))[run]
    change(artifact(one, name))
    with pytest.raises(OutputError) as error:
        plan(load_recipe(SMALL, ["stages.grpo.max_steps=1"] if run == "grpo" else []))
        plan(load_recipe(SMALL))
    [said] = error.value.problems
    assert one.info.run_id in said and Path(name).name in said and "restore it from a copy, or remove that file" in said


def test_a_swapped_adapter_costs_nothing_and_every_verb_says_which_it_is(small_copy: Path, small_run: Run) -> None:
    found = children(small_copy, run_id(small_run))
    shutil.copyfile(artifact(found["sft"], WEIGHTS), artifact(found["rft"], WEIGHTS))
    before = len(runs(small_copy))
    called = call(small_copy, "run", str(SMALL), OTHER)
    assert called.code == 2 and called.after_the_first_line == "" and called.err.count("\n") == 1
    assert "stage rft: the output of run" in called.err and "adapter_model.safetensors" in called.err
    assert len(runs(small_copy)) == before, "it is refused before anything runs"
    for verb in (lambda: ask(None, "1 km in m?", "rft"), lambda: export(None, "out", "rft")):
        with pytest.raises(OutputError, match=r"adapter_model\.safetensors"):
            verb()
    assert not Path("out").exists() and ask(None, "1 km in m?", "sft", max_tokens=1).model == "sft"
    spoil(artifact(found["sft"], "eval/results.parquet"))
    compared = compare()
    assert [model.label for model in compared.models] == ["base", "rft", "grpo"]
    [left_out] = compared.left_out
    assert left_out.startswith("model sft of run ") and "eval/results.parquet" in left_out
    page = report(force=True).page.read_text()
    assert "Left out: model sft of run " in page and "eval/results.parquet" in page
    for name in ("base", "rft", "grpo"):
        spoil(artifact(found[name], "eval/results.parquet"))
    for look in (compare, lambda: report(force=True)):
        with pytest.raises(InputError, match=r"eval/results\.parquet"):
            look()


def test_a_copy_of_a_store_is_written_to_and_not_the_store_that_it_was_copied_from(
    small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = [copied(small_run[0], tmp_path / name) for name in ("one", "two")]
    for folder in copies:
        monkeypatch.chdir(folder)
        before = artifact(client(folder).get_run(run_id(small_run)), "report.html")
        before.write_text("an older page")
        assert report(force=True).page == before and before.read_text() != "an older page"


def test_a_copy_whose_files_have_other_times_is_no_false_alarm(small_run: Run, tmp_path: Path) -> None:
    copied(small_run[0], tmp_path)
    for file in (tmp_path / "mlruns" / "artifacts").rglob("*"):
        os.utime(file)
    assert all(stage.cached for stage in plan(load_recipe(SMALL)).stages)
    assert compare().models


def test_diagnose_names_every_damaged_file_and_looks_at_the_rest(small_copy: Path, small_run: Run) -> None:
    found = children(small_copy, run_id(small_run))
    cut(artifact(found["samples"], "completions.parquet"))
    cut(artifact(found["sft"], "eval/results.parquet"))
    artifact(found["rft"], WEIGHTS).write_bytes(b"")
    artifact(found["grpo"], "model/adapter_config.json").write_text('{"base_model_name')
    called = call(small_copy, "diagnose", "--json")
    assert called.code == 3, called.err
    said = "\n".join(f["what"] for f in called.json["findings"] if f["severity"] == "error")
    for name in ("completions.parquet", "eval/results.parquet", "adapter_model.safetensors", "adapter_config.json"):
        assert name in said, name
    assert "base" in {model["model"] for model in called.json["models"]}, "sound models are examined"


# --- a damaged checkpoint


@pytest.mark.slow
def test_a_training_goes_on_from_the_checkpoint_before_a_damaged_one(tmp_path: Path, small_run: Run) -> None:
    recipe = yaml.safe_load(SMALL.read_text())
    recipe["stages"] = {"sft": recipe["stages"]["sft"]}
    recipe["evaluate"]["on"] = recipe["evaluate"].pop(True)  # YAML 1.1 reads the key `on` as True
    Path("only.yaml").write_text(yaml.safe_dump(recipe))
    sft = next(stage for stage in small_run[1].json["stages"] if stage["name"] == "sft")
    checkpoints = tmp_path / "mlruns" / "work" / sft["key"] / "checkpoints"
    process = subprocess.Popen(
        command("run", "only.yaml"),
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 300
        while not (checkpoints / "checkpoint-20" / ".digests.json").exists():
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.01)
    finally:
        end_all(process)  # its workers too: none may write another checkpoint
    # a checkpoint that was being written at that moment does not count
    whole = [file.parent for file in checkpoints.glob("checkpoint-*/.digests.json")]
    last = max(whole, key=lambda path: int(path.name.partition("-")[2]))
    (last / "optimizer.pt").write_bytes(b"")
    called = call(tmp_path, "run", "only.yaml", "--json")
    assert called.code == 0, called.err
    [told] = [f for f in called.json["findings"] if f["check"] == "checkpoint-damaged"]
    assert (
        f"{last.name} is damaged: optimizer.pt" in told["what"] and "training resumes from checkpoint-" in told["what"]
    )
    ours, theirs = (
        artifact(children(folder, result["run_id"])["sft"], WEIGHTS)
        for folder, result in ((tmp_path, called.json), (small_run[0], small_run[1].json))
    )
    assert ours.read_bytes() == theirs.read_bytes(), "the same result as undisturbed"


# --- a full disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A separate disk with room for a run to begin."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, when: str) -> threading.Thread:
    """Fill the disk as soon as such a file exists."""

    def wait_and_fill() -> None:
        while not any(disk.glob(when)):
            time.sleep(0.02)
        with (disk / "filler").open("wb", buffering=0) as file:
            for size in (2**20, 2**12):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass

    thread = threading.Thread(target=wait_and_fill, daemon=True)
    thread.start()
    return thread


ONE = ("stages.sft.max_steps=400", "stages.sft.save_steps=1", "evaluate.models=[sft]")


def test_a_full_disk_under_the_work_folder_is_said_once(tmp_path: Path, disk: Path) -> None:
    fill(disk, "work/*/checkpoints/checkpoint-*/.digests.json")
    called = call(tmp_path, "run", str(SMALL), f"storage={disk}/work", *ONE, "--json")
    assert called.code == 1 and "Traceback" not in called.err, called.err
    assert called.err.count("disk full") == 1 and "Errno" not in called.err
    [error] = called.json["errors"]
    assert error.startswith(f"stage 'sft' failed: disk full: {disk}/work") and "has 0 MB free; make room" in error
    run = children(tmp_path, called.json["run_id"])["sft"]
    assert run.info.status == "FAILED" and "disk full" in run.data.tags["orch.error"]
    (disk / "filler").unlink()
    assert "checkpoint" in str(list((disk / "work").rglob("*"))), "the same command resumes from there"


def test_a_full_disk_under_the_store_is_said_once(tmp_path: Path, disk: Path) -> None:
    fill(disk, "mlruns/work/*/journal.jsonl")
    called = call(disk, "run", str(SMALL), *ONE)
    said = called.out + called.err  # whichever meets the full disk first fails: the stage or the store
    assert called.code in (1, 2) and "Traceback" not in said, said
    assert said.count("disk full") == 1 and f"disk full: {disk}" in said
    assert "has 0 MB free; make room" in said
    cleaned = call(disk, "clean", "--json")  # this works on a full disk, too
    assert cleaned.code == 0, cleaned.err
    (disk / "filler").unlink()
