"""The report of a check: findings, the worst first. Light to import, since the driver of a run uses it too."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from orchestrator.errors import CheckError, OrchError
from orchestrator.health.token_view import TokenView
from orchestrator.notebook import paragraphs, table
from orchestrator.store.names import FINDING_TAG
from orchestrator.types import Finding, Severity

_PARTS = ("\nseen: ", "\ncause: ", "\ndo: ")
_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The findings, the worst first, and some training rows to look at."""

    findings: tuple[Finding, ...]
    rows: tuple[TokenView, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that must be fixed before a run."""
        return tuple(f for f in self.findings if f.severity == "error")

    def __repr__(self) -> str:
        counts = Counter(f.severity for f in self.findings)
        found = ", ".join(f"{severity}: {counts[severity]}" for severity in _ORDER if counts[severity])
        return f"CheckReport({found or 'nothing found'})"

    def _repr_html_(self) -> str:
        """The findings, with their remedies."""
        if not self.findings:
            return paragraphs(["Nothing found."])
        rows = [(f.severity, f.check, f.what, f.evidence, f.cause, f.remedy) for f in self.findings]
        return table(("", "check", "what was found", "seen", "cause", "do"), rows)


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst first; those of the same severity in the order they were found."""
    return tuple(sorted(findings, key=lambda f: _ORDER[f.severity]))


def told_only(findings: Iterable[Finding], ignored: Sequence[str]) -> list[Finding]:
    """Findings, with those of ignored checks (`limits.ignore`) downgraded to info; none is hidden."""
    return [
        replace(f, severity="info", what=f"{f.what} (ignored by limits.ignore)")
        if f.check in ignored and f.severity != "info"
        else f
        for f in findings
    ]


def errors_of(report: CheckReport) -> CheckError:
    """The error that keeps a run from starting."""
    return CheckError(*(f"{f.check}: {f.what}; {f.remedy}" for f in report.errors))


def format_changed(difference: str) -> Finding:
    """The finding for a model used with an answer format other than its own, as the recipe allows."""
    return Finding(
        "format-changed",
        "warning",
        "the model was trained with a different answer format than this recipe's, and allow_format_change is true",
        difference,
        "prompts and answers differ from what the model has learned",
        "blame the changed format, not the model, for poor figures",
    )


def file_damaged(whose: str, error: OrchError) -> Finding:
    """The finding for a file of a run that cannot be read or has changed; the error names it."""
    return Finding(
        "file-damaged",
        "error",
        f"{whose}: {error.problems[0]}",
        "\n".join(error.problems),
        "the disk was full, a copy was interrupted, or the file was edited by hand",
        "restore it from a copy, or delete it and run the recipe again, which recreates what is missing",
    )


def written_down(finding: Finding) -> str:
    """A finding as the text of a tag: readable, and parsed by `read_back`."""
    seen, cause, do = _PARTS
    return f"{finding.severity}: {finding.what}{seen}{finding.evidence}{cause}{finding.cause}{do}{finding.remedy}"


def as_tags(findings: Iterable[Finding]) -> dict[str, str]:
    """The tags that store findings; the second finding of a check, and those after it, have a number."""
    tags: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.check] += 1
        number = seen[finding.check]
        tags[FINDING_TAG + finding.check + (f"/{number}" if number > 1 else "")] = written_down(finding)
    return tags


def findings_of(tags: Mapping[str, str]) -> Iterator[Finding]:
    """The findings stored in a run's tags."""
    for tag, text in sorted(tags.items()):  # the store promises no order
        if tag.startswith(FINDING_TAG):
            yield read_back(tag.removeprefix(FINDING_TAG).partition("/")[0], text)


def read_back(check: str, text: str) -> Finding:
    """The finding stored in a tag; if the store truncated the text, what is left of it."""
    seen, cause, do = _PARTS
    text, _, remedy = text.partition(do)
    text, _, why = text.partition(cause)
    what, _, evidence = text.partition(seen)
    severity, _, what = what.partition(": ")
    known: Severity = severity if severity in get_args(Severity) else "warning"  # type: ignore[assignment]
    return Finding(check, known, what, evidence, why, remedy)
