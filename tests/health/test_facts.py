"""What diagnose reports first: how a stage failed, few steps, few questions, a learning rate out of proportion."""

import pytest

from orchestrator.health.causes import likeliest_first
from orchestrator.health.diagnosis import Diagnosis, Measured
from orchestrator.health.facts import few_questions, few_steps, overflow
from orchestrator.health.failures import failure
from orchestrator.stats import wilson
from orchestrator.types import Finding


def measured(right: int, n: int, model: str = "sft") -> Measured:
    return Measured(model, right / n, *wilson(right, n), 1.0, n, "evaluation")


def curve(*values: float) -> dict[str, list[tuple[int, float]]]:
    return {"loss": [(step, value) for step, value in enumerate(values, 1)]}


@pytest.mark.parametrize(
    ("loss", "right", "severity"),
    [
        ((2.6, 2.3, 1.9, 1.8), 0, "warning"),
        ((2.6, 2.7, 2.6, 2.7), 0, "warning"),  # it has not fallen yet
        ((2.6, 2.3, 1.9, 1.8), 15, "warning"),
        ((2.6,), 0, "warning"),
    ],
)
def test_a_weak_model_of_a_few_steps(loss: tuple[float, ...], right: int, severity: str) -> None:
    found = few_steps("sft", "loss", curve(*loss), {"max_steps": len(loss)}, measured(right, 60))
    assert found is not None and (found.check, found.severity) == ("few-steps", severity)
    assert f"trained for only {len(loss)} step" in found.what
    assert f"stages.sft.max_steps from {len(loss)} to" in found.remedy
    assert ("has not come down yet" in found.evidence) is (len(loss) > 1 and loss[-1] >= loss[0])


@pytest.mark.parametrize(
    ("loss", "right"),
    [
        ((2.6, 2.3, 1.9, 1.8), 40),  # it is not weak
        (tuple(2.6 - n / 10 for n in range(20)), 0),  # that many steps should show something
        ((0.2, 0.2, 0.1), 0),  # nothing is left to learn from these rows
        ((2.6, 3.5, 9.0), 0),  # it diverged
        ((), 0),
    ],
)
def test_other_models_are_not_said_to_want_steps(loss: tuple[float, ...], right: int) -> None:
    assert few_steps("sft", "loss", curve(*loss), {}, measured(right, 60)) is None


def test_of_a_reward_only_the_number_of_steps_counts() -> None:
    rewards = {"reward": [(1, 0.1), (2, 0.05)]}
    found = few_steps("grpo", "reward", rewards, {"max_steps": 2}, measured(10, 60))
    assert found is not None and "reward 0.10 at step 1, 0.05 at step 2;" in found.evidence


def test_few_questions_say_nothing() -> None:
    found = few_questions([measured(0, 20, "base"), measured(9, 20)], "test")
    assert found is not None and found.severity == "warning" and "only 20 questions" in found.what
    assert "the accuracy of sft may be anything from 0.26 to 0.66" in found.what and "task.test" in found.remedy
    assert few_questions([measured(0, 20, "base"), measured(90, 200)], "test") is None
    assert few_questions([measured(0, 60)], "test") is None, "none of 60 right is clear enough"


def test_a_learning_rate_out_of_proportion_is_the_cause_of_an_overflow() -> None:
    nan = Finding("loss-not-finite", "error", "the loss is nan", "", "overflow", "look")
    told = overflow(nan, {"learning_rate": 1e30, "type": "sft"}, "stages.sft.")
    assert "learning_rate is 1e+30" in told.cause and told.remedy == "set stages.sft.learning_rate from 1e+30 to 0.0002"
    assert overflow(nan, {"learning_rate": 4e-3, "type": "sft"}, "stages.sft.") == nan
    assert overflow(nan, {}, "") == nan


TRACE = """\
Traceback (most recent call last):
  File "{}", line 7, in judge
    return {{}}["a"]
KeyError: 'a'
stage 'sft' failed: KeyError: 'a'
"""


@pytest.mark.parametrize(
    ("error", "log", "cause"),
    [
        ("its worker process died: out of memory, or killed", None, "ran out of memory"),
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate", "", "GPU's memory"),
        ("ImportError: You need to install x", "", "not installed"),
        ("stopped by limits.stop_on: loss-not-finite: the loss is nan", "", "limits.stop_on"),
        ("KeyError: 'a'", TRACE.format("/home/me/my_task.py"), "your own code raised it, at my_task.py:7"),
        ("KeyError: 'a'", TRACE.format("/x/lib/python3.11/site-packages/trl/a.py"), "orch does not know"),
        ("KeyError: 'a'", None, "orch does not know"),
        ("there is no row to train on: chosen is empty; add demonstrations", "12:00:00 begins\n", "chosen is empty"),
    ],
)
def test_a_failure_with_its_cause_where_that_is_known(error: str, log: str | None, cause: str) -> None:
    found = failure("sft", f"{error}\nmore", log, "orch logs abc sft")
    assert found.what == f"stage sft failed: {error}" and cause in found.cause and found.severity == "error"
    assert ("orch logs abc sft" in found.evidence) is (log is not None)


def test_what_is_found_first() -> None:
    def one(check: str, severity: str = "error", what: str = "model rft: bad") -> Finding:
        return Finding(check, severity, what, "", "", "")  # type: ignore[arg-type]

    def first(*findings: Finding) -> str:
        return likeliest_first(findings)[0].check

    few = one("test-too-small", "warning")
    assert first(one("answer-rate-zero"), one("adapter-zero"), one("stage-failed")) == "stage-failed"
    assert first(one("answer-rate-zero"), one("few-steps"), few) == "few-steps"
    assert first(one("answers-cut-off", "warning"), few) == "test-too-small"
    assert first(few, one("adapter-zero")) == "adapter-zero"

    def in_question(*findings: Finding, models: tuple[str, ...] = ("base", "sft", "rft")) -> str | None:
        return Diagnosis("run", findings, tuple(measured(1, 9, name) for name in models), (), (), {}).in_question

    assert in_question(one("x", what="stage evaluate.sft: none"), one("y")) == "sft"
    assert in_question(one("x", what="stage evaluate.base: 4 of 120 targets")) == "rft"
    assert in_question(one("stage-failed", what="stage sft failed: no")) is None
    assert in_question(models=("base", "base without its adapter")) == "base" and in_question(models=()) is None
