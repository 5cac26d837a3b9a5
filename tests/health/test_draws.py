"""Draws that would be noise, and draws that would all be the same; measured on the embedded model."""

import dataclasses
from typing import Any

import pytest
import torch

from orchestrator.health import draws as draws_module
from orchestrator.health.draws import draw_findings, inside, probabilities, surviving
from orchestrator.models.loading import load_base, load_tokenizer
from orchestrator.plan.plan import Plan, compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.stages.base import Drawing
from orchestrator.types import Finding
from tests.conftest import SMALL


def drawing(
    temperature: float,
    top_p: float,
    top_k: int,
    min_p: float,
    n: int,
    limit: str = "max_completion_length",
    most: int = 64,
    learns: bool = True,
) -> Drawing:
    return Drawing("train", n, temperature, most, limit, top_p, top_k, min_p, learns)


PLAIN = drawing(1.0, 1.0, 0, 0.0, 8)


def planned(*overrides: str) -> Plan:
    return compile_plan(load_recipe(SMALL, overrides))


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, Any]:
    base = planned().base
    torch.set_num_threads(1)  # on a busy machine two threads wait for each other
    return load_tokenizer(base), load_base(base)


@pytest.fixture(autouse=True)
def _loaded_once(loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws_module, "load_for_generation", lambda ref: loaded[1])


def found(loaded: tuple[Any, Any], *overrides: str) -> list[Finding]:
    made = planned(*overrides)
    return list(draw_findings(made, made.stages, *loaded))


def checks(loaded: tuple[Any, Any], *overrides: str) -> list[tuple[str, str]]:
    return [(f.check, f.severity) for f in found(loaded, *overrides)]


# --- how a stage draws


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("stages.grpo.temperature=0.7", drawing(0.7, 1.0, 0, 0.0, 4)),
        ("stages.grpo.top_k=20", drawing(1.0, 1.0, 20, 0.0, 4)),
        ("stages.grpo.min_p=0.1", drawing(1.0, 1.0, 0, 0.1, 4)),
        ("stages.grpo.top_p=0.5", drawing(1.0, 0.5, 0, 0.0, 4)),
        ("stages.grpo.generation_kwargs={temperature: 3, top_k: 5}", drawing(3.0, 1.0, 5, 0.0, 4)),
        ("stages.grpo.generation_kwargs={do_sample: false}", drawing(0.0, 1.0, 0, 0.0, 4)),
    ],
)
def test_all_that_decides_a_draw_is_read(override: str, expected: Drawing) -> None:
    made = planned(override)
    assert made.stage("grpo").spec.drawing() == expected
    assert made.stage("samples").spec.drawing() == drawing(0.8, 1.0, 0, 0.0, 4, "max_tokens", learns=False)
    asked = made.stage("evaluate.base").spec.drawing()
    assert made.stage("sft").spec.drawing() is None and asked is not None and (asked.temperature, asked.n) == (0, 1)


def test_what_is_drawn_from_is_what_transformers_draws_from() -> None:
    from transformers import MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = torch.randn(50, 640, generator=torch.Generator().manual_seed(0)) * 3
    hot = drawing(1.7, 0.8, 40, 0.05, 1)
    scores = logits
    for warper in (TemperatureLogitsWarper(1.7), TopKLogitsWarper(40), TopPLogitsWarper(0.8), MinPLogitsWarper(0.05)):
        scores = warper(torch.zeros(50, 1, dtype=torch.long), scores)
    assert torch.allclose(probabilities(hot, logits), scores.softmax(-1), atol=1e-6)


# --- noise


def test_of_a_flat_distribution_nothing_is_lost_and_of_a_sharp_one_much() -> None:
    hot = dataclasses.replace(PLAIN, temperature=5.0)
    flat, sharp = torch.zeros(20, 1000), torch.zeros(20, 1000)
    sharp[:, 0] = 12.0
    assert surviving(flat, 20, hot) == pytest.approx(surviving(flat, 20, PLAIN), rel=1e-3)
    assert surviving(sharp, 20, PLAIN) > 0.8 and surviving(sharp, 20, hot) < 1e-9
    assert surviving(sharp, 20, dataclasses.replace(hot, top_k=1)) == 1
    assert inside(torch.tensor([[0.5, 0.1, 0.4]]), 0.6).tolist() == [[True, False, True]]


