"""When an output counts as present."""

import pytest

from orchestrator.store.names import CHOSEN, COMPLETIONS, MODEL, RESULTS, is_whole

ADAPTER = {"adapter_config.json": 900, "adapter_model.safetensors": 80_000, "answer_format.json": 200}


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
    assert is_whole(MODEL, sizes) is whole


@pytest.mark.parametrize("output", [COMPLETIONS, CHOSEN, RESULTS])
def test_a_table_needs_to_be_there_and_not_empty(output: str) -> None:
    name = output.rpartition("/")[2]
    assert is_whole(output, {name: 1})
    assert not is_whole(output, {name: 0})
    assert not is_whole(output, {})
