"""Several seeds of one recipe as one HTML page: means with intervals, each seed beside them. No script."""

from orchestrator.report.about import about
from orchestrator.report.page import environment
from orchestrator.report.run_facts import SeedsFacts


def seeds_page(facts: SeedsFacts) -> str:
    """The page, whole."""
    return environment().get_template("seeds.html.j2").render(about(facts))
