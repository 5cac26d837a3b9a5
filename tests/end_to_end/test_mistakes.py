"""Mistakes that nearly everybody makes in the first hour: each is answered by one line with the fix in it."""

import csv
from pathlib import Path

import pytest

from tests.conftest import Called, call

RECIPE = """\
name: mine
task:
  type: file
  demonstrations: {hold_out: 20}
  train: {file: words.csv}
  test: {hold_out: 20}
model: {name: tiny}
stages:
  sft: {type: sft, learning_rate: 4e-3, max_steps: 20}
  samples: {type: sample, model: sft, n: 4, max_tokens: 64}
  chosen: {type: select, from: samples}
  rft: {type: sft, data: [demonstrations, chosen], max_steps: 20}
evaluate: {max_tokens: 64}
"""
CHOICES = (
    "resources, model, lora, learning_rate, lr_scheduler_type, warmup_steps, weight_decay, max_grad_norm, adam_beta2, "
    "max_steps, num_train_epochs, per_device_train_batch_size, gradient_accumulation_steps, activation_checkpointing, "
    "logging_steps, save_steps, validation, max_length, answer_weight, type, data, and further arguments of TRL"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's own recipe, and its questions with worked solutions that do not end in an answer."""
    rows = [(f"What is {n} plus {2 * n}?", 3 * n, f"{n} + {2 * n} = {3 * n}.") for n in range(1, 81)]
    with (tmp_path / "words.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("question", "answer", "solution"), *rows])
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path


def said(called: Called, code: int = 2) -> list[str]:
    assert called.code == code, called.err
    return called.err.splitlines()


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        (
            "task.train={file: words.csv, columns: {question: questoin}}",
            "words.csv: has no column 'questoin'; its columns are 'question', 'answer', 'solution', its first row is "
            "{'question': 'What is 1 plus 2?', 'answer': '3', 'solution': '1 + 2 = 3.'}: write columns: {question: "
            "question}",
        ),
        ("task.train={file: word.csv}", "word.csv: there is no such file: did you mean 'words.csv'?"),
        (
            "stages.sft.lr=1e-3",
            f"override stages.sft.lr: unknown key 'lr'; did you mean 'learning_rate'? (choices: {CHOICES})",
        ),
        (
            "stages.sft.learning_rate=[1e-3, 2e-3]",
            "override stages.sft.learning_rate: input should be a valid number, got [0.001, 0.002]",
        ),
        (
            "model.name=tinny",
            "model.name: tinny: not a folder here, the Hub cannot be reached and the local cache does not have it; did "
            "you mean 'tiny'?",
        ),
    ],
    ids=["column", "path", "lr", "a list", "model"],
)
def test_a_wrong_setting_is_answered_by_the_right_one(folder: Path, override: str, answer: str) -> None:
    assert said(call(folder, "run", "r.yaml", override)) == [f"orch: {answer}"]
    assert not (folder / "mlruns").exists()


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        (
            "  type: file",
            "\ttype: file",
            "r.yaml:3:1: not valid YAML: found character that cannot start any token: indent with spaces, not with "
            "tabs",
        ),
        (
            "  type: file",
            "  type: file\n  format: {type: marker, prompt: Answer: {question}}",
            "r.yaml:4:40: not valid YAML: did not find expected ',' or '}': put the text in quotes, prompt: "
            '"Answer: {question}"',
        ),
        (
            "  type: file",
            "  type: file\n  format:\n    prompt: Question: {question} Answer:",
            "r.yaml:5:21: not valid YAML: mapping values are not allowed in this context: put the text in quotes, "
            'prompt: "Question: {question} Answer:"',
        ),
        (
            "  type: file",
            "  type: file\n  format:\n    prompt: {question} Answer:",
            "r.yaml:5:24: not valid YAML: did not find expected key: put the text in quotes, prompt: "
            '"{question} Answer:"',
        ),
    ],
    ids=["tab", "a colon in a block", "a colon", "a brace"],
)
def test_yaml_that_is_none_says_what_to_write(folder: Path, old: str, new: str, answer: str) -> None:
    (folder / "r.yaml").write_text(RECIPE.replace(old, new))
    assert said(call(folder, "run", "r.yaml")) == [f"orch: {answer}"]


def test_a_gpu_that_is_not_there_is_refused_before_anything_runs(folder: Path) -> None:
    refused = call(folder, "run", "r.yaml", "stages.sft.resources.gpus=1", "evaluate.resources.cpus=64")
    assert said(refused) == [
        "orch: stages.sft.resources.gpus: asks for 1, but there are none here: remove it or lower it",
        "orch: evaluate.resources.cpus: asks for 64, but the largest machine here has 1: remove it or lower it",
    ]
    assert not (folder / "mlruns" / "mlflow.db").exists()


def test_too_few_questions_for_a_batch_are_refused_with_the_size_that_fits(folder: Path) -> None:
    grpo = "stages.grpo={type: grpo, model: rft, per_device_train_batch_size: 1024}"
    refused = said(call(folder, "run", "r.yaml", grpo), 3)
    assert len(refused) <= 5
    assert refused[0] == (
        "orch: too-few-questions: stage grpo: a step of GRPO takes 128 questions, and task.train has 40; set "
        "stages.grpo.per_device_train_batch_size to 320 or less (a multiple of num_generations), or give it more "
        "questions"
    )


def test_solutions_without_an_answer_and_whole_numbers_just_work(folder: Path) -> None:
    checked = call(folder, "check", "r.yaml", "--json")
    assert checked.code == 0, checked.err
    found = {finding["check"]: finding["what"] for finding in checked.json["findings"]}
    assert found["answer-appended"] == (
        "task.demonstrations: 20 worked solutions do not end in an answer that the format 'tags' can read, so the gold "
        "answer is appended to them"
    )


@pytest.mark.slow
def test_a_second_run_in_the_same_second_is_one_of_its_own(folder: Path) -> None:
    only = ("evaluate.models=[base]", "stages={sft: {type: sft, max_steps: 1, per_device_train_batch_size: 2}}")
    runs = [call(folder, "run", "r.yaml", *only, f"evaluate.max_tokens={n}", "--json").json["run_id"] for n in (64, 65)]
    listed = call(folder, "runs", "--json").json["runs"]
    assert [run["run_id"] for run in listed] == runs[::-1]
