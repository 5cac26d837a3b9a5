"""One training on several workers: Ray Train starts them in parallel, connects them, and restarts all if one is lost.

- Each worker runs the same call, and gets its part of the work from `training.workers`.
- Restarted workers resume from the stage's work folder, as a single worker does.
- An error of the call itself ends the training at once, and is raised as is. The errors that workers raise because
  another one was lost do not count as such.
"""

import json
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import StageError
from orchestrator.runs.crew import hide_gpus
from orchestrator.runs.home import Home
from orchestrator.runs.memory_peak import count_in, gpu_peak_mb, peak_mb, start_measuring
from orchestrator.runs.sending import kept_at_home
from orchestrator.runs.worker_log import Logged, logged
from orchestrator.stages.context import Share

_FAILED = "failed.pickle"
"""A file in the work folder during training: the error of the call."""
_PEAKS = "-peaks.json"
"""Suffix of a file per worker in Ray Train's folder: its peak memory."""
_TIMEOUT = 6 * 3600
"""Maximum seconds that workers wait for each other; Ray notices a lost worker at once."""


@dataclass(frozen=True, slots=True)
class Together:
    """A call that several workers run together."""

    function: Callable[[Any], Any]
    argument: Any
    work: Path
    title: str
    share: Share
    retries: int
    """How often all workers are restarted after one is lost."""
    home: Home | None = None
    """Access to the driver's work folder, if some machines do not see it."""
    inputs: tuple[str, ...] = ()
    """The inputs that workers fetch from there."""


def together(call: Together) -> None:
    """Run the call on the workers, and wait until it is done.

    Runs on a separate worker, which reserves no core and sees the driver's work folder.

    Raises:
        StageError: workers were lost more often than they may be restarted.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    share, failed = call.share, call.work / _FAILED
    failed.unlink(missing_ok=True)
    # Ray Train's own files; checkpoints are written by the training, to its work folder
    notes = Path(tempfile.mkdtemp(prefix="train-"))
    needs = {"CPU": float(share.cpus)} | ({"GPU": share.gpus} if share.gpus else {})
    trainer = TorchTrainer(
        _work,
        train_loop_config={"call": call, "notes": notes},
        torch_config=TorchConfig(backend="nccl" if share.gpus else "gloo", timeout_s=_TIMEOUT),
        scaling_config=ScalingConfig(
            num_workers=share.workers,
            use_gpu=bool(share.gpus),
            resources_per_worker=needs,
            # without a common folder, workers must be on one machine to write together
            placement_strategy="PACK" if call.home is None else "STRICT_PACK",
        ),
        run_config=RunConfig(
            name="orch", storage_path=str(notes), failure_config=FailureConfig(max_failures=call.retries)
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        if not failed.exists():
            raise StageError(
                f"its {share.workers} workers were lost {call.retries + 1} times, or cannot be started: "
                f"{_reason(error)}; see `orch logs`"
            ) from None
    finally:
        for file in notes.glob(f"*{_PEAKS}"):
            count_in(*json.loads(file.read_text()))
        shutil.rmtree(notes, ignore_errors=True)
    if failed.exists():
        reason: Exception = pickle.loads(failed.read_bytes())  # written by its own workers
        failed.unlink()
        raise reason


def _work(config: dict[str, Any]) -> None:
    """Run the call on one worker. Workers that are restarted after an error of the call have nothing left to do."""
    from ray.train import get_context

    from orchestrator.training.workers import another_is_lost

    call: Together = config["call"]
    hide_gpus()
    with _folder_of(call):
        number, failed = get_context().get_world_rank() + 1, call.work / _FAILED
        if failed.exists():
            return
        title = f"{call.title}, worker {number} of {call.share.workers}"
        start_measuring()
        try:
            logged(Logged(call.function, call.argument, call.work, title))
            with suppress(OSError):  # another machine, which does not see that folder
                (config["notes"] / f"{number}{_PEAKS}").write_text(json.dumps([peak_mb(), gpu_peak_mb()]))
        except Exception as error:
            if not another_is_lost(error):
                _keep(error, failed)
                if call.home is not None and not call.home.is_seen:
                    call.home.send(failed)
            raise


@contextmanager
def _folder_of(call: Together) -> Iterator[None]:
    """The stage's folder on this machine; its first worker copies it from the driver's and sends the changes back."""
    from ray.train import get_context

    from orchestrator.training.workers import meet

    home = call.home
    if home is None or home.is_seen:
        yield
    elif get_context().get_world_rank():  # all are on one machine
        meet()
        yield
        meet()
    else:
        with home.in_use():
            for name in call.inputs:
                home.fetch(name)
            call.work.mkdir(parents=True, exist_ok=True)
            with kept_at_home(home, call.work):
                meet()
                yield
                meet()  # from here on nothing more is written


def _keep(error: Exception, file: Path) -> None:
    from ray import cloudpickle

    try:
        data = cloudpickle.dumps(error)
        pickle.loads(data)
    except Exception:  # it cannot be pickled
        data = pickle.dumps(StageError(f"{type(error).__name__}: {error}"))
    with suppress(OSError):  # a full disk
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as temporary:
            temporary.write(data)
        Path(temporary.name).replace(file)


def _reason(error: Exception) -> str:
    """The error of the first failed worker, in one line."""
    failures = getattr(error, "worker_failures", None) or {}
    said = str(next(iter(failures.values()), error))
    return next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)
