"""Write the manifest that runs a recipe on a Kubernetes cluster with KubeRay: a RayJob, and a ConfigMap with its files.

Nothing is submitted. The ConfigMap holds the recipe as resolved here, overrides included, and the small files it reads.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.commands.submit import refuse_own_store
from orchestrator.commands.sweep import load_any
from orchestrator.errors import InputError
from orchestrator.recipe.paths import path_settings
from orchestrator.recipe.recipe import Recipe
from orchestrator.recipe.yaml_source import write_data, write_documents

_MOUNT = "/recipe"
_NOT_IN_KEYS = re.compile(r"[^-._a-zA-Z0-9]")
"""Characters that are not allowed in the keys of a ConfigMap."""
_WORK = "/tmp/orch"
_MOST = 900_000
"""Maximum total bytes of all files: a ConfigMap holds 1 MiB."""
_LONGEST = 40
"""Maximum characters of a name, to which KubeRay appends its own."""
_IMAGE = re.compile(r"[\w./:@-]+")
_MEMORY = re.compile(r"\d+(\.\d+)?([KMGT]i?)?")


@dataclass(frozen=True, slots=True)
class Pods:
    """The resources that a job requests."""

    image: str
    """An image that contains orch, as built by the project's Dockerfile."""
    number: int = 1
    """Number of worker pods; one more pod, the head, only schedules."""
    cpus: int = 8
    """Per worker pod."""
    gpus: int = 0
    """Per worker pod."""
    memory: str = "16Gi"
    """Per worker pod, in Kubernetes notation."""
    secret: str | None = None
    """A secret in the cluster whose entries become environment variables, such as MLFLOW_TRACKING_PASSWORD."""


def kubernetes_manifest(recipe: str | Path, overrides: Sequence[str], pods: Pods, *, sweep: bool = False) -> str:
    """Two YAML documents for `kubectl apply`.

    Raises:
        InputError: an invalid number of pods, cores or GPUs; the cluster could not reach the store; the files that the
            recipe reads cannot be included or are too large.
        RecipeError: the recipe is invalid.
    """
    for name, value, least in (("nodes", pods.number, 1), ("cpus", pods.cpus, 1), ("gpus", pods.gpus, 0)):
        if value < least:
            raise InputError(f"--{name}: at least {least}, not {value}")
    if not _IMAGE.fullmatch(pods.image):
        raise InputError(f"--image: {pods.image!r} is not an image name: write REGISTRY/orch:TAG")
    if not _MEMORY.fullmatch(pods.memory):
        raise InputError(f"--memory: {pods.memory!r} is not a memory size: write 16Gi, or 500Mi")
    loaded = load_any(recipe, overrides, sweep)
    refuse_own_store(store := os.environ.get("MLFLOW_TRACKING_URI", ""))
    name = f"orch-{re.sub(r'[^a-z0-9]+', '-', loaded.name.lower()).strip('-')}"[:_LONGEST].rstrip("-")
    files = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": _files(loaded, sweep)}
    said = (
        "# Written by `orch submit --kubernetes`. Review it, then: kubectl apply -f FILE\n"
        "# The recipe is included as resolved, with the files that it reads. KubeRay has to be installed.\n"
    )
    storage = "" if loaded.work_url is not None else f" storage={_WORK}"
    job = _job(name, f"orch {'sweep' if sweep else 'run'} {_MOUNT}/recipe.yaml{storage}", store, pods)
    return said + write_documents([files, job])


def _files(recipe: Recipe, sweep: bool) -> dict[str, str]:
    """The recipe and the files it reads, by name; all are mounted in one folder."""
    if recipe.task.MODULES:
        raise InputError(
            f"the task's file imports {next(iter(recipe.task.MODULES))}, which is not sent along: put both into the "
            "image, and give the task's path there"
        )
    resolved = recipe.resolved()
    if recipe.work_url is None:
        resolved.pop("storage", None)  # pods have their own folder
    if sweep and recipe.sweep is not None:
        resolved["sweep"] = recipe.sweep.model_dump(mode="json", exclude_none=True)
    found: dict[str, str] = {}
    changed: dict[str, str] = {}
    for keys, text in path_settings(resolved):
        file, colon, rest = text.rpartition(":") if ".py:" in text else (text, "", "")
        path = Path(file).expanduser()
        if path.is_dir():
            raise InputError(
                f"{'.'.join(keys)}: the folder {path} is not sent along: put it into the image, or name a model or a "
                "data set on the Hub"
            )
        if not path.is_file() or text in changed:
            continue
        name = f"{len(found)}-{_NOT_IN_KEYS.sub('-', path.name)}"
        try:
            found[name] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{'.'.join(keys)}: {path} is not text: convert it to JSONL or CSV") from None
        changed[text] = f"{_MOUNT}/{name}{colon}{rest}"
    if (size := sum(len(text.encode()) for text in found.values())) > _MOST:
        raise InputError(
            f"the recipe's files total {size / 1e6:.1f} MB, and at most {_MOST / 1e6:.1f} MB can be sent along: put "
            "them into the image, or name a data set on the Hub"
        )
    return {"recipe.yaml": write_data(_with(resolved, changed))} | found


def _with(data: Any, changed: Mapping[str, str]) -> Any:
    if isinstance(data, dict):
        return {key: _with(value, changed) for key, value in data.items()}
    if isinstance(data, list):
        return [_with(value, changed) for value in data]
    return changed.get(data, data) if isinstance(data, str) else data


def _job(name: str, command: str, store: str, pods: Pods) -> dict[str, Any]:
    env = [
        {"name": "MLFLOW_TRACKING_URI", "value": store},
        {"name": "MLFLOW_DISABLE_TELEMETRY", "value": "true"},
        {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"},
        {"name": "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "value": "1"},
    ]
    common: dict[str, Any] = {"image": pods.image, "env": env}
    if pods.secret is not None:
        common["envFrom"] = [{"secretRef": {"name": pods.secret}}]
    recipe = {"name": "recipe", "mountPath": _MOUNT, "readOnly": True}
    volume = {"name": "recipe", "configMap": {"name": name}}

    def pod(role: str, limits: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        resources = {"limits": dict(limits), "requests": dict(limits)}
        container = {"name": role, **common, "resources": resources, "volumeMounts": [recipe], **more}
        return {"spec": {"containers": [container], "volumes": [volume]}}

    limits: dict[str, Any] = {"cpu": pods.cpus, "memory": pods.memory}
    if pods.gpus:
        limits["nvidia.com/gpu"] = pods.gpus
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name},
        "spec": {
            # the pods share no folder: their output goes to the head, and from there into the store
            "entrypoint": command,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 3600,
            "rayClusterSpec": {
                "headGroupSpec": {
                    "rayStartParams": {"num-cpus": "0", "num-gpus": "0", "dashboard-host": "0.0.0.0"},
                    "template": pod("head", {"cpu": 2, "memory": "8Gi"}),
                },
                "workerGroupSpecs": [
                    {
                        "groupName": "workers",
                        "replicas": pods.number,
                        "minReplicas": pods.number,
                        "maxReplicas": pods.number,
                        "rayStartParams": {},
                        "template": pod("worker", limits),
                    }
                ],
            },
        },
    }
