"""The model a recipe starts from: a base, or an adapter that was trained on one. Loads no weights."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.answers.formats import AnswerFormat, load_format
from orchestrator.errors import ModelError
from orchestrator.models.base import BaseModelRef, resolve_model
from orchestrator.models.settings import ModelSpec

ADAPTER_CONFIG = "adapter_config.json"
BASE_FILE = "base.json"
FORMAT_FILE = "answer_format.json"
"""Written next to every model that orch produces."""
ADAPTER_FILE = "adapter_model.safetensors"
_ADAPTER_PICKLE = "adapter_model.bin"
_CONVERT = (
    'python -c "import torch; from safetensors.torch import save_file; '
    "w = torch.load('adapter_model.bin', map_location='cpu', weights_only=True); "
    "save_file({k: v.contiguous() for k, v in w.items()}, 'adapter_model.safetensors')\""
)
"""Loads only tensors (weights_only), so it runs no code from the file."""


@dataclass(frozen=True, slots=True)
class StartModel:
    """The model named by a recipe's `model` block."""

    base: BaseModelRef
    adapter: str | None
    """The folder of the adapter that training continues from."""
    digest: str
    """Changes when the weights of the base or of the adapter do."""
    answer_format: AnswerFormat | None
    """The answer format it was trained with, if known."""


def resolve_start(spec: ModelSpec) -> StartModel:
    """Find a recipe's model; a folder with an adapter leads to the base it was trained on.

    Raises:
        ModelError: no such model, or an adapter whose base is not the one it was trained on.
    """
    try:
        folder = Path(spec.name).expanduser()
        is_adapter = spec.name != "tiny" and (folder / ADAPTER_CONFIG).is_file()
    except (OSError, RuntimeError):  # not a folder's name: resolve_model reports why
        is_adapter = False
    if not is_adapter:
        base = resolve_model(spec)
        return StartModel(base, None, base.digest, _format(Path(base.location)))
    if spec.revision is not None:
        raise ModelError(f"model.revision: {spec.name} is a folder, only models on the Hub have revisions")
    base = base_of_adapter(folder, spec.trust_remote_code, spec.dtype)
    digest = hashlib.sha256(base.digest.encode())
    for path in sorted(folder.iterdir()):
        if path.name == ADAPTER_CONFIG or path.suffix in (".safetensors", ".bin"):
            digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return StartModel(base, str(folder.resolve()), digest.hexdigest(), _format(folder))


def base_of_adapter(folder: Path, trust_remote_code: bool = False, dtype: str = "auto") -> BaseModelRef:
    """Find the base that an adapter was trained on.

    Raises:
        ModelError: it no longer exists, or its weights have changed.
    """
    recorded, config = recorded_base(folder), _json(folder / ADAPTER_CONFIG)
    name = recorded.get("name") or config.get("base_model_name_or_path")
    if not name:
        raise ModelError(f"model.name: {folder} is an adapter that does not name its base; merge it into its base")
    problems = []
    for place, revision in _places(str(name), recorded.get("location"), (recorded or config).get("revision")):
        spec = {"name": place, "revision": revision, "trust_remote_code": trust_remote_code, "dtype": dtype}
        try:
            base = resolve_model(ModelSpec.model_validate(spec))
        except ModelError as error:
            problems.append(error)
            continue
        if recorded.get("digest") in (None, base.digest):
            return base
        problems.append(
            ModelError(
                f"model.name: the adapter in {folder} was trained on {name} with weights "
                f"{str(recorded['digest'])[:12]}, but {base.location} now holds {base.digest[:12]}: an adapter only "
                "fits the weights it was trained on"
            )
        )
    raise problems[0]


def _places(name: str, location: object, revision: str | None) -> list[tuple[str, str | None]]:
    """Where a base may be, with the revision to request: its original name, and its original location.

    A folder's name may be relative to where the run was started; from elsewhere it means nothing, and must not be
    mistaken for a model on the Hub.
    """
    if not isinstance(location, str) or not Path(location).is_absolute():
        return [(name, None if _is_folder(name) else revision)]
    named = [name] if name == "tiny" or name == location or _is_folder(name) else []
    return [(place, None) for place in dict.fromkeys([*named, location])]


def _is_folder(name: str) -> bool:
    try:
        return Path(name).expanduser().is_dir()
    except (OSError, RuntimeError):  # it cannot be one: resolve_model reports why
        return False


def is_trained(base: BaseModelRef, adapter: str | None) -> bool:
    """Whether a recipe's own model is already trained: an adapter, or a whole model that orch produced."""
    return adapter is not None or (Path(base.read_from) / FORMAT_FILE).is_file()


def check_adapter(start: StartModel) -> None:
    """Raise ModelError if the adapter has no weights that can be loaded."""
    if start.adapter is None:
        return
    weights = [p for p in Path(start.adapter).iterdir() if p.suffix in (".safetensors", ".bin")]
    names = [p.name for p in weights]
    if _ADAPTER_PICKLE in names and ADAPTER_FILE not in names:
        raise ModelError(
            f"model.name: the adapter in {start.adapter} is a pickle ({_ADAPTER_PICKLE}), which may run code when it "
            f"is loaded; convert it to {ADAPTER_FILE}: in that folder, {_CONVERT}"
        )
    if ADAPTER_FILE not in names:
        others = f"; it holds {', '.join(names)}" if names else ""
        raise ModelError(f"model.name: {start.adapter} is an adapter without weights: no {ADAPTER_FILE}{others}")
    for path in weights:
        if path.stat().st_size == 0:
            raise ModelError(f"model.name: {path} has 0 bytes: get the adapter again, or train it again")


def recorded_base(folder: Path) -> dict[str, Any]:
    """orch's record of the base next to an adapter; empty if the adapter was made elsewhere."""
    return _json(folder / BASE_FILE) if (folder / BASE_FILE).is_file() else {}


def _format(folder: Path) -> AnswerFormat | None:
    file = folder / FORMAT_FILE
    if not file.is_file():
        return None
    try:
        return load_format(_json(file))
    except ValidationError as error:
        raise ModelError(f"model.name: {file} holds no answer format: {error.errors()[0]['msg']}") from None


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"model.name: {file} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise ModelError(f"model.name: {file} holds no JSON object")
    return found
