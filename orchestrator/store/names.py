"""What each verb leaves among its run's artifacts, and whether that is there whole.

Knows names and sizes; where artifacts lie and how they are fetched is for others to know.
"""

from collections.abc import Mapping

MODEL = "model"
"""A folder: an adapter, or a whole model."""
COMPLETIONS = "completions.parquet"
CHOSEN = "chosen.parquet"
RESULTS = "eval/results.parquet"
CHOSEN_TAG = "orch.chosen"
"""The tag of a training's run that says which checkpoint it handed on and why; beside it, the metric of the step."""
CHOSEN_STEP = "chosen_step"
RECIPE_TAG = "orch.eval_recipe_digest"
"""The tag of an evaluation that is equal for models, asked alike, that differ in their seed alone."""
JUDGING_TAG = "orch.eval_judging_digest"
"""The tag of an evaluation that is equal where answers are asked for, read and judged alike."""
JUDGED_BY_TAG = "orch.judged_by"
"""The tag of a run, and of each evaluation, that says in words how answers were read and judged."""
_DIGESTS_TAG = "orch.output"
_EVALUATION_DIGESTS_TAG = "orch.eval_output"
"""The tags that hold what an output is made of, file by file; an evaluation's stands beside that of its model."""
TASK_FILE = "task.py"
"""The artifact of a run that is the file of a user's own task, as it was run."""
TASK_MODULES = "task_modules"
"""The folder beside it of the modules that the file imports from its own folder."""
TASK_TAG = "orch.task_overrides"
"""The tag of such a run that says what its task does in its own way."""


def output_of(output: str, also: str | None = None) -> str:
    """The artifact that a stage leaves, `output` being its verb's; `also` is the further split of an evaluation."""
    return output if also is None else f"eval/{also}/results.parquet"


def evaluation_tag(tag: str, also: str | None = None) -> str:
    """A tag of an evaluation's; that of a further split stands beside it under the split's name."""
    return tag if also is None else f"{tag}.{also}"


def digest_tag(output: str) -> str:
    """The tag that holds the digests of an output, named by its path in the run."""
    folder, _, rest = output.partition("/")
    if folder != "eval" or not rest:
        return _DIGESTS_TAG
    also, _, _ = rest.rpartition("/")
    return evaluation_tag(_EVALUATION_DIGESTS_TAG, also or None)


_CONFIGS = ("adapter_config.json", "config.json")
_WEIGHTS = (".safetensors", ".bin")


def is_whole(output: str, sizes: Mapping[str, int]) -> bool:
    """Whether an output is there: `sizes` holds the bytes of its file, or of each file right in its folder."""
    if output != MODEL:
        return any(sizes.values())
    weights = [size for name, size in sizes.items() if name.endswith(_WEIGHTS)]
    return bool(weights) and all(weights) and any(sizes.get(name) for name in _CONFIGS)
