"""Trainings other than a new adapter in float32: whole models, merged ones, half precision, less memory."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from orchestrator.errors import StageError
from orchestrator.models.base import made_model, resolve_model
from orchestrator.models.loading import load_for_generation, load_tokenizer, load_trainable
from orchestrator.models.reference import ModelRef
from orchestrator.models.settings import ModelSpec
from orchestrator.models.start import ADAPTER_FILE
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.sampling.engine import Decoding, Request
from orchestrator.sampling.transformers_engine import TransformersEngine
from orchestrator.stages.grpo import Grpo
from orchestrator.training.grpo import GrpoJob, run_grpo
from orchestrator.training.sft import run_sft
from tests.conftest import SMALL
from tests.training.test_answer_weight import furthest, job, trained

BASE = resolve_model(ModelSpec(name="tiny"))
IDS = torch.tensor([[40, 50, 60, 70]])


def adapter(work: Path) -> ModelRef:
    trained(work, learning_rate=1e-2)
    return ModelRef("sft", BASE, str(work / "model"))


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(input_ids=IDS).logits


def grpo(work: Path, model: ModelRef, **settings: Any) -> GrpoJob:
    work.mkdir()
    task = compile_plan(load_recipe(SMALL)).recipe.task
    usual = {"max_steps": 2, "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 24}
    spec = Grpo.model_validate({"type": "grpo", **usual, **settings})
    return GrpoJob(work, model, task.format, spec, 0, 1, task, tuple(task.examples("train")[:8]))


def test_an_adapter_is_merged_before_all_weights_are_trained(tmp_path: Path) -> None:
    ref = adapter(tmp_path / "sft")
    model = load_trainable(ref, None)
    assert all(p.requires_grad and p.dtype is torch.float32 for p in model.parameters())
    assert torch.allclose(logits(model), logits(load_for_generation(ref)), atol=1e-5)
    assert not torch.allclose(logits(model), logits(load_trainable(ModelRef("base", BASE), None)), atol=1e-2)


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_grpo_trains_whole_models_too(tmp_path: Path, beta: float) -> None:
    ref = adapter(tmp_path / "sft")
    if beta:
        with pytest.raises(StageError, match="beta above 0 needs a reference model"):
            run_grpo(grpo(tmp_path / "refused", ref, lora=None, beta=beta))
        ref = ModelRef("base", BASE)
    run_grpo(grpo(tmp_path / "grpo", ref, lora=None, beta=beta, learning_rate=1e-3))
    made = made_model(tmp_path / "grpo" / "model", BASE)
    assert logits(load_for_generation(ModelRef("grpo", made))).isfinite().all()


@pytest.mark.parametrize("step", [2, 4])
@pytest.mark.parametrize("lora", [{}, None])
def test_a_training_goes_on_from_its_checkpoint_also_from_the_last(tmp_path: Path, lora: Any, step: int) -> None:
    settings = {"lora": lora, "max_steps": 4, "save_steps": 2}
    file = "model.safetensors" if lora is None else ADAPTER_FILE
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    run_sft(job(tmp_path / "whole", **settings))
    kept = tmp_path / "killed" / "checkpoints" / f"checkpoint-{step}"
    shutil.copytree(tmp_path / "whole" / "checkpoints" / kept.name, kept)
    run_sft(job(tmp_path / "killed", **settings))
    one, other = (load_file(tmp_path / name / "model" / file) for name in ("whole", "killed"))
    assert furthest(one, other) == 0


def test_half_precision_is_what_the_recipe_asks_for(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    half = replace(BASE, dtype="bfloat16")
    run_sft(replace(job(tmp_path / "half"), model=ModelRef("base", half)))
    assert load_file(tmp_path / "half" / "model" / ADAPTER_FILE).popitem()[1].dtype is torch.float32
    engine = TransformersEngine(ModelRef("sft", half, str(tmp_path / "half" / "model")))
    assert engine.model.dtype is torch.bfloat16
    assert len(engine.generate([Request((40, 50, 60), 0)], Decoding(0.0, 1.0, 4))) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU trains in float16")
def test_float16_is_not_trained_without_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"model\.dtype is float16.*set model\.dtype to float32 or bfloat16"):
        run_sft(replace(job(tmp_path), model=ModelRef("base", replace(BASE, dtype="float16"))))


@pytest.mark.parametrize("lora", [{}, None])
def test_less_memory_gives_the_same_model(tmp_path: Path, lora: Any) -> None:
    file = "model.safetensors" if lora is None else ADAPTER_FILE
    for name, less in (("plain", False), ("less", True)):
        (tmp_path / name).mkdir()
        run_sft(job(tmp_path / name, lora=lora, activation_checkpointing=less))
    assert furthest(*(load_file(tmp_path / name / "model" / file) for name in ("plain", "less"))) < 1e-6


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    run_sft(job(tmp_path / "whole", lora=None, max_steps=1))
    ours = load_tokenizer(made_model(tmp_path / "whole" / "model", BASE))
    theirs = load_tokenizer(BASE)
    for text in ("Convert 1,200 kg to t.\n", "  é\n\n<answer>"):
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    assert (ours.eos_token_id, ours.pad_token_id) == (theirs.eos_token_id, theirs.pad_token_id)
