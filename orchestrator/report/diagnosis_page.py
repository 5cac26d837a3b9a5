"""A diagnosis as one HTML page."""

from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from orchestrator.health.diagnosis import Diagnosis


def diagnosis_page(diagnosis: Diagnosis) -> str:
    """The page, whole: styles inside, nothing to fetch."""
    environment = Environment(
        loader=PackageLoader("orchestrator.report", "."), autoescape=True, undefined=StrictUndefined
    )
    template = environment.get_template("diagnosis.html.j2")
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    likely = next((f for f in diagnosis.findings if f.severity == "error"), None)
    return template.render(d=diagnosis, made=made, likely=likely)
