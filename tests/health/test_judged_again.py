"""Stored rows have no data: a task that judges by data uses that of its own examples."""

from orchestrator.health.judged_again import judged_again
from orchestrator.health.written import Written
from orchestrator.tasks.base import Task
from orchestrator.tasks.splits import Split
from orchestrator.types import Completion, Example, Status, Verdict


class Named(Task):
    """A completion is right if it is one of the words in the data."""

    def generate(self, split: Split, n: int) -> list[Example]:
        return [Example(f"e{i}", f"{i}?", "any", data={"right": [f"a{i}", f"b{i}"]}) for i in range(n)]

    def judge_completion(self, completion: Completion, example: Example) -> Verdict:
        right = completion.text in example.data["right"]
        return Verdict("correct" if right else "wrong", completion.text)


def test_a_task_that_judges_by_data_is_asked_with_them() -> None:
    task = Named.model_validate({"type": "named", "test": {"generate": 3}, "judge": {"type": "exact"}})
    task.examples("test")

    def found(third: Status) -> str | None:
        stored: list[tuple[str, Status]] = [("a0", "correct"), ("b1", "correct"), ("a0", third)]
        rows = [Written(f"e{i}", f"{i}?", "any", text, text, status, "stop") for i, (text, status) in enumerate(stored)]
        finding = judged_again("sft", task, rows, True)
        return None if finding is None else finding.check

    assert found("wrong") is None
    assert found("correct") == "verdicts-changed"
