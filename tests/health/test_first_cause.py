"""Telling causes apart after a run, on synthetic weights, losses, curves and verdicts."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from orchestrator.health.agreement import Passage, agreement
from orchestrator.health.damage import not_looked_at, output_finding, unreadable
from orchestrator.health.judged_again import judged_again
from orchestrator.health.merged import times_merged
from orchestrator.health.predicting import losses, shift_finding
from orchestrator.health.too_little import too_little
from orchestrator.health.written import Written
from orchestrator.recipe.recipe import load_recipe
from orchestrator.types import Finding
from tests.conftest import SMALL

# --- merged adapters


def layers(times: float, size: float = 0.3, n: int = 12, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weights to which a rank-4 adapter's change was added `times` times; its norm is `size` of their own."""
    noise = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(n):
        weight = torch.randn(48, 96, generator=noise) * 0.02
        change = torch.randn(48, 4, generator=noise) @ torch.randn(4, 96, generator=noise)
        change *= size * weight.norm() / change.norm()
        made.append((weight + times * change, change))
    return made


@pytest.mark.parametrize(("times", "told"), [(0.0, 0), (1.0, 1), (2.0, 2), (0.5, 0), (0.78, 0), (1.5, 0), (-1.0, 0)])
def test_how_often_an_adapter_was_merged(times: float, told: int) -> None:
    assert [times_merged(iter(layers(times, seed=seed))) for seed in range(5)] == [told] * 5


def test_of_little_nothing_is_said() -> None:
    assert times_merged(iter([])) == times_merged(iter(layers(1.0, n=3))) == 0
    assert times_merged(iter(layers(1.0, size=1e-3))) == 0, "so small a change drowns in the noise of the weights"
    assert times_merged((weight, change * 0) for weight, change in layers(1.0)) == 0


# --- labels that were shifted


class _Says:
    """A model that is certain of the token at `place`, counted from the next token."""

    device = torch.device("cpu")

    def __init__(self, place: int) -> None:
        self.place = place

    def __call__(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        length = input_ids.shape[1]
        logits = torch.zeros(1, length, 50)
        for read in range(length):
            if 0 <= read + 1 + self.place < length:
                logits[0, read, input_ids[0, read + 1 + self.place]] = 9.0
        return type("Output", (), {"logits": logits})


ROWS = [([1, 2, 3], [4, 5, 6, 7, 8, 9]), ([11, 12], [13, 14, 15, 16, 17])]


@pytest.mark.parametrize(("place", "name"), [(-1, "the token it reads"), (1, "the token after next")])
def test_a_model_that_predicts_another_token(place: int, name: str) -> None:
    found = shift_finding("sft", losses(_Says(place), ROWS), None)
    assert found is not None and found.check == "labels-shifted" and name in found.what


def test_a_model_that_predicts_the_next_token() -> None:
    measured = losses(_Says(0), ROWS)
    assert measured[0] < 0.01 and min(loss for place, loss in measured.items() if place) > 3
    assert shift_finding("sft", measured, None) is None


BASE = {-2: 14.4, -1: 14.13, 0: 2.68, 1: 13.74, 2: 14.45}
"""Measured on the embedded model."""


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({-2: 7.72, -1: 7.47, 0: 3.42, 1: 5.72, 2: 7.44}, True),  # ten steps on labels that were shifted
        ({-2: 13.4, -1: 12.8, 0: 1.17, 1: 12.9, 2: 13.8}, False),  # six sound steps
        ({-2: 5.1, -1: 5.0, 0: 4.1, 1: 4.9, 2: 5.0}, False),  # diverged: all tokens are equally likely
        ({-2: 3.9, -1: 3.9, 0: 4.5, 1: 3.9, 2: 3.9}, False),
        (BASE, False),
    ],
)
def test_a_training_that_was_cut_short(now: dict[int, float], told: bool) -> None:
    assert (shift_finding("sft", now, BASE) is not None) is told


# --- too little training


def rows(status: str, n: int = 10, right: int = 0) -> list[Written]:
    one = Written("q", "q", "7", "7 km is", None, status, "stop")  # type: ignore[arg-type]
    return [dataclasses.replace(one, status="correct") if place < right else one for place in range(n)]


def curves(values: list[float], every: int = 1) -> Mapping[str, list[tuple[int, float]]]:
    steps = [every * (place + 1) for place in range(len(values))]
    left = [(step, 4e-3 * (steps[-1] - step + every) / steps[-1]) for step in steps]
    return {"loss": list(zip(steps, values, strict=True)), "learning_rate": left}


MEASURED = {
    4: [2.63, 2.31, 1.74, 1.61],
    8: [2.63, 2.31, 1.7, 1.51, 1.38, 1.23, 1.08, 0.99],
    14: [2.63, 2.31, 1.68, 1.48, 1.3, 1.14, 0.93, 0.8, 0.71, 0.65, 0.55, 0.57, 0.49, 0.49],
}
"""Losses of the embedded model, by number of steps."""
SETTINGS = {"learning_rate": 4e-3, "max_steps": 8}


