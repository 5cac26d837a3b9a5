"""Trainings that are validated as they run: what is measured, which checkpoint is chosen, and the same after a kill."""

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState

from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.models.base import made_model, resolve_model
from orchestrator.models.loading import load_base, load_for_generation, load_tokenizer
from orchestrator.models.reference import ModelRef
from orchestrator.models.settings import ModelSpec
from orchestrator.models.start import ADAPTER_FILE, FORMAT_FILE
from orchestrator.recipe.recipe import load_recipe
from orchestrator.sampling.answering import answer
from orchestrator.sampling.engine import Decoding
from orchestrator.sampling.transformers_engine import TransformersEngine
from orchestrator.stages.grpo import Grpo
from orchestrator.tasks import Task
from orchestrator.training.grpo import GrpoJob, run_grpo
from orchestrator.training.job import CHOSEN_FILE, ValidationJob
from orchestrator.training.journal import NAME, Journal, read
from orchestrator.training.sft import SftJob, run_sft
from orchestrator.training.trainer import _Report
from orchestrator.training.validating import Validator, mean_loss
from orchestrator.types import Example
from tests.conftest import SMALL, call
from tests.report.test_run_page import Page
from tests.support.forking import begin
from tests.support.store import children, client
from tests.training.test_answer_weight import furthest, job

BASE = resolve_model(ModelSpec(name="tiny"))
EASY = ("task.validation.generate=24", "task.questions.largest=20", "task.questions.decimals=0")


def task() -> Task:
    return load_recipe(SMALL, EASY).task


def looked_at(work: Path, **settings: Any) -> SftJob:
    """Twenty steps with validation every five, on the demonstrations of the small recipe."""
    work.mkdir(exist_ok=True)
    made = task()
    pairs = tuple((e.question, made.target(e)) for e in made.examples("demonstrations"))
    usual = {"max_steps": 20, "learning_rate": 4e-3, "save_steps": 4, "validation": {"every": 5}}
    asked = ValidationJob(made, tuple(made.examples("validation")), 64, 16)
    return replace(job(work, pairs, **usual | settings), validation=asked, answer_format=made.format)


def curve(work: Path, name: str) -> dict[int, float]:
    return {r["step"]: r["metrics"][name] for r in read(work / NAME) if name in r.get("metrics", {})}


