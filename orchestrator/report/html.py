"""What all HTML pages share: templates that escape every text, and characters that a page cannot hold written out."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from orchestrator.text import plain


def shown(text: object) -> str:
    """Text of any origin so that all of it can be seen; escaping is left to the template."""
    return plain(str(text).replace("\r\n", "\n"))


def environment() -> Environment:
    """Templates of this folder, autoescaped; what is put into them is `shown`."""
    made = Environment(
        loader=PackageLoader("orchestrator.report", "templates"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["percent"] = lambda share: f"{100 * share:.1f}%"
    made.filters["percent0"] = lambda share: f"{100 * share:.0f}%"
    return made


def _finalize(value: Any) -> Any:
    return value if isinstance(value, Markup) else shown(value)