@pytest.mark.parametrize("steps", MEASURED)
def test_a_training_of_a_few_steps(steps: int) -> None:
    found = too_little("sft", curves(MEASURED[steps]), SETTINGS, rows("unparsed"))
    assert found is not None and (found.check, found.severity) == ("too-short", "error")
    assert "stages.sft.max_steps from 8 to 32" in found.remedy


def test_a_learning_rate_below_the_usual_is_the_cause_of_a_slow_fall() -> None:
    slow = curves([2.65, 2.61, 2.5, 2.48, 2.38, 2.37, 2.32, 2.34], every=5)
    found = too_little("sft", slow, SETTINGS | {"learning_rate": 1e-4}, rows("unparsed"))
    assert found is not None and found.check == "nothing-learned" and "from 0.0001 to 0.0002" in found.remedy
    whole = SETTINGS | {"learning_rate": 1e-4, "lora": None}
    other = too_little("sft", slow, whole, rows("unparsed"))
    assert other is not None and other.check == "too-short", "full fine-tuning uses smaller rates"


@pytest.mark.parametrize(
    ("loss", "written"),
    [
        (MEASURED[8], rows("wrong", right=2)),  # it is sometimes right
        ([2.6, 1.9, 1.4, 0.9, 0.5, 0.2, 0.1, 0.05], rows("unparsed")),  # it has learned its rows: another cause
        ([2.6, 1.2, 0.9, 0.82, 0.81, 0.8, 0.8, 0.8, 0.8, 0.8], rows("wrong")),  # it has levelled off
        ([2.6, 2.9, 3.5], rows("unparsed")),  # it rose
        ([2.6] * 30, rows("unparsed")),  # it never moved, though it had enough steps
        ([2.6], rows("unparsed")),
        (MEASURED[8], []),
    ],
)
def test_other_causes_are_not_taken_for_too_few_steps(loss: list[float], written: list[Written]) -> None:
    assert too_little("sft", curves(loss), SETTINGS, written) is None


# --- verdicts

TASK = load_recipe(SMALL).task


@pytest.mark.parametrize(
    ("same", "check"), [(True, "verdicts-changed"), (False, "judge-changed"), (None, "judge-changed")]
)
def test_verdicts_that_do_not_follow(same: bool | None, check: str) -> None:
    sound = [Written(f"q{n}", "q", "7", "<answer>7</answer>", "7", "correct", "stop") for n in range(9)]
    assert judged_again("sft", TASK, sound, same) is None
    wrong = dataclasses.replace(sound[0], gold="8")
    found = judged_again("sft", TASK, [*sound, wrong], same)
    assert found is not None and found.check == check and "correct is now wrong: 1" in found.evidence
    failed = dataclasses.replace(sound[0], status="timeout")
    assert judged_again("sft", TASK, [*sound, failed], same) is None, "a judge may have more time now"


# --- files


def test_outputs_that_are_gone_or_cut_off(tmp_path: Path) -> None:
    def found(file: Path) -> Finding:
        finding = output_finding("samples", file)
        assert finding is not None and str(file) in finding.what
        return finding

    whole = tmp_path / "completions.parquet"
    assert found(whole).check == "output-missing"
    pq.write_table(pa.table({"text": ["a"] * 100}), whole)
    assert output_finding("samples", whole) is None and output_finding("sft", tmp_path) is None
    whole.write_bytes(whole.read_bytes()[:-20])
    assert found(whole).check == "output-damaged" and "bytes" in found(whole).evidence
    whole.write_bytes(b"")
    assert found(whole).check == "output-damaged"


def test_errors_of_any_kind_are_one_line() -> None:
    assert not_looked_at("model sft", ValueError("\none\ntwo")).what == "model sft could not be examined: one"
    assert not_looked_at("model sft", KeyError()).what.endswith("KeyError")
    assert unreadable("sft", Path("gone.parquet"), OSError("no such file")).evidence == "no such file"


# --- hidden padding


class _Mask:
    """A model that repeats the last unmasked token, and records the position IDs it gets."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.places: list[int] = []

    def __call__(self, input_ids: torch.Tensor, use_cache: bool, **more: torch.Tensor) -> Any:
        mask = more.get("attention_mask", torch.ones_like(input_ids))
        self.places = more["position_ids"][0].tolist() if "position_ids" in more else []
        logits, last = torch.zeros(1, input_ids.shape[1], 50), 0
        for place, (token, seen) in enumerate(zip(input_ids[0].tolist(), mask[0].tolist(), strict=True)):
            last = token if seen else last
            logits[0, place, last] = 9.0
        return type("Output", (), {"logits": logits})


def test_hidden_tokens_of_a_prompt_are_masked_and_not_counted() -> None:
    model = _Mask()
    assert agreement(model, [Passage((5, 6, 7, 7), (6, 6), False, hidden=2)], [0]) == 1.0
    assert model.places == [0, 1, 0, 0, 2, 3]
    assert agreement(model, [Passage((5, 6, 7, 7), (6, 6), False, 2, True)], [0]) == 1.0
    assert model.places == [0, 1, 0, 0, 1, 2]
    assert agreement(model, [Passage((5, 6, 7, 7), (6, 6), False)], [0]) == 0.5 and model.places == []
