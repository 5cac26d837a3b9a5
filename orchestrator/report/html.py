"""Common to all HTML pages: templates that escape all text, and visible forms of characters that a page cannot show."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from orchestrator.text import plain


def shown(text: object) -> str:
    """Text of any origin with every character made visible; escaping is left to the template."""
    return plain(str(text).replace("\r\n", "\n"))


def environment() -> Environment:
    """The templates of this folder, with autoescaping; inserted values pass through `shown`, except markup."""
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
