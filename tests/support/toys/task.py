"""`sums`: what is 3 + 4? One file is all a task needs."""

import random
from typing import Any, ClassVar, Literal

from orchestrator.answers.judges import Judge
from orchestrator.answers.judges.exact import ExactJudge
from orchestrator.tasks.base import Task
from orchestrator.tasks.splits import Split
from orchestrator.types import Example


class SumsTask(Task):
    """Sums of two numbers."""

    VERSION: ClassVar[int] = 1

    type: Literal["sums"] = "sums"
    most: int = 9
    judge: Judge = ExactJudge()

    def generate(self, split: Split, n: int) -> list[Example]:
        """Questions that depend only on the seed and the split."""
        drawn = random.Random(f"{self.seed} {split}")
        examples = []
        for number in range(n):
            a, b = drawn.randint(1, self.most), drawn.randint(1, self.most)
            question = f"[{split} {number}] What is {a} + {b}?"
            solution = self.format.target_text(str(a + b), f"{a} + {b} = {a + b}.")
            examples.append(Example(f"{split}-{number}", question, str(a + b), solution))
        return examples

    def generator(self, split: Split) -> dict[str, Any]:
        """The settings that determine the questions."""
        return {"seed": self.seed, "most": self.most}
