"""Which completions are kept for training."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import DataError, StageError
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.context import context_of
from orchestrator.sampling.completions import whole_questions
from orchestrator.stages import select
from orchestrator.stages.context import Context, Output, Share
from orchestrator.stages.select import Select
from orchestrator.stages.sft import Sft


def spec(**settings: Any) -> Select:
    return Select.model_validate({"type": "select", "from": "samples"} | settings)


def draw(
    example: str, text: str, status: str = "correct", number: int = 0, finish_reason: str = "stop", n_tokens: int = 5
) -> dict[str, Any]:
    row = {"example_id": example, "draw": number, "text": text, "status": status, "finish_reason": finish_reason}
    return row | {"n_tokens": n_tokens}


def keep(drawn: list[dict[str, Any]], spec: Select, seed: int = 0) -> list[dict[str, Any]]:
    if not drawn:
        return []
    return [drawn[place] for place in select.keep(pa.Table.from_pylist(drawn), spec, seed).places]


def test_only_correct_draws_are_kept_in_order() -> None:
    statuses = ["wrong", "correct", "unparsed", "truncated", "timeout", "error", "correct"]
    drawn = [draw("a", f"text {n}", status, n) for n, status in enumerate(statuses)]
    assert [row["draw"] for row in keep(drawn, spec())] == [1, 6]
    assert keep([], spec()) == []


def test_draws_that_differ_in_white_space_are_kept_once_for_each_question() -> None:
    drawn = [draw("a", "x  y\n"), draw("a", " x y"), draw("b", "x y"), draw("a", "xy"), draw("a", "X y")]
    assert [(row["example_id"], row["text"]) for row in keep(drawn, spec())] == [
        ("a", "x  y\n"),
        ("b", "x y"),
        ("a", "xy"),
        ("a", "X y"),
    ]
    assert keep(drawn, spec(distinct=False)) == drawn


def test_the_most_for_each_question() -> None:
    drawn = [draw(example, f"{n}", number=n) for n in range(5) for example in ("a", "b")]
    kept = keep(drawn, spec(max_per_example=2))
    assert [(row["example_id"], row["draw"]) for row in kept] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_repetitions_and_wrong_draws_do_not_count_towards_the_most() -> None:
    drawn = [draw("a", "x"), draw("a", "x "), draw("a", "w", "wrong"), draw("a", "y"), draw("a", "z")]
    assert [row["text"] for row in keep(drawn, spec(max_per_example=2))] == ["x", "y"]
    assert [row["text"] for row in keep(drawn, spec(max_per_example=2, distinct=False))] == ["x", "x "]


# --- the control arm

STATUSES = ("correct", "wrong", "unparsed", "truncated", "timeout", "error")


def many(questions: int = 40, draws: int = 8) -> list[dict[str, Any]]:
    """Draws of every status, some with the same text, some cut off."""
    random = Random(1)
    made = []
    for question in range(questions):
        for number in range(draws):
            status = random.choice(STATUSES)
            finish = "length" if status == "truncated" else random.choice(("stop", "stop", "length"))
            made.append(draw(f"q{question}", f"{status} {random.randrange(3)}", status, number, finish))
    return made


@pytest.mark.parametrize("rules", [{}, {"max_per_example": 2}, {"distinct": False}], ids=str)
def test_the_control_has_as_many_rows_of_each_question_as_the_correct_ones(rules: dict[str, Any]) -> None:
    drawn = many()
    right, control = keep(drawn, spec(**rules)), keep(drawn, spec(keep="random", **rules))
    count = Counter(row["example_id"] for row in right)
    assert Counter(row["example_id"] for row in control) == count and 20 < len(count) < 40
    assert {row["status"] for row in control} > {"correct", "wrong", "unparsed"}
    assert control == [row for row in drawn if row in control], "in the order they were drawn"
    if rules != {"distinct": False}:
        assert len({(row["example_id"], row["text"]) for row in control}) == len(control)


def test_a_draw_that_was_cut_off_before_its_answer_is_in_no_control() -> None:
    kept = [row for seed in range(30) for row in keep(many(), spec(keep="random"), seed)]
    cut = {row["status"] for row in kept if row["finish_reason"] == "length"}
    assert cut == {"correct", "wrong"} and "truncated" not in {row["status"] for row in kept}


def test_the_lots_follow_from_the_seed_alone_and_are_fair() -> None:
    drawn = [draw("a", "x"), draw("a", "y", "wrong", 1), draw("a", "z", "unparsed", 2), draw("a", "w", "wrong", 3)]
    chosen = Counter(keep(drawn, spec(keep="random"), seed)[0]["draw"] for seed in range(400))
    assert set(chosen) == {0, 1, 2, 3} and all(60 < number < 140 for number in chosen.values())
    for seed in range(20):
        assert keep(drawn, spec(keep="random"), seed) == keep(drawn[::-1], spec(keep="random"), seed)


def test_where_all_draws_are_correct_the_control_is_what_is_correct() -> None:
    drawn = [draw("a", f"{n}", number=n) for n in range(3)]
    assert keep(drawn, spec(keep="random"), 5) == keep(drawn, spec()) == drawn


def test_a_question_without_a_correct_draw_has_no_row_in_the_control() -> None:
    assert keep([draw("a", "x", "wrong"), draw("b", "y")], spec(keep="random")) == [draw("b", "y")]


def test_the_control_says_how_many_of_its_rows_are_correct() -> None:
    drawn = [draw("units-train-0", "one"), draw("units-train-0", "two", number=1), draw("units-train-1", "three")]
    output = finish(context(drawn, ", keep: random"))
    figures = {"rows": 3, "questions": 2, "rows_per_question": 1.5, "correct_share": 1.0, "tokens_per_row": 5.0}
    assert output.metrics == figures
    assert output.figure == "3 rows of 2 questions, 100% correct"


def test_the_control_has_a_key_of_its_own_and_changes_no_other() -> None:
    def key(settings: str, seed: int) -> str:
        Path("r.yaml").write_text(RECIPE.replace("from: samples", f"from: samples{settings}"))
        return compile_plan(load_recipe("r.yaml", [f"seed={seed}"])).stage("chosen").key

    assert key("", 0) == key(", keep: correct", 0)
    assert len({key(f", keep: {how}", seed) for how in ("correct", "random") for seed in (0, 1)}) == 4


RECIPE = """\
name: test
task: {type: units, train: {generate: 3}, test: {generate: 2}}
model: {name: tiny}
stages:
  samples: {type: sample, model: base}
  chosen: {type: select, from: samples}
