"""Findings during a run, how they are stored, and findings on completions."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import get_args

import pytest

from orchestrator.errors import CheckError
from orchestrator.health.causes import CAUSES, likeliest_first
from orchestrator.health.findings import (
    CheckReport,
    as_tags,
    errors_of,
    findings_of,
    format_changed,
    ranked,
    read_back,
    written_down,
)
from orchestrator.health.reading import reading_findings
from orchestrator.health.written import Written, fell, written_findings
from orchestrator.recipe.recipe import WATCHED
from orchestrator.sampling.same_draws import ANSWERED, IDENTICAL, Groups, sampling_finding, share_identical
from orchestrator.tasks import TASKS
from orchestrator.training.watch import MOVED, Schedule, Watch, answer_rate_zero, stops
from orchestrator.types import Finding, FinishReason, Severity, Status

NAN, INF = math.nan, math.inf
Points = Iterable[tuple[int, Mapping[str, float]]]


def watched(points: Points, verb: str = "sft", total: int = 40, from_base: bool = True) -> list[tuple[int, str]]:
    """The findings that a curve gives, and their steps."""
    watch = Watch("reward" if verb == "grpo" else "loss", total, from_base)
    return [(step, f.check) for step, values in points for f in watch.look(step, values)]


def curve(name: str, values: Iterable[float], every: int = 5) -> list[tuple[int, dict[str, float]]]:
    return [(every * n, {name: value}) for n, value in enumerate(values, 1)]


# --- the watch: healthy curves


def test_a_healthy_training_is_silent() -> None:
    steps = range(5, 41, 5)
    points = [
        (s, {"loss": 4.6 * math.exp(-s / 9) + 0.3, "grad_norm": 2.0, "learning_rate": 4e-3 * (40 - s) / 40})
        for s in steps
    ]
    assert points[-1][1]["learning_rate"] == 0, "a linear schedule ends at zero"
    assert watched(points) == []


def test_a_healthy_grpo_is_silent() -> None:
    points = [
        (s, {"loss": 0.0, "reward": 0.3 + s / 40, "frac_reward_zero_std": 0.5, "completions/clipped_ratio": 0.1})
        for s in range(1, 21)
    ]
    assert watched(points, "grpo", 20) == []


def test_a_warm_up_begins_at_nothing() -> None:
    assert watched([(1, {"learning_rate": 0.0}), (2, {"learning_rate": 1e-4}), (3, {"learning_rate": 2e-4})]) == []


# --- the watch: each rule


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize(("name", "check"), [("loss", "loss-not-finite"), ("grad_norm", "gradient-not-finite")])
@pytest.mark.parametrize("verb", ["sft", "grpo"])
def test_what_is_not_finite_is_told_once(verb: str, name: str, check: str, value: float) -> None:
    assert watched(curve(name, [1.0, value, value, 1.0, value]), verb) == [(10, check)]


def test_both_can_be_told_at_one_step() -> None:
    found = Watch("loss", 40).look(5, {"loss": NAN, "grad_norm": INF})
    assert [f.check for f in found] == ["loss-not-finite", "gradient-not-finite"]
    assert all(f.severity == "error" and "at step 5" in f.what for f in found)
    assert found[0].what == "the loss is nan at step 5" and "grad_norm inf" in found[0].evidence


def scaled(norms: Iterable[float], every: int = 1) -> list[int]:
    """The steps with a finding on a gradient that is scaled, as float16 needs it."""
    watch = Watch("loss", 400, scaled=True)
    return [step for step, values in curve("grad_norm", norms, every) for _ in watch.look(step, values)]


def test_a_scaler_may_overflow_until_it_has_found_its_scale() -> None:
    assert scaled([INF] * 16 + [1.0] * 9 + [INF, 1.0]) == [], "from 2**16 it halves sixteen times at most"
    assert scaled([INF] * 20) == [17]
    assert scaled([1.0, *[INF] * 20]) == [18]
    assert scaled([1.0, INF] * 20) == [], "a step skipped now and then is fine"
    assert scaled([NAN] * 9, every=10) == [30] and scaled([INF] * 9, every=5) == [20]
    watch = Watch("loss", 40, scaled=True)
    assert [f.check for f in watch.look(5, {"loss": NAN, "grad_norm": INF})] == ["loss-not-finite"]


def test_a_learning_rate_of_nothing() -> None:
    assert watched(curve("learning_rate", [0.0] * 8)) == [(10, "learning-rate-zero")]
    assert watched(curve("learning_rate", [1e-11, 1e-11, 1e-3])) == [(10, "learning-rate-zero")]
    assert watched(curve("learning_rate", [0.0, 1e-3, 0.0, 1e-3, 0.0])) == [], "never twice in a row"
    assert watched([(37, {"learning_rate": 0.0}), (38, {"learning_rate": 0.0}), (40, {"learning_rate": 0.0})]) == []


@pytest.mark.parametrize(
    ("total", "step", "loss", "told"),
    [
        (40, 5, 0.0, True),
        (40, 10, 0.09, True),
        (40, 10, 0.1, False),
        (40, 15, 0.0, False),
        (1000, 100, 0.0, True),
        (1000, 105, 0.0, False),
    ],
)
def test_a_loss_that_is_low_before_anything_is_learned(total: int, step: int, loss: float, told: bool) -> None:
    assert watched([(step, {"loss": loss})], total=total) == ([(step, "loss-too-low")] if told else [])


@pytest.mark.parametrize(("loss", "told"), [(0.09, False), (0.001, False), (0.0009, True), (0.0, True)])
def test_a_second_round_begins_with_a_low_loss(loss: float, told: bool) -> None:
    found = watched([(5, {"loss": loss})], from_base=False)
    assert found == ([(5, "loss-too-low")] if told else [])


def test_a_loss_that_is_high_at_the_end() -> None:
    assert watched(curve("loss", [9.0] * 8)) == [(40, "loss-too-high")]
    assert watched(curve("loss", [9.0] * 7 + [5.0])) == []
    assert watched(curve("loss", [9.0] * 8), total=80) == []


def test_the_last_point_need_not_be_the_last_step() -> None:
    """Trainers log every few steps: of 43 steps, the last one logged is the 40th."""
    assert watched(curve("loss", [9.0] * 8), total=43) == [(40, "loss-too-high")]
    assert watched(curve("loss", [9.0] * 8), total=45) == []


def test_the_loss_of_grpo_says_nothing() -> None:
    assert watched(curve("loss", [0.0] * 8), "grpo") == watched(curve("loss", [9.0] * 8), "grpo") == []


@pytest.mark.parametrize(
    ("name", "check"), [("frac_reward_zero_std", "groups-alike"), ("completions/clipped_ratio", "completions-clipped")]
)
def test_three_points_in_a_row_make_a_state(name: str, check: str) -> None:
    assert watched(curve(name, [1.0] * 6, every=1), "grpo") == [(3, check)]
    assert watched(curve(name, [1.0, 1.0, 0.9, 1.0, 1.0], every=1), "grpo") == []
    assert watched(curve(name, [0.2, 0.95, 0.96, 0.97], every=1), "grpo") == [(4, check)]
    assert watched(curve(name, [1.0, 1.0], every=1), "grpo", total=2) == [(2, check)], "no third one will come"
    assert watched(curve(name, [1.0] * 6, every=1), "sft") == []


@pytest.mark.parametrize(("reward", "cause"), [(0.0, "no completion is ever correct"), (1.0, "already correct")])
def test_groups_are_alike_for_one_of_two_reasons(reward: float, cause: str) -> None:
    watch = Watch("reward", 10)
    found = [f for s in range(1, 6) for f in watch.look(s, {"frac_reward_zero_std": 1.0, "reward": reward})]
    assert [f.check for f in found] == ["groups-alike"]
    assert cause in found[0].cause and f"mean reward {reward:.3f}" in found[0].evidence


# --- every step is watched, whatever is logged


def test_a_single_step_is_an_accident() -> None:
    """Losses of single batches are noisy: neither one low nor one high loss is a state."""
    noisy = [(s, {"loss": (0.05 if s == 2 else 9.0 if s == 40 else 1.0)}) for s in range(1, 41)]
    assert watched(noisy) == []
    assert watched([(s, {"loss": 0.05}) for s in range(1, 41)]) == [(3, "loss-too-low")]
    assert watched([(s, {"loss": 4.0 if s < 20 else 6.0}) for s in range(1, 41)]) == [(40, "loss-too-high")]
    assert watched([(1, {"loss": 0.0})], total=1) == [(1, "loss-too-low")], "no other step will come"


def planned(wanted: float, rates: list[float]) -> list[tuple[int, str]]:
    """The findings on a training whose schedule is known."""
    watch = Watch("loss", len(rates), schedule=Schedule(wanted, max(rates), sum(rates)))
    return [(s, f.check) for s, rate in enumerate(rates, 1) for f in watch.look(s, {"learning_rate": rate})]


@pytest.mark.parametrize(
    ("wanted", "rates"),
    [
        (1e-30, [1e-30] * 12),
        (1e-12, [1e-12 * (12 - s) / 12 for s in range(12)]),
        (2e-8, [2e-8] * 12),
        (4e-3, [4e-3 * s / 10_000 for s in range(12)]),  # the warm-up is longer than the training
        (4e-3, [0.0] * 12),
    ],
)
def test_a_learning_rate_that_is_zero_in_effect_is_known_from_the_first_step(wanted: float, rates: list[float]) -> None:
    assert planned(wanted, rates) == [(1, "learning-rate-zero")]


@pytest.mark.parametrize(
    ("wanted", "rates"),
    [
        (1e-4, [1e-4 * s / 500 for s in range(500)]),  # a warm-up begins at 0
        (1e-4, [1e-4 * min(1, s / 5_000) for s in range(10_000)]),
        (1e-6, [1e-6 * (2 - s) / 2 for s in range(2)]),  # a two-step trial of GRPO on all weights
        (1e-6, [1e-6]),
        (5e-8, [5e-8] * 1_000),
        (4e-3, [4e-3 * max(0, 20 - s) / 20 for s in range(40)]),  # it ends at 0 before the training does
    ],
)
def test_a_learning_rate_that_will_do_something(wanted: float, rates: list[float]) -> None:
    assert planned(wanted, rates) == []


def test_a_schedule_whose_end_was_passed() -> None:
    """Training resumes at step 21 of 40, and the schedule has nothing left."""
    watch = Watch("loss", 40, schedule=Schedule(4e-3, 0.0, 0.0))
    assert [f.check for f in watch.look(21, {"learning_rate": 0.0})] == ["learning-rate-zero"]


@pytest.mark.parametrize(("moved", "told"), [(0.0, True), (0.04, True), (0.06, False), (1.0, False)])
def test_weights_that_stay_what_they_were(moved: float, told: bool) -> None:
    found = watched([(s, {MOVED: moved} if s == 3 else {}) for s in range(1, 6)])
    assert found == ([(3, "weights-unmoved")] if told else [])
    known = planned(1e-30, [1e-30] * 5)
    assert known == [(1, "learning-rate-zero")], "the reason that they stay is known"


def grpo(groups: int, total: int, *steps: Mapping[str, float]) -> list[tuple[int, str, str]]:
    """The findings on GRPO with this many groups per step: step, check and cause."""
    watch = Watch("reward", total, groups=groups)
    return [(s, f.check, f.cause) for s, values in enumerate(steps, 1) for f in watch.look(s, values)]


def values(reward: float, alike: float = 1.0, same: float = 0.0, answered: float = 1.0) -> dict[str, float]:
    return {"reward": reward, "frac_reward_zero_std": alike, IDENTICAL: same, ANSWERED: answered}


@pytest.mark.parametrize(
    ("given", "check", "cause"),
    [
        (values(0.0, same=1.0), "draws-identical", "temperature or top_p is so low"),
        (values(0.5, same=0.96), "draws-identical", "collapsed"),
        (values(0.0), "groups-alike", "though 100% have an answer: the questions are too hard"),
        (values(0.0, answered=0.01), "groups-alike", "almost none has an answer"),
        (values(1.0), "groups-alike", "every completion is already correct"),
        (values(1.0, same=1.0), "groups-alike", "every completion is already correct"),
        (values(0.5), "groups-alike", "either always or never"),
    ],
)
def test_why_groups_are_alike(given: dict[str, float], check: str, cause: str) -> None:
    ((step, found, why),) = grpo(8, 50, *[given] * 10)
    assert (step, found) == (3, check) and cause in why


def test_few_groups_a_step_are_alike_now_and_then() -> None:
    alike, mixed = values(0.5), values(0.5, alike=0.5)
    assert [s for s, *_ in grpo(4, 50, *[alike] * 3, mixed, *[alike] * 6)] == [8], "16 groups in a row"
    assert grpo(4, 50, *[alike] * 3, mixed, *[alike] * 3) == []
    assert [s for s, *_ in grpo(2, 4, *[alike] * 4)] == [4], "the whole training, however short"
    assert [s for s, *_ in grpo(2, 1, alike)] == [1]
    assert grpo(2, 4, mixed, *[alike] * 3) == []
    every_other = [alike if s % 2 else {"learning_rate": 1e-5} for s in range(1, 10)]
    assert [s for s, *_ in grpo(8, 50, *every_other)] == [5], "steps that reuse draws say nothing of draws"


def test_a_stage_that_ends_where_groups_are_alike_ends_where_draws_are_the_same() -> None:
    (found,) = Watch("reward", 1).look(1, values(0.0, same=1.0))
    assert found.check == "draws-identical"
    assert stops([found], ("groups-alike",)) is found and stops([found], ("draws-identical",)) is found
    assert stops([found], ("learning-rate-zero",)) is None and stops([found], ()) is None


def test_draws_of_a_sampling_that_are_all_the_same() -> None:
    one, two = ["a", "a", "a", "a"], ["a", "a", "b", "a"]
    assert share_identical([one, two]) == 0.5
    found = sampling_finding(Groups(20, 20, 4, "a"), 0.4, 0.01)
    assert found is not None and found.check == "draws-identical" and "temperature 0.01" in found.evidence
    assert "all 4 draws" in found.what and "so low" in found.cause
    sure = sampling_finding(Groups(20, 20, 4, "a"), 1.0, 1.0)
    assert sure is not None and "so easy" in sure.cause and "n to 1" in sure.remedy
    assert sampling_finding(Groups(20, 18, 4, "a"), 0.4, 0.01) is None
    assert sampling_finding(Groups(20, 20, 1, "a"), 0.4, 1.0) is None, "a single draw cannot differ"
    assert sampling_finding(Groups(7, 7, 4, "a"), 0.4, 0.01) is None, "with few questions it may be chance"


def test_what_is_watched_for_can_be_named_in_a_recipe() -> None:
    bad = {"loss": NAN, "grad_norm": NAN, "learning_rate": 0.0}
    grpo = bad | {"frac_reward_zero_std": 1.0, "completions/clipped_ratio": 1.0}
    told = {check for _, check in watched([(n, grpo) for n in range(1, 5)], "grpo")}
    told |= {check for _, check in watched(curve(IDENTICAL, [1.0] * 3), "grpo")}
    told |= {check for _, check in watched([(3, {MOVED: 0.0})])}
    told |= {check for _, check in watched([(5, {"loss": 0.0}), (40, {"loss": 9.0})])}
    told.add(answer_rate_zero(10, 0, "x").check)
    assert told == set(WATCHED)
    assert told <= set(CAUSES)


def test_what_ends_a_stage() -> None:
    found = Watch("loss", 40).look(5, {"loss": NAN, "grad_norm": NAN})
    assert stops(found, ()) is None and stops([], ("all",)) is None
    assert stops(found, ("all",)) is found[0]
    assert stops(found, ("gradient-not-finite",)) is found[1]
    assert stops(found, ("loss-too-low",)) is None


def test_no_answer_because_of_the_length_or_because_of_the_format() -> None:
    cut, silent = answer_rate_zero(10, 6, "x" * 900), answer_rate_zero(10, 5, "[red]x[/]")
    assert "cut off before" in cut.cause and "max_tokens" in cut.remedy and len(cut.evidence) < 300
    assert "where it is looked for" in silent.cause and "'[red]x[/]'" in silent.evidence


# --- findings as stored and shown


def test_findings_of_one_check_are_all_kept() -> None:
    found = [Finding("x", "warning", f"{n}", "e", "c", "r") for n in range(3)] + [Finding("y", "error", "", "", "", "")]
    tags = as_tags(found)
    assert len(tags) == 4 and list(findings_of(tags | {"orch.verb": "run"})) == found
    assert all(re.fullmatch(r"[\w./-]+", name) for name in tags), "MLflow accepts no others"


@pytest.mark.parametrize("severity", get_args(Severity))
def test_a_finding_is_read_back_as_it_was_written(severity: Severity) -> None:
    finding = Finding("x", severity, "a: b, \\n", "line one\nline: two", "because: it is", "do that\nthen this")
    assert read_back("x", written_down(finding)) == finding
    bare = Finding("x", severity, "a", "", "", "")
    assert read_back("x", written_down(bare)) == bare


def test_a_finding_that_the_store_cut_short_gives_what_is_there() -> None:
    text = written_down(Finding("x", "error", "what it is", "what was seen", "why it is", "do that"))

    def cut(after: str) -> Finding:
        return read_back("x", text[: text.index(after) + len(after)])

    assert cut("what it") == Finding("x", "error", "what it", "", "", "")
    assert cut("what was") == Finding("x", "error", "what it is", "what was", "", "")
    assert cut("why") == Finding("x", "error", "what it is", "what was seen", "why", "")
    assert cut("do th") == Finding("x", "error", "what it is", "what was seen", "why it is", "do th")
    assert read_back("x", "no severity at all").severity == "warning"


def finding(check: str, severity: Severity = "error") -> Finding:
    return Finding(check, severity, f"what {check}", "", "", f"fix {check}")


def test_the_worst_comes_first() -> None:
    given = [finding("a", "info"), finding("b"), finding("c", "warning"), finding("d"), finding("e", "info")]
    assert [f.check for f in ranked(given)] == ["b", "d", "c", "a", "e"]
    report = CheckReport(ranked(given))
    assert [f.check for f in report.errors] == ["b", "d"]
    error = errors_of(report)
    assert isinstance(error, CheckError) and error.exit_code == 3
    assert error.problems == ("b: what b; fix b", "d: what d; fix d")


def test_a_cause_comes_before_its_symptoms() -> None:
    given = [
        finding("accuracy-fell"),
        finding("no such check"),
        finding("near-duplicates", "info"),
        finding("labels-masked"),
        finding("loss-too-low", "warning"),
        finding("another check"),
        finding("base-not-finite", "info"),
        finding("adapter-missing"),
    ]
    assert [f.check for f in likeliest_first(given)] == [
        "adapter-missing",
        "labels-masked",
        "loss-too-low",
        "accuracy-fell",
        "no such check",
        "another check",
        "base-not-finite",
        "near-duplicates",
    ]


def test_no_cause_is_named_twice() -> None:
    assert len(set(CAUSES)) == len(CAUSES)


def test_a_changed_format_is_told_with_what_changed() -> None:
    told = format_changed("one\ntwo")
    assert (told.check, told.severity, told.evidence) == ("format-changed", "warning", "one\ntwo")


# --- what models wrote


def row(
    n: int, status: Status = "correct", text: str = "t", end: FinishReason = "stop", value: str | None = None
) -> Written:
    return Written(f"q{n}", f"question {n}", "7", text, value, status, end)


def rows(*statuses: Status, end: FinishReason = "stop") -> list[Written]:
    return [row(n, status, end=end) for n, status in enumerate(statuses)]


def checks(found: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(f.check, f.severity) for f in found]


def test_a_model_that_does_well_is_left_alone() -> None:
    assert checks(written_findings("m", rows("correct", "wrong", "unparsed", "truncated"), True)) == []


def test_the_base_model_may_know_nothing() -> None:
    nothing = rows(*["truncated"] * 9, end="length")
    assert checks(written_findings("base", nothing, False)) == checks(written_findings("m", [], True)) == []


def test_a_model_that_never_stops() -> None:
    given = [row(n, "correct" if n else "wrong", f"{n} and so on", "length" if n < 3 else "stop") for n in range(5)]
    (found,) = written_findings("m", given, True)
    assert (found.check, found.severity) == ("never-stops", "error")
    assert "3 of 5 completions" in found.what and "0 and so on" in found.evidence and "correct 4" in found.evidence
    assert checks(written_findings("m", given[1:], True)) == [], "half is not most"


def test_a_model_that_goes_on_with_another_question() -> None:
    on = "so\n#### 7\n\nQuestion: How many?\n#### 15"
    given = [row(n, "wrong" if n < 2 else "correct", on if n < 2 else "so\n#### 7", value="15") for n in range(10)]
    hashed = TASKS["units"].model_validate({"type": "units", "test": {"generate": 1}, "format": {"type": "hash"}})
    (found,) = reading_findings("m", given, hashed, True)
    assert (found.check, found.severity) == ("runs-on-after-answer", "warning")
    assert "2 of 10 completions" in found.what and "2 of them are judged wrong; take: last" in found.evidence
    assert checks(reading_findings("base", given, hashed, False)) == [("runs-on-after-answer", "info")]
    assert checks(reading_findings("m", given[1:], hashed, True)) == [("runs-on-after-answer", "warning")]
    assert checks(reading_findings("m", [*given[1:], *given[2:]], hashed, True)) == [], "one of 17 is too few"
    assert checks(reading_findings("m", [], hashed, True)) == []


def test_a_model_that_writes_decimal_commas() -> None:
    given = [
        row(n, "unparsed", f"<answer>{said}</answer>") for n, said in enumerate(("12,5", "0,305 km", "7", "1,234"))
    ]
    units = {"type": "units", "test": {"generate": 1}}
    (found,) = reading_findings("m", given, TASKS["units"].model_validate(units), True)
    assert (found.check, found.severity) == ("decimal-commas", "warning")
    assert "2 of 4 answers" in found.what and "'12,5', expected '7'" in found.evidence
    commas = TASKS["units"].model_validate(units | {"judge": {"decimal_comma": True}})
    assert checks(reading_findings("m", given, commas, True)) == []


def test_a_model_without_answers() -> None:
    (found,) = written_findings("m", [row(n, "unparsed", "so it goes") for n in range(3)], True)
    assert (found.check, found.severity) == ("answer-rate-zero", "error")
    assert "none of 3" in found.what and "'so it goes' (expected 7)" in found.evidence
    both = written_findings("m", rows(*["truncated"] * 4, end="length"), True)
    assert checks(both) == [("never-stops", "error"), ("answer-rate-zero", "error")]


def test_a_model_that_is_never_right() -> None:
    given = [row(1, "wrong", value="0.007"), row(2, "unparsed"), row(3, "wrong", value="0.008")]
    (found,) = written_findings("m", given, True)
    assert (found.check, found.severity) == ("accuracy-zero", "warning")
    assert "2 of 3 completions contain an answer" in found.what
    assert "parsed '0.007', expected '7'" in found.evidence and "None" not in found.evidence


def test_a_judge_that_fails() -> None:
    (found,) = written_findings("m", rows("correct", "error", "timeout", "timeout"), True)
    assert (found.check, found.severity) == ("judge-fails", "warning")
    assert "failed on 1 and ran out of time on 2 of 4" in found.what
    assert ("judge-fails", "warning") in checks(written_findings("m", rows("error", "error"), True))


def outcome(right: int, wrong: int) -> list[Written]:
    return rows(*["correct"] * right, *["wrong"] * wrong)


def test_a_fall_that_is_no_accident() -> None:
    (found,) = fell("rft", outcome(20, 20), "base", outcome(40, 0))
    assert (found.check, found.severity) == ("accuracy-fell", "error")
    assert found.what == "model rft is worse than base: accuracy 0.500 against 1.000"
    assert "difference -0.500" in found.evidence and "40 questions, won 0, lost 20" in found.evidence
    assert "p = 1.9e-06" in found.evidence


def test_no_fall() -> None:
    assert list(fell("rft", outcome(40, 0), "base", outcome(20, 20))) == [], "it is a rise"
    assert list(fell("rft", outcome(35, 5), "base", outcome(40, 0))) == [], "5 to 0 may be an accident: p = 0.0625"
    assert checks(fell("rft", outcome(34, 6), "base", outcome(40, 0))) == [("accuracy-fell", "error")]
    assert list(fell("rft", outcome(20, 20), "base", outcome(20, 20))) == []


def test_only_the_same_questions_are_compared() -> None:
    others = [row(n + 100, "correct") for n in range(40)]
    assert list(fell("rft", outcome(0, 40), "base", others)) == []
    mixed = list(reversed(outcome(20, 20))) + others
    (found,) = fell("rft", mixed, "base", outcome(40, 0))
    assert "40 questions, won 0, lost 20" in found.evidence and "against 1.000" in found.what
