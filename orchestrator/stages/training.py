"""What SFT and GRPO leave behind: the model, and the last point of the curve that tells how it went."""

import shutil
from pathlib import Path

from orchestrator.journal import NAME, read
from orchestrator.results import DataUsed
from orchestrator.stage_specs import TrainingSpec
from orchestrator.stages.base import Context, Output


def trained(context: Context, headline: str, data: tuple[DataUsed, ...], extra: dict[str, float]) -> Output:
    """Copy the model into the stage's output and sum up the training."""
    context.output.mkdir(exist_ok=True)
    folder = context.output / "model"
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(context.work / "model", folder)
    spec = context.stage.spec
    assert isinstance(spec, TrainingSpec)
    metrics = extra | {"model_mb" if spec.lora is None else "adapter_mb": _size(folder) / 1e6}
    curve = [r["metrics"][headline] for r in read(context.work / NAME) if headline in r.get("metrics", {})]
    return Output(f"{headline} {curve[-1]:.3f}" if curve else "trained", metrics, data)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
