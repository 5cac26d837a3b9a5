"""`diagnose` as a function: find out what went wrong with a run or a model folder, the likeliest cause first.

Combines the checks before a run, the curves, the files, the stored completions and the models themselves.
"""

from collections.abc import Sequence
from pathlib import Path

from orchestrator.commands.diagnosing import QUESTIONS, Look, failures, left, missing
from orchestrator.commands.model_folder import model_folder
from orchestrator.errors import InputError, ModelError, StageError
from orchestrator.health.adapter import adapter_findings
from orchestrator.health.causes import likeliest_first
from orchestrator.health.curves.reading import StageCurves
from orchestrator.health.damage import not_looked_at, recipe_damaged
from orchestrator.health.diagnosis import Diagnosis
from orchestrator.models.start import ADAPTER_CONFIG, base_of_adapter, resolve_start
from orchestrator.recipe.recipe import Recipe, load_recipe
from orchestrator.report.diagnosis_page import diagnosis_page
from orchestrator.runs.past import PastRun, RecipeDamaged, past_run, with_own_task
from orchestrator.store.opening import open_store
from orchestrator.types import BASE


def diagnose(
    run: str | None = None,
    recipe: Path | None = None,
    models: Sequence[str] | None = None,
    questions: int = QUESTIONS,
    *,
    trust: bool = False,
) -> tuple[Diagnosis, str]:
    """Diagnose a run (its id, or the newest) or a model folder under a recipe; returns the diagnosis and its HTML page.

    The page is stored as the run's artifact `diagnosis.html`. `trust` runs whatever code the run's recipe names.

    Raises:
        InputError: no such run, folder or recipe.
        UntrustedCode: the user's own task has changed since it ran, or the model ships its own code.
    """
    folder = model_folder(run)
    if folder is not None:
        if recipe is None:
            raise InputError(f"{run} is a model folder: name the recipe to diagnose it under with --recipe RECIPE")
        found = diagnose_folder(folder, load_recipe(recipe), questions)
        return found, diagnosis_page(found)
    try:
        past, named = past_run(run, trust)
    except RecipeDamaged as damaged:
        found = diagnose_without_recipe(damaged)
        return found, diagnosis_page(found)
    past = with_own_task(past)
    found = diagnose_run(past, models or ([named] if named else None), questions)
    page = diagnosis_page(found)
    open_store().log_file(past.run_id, page, "diagnosis.html")
    return found, page


def diagnose_run(past: PastRun, models: Sequence[str] | None = None, questions: int = QUESTIONS) -> Diagnosis:
    """Diagnose a finished, failed or killed run; `models` limits this to some of its models.

    Raises:
        InputError: the run has no model or stage of that name.
    """
    for name in models or ():
        if name not in past.stages:
            past.named(name)
    looked = Look(past, questions)
    looked.set_up()
    looked.stages([past.stages[name] for name in models or past.stages if name in past.stages])
    made = past.models()
    looked.models([name for name in models or made if name in made])
    return looked.diagnosis(f"run {past.run_id} ({past.experiment}, {past.status})")


def diagnose_without_recipe(damaged: RecipeDamaged) -> Diagnosis:
    """Diagnose a run whose own recipe cannot be read, from its errors, curves and files."""
    found = [recipe_damaged(damaged.file, "\n".join(damaged.problems))]
    curves = []
    for stage in damaged.stages:
        found += [f for f in stage.noticed if f.severity != "info"]
        found += left(stage)
        found += failures(stage, damaged.run_id)
        if stage.curves:
            curves.append(StageCurves(stage.name, stage.verb, stage.curves, (), stage.chosen))
        if stage.status == "FINISHED" and (stage.model() / ADAPTER_CONFIG).is_file():
            try:
                found += adapter_findings(stage.name, stage.model(), base_of_adapter(stage.model()))
            except ModelError as error:
                found.append(missing(stage.name, error))
            except StageError as error:
                found.append(not_looked_at(f"model {stage.name}", error))
    subject = f"run {damaged.run_id} (its recipe cannot be read)"
    return Diagnosis(subject, likeliest_first(found), (), (), (), {}, tuple(curves))


def diagnose_folder(folder: Path, recipe: Recipe, questions: int = QUESTIONS) -> Diagnosis:
    """Diagnose a model folder as the model of a recipe.

    Raises:
        ModelError: the folder is not a model folder.
    """
    named = recipe.model.model_copy(update={"name": str(folder), "revision": None})
    recipe = recipe.model_copy(update={"model": named})
    past = PastRun("", recipe.name, "FINISHED", None, recipe, resolve_start(named), {})
    looked = Look(past, questions, trained=True)  # a user who diagnoses a model has trained it
    looked.set_up()
    looked.models([BASE])
    return looked.diagnosis(f"model {folder} under {recipe.source}")
