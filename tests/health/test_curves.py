"""Synthetic curves: each sick shape gets its name, healthy ones are left alone, and the figure shows both."""

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from orchestrator.health.causes import CAUSES
from orchestrator.health.curves.advice import Settings, change, clipping, gentler, joined, longer, until
from orchestrator.health.curves.read import NAMES, read_curves
from orchestrator.health.curves.reading import Curves, Reading, StageCurves, Training
from orchestrator.health.curves.series import Series
from orchestrator.health.diagnosis import Diagnosis
from orchestrator.report.curve_figure import curve_figure, title
from orchestrator.report.diagnosis_page import diagnosis_page
from tests.conftest import REPOSITORY
from tests.support.invented_curves import GRPO, LINEAR, SICK, healthy_grpo, healthy_sft

SEEDS = range(6)


HEADLINES = {"sft": "loss", "grpo": "reward"}


def verb_of(name: str) -> str:
    return "grpo" if "reward" in name else "sft"


def read(name: str, seed: int = 0, **settings: object) -> tuple[Reading, ...]:
    """The readings of a sick curve."""
    verb = verb_of(name)
    curves = SICK[name][1](np.random.default_rng(seed))
    return read_curves(HEADLINES[verb], curves, (GRPO if verb == "grpo" else LINEAR) | settings)


def checks(readings: tuple[Reading, ...]) -> list[str]:
    return [reading.finding.check for reading in readings]


# --- what is reported, and what is not


@pytest.mark.parametrize("name", SICK)
def test_a_sick_shape_is_told_alone_under_any_noise(name: str) -> None:
    """One seed of six may hide a shape in its noise; none may turn it into another."""
    found = [checks(read(name, seed)) for seed in SEEDS]
    assert found.count([SICK[name][0]]) >= len(SEEDS) - 1, found
    assert all(one in ([], [SICK[name][0]]) for one in found), found


@pytest.mark.parametrize("name", SICK)
def test_a_finding_says_where_and_what_to_change(name: str) -> None:
    reading = next(reading for seed in SEEDS for reading in read(name, seed))
    finding, steps = reading.finding, [step for step, _ in SICK[name][1](np.random.default_rng(0)).get("loss", [])]
    assert finding.evidence and finding.cause and reading.steps
    assert re.search(r"\w+ (from \S+ )?to [\d.e-]+", finding.remedy) or "evaluate again" in finding.remedy
    assert finding.check in CAUSES
    assert not steps or steps[0] <= reading.steps[0]


def test_healthy_curves_are_left_alone() -> None:
    """200 of each kind, on seeds that no threshold was chosen on.

    Measured on 2,000 more of each (seeds 30,000 to 31,999, also unseen until then): 9 trainings, 0.45%, had a finding
    (95% Wilson interval 0.24% to 0.85%), and no GRPO (0% to 0.19%).
    """
    trainings = [n for n in range(40_000, 40_200) if read_curves("loss", healthy_sft(n), LINEAR)]
    rewards = [n for n in range(40_000, 40_200) if read_curves("reward", healthy_grpo(n), GRPO)]
    assert len(trainings) <= 5 and len(rewards) <= 2, (trainings, rewards)


@pytest.mark.parametrize("name", SICK)
def test_of_a_training_that_was_cut_off_the_end_is_not_read(name: str) -> None:
    """Faults that later steps might have fixed are not reported; those that have already happened are."""
    check, make = SICK[name]
    verb, curves = verb_of(name), make(np.random.default_rng(0))
    open_yet = check in ("too-short", "nothing-learned", "answers-not-learned", "last-evaluation-alone")
    found = read_curves(HEADLINES[verb], curves, GRPO if verb == "grpo" else LINEAR, ended=False)
    assert checks(found) == ([] if open_yet else [check])


