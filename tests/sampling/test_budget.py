"""Draws within a budget: never too many, made where they are needed, and the estimates from them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.context import context_of
from orchestrator.sampling import shard
from orchestrator.sampling.budget import DrawBudget, Judged, drawn_within
from orchestrator.sampling.completions import SCHEMA
from orchestrator.sampling.shard import cut
from orchestrator.stages.context import Share
from orchestrator.stages.sample import Sample
from orchestrator.types import Completion, Example, Verdict
from tests.sampling.test_shards import FakeEngine, job


class Model:
    """Solves the i-th question with the i-th rate; each correct text differs, or all are the same."""

    def __init__(self, rates: Sequence[float], seed: int = 0, same: bool = False) -> None:
        self.rates, self.seed, self.same = rates, seed, same
        self.rounds: list[tuple[int, range]] = []

    def __call__(self, examples: Sequence[Example], draws: range) -> list[Judged]:
        self.rounds.append((len(examples), draws))
        made = []
        for example in examples:
            for draw in draws:
                right = np.random.default_rng((self.seed, int(example.id), draw)).random() < self.rates[int(example.id)]
                text = "same" if self.same else f"text {draw}"
                verdict = Verdict("correct" if right else "wrong", "1")
                made.append((Completion(example.id, draw, text, 1, "stop"), verdict))
        return made


def questions(n: int) -> list[Example]:
    return [Example(str(i), f"{i}?", float(i)) for i in range(n)]


def test_draws_go_to_the_questions_that_are_not_solved() -> None:
    model = Model([1.0, 1.0, 0.0, 1.0])
    made = drawn_within(DrawBudget(min_draws=2, max_draws=16), 16, questions(4), model)
    assert [(c.example_id, c.draw) for c, _ in made] == [
        *(("0", d) for d in range(2)),
        *(("1", d) for d in range(2)),
        *(("2", d) for d in range(10)),
        *(("3", d) for d in range(2)),
    ]
    assert model.rounds == [(4, range(0, 2)), *((1, range(at, at + 2)) for at in (2, 4, 6, 8))]


def test_a_question_is_drawn_until_it_has_so_many_different_correct_texts() -> None:
    budget = DrawBudget(min_draws=2, target_correct=3, max_draws=8)
    assert len(drawn_within(budget, 100, questions(1), Model([1.0]))) == 4
    assert len(drawn_within(budget, 100, questions(1), Model([1.0], same=True))) == 8, "a repeated text counts once"


def test_what_is_left_in_the_end_is_spent_to_the_last() -> None:
    made = drawn_within(DrawBudget(min_draws=2, max_draws=50), 11, questions(4), Model([0.0] * 4))
    assert Counter(c.example_id for c, _ in made) == {"0": 3, "1": 3, "2": 3, "3": 2}


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=12),
    st.integers(2, 5),
    st.integers(1, 4),
    st.integers(0, 10),
    st.integers(0, 6),
    st.integers(0, 5),
)
def test_no_draw_is_made_twice_and_none_beyond_what_there_is(
    rates: list[float], least: int, target: int, more: int, extra: int, seed: int
) -> None:
    budget = DrawBudget(min_draws=least, target_correct=target, max_draws=least + more)
    n = min(least + extra, budget.max_draws)
    total, model = n * len(rates), Model(rates, seed)
    made = drawn_within(budget, total, questions(len(rates)), model)
    drawn = Counter(c.example_id for c, _ in made)
    assert len(made) <= total and all(least <= drawn[str(i)] <= budget.max_draws for i in range(len(rates)))
    assert [(c.example_id, c.draw) for c, _ in made] == [
        (str(i), d) for i in range(len(rates)) for d in range(drawn[str(i)])
    ]
    assert made == drawn_within(budget, total, questions(len(rates)), Model(rates, seed))
    if len(made) < total:  # no question is left short while draws remain
        right = Counter(c.example_id for c, v in made if v.status == "correct")
        assert all(right[str(i)] >= target or drawn[str(i)] == budget.max_draws for i in range(len(rates)))


def test_rates_of_the_first_draws_are_unbiased_and_those_of_all_draws_are_not() -> None:
    rates = [0.1, 0.3, 0.5, 0.9] * 10
    budget = DrawBudget(min_draws=2, max_draws=20)
    first, every = [], []
    for seed in range(300):
        made = drawn_within(budget, 6 * len(rates), questions(len(rates)), Model(rates, seed))
        first.append(np.mean([v.status == "correct" for c, v in made if c.draw < budget.min_draws]))
        every.append(np.mean([v.status == "correct" for _, v in made]))
    error = np.std(first, ddof=1) / np.sqrt(len(first))
    assert abs(np.mean(first) - np.mean(rates)) < 4 * error < 0.02
    assert np.mean(every) < np.mean(rates) - 0.1


def test_all_draws_of_a_question_are_in_one_shard() -> None:
    assert [(len(part), draws) for part, draws in cut(questions(5), 3, 7, together=True)] == [
        (2, range(3)),
        (2, range(3)),
        (1, range(3)),
    ]
    assert [(len(part), draws) for part, draws in cut(questions(2), 5, 2, together=True)] == [(1, range(5))] * 2


def test_a_shard_is_drawn_within_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three questions the engine solves two, in every row of a call except the last."""
    engine = FakeEngine()
    monkeypatch.setattr(shard, "_engine", lambda *_: engine)
    shard.run_shards([replace(job(tmp_path / "s.parquet", range(4)), budget=DrawBudget(min_draws=2, max_draws=8))])
    table = pq.read_table(tmp_path / "s.parquet")
    assert table.schema == SCHEMA
    assert Counter(table["example_id"].to_pylist()) == {"e0": 2, "e1": 2, "e9": 8}
    assert len({r.seed for r in engine.seen}) == len(engine.seen) == 12


