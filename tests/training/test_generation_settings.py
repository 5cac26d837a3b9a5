"""GRPO's sampling settings: what transformers cannot do is reported before anything is spent."""

from pathlib import Path
from typing import Any

import pytest
import torch
from trl import GRPOConfig

from orchestrator.errors import StageError
from orchestrator.training.generation_settings import try_generation


def made(tmp_path: Path, **settings: Any) -> GRPOConfig:
    return GRPOConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, activation_checkpointing=False, report_to="none", **settings
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"top_k": 5, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.2},
        {"generation_kwargs": {"do_sample": False}},
        {"generation_kwargs": {"num_beams": 2}},
        {"generation_kwargs": {"suppress_tokens": [150_000]}},
        {"cache_implementation": "static"},
    ],
)
def test_what_can_be_done_is_let_through_and_changes_no_later_draw(tmp_path: Path, settings: dict[str, Any]) -> None:
    configuration = made(tmp_path, **settings)
    torch.manual_seed(7)
    later = torch.rand(3)
    torch.manual_seed(7)
    try_generation(configuration)
    assert torch.equal(torch.rand(3), later)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"generation_kwargs": {"num_beam": 2}}, "no generation setting 'num_beam'; did you mean 'num_beams'?"),
        ({"generation_kwargs": {"nosuch_key": 3}}, "transformers has no generation setting 'nosuch_key'"),
        ({"top_k": -5}, "cannot generate with GRPO's settings: `top_k` has to be a strictly positive integer"),
        ({"repetition_penalty": 0.0}, "`penalty` has to be a strictly positive float"),
        ({"min_p": 2.0}, "`min_p` has to be a float in the [0, 1] interval"),
        ({"cache_implementation": "foo"}, "Invalid `cache_implementation` (foo)"),
        ({"generation_kwargs": {"num_return_sequences": 2}}, "num_generations sets how many there are"),
        ({"generation_kwargs": {"return_dict_in_generate": True}}, "as a row of tokens"),
        ({"generation_kwargs": {"stop_strings": ["5"]}}, "stop strings"),
    ],
)
def test_what_cannot_is_refused(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(StageError) as raised:
        try_generation(made(tmp_path, **settings))
    assert said in str(raised.value)