@pytest.mark.parametrize("name", SICK)
def test_too_few_points_say_nothing(name: str) -> None:
    curves = SICK[name][1](np.random.default_rng(0))
    few: Curves = {curve: points[:4] for curve, points in curves.items()}
    assert read_curves(HEADLINES[verb_of(name)], few, LINEAR) == () == read_curves(HEADLINES[verb_of(name)], {}, {})


def test_settings_and_other_curves_may_be_missing() -> None:
    for name, (check, make) in SICK.items():
        curves = {k: v for k, v in make(np.random.default_rng(0)).items() if k not in ("grad_norm", "learning_rate")}
        assert set(checks(read_curves(HEADLINES[verb_of(name)], curves, {}))) <= {check}


def test_values_that_are_not_finite_are_the_watch_s() -> None:
    curves: Curves = {"loss": [(n, math.nan) for n in range(30)], "eval_loss": [(n, math.inf) for n in range(9)]}
    assert read_curves("loss", curves, LINEAR) == ()


def test_points_may_come_in_any_order() -> None:
    curves = healthy_sft(3) | {"loss": SICK["diverged"][1](np.random.default_rng(0))["loss"][::-1]}
    assert checks(read_curves("loss", {"loss": curves["loss"]}, LINEAR)) == ["loss-too-high"]


def test_the_first_cause_is_told_alone() -> None:
    curves = SICK["left the minimum"][1](np.random.default_rng(0))
    low = [(step, 0.01) for step, _ in curves["eval_loss"]]
    assert checks(read_curves("loss", curves | {"eval_accuracy": low}, LINEAR)) == ["training-unstable"]


def test_a_training_loss_that_rises_alone_is_the_batches_fault() -> None:
    curves = SICK["left the minimum"][1](np.random.default_rng(0))
    calm = [(step, 0.3 + 2 * 0.5**n) for n, (step, _) in enumerate(curves["eval_loss"])]
    assert "training-unstable" not in checks(read_curves("loss", curves | {"eval_loss": calm}, LINEAR))


def test_overfitting_that_harms_no_answer_is_a_note() -> None:
    curves = SICK["overfitted"][1](np.random.default_rng(0))
    steps = [step for step, _ in curves["eval_loss"]]
    for last, severity in ((0.8, "info"), (0.4, "warning")):
        rising = [(s, float(a)) for s, a in zip(steps, np.linspace(0.5, last, len(steps)), strict=True)]
        (reading,) = read_curves("loss", curves | {"eval_accuracy": rising}, LINEAR)
        assert (reading.finding.check, reading.finding.severity) == ("overfitting", severity)


def test_a_model_that_was_chosen_before_it_went_wrong_is_no_error() -> None:
    validation = {"every": 10, "questions": 64, "select": "best_accuracy"}
    for name, check in (("overfitted", "info"), ("diverged", "warning"), ("collapsed reward", "warning")):
        assert [r.finding.severity for r in read(name, validation=validation)] == [check]
    (reading,) = read("overfitted", validation=validation | {"select": "last"})
    assert "validation.select from last to best_accuracy" in reading.finding.remedy


def test_what_few_questions_can_show() -> None:
    """An accuracy on four questions jumps by itself."""
    few = {"validation": {"every": 10, "questions": 4, "select": "last"}}
    assert read("hacked reward") and not read("hacked reward", **few)


def test_each_curve_that_is_read_is_fetched_from_the_store() -> None:
    sources = "".join(path.read_text() for path in (REPOSITORY / "orchestrator" / "health" / "curves").glob("*.py"))
    used = set(re.findall(r'training\["(\w+)"\]', sources)) | {"eval_loss", "eval_accuracy"}
    assert used == set(NAMES) and len(used) >= 7


# --- advice


