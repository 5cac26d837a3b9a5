"""Reads the contents of a page from the store. The recipe is read as plain data, so that a model or task file that no
longer exists does not matter.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.comparison.side_by_side import compare_run
from orchestrator.errors import DataError, InputError, OutputError
from orchestrator.health.curves.read import read_curves
from orchestrator.health.curves.reading import StageCurves
from orchestrator.health.findings import file_damaged, findings_of, ranked
from orchestrator.recipe.yaml_source import parse, read_text
from orchestrator.report.difficulty import expected
from orchestrator.report.facts import Answered, Asked, RunFacts, Sampling, Selected, StageFacts, Training
from orchestrator.runs.past import RECIPE_FILE, PastStage, past_stages
from orchestrator.stages import verb_of
from orchestrator.stages.base import Kind, names_in
from orchestrator.store.base import Store
from orchestrator.store.names import COMPLETIONS
from orchestrator.store.tables import first_answers, read_stored
from orchestrator.types import Finding

Questions = Callable[[str], Mapping[str, str]]
"""A function from a split to its questions by id; empty if they are no longer available."""


def read_run(store: Store, run_id: str, questions: Questions) -> RunFacts:
    """The contents of the page of a single-seed run.

    Raises:
        InputError: the run was not created by `orch run`, or none of its models was evaluated.
    """
    about = read_about(store, run_id)
    recipe, models = about["recipe"], about["comparison"].models
    stages = {stage.name: stage for stage in past_stages(store, run_id)}
    files = {m.label: file for m in models if (file := stages[m.model].results) is not None}
    asked = _asked(files)
    damaged: list[Finding] = []
    samplings = tuple(_samplings(recipe, stages, damaged))
    trainings = tuple(_trainings(recipe, stages))
    shapes = {training.curves.stage: [r.finding for r in training.curves.readings] for training in trainings}
    found = [*about.pop("findings"), *damaged, *_findings(stages.values(), shapes)]
    return RunFacts(
        **about,
        findings=ranked(found),
        statuses={label: Counter(read_stored(file, ["status"])["status"].to_pylist()) for label, file in files.items()},
        asked=asked,
        trainings=trainings,
        samplings=samplings,
        expected=_expected(recipe, samplings, asked, questions),
        stages=tuple(_stage(stages[name]) for name in _in_order(recipe, stages)),
    )


def read_about(store: Store, run_id: str) -> dict[str, Any]:
    """The contents common to all reports, by the field names of `About`.

    Raises:
        InputError: the run was not created by `orch run`, or none of its models was evaluated.
    """
    run = store.find(run_id)
    file = store.artifact(run, RECIPE_FILE)
    if not file.is_file():
        raise InputError(f"run {run_id} was not created by `orch run`: it has no {RECIPE_FILE}")
    text = read_text(file, f"the recipe of run {run_id}")
    recipe, _ = parse(text, f"the recipe of run {run_id}")
    comparison = compare_run(store, run_id)
    if comparison is None:
        raise InputError(f"run {run_id} has no evaluation to report on; run its recipe again: finished stages are kept")
    also = (compare_run(store, run_id, split) for split in recipe["evaluate"].get("also", ()))
    return {
        "run_id": run_id,
        "experiment": run.experiment,
        "status": run.status,
        "error": run.error,
        "started": run.started,
        "recipe": recipe,
        "recipe_text": text,
        "versions": run.versions,
        "commit": run.commit,
        "comparison": comparison,
        "also": tuple(compared for compared in also if compared is not None),
        "findings": tuple(findings_of(run.tags)),
    }


def _asked(results: Mapping[str, Path]) -> list[Asked]:
    """The questions with every model's answer; if there are several, the first.

    All models have the same questions; otherwise the comparison is refused.
    """
    columns = ["example_id", "question", "gold", "text", "value", "status"]
    tables = {model: first_answers(file, columns).to_pylist() for model, file in results.items()}
    answers = {
        model: {row["example_id"]: Answered(row["text"], row["value"], row["status"]) for row in rows}
        for model, rows in tables.items()
    }
    return [
        Asked(
            row["example_id"],
            row["question"],
            str(row["gold"]),
            {model: answers[model][row["example_id"]] for model in results},
        )
        for row in next(iter(tables.values()))
        if all(row["example_id"] in found for found in answers.values())
    ]


def _trainings(recipe: Mapping[str, Any], stages: Mapping[str, PastStage]) -> Iterator[Training]:
    for name in recipe["stages"]:
        stage = stages.get(name)
        if stage is None or not stage.curves:
            continue
        settings = recipe["stages"][name]
        read = read_curves(stage.headline, stage.curves, settings, ended=stage.status == "FINISHED")
        curves = StageCurves(name, stage.verb, stage.curves, read, stage.chosen)
        yield Training(curves, stage.run.chosen, tuple(_worth_a_line(settings, stage.metrics)))


def _worth_a_line(settings: Mapping[str, Any], metrics: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for name in ("model", "data", "prompts", "learning_rate", "max_steps", "num_train_epochs"):
        if (value := settings.get(name)) is not None:
            yield name, ", ".join(value) if isinstance(value, list) else str(value)
    if "rows" in metrics:
        yield "rows", f"{metrics['rows']:,.0f}"
    if "seconds" in metrics:
        yield "seconds", f"{metrics['seconds']:,.1f}"


def _samplings(
    recipe: Mapping[str, Any], stages: Mapping[str, PastStage], damaged: list[Finding]
) -> Iterator[Sampling]:
    """The samplings; a table that cannot be read or was changed is left out and added to `damaged`."""
    for name, settings in recipe["stages"].items():
        stage = stages.get(name)
        drawn = _kind(settings) is Kind.COMPLETIONS
        file = stage.store.artifact(stage.origin, COMPLETIONS) if stage and drawn else None
        if file is None or not file.is_file():
            continue
        assert stage is not None
        try:
            table = read_stored(stage.store.output(stage.origin, COMPLETIONS), ["example_id", "status"])
        except (DataError, OutputError) as error:
            damaged.append(file_damaged(f"stage {name}", error))
            continue
        ids, statuses = table["example_id"].to_pylist(), table["status"].to_pylist()
        right = dict.fromkeys(ids, 0)
        for example_id, status in zip(ids, statuses, strict=True):
            right[example_id] += status == "correct"
        kept = [
            Selected(other, int(stages[other].metrics["rows"]), int(stages[other].metrics["questions"]))
            for other, s in recipe["stages"].items()
            if _kind(s) is Kind.ROWS and _names_it(s, name) and "rows" in getattr(stages.get(other), "metrics", {})
        ]
        n = settings["n"]
        majority = stage.metrics.get(f"maj_at_{n}") if stage is not None else None
        model, temperature = settings["model"], settings["temperature"]
        yield Sampling(name, model, n, temperature, right, Counter(statuses), majority, tuple(kept))


def _names_it(settings: Mapping[str, Any], name: str) -> bool:
    return any(name in names_in(value) for value in settings.values() if isinstance(value, str | list))


def _kind(settings: Mapping[str, Any]) -> Kind | None:
    """What a stage with these settings produces."""
    verb = verb_of(settings["type"])
    return None if verb is None else verb.MAKES


def _expected(
    recipe: Mapping[str, Any], samplings: Sequence[Sampling], asked: Sequence[Asked], questions: Questions
) -> dict[str, float]:
    """The expected pass rate of each question, from the first sampling."""
    if not samplings:
        return {}
    first = samplings[0]
    rates = {example_id: right / first.draws for example_id, right in first.right.items()}
    train = questions(recipe["stages"][first.stage]["prompts"])
    return expected(rates, train, {one.example_id: one.question for one in asked})


def _in_order(recipe: Mapping[str, Any], stages: Mapping[str, PastStage]) -> list[str]:
    """The recipe's order; those that are not stages of the recipe, such as the base model, come first."""
    return [name for name in (*(n for n in stages if n not in recipe["stages"]), *recipe["stages"]) if name in stages]


def _stage(stage: PastStage) -> StageFacts:
    reused = {stage.origin, stage.run.evaluation_origin()} != {stage.run_id}
    seconds = stage.metrics.get("seconds", stage.metrics.get("eval/seconds"))
    return StageFacts(stage.name, stage.verb, stage.status, reused, seconds, stage.run.key, stage.run_id)


def _findings(stages: Iterable[PastStage], shapes: Mapping[str, Sequence[Finding]]) -> Iterator[Finding]:
    """The findings of the stages and of their curves, without duplicates."""
    for stage in stages:
        read = shapes.get(stage.name, ())
        yield from (f for f in stage.noticed if f.check not in {shape.check for shape in read})
        yield from (replace(shape, what=f"stage {stage.name}: {shape.what}") for shape in read)
        if stage.error is not None and stage.status == "FAILED":
            yield Finding(
                "stage-failed",
                "error",
                f"stage {stage.name} failed: {stage.error.splitlines()[0]}",
                stage.error,
                "see the error message",
                "fix it and run the recipe again: finished stages are kept",
            )
