"""`engine`, `engine_args` and `deterministic` of a recipe."""

from pathlib import Path

import pytest

from orchestrator.errors import RecipeError
from orchestrator.models.base import resolve_model
from orchestrator.models.reference import ModelRef
from orchestrator.models.settings import ModelSpec
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.sampling import engines
from orchestrator.sampling.engine import Room
from orchestrator.sampling.vllm_arguments import ARGUMENTS, CHANGE_TEXTS, SET_BY_ORCH

RECIPE = """\
name: engines
task: {type: units, demonstrations: {generate: 8}, train: {generate: 8}, test: {generate: 4}}
model: {name: tiny}
stages:
  sft:     {type: sft, per_device_train_batch_size: 4}
  samples: {type: sample, model: sft, engine: vllm}
"""
ROOM = Room()


@pytest.fixture(autouse=True)
def recipe() -> None:
    Path("r.yaml").write_text(RECIPE)


def key(*overrides: str) -> str:
    return compile_plan(load_recipe("r.yaml", overrides)).stage("samples").key


def test_what_decides_speed_and_memory_is_outside_of_the_key() -> None:
    before = key()
    assert key("stages.samples.engine_args={max_num_seqs: 64, gpu_memory_utilization: 0.5}") == before
    assert key("stages.samples.engine_args={quantization: fp8}") != before
    assert key("stages.samples.engine_args={quantization: fp8, max_num_seqs: 64}") == key(
        "stages.samples.engine_args={quantization: fp8}"
    )
    assert key("stages.samples.deterministic=true") != before
    assert key("stages.samples.engine=transformers") != before


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stages.samples.engine_args={max_num_seq: 64}", "did you mean 'max_num_seqs'"),
        ("stages.samples.engine_args={max_lora_rank: 64}", "the adapter decides it: the smallest rank that fits it"),
        ("stages.samples.engine_args={tensor_parallel_size: 2}", "resources: {gpus: N}"),
        ("stages.samples.engine=transformers", "engine transformers takes none"),
        ("stages.samples.engine=vlm", "did you mean 'vllm'"),
        (
            "stages.samples={type: sample, model: sft, engine: transformers, deterministic: true}",
            "deterministic changes nothing with engine",
        ),
    ],
)
def test_what_the_engine_does_not_take_is_refused(override: str, said: str) -> None:
    Path("r.yaml").write_text(RECIPE.replace("engine: vllm}", "engine: vllm, engine_args: {max_num_seqs: 8}}"))
    with pytest.raises(RecipeError) as refused:
        load_recipe("r.yaml", [override])
    assert said in str(refused.value) and len(refused.value.problems) == 1


def test_auto_is_vllm_where_it_is_installed_and_there_is_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = tmp_path / "gpus"
    monkeypatch.setattr(engines, "_GPUS", gpus)
    installed: list[object] = [None]
    monkeypatch.setattr(engines, "find_spec", lambda name: installed[0])
    assert engines.chosen("auto") == "transformers"
    installed[0] = object()
    assert engines.chosen("auto") == "transformers"
    (gpus / "0000:01:00.0").mkdir(parents=True)
    assert engines.chosen("auto") == "vllm"
    assert load_recipe("r.yaml", ["stages.samples.engine=auto"]).stages["samples"].engine == "vllm"  # type: ignore[attr-defined]
    assert load_recipe("r.yaml").evaluate.engine == "vllm"
    installed[0] = None
    assert load_recipe("r.yaml").evaluate.engine == "transformers"


def test_names_stand_in_one_list_alone() -> None:
    assert not ARGUMENTS & CHANGE_TEXTS and not (ARGUMENTS | CHANGE_TEXTS) & set(SET_BY_ORCH)


def test_names_are_those_of_the_vllm_that_is_installed() -> None:
    pytest.importorskip("vllm")
    from vllm import EngineArgs

    known = set(EngineArgs.__dataclass_fields__)
    assert known >= ARGUMENTS | CHANGE_TEXTS and set(SET_BY_ORCH) - known <= {"runner"}


def test_stages_share_an_engine_where_it_can_go_on_to_the_next_model() -> None:
    base = resolve_model(ModelSpec(name="tiny"))
    bare, one, another = ModelRef("base", base), ModelRef("sft", base, "one"), ModelRef("rft", base, "another")

    def shared(engine: str, first: ModelRef, then: ModelRef, room: Room = ROOM) -> bool:
        return engines.loaded(engine, first, ROOM) == engines.loaded(engine, then, room)

    assert shared("vllm", one, another) and not shared("vllm", bare, one), "room for adapters is reserved at the start"
    assert not shared("transformers", one, another) and shared("transformers", one, one)
    assert not shared("vllm", one, one, Room(gpus=0.5)) and not shared("vllm", one, one, Room(deterministic=True))
    assert engines.loaded("vllm", one, Room()) != engines.loaded("transformers", one, Room())
