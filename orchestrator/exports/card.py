"""The card of an exported model: what it is, its figures with their intervals, how to load it, how it was trained.

Markdown with the front matter that the Hugging Face Hub reads. It contains no date: the same model has the same card.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from orchestrator.comparison import Comparison, conclusions, how_tested
from orchestrator.models.base import BaseModelRef
from orchestrator.models.merge_agreement import Agreement
from orchestrator.recipe.graph import whole_stage
from orchestrator.recipe.recipe import Recipe
from orchestrator.recipe.yaml_source import write_data
from orchestrator.text import code, fenced, inline
from orchestrator.types import BASE, Finding

Kind = Literal["adapter", "merged", "whole"]
_SHOWN = ("orch-rft", "torch", "transformers", "trl", "peft")


@dataclass(frozen=True, slots=True)
class Card:
    """The content of an exported model's card."""

    run_id: str
    model: str
    kind: Kind
    start: BaseModelRef
    """The model that the recipe starts from, or its base."""
    base: BaseModelRef
    """The model that an adapter belongs to; not `start` if the run itself trained it as a whole model."""
    dtype: str
    """The dtype of the stored weights; for an adapter, the dtype it is used in."""
    recipe: Recipe
    judged_by: str
    """How answers were read and judged, in words."""
    recipe_text: str
    """The recipe as the run recorded it."""
    comparison: Comparison | None
    """The models that the run evaluated, compared as in the run itself; None if it evaluated none."""
    findings: tuple[Finding, ...]
    agreement: Agreement | None
    code: str
    """Python code that loads the model."""
    prompt: str
    """The prompt for the question in `code`, including special tokens."""
    written: str | None
    """The model's answer in the evaluation; None if it was not evaluated."""
    versions: Mapping[str, str]
    commit: str | None


class _Verbatim(str):
    """Markdown that is inserted into the page as it is."""


def model_card(card: Card) -> str:
    """The full text of README.md."""
    compared = card.comparison
    environment = Environment(
        loader=PackageLoader("orchestrator.exports", "."),
        autoescape=False,
        finalize=lambda value: value if isinstance(value, _Verbatim) else inline(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["verbatim"] = _Verbatim
    environment.filters["code"] = lambda text: _Verbatim(code(text))
    environment.filters["fenced"] = lambda text, language="": _Verbatim(fenced(text, language))
    return environment.get_template("card.md.j2").render(
        c=card,
        front=_front(card),
        what=_what(card),
        lineage=_lineage(card),
        sentences=() if card.comparison is None else conclusions(card.comparison),
        tested="" if compared is None else how_tested(len(compared.differences), False, compared.drawn),
        against={} if card.comparison is None else {d.label: d for d in card.comparison.differences},
        measured=card.comparison is not None and any(m.label == card.model for m in card.comparison.models),
        versions=_versions(card),
    )


def trained_by(recipe: Recipe, model: str) -> list[tuple[str, str]]:
    """The stages that trained a model, in order, and their verbs."""
    chain: list[tuple[str, str]] = []
    while model != BASE:
        spec = recipe.stages[model]
        chain.insert(0, (model, spec.verb))
        model = spec.model_read or BASE
    return chain


def _front(card: Card) -> str:
    """The front matter for the Hub. A base in a folder is left out: the Hub would reject its path as a model's name."""
    front: dict[str, Any] = {"library_name": "peft" if card.kind == "adapter" else "transformers"}
    front |= {"pipeline_tag": "text-generation", "tags": ["orch", *_verbs(card)]}
    if card.start.revision is not None:
        relation = "adapter" if card.kind == "adapter" and card.base == card.start else "finetune"
        front |= {"base_model": card.start.name, "base_model_relation": relation}
    return write_data(front).rstrip("\n")


def _what(card: Card) -> str:
    whole = whole_stage(card.recipe.stages, card.model)
    on = _named(card.start) if whole is None else f"the whole model `{whole}` of the same run"
    if card.kind == "adapter":
        return f"A LoRA adapter on {on}, used in {card.dtype}."
    if card.kind == "merged":
        return f"A whole model in {card.dtype}: {on} with a LoRA adapter merged into its weights."
    return f"A whole model in {card.dtype}: {_named(card.start)} with all its weights trained."


def _named(base: BaseModelRef) -> str:
    commit = f" at commit {code(base.revision)}" if base.revision else ""
    return code(base.name) + commit


def _lineage(card: Card) -> str:
    return " → ".join(
        [code(card.start.name), *(f"{name} ({verb})" for name, verb in trained_by(card.recipe, card.model))]
    )


def _verbs(card: Card) -> list[str]:
    return list(dict.fromkeys(verb for _, verb in trained_by(card.recipe, card.model)))


def _versions(card: Card) -> str:
    found = [f"{name} {card.versions[name]}" for name in _SHOWN if name in card.versions]
    commit = [f"commit {card.commit}"] if card.commit else []
    return f"Made with {', '.join(found + commit)}." if found or commit else ""
