"""The task `dyck`: its generator, the proof of its answers, its splits, its files and its formats. No torch."""

import json
import re
import time
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.errors import DataError
from orchestrator.tasks import TASKS, Task
from orchestrator.tasks.dyck_sequences import (
    CLOSING,
    KINDS,
    SPLIT_SHARES,
    DyckSettings,
    flaw,
    generate,
    sequence_in,
    worked,
)
from orchestrator.types import Example

WIDE = DyckSettings(lengths=(1, 12), longer=(13, 20), depth=6)


def balanced(text: str) -> bool:
    """Whether a text is a Dyck word, by removing adjacent matching brackets until none are left."""
    while (shorter := re.sub(r"\(\)|\[\]|\{\}|<>", "", text)) != text:
        text = shorter
    return not text


def shortest_end(sequence: str, brackets: str, most: int) -> str | None:
    """The shortest end that balances a sequence, by trying all of them; None if none of up to `most` brackets does."""
    for length in range(most + 1):
        for end in product(brackets, repeat=length):
            if balanced(sequence + "".join(end)):
                return "".join(end)
    return None


def task(**settings: Any) -> Task:
    splits = {"demonstrations": {"generate": 20}, "train": {"generate": 40}, "test": {"generate": 30}}
    return TASKS["dyck"].model_validate({"type": "dyck"} | splits | settings)


def rows(*pairs: Any, name: str = "test.json") -> dict[str, str]:
    """A file of [question, answer] rows, as a source."""
    Path(name).write_text(json.dumps(list(pairs)))
    return {"file": name}


def problems(made: Task) -> list[str]:
    with pytest.raises(DataError) as caught:
        made.check()
    assert all("\n" not in problem for problem in caught.value.problems)
    return list(caught.value.problems)


@pytest.fixture(scope="module")
def many() -> list[Example]:
    return generate("train", 2000, 0, WIDE)


# --- the proof of an answer


def test_an_answer_is_proved_as_trying_all_of_them_would_prove_it() -> None:
    texts = ["".join(text) for length in range(5) for text in product("([)]", repeat=length)]
    for sequence in texts:
        right = shortest_end(sequence, "([)]", most=4)
        for end in texts:
            assert (flaw(sequence, end) is None) == (end == right and end != ""), (sequence, end)


@pytest.mark.parametrize(
    ("sequence", "answer", "why"),
    [
        ("([", ")]", r"bracket 3 is '\)', but the last one open is '\['"),
        ("([", "]", r"the answer leaves '\(' open"),
        ("([", "])()", "the answer has 4 brackets, but 2 are enough"),
        ("([", "]))", "bracket 5 is '\\)', but none is open"),
        ("([", "", r"the answer leaves '\( \[' open"),
        ("([", "([])", r"the answer repeats the question's sequence: give only its end, '\] \)'"),
        ("([", "]and)", "the answer does not continue the sequence: 'a' is not one of the brackets"),
        ("(]", ")", "the question's sequence cannot be closed: bracket 2 is ']', but the last one open is '\\('"),
        (")", ")", "the question's sequence cannot be closed: bracket 1 is '\\)', but none is open"),
        ("()", ")", "the question's sequence leaves nothing open"),
        ("", ")", "the question's sequence leaves nothing open"),
    ],
)
def test_a_wrong_answer_says_why(sequence: str, answer: str, why: str) -> None:
    assert re.search(why, flaw(sequence, answer) or "none")


def test_a_proof_takes_time_in_proportion_to_the_length() -> None:
    def seconds(length: int) -> float:
        sequence = "([{<" * length
        answer = ">}])" * length
        began = time.process_time()
        assert flaw(sequence, answer) is None
        return time.process_time() - began

    assert min(seconds(64_000) for _ in range(3)) < 60 * min(seconds(4_000) for _ in range(3))


# --- the generator


def test_every_gold_answer_is_proved_and_balances_its_question(many: list[Example]) -> None:
    for example in many:
        sequence, answer = sequence_in(example.question), "".join(str(example.answer).split())
        assert flaw(sequence, answer) is None, example
        assert balanced(sequence + answer) and set(answer) <= set(CLOSING.values()), example


def test_short_gold_answers_are_those_found_by_trying(many: list[Example]) -> None:
    tried = [(sequence_in(e.question), e) for e in many]
    few = [(sequence, e) for sequence, e in tried if len(str(e.answer).split()) <= 2][:100]
    for sequence, example in few:
        assert shortest_end(sequence, "".join(KINDS), most=2) == "".join(str(example.answer).split()), example


