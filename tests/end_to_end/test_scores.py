"""A user's own task that judges by data with partial scores and a helper module, through every stage."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import Called, call
from tests.support.store import children, client

TASK = """\
import random

import closeness
from orchestrator import Task
from orchestrator.answers.judges import ExactJudge, Judge
from orchestrator.types import Example, Verdict


class Sums(Task):
    judge: Judge = ExactJudge()

    def generate(self, split, n):
        drawn, examples = random.Random(split), []
        for i in range(n):
            a, b = drawn.randint(1, 9), drawn.randint(1, 9)
            solution = self.format.target_text(str(a + b), f"{a} + {b} = {a + b}.")
            question = f"[{split} {i}] What is {a} + {b}?"
            examples.append(Example(f"{split}-{i}", question, "any", solution, {"parts": [a, b]}))
        return examples

    def target(self, example):
        return example.demonstration

    def judge_completion(self, completion, example):
        found = self.format.extract(completion.text)
        score = closeness.score(found, sum(example.data["parts"]))
        status = "unparsed" if found is None else "correct" if score == 1 else "wrong"
        return Verdict(status, found, score=score)
"""
CLOSENESS = """\
def score(found, wanted):
    if found is None:
        return 0.0
    if not found.isdigit():
        return 0.125
    return 1.0 if int(found) == wanted else 0.5 if abs(int(found) - wanted) <= 3 else 0.25
"""
RECIPE = """\
name: scores
seed: 0
task:
  type: "tasks/sums.py:Sums"
  demonstrations: {generate: 80}
  train: {generate: 16}
  validation: {generate: 8}
  test: {generate: 32}
model: {name: tiny}
stages:
  sft:     {type: sft, learning_rate: 4e-3, max_steps: 30, per_device_train_batch_size: 8}
  samples: {type: sample, model: sft, n: 4, max_tokens: 32}
  chosen:  {type: select, from: samples, allow_empty: true}
  grpo:    {type: grpo, model: sft, learning_rate: 3e-4, max_steps: 2, max_completion_length: 32, logging_steps: 1,
            per_device_train_batch_size: 16, num_generations: 4, validation: {every: 2}}
evaluate: {models: [sft, grpo], max_tokens: 32}
"""
SCORES = {0.0, 0.125, 0.25, 0.5, 1.0}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    folder = tmp_path_factory.mktemp("scores")
    (folder / "tasks").mkdir()
    (folder / "tasks/sums.py").write_text(TASK)
    (folder / "tasks/closeness.py").write_text(CLOSENESS)
    (folder / "r.yaml").write_text(RECIPE)
    called = call(folder, "run", "r.yaml", "--json")
    assert called.code == 0, called.err
    return folder, called


def test_scores_are_stored_summed_up_and_rewarded(ran: tuple[Path, Called]) -> None:
    folder, called = ran
    runs = children(folder, called.json["run_id"])
    samples = pq.read_table(next(folder.rglob("completions.parquet")))
    assert 0.0 < max(set(samples["score"].to_pylist()) - {1.0}) < 1.0 and set(samples["score"].to_pylist()) <= SCORES
    mean = sum(samples["score"].to_pylist()) / samples.num_rows
    assert runs["samples"].data.metrics["sampling/mean_score"] == pytest.approx(mean)
    for model in ("sft", "grpo"):
        metrics = runs[model].data.metrics
        assert metrics["mean_score"] > metrics["accuracy"]
    kept = pq.read_table(next(folder.rglob("chosen.parquet"))).num_rows
    assert kept <= samples["status"].to_pylist().count("correct"), "nearly right answers are not trained on"

    rewards = [m.value for m in client(folder).get_metric_history(runs["grpo"].info.run_id, "reward")]
    assert rewards and any(reward * 16 % 1 for reward in rewards), "the mean of 16 rewards of 0 or 1 is in sixteenths"
    assert "eval_mean_score" in runs["grpo"].data.metrics


def test_stored_results_are_judged_again_alike(ran: tuple[Path, Called]) -> None:
    folder, _ = ran
    results = next(folder.rglob("results.parquet"))
    arguments = ("judge", str(results), "--recipe", "r.yaml", "--answer", "gold", "--out", "v.parquet")
    again = call(folder, *arguments, fresh=True)  # a forked process would wait for the judging process
    assert again.code == 0, again.err
    assert pq.read_table(folder / "v.parquet")["score"].to_pylist() == pq.read_table(results)["score"].to_pylist()


def test_keys_go_by_the_module_beside_the_task(ran: tuple[Path, Called]) -> None:
    folder, _ = ran

    def cached() -> set[str]:
        return {stage["name"] for stage in call(folder, "plan", "r.yaml", "--json").json["stages"] if stage["cached"]}

    assert cached() == {"sft", "samples", "chosen", "grpo", "evaluate.sft", "evaluate.grpo"}
    helper = folder / "tasks/closeness.py"
    helper.write_text(CLOSENESS.replace("0.25", "0.2"))
    assert cached() == set(), "the same code generates the questions"
    helper.write_text(CLOSENESS)
    assert len(cached()) == 6
