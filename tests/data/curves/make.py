"""Make the curves in this folder: real trainings of the embedded model, healthy ones and ones gone wrong on purpose.

    python tests/data/curves/make.py [NAME ...]              the cases below, each in one to four minutes on two cores
    python tests/data/curves/make.py --stored RUN NAME       NAME_STAGE.json of each training of an `orch run`

Each case is one call of run_sft or run_grpo with a seed, without Ray, looked at by the stage's own `validation`. The
files recipe_seedS_STAGE.json and validated_seedS_STAGE.json are healthy: from runs of recipes/rft.yaml, as it was then,
under several seeds, the latter with

    'task.validation={generate: 100}' 'stages.sft.validation={every: 10, questions: 100}'
    'stages.rft.validation={every: 10, questions: 100}' 'stages.grpo.validation={every: 5, questions: 100}'

Cases whose settings hold no `validation` were measured by a callback of this script, at the same steps and in the same
way, before stages could do so. The numbers depend on the machine in their last digits, and where a training is unstable
wholly: so the files are kept.
"""

import json
import math
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from orchestrator.health.curves.read import NAMES
from orchestrator.models.reference import ModelRef
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.past import past_run
from orchestrator.stages.base import Verb
from orchestrator.stages.training import Training
from orchestrator.training import trainer
from orchestrator.training.grpo import GrpoJob, run_grpo
from orchestrator.training.job import MODEL_FOLDER, ValidationJob
from orchestrator.training.journal import NAME, read
from orchestrator.training.sft import SftJob, run_sft
from orchestrator.training.validating import Validator

FOLDER = Path(__file__).parent
RECIPE = FOLDER / "trainings.yaml"
Pairs = list[tuple[str, str]]
SETTINGS = (
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "max_grad_norm",
    "adam_beta2",
    "max_steps",
    "num_train_epochs",
    "gradient_accumulation_steps",
    "answer_weight",
    "validation",
    "beta",
)
"""The settings that advice is about."""
MODELS = Path(tempfile.gettempdir()) / "orch-curves"
"""What was trained stays here, for the cases that go on from it."""


@dataclass(frozen=True)
class Case:
    """One training: overrides for the recipe, and what is done to the rows."""

    what: str
    settings: tuple[str, ...] = ()
    stage: str = "sft"
    rows: Callable[[Pairs], Pairs] = lambda pairs: pairs
    questions: int | None = None
    """GRPO practises on so many questions only."""
    shouted: bool = False
    """At the last step the held-out questions are asked in capitals."""


def garbage(pairs: Pairs) -> Pairs:
    """A few rows whose target is noise."""
    letters = random.Random(0)
    return [
        (question, "".join(letters.choices("QZXJ#@%&~^", k=120)) if n % 80 == 40 else target)
        for n, (question, target) in enumerate(pairs)
    ]


def swapped(pairs: Pairs) -> Pairs:
    """Each row with the answer of another: the working is learned, the answers cannot be."""
    answers = [target[target.index("<answer>") :] for _, target in pairs]
    random.Random(0).shuffle(answers)
    return [
        (question, target[: target.index("<answer>")] + answer)
        for (question, target), answer in zip(pairs, answers, strict=True)
    ]