def test_a_solution_shows_stack_order_steps_and_answer(many: list[Example]) -> None:
    for example in many:
        assert example.demonstration is not None
        sequence, answer = sequence_in(example.question), str(example.answer).split()
        lines = example.demonstration.split("\n")
        read, head, *stacks = lines[: 2 + len(sequence)]
        close, *steps, final = lines[2 + len(sequence) :]
        numbered = [f"{place}{bracket}" for place, bracket in enumerate(sequence, 1)]
        assert read == f"# Thought 1: read {' '.join(numbered)}" and head == "# Thought 2: stack, top first"
        for place, line in enumerate(stacks, 1):
            shown = "".join(re.findall(r"\D", line.partition(" ")[2]))
            assert line.partition(" ")[0] == numbered[place - 1]
            assert balanced(sequence[:place] + "".join(CLOSING[b] for b in shown)), example
        pairs = re.findall(r" (\d+)(.)(.)", close.removeprefix("# Thought 3: closing order"))
        assert [closing for _, _, closing in pairs] == [CLOSING[opening] for _, opening, _ in pairs] == answer
        assert [f"{place}{opening}" for place, opening, _ in pairs] == re.findall(r"\d+.", stacks[-1].partition(" ")[2])
        assert steps == [f"# Step {k}: add '{bracket}'" for k, bracket in enumerate(answer, 1)]
        assert final == f"FINAL ANSWER: {' '.join(answer)}"


def test_solutions_are_read_back_as_their_answers(many: list[Example]) -> None:
    made = task()
    for example in many:
        assert made.verdict(str(example.demonstration), example.answer, "stop").status == "correct"


def test_settings_are_kept() -> None:
    settings = DyckSettings(kinds=("[]", "<>"), lengths=(4, 7), longer=(9, 11), depth=3)
    for split, least, most in (("train", 4, 7), ("longer", 9, 11)):
        sequences = [sequence_in(e.question) for e in generate(split, 150, 0, settings)]
        assert {len(s) for s in sequences} == set(range(least, most + 1))
        assert set("".join(sequences)) == set("[]<>")
        depths = [
            s[:n].count("[") + s[:n].count("<") - s[:n].count("]") - s[:n].count(">")
            for s in sequences
            for n in range(len(s))
        ]
        assert max(depths) == 3


def test_every_length_is_about_as_frequent() -> None:
    drawn = [
        len(sequence_in(e.question)) for e in generate("train", 1200, 0, DyckSettings(lengths=(7, 10), longer=(11, 12)))
    ]
    assert all(200 < drawn.count(length) < 400 for length in range(7, 11))


def test_splits_share_no_sequence_and_do_not_depend_on_their_size() -> None:
    asked = {split: {e.question for e in generate(split, 300, 0, WIDE)} for split in SPLIT_SHARES}
    for first, second in combinations(asked.values(), 2):
        assert len(first) == len(second) == 300 and not first & second
    few, more = generate("test", 50, 0, WIDE), generate("test", 200, 0, WIDE)
    assert more[:50] == few and [e.id for e in few[:2]] == ["dyck-test-0", "dyck-test-1"]


def test_the_seed_decides_everything() -> None:
    assert generate("train", 100, 1, WIDE) == generate("train", 100, 1, WIDE)
    assert generate("train", 100, 1, WIDE) != generate("train", 100, 2, WIDE)


