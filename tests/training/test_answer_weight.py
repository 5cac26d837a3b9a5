"""Answers weighted above the reasoning: the same numbers as a reference in plain torch, however a step is split."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from trl import SFTConfig

from orchestrator.answers.formats import TagsFormat
from orchestrator.models.base import TINY, resolve_model
from orchestrator.models.loading import load_tokenizer
from orchestrator.models.reference import ModelRef
from orchestrator.models.settings import ModelSpec
from orchestrator.models.start import ADAPTER_FILE
from orchestrator.stages.sft import Sft
from orchestrator.tasks.units_questions import UnitSettings, generate
from orchestrator.training.sft import SftJob, collator, run_sft, tokenized
from orchestrator.training.weighted import WEIGHTS, WeightedTrainer, target_weights

PAIRS = tuple((e.question, e.demonstration or "") for e in generate("demonstrations", 32, 0, UnitSettings()))


def job(work: Path, pairs: tuple[tuple[str, str], ...] = PAIRS, **settings: Any) -> SftJob:
    """A training of two steps of sixteen rows each, unless the settings say otherwise."""
    usual = {"max_steps": 2, "learning_rate": 1e-3, "per_device_train_batch_size": 16, "logging_steps": 1}
    spec = Sft.model_validate({"type": "sft", **usual, **settings})
    return SftJob(work, ModelRef("base", resolve_model(ModelSpec(name="tiny"))), TagsFormat(), spec, 0, 1, pairs)


def trained(work: Path, **settings: Any) -> dict[str, torch.Tensor]:
    """The resulting adapter."""
    work.mkdir()
    run_sft(job(work, **settings))
    return load_file(work / "model" / ADAPTER_FILE)


def furthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[key] - other[key]).abs().max()) for key in one)


def test_weights_stand_on_the_answer_and_the_end_of_text() -> None:
    assert target_weights(2, 4, 2, 5.0) == [0, 0, 1, 1, 5, 5]
    assert target_weights(1, 2, None, 5.0) == [0, 1, 1]
    assert target_weights(0, 2, 1, 0.5) == [2, 1], "only the ratio counts; no weight is below 1"


def test_a_weight_of_one_is_the_trainer_as_it_was(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(resolve_model(ModelSpec(name="tiny")))
    assert tokenized(job(tmp_path), tokenizer).column_names == ["input_ids", "labels"]
    assert tokenized(job(tmp_path, answer_weight=2), tokenizer).column_names == ["input_ids", "labels", WEIGHTS]


def test_the_gradient_is_that_of_a_weighted_mean_in_plain_torch(tmp_path: Path) -> None:
    wanted = job(tmp_path, answer_weight=5.0)
    tokenizer = load_tokenizer(wanted.model.base)
    data = tokenized(wanted, tokenizer)
    model = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    trainer = WeightedTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            activation_checkpointing=False,
            report_to="none",
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=data,
        data_collator=collator(tokenizer, weighted=True),
        processing_class=tokenizer,
    )
    batches = [trainer.data_collator([data[i] for i in part]) for part in (range(10), range(10, 16))]
    total = trainer._get_num_items_in_batch(batches, torch.device("cpu"))
    loss = sum(trainer.compute_loss(model, dict(batch), num_items_in_batch=total) for batch in batches)
    loss.backward()

    reference = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    summed, weights = torch.zeros(()), 0.0
    for row in data.select(range(16)):
        ids, begins = row["input_ids"], next(i for i, label in enumerate(row["labels"]) if label != -100)
        logits = reference(input_ids=torch.tensor([ids])).logits[0].float()
        answer = tokenizer.decode(ids[begins:]).index("<answer>")
        for place in range(begins, len(ids)):
            weight = 5.0 if len(tokenizer.decode(ids[begins : place + 1])) > answer else 1.0
            summed = summed - weight * logits[place - 1].log_softmax(-1)[ids[place]]
            weights += weight
    expected = summed / weights
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6, rtol=1e-4)


def test_a_step_may_be_cut_into_batches_and_an_adapter_learns_more_of_the_answer(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", answer_weight=5.0)
    cut = trained(tmp_path / "cut", answer_weight=5.0, per_device_train_batch_size=8, gradient_accumulation_steps=2)
    plain = trained(tmp_path / "plain")
    assert furthest(whole, cut) < 2e-4, "Adam's first steps have the size of the learning rate, 1e-3"
    assert furthest(whole, plain) > 5e-4
