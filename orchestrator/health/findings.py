"""What a check reports: findings, the worst first. Light: the driver of a run reads it too."""

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
    """What was found, the worst first, and some training rows to look at."""

    findings: tuple[Finding, ...]
    rows: tuple[TokenView, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What must be fixed before a run."""
        return tuple(f for f in self.findings if f.severity == "error")

    def __repr__(self) -> str:
        counts = Counter(f.severity for f in self.findings)
        found = ", ".join(f"{severity}: {counts[severity]}" for severity in _ORDER if counts[severity])
        return f"CheckReport({found or 'nothing found'})"

    def _repr_html_(self) -> str:
        """The findings, with what to do."""
        if not self.findings:
            return paragraphs(["Nothing found."])
        rows = [(f.severity, f.check, f.what, f.evidence, f.cause, f.remedy) for f in self.findings]
        return table(("", "check", "what was found", "seen", "cause", "do"), rows)


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst first; of the same severity in the order they were found."""
    return tuple(sorted(findings, key=lambda f: _ORDER[f.severity]))


def told_only(findings: Iterable[Finding], ignored: Sequence[str]) -> list[Finding]:
    """Findings with those of ignored checks (`limits.ignore`) as mere information; none is hidden."""
    return [
        replace(f, severity="info", what=f"{f.what} (ignored by limits.ignore)")
        if f.check in ignored and f.severity != "info"
        else f
        for f in findings
    ]


def errors_of(report: CheckReport) -> CheckError:
    """The error a run ends with before it starts."""
    return CheckError(*(f"{f.check}: {f.what}; {f.remedy}" for f in report.errors))


def format_changed(difference: str) -> Finding:
    """The finding for a model used under another answer format than its own, as the recipe allows."""
    return Finding(
        "format-changed",
        "warning",
        "the model was trained under another answer format than this recipe's, and allow_format_change is true",
        difference,
        "prompts and answers are not what the model has learned",
        "read its figures as those of a changed format, not of the model",
    )


def file_damaged(whose: str, error: OrchError) -> Finding:
    """The finding for a file of a run's that cannot be read, or is not what it was; the error names it."""
    return Finding(
        "file-damaged",
        "error",
        f"{whose}: {error.problems[0]}",
        "\n".join(error.problems),
        "the disk was full, a copy broke off, or the file was changed by hand",
        "restore it from a copy; or remove it and run the recipe again: what is missing is made again",
    )


def written_down(finding: Finding) -> str:
    """A finding as the text of a tag: readable, and read back by `read_back`."""
    seen, cause, do = _PARTS
    return f"{finding.severity}: {finding.what}{seen}{finding.evidence}{cause}{finding.cause}{do}{finding.remedy}"


def as_tags(findings: Iterable[Finding]) -> dict[str, str]:
    """The tags that hold findings; the second of one check, and those after it, have a number."""
    tags: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.check] += 1
        number = seen[finding.check]
        tags[FINDING_TAG + finding.check + (f"/{number}" if number > 1 else "")] = written_down(finding)
    return tags


def findings_of(tags: Mapping[str, str]) -> Iterator[Finding]:
    """The findings that a run's tags hold."""
    for tag, text in sorted(tags.items()):  # the store promises no order
        if tag.startswith(FINDING_TAG):
            yield read_back(tag.removeprefix(FINDING_TAG).partition("/")[0], text)


def read_back(check: str, text: str) -> Finding:
    """The finding that a tag holds; a text cut short by the store gives what is there of it."""
    seen, cause, do = _PARTS
    text, _, remedy = text.partition(do)
    text, _, why = text.partition(cause)
    what, _, evidence = text.partition(seen)
    severity, _, what = what.partition(": ")
    known: Severity = severity if severity in get_args(Severity) else "warning"  # type: ignore[assignment]
    return Finding(check, known, what, evidence, why, remedy)