def test_advice_is_in_the_stage_s_own_settings() -> None:
    none, norms = Series.of(()), Series.of([(n, 0.37) for n in range(9)])
    assert (
        change(Settings({"beta": 0.0}), "beta", 0.04) == "beta from 0 to 0.04"
        and change(Settings(), "beta", 1) == "beta to 1"
    )
    assert joined(["a"]) == "a" and joined(["a", "b"]) == "a and b" and joined(["a", "b", "c"]) == "a, b and c"
    assert clipping(Settings({"max_grad_norm": 0.0}), norms) == "max_grad_norm from 0 to 0.4"
    assert clipping(Settings({"max_grad_norm": 1000.0}), norms) == "max_grad_norm from 1000 to 0.4"
    assert clipping(Settings({"max_grad_norm": 0.5}), norms) is None and clipping(Settings(), norms) is None
    told = gentler(
        Settings({"learning_rate": 0.06, "warmup_steps": 0.1, "max_grad_norm": 1.0}), none, divisor=3, known=0.01
    )
    assert told == "set learning_rate from 0.06 to 0.01", "a rate that still worked is not exceeded"
    epochs = Series.of([(10, 1.0), (20, 2.0), (30, 3.0)])
    assert until(Settings({"max_steps": 30}), epochs, 20) == "max_steps from 30 to 20"
    assert until(Settings({"max_steps": None, "num_train_epochs": 3.0}), epochs, 20) == "num_train_epochs from 3 to 2"
    assert until(Settings(), none, 20) == "max_steps to 20"
    assert longer(Settings({"max_steps": 60}), none, 2) == "max_steps from 60 to 120"
    assert longer(Settings(), epochs, 2) == "num_train_epochs from 3 to 6" and "2 times as many" in longer(
        Settings(), none, 2
    )


def test_advice_fits_the_fault() -> None:
    assert "learning_rate from 0.002 to 0.00067" in read("left the minimum")[0].finding.remedy
    assert "warmup_steps from 0 to 0.1" in read("left the minimum")[0].finding.remedy
    assert read("cut short")[0].finding.remedy == "set max_steps from 400 to 800"
    assert read("words only", answer_weight=1.0)[0].finding.remedy.startswith("set answer_weight from 1 to 5")
    assert "beta from 0 to 0.04" in read("hacked reward")[0].finding.remedy
    assert read("flat", learning_rate=1e-7)[0].finding.remedy == "set learning_rate from 1e-07 to 0.0002"
    assert read("flat", learning_rate=1e-3)[0].finding.remedy == "set learning_rate from 0.001 to 0.01"


def test_advice_names_the_very_settings_of_a_stage() -> None:
    """The advice can be typed after `orch run RECIPE`."""
    validation = {"every": 10, "questions": 400, "select": "last"}
    wanted = {
        "left the minimum": "stages.rft.learning_rate from 0.002 to 0.00067 and stages.rft.warmup_steps from 0 to 0.1",
        "overfitted": "set stages.rft.validation.select from last to best_accuracy",
        "last evaluation alone": "set stages.rft.validation.questions from 400 to 1600 and "
        "stages.rft.validation.every from 10 to 5",
        "cut short": "set stages.rft.max_steps from 400 to 800",
        "words only": "set stages.rft.answer_weight to 5",
        "flat": "set stages.rft.learning_rate from 0.002 to",
        "diverged": "stages.rft.learning_rate from 0.002 to",
        "spikes": "set stages.rft.adam_beta2 from 0.999 to 0.95",
        "hacked reward": "stages.rft.beta from 0 to 0.04",
    }
    for name, said in wanted.items():
        curves = SICK[name][1](np.random.default_rng(0))
        own = GRPO if verb_of(name) == "grpo" else LINEAR
        (reading,) = read_curves(HEADLINES[verb_of(name)], curves, own | {"validation": validation}, "stages.rft.")
        assert said in reading.finding.remedy, name


# --- statistics


def test_noise_is_not_a_trend() -> None:
    rng = np.random.default_rng(0)
    bent = Series.of([(n, 3 * math.exp(-n / 30) + rng.normal() * 0.1) for n in range(200)])
    assert 0.07 < bent.noise() < 0.13
    assert Series.of([(n, float(n * n)) for n in range(9)]).noise() < 2 and Series.of([(1, 2.0)]).noise() == 0.0


