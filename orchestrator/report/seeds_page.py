"""Several seeds of one recipe as one HTML page: means with intervals, and each seed beside them. No script."""

from orchestrator.report.about import about
from orchestrator.report.facts import SeedsFacts
from orchestrator.report.html import environment


def seeds_page(facts: SeedsFacts) -> str:
    """The complete page."""
    return environment().get_template("seeds.html.j2").render(about(facts))
