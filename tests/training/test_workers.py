"""Workers that train one model together: each one's rows, and the model, which equals that of one worker."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.utils.data import BatchSampler, SequentialSampler

from orchestrator.errors import RecipeError
from orchestrator.models.start import ADAPTER_FILE
from orchestrator.plan.plan import Plan, compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.stages.sft import Sft
from orchestrator.training.journal import NAME, read
from orchestrator.training.sft import run_sft
from orchestrator.training.workers import OwnRows
from tests.conftest import SMALL
from tests.support.processes import together
from tests.training.test_answer_weight import PAIRS, furthest, job


@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 8), st.integers(1, 4))
def test_workers_take_the_rows_of_each_step_and_none_twice(rows: int, batch: int, passes: int, workers: int) -> None:
    settings = {"per_device_train_batch_size": batch * workers, "gradient_accumulation_steps": passes}
    spec = Sft.model_validate({"type": "sft", "resources": {"workers": workers}, **settings})
    a_pass, own_passes = spec.shared_batch
    assert a_pass * own_passes * workers == batch * workers * passes
    whole = BatchSampler(SequentialSampler(range(rows)), batch * workers, drop_last=False)
    batches = list(whole)
    steps = [list(chain(*batches[n : n + passes])) for n in range(0, len(batches), passes)]
    taken = [list(OwnRows(whole, batch * workers, worker, workers, spec.dealt, -1)) for worker in range(workers)]
    assert len({len(one) for one in taken}) == 1, "all take the same number of steps"
    assert all(len(part) <= a_pass for one in taken for part in one)
    for number, step in enumerate(steps):
        here = [part for one in taken for part in one[number * own_passes : (number + 1) * own_passes]]
        assert sorted(row for part in here for row in part if row >= 0) == sorted(step)
        assert all(part == [-1] for part in here if -1 in part), "a row without labels only if there is no other"


ALONE: dict[str, dict[str, Any]] = {
    # 32 rows: an epoch ends in a batch of 5, of which the third worker gets none
    "divided": {
        "num_train_epochs": 2,
        "max_steps": None,
        "per_device_train_batch_size": 9,
        "warmup_steps": 1,
        "lora": None,
    },
    "dealt": {"max_steps": 3, "per_device_train_batch_size": 5, "gradient_accumulation_steps": 2, "answer_weight": 5.0},
}
PROGRAM = """
import sys
from pathlib import Path
import torch.distributed
from tests.training.test_workers import together_job
from orchestrator.training.sft import run_sft
torch.distributed.init_process_group("gloo")  # as Ray Train does it
folder = Path(sys.argv[1])
run_sft(together_job(folder, folder.name))
"""
WORKERS = {"divided": 3, "dealt": 2}


def settings_of(name: str) -> dict[str, Any]:
    return {"learning_rate": 1e-3, "save_steps": 2, **ALONE[name]}


def together_job(work: Path, name: str) -> Any:
    return job(work, PAIRS, **settings_of(name), resources={"workers": WORKERS[name]})


@pytest.mark.parametrize("name", list(ALONE))
def test_workers_train_the_model_of_one(tmp_path: Path, name: str) -> None:
    one, several = tmp_path / "one", tmp_path / name
    one.mkdir()
    several.mkdir()
    run_sft(job(one, PAIRS, **settings_of(name)))
    together(PROGRAM, several, WORKERS[name])
    curves = [[r["metrics"] for r in read(work / NAME) if "loss" in r.get("metrics", {})] for work in (one, several)]
    assert len(curves[0]) == len(curves[1]), "one worker writes the curve"
    for ours, theirs in zip(*curves, strict=True):
        assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-3)
        assert theirs["grad_norm"] == pytest.approx(ours["grad_norm"], rel=1e-2)
    file = "model.safetensors" if name == "divided" else ADAPTER_FILE
    models = [load_file(work / "model" / file) for work in (one, several)]
    assert furthest(*models) < 5e-4, "Adam's first steps have the size of the learning rate, 1e-3"


# --- the recipe


def planned(*overrides: str) -> Plan:
    return compile_plan(load_recipe(SMALL, overrides))


def test_the_number_of_workers_is_in_no_key_but_where_random_numbers_are_drawn() -> None:
    one, two = planned(), planned("stages.sft.resources.workers=2", "stages.rft.resources.workers=4")
    assert [s.key for s in one.stages] == [s.key for s in two.stages]
    grpo = planned("stages.grpo.resources.workers=2")
    assert [s.name for s, t in zip(one.stages, grpo.stages, strict=True) if s.key != t.key] == ["grpo", "evaluate.grpo"]
    for draws in ("stages.rft.lora={lora_dropout: 0.1}", "stages.rft.neftune_noise_alpha=5"):
        keys = [planned(draws, f"stages.rft.resources.workers={n}").stage("rft").key for n in (1, 2)]
        assert keys[0] != keys[1], draws


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ("{workers: 3}", "4 x 1 rows cannot be divided by resources.workers = 3"),
        ("{workers: 0}", "workers"),
        ("{workers: 2, gpus: 0.5}", "workers that train together do not share a GPU"),
        ("{gpus: 2}", "write gpus: 1 and workers: 2"),
    ],
)
def test_what_workers_cannot_share_is_refused(resources: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(SMALL, [f"stages.sft.resources={resources}"])
    assert said in str(caught.value)
