"""A new verb, task, engine or judge is one file and one registry entry; everything else finds it there."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, Called, call

TOYS = REPOSITORY / "tests" / "support" / "toys"
PLACES = {
    "verb": ("stages", "__init__.py", "STAGES: dict[str, type[Verb]] = {\n", "rehearse", "Rehearse"),
    "task": ("tasks", "__init__.py", "TASKS: dict[str, type[Task]] = {\n", "sums", "SumsTask"),
    "judge": (
        "answers/judges",
        "__init__.py",
        "JUDGES: dict[str, type[BaseJudge]] = {\n",
        "last_digit",
        "LastDigitJudge",
    ),
    "engine": ("sampling", "engines.py", "ENGINES = {\n", "one_by_one", "OneByOneEngine"),
}
"""For each toy: its package, the file of the registry, the line after which its entry goes, its name and its class."""
RECIPE = """\
name: toys
seed: 0
task:
  type: sums
  demonstrations: {generate: 80}
  train: {generate: 16}
  test: {generate: 40}
  judge: {type: last_digit}
model: {name: tiny}
stages:
  sft:     {type: sft, learning_rate: 4e-3, max_steps: 30, per_device_train_batch_size: 8}
  samples: {type: sample, model: sft, n: 4, max_tokens: 32, engine: one_by_one}
  chosen:  {type: select, from: samples}
  again:   {type: rehearse, model: sft, rows: chosen, learning_rate: 1e-3, max_steps: 8,
            per_device_train_batch_size: 8, logging_steps: 1}
evaluate: {max_tokens: 32}
"""


def extended(to: Path) -> Path:
    """A copy of the package with the toys added."""
    package = to / "orchestrator"
    shutil.copytree(REPOSITORY / "orchestrator", package, ignore=shutil.ignore_patterns("__pycache__"))
    for toy, (folder, registry, line, name, kind) in PLACES.items():
        shutil.copyfile(TOYS / f"{toy}.py", package / folder / f"toy_{toy}.py")
        file, module = package / folder / registry, f"orchestrator.{folder.replace('/', '.')}.toy_{toy}"
        text = file.read_text()
        assert text.count(line) == 1
        if toy == "engine":
            file.write_text(text.replace(line, f'{line}    "{name}": EngineKind("{module}:{kind}"),\n'))
        else:
            head, entry = f"from {module} import {kind}\n", f'{line}    "{name}": {kind},\n'
            first = text.index("from orchestrator")
            file.write_text(text[:first] + head + text[first:].replace(line, entry))
    return to


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the toys with the extended package."""
    folder = tmp_path_factory.mktemp("toys")
    extended(folder / "extended")
    (folder / "r.yaml").write_text(RECIPE)
    ran = orch(folder, "run", "r.yaml", "--json")
    assert ran.code == 0, ran.err
    return folder


def orch(folder: Path, *arguments: str) -> Called:
    return call(folder, *arguments, fresh=True, PYTHONPATH=str(folder / "extended"), HOME=os.environ["HOME"])


def keys(folder: Path, *overrides: str) -> dict[str, str]:
    planned = orch(folder, "plan", "r.yaml", *overrides, "--json")
    assert planned.code == 0, planned.err
    return {stage["name"]: stage["key"] for stage in planned.json["stages"]}


def test_its_key_is_made_from_all_that_decides_and_from_nothing_else(toys: Path) -> None:
    before = keys(toys)

    def changed(*overrides: str) -> set[str]:
        return {name for name, key in keys(toys, *overrides).items() if key != before[name]}

    own = {"again", "evaluate.again"}
    assert changed("stages.again.learning_rate=2e-3") == own
    assert changed("stages.again.logging_steps=2", "stages.again.resources.cpus=1", "name=other") == set()
    assert changed("stages.chosen.max_per_example=1") == own | {"chosen"}
    assert changed("stages.samples.engine=transformers") == own | {"samples", "chosen"}
    assert changed("seed=1") == {name for name in before if name != "evaluate.base"}
    assert changed("task.judge.type=exact") == set(before) - {"sft"}


def test_a_finished_run_is_reused(toys: Path) -> None:
    again = orch(toys, "run", "r.yaml", "--json")
    assert again.code == 0 and all(stage["cached"] for stage in again.json["stages"])


def test_checks_see_its_rows_its_settings_and_what_it_learns_from(toys: Path) -> None:
    def findings(*overrides: str) -> dict[str, str]:
        checked = orch(toys, "check", "r.yaml", *overrides, "--json")
        return {found["check"]: found["what"] for found in checked.json["findings"]}

    assert not {"rows-too-long", "test-in-training", "warmup-ignored"} & set(findings())
    assert "stage again" in findings("stages.again.max_length=4")["rows-too-long"]
    assert "again learned from it" in findings("evaluate.on=train", "evaluate.models=[again]")["test-in-training"]
    assert "stage again" in findings("stages.again.warmup_steps=2")["warmup-ignored"]
    assert "again" in findings("stages.again.adam_epsilon=x")["argument-refused"]


def test_wrong_references_are_refused_in_its_words(toys: Path) -> None:
    refused = orch(toys, "plan", "r.yaml", "stages.again.rows=samples")
    assert refused.code == 2
    assert "'samples' is a sample stage, which makes completions; name a stage that makes rows" in refused.err


def test_it_is_diagnosed_compared_and_reported(toys: Path) -> None:
    diagnosed = orch(toys, "diagnose", "--json")
    assert diagnosed.code in (0, 3), diagnosed.err
    assert "again" in {measured["model"] for measured in diagnosed.json["models"]}
    compared = orch(toys, "compare")
    assert compared.code == 0 and "against" in compared.out and "again" in compared.out
    found: list[dict[str, Any]] = orch(toys, "compare", "--json").json["differences"]
    assert ("again", "sft") in {(d["label"], d["baseline"]) for d in found}
    page = Path(orch(toys, "report", "--json").json["page"]).read_text()
    assert "Curves of stage again" in page and "loss while rehearsing" in page
    assert "last_digit" in page


def test_what_none_of_them_is_called_is_refused_with_a_guess(toys: Path) -> None:
    for override, guess in (
        ("stages.again.type=rehearce", "rehearse"),
        ("stages.samples.engine=one_by_on", "one_by_one"),
        ("task.type=sum", "sums"),
    ):
        refused = orch(toys, "plan", "r.yaml", override)
        assert refused.code == 2 and f"did you mean '{guess}'?" in refused.err, refused.err
