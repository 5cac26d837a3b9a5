"""What a comparison says, and how it is shown: sentences, tables, text that means harm."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from orchestrator.cli.show.comparison import show_comparison
from orchestrator.comparison import Comparison, Evaluated, compare_evaluated, conclusions, contaminated
from orchestrator.comparison.words import name
from orchestrator.errors import InputError
from orchestrator.figures import interval, p_equals, p_value, points
from orchestrator.recipe.plain import behind, made_from
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
    """Two evaluations of n questions with these counts; so many of what neither has right are no answer at all."""
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
    lead = "No trained model answered a single question right: `orch diagnose` looks for the cause."
    assert (
        conclusions(compare_evaluated("test", [evaluated("base", none, trained=False), evaluated("sft", none)], {}))[0]
        == lead
    )
    assert lead not in conclusions(two(1, 0, 0, 50))


def test_a_difference_that_is_shown() -> None:
    said = conclusions(two(65, 18, 200, 500))
    assert said[0] == SENTENCE
    assert (
        said[1]
        == "0% of RFT's gain over SFT comes from answering more often, 100% from higher accuracy on the answers it "
        "gave."
    )
    assert said[2].startswith("One seed each: the result holds for these models, not for the recipes.")
    assert len(said) == 3, "one comparison needs no correction"


def test_a_loss_is_called_one() -> None:
    assert conclusions(two(18, 65, 200, 500))[0] == SENTENCE.replace("better", "worse").replace("+9.4", "-9.4").replace(
        "5.9 to 12.8", "-12.8 to -5.9"
    )


def test_a_difference_that_is_not_shown_says_what_could_have_been() -> None:
    [said, *_] = conclusions(two(30, 25, 200, 500))
    assert said.startswith(
        "No significant difference between RFT and SFT: +1.0 points (95% interval -1.9 to 3.9, p = 0.59"
    )
    assert said.endswith("n = 500). With 500 questions the smallest detectable difference is 4.1 points.")
    [same, *_] = conclusions(two(0, 0, 200, 500))
    assert "+0.0 points" in same and "p = 1.00" in same and "smallest detectable difference is 1.6 points" in same
    [few, *_] = conclusions(two(1, 0, 1, 3))
    assert "With 3 questions no difference can be detected" in few


def test_a_gain_that_is_all_formatting() -> None:
    # 100 questions more are answered, as well as the rest: 0.5 right where answered, on both sides
    ours, theirs = exactly(100, 0, 150, 500, (0, 200))
    found = compare_evaluated("test", [evaluated("sft", theirs), evaluated("rft", ours)], {"rft": "sft"})
    assert found.differences[0].answering_share == pytest.approx(1.0)
    assert "100% of RFT's gain over SFT comes from answering more often, 0% from" in conclusions(found)[1]


def test_parts_that_point_against_each_other_are_told_in_points() -> None:
    found = two(100, 0, 150, 500, (200, 50))
    d = found.differences[0]
    assert d.answering_share is None and d.by_answering is not None and d.by_answering < 0
    assert "-17.5 points come from how often it answers and +37.5 from its accuracy" in conclusions(found)[1]


def test_a_model_without_answers_is_not_taken_apart() -> None:
    ours, theirs = exactly(100, 0, 0, 300, (0, 0))
    mute = theirs.set_column(4, "status", pa.array(["unparsed"] * 300))
    found = compare_evaluated("test", [evaluated("base", mute, trained=False), evaluated("sft", ours)], {"sft": "base"})
    assert "None of the base model's answers could be parsed" in conclusions(found)[1]


def test_several_comparisons_are_corrected_and_the_base_comes_last() -> None:
    theirs = answers(0.5, 300)
    models = [evaluated("base", answers(0.1, 300), trained=False), evaluated("sft", theirs)]
    models += [evaluated(f"v{i}", answers(0.56, 300, seed=i + 1)) for i in range(3)]
    found = compare_evaluated("test", models, {m.label: "sft" for m in models if m.label != "sft"})
    by = {d.label: d for d in found.differences}
    assert by["v0"].p_corrected > by["v0"].p and by["base"].p_corrected == pytest.approx(4 * by["base"].p)
    said = conclusions(found)
    assert said[3].startswith("SFT is better than the base model: +")
    assert "p-values are corrected for 4 comparisons (Holm)" in said[-1]


def test_seeds_are_named_where_there_are_several() -> None:
    many = evaluated("rft", *(answers(0.7 + 0.02 * s, 300, seed=s) for s in range(3)))
    sft = evaluated("sft", *(answers(0.5, 300, seed=s) for s in range(2)))
    base = evaluated("base", answers(0.1, 300), trained=False)
    said = conclusions(compare_evaluated("test", [base, sft, many], {"rft": "sft", "base": "sft"}))
    assert "n = 300, 3 seeds against 2 seeds)" in said[0] and "n = 300, 2 seeds against one model)" in said[1]
    assert any("SFT 0.0 over 2 seeds; RFT 2.0 over 3 seeds" in s for s in said)
    assert not any("very models" in s for s in said)


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
    assert [name(n) for n in ("sft", "rft2", "grpo (a1b2)", "rft_control", "base")] == [
        "SFT",
        "RFT2",
        "GRPO (a1b2)",
        "rft_control",
        "the base model",
    ]


def test_only_what_makes_accuracy_too_good_is_contamination() -> None:
    found = [Finding(c, "info", f"{c}.", "", "", "") for c in ("test-size", "test-in-training", "near-duplicates")]
    assert contaminated([*found, *found]) == ("Contaminated: test-in-training.",)
    assert contaminated([replace(found[2], severity="warning")]) == ("Near-duplicates: near-duplicates.",)


# --- refusals


def test_other_questions_are_refused_with_an_example() -> None:
    ours = answers(0.5, 10)
    asked = ours["question"].to_pylist()
    changed = ours.set_column(1, "question", pa.array(["How much is ten?", *asked[1:]]))
    with pytest.raises(
        InputError, match=r"sft and rft were not asked the same questions: 1 of 10 differ.*'How much is t"
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


# --- what a model was made from


def test_what_stands_behind_a_model() -> None:
    stages = recipe()["stages"]
    assert behind(stages, "sft") == ["sft"]
    assert behind(stages, "grpo") == ["sft", "samples", "chosen", "rft", "grpo"]
    assert behind(stages, "base") == []
    circle = {"a": {"type": "sft", "model": "b"}, "b": {"type": "sft", "model": "a"}}
    assert behind(circle, "a") == ["a", "b"], "a recipe that someone else wrote may be anything"


def test_what_decides_a_model_and_what_does_not() -> None:
    first = made_from(recipe(), "rft")
    assert first == made_from(recipe(seed=7), "rft") == made_from(recipe("other name"), "rft")
    assert first == made_from(recipe(stages__grpo__max_steps=9), "rft"), "what comes after it"
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
    assert "[0.404, 0.596]" in text, "no figure is cut"


def test_names_and_findings_that_mean_harm_are_shown_as_they_are() -> None:
    evil = "\x1b[31m[bold]x[/bold]\x07"
    found = compare_evaluated(
        "te\x1bst", [evaluated("sft", answers(0.5)), evaluated(evil, answers(0.7))], {evil: "sft"}
    )
    text = shown(replace(found, contaminated=(f"{evil} <script>",), left_out=(evil,)), 300)
    assert "\x1b[31m" not in text and "\x07" not in text
    assert r"\x1b[31m[bold]x[/bold]\x07" in text and "<script>" in text
