"""MLflow's own pages after `orch run` and `orch ui`, with nothing set up by hand, as a first visitor sees them."""

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import Served, Watched
from tests.integration.store import children

pytestmark = pytest.mark.slow
MODELS = ["base", "sft", "rft", "grpo"]
Visit = Callable[..., Watched]


def test_the_printed_link_shows_the_models_side_by_side(served: Served, visit: Visit) -> None:
    page = visit(served.link).page
    for metric in ("accuracy", "answer_rate"):
        card = page.get_by_test_id("experiment-view-compare-runs-card").filter(has=page.get_by_text(metric, exact=True))
        chart = card.locator(".js-plotly-plot").first
        chart.locator(".bars .point").first.wait_for(state="attached")
        names = chart.locator(".yaxislayer-above text, .ytick text").all_inner_texts()
        drawn = [text for text in chart.locator(".bars .point text").all_inner_texts() if text]
        assert chart.locator(".bars .point").count() == 4
        assert sorted(drawn) == sorted(f"{served.models[name][metric]:.2f}" for name in MODELS), names


def test_the_table_has_the_four_models_with_their_figures(served: Served, visit: Visit) -> None:
    page = visit(served.link.replace("compareRunsMode=CHART&", "")).page
    page.get_by_role("link", name="grpo", exact=True).wait_for()
    for name in MODELS:
        assert page.get_by_role("link", name=name, exact=True).count() == 1
    shown = page.locator(".ag-root").first.inner_text()
    for name in MODELS:
        for metric in ("accuracy", "answer_rate"):
            assert f"{served.models[name][metric]:.3g}".rstrip("0").rstrip(".") in shown, (name, metric)
    heads = page.locator(".ag-header").first.inner_text()
    assert "accuracy" in heads and "answer_rate" in heads


def test_a_first_visit_of_the_experiment_finds_the_models_unfolded(served: Served, visit: Visit) -> None:
    page = visit(served.page("runs") + "?compareRunsMode=CHART").page
    for name in MODELS:
        page.get_by_role("link", name=name, exact=True).wait_for()


def test_runs_are_found_by_model_and_by_verb(served: Served, visit: Visit) -> None:
    query = "tags.%60orch.model%60%20%3D%20'rft'%20AND%20tags.%60orch.verb%60%20%3D%20'sft'"
    page = visit(served.page("runs") + f"?searchFilter={query}&orderByKey=metrics.%60accuracy%60").page
    page.get_by_role("link", name="rft", exact=True).wait_for()
    assert page.get_by_text("1 matching run", exact=False).count() == 1
    assert page.get_by_role("link", name="grpo", exact=True).count() == 0


def test_the_parent_tells_the_conclusion_and_leads_on(served: Served, visit: Visit) -> None:
    page = visit(served.page("runs", served.parent.info.run_id)).page
    page.get_by_text("rft is better than sft", exact=False).first.wait_for()
    more = page.get_by_role("button", name="Show more")
    if more.count():
        more.click()
    below = children(served.folder, served.parent.info.run_id)
    for name in MODELS:
        assert page.locator(f"a[href$='{below[name].info.run_id}']").count() >= 1, name
    with page.context.expect_page() if page.locator("a[target=_blank]", has_text="chart").count() else _same(page):
        page.get_by_role("link", name=re.compile("chart", re.IGNORECASE)).first.click()
    opened = page.context.pages[-1]
    opened.get_by_role("link", name="grpo", exact=True).wait_for()
    assert "viewStateShareKey" in opened.url


class _same:
    """A link that opens in the same window."""

    def __init__(self, page: object) -> None:
        self.page = page

    def __enter__(self) -> object:
        return self.page

    def __exit__(self, *_: object) -> None:
        pass


def test_the_report_is_rendered_among_the_artifacts(served: Served, visit: Visit) -> None:
    page = visit(served.page("runs", served.parent.info.run_id, "artifacts", "report.html")).page
    frame = page.frame_locator("iframe").first
    frame.get_by_role("heading").first.wait_for()
    assert frame.get_by_text("better than", exact=False).count() >= 1


def test_the_completions_are_a_table(served: Served, visit: Visit) -> None:
    below = children(served.folder, served.parent.info.run_id)
    page = visit(served.page("runs", below["rft"].info.run_id, "artifacts", "eval", "samples.json")).page
    page.get_by_text("View as table").wait_for()
    for head in ("question", "expected", "completion", "parsed", "status"):
        page.get_by_text(head, exact=True).first.wait_for()


def test_the_models_tab_compares_them(served: Served, visit: Visit) -> None:
    page = visit(served.page("models")).page
    for name in MODELS:
        page.get_by_role("link", name=name, exact=True).first.wait_for()
    page.get_by_text("accuracy", exact=True).first.wait_for()
    assert page.get_by_text(f"{served.models['rft']['accuracy']:.3g}", exact=False).count() >= 1
