"""Splits: where examples come from, what is held out, and what must not be shared."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import DataError
from orchestrator.tasks import TASKS, Task
from orchestrator.tasks import units_questions as unit_questions
from orchestrator.tasks.splits import SPLITS, Split
from orchestrator.tasks.units import UnitsTask
from orchestrator.types import Example, FinishReason, Verdict


def task(kind: str = "file", **settings: Any) -> Task:
    return TASKS[kind].model_validate({"type": kind} | settings)


def write(name: str, rows: list[Any]) -> dict[str, str]:
    """A source that reads these rows."""
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"file": name}


def pairs(start: int, stop: int) -> list[Any]:
    return [[f"question {n}?", n] for n in range(start, stop)]


def problems(made: Task) -> list[str]:
    with pytest.raises(DataError) as caught:
        made.check()
    assert all("\n" not in problem for problem in caught.value.problems)
    return list(caught.value.problems)


def questions(made: Task, split: Split) -> list[str]:
    return [e.question for e in made.examples(split)]


# --- files


def test_a_file_gives_its_rows_in_order() -> None:
    made = task(
        test=write("t.jsonl", [["b?", 2], {"question": "a?", "answer": "1", "id": "mine", "demonstration": "so 1"}])
    )
    made.check()
    assert made.examples("test") == [
        Example("test-1", "b?", 2.0),
        Example("mine", "a?", "1", "so 1 <answer>1</answer>"),
    ]


def test_rows_cut_a_file_into_splits() -> None:
    source = write("t.jsonl", pairs(0, 10))
    made = task(train=source | {"rows": ":8"}, test=source | {"rows": "8:"})
    made.check()
    assert questions(made, "train") == [f"question {n}?" for n in range(8)]
    assert questions(made, "test") == ["question 8?", "question 9?"]
    assert [e.id for e in made.examples("test")] == ["test-9", "test-10"]


def test_named_columns_are_read() -> None:
    rows = [{"q": "a?", "gold": 1, "uid": "x", "solution": "so 1"}]
    columns = {"question": "q", "answer": "gold", "id": "uid", "demonstration": "solution"}
    made = task(test=write("t.jsonl", rows) | {"columns": columns})
    assert made.examples("test") == [Example("x", "a?", 1.0, "so 1 <answer>1</answer>")]


def test_demonstrations_need_worked_solutions() -> None:
    made = task(demonstrations=write("d.jsonl", pairs(0, 3)), test=write("t.jsonl", pairs(5, 8)))
    [problem] = problems(made)
    assert problem.startswith("task.demonstrations: d.jsonl has no worked solutions; name their column")


def test_targets_are_worked_solutions_or_bare_answers() -> None:
    made = task(test=write("t.jsonl", pairs(0, 1)))
    assert made.target(Example("i", "q?", 4.0, "so <answer>4</answer>")) == "so <answer>4</answer>"
    assert made.target(Example("i", "q?", 4.0)) == "<answer>4</answer>"


def test_a_repeated_question_is_read_once() -> None:
    made = task(test=write("t.jsonl", [["a?", 1], ["b?", 2], [" a?", 1]]))
    made.check()
    assert [e.id for e in made.examples("test")] == ["test-1", "test-2"]
    [problem] = problems(task(test=write("t.jsonl", [["a?", 1], ["a?", 2]])))
    assert problem.startswith("t.jsonl, line 2: repeats the question of line 1 with another answer")


@pytest.mark.parametrize(
    ("rows", "first", "second"),
    [
        ([{"question": "a?", "answer": 1, "id": "test-2"}, {"question": "b?", "answer": 2}], 1, 2),
        ([{"question": "a?", "answer": 1}, {"question": "b?", "answer": 2, "id": "test-1"}], 1, 2),
        ([["x?", 0], {"question": "a?", "answer": 1, "id": "test-3"}, ["b?", 2]], 2, 3),
    ],
)
def test_an_id_made_from_a_line_is_not_another_rows_own(rows: list[Any], first: int, second: int) -> None:
    [problem] = problems(task(test=write("t.jsonl", rows)))
    assert problem.startswith(f"t.jsonl, line {second}: would have the id 'test-")
    assert f"like line {first}: " in problem and problem.endswith("give every row an id, or none")


def test_ids_given_to_some_rows_are_fine_where_they_differ() -> None:
    made = task(test=write("t.jsonl", [{"question": "a?", "answer": 1, "id": "test-7"}, ["b?", 2]]))
    assert [e.id for e in made.examples("test")] == ["test-7", "test-2"]


# --- checks


def test_gold_answers_must_be_judgeable() -> None:
    rows = [["a?", "four"], ["b?", 4], *[[f"{n}?", "x"] for n in range(4)]]
    found = problems(task(test=write("t.jsonl", rows)))
    assert found[0].startswith("task.test: t.jsonl: test-1: gold answer 'four': it is not a number: ")
    assert len(found) == 4 and found[3] == "task.test: t.jsonl: ... and 2 more gold answers that cannot be judged"
    task(test={"file": "t.jsonl"}, judge={"type": "exact"}).check()


def test_splits_must_not_share_questions() -> None:
    made = task(
        train=write("a.jsonl", [["one?", 1], ["two?", 2], ["three?", 3]]),
        test=write("b.jsonl", [["ONE?  ", 1], ["four?", 4], ["two?", 2]]),
    )
    [problem] = problems(made)
    assert problem.startswith("task.test: 2 questions also appear in task.train, such as 'ONE?  ': ")
    assert "rows" in problem and "hold_out" in problem


def test_the_problems_of_all_splits_are_told_at_once() -> None:
    made = task(
        demonstrations={"file": "nowhere.jsonl"},
        train=write("a.jsonl", [["a?", "x"]]),
        test=write("b.jsonl", [["", 1], ["a?", 2], ["a?", 3]]),
    )
    found = problems(made)
    assert [problem.split(":")[0] for problem in found] == ["nowhere.jsonl", "task.train", "b.jsonl, line 1"]


def test_a_split_that_is_not_there_says_how_to_add_it() -> None:
    made = task(test=write("t.jsonl", pairs(0, 3)))
    with pytest.raises(DataError, match=r"task\.train: the recipe uses this split but does not define it; add \{gener"):
        made.examples("train")


def test_a_task_without_a_generator_says_so() -> None:
    with pytest.raises(DataError, match=r"task\.test: task 'file' has no generator; name a file"):
        task(test={"generate": 5}).examples("test")


def test_a_generator_that_runs_dry_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_questions, "MOST_MISSES", 50)
    made = task("units", test={"generate": 5000}, questions={"dimensions": ["speed"], "largest": 1, "decimals": 0})
    [problem] = problems(made)
    assert problem.startswith("task.test: ")


# --- generated questions


def test_generated_splits_are_the_same_each_time_and_share_nothing() -> None:
    settings = {split: {"generate": 60} for split in SPLITS}
    first, second = task("units", **settings), task("units", **settings)
    first.check()
    for split in SPLITS:
        assert first.examples(split) == second.examples(split) and len(first.examples(split)) == 60
    everything = [q for split in SPLITS for q in questions(first, split)]
    assert len({q.casefold() for q in everything}) == 240
    assert questions(task("units", seed=1, **settings), "test") != questions(first, "test")


# --- held-out questions


def held(rows: list[Any], n: int = 3, seed: int = 0) -> Task:
    return task(train=write("all.jsonl", rows), test={"hold_out": n}, seed=seed)


def test_held_out_questions_leave_train() -> None:
    made = held(pairs(0, 20))
    made.check()
    assert len(questions(made, "test")) == 3 and len(questions(made, "train")) == 17
    assert {*questions(made, "test"), *questions(made, "train")} == {f"question {n}?" for n in range(20)}
    assert [e.id for e in made.examples("train")] == sorted(
        (e.id for e in made.examples("train")), key=lambda i: int(i[6:])
    )


def test_several_splits_may_be_held_out() -> None:
    rows = [{"question": f"{n}?", "answer": n, "demonstration": f"{n}"} for n in range(20)]
    held_out = {"test": {"hold_out": 4}, "demonstrations": {"hold_out": 5}}
    made = task(train=write("all.jsonl", rows), **held_out)
    made.check()
    parts = [set(questions(made, split)) for split in SPLITS[:3]]
    assert [len(part) for part in parts] == [5, 11, 4] and len(set.union(*parts)) == 20
    more = task(train=write("all.jsonl", rows), **held_out, validation={"hold_out": 3})
    more.check()
    assert [len(questions(more, split)) for split in SPLITS] == [5, 8, 4, 3]
    assert questions(more, "test") == questions(made, "test"), "a validation split leaves the others unchanged"
    assert more.fingerprint("test") == made.fingerprint("test")
    assert more.fingerprint("train") != made.fingerprint("train")
    assert questions(more, "demonstrations") == questions(made, "demonstrations")
    fewer = task(train=write("all.jsonl", rows), test={"hold_out": 4}, demonstrations={"hold_out": 2})
    none = task(train=write("all.jsonl", rows), test={"hold_out": 4})
    assert questions(fewer, "test") == questions(none, "test") == questions(made, "test")
    assert set(questions(fewer, "demonstrations")) < set(questions(made, "demonstrations"))


def test_demonstrations_are_questions_with_a_worked_solution_as_far_as_there_are_some() -> None:
    rows = [{"question": f"{n}?", "answer": n} | ({"demonstration": f"{n}"} if n % 5 == 0 else {}) for n in range(20)]
    for n in (2, 3, 6):
        made = task(train=write("all.jsonl", rows), test={"hold_out": 4}, demonstrations={"hold_out": n})
        there = [
            e for split in ("demonstrations", "train") for e in made.examples(split) if e.demonstration is not None
        ]
        worked = [e for e in made.examples("demonstrations") if e.demonstration is not None]
        assert len(worked) == min(n, len(there)) and len(made.examples("demonstrations")) == n


def test_what_is_held_out_does_not_depend_on_the_order_of_rows() -> None:
    chosen = set(questions(held(pairs(0, 20)), "test"))
    assert set(questions(held(pairs(0, 20)[::-1]), "test")) == chosen
    assert set(questions(held(pairs(0, 20), seed=1), "test")) != chosen


def test_more_held_out_adds_to_what_was_held_out() -> None:
    small, large = held(pairs(0, 20), 3), held(pairs(0, 20), 6)
    assert set(questions(small, "test")) < set(questions(large, "test"))


def test_spellings_of_one_question_stay_in_one_split() -> None:
    rows = [[f"question {n}?", n] for n in range(10)] + [[f"QUESTION  {n}?", n] for n in range(10)]
    for seed in range(5):
        made = held(rows, 4, seed)
        made.check()
        assert len(questions(made, "test")) == 8


def test_generated_questions_can_be_held_out_too() -> None:
    made = task("units", train={"generate": 30}, test={"hold_out": 10})
    made.check()
    assert len(questions(made, "train")) == 20 and len(questions(made, "test")) == 10


def test_hold_out_that_cannot_be() -> None:
    assert problems(held(pairs(0, 3))) == ["task: hold_out asks for 3 of train's 3 questions: none would be left"]
    [problem] = problems(task(test={"hold_out": 3}))
    assert problem.startswith("task.train: the recipe uses this split but does not define it")
    [problem] = problems(task(train={"hold_out": 3}, test=write("t.jsonl", pairs(0, 3))))
    assert problem.startswith("task.train: hold_out takes questions from train; give train a file or generate")


# --- fingerprints


def test_a_fingerprint_is_of_the_rows_and_not_of_where_they_stand() -> None:
    first = task(test=write("a.jsonl", pairs(0, 5))).fingerprint("test")
    assert task(test=write("b.jsonl", pairs(0, 5))).fingerprint("test") == first
    assert task(test=write("c.jsonl", pairs(0, 9)) | {"rows": ":5"}).fingerprint("test") == first
    for changed in (
        pairs(0, 6),
        pairs(0, 5)[::-1],
        [*pairs(0, 4), ["question 4?", 5]],
        [*pairs(0, 4), ["Question 4?", 4]],
    ):
        assert task(test=write("d.jsonl", changed)).fingerprint("test") != first


def test_what_is_held_out_is_part_of_trains_fingerprint() -> None:
    def train(**settings: Any) -> dict[str, Any]:
        return task("units", train={"generate": 30}, **settings).fingerprint("train")

    whole = train(test={"generate": 5})
    assert train(test={"generate": 6}) == whole
    assert train(test={"hold_out": 5}) != whole
    assert train(test={"hold_out": 6}) != train(test={"hold_out": 5})


class Strict(Task):
    """Judges by its own setting."""

    least: int = 0

    def verdict(self, text: str, answer: float | str, finish_reason: FinishReason) -> Verdict:
        return Verdict("correct" if len(text) >= self.least else "wrong")


class Careless(Task):
    """Gives its third example the ID of its first."""

    def generate(self, split: Split, n: int) -> list[Example]:
        return [Example(str(i % 2), f"{i} + {i}?", float(2 * i)) for i in range(n)]


def test_a_generator_that_gives_two_examples_one_id_is_refused() -> None:
    made = Careless.model_validate({"type": "careless", "test": {"generate": 3}, "judge": {}})
    with pytest.raises(DataError, match=r"task\.test: generate gave 2 examples the id '0'"):
        made.examples("test")


class Made(Task):
    """Returns what it is given."""

    gives: Any = None

    def generate(self, split: Split, n: int) -> Any:
        return self.gives


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        ([{"question": "1 + 1?"}], r"generate gave \{'question': '1 \+ 1\?'\}, a dict: return each as an Example"),
        ([Example("0", "1 + 1?", "2")], "generate gave 1 examples, 3 were asked for"),
        ([Example(str(i), f"{i}?", "2") for i in range(4)], "generate gave 4 examples, 3 were asked for"),
        ([], "generate gave 0 examples, 3 were asked for"),
    ],
)
def test_a_generator_that_gives_something_else_is_refused(gives: Any, said: str) -> None:
    made = Made.model_validate({"type": "made", "test": {"generate": 3}, "judge": {}, "gives": gives})
    with pytest.raises(DataError, match=rf"task\.test: {said}"):
        made.examples("test")


def test_a_generator_may_be_lazy_and_give_numbers() -> None:
    lazy = (Example(str(i), f"{i} + {i}?", 2 * i) for i in range(3))  # type: ignore[arg-type]
    made = Made.model_validate({"type": "made", "test": {"generate": 3}, "judge": {}, "gives": None})
    object.__setattr__(made, "gives", lazy)
    made.check()
    assert [e.answer for e in made.examples("test")] == ["0", "2", "4"]


def test_a_task_that_goes_out_from_a_shipped_one_is_called_by_its_own_name() -> None:
    class Mine(UnitsTask):
        pass

    assert Mine.model_validate({"type": "mine.py:Mine", "test": {"generate": 1}}).type == "mine.py:Mine"


def test_a_task_that_judges_by_itself_has_its_settings_in_the_fingerprint() -> None:
    base = {"type": "strict", "test": {"generate": 1}, "judge": {}}
    one, two = (Strict.model_validate(base | {"least": n}) for n in (1, 2))
    assert one.verdict("", 0.0, "stop").status == "wrong"
    assert one.judging() != two.judging()
    other = task("units", test={"generate": 2}, questions={"largest": 7})
    assert task("units", test={"generate": 1}).judging() == other.judging(), "only the judge counts"


def test_a_task_travels_without_its_examples() -> None:
    made = task(test=write("t.jsonl", pairs(0, 2000)))
    made.check()
    travelled = pickle.loads(pickle.dumps(made))
    assert len(pickle.dumps(made)) < 5_000
    assert travelled == made and travelled.examples("test") == made.examples("test")


# --- further splits


def test_a_further_split_is_read_checked_and_kept_apart() -> None:
    rows = [{"question": f"{n} km in m?", "answer": 1000 * n} for n in range(9)]
    harder = {"harder": write("harder.jsonl", rows)}
    made, plain = task("units", test={"generate": 5}, further=harder), task("units", test={"generate": 5})
    made.check()
    assert made.splits() == ("test", "harder") and len(questions(made, "harder")) == 9
    assert made.fingerprint("test") == plain.fingerprint("test")
    assert "rows" in made.fingerprint("harder")
    shared = task("file", test=harder["harder"], further={"again": harder["harder"]})
    with pytest.raises(DataError, match=r"task\.further\.again: 9 questions also appear in task\.test"):
        shared.check()


def test_a_further_split_that_is_not_there_or_cannot_be_made_says_where() -> None:
    with pytest.raises(DataError, match=r"task\.further\.longer: the recipe uses this split but does not define it"):
        task("units", test={"generate": 5}).examples("longer")
    with pytest.raises(DataError, match=r"task\.further\.longer: unknown split 'longer'"):
        task("units", test={"generate": 5}, further={"longer": {"generate": 3}}).check()
    with pytest.raises(DataError, match=r"task\.further\.longer: task 'file' has no generator"):
        task(test=write("a.jsonl", pairs(0, 3)), further={"longer": {"generate": 3}}).check()


def test_a_further_split_may_be_held_out() -> None:
    rows = [{"question": f"{n}?", "answer": n} for n in range(20)]
    made = task(train=write("all.jsonl", rows), test={"hold_out": 4}, further={"last": {"hold_out": 3}})
    made.check()
    assert [len(questions(made, split)) for split in ("train", "test", "last")] == [13, 4, 3]
    before = task(train=write("all.jsonl", rows), test={"hold_out": 4})
    assert questions(made, "test") == questions(before, "test")
    assert made.fingerprint("train") != before.fingerprint("train")
