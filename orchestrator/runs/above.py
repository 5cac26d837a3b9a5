"""Start the parent run of a recipe's stages or trials: its tags, its settings, and the recipe itself."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from typing import Any

from orchestrator.models.base import BaseModelRef
from orchestrator.recipe.recipe import Recipe
from orchestrator.recipe.stored_task import overridden
from orchestrator.recipe.yaml_source import write_data
from orchestrator.store.base import Store
from orchestrator.store.names import (
    COMMIT_TAG,
    JUDGED_BY_TAG,
    SOURCE_TAG,
    TASK_FILE,
    TASK_MODULES,
    TASK_TAG,
    VERSION_TAG,
)
from orchestrator.store.provenance import git_commit, versions
from orchestrator.tasks.judged_by import judged_by


class Shown(dict[str, str]):
    """Stages that the trials of a run have in common: for each key, the run that shows the stage.

    Hold `lock` while adding a reused stage that no trial shows yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lock = RLock()


def start_run(store: Store, experiment_id: str, recipe: Recipe, name: str, tags: dict[str, str]) -> str:
    """Start the parent run of a recipe's stages or trials; `describe_run` fills in the rest."""
    all_tags = tags | {SOURCE_TAG: recipe.source, JUDGED_BY_TAG: judged_by(recipe.task)}
    if recipe.task.CODE is not None:
        all_tags[TASK_TAG] = ",".join(overridden(type(recipe.task)))
    commit = git_commit()
    if commit is not None:
        all_tags[COMMIT_TAG] = commit
    all_tags |= {VERSION_TAG + package: number for package, number in versions().items()}
    return store.start(experiment_id, name, all_tags, {})


def describe_run(
    store: Store, run_id: str, recipe: Recipe, base: BaseModelRef, params: Mapping[str, Any] | None = None
) -> None:
    """Record a recipe's settings, or `params` in their place, and the recipe itself.

    The recipe names the commit of a Hub model, so that the exact weights can be found later. The file of a user-defined
    task is stored with it.
    """
    resolved = recipe.resolved()
    if base.revision is not None and base.name == recipe.model.name:
        resolved["model"]["revision"] = base.revision
    if params is None:
        params = {k: v for k, v in resolved.items() if k not in ("stages", "evaluate")}
    store.log_params(run_id, params)
    store.log_file(run_id, write_data(resolved), "recipe.yaml")
    if recipe.task.CODE is not None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / TASK_FILE).write_bytes(recipe.task.CODE)
            for place, content in recipe.task.MODULES.items():
                module = Path(folder) / TASK_MODULES / place
                module.parent.mkdir(parents=True, exist_ok=True)
                module.write_bytes(content)
            store.log_folder(run_id, Path(folder))
