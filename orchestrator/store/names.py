"""Names in the store: the tags of a run, the artifacts of stages, and whether those are there whole.

The only place where a tag is spelled. Knows names and sizes; where artifacts lie and how they are fetched is for others
to know.
"""

from collections.abc import Mapping
from typing import Protocol

VERB_TAG = "orch.verb"
"""A stage's verb; `run` on the run above its stages, `trial` on such a run of one of several trials."""
STAGE_TAG = "orch.stage"
KEY_TAG = "orch.key"
"""The key of the stage that a run is of; `key_tag` says where that of an evaluation stands."""
EVALUATION_KEY_TAG = "orch.eval_key"
_ORIGIN_TAG = "orch.cached_from"
_EVALUATION_ORIGIN_TAG = "orch.eval_cached_from"
"""The run that made what is reused."""
MODEL_TAG = "orch.model"
"""The model that a stage makes, or that an evaluation judges."""
MODELS_TAG = "orch.models"
"""On the run above stages, or above trials: what its models came to, as JSON."""
PLAN_TAG = "orch.plan"
"""The key of a whole plan, on the run above its stages."""
SEED_TAG = "orch.seed"
TRIALS_TAG = "orch.trials"
"""On the run above those of several trials: their labels, as a JSON list."""
ASKED_TAG = "orch.asked"
"""On an experiment: the run that was asked for again when all of it was finished, behind the seconds since 1970."""
SHARED_TAG = "orch.shared."
"""Begins the tag of a trial's run that names the run of a stage that it shares; the name of that run follows."""
TRIAL_TAG = "orch.trial"
"""On the run of one of several trials: its label, as JSON."""
SEEDS_TAG = "orch.seeds"
"""On the run above those of several seeds: which seeds, with commas between."""
RUN_TAG = "orch.run"
"""On an evaluation among MLflow's models: the run above it."""
SOURCE_TAG = "orch.recipe"
"""The file of the recipe."""
ERROR_TAG = "orch.error"
"""Why a run failed."""
MACHINE_TAG = "orch.machine"
"""The kind of machine that a stage ran on."""
BASE_TAG = "orch.base"
"""The whole model under every adapter."""
FINDING_TAG = "orch.finding."
"""Begins the tag that holds a finding; the check's name follows."""
PROCESS_TAG = "orch.process"
"""Marks the runs that one process has started."""
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
"""A run's description, in Markdown."""
COLOUR_TAG = "mlflow.runColor"
COMMIT_TAG = "mlflow.source.git.commit"
VERSION_TAG = "version."
"""Begins the tag that holds a package's version; the package follows."""
MODEL = "model"
"""A folder: an adapter, or a whole model."""
COMPLETIONS = "completions.parquet"
CHOSEN = "chosen.parquet"
MEASURED = "measured.json"
"""Of a training that is validated: for each step the accuracy, and which questions were answered right."""
ERROR_FILE = "error.txt"
"""The artifact of a run above stages that has the trace of an error that nobody has foreseen; stages have a log."""
RESULTS = "eval/results.parquet"
LOGS = "logs"
"""A folder: for each stage that was written into the run a text, `log_of` its name."""
CHOSEN_TAG = "orch.chosen"
"""The tag of a training's run that says which checkpoint it selected and why; beside it, the metric of the step."""
CHOSEN_STEP = "chosen_step"
DRAWS_TAG = "orch.draws"
_EVALUATION_DRAWS_TAG = "orch.eval_draws"
"""The tags that are equal for stages whose completions are the same, however these are judged and however many."""
POOL_TAG = "orch.pool"
"""The tag of a stage that draws which is equal where the same questions were asked, read and judged alike."""
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
TRIAL = "trial"
"""The verb of a run that is one of several trials; runs of older versions say `seed`."""
OLDER_TRIAL = "seed"
SWEPT = "swept"
"""The verb of a run that is a trial of a sweep."""
SWEEP = "sweep"
"""The verb of the run above the trials of a sweep."""
SWEEP_TAG = "orch.sweep"
"""On that run: equal for sweeps that propose and compare alike, however many trials they make."""
PROPOSED = "proposed trial on the test"
"""How the name of the run begins in which a sweep tests the trial that it proposes."""
PRUNED_TAG = "orch.pruned"
"""On the run of a trial that its sweep has ended early: why."""
SWEEP_BLOCK = "sweep.yaml"
"""The artifact of that run that holds the recipe's `sweep` block."""
SWEEP_FILE = "sweep.json"
"""The artifact of that run that holds what the sweep came to."""
BEST_FILE = "best.yaml"
"""The artifact beside it: the recipe with the winner's values."""
WHOLE_RUN = "run"
"""The verb of what `orch run` makes: of one seed, or of several."""


def output_of(output: str, also: str | None = None) -> str:
    """The artifact that a stage leaves, `output` being its verb's; `also` is the further split of an evaluation."""
    return output if also is None else f"eval/{also}/results.parquet"


def log_of(stage: str) -> str:
    """The artifact that holds what the workers of a stage have written; `stage` is its name, like `evaluate.sft`."""
    return f"{LOGS}/{stage}.txt"


def evaluation_tag(tag: str, also: str | None = None) -> str:
    """A tag of an evaluation's; that of a further split stands beside it under the split's name."""
    return tag if also is None else f"{tag}.{also}"


class Keyed(Protocol):
    """What the store needs to know of a stage."""

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def is_evaluation(self) -> bool: ...
    @property
    def also(self) -> str | None:
        """The further split of an evaluation."""

    @property
    def output(self) -> str:
        """The artifact that it leaves."""

    @property
    def draws_digest(self) -> str | None:
        """Equal for stages whose completions are the same, however they are judged; None: it makes none."""


def key_tag(stage: Keyed) -> str:
    """The tag that holds a stage's key; an evaluation's stands beside that of the stage that made the model."""
    return KEY_TAG if not stage.is_evaluation else evaluation_tag(EVALUATION_KEY_TAG, stage.also)


def origin_tag(stage: Keyed) -> str:
    """The tag that names the run that made a stage's output, where that is reused."""
    return _ORIGIN_TAG if not stage.is_evaluation else evaluation_tag(_EVALUATION_ORIGIN_TAG, stage.also)


def draws_tag(stage: Keyed) -> str:
    """The tag of the run that made a stage's completions which tells other stages that they are theirs too."""
    return DRAWS_TAG if not stage.is_evaluation else evaluation_tag(_EVALUATION_DRAWS_TAG, stage.also)


def origin_of(tags: Mapping[str, str]) -> str | None:
    """The run that made what a run of a stage reuses; None where it made that itself."""
    return tags.get(_ORIGIN_TAG)


def evaluation_origin_of(tags: Mapping[str, str], also: str | None = None) -> str | None:
    """The run that holds an evaluation which is reused; None where the run itself holds it."""
    return tags.get(evaluation_tag(_EVALUATION_ORIGIN_TAG, also))


def further_splits(tags: Mapping[str, str], tag: str = EVALUATION_KEY_TAG) -> list[str]:
    """The further splits for which a run has a tag of an evaluation's, in order."""
    return sorted(name.removeprefix(f"{tag}.") for name in tags if name.startswith(f"{tag}."))


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
