"""The speed of judging, compared with the shortest loop that could do it: `re.search` and `float`.

    python benchmarks/judging.py [NUMBER]

Prints judgements per second of CPU time, the best of several rounds of each loop, and their ratio. Both loops judge the
same completions, alternating, so a busy machine slows both.
"""

import random
import re
import sys
import time
from collections.abc import Callable

from orchestrator.tasks import TASKS, Task
from orchestrator.tasks.judging import Item, item, verdicts
from orchestrator.types import Example

ROUNDS = 7
Items = list[Item]


def completions(n: int) -> Items:
    """n short completions with varying answers, about half of them right."""
    draw = random.Random(0)
    made: Items = []
    for _ in range(n):
        x, y = round(draw.uniform(0.1, 999), 2), draw.randint(2, 60)
        right = x * y
        said = right if draw.random() < 0.5 else right * 1.5
        text = f"{x} h to min: 1 h = {y}, {x} * {y} = {said:.2f} <answer>{said:.2f}</answer>"
        made.append(item(text, Example("", "", str(right))))
    return made


def plain(items: Items) -> int:
    """Number of right answers, as a throwaway script would count them."""
    right = 0
    for completion, example in items:
        found, gold = re.search(r"<answer>(.*?)</answer>", completion.text), float(example.answer)
        right += found is not None and abs(float(found[1]) - gold) <= 0.05 * abs(gold)
    return right


def judged(task: Task, items: Items) -> int:
    """Number of right answers, as orch counts them."""
    return sum(verdict.status == "correct" for verdict in verdicts(task, items))


def seconds(function: Callable[[], int]) -> tuple[float, int]:
    """The CPU time of one call, and its result."""
    started = time.process_time()
    right = function()
    return time.process_time() - started, right


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    items = completions(n)
    task = TASKS["units"].model_validate({"type": "units", "test": {"generate": 1}})
    rounds = [(seconds(lambda: judged(task, items)), seconds(lambda: plain(items))) for _ in range(ROUNDS)]
    assert all(ours == theirs for (_, ours), (_, theirs) in rounds), "the two loops disagree"
    ours, theirs = (min(found[side][0] for found in rounds) for side in (0, 1))
    print(f"orch             {n / ours:>10,.0f} judgements per second and core")
    print(f"re.search, float {n / theirs:>10,.0f}")
    print(f"ratio            {ours / theirs:>10.2f} times as long")


if __name__ == "__main__":
    main()