CASES = {
    "overfitted": Case(
        "16 rows, met 200 times",
        ("task.demonstrations.generate=16", "stages.sft.lr_scheduler_type=constant", "stages.sft.max_steps=200"),
    ),
    "thrown_out": Case(
        "a learning rate that is too high, constant, nothing clipped",
        ("stages.sft.learning_rate=3e-2", "stages.sft.lr_scheduler_type=constant", "stages.sft.max_grad_norm=0"),
    ),
    "diverged": Case(
        "a good start, then a warm-up that never ends",
        (
            "stages.sft.learning_rate=6e-2",
            "stages.sft.lr_scheduler_type=constant_with_warmup",
            "stages.sft.warmup_steps=150",
            "stages.sft.max_steps=150",
            "stages.sft.max_grad_norm=0",
        ),
    ),
    "still": Case("a learning rate of 1e-7", ("stages.sft.learning_rate=1e-7", "stages.sft.max_steps=60")),
    "too_short": Case(
        "ended in the middle",
        (
            "stages.sft.learning_rate=3e-4",
            "stages.sft.max_steps=60",
            "stages.sft.lr_scheduler_type=constant",
            "stages.sft.logging_steps=2",
        ),
    ),
    "spikes": Case(
        "four rows of noise among 300",
        (
            "stages.sft.per_device_train_batch_size=2",
            "stages.sft.logging_steps=1",
            "stages.sft.learning_rate=1e-3",
            "stages.sft.max_steps=140",
            "stages.sft.validation.every=20",
        ),
        rows=garbage,
    ),
    "words_only": Case("answers that belong to other questions", rows=swapped),
    "left_the_minimum": Case(
        "a warm-up that goes too high, ended before all is lost",
        (
            "stages.sft.learning_rate=2.2e-2",
            "stages.sft.warmup_steps=54",
            "stages.sft.max_steps=54",
            "stages.sft.max_grad_norm=0",
            "stages.sft.logging_steps=2",
            "stages.sft.validation.every=6",
        ),
    ),
    "last_alone": Case("the last evaluation is of questions in capitals", shouted=True),
    "reward_collapsed": Case("GRPO at a learning rate of 1e-2", ("stages.grpo.learning_rate=1e-2",), "grpo"),
    "reward_not_accuracy": Case(
        "GRPO on four questions",
        ("stages.grpo.learning_rate=2e-3", "stages.grpo.max_steps=60", "stages.grpo.validation.questions=200"),
        "grpo",
        questions=4,
    ),
    "healthy_sft": Case("a hundred steps on 300 demonstrations"),
    "healthy_cosine": Case(
        "another seed and learning rate, a warm-up and a cosine",
        (
            "seed=1",
            "stages.sft.learning_rate=1.5e-3",
            "stages.sft.lr_scheduler_type=cosine",
            "stages.sft.warmup_steps=0.1",
        ),
    ),
    "healthy_grpo": Case("forty steps of GRPO", stage="grpo"),
}


class Shouted(Validator):
    """Asks its questions in capitals at the last step: an evaluation unlike those before it."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Change them in time."""
        if state.global_step == state.max_steps:
            asked = tuple(replace(e, question=e.question.upper()) for e in self.asked.examples)
            self.asked = replace(self.asked, examples=asked)
        super().on_step_end(args, state, control)


def make(name: str) -> None:
    """Train one case and write its file; GRPO goes on from `healthy_sft`."""
    case = CASES[name]
    recipe = load_recipe(RECIPE, case.settings)
    task, spec, base = recipe.task, recipe.stages[case.stage], compile_plan(recipe).base
    assert isinstance(spec, Training) and spec.validation is not None
    examples = tuple(task.examples("validation")[: spec.validation.questions])
    looked = ValidationJob(task, examples, recipe.evaluate.max_tokens, recipe.evaluate.batch_size)
    work = MODELS / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    trainer.Validator = Shouted if case.shouted else Validator
    if case.stage == "grpo":
        began = MODELS / "healthy_sft" / MODEL_FOLDER
        if not began.is_dir():
            make("healthy_sft")
        model = ModelRef("sft", base, str(began))
        asked = tuple(task.examples("train")[: case.questions])
        run_grpo(GrpoJob(work, model, task.format, spec, recipe.seed, 2, task, asked, validation=looked))
    else:
        pairs = case.rows([(e.question, task.target(e)) for e in task.examples("demonstrations")])
        model = ModelRef("base", base)
        run_sft(SftJob(work, model, task.format, spec, recipe.seed, 2, tuple(pairs), validation=looked))
    curves: dict[str, list[tuple[int, float]]] = {}
    for record in read(work / NAME):
        for curve, value in record.get("metrics", {}).items():
            curves.setdefault(curve, []).append((record["step"], value))
    write(name, case.what, spec, curves)


def stored(run: str, name: str) -> None:
    """Write a file for each training of a run that the store holds."""
    past, _ = past_run(run)
    for stage in past.stages.values():
        if stage.verb in ("sft", "grpo"):
            what = f"stage {stage.name} of recipe {past.recipe.name}, seed {past.recipe.seed}"
            write(f"{name}_{stage.name}", what, past.recipe.stages[stage.name], stage.curves)


def write(name: str, what: str, spec: Verb, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """One file: what it is, the stage's settings, and the curves that are read, to five digits."""
    kept = {
        curve: [(step, float(f"{value:.5g}")) for step, value in points if math.isfinite(value)]
        for curve, points in curves.items()
        if curve in NAMES
    }
    settings = {k: v for k, v in spec.model_dump(mode="json").items() if k in SETTINGS}
    made = {"what": what, "verb": spec.verb, "settings": settings, "curves": kept}
    (FOLDER / f"{name}.json").write_text(json.dumps(made) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stored"]:
        stored(*sys.argv[2:])
        sys.exit()
    for wanted in sys.argv[1:] or CASES:
        make(wanted)
