"""Findings, rows and answers as shown on a narrow screen and on the page: text is never markup."""

import ast
import io
import re
import sys
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from typing import Any

import pytest
from rich.console import Console

from orchestrator.cli.show import findings as screen
from orchestrator.commands.ask import Asked
from orchestrator.health.diagnosis import Diagnosis, Generation, Measured
from orchestrator.health.token_view import TokenView, token_view
from orchestrator.report.diagnosis_page import diagnosis_page
from orchestrator.types import Finding
from tests.conftest import REPOSITORY

NASTY = "[red]x[/red] [/] [link=http://a]b [0] :smile: \\"
SCRIPT = "<script>alert('x')</script>\"><img src=x onerror=alert(1)> {{ 123 * 457 }} &amp;"


def shown(show: Callable[..., None], *given: Any, width: int = 60, terminal: bool = False) -> str:
    """The text printed at a width."""
    file = io.StringIO()
    show(Console(file=file, width=width, force_terminal=terminal, color_system=None, _environ={}), *given)
    return file.getvalue()


def finding(text: str = "text", severity: Any = "error", check: str = "labels-masked") -> Finding:
    return Finding(check, severity, f"what {text}", f"seen {text}", f"cause {text}", f"do {text}")


def diagnosis(text: str, *findings: Finding, name: str = "sft") -> Diagnosis:
    return Diagnosis(
        f"run {name}",
        findings or (finding(text), finding(text, "warning"), finding(text, "info")),
        (Measured(name, 0.5, 0.4, 0.6, 0.9, 1234, "evaluation"),),
        (
            Generation(name, text, text, text, text, text, "wrong"),
            Generation("m", "q", "p", "t", None, "7", "unparsed"),
        ),
        (TokenView(name, ((text, False), (text, True))),),
        {"temperature": 0, "stop": [text]},
    )


def asked(text: str, value: str | None, name: str = "sft") -> Asked:
    return Asked("run", name, text, text, text, 12, "stop", value)


def views(text: str, name: str = "sft") -> list[TokenView]:
    return [TokenView(name, ((text, False), (text, True)))]


SHOWS: list[tuple[Callable[..., None], Callable[..., Any]]] = [
    (screen.show_findings, lambda text, name="sft": [finding(text, check=name)]),
    (screen.show_rows, views),
    (screen.show_diagnosis, lambda text, name="sft": diagnosis(text, name=name)),
    (screen.show_asked, lambda text, name="sft": asked(text, text, name)),
]
every_show = pytest.mark.parametrize(("show", "given"), SHOWS, ids=[show.__name__ for show, _ in SHOWS])

# --- text is text


@every_show
@pytest.mark.parametrize("terminal", [False, True])
def test_text_is_shown_as_it_is(show: Callable[..., None], given: Callable[..., Any], terminal: bool) -> None:
    said = shown(show, given(NASTY, name=NASTY), width=300, terminal=terminal)
    assert said.count(NASTY) >= 3
    assert "😄" not in said


@every_show
def test_nothing_steers_the_terminal(show: Callable[..., None], given: Callable[..., Any]) -> None:
    said = shown(show, given("a\x1b[31mb\x1b]0;title\x07c\x08\rd\x9b2Je"), width=300)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said)
    assert "a\\x1b[31mb\\x1b]0;title\\x07c\\x08\\x0dd\\x9b2Je" in said


@every_show
@pytest.mark.parametrize("text", ["word " * 40, "x" * 300, "日本語" * 40, "line\n\nline\tend", ""])
def test_a_narrow_screen_is_kept_to(show: Callable[..., None], given: Callable[..., Any], text: str) -> None:
    said = shown(show, given(text, name=text), width=60)
    wide = [line for line in said.splitlines() if len(line) + len(re.findall("[日本語]", line)) > 60]
    assert not wide
    assert said.count("x") >= 300 * text.count("x" * 300), "nothing is cut off"


# --- what is shown


def test_findings_with_mark_evidence_cause_and_remedy() -> None:
    said = shown(screen.show_findings, [finding(), Finding("test-size", "info", "500 questions", "", "", "")])
    assert said.splitlines()[0] == "✗ labels-masked: what text"
    assert re.findall(r"^ {4}(\w+) +(.+?) *$", said, re.M) == [
        ("seen", "seen text"),
        ("cause", "cause text"),
        ("do", "do text"),
    ]
    assert "· test-size: 500 questions" in said
    assert shown(screen.show_findings, [finding(severity="warning")]).startswith("! labels-masked")


def test_rows_say_how_much_of_them_is_learned() -> None:
    said = shown(screen.show_rows, views("ab"))
    assert "sft, row 1: 1 of 2 tokens are trained on (green)" in said and "abab" in said


def test_a_diagnosis_ends_in_the_most_likely_cause() -> None:
    given = diagnosis("text", finding("a warning", "warning"), finding("the error"), finding("another"))
    lines = [line for line in shown(screen.show_diagnosis, given, width=100).splitlines() if line.strip()]
    assert lines[-3:] == [
        "2 errors, 1 warning  run sft",
        "most likely cause: cause the error",
        "what to do: do the error",
    ]
    assert "sft: accuracy 0.500 [0.400, 0.600], answer rate 0.900, n = 1,234 (evaluation)" in lines


def test_a_healthy_diagnosis_names_no_cause() -> None:
    said = shown(screen.show_diagnosis, diagnosis("text", finding("told", "info")))
    assert "no errors, no warnings  run sft" in said and "most likely" not in said


def test_what_was_asked_and_answered() -> None:
    said = shown(screen.show_asked, asked("text", "text"))
    assert "prompt" in said and "written" in said and "model sft, 12 tokens, finished by stop" in said
    assert "parsed: nothing" in shown(screen.show_asked, asked("text", None))


