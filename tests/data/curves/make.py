"""Make the curves in this folder: real trainings of the embedded model, healthy ones and ones gone wrong on purpose.

    python tests/data/curves/make.py [NAME ...]      all of them take about an hour on two cores

Each is one call of run_sft or run_grpo with a seed, without Ray, evaluated every so many steps on held-out questions.
What comes out lies in NAME.json: the curves that are read, and the settings of the stage. The numbers depend on the
machine in their last digits; a training that is unstable may depend on it wholly, which is why the files are kept.
"""

import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from orchestrator.answers.tokens import completion_text, prompt_ids, target_ids
from orchestrator.health.curves import NAMES
from orchestrator.journal import NAME, Journal, read
from orchestrator.model_ref import ModelRef
from orchestrator.plan import compile_plan
from orchestrator.recipe import Recipe, load_recipe
from orchestrator.tasks import Task
from orchestrator.training import grpo, sft

FOLDER = Path(__file__).parent
RECIPE = FOLDER / "trainings.yaml"
Pairs = list[tuple[str, str]]
HELD_OUT = 60
"""Questions of the test split that are answered at each evaluation."""


@dataclass(frozen=True)
class Case:
    """One training: a stage of the recipe, overrides for it, and what is done to its rows."""

    what: str
    stage: str
    settings: tuple[str, ...] = ()
    every: int = 10
    """Steps between two evaluations."""
    rows: Callable[[Pairs], Pairs] = lambda pairs: pairs
    prompts: int | None = None
    """So many of the training questions only."""
    last: Callable[[Pairs], Pairs] | None = None
    """What is done to the held-out rows of the last evaluation."""
    on: str | None = None
    """The case whose model is trained on."""
    seed: int = 0


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


def shouted(pairs: Pairs) -> Pairs:
    """The same rows in capitals: another evaluation than the ones before."""
    return [(question.upper(), target.upper()) for question, target in pairs]


CASES = {
    "healthy_sft": Case("a hundred steps on 300 demonstrations", "sft"),
    "healthy_sft_seed1": Case("the same from another seed", "sft", seed=1),
    "healthy_cosine": Case(
        "a warm-up and a cosine",
        "sft",
        ("stages.sft.lr_scheduler_type=cosine", "stages.sft.warmup_steps=0.1", "stages.sft.logging_steps=2"),
    ),
    "healthy_small_batches": Case(
        "batches of 4, logged at each step",
        "sft",
        (
            "stages.sft.per_device_train_batch_size=4",
            "stages.sft.logging_steps=1",
            "stages.sft.learning_rate=1e-3",
            "stages.sft.max_steps=200",
        ),
        every=20,
    ),
    "healthy_further": Case(
        "a trained model taken further", "further", ("stages.further.max_steps=60",), on="healthy_sft"
    ),
    "healthy_epochs": Case(
        "three epochs of 600 rows",
        "sft",
        ("stages.sft.max_steps=null", "stages.sft.num_train_epochs=3", MORE := "task.demonstrations.generate=600"),
    ),
    "healthy_grpo": Case("forty steps of GRPO", "grpo", every=5, on="healthy_sft"),
    "overfitted": Case(
        "16 rows, met 200 times",
        "sft",
        ("task.demonstrations.generate=16", "stages.sft.lr_scheduler_type=constant", "stages.sft.max_steps=200"),
    ),
    "overfitted_slowly": Case(
        "40 rows, met 80 times",
        "sft",
        ("task.demonstrations.generate=40", "stages.sft.max_steps=200", "stages.sft.learning_rate=4e-3"),
    ),
    "unstable": Case(
        "a learning rate that is too high, constant, nothing clipped",
        "sft",
        ("stages.sft.learning_rate=3e-2", "stages.sft.lr_scheduler_type=constant", "stages.sft.max_grad_norm=0"),
    ),
    "unstable_later": Case(
        "a good start, then a warm-up that never ends",
        "sft",
        (
            "stages.sft.learning_rate=6e-2",
            "stages.sft.lr_scheduler_type=constant_with_warmup",
            "stages.sft.warmup_steps=150",
            "stages.sft.max_steps=150",
            "stages.sft.max_grad_norm=0",
        ),
    ),
    "diverged": Case(
        "a learning rate of 1",
        "sft",
        ("stages.sft.learning_rate=1", "stages.sft.max_grad_norm=1000", "stages.sft.max_steps=60"),
    ),
    "still": Case("a learning rate of 1e-7", "sft", ("stages.sft.learning_rate=1e-7", "stages.sft.max_steps=60")),
    "too_short": Case(
        "ended in the middle",
        "sft",
        (
            "stages.sft.learning_rate=3e-4",
            "stages.sft.max_steps=60",
            "stages.sft.lr_scheduler_type=constant",
            "stages.sft.logging_steps=2",
        ),
    ),
    "spikes": Case(
        "four rows of noise among 300",
        "sft",
        (
            "stages.sft.per_device_train_batch_size=2",
            "stages.sft.logging_steps=1",
            "stages.sft.learning_rate=1e-3",
            "stages.sft.max_steps=140",
        ),
        every=20,
        rows=garbage,
    ),
    "words_only": Case("answers that belong to other questions", "sft", rows=swapped),
    "last_alone": Case("the last evaluation is of rows in capitals", "sft", last=shouted),
    "reward_collapsed": Case(
        "GRPO at a learning rate of 1e-2", "grpo", ("stages.grpo.learning_rate=1e-2",), every=5, on="healthy_sft"
    ),
    "reward_not_accuracy": Case(
        "GRPO on four questions",
        "grpo",
        ("stages.grpo.learning_rate=3e-3", "stages.grpo.max_steps=80"),
        every=5,
        prompts=4,
        on="healthy_sft",
    ),
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
        last = self.case.last if state.global_step == state.max_steps else None
        pairs = last(self.pairs) if last else self.pairs
        drawn, training = torch.get_rng_state(), model.training
        model.eval()
        with torch.no_grad():
            loss, accuracy = self._loss(model, pairs), self._accuracy(model, [question for question, _ in pairs])
        model.train(training)
        torch.set_rng_state(drawn)
        self.journal.metrics(state.global_step, {"eval_loss": loss, "eval_accuracy": accuracy})

    def _loss(self, model: Any, pairs: Pairs) -> float:
        """Nats per token of the targets."""
        rows = [(prompt_ids(self.tokenizer, self.task.format, q), target_ids(self.tokenizer, t)) for q, t in pairs]
        width = max(len(prompt) + len(target) for prompt, target in rows)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[*p, *t] + [pad] * (width - len(p) - len(t)) for p, t in rows])
        labels = torch.tensor([[-100] * len(p) + t + [-100] * (width - len(p) - len(t)) for p, t in rows])
        mask = torch.tensor([[1] * (len(p) + len(t)) + [0] * (width - len(p) - len(t)) for p, t in rows])
        return float(model(input_ids=ids, attention_mask=mask, labels=labels).loss)

    def _accuracy(self, model: Any, questions: Sequence[str]) -> float:
        """Share of greedy completions that are right."""
        prompts = [prompt_ids(self.tokenizer, self.task.format, question) for question in questions]
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