def chosen(work: Path) -> int:
    return int(json.loads((work / CHOSEN_FILE).read_text())["step"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("validated") / "work"
    run_sft(looked_at(work))
    return work


def test_looking_does_not_change_what_is_learned(finished: Path, tmp_path: Path) -> None:
    for name, validation in (("plain", None), ("last", {"every": 5, "select": "last"})):
        made = looked_at(tmp_path / name, validation=validation)
        run_sft(made if validation else replace(made, validation=None))
    plain, last = (load_file(tmp_path / name / "model" / ADAPTER_FILE) for name in ("plain", "last"))
    assert furthest(plain, last) == 0
    assert chosen(tmp_path / "last") == 20 and not (tmp_path / "plain" / CHOSEN_FILE).exists()
    assert curve(tmp_path / "last", "eval_accuracy") == curve(finished, "eval_accuracy")


def test_the_chosen_model_is_the_one_that_was_measured(finished: Path) -> None:
    accuracy, loss = curve(finished, "eval_accuracy"), curve(finished, "eval_loss")
    assert list(accuracy) == list(loss) == [0, 5, 10, 15, 20] and accuracy.pop(0) == 0
    best = max(accuracy.values())
    assert chosen(finished) == min(step for step, value in accuracy.items() if value == best)
    made = task()
    engine = TransformersEngine(ModelRef("sft", BASE, str(finished / "model")))
    found = answer(engine, made, made.examples("validation"), range(1), Decoding(0, 1, 64), 0)
    assert sum(v.status == "correct" for _, v in found) / 24 == best
    tokenizer = load_tokenizer(BASE)
    rows = [
        (prompt_ids(tokenizer, made.format, e.question), target_ids(tokenizer, made.target(e)))
        for e in made.examples("validation")
    ]
    again = mean_loss(engine.model, rows, tokenizer.pad_token_id)
    assert again == pytest.approx(loss[chosen(finished)], rel=1e-4)
    with torch.inference_mode():
        one_by_one = [
            -engine.model(input_ids=torch.tensor([p + t])).logits[0, len(p) - 1 : -1].log_softmax(-1)[range(len(t)), t]
            for p, t in rows
        ]
    assert again == pytest.approx(torch.cat(one_by_one).mean().item(), rel=1e-4)


def test_the_loss_is_that_of_worked_solutions(tmp_path: Path) -> None:
    """The model does not learn to write a bare answer, so such questions are evaluated without measuring their loss."""
    wanted = looked_at(tmp_path / "work")
    assert wanted.validation is not None
    model, tokenizer, examples = load_base(BASE), load_tokenizer(BASE), wanted.validation.examples[:6]
    bare = tuple(replace(example, demonstration=None) for example in examples)

    def measured(*asked: Example) -> dict[str, float]:
        made = replace(wanted, validation=replace(wanted.validation, examples=asked, max_tokens=4))
        values, right = Validator(model, tokenizer, made, Journal(made.work))._measure()
        assert len(right) == len(asked) and right.count("1") == round(values["eval_accuracy"] * len(asked))
        return values

    whole = measured(*examples)
    assert measured(*examples, *bare) == whole
    assert measured(*bare) == {name: value for name, value in whole.items() if name != "eval_loss"}


@pytest.mark.parametrize("made_by_orch", [True, False])
def test_a_model_that_orch_made_may_begin_with_a_low_loss(tmp_path: Path, made_by_orch: bool) -> None:
    base = tmp_path / "base"
    base.mkdir()
    if made_by_orch:
        (base / FORMAT_FILE).write_text("{}")
    wanted = looked_at(tmp_path / "work")
    wanted = replace(wanted, model=ModelRef("base", replace(BASE, location=str(base))))
    report = _Report(Journal(wanted.work), wanted)
    arguments: Any = SimpleNamespace(fp16=False)
    report.on_train_begin(arguments, TrainerState(max_steps=20), TrainerControl(), torch.nn.Linear(2, 2))
    report.on_log(arguments, TrainerState(global_step=5, max_steps=20), TrainerControl(), {"loss": 0.05})
    found = [r["finding"]["check"] for r in read(wanted.work / NAME) if "finding" in r]
    assert found == ([] if made_by_orch else ["loss-too-low"])


def train_in(work: Path) -> None:
    run_sft(looked_at(work))


@pytest.mark.parametrize("moment", ["validated/10", pytest.param("checkpoints/checkpoint-16", marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_hands_on_the_same(finished: Path, tmp_path: Path, moment: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    training = begin(train_in, work)
    while not (work / moment).exists():
        assert training.is_alive(), "it ended before it could be killed"
        time.sleep(0.002)
    training.kill()
    training.join()
    run_sft(looked_at(work))
    assert chosen(work) == chosen(finished)
    assert curve(work, "eval_accuracy") == curve(finished, "eval_accuracy")
    assert furthest(*(load_file(folder / "model" / ADAPTER_FILE) for folder in (work, finished))) == 0


@pytest.mark.slow
def test_whole_models_and_grpo_are_looked_at_too(finished: Path, tmp_path: Path) -> None:
    run_sft(looked_at(tmp_path / "whole", lora=None, max_steps=4, validation={"every": 2, "select": "best_loss"}))
    whole = made_model(tmp_path / "whole" / "model", BASE)
    assert load_for_generation(ModelRef("whole", whole)).dtype is torch.float32
    made, work = task(), tmp_path / "grpo"
    work.mkdir()
    settings = {
        "max_steps": 3,
        "per_device_train_batch_size": 16,
        "num_generations": 4,
        "max_completion_length": 64,
        "temperature": 0.7,
        "validation": {"every": 2},
    }
    spec = Grpo.model_validate({"type": "grpo", **settings})
    model = ModelRef("sft", BASE, str(finished / "model"))
    asked = ValidationJob(made, tuple(made.examples("validation")), 64, 16)
    examples = tuple(made.examples("train"))
    run_grpo(GrpoJob(work, model, made.format, spec, 0, 1, made, examples, validation=asked))
    assert list(curve(work, "eval_accuracy")) == [0, 2, 3]
    assert chosen(work) in (2, 3) and (work / "model" / ADAPTER_FILE).is_file()
    assert curve(work, "eval_loss")[2] == pytest.approx(curve(finished, "eval_loss")[chosen(finished)], abs=0.1)


def test_a_run_tells_what_was_chosen_and_why(tmp_path: Path) -> None:
    stages = "stages={sft: {type: sft, learning_rate: 4e-3, max_steps: 20, validation: {every: 10, questions: 20}}}"
    called = call(tmp_path, "run", str(SMALL), *EASY, stages, "evaluate.models=[base, sft]", "--json")
    assert called.code == 0, called.err
    run = children(tmp_path, called.json["run_id"])["sft"]
    assert run.data.metrics["chosen_step"] in (10, 20)
    assert run.data.tags["orch.chosen"].startswith("accuracy ")
    assert run.data.params["validation.select"] == "best_accuracy"
    points = {p.step: p.value for p in client(tmp_path).get_metric_history(run.info.run_id, "eval_accuracy")}
    assert list(points) == [0, 10, 20]
    assert points[run.data.metrics["chosen_step"]] == max(points.values())
    again = call(tmp_path, "run", str(SMALL), *EASY, stages, "evaluate.models=[sft]", "--json")
    assert again.code == 0, again.err
    reused = children(tmp_path, again.json["run_id"])["sft"]
    assert reused.data.tags["orch.cached_from"] == run.info.run_id
    assert reused.data.tags["orch.chosen"] == run.data.tags["orch.chosen"]
    assert reused.data.metrics["chosen_step"] == run.data.metrics["chosen_step"]
    for one in (called, again):
        page = Page(Path(one.json["report"]).read_text(encoding="utf-8")).text
        step = run.data.metrics["chosen_step"]
        assert f"Selected: the model of step {step:.0f} ({run.data.tags['orch.chosen']})" in page
    missing = call(tmp_path, "plan", str(SMALL), stages)
    assert missing.code == 2 and "task.validation: the recipe uses this split" in missing.err
