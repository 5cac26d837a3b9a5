"""Names in the store: the tags of runs, the artifacts of stages, and whether those are complete.

The only place where tags are spelled out. Knows names and sizes; other modules know where artifacts are and how they
are fetched.
"""

from collections.abc import Mapping
from typing import Protocol

VERB_TAG = "orch.verb"
"""A stage's verb; `run` on the run above its stages, or `trial` if that is one of several trials."""
STAGE_TAG = "orch.stage"
KEY_TAG = "orch.key"
"""The key of the run's stage; for the key of an evaluation see `key_tag`."""
EVALUATION_KEY_TAG = "orch.eval_key"
_ORIGIN_TAG = "orch.cached_from"
_EVALUATION_ORIGIN_TAG = "orch.eval_cached_from"
"""The run that produced a reused output."""
MODEL_TAG = "orch.model"
"""The model that a stage produces or that an evaluation judges."""
MODELS_TAG = "orch.models"
"""On the run above stages or trials: the results of its models, as JSON."""
PLAN_TAG = "orch.plan"
"""The key of a whole plan, on the run above its stages."""
SEED_TAG = "orch.seed"
TRIALS_TAG = "orch.trials"
"""On the run above several trials: their labels, as a JSON list."""
ASKED_TAG = "orch.asked"
"""On an experiment: the time in seconds since 1970 and the id of a finished run that was requested again."""
SHARED_TAG = "orch.shared."
"""Prefix of the tag, on a trial's run, that holds the id of a shared stage's run; the name of that run follows."""
TRIAL_TAG = "orch.trial"
"""On the run of one of several trials: its label, as JSON."""
SEEDS_TAG = "orch.seeds"
"""On the run above several seeds: the seeds, comma-separated."""
RUN_TAG = "orch.run"
"""On an evaluation in MLflow's list of models: the run above it."""
SOURCE_TAG = "orch.recipe"
"""The recipe file."""
ERROR_TAG = "orch.error"
"""Why a run failed."""
MACHINE_TAG = "orch.machine"
"""The kind of machine that a stage ran on."""
BASE_TAG = "orch.base"
"""The whole model under any adapters."""
FINDING_TAG = "orch.finding."
"""Prefix of the tag that holds a finding; the check's name follows."""
PROCESS_TAG = "orch.process"
"""Marks the runs started by one process."""
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
"""A run's description, in Markdown."""
COLOUR_TAG = "mlflow.runColor"
COMMIT_TAG = "mlflow.source.git.commit"
VERSION_TAG = "version."
"""Prefix of the tag that holds a package's version; the package's name follows."""
MODEL = "model"
"""A folder: an adapter, or a whole model."""
COMPLETIONS = "completions.parquet"
CHOSEN = "chosen.parquet"
MEASURED = "measured.json"
"""For a training with validation: the accuracy at each step, and which questions were answered correctly."""
ERROR_FILE = "error.txt"
"""On a run above stages: the artifact with the traceback of an unexpected error; stages have logs instead."""
RESULTS = "eval/results.parquet"
LOGS = "logs"
"""A folder: one text file, `log_of` its name, for each stage logged in the run."""
CHOSEN_TAG = "orch.chosen"
"""On a training's run: which checkpoint it selected and why; the metric `CHOSEN_STEP` is that checkpoint's step."""
CHOSEN_STEP = "chosen_step"
DRAWS_TAG = "orch.draws"
_EVALUATION_DRAWS_TAG = "orch.eval_draws"
"""Equal for stages whose completions are the same, however they are judged and however many there are."""
POOL_TAG = "orch.pool"
"""On a stage that draws: equal if the same questions were prompted, parsed and judged alike."""
RECIPE_TAG = "orch.eval_recipe_digest"
"""On an evaluation: equal for models that are evaluated alike and differ only in their seed."""
JUDGING_TAG = "orch.eval_judging_digest"
"""On an evaluation: equal if answers are prompted for, parsed and judged alike."""
JUDGED_BY_TAG = "orch.judged_by"
"""On a run and on each evaluation: how answers were parsed and judged, as text."""
_DIGESTS_TAG = "orch.output"
_EVALUATION_DIGESTS_TAG = "orch.eval_output"
"""The digests of an output, file by file; an evaluation's are stored next to those of its model."""
TASK_FILE = "task.py"
"""The artifact with the file of a user's own task, as it was run."""
TASK_MODULES = "task_modules"
"""The folder next to it, with the modules that the file imports from its own folder."""
TASK_TAG = "orch.task_overrides"
"""On such a run: what its task overrides."""
TRIAL = "trial"
"""The verb of a run that is one of several trials; older versions used `seed`."""
OLDER_TRIAL = "seed"
SWEPT = "swept"
"""The verb of a run that is a trial of a sweep."""
SWEEP = "sweep"
"""The verb of the run above the trials of a sweep."""
SWEEP_TAG = "orch.sweep"
"""On that run: equal for sweeps that propose and compare alike, however many trials they run."""
PROPOSED = "proposed trial on the test"
"""Prefix of the name of the run in which a sweep tests its proposed trial."""
PRUNED_TAG = "orch.pruned"
"""On the run of a trial that its sweep ended early: why."""
SWEEP_BLOCK = "sweep.yaml"
"""The artifact of a sweep's run with the recipe's `sweep` block."""
SWEEP_FILE = "sweep.json"
"""The artifact of a sweep's run with the sweep's result."""
BEST_FILE = "best.yaml"
"""The artifact next to it: the recipe with the winner's values."""
WHOLE_RUN = "run"
"""The verb of a run created by `orch run`, for one seed or several."""


