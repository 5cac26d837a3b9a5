"""`report` as a function: a run as one page, and its figures as files. Both are artifacts of the run."""

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InputError, OrchError, UntrustedCode
from orchestrator.notebook import facts
from orchestrator.recipe.stored_task import StoredTask
from orchestrator.results import RunResult, SeedsResult, SweepResult
from orchestrator.runs.past import stored_recipe
from orchestrator.store.base import Store
from orchestrator.store.disk_space import disk_full
from orchestrator.store.opening import open_store
from orchestrator.store.place import store_folder
from orchestrator.sweeps.record import read_sweep
from orchestrator.tasks import Task
from orchestrator.types import Finding

if TYPE_CHECKING:
    from orchestrator.report.reading import Questions

PAGE = "report.html"
FIGURES = "figures"


@dataclass(frozen=True, slots=True)
class Reported:
    """The location of a run's report."""

    run_id: str
    page: Path
    figures: tuple[Path, ...]
    made: bool
    """False: it already existed."""
    notes: tuple[str, ...] = ()
    """What the page lacks, and why."""

    def __repr__(self) -> str:
        return f"Reported({self.page})"

    def _repr_html_(self) -> str:
        """Its location."""
        return facts({"report": self.page, "figures": f"{len(self.figures)} files", "run": self.run_id})

    def as_json(self) -> dict[str, object]:
        """One object for `--json`."""
        return {
            "run_id": self.run_id,
            "page": str(self.page),
            "figures": [str(file) for file in self.figures],
            "made": self.made,
            "notes": list(self.notes),
        }


def report(
    run: str | None = None, out: str | Path | None = None, *, force: bool = False, trust: bool = False
) -> Reported:
    """The report of a run (an id, the beginning of one, or by default the newest), created if missing or with `force`.

    With `out`, the page is also written there. The code of a user-defined task is needed only to show how often each
    question was expected to be solved; `trust` runs that code even if it has changed.

    Raises:
        InputError: no such run, a run without an evaluated model, or a file that cannot be written.
    """
    target = None if out is None else _writable(Path(out).expanduser().absolute())
    store = open_store()
    run_id = _run_of(store, run)
    made = force or not store.artifact(run_id, PAGE, fresh=True).is_file()
    notes: list[str] = []
    if made:
        write_report(store, run_id, _questions_of_past(store, run_id, trust, notes))
    page, figures = store.artifact(run_id, PAGE, fresh=made), store.artifact(run_id, FIGURES, fresh=True)
    if target is not None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(page, target)
        except OSError as error:
            raise InputError(f"--out {target}: cannot be written: {error.strerror}") from None
    return Reported(
        run_id, target or page, tuple(sorted(figures.iterdir())) if figures.is_dir() else (), made, tuple(notes)
    )


def with_sweep_report(result: SweepResult) -> SweepResult:
    """Add the page to the result of a sweep that has just ended; a failure becomes one of the result's errors."""
    try:
        store = open_store()
        write_report(store, result.run_id, lambda split: {})
        return replace(result, report=report_of(store, result.run_id))
    except Exception as error:  # whatever it is, the trained and evaluated models remain valid
        return replace(result, errors=(*result.errors, _not_made(result.run_id, error).what))


def with_report(result: RunResult | SeedsResult, task: Task) -> RunResult | SeedsResult:
    """Add the report to the result of a run that has just ended; a failure is only a finding, as the run is done."""
    if not result.models:
        return result
    try:
        store = open_store()
        write_report(store, result.run_id, questions_of(task))
        return replace(result, report=report_of(store, result.run_id))
    except Exception as error:  # whatever it is, the trained and evaluated models remain valid
        return replace(result, findings=(*result.findings, _not_made(result.run_id, error)))


def report_of(store: Store, run_id: str) -> str | None:
    """The location of a run's page if it exists: a path, or a URI if the store is remote."""
    return store.address(run_id, PAGE)


def _not_made(run_id: str, error: Exception) -> Finding:
    why = disk_full(error, store_folder()) or f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    what = f"the report could not be made: {why}"
    return Finding(
        "report-not-made",
        "warning",
        what,
        "",
        "the store's disk is full or not writable, or the run has something that the report cannot handle",
        f"the run's results are not affected; `orch report {run_id}` makes the page again",
    )


def write_report(store: Store, run_id: str, questions: "Questions") -> None:
    """Create the page and figures of a run, and of each seed if there are several, and store them with the runs.

    Raises:
        InputError: no model of the run was evaluated.
    """
    # matplotlib is slow to import: only do so when a page is made
    from orchestrator.report.figure_files import write_figures, write_seeds_figures
    from orchestrator.report.pages import run_page
    from orchestrator.report.reading import read_run
    from orchestrator.report.seeds_page import seeds_page
    from orchestrator.report.seeds_reading import read_seeds, seed_runs
    from orchestrator.report.sweep_page import sweep_page

    if (swept := read_sweep(store, run_id)) is not None:
        store.log_file(run_id, sweep_page(swept, _recipe_text(store, run_id)), PAGE)
        return
    seeds = seed_runs(store, run_id)
    for seed in seeds:
        with suppress(InputError):  # a seed without evaluations
            write_report(store, seed.run_id, questions)
    with tempfile.TemporaryDirectory() as folder:
        if seeds:
            of_seeds = read_seeds(store, run_id, PAGE)
            page = seeds_page(of_seeds)
            write_seeds_figures(of_seeds, Path(folder) / FIGURES)
        else:
            facts = read_run(store, run_id, questions)
            page = run_page(facts)
            write_figures(facts, Path(folder) / FIGURES)
        (Path(folder) / PAGE).write_text(page, encoding="utf-8")
        store.log_folder(run_id, Path(folder))


def _recipe_text(store: Store, run_id: str) -> str:
    file = store.artifact(run_id, "recipe.yaml")
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def questions_of(task: Task) -> "Questions":
    """A function from a split of the task to its questions by id; empty if the split can no longer be read."""

    def read(split: str) -> Mapping[str, str]:
        try:
            return {example.id: example.question for example in task.examples(split)}
        except OrchError:
            return {}

    return read


def _questions_of_past(store: Store, run_id: str, trust: bool, notes: list[str]) -> "Questions":
    try:
        task = stored_recipe(store, run_id, trust).task
        return questions_of(task.loaded() if isinstance(task, StoredTask) else task)
    except UntrustedCode as error:
        notes += error.problems
    except OrchError:  # a recipe of an older orch, or a damaged one: the page does without the questions
        pass
    return lambda split: {}


def _run_of(store: Store, wanted: str | None) -> str:
    """The id of the `orch run` that is meant, even if one of its stages is named."""
    run = store.find(None if wanted in (None, "last") else wanted)
    return run.parent if run.is_stage and run.parent is not None else run.run_id


def _writable(target: Path) -> Path:
    if target.is_dir():
        raise InputError(f"--out {target}: is a folder; name a file, such as {target / PAGE}")
    return target