def test_asking_for_too_many_says_so() -> None:
    found = problems(task(sequences={"kinds": ["()"], "lengths": [1, 4]}, train={"generate": 500}))[1]
    assert re.search(r"task\.train: only \d+ of the 500 requested sequences .*'train': ask for fewer", found)
    with pytest.raises(ValueError, match=r"unknown split 'dev'.*longer"):
        generate("dev", 1, 0, WIDE)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"lengths": [8, 3]}, r"lengths is \[fewest, most\]: \[3, 8\], not \[8, 3\]"),
        ({"longer": [8, 12]}, "longer begins at 8 brackets, but lengths goes up to 8: start it at 9 or above"),
        ({"kinds": ["()", "()"]}, "kinds names a pair twice"),
        ({"kinds": ["(]"]}, "Input should be"),
        ({"kinds": []}, "at least 1 item"),
        ({"depth": 1, "lengths": [4, 4]}, "at depth 1 nothing is open after 4 brackets: add an odd number to lengths"),
        ({"depth": 0}, "greater than or equal to 1"),
        ({"length": [1, 2]}, "Extra inputs"),
    ],
)
def test_wrong_settings_say_what_is_wrong(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        DyckSettings.model_validate(settings)


# --- files


def test_a_file_is_proved_and_gets_worked_solutions() -> None:
    made = task(
        test=rows(["Complete this: ( [ {", "} ] )"], ["And ([<", "> ] )"]),
        demonstrations=rows(["Close <(", ")>"], name="shown.json"),
    )
    made.check()
    assert [(e.question, e.answer) for e in made.examples("test")] == [
        ("Complete this: ( [ {", "} ] )"),
        ("And ([<", "> ] )"),
    ]
    [shown] = made.examples("demonstrations")
    assert shown.demonstration == f"{worked('<(')[0]}\nFINAL ANSWER: ) >"


def test_rows_that_are_wrong_are_all_named_with_their_line() -> None:
    lines = [
        {"question": "Close ( [", "answer": "] )"},
        {"question": "Close ( [", "answer": ") ]"},
        {"question": "Close ( ]", "answer": ")"},
        {"question": "Close it.", "answer": ")"},
        {"question": "Close {", "answer": 5},
        {"question": "Close { {", "answer": "} } {}"},
    ]
    Path("bad.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = problems(task(test={"file": "bad.jsonl"}))
    assert len(found) == 5
    for problem, line, why in zip(
        found,
        range(2, 7),
        (
            "the answer does not continue the sequence: bracket 3 is ')', but the last one open is '['",
            "the question's sequence cannot be closed",
            "the question does not end in brackets",
            "the answer does not continue the sequence: '5' is not one of the brackets",
            "the answer has 4 brackets, but 2 are enough",
        ),
        strict=True,
    ):
        assert f"bad.jsonl, line {line}: " in problem and why in problem


def test_a_solution_in_a_file_stays_as_it_is_written() -> None:
    Path("shown.jsonl").write_text(
        json.dumps({"question": "Close ([", "answer": "])", "demonstration": "Easy.\nFINAL ANSWER: ])"}) + "\n"
    )
    [shown] = task(demonstrations={"file": "shown.jsonl"}).examples("demonstrations")
    assert shown.demonstration == "Easy.\nFINAL ANSWER: ])"


@pytest.mark.parametrize(
    ("question", "sequence"),
    [
        ("Close: ( [ {", "([{"),
        ("Close (as usual): ([\n {\t< ", "([{<"),
        ("([", "(["),
        ("no brackets", ""),
        ("Close ( [ now", ""),
    ],
)
def test_the_sequence_is_what_a_question_ends_in(question: str, sequence: str) -> None:
    assert sequence_in(question) == sequence


# --- answers


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("FINAL ANSWER: ] )", "correct"),
        ("FINAL ANSWER: ])", "correct"),
        ("Final answer:   ]\t)  \nand so on", "correct"),
        ("FINAL ANSWER: ) ]", "wrong"),
        ("FINAL ANSWER: ]", "wrong"),
        ("FINAL ANSWER: ] ) )", "wrong"),
        ("FINAL ANSWER: ( [ ] )", "wrong"),
        ("] )", "unparsed"),
        ("FINAL ANSWER:", "unparsed"),
    ],
)
def test_the_same_brackets_in_the_same_order_are_right(written: str, status: str) -> None:
    assert task().verdict(written, "] )", "stop").status == status


@pytest.mark.parametrize(
    ("settings", "end"),
    [
        ({}, "\nFINAL ANSWER: "),
        ({"marker": "So:"}, "\nSo: "),
        ({"type": "hash"}, "\n#### "),
        ({"type": "tags"}, "<answer>"),
        ({"type": "json"}, '"'),
        ({"prompt": "Q: {question}\nA: "}, "\nFINAL ANSWER: "),
    ],
)
def test_the_answer_is_written_in_the_format_that_is_chosen(settings: dict[str, Any], end: str) -> None:
    made = task(format=settings)
    made.check()
    for split in ("demonstrations", "train", "test"):
        for example in made.examples(split):  # type: ignore[arg-type]
            assert end in made.target(example)
            assert made.verdict(made.target(example), example.answer, "stop").status == "correct"


def test_a_format_that_cannot_hold_the_answers_says_so() -> None:
    assert re.search(
        r"task\.train: answer .* cannot be read back by the answer format 'boxed'",
        " ".join(problems(task(format={"type": "boxed"}))),
    )


def test_other_settings_of_the_judge_leave_it_looking_at_each_bracket() -> None:
    assert task(judge={}).judge == task(judge={"type": "sequence"}).judge == task().judge
    assert task(judge={"type": "exact"}).judge.type == "exact"


# --- keys


def test_what_decides_a_splits_questions_is_in_its_fingerprint() -> None:
    first = task()
    for settings in ({"sequences": {"depth": 3}}, {"seed": 1}, {"test": {"generate": 31}}):
        assert task(**settings).fingerprint("test") != first.fingerprint("test")
    for settings in ({"sequences": {"depth": 4}}, {"train": {"generate": 41}}, {"format": {"type": "hash"}}):
        assert task(**settings).fingerprint("test") == first.fingerprint("test")