evaluate: {models: base}
"""


def context(drawn: list[dict[str, Any]], settings: str = "") -> Context:
    """The context of the select stage of a small recipe, with these draws as its input."""
    Path("r.yaml").write_text(RECIPE.replace("from: samples", f"from: samples{settings}"))
    plan = compile_plan(load_recipe("r.yaml"))
    samples, work = Path("samples"), Path("work")
    samples.mkdir()
    work.mkdir()
    pq.write_table(pa.Table.from_pylist(drawn), samples / "completions.parquet")
    return context_of(plan, plan.stage("chosen"), work, {"samples": samples / "completions.parquet"}, Share(0, 0.0))


def finish(given: Context) -> Output:
    return given.stages["chosen"].finish(given)


def test_what_is_kept_is_written_with_its_question() -> None:
    drawn = [draw("units-train-1", "one", number=3), draw("units-train-0", "two"), draw("units-train-1", "no", "wrong")]
    given = context(drawn)
    output = finish(given)
    rows = pq.read_table("work/output/chosen.parquet").to_pylist()
    questions = {e.id: e.question for e in given.task.examples("train")}
    assert rows == [
        {"example_id": "units-train-1", "draw": 3, "text": "one", "question": questions["units-train-1"]},
        {"example_id": "units-train-0", "draw": 0, "text": "two", "question": questions["units-train-0"]},
    ]
    assert output.metrics.items() >= {"rows": 2, "questions": 2, "rows_per_question": 1.0}.items()
    assert output.figure == "2 rows of 2 questions" and output.data[0].rows == 2


def test_nothing_to_train_on_is_an_error_that_says_where_to_look() -> None:
    with pytest.raises(StageError, match="none of the 2 draws is correct, so there is nothing to train on; look at"):
        finish(context([draw("units-train-0", "a", "wrong"), draw("units-train-1", "b", "unparsed")]))


def test_nothing_to_train_on_may_be_allowed_and_is_told() -> None:
    output = finish(context([draw("units-train-0", "a", "wrong")], ", allow_empty: true"))
    table = pq.read_table("work/output/chosen.parquet")
    assert table.schema == select.SCHEMA and table.num_rows == 0
    assert output.figure == "0 rows: no draw was correct"
    assert output.metrics.items() >= {"rows": 0, "questions": 0, "dropped_wrong": 1}.items()
    assert output.data[0].rows == 0 and not output.samples


def test_what_may_be_empty_is_written_the_same_where_it_is_not() -> None:
    finish(context([draw("units-train-0", "a")], ", allow_empty: true"))
    assert pq.read_table("work/output/chosen.parquet").schema == select.SCHEMA
    assert pq.read_table("work/output/chosen.parquet")["text"].to_pylist() == ["a"]


def test_nothing_chosen_and_no_demonstrations_is_nothing_to_train_on() -> None:
    given = context([draw("units-train-0", "a", "wrong")], ", allow_empty: true")
    finish(given)
    trained = replace(given, inputs={"chosen": given.output / "chosen.parquet"})
    with pytest.raises(StageError, match="there is no row to train on: chosen is empty; add demonstrations to"):
        Sft.model_validate({"type": "sft", "data": "chosen"}).rows(trained)


def test_select_asks_for_one_core_and_no_gpu() -> None:
    assert spec().share(8, 1.0) == Share(1, 0.0)
    assert spec(resources={"cpus": 3, "gpus": 1}).share(8, 1.0) == Share(3, 0.0)


# --- which rows


def test_questions_are_kept_by_how_many_of_their_draws_are_correct() -> None:
    shares = {"always": 10, "nine": 9, "half": 5, "one": 1, "never": 0}
    drawn = [
        draw(name, f"t{n}", "correct" if n < right else "wrong", n) for name, right in shares.items() for n in range(10)
    ]
    assert {row["example_id"] for row in keep(drawn, spec(pass_rate=[0.1, 0.9]))} == {"nine", "half", "one"}
    assert {row["example_id"] for row in keep(drawn, spec(pass_rate=[0.3, 0.3]))} == set()
    # a bound that is no exact binary fraction still includes its own value
    three = [draw("q", f"t{n}", "correct" if n < 3 else "wrong", n) for n in range(10)]
    assert len(keep(three, spec(pass_rate=[0.3, 0.3]))) == 3
    control = keep(drawn, spec(pass_rate=[0.1, 0.9], keep="random"))
    assert Counter(row["example_id"] for row in control) == {"nine": 9, "half": 5, "one": 1}


def test_the_shortest_or_any_of_a_question_stay_in_the_order_in_which_they_were_drawn() -> None:
    drawn = [draw("q", f"t{n}", number=n, n_tokens=tokens) for n, tokens in enumerate((9, 3, 7, 3, 1))]
    assert [row["draw"] for row in keep(drawn, spec(max_per_example=2))] == [0, 1]
    assert [row["draw"] for row in keep(drawn, spec(max_per_example=2, prefer="shortest"))] == [1, 4]
    assert [row["draw"] for row in keep(drawn, spec(max_per_example=3, prefer="shortest"))] == [1, 3, 4]
    by_lot = Counter(
        row["draw"] for seed in range(2000) for row in keep(drawn, spec(max_per_example=2, prefer="random"), seed)
    )
    assert all(abs(by_lot[n] - 800) < 110 for n in range(5)), "each has the same chance, 800 of 2,000, within 5 sd"


def test_balance_keeps_the_fewer_rows_of_a_question_the_more_often_it_is_solved() -> None:
    shares = {"always": 10, "nine": 9, "half": 5, "two": 2, "one": 1, "never": 0}
    drawn = [
        draw(name, f"t{n}", "correct" if n < right else "wrong", n) for name, right in shares.items() for n in range(10)
    ]

    def rows(**settings: Any) -> Counter[str]:
        return Counter(row["example_id"] for row in keep(drawn, spec(max_per_example=4, **settings)))

    assert rows() == {"always": 4, "nine": 4, "half": 4, "two": 2, "one": 1}
    balanced = {"always": 1, "nine": 1, "half": 2, "two": 2, "one": 1}
    assert rows(balance="difficulty") == balanced
    assert rows(balance="difficulty", keep="random") == balanced, "the control has the same size"
    assert rows(balance="difficulty", prefer="random") == rows(balance="difficulty", prefer="diverse") == balanced
    # rows left out by other rules do not make a question harder
    assert rows(balance="difficulty", pass_rate=[0.5, 0.9]) == {"nine": 1, "half": 2}


def test_diverse_rows_are_those_that_differ_most_from_those_that_stay() -> None:
    texts = ["one apple", "one apple.", "two pears and a plum", "one  apple", "a plum and two pears", "one apply"]
    drawn = [draw("a", text, number=n) for n, text in enumerate(texts)]
    kept = [row["draw"] for row in keep(drawn, spec(prefer="diverse", max_per_example=3))]
    assert kept == [0, 2, 4], "the first, the farthest from it, the farthest from both"
    assert [row["draw"] for row in keep(drawn, spec(prefer="diverse", max_per_example=9))] == [0, 1, 2, 4, 5]
    assert [row["draw"] for row in keep(drawn[::-1], spec(prefer="diverse", max_per_example=1))] == [0]


def test_of_the_same_equations_the_row_stays_that_differs_most() -> None:
    texts = ["7 + 1 = 8", "so 7 + 1 = 8", "the two of them have 7 + 1 = 8 in all", "2 * 4 = 8"]
    drawn = [draw("a", text, number=n) for n, text in enumerate(texts)]
    first = spec(distinct="equations")
    assert [row["draw"] for row in keep(drawn, first)] == [0, 3]
    assert [row["draw"] for row in keep(drawn, spec(distinct="equations", prefer="diverse"))] == [0, 3]
    drawn[0]["text"] = "2 * 4 = 8!"
    assert [row["draw"] for row in keep(drawn, first)] == [0, 1]
    assert [row["draw"] for row in keep(drawn, spec(distinct="equations", prefer="diverse"))] == [0, 2]


def test_draws_with_the_same_equations_are_one_path_and_a_wrong_equation_is_dropped() -> None:
    texts = (
        "3 + 4 = 7, then 7 * 2 = 14. Answer: 14",
        "First 3+4=7. Then 7*2=14. Answer: 14",
        "7 * 2 = 14 since 3 + 4 = 7. Answer: 14",
        "3 + 4 = 8, and 7 * 2 = 14. Answer: 14",
        "Fourteen, by heart. Answer: 14",
        "Fourteen,  by heart. Answer: 14",
    )
    drawn = [*(draw("a", text, number=n) for n, text in enumerate(texts)), draw("b", texts[1])]
    kept = keep(drawn, spec(distinct="equations"))
    assert [(row["example_id"], row["draw"]) for row in kept] == [("a", 0), ("a", 2), ("a", 4), ("b", 0)]
    longer = [row | {"n_tokens": 9 if row["draw"] == 0 else 5} for row in drawn]
    kept = keep(longer, spec(distinct="equations", prefer="shortest", max_per_example=1))
    assert [(row["example_id"], row["draw"]) for row in kept] == [("a", 1), ("b", 0)]
    # the control has as many rows of each question, chosen at random by itself
    control = Counter(row["example_id"] for row in keep(drawn, spec(distinct="equations", keep="random")))
    assert control == {"a": 3, "b": 1}


def test_it_tells_what_equations_have_cost() -> None:
    texts = ("1 + 1 = 2", "1+1=2", "1 + 1 = 3", "two")
    made = finish(context([draw("a", text, number=n) for n, text in enumerate(texts)], ", distinct: equations"))
    told = {name: value for name, value in made.metrics.items() if name.startswith("dropped")}
    assert told == {
        "dropped_wrong": 0,
        "dropped_pass_rate": 0,
        "dropped_wrong_equation": 1,
        "dropped_same_text": 0,
        "dropped_same_equations": 1,
        "dropped_over_limit": 0,
    }


def test_that_every_correct_draw_has_a_wrong_equation_is_said_as_that() -> None:
    with pytest.raises(StageError, match="each of the 1 correct draws has an equation that does not hold"):
        finish(context([draw("a", "1 + 1 = 3"), draw("a", "no", "wrong", 1)], ", distinct: equations"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pass_rate": [0.9, 0.1]}, "pass_rate is [lowest, highest], and 0.9 is above 0.1"),
        ({"pass_rate": [0.1]}, "pass_rate"),
        ({"pass_rate": [-0.1, 0.5]}, "greater than or equal to 0"),
        ({"prefer": "shortest"}, "set max_per_example, too"),
        ({"balance": "difficulty"}, "up to max_per_example; set that too"),
        ({"distinct": "text"}, "distinct"),
        ({"prefer": "longest", "max_per_example": 2}, "'first', 'shortest', 'random' or 'diverse'"),
    ],
)
def test_what_would_select_nothing_or_change_nothing_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as raised:
        spec(**settings)
    assert said in str(raised.value)


def test_settings_that_came_later_leave_keys_as_they_were_and_change_them_where_they_are_used() -> None:
    def key(settings: str) -> str:
        Path("r.yaml").write_text(RECIPE.replace("from: samples", f"from: samples, max_per_example: 2{settings}"))
        return compile_plan(load_recipe("r.yaml")).stage("chosen").key

    assert key("") == key(", prefer: first") == key(", pass_rate: null") == key(", balance: null")
    assert key("") != key(", balance: difficulty")
    assert key("") == key(", distinct: true") != key(", distinct: equations")
    assert len({key(s) for s in ("", ", prefer: shortest", ", prefer: random", ", pass_rate: [0.1, 0.9]")}) == 4


def test_that_no_question_is_within_the_rates_is_said_as_that() -> None:
    drawn = [draw("a", "x"), draw("a", "y", number=1)]
    with pytest.raises(StageError) as raised:
        finish(context(drawn, ", pass_rate: [0.1, 0.9]"))
    assert str(raised.value).startswith(
        "no question has between 10% and 90% correct draws, so there is nothing to train on: the 2 correct draws are "
        "of others; widen stages.chosen.pass_rate"
    )


def test_it_tells_what_was_dropped_and_why() -> None:
    drawn = [
        *(draw("a", text, number=n, n_tokens=n + 1) for n, text in enumerate(("x", "x ", "y", "z"))),
        *(draw("b", "x", "wrong", n) for n in range(3)),
        draw("b", "y", number=3),
        draw("c", "x"),
    ]
    made = finish(context(drawn, ", max_per_example: 2, pass_rate: [0.3, 1]"))
    assert made.metrics == {
        "rows": 3,
        "questions": 2,
        "rows_per_question": 1.5,
        "tokens_per_row": 3.0,
        "tokens_per_correct_draw": 20 / 6,
        "dropped_wrong": 3,
        "dropped_pass_rate": 1,
        "dropped_same_text": 1,
        "dropped_over_limit": 1,
    }


# --- piece by piece, as one loop over all rows would


def loop(drawn: list[dict[str, Any]], spec: Select, seed: int) -> list[dict[str, Any]]:
    """The rows kept, by the plainest loop over all rows at once."""

    def first(rows: Iterable[dict[str, Any]], most: Callable[[str], int | None]) -> list[dict[str, Any]]:
        kept: list[dict[str, Any]] = []
        for row in rows:
            same = [r for r in kept if r["example_id"] == row["example_id"]]
            limit = most(row["example_id"])
            seen = {" ".join(r["text"].split()) for r in same}
            if (spec.distinct and " ".join(row["text"].split()) in seen) or (limit is not None and len(same) >= limit):
                continue
            kept.append(row)
        return kept

    def lot(row: dict[str, Any], which: str = "select") -> bytes:
        return hashlib.sha256(f"{which}\0{seed}\0{row['draw']}\0{row['example_id']}".encode()).digest()

    def rate(question: str) -> float:
        mine = [row["status"] == "correct" for row in drawn if row["example_id"] == question]
        return sum(mine) / len(mine)

    lowest, highest = spec.pass_rate or (0, 1)
    right = [row for row in drawn if row["status"] == "correct" and lowest <= rate(row["example_id"]) <= highest]
    if spec.prefer == "shortest":
        right.sort(key=lambda row: row["n_tokens"])
    elif spec.prefer == "random":
        right.sort(key=lambda row: lot(row, "prefer"))

    def limit(question: str) -> int | None:
        if spec.max_per_example is None or spec.balance is None:
            return spec.max_per_example
        return max(1, math.ceil(round(spec.max_per_example * (1 - rate(question)), 9)))

    right = sorted(first(right, limit), key=drawn.index)
    if spec.keep == "correct":
        return right
    wanted = Counter(row["example_id"] for row in right)
    ending = [row for row in drawn if row["finish_reason"] == "stop" or row["status"] in ("correct", "wrong")]
    kept = first(sorted(ending, key=lot), wanted.__getitem__)
    return [row for row in drawn if row in kept]


SPACES = ("", " ", "\n", "\u00a0", "\x1c", "\u2003 \t")
"""Python splits words at more characters than a regular expression's white space."""


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_pieces_of_any_size_give_the_rows_of_one_loop_over_all(data: st.DataObject) -> None:
    drawn = [
        draw(
            f"q{question}",
            data.draw(st.sampled_from(SPACES)).join(("", data.draw(st.sampled_from("xyé")), "z", "")),
            data.draw(st.sampled_from(("correct", "correct", "wrong", "unparsed", "truncated"))),
            number,
            data.draw(st.sampled_from(("stop", "length"))),
            data.draw(st.integers(1, 3)),
        )
        for question in range(data.draw(st.integers(1, 5)))
        for number in range(data.draw(st.integers(1, 6)))
    ]
    most = data.draw(st.sampled_from((None, 1, 2, 3)))
    wanted = spec(
        keep=data.draw(st.sampled_from(("correct", "random"))),
        distinct=data.draw(st.booleans()),
        max_per_example=most,
        prefer="first" if most is None else data.draw(st.sampled_from(("first", "shortest", "random"))),
        balance=None if most is None else data.draw(st.sampled_from((None, "difficulty"))),
        pass_rate=data.draw(st.sampled_from((None, (0.0, 1.0), (0.5, 1.0), (0.0, 0.5), (0.25, 0.75)))),
    )
    seed, size = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 8))
    batches = pa.Table.from_pylist(drawn).to_batches(max_chunksize=data.draw(st.integers(1, 5)))
    pieces = list(whole_questions(batches, size))
    assert pa.concat_tables(pieces).to_pylist() == drawn
    assert not any(set(a["example_id"].to_pylist()) & set(b["example_id"].to_pylist()) for a, b in pairwise(pieces))
    kept = [row for piece in pieces for row in piece.take(select.keep(piece, wanted, seed).places).to_pylist()]
    assert kept == loop(drawn, wanted, seed)


def test_draws_of_a_question_that_stand_apart_are_refused() -> None:
    apart = pa.Table.from_pylist([draw(question, "x") for question in ("a", "b", "a", "c")])
    with pytest.raises(DataError, match="the draws of question 'a' are not consecutive"):
        list(whole_questions(apart.to_batches(max_chunksize=1), 1))