def test_trends() -> None:
    up = Series.of([(n, float(n)) for n in range(6)])
    assert up.rising() == pytest.approx(1 / 720) and up.falling() == 1.0 and up.change() == pytest.approx(5.0)
    assert Series.of([(n, 1.0) for n in range(6)]).rising() == 1.0, "a flat series does not rise"
    assert Series.of([(1, 2.0), (1, 3.0)]).values.tolist() == [3.0]
    assert up.since(4).steps.tolist() == [4, 5] and up.until(1).steps.tolist() == [0, 1]
    spiked = Series.of([(n, 9.0 if n == 3 else 1.0) for n in range(7)])
    assert spiked.smooth(3).tolist() == [1.0] * 7 and spiked.level(3) == 1.0


def test_the_chance_of_an_accuracy() -> None:
    assert Training.of({}, {"validation": {"questions": 100}}).chance(0.5) == pytest.approx(0.05)
    assert Training.of({}, {"validation": None}).chance(0.5) == 0.0


# --- the figure


def staged(name: str, stage: str = "sft") -> StageCurves:
    curves = SICK[name][1](np.random.default_rng(0))
    return StageCurves(stage, verb_of(name), curves, read(name))


@pytest.mark.parametrize("name", SICK)
def test_the_figure_is_one_element_of_a_page(name: str) -> None:
    svg = curve_figure(staged(name))
    assert svg is not None and svg.startswith("<svg")
    root = ElementTree.fromstring(svg)
    assert (
        root.get("role") == "img" and root[0].tag.endswith("title") and root.get("aria-labelledby") == root[0].get("id")
    )
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", svg) and "<script" not in svg
    assert not re.search(r"#0[1-5]0[1-5]0[1-5]\b", svg), "each placeholder became a color of the page"
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert len(set(ids)) == len(ids) and all(re.match("curves-[0-9a-f]{8}-", found) for found in ids)
    assert set(re.findall(r'(?:url\(#|href="#)([^")]*)', svg)) <= set(ids)
    assert "var(--error" in svg, "the finding's step is marked"


def test_the_figure_is_the_same_each_time_and_none_without_curves() -> None:
    assert curve_figure(staged("spikes")) == curve_figure(staged("spikes"))
    assert curve_figure(StageCurves("sft", "sft", {"loss": [(1, 2.0)]}, ())) is None
    assert curve_figure(StageCurves("grpo", "grpo", {"loss": [(1, 2.0), (2, 2.0)]}, ())) is None


def test_the_checkpoint_that_was_chosen_is_marked() -> None:
    seen = staged("overfitted")
    step = seen.curves["eval_loss"][2][0]
    marked, bare = curve_figure(replace(seen, chosen=step)), curve_figure(seen)
    assert marked is not None and bare is not None
    assert f"chosen: step {step}" in marked and "chosen" not in bare
    assert f"; the model of step {step} was chosen" in title(replace(seen, chosen=step))
    unmeasured = curve_figure(replace(seen, chosen=step + 1))
    assert unmeasured is not None and "chosen: step" not in unmeasured


def test_the_title_says_in_words_what_is_drawn() -> None:
    words = title(staged("overfitted"))
    assert words.startswith("Curves of stage sft; training loss from") and "evaluation loss from" in words
    assert "; 1, after step" in words


def test_the_page_holds_a_figure_for_each_stage_and_fetches_nothing() -> None:
    stages = (staged("overfitted", "one"), staged("hacked reward", "two"), StageCurves("three", "sft", {}, ()))
    page = diagnosis_page(Diagnosis("run", (), (), (), (), {}, stages))
    assert page.count("<svg") == page.count("</svg>") == page.count("<figcaption>") == 2
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(set(ids)) == len(ids)
    assert "<title id=" in page and "reward-not-accuracy" in page and "src=" not in page and "@import" not in page
    bare = diagnosis_page(Diagnosis("run", (), (), (), (), {}))
    assert "<figure>" not in bare and "<h2>Curves" not in bare
