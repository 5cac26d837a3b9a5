"""A comparison's statements and display: sentences, tables, hostile text."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from orchestrator.cli.show.comparison import show_comparison
from orchestrator.comparison import (
    Comparison,
    Evaluated,
    compare_evaluated,
    conclusions,
    contaminated,
    how_tested,
    remarks,
    untold,
)
from orchestrator.comparison.types import Change
from orchestrator.comparison.words import name
from orchestrator.errors import InputError
from orchestrator.figures import interval, p_equals, p_value, points
from orchestrator.recipe.plain import behind, changes, made_from
from orchestrator.types import Finding
from tests.support.written_runs import answers, recipe

SENTENCE = "RFT is better than SFT: +9.4 points (95% interval 5.9 to 12.8, p < 0.001, n = 500)."


def written(label: str, table: pa.Table) -> Path:
    path = Path(f"{abs(hash(label))}-{np.random.default_rng().integers(10**9)}.parquet")
    pq.write_table(table, path)
    return path


def evaluated(label: str, *tables: pa.Table, trained: bool = True) -> Evaluated:
    seeds = tuple(range(len(tables))) if trained else ()
    return Evaluated(label, label, seeds, (), tuple(written(label, table) for table in tables))


def exactly(wins: int, losses: int, both: int, n: int, silent: tuple[int, int] = (0, 0)) -> tuple[pa.Table, pa.Table]:
    """Two evaluations of n questions with these counts; `silent` of those that neither has right have no answer."""
    rows = []
    for one, (mine, quiet) in enumerate(((wins, silent[0]), (losses, silent[1]))):
        only = ["correct"] * wins + ["wrong"] * losses if one == 0 else ["wrong"] * wins + ["correct"] * losses
        rest = n - wins - losses - both
        assert quiet <= rest and mine >= 0
        status = only + ["correct"] * both + ["unparsed"] * quiet + ["wrong"] * (rest - quiet)
        rows.append(answers(0, n).set_column(4, "status", pa.array(status)))
    return rows[0], rows[1]


def two(wins: int, losses: int, both: int, n: int, silent: tuple[int, int] = (0, 0)) -> Comparison:
    ours, theirs = exactly(wins, losses, both, n, silent)
    return compare_evaluated("test", [evaluated("sft", theirs), evaluated("rft", ours)], {"rft": "sft"})


# --- sentences


def test_where_no_answer_is_right_the_next_step_is_named_first() -> None:
    none, _ = exactly(0, 0, 0, 50)
    lead = "No trained model answered a single question correctly: run `orch diagnose` to find the cause."
    assert (
        conclusions(compare_evaluated("test", [evaluated("base", none, trained=False), evaluated("sft", none)], {}))[0]
        == lead
    )
    assert lead not in conclusions(two(1, 0, 0, 50))


def test_a_difference_that_is_shown() -> None:
    found = two(65, 18, 200, 500)
    assert conclusions(found) == (SENTENCE,)
    assert remarks(found) == (
        "0% of RFT's gain over SFT comes from answering more often, 100% from higher accuracy on the answers it gave.",
        "One seed each: the result holds for these models, not for the recipes. Add `seeds: [0, 1, 2]` to the recipe "
        "to measure seed variance.",
    )


def test_a_loss_is_called_one() -> None:
    assert conclusions(two(18, 65, 200, 500))[0] == SENTENCE.replace("better", "worse").replace("+9.4", "-9.4").replace(
        "5.9 to 12.8", "-12.8 to -5.9"
    )


def test_a_difference_that_is_not_shown_says_what_could_have_been() -> None:
    assert conclusions(two(30, 25, 200, 500)) == (
        "RFT does not differ significantly from SFT: +1.0 points (95% interval -1.9 to 3.9, p = 0.59, n = 500); the "
        "smallest detectable difference is 4.1 points.",
    )
    assert conclusions(two(0, 0, 200, 500)) == (
        "RFT does not differ significantly from SFT: +0.0 points (95% interval -0.4 to 0.4, p = 1.00, n = 500); the "
        "smallest detectable difference is 1.6 points.",
    )
    [few] = conclusions(two(1, 0, 1, 3))
    assert few.endswith("n = 3); no difference is detectable with 3 questions.")


def of_counts(counts: dict[str, tuple[int, int]], n: int = 500) -> Comparison:
    """Models that each differ from SFT by these wins and losses, all else being equal."""
    theirs = answers(0, n).set_column(4, "status", pa.array(["correct"] * 200 + ["wrong"] * (n - 200)))
    models = [evaluated("base", answers(0, n), trained=False), evaluated("sft", theirs)]
    for label, (wins, losses) in counts.items():
        status = ["wrong"] * losses + ["correct"] * (200 - losses + wins) + ["wrong"] * (n - 200 - wins)
        models.append(evaluated(label, theirs.set_column(4, "status", pa.array(status))))
    return compare_evaluated("test", models, {m.label: "sft" for m in models if m.label != "sft"})


def test_models_of_one_outcome_are_told_together_and_all_of_them_forwards() -> None:
    found = of_counts({"rft": (65, 18), "grpo": (80, 20)})
    assert conclusions(found) == (
        "RFT and GRPO are better than SFT: +9.4 points (95% interval 5.9 to 12.8, p < 0.001, n = 500) and +12.0 (8.2 "
        "to 15.7, p < 0.001).",
        "SFT is better than the base model: +40.0 points (95% interval 35.5 to 44.1, p < 0.001, n = 500).",
    )


def test_many_models_still_make_one_sentence() -> None:
    found = of_counts({f"v{i}": (65 + i, 18) for i in range(5)} | {"worse": (0, 60)})
    first, second = conclusions(found)
    assert first.startswith("v0, v1, v2 and 2 more are better than SFT: +9.4 points (95% interval 5.9 to 12.8, p < ")
    assert ", p < 0.001) and 2 more in the table; worse is worse than SFT: -12.0 points (95% interval" in first
    assert second.startswith("SFT is better than the base model: +40.0 points")


def test_of_several_differences_that_are_not_shown_one_figure_says_what_could_have_been() -> None:
    found = of_counts({"rft": (30, 25), "grpo": (20, 18)})
    assert len({d.detectable for d in found.differences}) == 3
    first, second = conclusions(found)
    assert first == (
        "RFT and GRPO do not differ significantly from SFT: +1.0 points (95% interval -1.9 to 3.9, p = 1.00, n = 500) "
        "and +0.4 (-2.0 to 2.8, p = 1.00); the smallest detectable difference is 4.8 points."
    )
    assert "detect" not in second and not any("detect" in text for text in remarks(found))


def test_an_interval_that_excludes_0_is_never_said_to_show_nothing_without_a_reason() -> None:
    first, _ = conclusions(of_counts({"rft": (34, 18), "grpo": (30, 25), "v": (28, 24)}))
    assert first.startswith(
        "RFT is not significantly better than SFT: +3.2 points (95% interval 0.4 to 6.0, p = 0.11, n = 500); the "
        "difference would be significant on its own (p = 0.036), but not after correcting for 4 comparisons; GRPO and "
        "v do not differ significantly from SFT: "
    )
    assert conclusions(two(9, 2, 100, 200)) == (
        "RFT is not significantly better than SFT: +3.5 points (95% interval 0.1 to 6.8, p = 0.065, n = 200); the "
        "interval excludes 0, but the test, which is stricter, is not significant (p = 0.065).",
    )
    down, _ = conclusions(of_counts({"rft": (18, 34), "grpo": (18, 34), "v": (28, 24)}))
    assert down.startswith("RFT and GRPO are not significantly worse than SFT: -3.2 points (95% interval -6.0 to -0.4")


def test_whatever_the_counts_no_sentence_contradicts_its_interval() -> None:
    for wins in range(0, 40, 3):
        for losses in range(0, 40, 3):
            found = two(wins, losses, 50, 200)
            [said] = conclusions(found)
            d = found.differences[0]
            if d.low <= 0 <= d.high:
                assert "not differ significantly" in said, (wins, losses)
            else:
                assert (" is better " in said or " is worse " in said) if d.shown else "excludes 0, but" in said


def test_a_gain_that_is_all_formatting() -> None:
    # 100 more questions are answered, as well as the rest: half of the answered ones are right on both sides
    ours, theirs = exactly(100, 0, 150, 500, (0, 200))
    found = compare_evaluated("test", [evaluated("sft", theirs), evaluated("rft", ours)], {"rft": "sft"})
    assert found.differences[0].answering_share == pytest.approx(1.0)
    assert "100% of RFT's gain over SFT comes from answering more often, 0% from" in remarks(found)[0]


def test_parts_that_point_against_each_other_are_told_in_points() -> None:
    found = two(100, 0, 150, 500, (200, 50))
    d = found.differences[0]
    assert d.answering_share is None and d.by_answering is not None and d.by_answering < 0
    assert "-17.5 points come from how often it answers and +37.5 from its accuracy" in remarks(found)[0]


def test_a_model_without_answers_is_not_taken_apart() -> None:
    ours, theirs = exactly(100, 0, 0, 300, (0, 0))
    mute = theirs.set_column(4, "status", pa.array(["unparsed"] * 300))
    found = compare_evaluated("test", [evaluated("base", mute, trained=False), evaluated("sft", ours)], {"sft": "base"})
    assert "None of the base model's answers could be parsed" in remarks(found)[0]


def test_several_comparisons_are_corrected_and_the_base_comes_last() -> None:
    theirs = answers(0.5, 300)
    models = [evaluated("base", answers(0.1, 300), trained=False), evaluated("sft", theirs)]
    models += [evaluated(f"v{i}", answers(0.56, 300, seed=i + 1)) for i in range(3)]
    found = compare_evaluated("test", models, {m.label: "sft" for m in models if m.label != "sft"})
    by = {d.label: d for d in found.differences}
    assert by["v0"].p_corrected > by["v0"].p and by["base"].p_corrected == pytest.approx(4 * by["base"].p)
    assert conclusions(found)[1].startswith("SFT is better than the base model: +")
    assert (
        how_tested(4, False) == "p: exact McNemar test, corrected for 4 comparisons (Holm); intervals are not corrected"
    )
    assert how_tested(1, False) == "p: exact McNemar test"


def test_seeds_are_named_where_there_are_several() -> None:
    many = evaluated("rft", *(answers(0.7 + 0.02 * s, 300, seed=s) for s in range(3)))
    sft = evaluated("sft", *(answers(0.5, 300, seed=s) for s in range(2)))
    base = evaluated("base", answers(0.1, 300), trained=False)
    found = compare_evaluated("test", [base, sft, many], {"rft": "sft", "base": "sft"})
    said = conclusions(found)
    assert "n = 300, 3 seeds against 2 seeds)" in said[0] and "n = 300, 2 seeds against one model)" in said[1]
    assert (
        "Standard deviation of accuracy across seeds, in points: SFT 0.0 over 2 seeds; RFT 2.0 over 3 seeds."
        in remarks(found)
    )
    assert not any("One seed" in s for s in remarks(found))


def test_numbers_as_people_write_them() -> None:
    assert [p_equals(p) for p in (0.0004, 0.001, 0.0494, 0.0996, 0.5)] == [
        "p < 0.001",
        "p = 0.001",
        "p = 0.049",
        "p = 0.100",
        "p = 0.50",
    ]
    assert [p_value(p) for p in (0.0004, 0.034)] == ["< 0.001", "0.034"]
    assert interval(0.5, 1.0) == "[0.500, 1.000]" and interval(-0.1, 0.02, sign=True) == "[-0.100, +0.020]"
    assert [points(0.0942, True), points(-0.0004, True), points(-0.123)] == ["+9.4", "+0.0", "-12.3"]
    assert [name(n) for n in ("sft", "rft2", "grpo (a1b2)", "rft_control", "base", "base (a1b2)", "rft n 4")] == [
        "SFT",
        "RFT2",
        "GRPO (a1b2)",
        "rft_control",
        "the base model",
        "the base model (a1b2)",
        "RFT with n 4",
    ]


def test_only_what_makes_accuracy_too_good_is_contamination() -> None:
    found = [Finding(c, "info", f"{c}.", "", "", "") for c in ("test-size", "test-in-training", "near-duplicates")]
    assert contaminated([*found, *found]) == ("Contaminated: test-in-training.",)
    assert contaminated([replace(found[2], severity="warning")]) == ("Near-duplicates: near-duplicates.",)
    other = Finding("not-the-model", "error", "model rft: its answers do not come from its weights", "", "", "")
    assert contaminated([other]) == ("Unreliable: model rft: its answers do not come from its weights",)


def test_what_a_conclusion_says_is_not_told_again_below_it() -> None:
    near = Finding("near-duplicates", "warning", "30 of 100 test questions differ only in a word inside it", "", "", "")
    small, other = (Finding(c, "warning", c, "", "", "") for c in ("test-too-small", "answers-cut-off"))
    said = contaminated([near])
    assert untold([near, small, other], said, compared=True) == (other,), "the detectable difference is known"
    assert untold([near, small, other], (), compared=False) == (near, small, other)


# --- refusals


def test_other_questions_are_refused_with_an_example() -> None:
    ours = answers(0.5, 10)
    asked = ours["question"].to_pylist()
    changed = ours.set_column(1, "question", pa.array(["How much is ten?", *asked[1:]]))
    with pytest.raises(
        InputError, match=r"sft and rft were not evaluated on the same questions: 1 of 10 differ.*'How much is t"
    ):
        compare_evaluated("test", [evaluated("sft", ours), evaluated("rft", changed)], {"rft": "sft"})
    with pytest.raises(InputError, match="10 and 8 questions, of which 8 are the same"):
        compare_evaluated("test", [evaluated("sft", ours), evaluated("rft", ours.slice(2))], {"rft": "sft"})


def test_questions_in_another_order_are_the_same() -> None:
    ours = answers(0.5, 50)
    back = ours.take(pa.array(range(49, -1, -1)))
    found = compare_evaluated("test", [evaluated("sft", ours), evaluated("rft", back)], {"rft": "sft"})
    assert (found.differences[0].wins, found.differences[0].losses) == (0, 0)


def test_an_evaluation_that_cannot_be_read_is_one_line() -> None:
    Path("broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"the evaluation of sft cannot be read \(broken.parquet\)"):
        compare_evaluated("test", [Evaluated("sft", "sft", (0,), (), (Path("broken.parquet"),))], {})


# --- a model's origin


def test_what_stands_behind_a_model() -> None:
    stages = recipe()["stages"]
    assert behind(stages, "sft") == ["sft"]
    assert behind(stages, "grpo") == ["sft", "samples", "chosen", "rft", "grpo"]
    assert behind(stages, "base") == []
    circle = {"a": {"type": "sft", "model": "b"}, "b": {"type": "sft", "model": "a"}}
    assert behind(circle, "a") == ["a", "b"], "someone else's recipe may contain anything"


def test_what_is_different_between_two_recipes() -> None:
    assert changes(recipe(), recipe(seed=7, stages__rft__save_steps=9)) == {}, "neither affects the result"
    assert changes(recipe(), recipe(stages__rft__learning_rate=0.01, stages__samples__n=8)) == {
        "stages.samples.n": (4, 8),
        "stages.rft.learning_rate": (0.004, 0.01),
    }
    shorter = recipe()
    del shorter["stages"]["grpo"]
    assert changes(recipe(), shorter) == {"stages.grpo": ("grpo", None)}
    told = [Change("stages.rft.learning_rate", 1e-5, 0.0003), Change("task.judge.tolerance", None, 0.01)]
    told += [Change("stages.grpo", "grpo", None), Change("stages.dpo", None, "dpo")]
    assert [*map(str, told)] == [
        "rft.learning_rate 1e-05 → 0.0003",
        "task.judge.tolerance not set → 0.01",
        "without stage grpo",
        "with stage dpo",
    ]


def test_what_decides_a_model_and_what_does_not() -> None:
    first = made_from(recipe(), "rft")
    assert first == made_from(recipe(seed=7), "rft") == made_from(recipe("other name"), "rft")
    assert first == made_from(recipe(stages__grpo__max_steps=9), "rft"), "later stages do not count"
    assert first == made_from(recipe(stages__rft__save_steps=9), "rft")
    for change in ({"stages__sft__learning_rate": 1}, {"task__test__generate": 9}, {"evaluate__max_tokens": 9}):
        assert first != made_from(recipe(**change), "rft"), change


# --- on the screen


def shown(comparison: Comparison, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, _environ={})
    show_comparison(console, comparison)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_fits_80_columns_whatever_names_there_are() -> None:
    models = [evaluated(label, answers(0.5, 100, seed=i)) for i, label in enumerate(("sft", "r" * 60, "grpo"))]
    found = compare_evaluated("test", models, {m.label: "sft" for m in models[1:]})
    text = shown(found)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "[0.404, 0.596]" in text, "no figure is cut off"


def test_names_and_findings_that_mean_harm_are_shown_as_they_are() -> None:
    evil = "\x1b[31m[bold]x[/bold]\x07"
    found = compare_evaluated(
        "te\x1bst", [evaluated("sft", answers(0.5)), evaluated(evil, answers(0.7))], {evil: "sft"}
    )
    found = replace(found, contaminated=(f"{evil} <script>",), left_out=(evil,))
    text = shown(replace(found, conclusions=conclusions(found), remarks=remarks(found)), 300)
    assert "\x1b[31m" not in text and "\x07" not in text
    assert r"\x1b[31m[bold]x[/bold]\x07" in text and "<script>" in text


# --- several answers to each question


def drawn(shares: np.ndarray, each: int) -> pa.Table:
    """An evaluation with these shares of right answers to each question."""
    table = answers(0, len(shares))
    places = np.repeat(np.arange(len(shares)), each)
    draws = np.tile(np.arange(each), len(shares))
    right = draws < np.repeat(np.round(shares * each), each)
    table = table.take(pa.array(places)).append_column("draw", pa.array(draws, pa.int32()))
    status = pa.array(np.where(right, "correct", "wrong"))
    return table.set_column(table.schema.get_field_index("status"), "status", status)


def rft_to_sft(rft: pa.Table, sft: pa.Table) -> Comparison:
    return compare_evaluated("test", [evaluated("sft", sft), evaluated("rft", rft)], {"rft": "sft"})


def test_several_answers_to_each_question_are_compared_question_by_question() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.integers(0, 9, 100) / 8
    ours = np.clip(theirs + rng.integers(0, 3, 100) / 8, 0, 1)
    compared = rft_to_sft(drawn(ours, 8), drawn(theirs, 8))
    sft, rft = compared.models
    assert (rft.n, rft.answers_each, compared.drawn) == (100, 8, True)
    assert sft.accuracy == pytest.approx(float(theirs.mean())) and rft.accuracy == pytest.approx(float(ours.mean()))
    assert sft.accuracy_low < sft.accuracy < sft.accuracy_high
    [d] = compared.differences
    assert d.difference == pytest.approx(float((ours - theirs).mean())) and d.p < 0.001
    assert d.wins == int((ours > theirs).sum()) and d.losses == 0 and d.n == 100
    assert d.low < d.difference < d.high
    assert abs(d.low - d.bootstrap_low) < 0.02 and abs(d.high - d.bootstrap_high) < 0.02
    assert "n = 100 questions with 8 answers each" in conclusions(compared)[0]
    assert how_tested(1, False, compared.drawn) == "p: t-test on each question's share of right answers"


def test_answers_to_a_question_are_not_counted_as_questions() -> None:
    shares = np.array([0.0, 1.0] * 50)
    once = compare_evaluated("test", [evaluated("sft", drawn(shares, 1))], {}).models[0]
    often = compare_evaluated("test", [evaluated("sft", drawn(shares, 16))], {}).models[0]
    assert once.accuracy == often.accuracy == 0.5
    assert often.accuracy_high - often.accuracy_low == pytest.approx(once.accuracy_high - once.accuracy_low, rel=0.02)


def test_one_answer_and_several_to_the_same_questions_can_be_compared() -> None:
    rng = np.random.default_rng(1)
    theirs = rng.integers(0, 2, 80).astype(float)
    compared = rft_to_sft(drawn(theirs, 4), drawn(theirs, 1))
    [d] = compared.differences
    assert d.difference == 0 and d.p == 1
    other = drawn(theirs[:70], 4)
    with pytest.raises(InputError, match="80 and 70 questions, of which 70 are the same"):
        rft_to_sft(other, drawn(theirs, 1))


def test_seeds_with_several_answers_each() -> None:
    rng = np.random.default_rng(2)
    hard = rng.beta(0.6, 0.6, 60)
    sides = [[drawn(rng.binomial(4, np.clip(hard + gain, 0, 1)) / 4, 4) for _ in range(3)] for gain in (0.0, 0.15)]
    compared = compare_evaluated("test", [evaluated("sft", *sides[0]), evaluated("rft", *sides[1])], {"rft": "sft"})
    [d] = compared.differences
    assert 0.05 < d.difference < 0.25 and d.p < 0.05 and compared.models[0].seed_sd is not None
    assert how_tested(1, True, True).startswith("p: t-test over seeds and questions, t-test over questions between")
