"""When an output counts as there."""

import pytest

from orchestrator.stages.registry import STAGES
from orchestrator.store.names import OUTPUTS, is_whole

ADAPTER = {"adapter_config.json": 900, "adapter_model.safetensors": 80_000, "answer_format.json": 200}


def test_every_verb_has_an_output() -> None:
    assert set(OUTPUTS) == set(STAGES)


@pytest.mark.parametrize(
    ("sizes", "whole"),
    [
        (ADAPTER, True),
        ({"config.json": 900, "model-1.safetensors": 5, "model-2.safetensors": 5, "tokenizer.json": 0}, True),
        ({"config.json": 900, "pytorch_model.bin": 5}, True),
        ({}, False),
        (ADAPTER | {"adapter_model.safetensors": 0}, False),
        (ADAPTER | {"adapter_config.json": 0}, False),
        ({"adapter_model.safetensors": 80_000}, False),
        ({"adapter_config.json": 900}, False),
        ({"config.json": 900, "model-1.safetensors": 5, "model-2.safetensors": 0}, False),
    ],
)
def test_a_model_needs_its_settings_and_all_its_weights(sizes: dict[str, int], whole: bool) -> None:
    assert is_whole("sft", sizes) is is_whole("grpo", sizes) is whole


@pytest.mark.parametrize("verb", ["sample", "select", "evaluate"])
def test_a_table_needs_to_be_there_and_not_empty(verb: str) -> None:
    name = OUTPUTS[verb].rpartition("/")[2]
    assert is_whole(verb, {name: 1})
    assert not is_whole(verb, {name: 0})
    assert not is_whole(verb, {})
