"""`orch check`: everything that can be known before anything is spent. It takes seconds and trains nothing.

Weights are loaded only for a temperature above 1, and only those of a small model that is available locally (`draws`).
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from orchestrator.health.arguments import argument_findings
from orchestrator.health.contract import contract
from orchestrator.health.data_faults import data_faults
from orchestrator.health.draws import draw_findings
from orchestrator.health.findings import CheckReport, ranked, told_only
from orchestrator.health.leaks import leaks
from orchestrator.health.lengths import length_findings
from orchestrator.health.model_files import file_findings
from orchestrator.health.model_parts import model_parts
from orchestrator.health.overlap import asked_in_training, overlap
from orchestrator.health.power import power
from orchestrator.health.refusals import letters, refusals
from orchestrator.health.rows import rows_findings
from orchestrator.health.template import template_findings
from orchestrator.health.token_view import TokenView
from orchestrator.health.vocabulary import embedding_findings, special_token_findings
from orchestrator.health.weights import weight_findings
from orchestrator.models.loading import context_of, stop_ids
from orchestrator.plan.plan import Plan
from orchestrator.tasks.tolerance import ROUNDED
from orchestrator.types import Finding

_NOT_LOADED = ("base-damaged", "base-incomplete", "adapter-damaged", "token-without-embedding")
"""With any of these findings, the model is not worth loading for a measurement."""


def check_plan(plan: Plan, work: Path, elsewhere: bool = False) -> CheckReport:
    """Check a compiled recipe; `work` is the work folder.

    `elsewhere`: the plan's stages may run on other machines.

    Raises:
        DataError: a split cannot be read.
        ModelError: the model's tokenizer, configuration or chat template cannot be used.
    """
    recipe = plan.recipe
    found: list[Finding] = [*data_faults(recipe.task), *contract(recipe.task)]
    if not any(f.check == "verdict-fails" and f.severity == "error" for f in found):
        found += [*letters(recipe.task), *refusals(recipe.task), *leaks(recipe.task)]
    found += overlap(recipe.task)
    found += asked_in_training(recipe)
    found += power(len(recipe.task.examples(recipe.evaluate.on)), recipe.limits.difference)
    found += [*_tolerance(plan), *_place(work)]
    found = told_only(found, recipe.limits.ignore)
    views: tuple[TokenView, ...] = ()
    if not any(f.check == "gold-round-trip" and f.severity == "error" for f in found):
        found, views = _with_tokens(plan, work, elsewhere, found)
    found += _stops(plan)
    return CheckReport(ranked(told_only(found, recipe.limits.ignore)), views)


def _with_tokens(
    plan: Plan, work: Path, elsewhere: bool, found: list[Finding]
) -> tuple[list[Finding], tuple[TokenView, ...]]:
    """`found`, then the findings that need the tokenizer and the model's shape; and some training rows."""
    stages = [stage for stage in plan.stages if stage.cached is None] or list(plan.stages)
    parts = model_parts(plan)
    tokenizer = parts.tokenizer
    found += file_findings(plan.start, parts.model)
    found += embedding_findings(plan, tokenizer, parts.model.get_input_embeddings().weight.shape[0])
    usable = not any(f.severity == "error" and f.check in _NOT_LOADED for f in found)
    found += template_findings(plan, tokenizer, stop_ids(tokenizer, parts.generation))
    if any(f.check == "chat-template-missing" for f in found):
        return found, ()
    found += special_token_findings(plan, tokenizer)
    views: list[TokenView] = []
    for stage in stages:
        found += argument_findings(plan, stage)
        found += stage.spec.settings_findings(stage.name, plan.recipe.task, plan.recipe.stages)
        more, some = rows_findings(plan, stage, tokenizer)
        found += more
        views += some
    found += length_findings(plan, stages, tokenizer, context_of(parts.config))
    found += weight_findings(plan, [s for s in stages if s.spec.makes_model], parts.config, work, elsewhere)
    if usable:
        found += draw_findings(plan, stages, tokenizer, parts.model)
    return found, tuple(views[:2])


def _stops(plan: Plan) -> Iterator[Finding]:
    stop = plan.recipe.task.format.stop
    stages = [s.name for s in plan.stages if (drawing := s.spec.drawing()) is not None and drawing.learns]
    if stop and stages:
        yield Finding(
            "stop-not-in-grpo",
            "warning",
            f"stage {', '.join(stages)}: GRPO does not end a completion at task.format.stop",
            f"stop: {list(stop)}",
            "the judge reads a completion up to its stop text, but generation, and the loss with it, continues to the "
            "end of text or to max_completion_length",
            "teach the model to end its text there (by worked solutions that end with the stop text), or leave stop "
            "out",
        )


def _tolerance(plan: Plan) -> Iterator[Finding]:
    if plan.tolerance is None or plan.recipe.task.own_verdict:
        return
    chosen, _, why = plan.tolerance.partition(": ")
    yield Finding(
        "tolerance-chosen",
        "info",
        f"the judge uses {chosen}, because {why}",
        "task.judge.tolerance is not set",
        "an answer may be off by this share of the gold answer: 0 if all gold answers are whole numbers, else "
        f"{ROUNDED:g}, because a correct answer may be rounded",
        "set task.judge.tolerance if you want another one; it is part of the cache keys of judged results",
    )


def _place(work: Path) -> Iterator[Finding]:
    temporary = Path(tempfile.gettempdir()).resolve()
    if work.resolve().is_relative_to(temporary):
        yield Finding(
            "temporary-folder",
            "warning",
            f"the run is stored in {work}, inside the folder for temporary files",
            f"{temporary} may be emptied at any time",
            "models and results stored there are lost when it is emptied",
            "run from a permanent folder, or set storage and MLFLOW_TRACKING_URI",
        )
