"""Runs written to a store by the project's own tracking code, as `orch run` does; nothing is trained."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from orchestrator.recipe.plain import made_from
from orchestrator.sampling.completions import summary
from orchestrator.store.base import Store
from orchestrator.store.machine import kind_of_machine
from orchestrator.store.names import BASE_TAG, MACHINE_TAG

Statuses = Sequence[str]


def recipe(name: str = "written", **changes: Any) -> dict[str, Any]:
    """A recipe as a run stores it: base, SFT, RFT and GRPO; `changes` are dotted names with __ for dots."""
    made: dict[str, Any] = {
        "name": name,
        "seed": 0,
        "task": {
            "type": "units",
            "test": {"generate": 100},
            "format": {"type": "tags", "closing": "</answer>"},
            "judge": {"type": "numeric", "tolerance": 0.05},
        },
        "model": {"name": "tiny"},
        "stages": {
            "sft": {
                "type": "sft",
                "data": ["demonstrations"],
                "learning_rate": 0.002,
                "per_device_train_batch_size": 16,
            },
            "samples": {"type": "sample", "model": "sft", "n": 4},
            "chosen": {"type": "select", "from": "samples", "keep": "correct"},
            "rft": {"type": "sft", "data": ["demonstrations", "chosen"], "per_device_train_batch_size": 32}
            | {"learning_rate": 0.004},
            "grpo": {"type": "grpo", "model": "rft", "max_steps": 50, "per_device_train_batch_size": 128},
        },
        "evaluate": {"on": "test", "max_tokens": 80, "models": ["base", "sft", "rft", "grpo"]},
    }
    for dotted, value in changes.items():
        *path, last = dotted.split("__")
        block = made
        for key in path:
            block = block.setdefault(key, {})
        block[last] = value
    return made


def answers(right: float, n: int = 100, answered: float = 1.0, seed: int = 0, asked: str = "q") -> pa.Table:
    """An evaluation of n questions: hard ones are missed first, so that models correlate as real ones do."""
    rng = np.random.default_rng(seed)
    order = np.argsort(np.linspace(0, 1, n) + 0.3 * rng.standard_normal(n))
    status = np.full(n, "wrong", dtype=object)
    status[order[: round(right * n)]] = "correct"
    status[order[n - round((1 - answered) * n) :]] = "unparsed"
    return pa.table(
        {
            "example_id": [f"{asked}-{i}" for i in range(n)],
            "question": [f"How much is {i}?" for i in range(n)],
            "gold": [str(i) for i in range(n)],
            "text": ["..."] * n,
            "status": list(status),
            "n_tokens": [20 + i % 5 for i in range(n)],
        }
    )


def write_run(
    store: Store,
    written: Mapping[str, Any],
    evaluations: Mapping[str, pa.Table],
    tags: Mapping[str, str] | None = None,
    above: str | None = None,
    status: str = "FINISHED",
    shared: bool = False,
) -> str:
    """Write one run of one seed with its stages and evaluations; return its id. `above`: the run over all seeds.

    `shared`: runs with the same settings and seed have the same model, as if its stages had been reused.
    """
    experiment = store.experiment(str(written["name"]))
    head = {"orch.verb": "run" if above is None else "seed", "orch.seed": str(written["seed"])} | dict(tags or {})
    name = str(written["name"]) if above is None else f"seed {written['seed']}"
    parent = store.start(experiment, name, head | _below(above), {"seed": written["seed"]})
    store.log_file(parent, yaml.safe_dump(dict(written), sort_keys=False), "recipe.yaml")
    for name in ("base", *written["stages"]):
        spec = written["stages"].get(name, {"type": "evaluate"})
        own = {"orch.verb": spec["type"], "orch.stage": name, "orch.seed": str(written["seed"])} | _below(parent)
        if name in evaluations:
            same = f"{made_from(written, name)}-{0 if name == 'base' else written['seed']}"
            own |= {"orch.eval_key": same if shared else f"{parent}-{name}", "orch.model": name}
        own |= {MACHINE_TAG: kind_of_machine(), BASE_TAG: written["model"]["name"]}
        run_id = store.start(experiment, name, own, spec)
        store.log(run_id, {"seconds": 30.0, "gpu_hours": 0.5} if name != "base" else {})
        if name in evaluations:
            _write(store, run_id, evaluations[name])
        store.end(run_id, status)
    store.end(parent, status, "stage 'sft' failed: no memory" if status == "FAILED" else None)
    return parent


def write_seeds(store: Store, written: Mapping[str, Any], by_seed: Mapping[int, Mapping[str, pa.Table]]) -> str:
    """Write a run of several seeds, with a run for each; return its id."""
    seeds = {"orch.verb": "run", "orch.seeds": ",".join(map(str, by_seed))}
    parent = store.start(store.experiment(str(written["name"])), str(written["name"]), seeds, {})
    for seed, evaluations in by_seed.items():
        write_run(store, dict(written) | {"seed": seed}, evaluations, above=parent)
    store.end(parent, "FINISHED")
    return parent


def _write(store: Store, run_id: str, table: pa.Table) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "eval").mkdir()
        pq.write_table(table, Path(folder) / "eval" / "results.parquet")
        store.log_folder(run_id, Path(folder))
    store.log(run_id, summary([table]).metrics())


def _below(parent: str | None) -> dict[str, str]:
    return {} if parent is None else {"mlflow.parentRunId": parent}
