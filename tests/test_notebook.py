"""How a notebook shows orch's results: complete, escaped tables; elsewhere one short line."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from orchestrator.commands.clean import Cleaned, Leftover
from orchestrator.commands.export import Exported
from orchestrator.comparison import ComparedModel, Comparison, ModelDifference
from orchestrator.health.findings import CheckReport
from orchestrator.plan.plan import compile_recipe
from orchestrator.recipe.recipe import load_recipe
from orchestrator.report.make import Reported
from orchestrator.results import (
    Difference,
    DifferenceOverSeeds,
    Evaluation,
    EvaluationOverSeeds,
    ModelOverSeeds,
    ModelResult,
    RunResult,
    SeedsResult,
    SweepResult,
    TrialResult,
)
from orchestrator.types import Finding
from tests.conftest import SMALL

BAD = "<script>alert('x')</script>&\x1b[31m"
MODELS = (ModelResult("sft", 0.6, 0.557, 0.642, 0.9, 500), ModelResult(BAD, 0.8, 0.763, 0.833, 0.991, 500))
GAP = Difference(BAD, "sft", 0.2, 0.157, 0.245, 0.0004, 120, 20)
FINDING = Finding("labels-masked", "warning", BAD, BAD, BAD, BAD)
STAGES: tuple[dict[str, Any], ...] = ({"name": "sft", "state": "done", "key": "k"},)
RUN = RunResult("f" * 32, BAD, MODELS, STAGES, (GAP,), (BAD,), (FINDING,), conclusions=(BAD,), judged_by=BAD)
OVER = tuple(ModelOverSeeds(n, (0, 1), (0.6, 0.7), 0.65, 0.07, 0.551, 0.742, 0.9, 500, False) for n in ("sft", BAD))
GAP_OVER = DifferenceOverSeeds(BAD, "sft", (0, 1), (0.1, 0.2), 0.15, 0.081, 0.219, 0.034)
SEEDS = SeedsResult("f" * 32, BAD, (0, 1), OVER, (GAP_OVER,), (RUN, RUN), conclusions=(BAD,), errors=(BAD,))
TRIALS = (
    TrialResult(
        0, {"stages.rft.learning_rate": 1e-4, BAD: BAD}, "complete", 0.6, 0.557, 0.642, False, -0.2, 0.01, 75, 0, "r"
    ),
    TrialResult(
        1, {"stages.rft.learning_rate": 1e-3, BAD: "b"}, "complete", 0.8, 0.763, 0.833, True, None, None, 75, 0, "r"
    ),
    TrialResult(
        2, {"stages.rft.learning_rate": 1.0, BAD: "c"}, "failed", None, None, None, False, None, None, 0, 0, "r", BAD
    ),
)
BEST = {"number": 1, "label": TRIALS[1].label, "recipe": BAD}
SWEEP = SweepResult("f" * 32, BAD, {"name": "a", "on": "b"}, TRIALS, BEST, None, {}, {}, {}, (BAD,), (BAD,))
COMPARED = tuple(
    ComparedModel(n, n, (0,), ("r",), 0.8, 0.763, 0.833, 0.991, 500, (0.8,), None, 30.0, 12.0, 0.0)
    for n in ("sft", BAD)
)
AGAINST = ModelDifference(BAD, "sft", 0.2, 0.157, 0.245, 0.0001, 0.0004, 120, 20, 500, 0.05, 0.15, 0.25, 0.1, 0.1)
COMPARISON = Comparison("test", COMPARED, (AGAINST,), judged_by=BAD)
EVERYTHING = [
    RUN,
    replace(RUN, models=(), differences=()),
    replace(RUN, also=(Evaluation(BAD, MODELS, (GAP,), (BAD,)),)),
    SEEDS,
    replace(SEEDS, also=(EvaluationOverSeeds(BAD, OVER, (GAP_OVER,), (BAD,)),)),
    SWEEP,
    replace(SWEEP, trials=(), best=None),
    COMPARISON,
    CheckReport((FINDING,)),
    CheckReport(()),
    Reported("f" * 32, Path(f"/{BAD}/report.html"), (), True),
    Cleaned(Path(BAD), (Leftover(Path("a") / BAD, 10**6, 3.0, BAD, BAD, True),), False, BAD),
    Exported("f" * 32, BAD, "adapter", Path(BAD), 10**6, None, None, None, (BAD,)),
]


class Read(HTMLParser):
    """The tables of a page as rows of texts; every opened tag must be closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("table", "thead", "tbody", "tr", "th", "td", "p", "pre"), tag
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("th", "td"):
            self.tables[-1][-1][-1] += data


@pytest.mark.parametrize("shown", EVERYTHING, ids=lambda one: type(one).__name__)
def test_what_is_returned_is_escaped_and_whole(shown: Any) -> None:
    page = shown._repr_html_()
    assert "<script" not in page and "\x1b" not in page
    for table in Read(page).tables:
        assert len({len(row) for row in table}) == 1, "every row has every column"


@pytest.mark.parametrize("shown", [one for one in EVERYTHING if not isinstance(one, Reported | Exported)])
def test_elsewhere_it_is_one_short_line(shown: Any) -> None:
    plain = repr(shown).replace(repr(BAD), "").replace(BAD, "")
    assert len(plain.splitlines()) == 1 and len(plain) < 200


def test_figures_stand_with_their_intervals() -> None:
    row = [BAD.replace("\x1b", "\\x1b"), "0.800 [0.763, 0.833]", "0.991", "sft", "+0.200 [+0.157, +0.245]", "< 0.001"]
    for shown in (RUN, COMPARISON):
        head, sft, other = Read(shown._repr_html_()).tables[0]
        assert head == ["model", "accuracy", "answer rate", "against", "difference", "p"]
        assert other == row and sft[3:] == ["", "", ""]
    assert Read(SEEDS._repr_html_()).tables[0][2][1:] == [
        *("0.650 [0.551, 0.742]", "0.900", "sft", "+0.150 [+0.081, +0.219]", "0.034")
    ]
    trials = Read(SWEEP._repr_html_()).tables[0]
    assert [row[0] for row in trials[1:]] == ["1", "0", "2"], "the best first, trials without a value last"
    assert trials[1][3] == "0.800 [0.763, 0.833]" and trials[1][-1] == "proposed" and trials[3][-1] == "failed"


@pytest.mark.parametrize("seeds", [False, True])
def test_a_plan_and_its_recipe(seeds: bool) -> None:
    recipe = load_recipe(SMALL, ["seeds=[0,1]"] if seeds else [])
    plan = compile_recipe(recipe)
    [rows] = Read(plan._repr_html_()).tables
    assert [row[0] for row in rows[1:]] == [stage.name for stage in plan.stages]
    assert {row[-1] for row in rows[1:]} == {"to run"} and all(
        stage.key[:8] in row for stage, row in zip(plan.stages, rows[1:], strict=True)
    )
    assert f"{len(plan.stages)} of {len(plan.stages)} stages to run" in repr(plan) and len(repr(plan)) < 100
    assert "per_device_train_batch_size: 4" in recipe._repr_html_() and len(repr(recipe)) < 100
    Read(recipe._repr_html_())
