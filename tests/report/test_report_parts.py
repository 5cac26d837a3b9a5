"""The parts of a run's report: flows, difficulty, colours, figures."""

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from orchestrator.comparison.palette import BROKEN, FIXED, GREY, MODELS, Shade, model_colours
from orchestrator.report.difficulty import NEIGHBOURS, by_expectation, by_others, expected
from orchestrator.report.figure_files import write_figures
from orchestrator.report.flow import KINDS, Flow, first_pair, flow, flows, in_turns, kind
from orchestrator.report.flow_shape import GAP, bars, ribbons
from orchestrator.report.seeds_reading import _named
from orchestrator.types import BASE, Finding
from tests.support.invented_run import ANSWERS, RECIPE, asked_of, invented

# --- question by question


def test_every_question_is_of_one_kind_and_the_kinds_are_mcnemars() -> None:
    asked = asked_of({"a": "ccwwu", "b": "cwcwt"})
    found = flow(asked, "a", "b")
    assert found == Flow("a", "b", fixed=1, broken=1, kept=1, missed=2) and found.n == 5
    assert flow(asked, "b", "a").fixed == found.broken
    assert [kind(*pair) for pair in ((False, True), (True, False), (True, True), (False, False))] == list(KINDS)


def test_pairs_go_from_the_earlier_model_to_the_later() -> None:
    asked = asked_of(ANSWERS)
    assert [(f.before, f.after) for f in flows(asked, list(ANSWERS))] == [
        ("base", "sft"),
        ("base", "rft"),
        ("sft", "rft"),
    ]


@pytest.mark.parametrize(
    ("labels", "pair"),
    [
        (["base", "sft", "rft"], ("sft", "rft")),
        (["base", "sft"], ("base", "sft")),
        (["base", "rft"], ("base", "rft")),
        (["sft"], None),
    ],
)
def test_the_pair_to_begin_with(labels: list[str], pair: tuple[str, str] | None) -> None:
    assert first_pair(RECIPE, labels) == pair


def test_kinds_take_turns_and_none_is_lost() -> None:
    asked = asked_of({"a": "ccccwwcw", "b": "ccccwwwc"})
    ordered = in_turns(asked, ("a", "b"))
    kinds = [kind(one.right("a"), one.right("b")) for one in ordered]
    assert kinds[:4] == ["fixed", "broken", "kept", "missed"]
    assert sorted(one.example_id for one in ordered) == sorted(one.example_id for one in asked)
    assert in_turns(asked, None) == asked


@pytest.mark.parametrize("counts", [(3, 1, 2, 2), (0, 0, 5, 0), (0, 4, 0, 1), (7, 0, 0, 0), (1, 1, 1000, 1000)])
def test_a_flow_is_drawn_to_scale(counts: tuple[int, int, int, int]) -> None:
    one = Flow("a", "b", *counts)
    scale = (1 - GAP) / one.n
    for ribbon in ribbons(one):
        for low, high in (ribbon.left, ribbon.right):
            assert high - low == pytest.approx(scale * one.count(ribbon.kind)) and low >= 0 and high <= 1 + 1e-9
    for after in (False, True):
        sides = [bar for bar in bars(one) if bar.after == after]
        assert sum(bar.count for bar in sides) == one.n
        ends = sorted(r.right if after else r.left for r in ribbons(one))
        assert all(a[1] <= b[0] + 1e-9 for a, b in pairwise(ends)), "ribbons do not overlap"
        for bar in sides:
            assert bar.bottom - bar.top == pytest.approx(scale * bar.count)
            inside = [end for end in ends if bar.top - 1e-9 <= end[0] and end[1] <= bar.bottom + 1e-9]
            assert sum(high - low for low, high in inside) == pytest.approx(bar.bottom - bar.top)


# --- difficulty


def test_a_question_is_expected_to_be_as_hard_as_those_most_like_it() -> None:
    train = {f"easy{i}": f"How many cm are {i} m?" for i in range(NEIGHBOURS)}
    train |= {f"hard{i}": f"Convert {i}.5 acres to hectares" for i in range(NEIGHBOURS)}
    rates = {name: 0.9 if name.startswith("easy") else 0.2 for name in train}
    rates["easy0"] = 0.8
    found = expected(rates, train, {"a": "How many cm are 77 m?", "b": "Convert 3.5 acres to hectares, please"})
    assert found == pytest.approx({"a": 0.89, "b": 0.2})
    assert expected(rates, train, {"c": "zzz"}).keys() == {"c"}, "unlike any of them, it still gets a number"


