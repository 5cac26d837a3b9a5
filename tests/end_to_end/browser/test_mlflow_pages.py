"""MLflow's own pages after `orch run` and `orch ui`, with nothing set up by hand, as a first visitor sees them."""

import re
from collections.abc import Callable

import pytest

from tests.end_to_end.browser.conftest import Served, Watched
from tests.support.store import children

pytestmark = pytest.mark.slow
MODELS = ["base", "sft", "rft", "grpo"]
Visit = Callable[..., Watched]


def test_the_printed_link_shows_the_models_side_by_side(served: Served, visit: Visit) -> None:
    page = visit(served.link).page
    for metric in ("accuracy", "answer_rate"):
        card = page.get_by_test_id("experiment-view-compare-runs-card").filter(has=page.get_by_text(metric, exact=True))
        chart = card.locator(".js-plotly-plot").first
        chart.locator(".bars .point").first.wait_for(state="attached")
        chart.locator(".bars .point text").nth(3).wait_for(state="attached")
        drawn = chart.locator(".bars .point text").all_text_contents()
        assert sorted(drawn) == sorted(f"{served.models[name][metric]:.2f}" for name in MODELS)
        assert set(card.locator(".legendtext").all_text_contents()) >= set(MODELS[1:]) or all(
            card.get_by_text(name, exact=True).count() for name in MODELS
        )


def test_the_table_has_the_four_models_with_their_figures(served: Served, visit: Visit) -> None:
    page = visit(served.link.replace("compareRunsMode=CHART&", "")).page
    page.get_by_role("link", name="grpo", exact=True).wait_for()
    for name in MODELS:
        assert page.get_by_role("link", name=name, exact=True).count() == 1
    shown = page.locator(".ag-root").first.inner_text().split("\n")
    for name in MODELS:
        for metric in ("accuracy", "answer_rate"):
            assert f"{served.models[name][metric]:g}" in {f"{float(t):g}" for t in shown if _is_number(t)}, (
                name,
                metric,
            )
    heads = page.locator(".ag-header").first.inner_text()
    assert "accuracy" in heads and "answer_rate" in heads


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9.]+", text) is not None


def test_a_first_visit_of_the_experiment_finds_the_models_unfolded(served: Served, visit: Visit) -> None:
    page = visit(served.page("runs") + "?compareRunsMode=CHART").page
    for name in MODELS:
        page.get_by_role("link", name=name, exact=True).wait_for()


def test_runs_are_found_by_model_and_by_verb(served: Served, visit: Visit) -> None:
    query = "tags.%60orch.model%60%20%3D%20'rft'%20AND%20tags.%60orch.verb%60%20%3D%20'sft'"
    page = visit(served.page("runs") + f"?searchFilter={query}&orderByKey=metrics.%60accuracy%60").page
    page.get_by_role("link", name="rft", exact=True).first.wait_for()
    assert page.get_by_text("1 matching run", exact=False).count() == 1
    assert page.get_by_role("link", name="grpo", exact=True).count() == 0


def test_the_parent_tells_the_conclusion_and_leads_on(served: Served, visit: Visit) -> None:
    page = visit(served.page("runs", served.parent.info.run_id)).page
    page.get_by_text(served.conclusion).first.wait_for()
    more = page.get_by_role("button", name="Show more")
    if more.count():
        more.click()
    below = children(served.folder, served.parent.info.run_id)
    for name in MODELS:
        assert page.locator(f"a[href$='{below[name].info.run_id}']").count() >= 1, name
    link = page.get_by_role("link", name="Chart of the newest models")
    chart = visit(f"{served.address}/{(link.get_attribute('href') or '').lstrip('/')}").page
    chart.get_by_role("link", name="grpo", exact=True).wait_for()
    assert "viewStateShareKey" in chart.url


def test_the_report_is_rendered_among_the_artifacts(served: Served, visit: Visit) -> None:
    page = visit(served.page("runs", served.parent.info.run_id, "artifacts", "report.html")).page
    frame = page.frame_locator("iframe").first
    frame.get_by_role("heading").first.wait_for()
    assert frame.get_by_text(served.conclusion).count() >= 1


def test_the_completions_are_a_table(served: Served, visit: Visit) -> None:
    below = children(served.folder, served.parent.info.run_id)
    page = visit(served.page("runs", below["rft"].info.run_id, "artifacts", "eval", "samples.json")).page
    page.get_by_text("View as table").wait_for()
    for head in ("question", "expected", "completion", "parsed", "status"):
        page.get_by_text(head, exact=True).first.wait_for()


def test_the_models_tab_compares_them(served: Served, visit: Visit) -> None:
    page = visit(served.page("models") + "?workflowType=machine_learning", width=2600).page
    for name in MODELS:
        page.get_by_role("link", name=name, exact=True).first.wait_for()
    page.get_by_text("accuracy", exact=True).first.wait_for()
    shown = page.locator(".ag-root").first.inner_text().split("\n")
    for name in MODELS:
        assert f"{served.models[name]['accuracy']:g}" in {f"{float(t):g}" for t in shown if _is_number(t)}, name
