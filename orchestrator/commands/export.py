"""`export` as a function: write a run's model as a folder that plain transformers and peft load, and as one zip.

The folder appears complete or not at all: it is written next to its final path and renamed at the end.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from orchestrator.errors import InputError, OrchError
from orchestrator.notebook import facts, paragraphs

if TYPE_CHECKING:
    from orchestrator.exports.card import Kind
    from orchestrator.models.merge_agreement import Agreement
    from orchestrator.models.reference import ModelRef

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of `export`."""

    run_id: str
    model: str
    kind: "Kind"
    """`adapter`; `merged`: an adapter merged into its base's weights; `whole`: a fully fine-tuned model."""
    folder: Path
    size: int
    """Bytes."""
    bundle: Path | None
    bundle_size: int | None
    agreement: "Agreement | None"
    """Agreement of the weights with the run's model; None if they are a copy of its files."""
    notes: tuple[str, ...]
    """What to know before using the folder elsewhere."""

    def _repr_html_(self) -> str:
        """The model and the files written."""
        known = {"model": self.model, "run": self.run_id, "what": self.kind, "folder": self.folder}
        known |= {"size": f"{self.size / 1e6:.1f} MB", "bundle": self.bundle or ""}
        return facts(known) + paragraphs(self.notes)

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        found = asdict(self) | {"folder": str(self.folder), "bundle": self.bundle and str(self.bundle)}
        if self.agreement is not None:
            found["agreement"]["tolerance"] = self.agreement.tolerance
        return found


def export(
    run: str | None,
    folder: str | Path,
    model: str | None = None,
    *,
    merged: bool = False,
    dtype: Dtype = "auto",
    bundle: bool = False,
    bundle_mb: float | None = None,
    trust: bool = False,
) -> Exported:
    """Write a model of a run (its id, or the newest; its last model unless `model` or the id names one) to `folder`.

    `merged` merges an adapter into its base's weights, stored in `dtype`; auto: the dtype that the model runs in. With
    `bundle` the folder is also zipped next to it as FOLDER.zip, at most `bundle_mb` million bytes (default: the
    recipe's `limits.bundle_mb`). `trust` runs whatever code the run's recipe names.

    Raises:
        UntrustedCode: the model ships its own code, or it was not evaluated and its questions come from a user's task
            that has changed.
        InputError: no such run or model, the folder is not empty or cannot be written, or the bundle is too large.
        CheckError: the model's files are damaged, or the written weights do not agree with the model.
    """
    if dtype not in get_args(Dtype):
        raise InputError(f"--dtype {dtype!r}: must be one of {', '.join(get_args(Dtype))}")
    target = Path(folder).expanduser().absolute()
    packed = target.with_name(target.name + ".zip") if bundle else None
    _check_place(target, packed)
    from orchestrator.runs.past import past_run

    past, named = past_run(run, trust)
    name = model or named or past.models()[-1]
    ref = past.model(name, unchanged=True)
    if ref.adapter is None and ref.base == past.start.base:
        raise InputError(f"model {name} of run {past.run_id} is {ref.base.name} itself, untrained: use it by that name")
    if dtype != "auto" and ref.adapter is not None and not merged:
        raise InputError(f"--dtype {dtype} is for whole weights, and {name} is an adapter: add --merged")
    from orchestrator.exports.folder import write_folder  # loads torch: only after the checks above

    try:
        with _beside(target) as place:
            inner = place / "model"
            inner.mkdir()
            kind, agreement = write_folder(past, ref, inner, merged, dtype)
            size = sum(p.stat().st_size for p in inner.iterdir())
            about = {"run_id": past.run_id, "experiment": past.experiment, "model": name, "kind": kind}
            bundle_size = None
            if packed is not None:
                from orchestrator.exports.bundle import bundle as pack

                limit = past.recipe.limits.bundle_mb if bundle_mb is None else bundle_mb
                bundle_size = pack(inner, place / "bundle.zip", limit, about)
            _put(place, target, packed)
    except OSError as error:
        if error.errno is None:  # raised by transformers for files it cannot read
            raise OrchError(f"model {name} of run {past.run_id}: {str(error).splitlines()[0]}") from None
        raise InputError(f"{target}: cannot be written: {error.strerror}") from None
    notes = tuple(_notes(kind, ref, merged))
    return Exported(past.run_id, name, kind, target, size, packed, bundle_size, agreement, notes)


def _check_place(target: Path, packed: Path | None) -> None:
    if target.is_file():
        raise InputError(f"{target} is a file; name a folder that does not exist yet")
    try:
        taken = target.is_dir() and any(target.iterdir())
    except OSError as error:
        raise InputError(f"{target}: cannot be read: {error.strerror}") from None
    if taken:
        raise InputError(f"{target} is not empty; name a folder that does not exist yet, or empty it")
    if packed is not None and packed.exists():
        raise InputError(f"{packed} already exists; remove it, or name another folder")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary folder on the target's own disk, always removed at the end."""
    there = next(p for p in target.parents if p.exists())
    place = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=there))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _put(place: Path, target: Path, packed: Path | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if packed is not None:
        (place / "bundle.zip").replace(packed)
    try:
        (place / "model").replace(target)  # works onto an empty folder; fails onto any other
    except OSError:
        if packed is not None:
            packed.unlink()
        raise


def _notes(kind: str, ref: "ModelRef", merged: bool) -> Iterator[str]:
    if kind == "whole" and merged:
        yield f"{ref.name} was trained whole: there is no adapter to merge"
    if kind == "adapter" and ref.base.revision is None:
        what = "the embedded model" if ref.base.name == "tiny" else f"the folder {ref.base.location}"
        yield f"the adapter needs {what} on this machine as its base; --merged writes a model that needs nothing else"