# --- the stage

RECIPE = """\
name: test
task: {type: units, train: {generate: 3}, test: {generate: 2}}
model: {name: tiny}
stages:
  samples: {type: sample, model: base, n: 4, budget: {min_draws: 2, max_draws: 8}}
  chosen: {type: select, from: samples}
evaluate: {models: base}
"""


def test_what_the_stage_tells_comes_from_the_first_draws_and_coverage_from_all(tmp_path: Path) -> None:
    Path("r.yaml").write_text(RECIPE)
    plan, work = compile_plan(load_recipe("r.yaml")), tmp_path / "work"
    work.mkdir()
    ids = [e.id for e in plan.recipe.task.examples("train")]
    statuses = {ids[0]: ["correct", "wrong"], ids[1]: ["wrong", "wrong", "wrong", "correct"], ids[2]: ["wrong"] * 4}
    rows = [
        {"example_id": i, "draw": n, "text": f"t{n}", "n_tokens": 3, "finish_reason": "stop", "status": s, "value": s,
         "score": float(s == "correct")}
        for i, drawn in statuses.items() for n, s in enumerate(drawn)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), work / "shard-000000.parquet")
    stage = plan.stage("samples")
    made = stage.spec.finish(context_of(plan, stage, work, {}, Share(1, 0.0)))
    assert made.figure == "2 of 3 questions solved in 10 draws"
    assert made.metrics["coverage"] == 2 / 3 and made.metrics["draws"] == 10
    assert made.metrics["pass_rate"] == made.metrics["pass_at_1"] == 1 / 6
    assert made.metrics["draws_per_question"] == 10 / 3 and made.metrics["pass_at_2"] == 1 / 3
    assert "pass_at_4" not in made.metrics


def test_the_key_is_as_before_without_one() -> None:
    def key(budget: str) -> str:
        Path("r.yaml").write_text(RECIPE.replace(", budget: {min_draws: 2, max_draws: 8}", budget))
        return compile_plan(load_recipe("r.yaml")).stage("samples").key

    assert key("") == key(", budget: null") != key(", budget: {}")
    assert key(", budget: {}") != key(", budget: {target_correct: 2}")


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"min_draws": 1}, "greater than or equal to 2"),
        (
            {"min_draws": 5},
            "n is 4, the upper limit of the average draws per question: with a budget, it must be from min_draws = 5",
        ),
        ({"max_draws": 3}, "to max_draws = 3"),
        ({"min_draws": 4, "max_draws": 3}, "max_draws is 3, less than min_draws = 4"),
        ({"target": 3}, "target"),
        ({"target_correct": 0}, "greater than 0"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(budget: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError) as raised:
        Sample.model_validate({"type": "sample", "model": "base", "n": 4, "budget": budget})
    assert said in str(raised.value)
