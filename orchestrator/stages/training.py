"""What SFT and GRPO leave behind: the model, and the last point of the curve that tells how it went."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

from orchestrator.errors import StageError
from orchestrator.stages.base import Context, Output
from orchestrator.store.file_soundness import damage
from orchestrator.store.names import CHOSEN_STEP, CHOSEN_TAG, MODEL
from orchestrator.training.job import CHOSEN_FILE, ValidationJob
from orchestrator.training.journal import NAME, read
from orchestrator.training.settings import TrainingSpec
from orchestrator.types import DataUsed


def trained(context: Context, headline: str, data: tuple[DataUsed, ...], extra: dict[str, float]) -> Output:
    """Copy the model into the stage's output and sum up the training."""
    context.output.mkdir(exist_ok=True)
    for file in (context.work / "model").iterdir():
        if (why := damage(file)) is not None:
            raise StageError(f"the model in {file.parent} cannot be taken: {why}; run the same command again")
    folder = context.output / MODEL
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(context.work / "model", folder)
    spec = context.spec
    assert isinstance(spec, TrainingSpec)
    metrics = extra | {"model_mb" if spec.lora is None else "adapter_mb": _size(folder) / 1e6}
    chosen, tags = context.work / CHOSEN_FILE, {}
    if chosen.exists():
        choice = json.loads(chosen.read_text())
        metrics[CHOSEN_STEP] = choice["step"]
        tags[CHOSEN_TAG] = choice["why"]
    points = [r.get("metrics", {}) for r in read(context.work / NAME)]
    curve = [point[headline] for point in points if headline in point]
    figure = f"{headline} {curve[-1]:.3f}" if curve else "trained"
    return Output(
        figure, metrics, data, tags=tags, tokens=_tokens([p["num_tokens"] for p in points if "num_tokens" in p])
    )


def _tokens(counts: list[float]) -> int | None:
    """All that was seen: TRL's count begins anew where a training that was killed goes on."""
    if not counts:
        return None
    return round(sum(now for now, then in pairwise([*counts, 0.0]) if then < now))


def validation_of(context: Context) -> ValidationJob | None:
    """The questions that the stage's training is looked at with, where the recipe asks for that."""
    spec = context.spec
    assert isinstance(spec, TrainingSpec)
    if spec.validation is None:
        return None
    examples = tuple(context.task.examples("validation")[: spec.validation.questions])
    evaluate = context.evaluate
    return ValidationJob(context.task, examples, evaluate.max_tokens, evaluate.batch_size)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