def test_nothing_is_expected_where_little_was_drawn() -> None:
    train = {str(i): "a question" for i in range(NEIGHBOURS)}
    assert expected({str(i): 0.5 for i in range(NEIGHBOURS - 1)}, train, {"a": "a question"}) == {}
    assert expected({str(i): 0.5 for i in range(NEIGHBOURS)}, {}, {"a": "a question"}) == {}


def test_groups_hold_every_question_once_the_hardest_first() -> None:
    asked = asked_of({"a": "wwwwcccc", "b": "cccccccc"})
    groups = by_expectation(asked, ["a", "b"], {one.example_id: place / 10 for place, one in enumerate(asked)})
    assert [g.label for g in groups] == ["0% to 10%", "20% to 30%", "40% to 50%", "60% to 70%"]
    cells = [g.cells["a"] for g in groups]
    assert [(c.right, c.n) for c in cells if c] == [(0, 2), (0, 2), (2, 2), (2, 2)]
    same = by_expectation(asked, ["a"], dict.fromkeys((one.example_id for one in asked), 0.5))
    assert [(g.label, g.cells["a"].n) for g in same if g.cells["a"]] == [("50%", 8)]
    assert by_expectation(asked, ["a"], {}) == []


def test_others_do_not_count_the_model_itself() -> None:
    groups = by_others(asked_of({"a": "ccw", "b": "cww", "c": "ccc"}), ["a", "b", "c"])
    assert [g.label for g in groups] == ["0 of 2", "1 of 2", "2 of 2"]
    found = {label: [(c.right, c.n) if (c := g.cells[label]) else None for g in groups] for label in "abc"}
    assert found == {
        "a": [None, (1, 2), (1, 1)],
        "b": [None, (0, 1), (1, 2)],
        "c": [(1, 1), (1, 1), (1, 1)],
    }


# --- colours

EYES = {
    "all cones": np.eye(3),
    "no red cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no green cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "no blue cones": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
"""How colors are seen, in linear RGB (Machado, Oliveira and Fernandes 2009, IEEE TVCG 15:1291, severity 1)."""
PAPER = {"light": "#ffffff", "dark": "#0d1117"}


def linear(colour: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a: str, b: str) -> float:
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("paper", PAPER)
@pytest.mark.parametrize("shades", [[GREY, *MODELS], [GREY, FIXED, BROKEN]], ids=["models", "flows"])
def test_colours_are_seen_on_the_paper_and_told_apart_by_everyone(paper: str, shades: list[Shade]) -> None:
    colours = [getattr(shade, paper) for shade in shades]
    assert all(contrast(colour, PAPER[paper]) >= 3 for colour in colours), "WCAG 2.2, 1.4.11"
    for name, eye in EYES.items():
        seen = [lab(eye @ linear(colour)) for colour in colours]
        nearest = min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))
        assert nearest > 15, f"{name}: {nearest:.0f}"


def test_a_model_has_its_colour_by_its_place_and_the_base_is_grey() -> None:
    assert list(model_colours([BASE, "sft", "rft"]).values()) == [GREY, *MODELS[:2]]
    assert model_colours(["sft", BASE])["sft"] == MODELS[0]
    assert len(model_colours([f"m{i}" for i in range(20)])) == 20


# --- figures as files


def test_figures_are_written_twice_and_the_same_each_time(tmp_path: Path) -> None:
    facts = invented(tmp_path, text="$x_1$ <b> & é")
    for folder in ("one", "two"):
        write_figures(facts, tmp_path / folder)
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert files == sorted(
        f"{name}.{kind}" for name in ("accuracy", "flow", "curves", "sampling") for kind in ("png", "svg")
    )
    for name in files:
        data = (tmp_path / "one" / name).read_bytes()
        assert data == (tmp_path / "two" / name).read_bytes() and 2_000 < len(data) < 400_000
        if name.endswith(".png"):
            assert imread(tmp_path / "one" / name).shape[1] >= 1200, "300 dots per inch"
        else:
            assert b"<script" not in data and b'href="http' not in data


def test_a_run_without_trainings_and_draws_has_no_figure_of_them(tmp_path: Path) -> None:
    facts = invented(tmp_path, {"sft": "cw"}, trainings=(), samplings=(), expected={})
    write_figures(facts, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["accuracy.png", "accuracy.svg"]


# --- several seeds


def test_a_finding_names_its_seeds_unless_all_have_it() -> None:
    finding = Finding("too-short", "warning", "it is short", "", "", "")
    told = {seeds: _named(finding, seeds, 3).what for seeds in ((), (1,), (2, 0), (0, 1, 2))}
    assert told == {
        (): "it is short",
        (1,): "seed 1: it is short",
        (2, 0): "seeds 0, 2: it is short",
        (0, 1, 2): "it is short",
    }
