"""Make the curves in this folder: real trainings of the embedded model, healthy ones and ones gone wrong on purpose.

    python tests/data/curves/make.py [NAME ...]              the cases below, each in one to four minutes on two cores
    python tests/data/curves/make.py --stored RUN NAME       NAME_STAGE.json of each training of an `orch run`

Each case is one call of run_sft with a seed, without Ray, evaluated every so many steps on held-out questions. The
files recipe_seedS_STAGE.json are healthy: from runs of recipes/rft.yaml, as it was then, under three seeds. The numbers
depend on the machine in their last digits, and where a training is unstable wholly: so the files are kept.
"""

import json
import math
import random
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from orchestrator.answers.tokens import completion_text, prompt_ids, target_ids
from orchestrator.health.curves import NAMES
from orchestrator.journal import NAME, Journal, read
from orchestrator.model_ref import ModelRef
from orchestrator.past_run import past_run
from orchestrator.plan import compile_plan
from orchestrator.recipe import load_recipe, verb_of
from orchestrator.stage_specs import SftSpec, StageSpec
from orchestrator.tasks import Task
from orchestrator.training import sft

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
HELD_OUT = 60
"""Questions of the test split that are answered at each evaluation."""


@dataclass(frozen=True)
class Case:
    """One training: overrides for the recipe, and what is done to the rows."""

    what: str
    settings: tuple[str, ...] = ()
    every: int = 10
    """Steps between two evaluations."""
    rows: Callable[[Pairs], Pairs] = lambda pairs: pairs


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
        ),
        every=20,
        rows=garbage,
    ),
    "words_only": Case("answers that belong to other questions", rows=swapped),
}


class Evaluation(TrainerCallback):  # type: ignore[misc]
    """Writes eval_loss and eval_accuracy on held-out rows into the journal every so many steps."""

    def __init__(self, case: Case, task: Task, tokenizer: Any, work: Path) -> None:
        self.case, self.task, self.tokenizer, self.journal = case, task, tokenizer, Journal(work)
        self.examples = task.examples("test")[:HELD_OUT]
        self.pairs = [(e.question, task.target(e)) for e in self.examples]

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Evaluate, with the random numbers of training left as they were."""
        if state.global_step % self.case.every and state.global_step != state.max_steps:
            return
        drawn, training = torch.get_rng_state(), model.training
        model.eval()
        with torch.no_grad():
            loss, accuracy = self._loss(model), self._accuracy(model)
        model.train(training)
        torch.set_rng_state(drawn)
        self.journal.metrics(state.global_step, {"eval_loss": loss, "eval_accuracy": accuracy})

    def _loss(self, model: Any) -> float:
        """Nats per token of the targets."""
        rows = [(prompt_ids(self.tokenizer, self.task.format, q), target_ids(self.tokenizer, t)) for q, t in self.pairs]
        width = max(len(prompt) + len(target) for prompt, target in rows)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[*p, *t] + [pad] * (width - len(p) - len(t)) for p, t in rows])
        labels = torch.tensor([[-100] * len(p) + t + [-100] * (width - len(p) - len(t)) for p, t in rows])
        mask = torch.tensor([[1] * (len(p) + len(t)) + [0] * (width - len(p) - len(t)) for p, t in rows])
        return float(model(input_ids=ids, attention_mask=mask, labels=labels).loss)

    def _accuracy(self, model: Any) -> float:
        """Share of greedy completions that are right."""
        prompts = [prompt_ids(self.tokenizer, self.task.format, question) for question, _ in self.pairs]
        width, pad = max(map(len, prompts)), self.tokenizer.pad_token_id
        output = model.generate(
            input_ids=torch.tensor([[pad] * (width - len(p)) + p for p in prompts]),
            attention_mask=torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts]),
            max_new_tokens=80,
            do_sample=False,
            pad_token_id=pad,
        )
        right = 0
        for ids, example in zip(output[:, width:].tolist(), self.examples, strict=True):
            ended = self.tokenizer.eos_token_id in ids
            text = completion_text(self.tokenizer, ids)
            right += self.task.verdict(text, example.answer, "stop" if ended else "length").status == "correct"
        return right / len(self.examples)


def make(name: str, work: Path) -> None:
    """Train one case in a folder of its own and write its file."""
    case = CASES[name]
    recipe = load_recipe(RECIPE, case.settings)
    task, spec = recipe.task, recipe.stages["sft"]
    assert isinstance(spec, SftSpec)
    train = sft.train

    def evaluated(trainer: Any, job: Any) -> None:
        trainer.add_callback(Evaluation(case, task, trainer.processing_class, work))
        train(trainer, job)

    pairs = case.rows([(e.question, task.target(e)) for e in task.examples("demonstrations")])
    model = ModelRef("base", compile_plan(recipe).base)
    sft.train = evaluated
    try:
        sft.run_sft(sft.SftJob(work, model, task.format, spec, recipe.seed, 2, tuple(pairs)))
    finally:
        sft.train = train
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


def write(name: str, what: str, spec: StageSpec, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """One file: what it is, the stage's settings, and the curves that are read, to five digits."""
    kept = {
        curve: [(step, float(f"{value:.5g}")) for step, value in points if math.isfinite(value)]
        for curve, points in curves.items()
        if curve in NAMES
    }
    settings = {k: v for k, v in spec.model_dump(mode="json").items() if k in SETTINGS}
    made = {"what": what, "verb": verb_of(spec), "settings": settings, "curves": kept}
    (FOLDER / f"{name}.json").write_text(json.dumps(made) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stored"]:
        stored(*sys.argv[2:])
        sys.exit()
    for wanted in sys.argv[1:] or CASES:
        with tempfile.TemporaryDirectory() as folder:
            make(wanted, Path(folder))
