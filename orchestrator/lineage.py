"""What a model of a recipe stands on: the recipe's own model, or one that a stage has trained whole.

Knows the stages' settings alone; where anything lies is for others to say.
"""

from collections.abc import Mapping

from orchestrator.stage_specs import StageSpec, TrainingSpec


def whole_stage(stages: Mapping[str, StageSpec], model: str) -> str | None:
    """The stage that trained the whole model which `model` is, or on which its adapter stands; None: the recipe's."""
    seen: set[str] = set()
    while model not in seen and isinstance(spec := stages.get(model), TrainingSpec):
        if spec.lora is None:
            return model
        seen.add(model)
        model = spec.model
    return None


def is_adapter(stages: Mapping[str, StageSpec], model: str) -> bool:
    """Whether a stage made `model` as an adapter, which is then trained on as it is."""
    return isinstance(stages.get(model), TrainingSpec) and whole_stage(stages, model) != model