@pytest.mark.parametrize(
    ("overrides", "severity"),
    [
        (["stages.samples.temperature=1"], None),
        (["stages.samples.temperature=1.2"], None),
        (["stages.samples.temperature=1.5"], "warning"),
        (["stages.samples.temperature=2"], "error"),
        (["stages.samples.temperature=5"], "error"),
        (["stages.samples.temperature=1.5", "stages.samples.top_p=0.9"], None),
        (["stages.samples.temperature=5", "stages.samples.top_p=0.9"], "error"),
        (["stages.grpo.temperature=5"], "error"),
        (["stages.grpo.temperature=1.5", "stages.grpo.min_p=0.1"], None),
        (["stages.grpo.generation_kwargs={temperature: 4}"], "error"),
    ],
)
def test_temperatures_at_which_draws_are_noise(
    overrides: list[str], severity: str | None, loaded: tuple[Any, Any]
) -> None:
    assert checks(loaded, *overrides) == ([("draws-are-noise", severity)] if severity else [])


def test_what_was_measured_is_said(loaded: tuple[Any, Any]) -> None:
    (told,) = found(loaded, "stages.samples.temperature=3")
    assert told.what == "stage samples: at temperature = 3 draws are noise"
    assert told.evidence.startswith("measured on 6 texts: 0.0% of draws consist only of tokens")
    assert "set stages.samples.temperature to 1 or less" in told.remedy


def test_nothing_is_loaded_where_no_temperature_is_above_1(
    loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draws_module, "load_for_generation", lambda ref: pytest.fail("it was loaded"))
    assert checks(loaded, "stages.samples.temperature=1", "stages.grpo.temperature=0.6") == []


@pytest.mark.parametrize(("temperature", "severity"), [(1.2, None), (1.5, "warning"), (2.0, "error"), (5.0, "error")])
def test_of_a_model_too_large_to_load_the_temperature_itself_decides(
    temperature: float, severity: str | None, loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draws_module, "_LARGE", 1)
    monkeypatch.setattr(draws_module, "load_for_generation", lambda ref: pytest.fail("it was loaded"))
    told = found(loaded, f"stages.samples.temperature={temperature}")
    assert [f.severity for f in told] == ([severity] if severity else [])
    assert all("not measured" in f.evidence for f in told)
    assert checks(loaded, f"stages.samples.temperature={min(temperature, 3)}", "stages.samples.top_p=0.9") == []


# --- all the same


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["stages.samples.temperature=0.01"], "stage samples: with temperature = 0.01 the 4 draws"),
        (["stages.samples.top_p=0.01"], "stage samples: with top_p = 0.01 the 4 draws"),
        (["stages.grpo.temperature=0.001"], "stage grpo: with temperature = 0.001 the 4 draws"),
        (["stages.grpo.top_k=1"], "stage grpo: with top_k = 1 the 4 draws"),
        (["stages.grpo.top_p=0.001"], "stage grpo: with top_p = 0.001 the 4 draws"),
        (["stages.grpo.min_p=1.0"], "stage grpo: with min_p = 1 the 4 draws"),
        (["stages.grpo.generation_kwargs={do_sample: false}"], "stage grpo: with temperature = 0 the 4 draws"),
    ],
)
def test_draws_that_are_all_the_same(overrides: list[str], says: str, loaded: tuple[Any, Any]) -> None:
    (told,) = found(loaded, *overrides)
    assert (told.check, told.severity) == ("draws-alike", "error") and told.what.startswith(says)


def test_a_single_draw_may_be_greedy(loaded: tuple[Any, Any]) -> None:
    alone = ("stages.samples.n=1", "stages.chosen.max_per_example=null")
    assert checks(loaded, *alone, "stages.samples.temperature=0.01") == []
    assert checks(loaded, "stages.samples.temperature=0.2") == []
