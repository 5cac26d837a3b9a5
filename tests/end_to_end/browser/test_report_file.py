"""The report as a standalone file: any width, light and dark, by keyboard, without a network."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Called
from tests.end_to_end.browser.conftest import Watched
from tests.support.store import artifact, client

pytestmark = pytest.mark.slow
Visit = Callable[..., Watched]


@pytest.fixture(scope="session")
def report(shipped_run: tuple[Path, Called]) -> str:
    folder, called = shipped_run
    return artifact(client(folder).get_run(called.json["run_id"]), "report.html").as_uri()


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_well_at_any_width_and_complains_of_nothing(
    report: str, visit: Visit, width: int, scheme: str
) -> None:
    watched = visit(report, width, color_scheme=scheme)
    asked: list[str] = []
    watched.page.on("request", lambda request: asked.append(request.url))
    watched.page.reload()
    watched.page.wait_for_load_state("load")
    assert watched.wrong == []
    assert [url for url in asked if not url.startswith(("data:", report))] == []
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= width
    # smaller text is unreadable on a phone
    text = "main p, main td, main th, main li"
    sizes = f"[...document.querySelectorAll({text!r})].map(e => parseFloat(getComputedStyle(e).fontSize))"
    assert min(watched.page.evaluate(sizes)) >= 11
    light = watched.page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 3"
    )
    assert light > 200 if scheme == "light" else light < 60


def test_everything_that_acts_is_reached_by_the_keyboard(report: str, visit: Visit) -> None:
    page = visit(report).page
    acting = "a[href], button, input, select, summary, [tabindex='0']"
    visible = page.evaluate(f"[...document.querySelectorAll({acting!r})].filter(e => e.checkVisibility()).length")
    reached = set()
    for _ in range(visible + 5):
        page.keyboard.press("Tab")
        place = page.evaluate(f"[...document.querySelectorAll({acting!r})].indexOf(document.activeElement)")
        reached.add(place)
        outline = page.evaluate(
            "(e => e === document.body ? 'body' : getComputedStyle(e).outlineStyle + getComputedStyle(e).boxShadow)"
            "(document.activeElement)"
        )
        assert outline != "nonenone", "the focus is not visible"
    assert len(reached - {-1}) == visible


def test_completions_are_searched_and_filtered(report: str, visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit(report).page
    search = page.get_by_role("searchbox").or_(page.get_by_label("Search in questions and answers")).first
    shown = page.locator("article[data-s]").filter(visible=True)
    expect(shown).to_have_count(20)
    search.fill("no question of this report holds these words")
    expect(shown).to_have_count(0)
    search.fill("")
    expect(shown).to_have_count(20)
    page.locator("select").filter(visible=True).last.select_option("wrong")
    expect(page.locator("article[data-s]:not([data-s$='wrong'])").filter(visible=True)).to_have_count(0)
    expect(shown).not_to_have_count(0)


def test_without_scripts_all_of_it_is_there(report: str, visit: Visit) -> None:
    page = visit(report, java_script_enabled=False).page
    for head in ("Conclusion", "Accuracy", "Question by question", "Training", "Recipe and versions"):
        assert page.get_by_role("heading", name=head, exact=False).count() >= 1, head
    assert page.locator("article[data-s]").count() >= 20
