"""A diagnosis as one HTML page."""

from datetime import UTC, datetime

from markupsafe import Markup

from orchestrator.health.diagnosis import Diagnosis
from orchestrator.report.curve_figure import curve_figure
from orchestrator.report.html import environment


def diagnosis_page(diagnosis: Diagnosis) -> str:
    """The complete page: it includes its styles and fetches nothing."""
    template = environment().get_template("diagnosis.html.j2")
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    likely = next((f for f in diagnosis.findings if f.severity == "error"), None)
    figures = [(curves, Markup(figure)) for curves in diagnosis.curves if (figure := curve_figure(curves))]
    return template.render(d=diagnosis, made=made, likely=likely, figures=figures)