def evaluated(module: Any, case: Case, task: Task) -> None:
    """Have a trainer evaluate: its `train` gets one callback more."""
    train = TRAIN[module]

    def with_evaluation(trainer: Any, job: Any) -> None:
        trainer.add_callback(Evaluation(case, task, trainer.processing_class, job.work))
        train(trainer, job)

    module.train = with_evaluation


TRAIN = {module: module.train for module in (sft, grpo)}


def make(name: str, models: Path) -> None:
    """Train one case and write its file; its model stays in `models` for those that go on from it."""
    case = CASES[name]
    recipe: Recipe = load_recipe(RECIPE, [*case.settings, f"seed={case.seed}"])
    task, spec = recipe.task, recipe.stages[case.stage]
    if case.on is not None and not (models / case.on).is_dir():
        make(case.on, models)
    base = compile_plan(recipe).base
    model = ModelRef(case.on or "base", base, str(models / case.on / "model") if case.on else None)
    work = models / name
    work.mkdir()
    if case.stage == "grpo":
        evaluated(grpo, case, task)
        questions = tuple(task.examples("train")[: case.prompts])
        grpo.run_grpo(grpo.GrpoJob(work, model, task.format, spec, case.seed, 2, task, questions))
    else:
        evaluated(sft, case, task)
        pairs = case.rows([(e.question, task.target(e)) for e in task.examples("demonstrations")])
        sft.run_sft(sft.SftJob(work, model, task.format, spec, case.seed, 2, tuple(pairs)))
    curves: dict[str, list[tuple[int, float]]] = {}
    for record in read(work / NAME):
        for curve, value in record.get("metrics", {}).items():
            if curve in NAMES:
                curves.setdefault(curve, []).append((record["step"], float(f"{value:.5g}")))
    made = {"what": case.what, "verb": spec.type, "settings": spec.model_dump(mode="json"), "curves": curves}
    text = json.dumps(made, indent=1)
    (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for wanted in sys.argv[1:] or CASES:
            if not (Path(folder) / wanted).is_dir():
                make(wanted, Path(folder))
