"""The base model of a recipe, and a digest that changes when its weights do. Loads no weights."""

import hashlib
import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from orchestrator.errors import ModelError
from orchestrator.models.settings import ModelSpec

TINY = Path(__file__).parent / "tiny" / "model"
"""The embedded base model."""
MANIFEST = "manifest.json"
"""Digests of the files next to it, in a model that came as one bundle."""
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True, slots=True)
class BaseModelRef:
    """The arguments for `from_pretrained`, and the identity of the weights behind them."""

    name: str
    location: str
    """A folder, or a Hub id."""
    revision: str | None
    """The commit of a Hub model."""
    digest: str
    """sha256 over a local model's files, or the Hub commit."""
    trust_remote_code: bool = False
    dtype: str = "auto"
    """The dtype it is computed in, as in a recipe's `model.dtype`."""
    copy: str | None = None
    """A copy of that folder, for machines that may not have the folder itself."""

    @property
    def read_from(self) -> str:
        """The folder to load from, or the Hub id."""
        return self.copy or self.location


def resolve_model(spec: ModelSpec) -> BaseModelRef:
    """Find a model and identify its weights.

    Raises:
        ModelError: not a model folder, no such Hub model, or its commit cannot be determined.
    """
    try:
        folder = TINY if spec.name == "tiny" else Path(spec.name).expanduser()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError) as error:  # no such user's home; a name too long for a path
        raise ModelError(f"model.name: {spec.name:.100}: cannot be a model: {error}") from None
    if is_folder:
        if spec.revision is not None:
            raise ModelError(f"model.revision: {spec.name} is a folder, only models on the Hub have revisions")
        digest = _folder_digest(folder)
        return BaseModelRef(spec.name, str(folder.resolve()), None, digest, spec.trust_remote_code, spec.dtype)
    if folder.exists():
        raise ModelError(f"model.name: {spec.name} is a file; name the folder that holds config.json and the weights")
    if spec.name.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(spec.name):
        raise ModelError(f"model.name: {spec.name}: no such folder (relative to {Path.cwd()})")
    commit = _hub_commit(spec)
    return BaseModelRef(spec.name, spec.name, commit, f"{spec.name}@{commit}", spec.trust_remote_code, spec.dtype)


def made_model(folder: Path, origin: BaseModelRef) -> BaseModelRef:
    """A whole model that a stage trained from `origin` and wrote to a folder.

    Raises:
        ModelError: the model is missing or incomplete.
    """
    digest = _folder_digest(folder)
    return BaseModelRef(str(folder), str(folder.resolve()), None, digest, origin.trust_remote_code, origin.dtype)


def _folder_digest(folder: Path) -> str:
    if not folder.is_dir():
        raise ModelError(f"model folder {folder} does not exist")
    files = sorted(p for p in folder.iterdir() if p.is_file())
    names = {p.name for p in files}
    if "adapter_config.json" in names and "config.json" not in names:
        raise ModelError(f"model.name: {folder} holds an adapter, not a whole model, and cannot be the base of another")
    if "config.json" not in names:
        raise ModelError(f"model.name: {folder} is not a model folder: it has no config.json")
    if not any(p.suffix in (".safetensors", ".bin") for p in files):
        raise ModelError(f"model.name: {folder} is not a model folder: it has no weights (*.safetensors)")
    if not any(n.startswith(("tokenizer", "vocab")) for n in names):
        raise ModelError(f"model.name: {folder} has no tokenizer (tokenizer.json)")
    digest = hashlib.sha256()
    for path in files:
        prose = path.suffix in (".md", ".txt") and path.name not in ("merges.txt", "vocab.txt")
        if prose or path.name == MANIFEST:  # neither changes the weights
            continue
        stat = path.stat()
        digest.update(path.name.encode() + _sha256(path.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ino))
    return digest.hexdigest()


@lru_cache(maxsize=1000)
def _sha256(path: Path, *_: int) -> bytes:
    """A file's hash, cached as long as its size, mtime and inode stay the same: trials share their base."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _hub_commit(spec: ModelSpec) -> str:
    """The commit that a Hub model's branch or tag points to; from the local cache if the Hub cannot be reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    revision = spec.revision or "main"
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("1", "true", "True", "YES", "ON"):
        try:
            commit = HfApi().model_info(spec.name, revision=revision, timeout=10).sha
            if commit:
                return commit
        except GatedRepoError:
            raise ModelError(
                f"model.name: {spec.name} asks for permission: accept its terms on the Hub, then log in with "
                "`hf auth login`"
            ) from None
        except RevisionNotFoundError:
            raise ModelError(f"model.revision: {spec.name} has no revision {revision!r}") from None
        except RepositoryNotFoundError:
            raise ModelError(
                f"model.name: {spec.name}: neither a folder here ({Path.cwd()}) nor a model on the Hub "
                "(a private one needs `hf auth login`)"
            ) from None
        except (HfHubHTTPError, OSError, RuntimeError, ValueError):
            pass  # no network: the cache may have it
        except Exception as error:  # httpx's own errors do not derive from OSError
            if not type(error).__module__.startswith(("httpx", "httpcore")):
                raise
    reference = Path(HF_HUB_CACHE) / f"models--{spec.name.replace('/', '--')}" / "refs" / revision
    snapshot = reference.parent.parent / "snapshots" / revision
    if reference.is_file():
        return reference.read_text().strip()
    if snapshot.is_dir():
        return revision
    meant = "; did you mean 'tiny'?" if get_close_matches(spec.name, ["tiny"]) else ""
    raise ModelError(
        f"model.name: {spec.name}: not a folder here, the Hub cannot be reached and the local cache does not have it"
        f"{meant or '; name a folder, or `tiny`'}"
    )