def output_of(output: str, also: str | None = None) -> str:
    """A stage's output artifact; `output` is its verb's, `also` the further split of an evaluation."""
    return output if also is None else f"eval/{also}/results.parquet"


def log_of(stage: str) -> str:
    """The artifact with the log of a stage's workers; `stage` is the stage's name, such as `evaluate.sft`."""
    return f"{LOGS}/{stage}.txt"


def evaluation_tag(tag: str, also: str | None = None) -> str:
    """A tag of an evaluation; for a further split, the split's name is appended."""
    return tag if also is None else f"{tag}.{also}"


class Keyed(Protocol):
    """What the store needs to know about a stage."""

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
        """Its output artifact."""

    @property
    def draws_digest(self) -> str | None:
        """Equal for stages whose completions are the same, however they are judged; None if it draws none."""


def key_tag(stage: Keyed) -> str:
    """The tag that holds a stage's key; an evaluation's is next to that of the stage that produced the model."""
    return KEY_TAG if not stage.is_evaluation else evaluation_tag(EVALUATION_KEY_TAG, stage.also)


def origin_tag(stage: Keyed) -> str:
    """The tag that names the run that produced a stage's output, if that is reused."""
    return _ORIGIN_TAG if not stage.is_evaluation else evaluation_tag(_EVALUATION_ORIGIN_TAG, stage.also)


def draws_tag(stage: Keyed) -> str:
    """The tag by which other stages recognize that a run's completions are theirs too."""
    return DRAWS_TAG if not stage.is_evaluation else evaluation_tag(_EVALUATION_DRAWS_TAG, stage.also)


def origin_of(tags: Mapping[str, str]) -> str | None:
    """The run that produced the output a stage's run reuses; None if it produced that itself."""
    return tags.get(_ORIGIN_TAG)


def evaluation_origin_of(tags: Mapping[str, str], also: str | None = None) -> str | None:
    """The run that contains a reused evaluation; None if the run itself contains it."""
    return tags.get(evaluation_tag(_EVALUATION_ORIGIN_TAG, also))


def further_splits(tags: Mapping[str, str], tag: str = EVALUATION_KEY_TAG) -> list[str]:
    """The further splits for which a run has this evaluation tag, sorted."""
    return sorted(name.removeprefix(f"{tag}.") for name in tags if name.startswith(f"{tag}."))


def digest_tag(output: str) -> str:
    """The tag that holds the digests of an output, given by its path in the run."""
    folder, _, rest = output.partition("/")
    if folder != "eval" or not rest:
        return _DIGESTS_TAG
    also, _, _ = rest.rpartition("/")
    return evaluation_tag(_EVALUATION_DIGESTS_TAG, also or None)


_CONFIGS = ("adapter_config.json", "config.json")
_WEIGHTS = (".safetensors", ".bin")


def is_whole(output: str, sizes: Mapping[str, int]) -> bool:
    """Whether an output is complete: `sizes` has the bytes of its file, or of each file directly in its folder."""
    if output != MODEL:
        return any(sizes.values())
    weights = [size for name, size in sizes.items() if name.endswith(_WEIGHTS)]
    return bool(weights) and all(weights) and any(sizes.get(name) for name in _CONFIGS)