def test_metrics_of_judged_completions() -> None:
    metrics = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6, "answer_rate": 0.75, "n": 1234}
    said = shown(screen.show_metrics, metrics | {"status/correct": 617, "status/unparsed": 309}, "judge exact")
    assert said.splitlines() == [
        "judge exact",
        "accuracy     0.500 [0.400, 0.600]",
        "answer rate  0.750",
        "n            1,234",
        "correct      617",
        "unparsed     309",
    ]


@pytest.mark.parametrize(
    ("severities", "said"),
    [
        ([], "no errors, no warnings  s"),
        (["error"], "1 error, no warnings  s"),
        (["error", "error", "warning", "info"], "2 errors, 1 warning  s"),
    ],
)
def test_the_summary_counts(severities: list[str], said: str) -> None:
    assert shown(screen.show_summary, [finding(severity=s) for s in severities], "s") == f"{said}\n"


# --- rows, token by token


class Bytes:
    """A tokenizer whose tokens are bytes; 0 is the end of text."""

    def decode(self, ids: list[int], **_: object) -> str:
        return bytes(ids).decode(errors="replace").replace("\0", "<end>")


def test_a_row_token_by_token() -> None:
    ids = [*"é ok".encode(), 0]
    view = token_view("sft", Bytes(), ids, [-100, -100, -100, *ids[3:]])
    assert view.pieces == (("", False), ("é", False), (" ", False), ("o", True), ("k", True), ("<end>", True))
    assert view.trained == 3 and view.stage == "sft"


@pytest.mark.parametrize("text", ["plain", "日本語 é 🙂!", "🙂", "a\ufffdb"])
def test_the_pieces_are_the_text(text: str) -> None:
    ids = [*text.encode(), 0]
    view = token_view("sft", Bytes(), ids, ids)
    assert "".join(piece for piece, _ in view.pieces) == f"{text}<end>" and len(view.pieces) == len(ids)


def test_a_row_that_ends_inside_a_character_shows_what_there_is() -> None:
    view = token_view("sft", Bytes(), list("ab🙂".encode()[:-2]), [1, 2, 3, 4])
    assert "".join(piece for piece, _ in view.pieces).startswith("ab") and len(view.pieces) == 4
    assert "\ufffd" in view.pieces[-1][0]


# --- the page


def test_text_on_the_page_is_escaped_everywhere() -> None:
    page = diagnosis_page(diagnosis(SCRIPT, name=SCRIPT))
    assert "<script" not in page and "<img" not in page and "56211" not in page
    # three findings of four parts, the likely cause and its remedy, a generation, a row of two pieces, five names
    assert page.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") == 3 * 4 + 2 + 4 + 2 + 5
    assert "{{ 123 * 457 }}" in page and "&amp;amp;" in page


def test_the_page_fetches_and_runs_nothing() -> None:
    page = diagnosis_page(diagnosis("text"))
    assert not re.search(r"https?://|<script|<link|<iframe|<img|@import|url\(|\bon\w+=|javascript:", page)
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")


def test_the_page_has_all_its_parts() -> None:
    page = diagnosis_page(diagnosis("thing", name="thing"))
    headings = re.findall(r"<h[12]>(.*?)</h[12]>", page)
    assert headings == [
        "run thing",
        "Findings, the likeliest cause first",
        "Models",
        "What the models wrote",
        "Training rows, token by token",
    ]
    assert page.count("<article>") == 3 and "0.400 to 0.600" in page and "temperature 0, stop" in page
    assert '<span class="read">thing</span><span class="learned">thing</span>' in page
    assert "<td>nothing</td>" in page and "1 of 2 tokens" in page


def test_the_page_of_a_model_of_which_nothing_is_known() -> None:
    page = diagnosis_page(Diagnosis("s", (), (), (), (), {}))
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["Findings, the likeliest cause first"]
    assert "Nothing was found" in page and "<p>None.</p>" in page


@pytest.mark.parametrize("severity", ["warning", "info"])
def test_only_an_error_is_a_likely_cause_on_the_page(severity: str) -> None:
    page = diagnosis_page(diagnosis("x", finding("harmless", severity)))
    assert "Most likely cause" not in page and "Nothing was found that would make the numbers wrong" in page
    page = diagnosis_page(diagnosis("x", finding("harmless", severity), finding("bad")))
    assert "<strong>Most likely cause:</strong> cause bad." in page


def test_what_is_no_code_is_shipped_with_the_package() -> None:
    data = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    package = REPOSITORY / "orchestrator"
    files = [p for p in package.rglob("*") if p.is_file() and p.suffix != ".py" and "__pycache__" not in p.parts]
    patterns = [f"{name.replace('.', '/')}/{pattern}" for name, given in data.items() for pattern in given]
    lost = [f for f in files if not any(fnmatch(str(f.relative_to(REPOSITORY)), p) for p in patterns)]
    assert files and not lost


def test_what_is_imported_is_asked_for() -> None:
    """A library that is only a dependency of another one may be gone with that one's next release."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    asked_for = {normal(re.split(r"[\[<>=,; ]", name)[0]) for name in project["dependencies"]}
    homes = packages_distributions()
    found = set()
    for path in (REPOSITORY / "orchestrator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {name.partition(".")[0] for name in names}
    others = found - set(sys.stdlib_module_names) - {"orchestrator", "vllm", "tokenizers"}  # transformers' own
    assert "jinja2" in others
    assert [name for name in sorted(others) if not {normal(home) for home in homes.get(name, [name])} & asked_for] == []


def normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
