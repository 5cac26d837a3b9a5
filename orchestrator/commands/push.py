"""`push` as a function: upload an exported folder to the Hugging Face Hub in one commit."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.commands.export import Dtype, export
from orchestrator.commands.model_folder import model_folder
from orchestrator.errors import InputError, OrchError

_WEIGHTS = ("adapter_config.json", "adapter_model.*", "config.json", "model.safetensors", "model-*", "model.*.json")
"""Files of an earlier push to delete: an adapter next to merged weights would be applied to them a second time."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result of `push`."""

    repo: str
    url: str
    commit: str
    private: bool
    files: tuple[str, ...]
    size: int
    """Bytes."""
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        return asdict(self)


def push(
    run: str | None,
    repo: str,
    model: str | None = None,
    *,
    private: bool = False,
    merged: bool = False,
    dtype: Dtype = "auto",
    trust: bool = False,
) -> Pushed:
    """Upload a model of a run (its id, or the newest), or an exported folder, to `repo` (OWNER/NAME).

    The repository is created if needed; an existing one gets another commit. Needs a Hub token. `trust` runs whatever
    code the run's recipe names.

    Raises:
        InputError: no token, no such run or folder, an invalid name, or `private` with a public repository.
        OrchError: the Hub cannot be reached, or rejects the upload.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f"{repo!r} cannot be the name of a repository (OWNER/NAME): {_first_line(error)}") from None
    if get_token() is None:
        raise InputError("the Hugging Face Hub needs a token to write: log in with `hf auth login`, or set HF_TOKEN")
    if HF_HUB_OFFLINE:
        raise InputError("HF_HUB_OFFLINE is set, so nothing can be uploaded; unset it")
    with _folder(run, model, merged, dtype, trust) as (folder, notes), _told(repo):
        api = HfApi()
        made = api.create_repo(repo, private=private or None, exist_ok=True)
        name = made.repo_id
        hidden = bool(api.repo_info(name).private)
        if private and not hidden:
            raise InputError(f"{name} is on the Hub already and is public: make it private there, or drop --private")
        message = f"Upload {'merged weights' if (folder / 'config.json').is_file() else 'adapter'}"
        done = api.upload_folder(
            repo_id=name, folder_path=folder, commit_message=message, delete_patterns=list(_WEIGHTS)
        )
        files = sorted(folder.iterdir())
        size = sum(path.stat().st_size for path in files)
        return Pushed(name, str(made), done.oid, hidden, tuple(p.name for p in files), size, notes)


@contextmanager
def _folder(
    run: str | None, model: str | None, merged: bool, dtype: Dtype, trust: bool
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The folder to upload and its notes: an existing folder, or a temporary export of a model."""
    given = model_folder(run)
    if given is not None:
        if model is not None or merged or dtype != "auto":
            raise InputError(f"{run} is a folder, which is uploaded as it is: drop --model, --merged and --dtype")
        missing = [name for name in ("README.md", "answer_format.json", "base.json") if not (given / name).is_file()]
        if missing:
            raise InputError(f"{run} was not written by `orch export`: it has no {missing[0]}")
        yield given, ()
        return
    place = Path(tempfile.mkdtemp(prefix="orch-push-"))
    try:
        made = export(run, place / "model", model, merged=merged, dtype=dtype, trust=trust)
        yield made.folder, made.notes
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _told(repo: str) -> Iterator[None]:
    """Turn the Hub's errors into one line each."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == 401:
            raise InputError("the Hugging Face Hub does not accept the token: log in with `hf auth login`") from None
        if status == 403:
            raise InputError(f"{repo}: the token may not write there: {_first_line(error)}") from None
        raise OrchError(f"{repo}: the Hugging Face Hub refused: {_first_line(error)}") from None
    except OSError as error:
        raise OrchError(f"{repo}: the Hugging Face Hub cannot be reached: {_first_line(error)}") from None
    except OrchError:
        raise
    except Exception as error:  # httpx, hf_xet and the Hub's client each raise their own kinds
        away = type(error).__module__.startswith(("httpx", "httpcore"))
        what = "the Hugging Face Hub cannot be reached" if away else "the upload to the Hugging Face Hub failed"
        raise OrchError(f"{repo}: {what}: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
