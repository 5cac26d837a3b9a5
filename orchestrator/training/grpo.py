"""GRPO on questions whose answers are judged: the reward is the score, usually 1 if correct and 0 otherwise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOTrainer

from orchestrator.answers.tokens import prompt_ids
from orchestrator.errors import StageError
from orchestrator.models.decoding import can_decode, decode
from orchestrator.models.folded import folded
from orchestrator.models.loading import load_tokenizer, load_trainable
from orchestrator.sampling.completions import summary_of_verdicts
from orchestrator.sampling.same_draws import ANSWERED, IDENTICAL, share_identical
from orchestrator.tasks import Task
from orchestrator.tasks.judging import verdicts
from orchestrator.training.configuration import grpo_config
from orchestrator.training.job import TrainingJob
from orchestrator.training.like_lengths import in_groups
from orchestrator.training.settings import GrpoSettings
from orchestrator.training.trainer import train
from orchestrator.types import Completion, Example, FinishReason


@dataclass(frozen=True, slots=True)
class GrpoJob(TrainingJob):
    """A training job with its questions and the task that judges the completions."""

    spec: GrpoSettings
    task: Task
    examples: tuple[Example, ...]


def run_grpo(job: GrpoJob) -> None:
    """Train on rewards and save the model in `work/model`."""
    spec = job.spec
    torch.set_num_threads(job.cpus)
    torch.manual_seed(job.seed)
    tokenizer = load_tokenizer(job.model.base)
    if spec.lora is None and job.model.adapter is not None and spec.beta:
        raise StageError(
            "beta above 0 needs a reference model; when all weights are trained it is loaded from disk, but a model "
            "whose adapter is merged for this training is not on disk; set beta to 0, or leave lora out"
        )
    trainer = _Trainer(
        model=load_trainable(job.model, spec.lora),
        reward_funcs=_Score(job),
        args=grpo_config(job),
        train_dataset=Dataset.from_dict(
            {"prompt": [e.question for e in job.examples], "row": list(range(len(job.examples)))}
        ),
        processing_class=tokenizer,
    )
    trainer.answer_format = job.answer_format
    train(trainer, job)


class _Trainer(GRPOTrainer):  # type: ignore[misc]
    """GRPOTrainer that tokenizes prompts exactly as sampling and evaluation do, and generates with the same loop."""

    answer_format: Any = None

    def _generate_single_turn(self, *arguments: Any, **named: Any) -> Any:
        model = self.accelerator.unwrap_model(self.model)
        usual = not self.args.generation_kwargs and self.args.cache_implementation is None
        with folded(model), _by_our_loop(model) if usual and can_decode(model) else nullcontext():
            return super()._generate_single_turn(*arguments, **named)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **further: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        score = super()._get_per_token_logps_and_entropies
        alone = not input_ids.is_cuda and self.accelerator.num_processes == 1
        if not alone or any(value is not None and value is not False for value in further.values()):
            return score(  # type: ignore[no-any-return]
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **further
            )
        return in_groups(
            lambda ids, mask, kept: score(model, ids, mask, kept, batch_size, compute_entropy)[:2],
            input_ids,
            attention_mask,
            logits_to_keep,
        )

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [prompt_ids(self.processing_class, self.answer_format, p) for p in prompts], None, {}


@contextmanager
def _by_our_loop(model: Any) -> Iterator[None]:
    """Within the context, `model.generate` runs orch's loop: TRL has no argument for it."""
    model.generate = partial(model.generate, custom_generate=decode)
    try:
        yield
    finally:
        del model.generate


class _Score:
    """The reward: the task's score for each completion. None if the judge itself failed."""

    __name__ = "correct"

    def __init__(self, job: GrpoJob) -> None:
        self.job = job
        self.limit, self.draws = job.spec.max_completion_length, job.spec.num_generations

    def __call__(
        self,
        completions: list[str],
        completion_ids: list[list[int]],
        row: list[int],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float | None]:
        """One reward per completion; `row` has each one's example index. Completions of one example are adjacent."""
        items = []
        for place, (text, ids, index) in enumerate(zip(completions, completion_ids, row, strict=True)):
            example = self.job.examples[index]
            end: FinishReason = "length" if len(ids) >= self.limit else "stop"
            items.append((Completion(example.id, place % self.draws, text, len(ids), end), example))
        judged = verdicts(self.job.task, items)
        log_metric(ANSWERED, summary_of_verdicts(judged).answer_rate)
        groups = [completions[place : place + self.draws] for place in range(0, len(completions), self.draws)]
        log_metric(IDENTICAL, share_identical(groups))
        return [None if verdict.status in ("timeout", "error") else verdict.score for verdict in judged]
