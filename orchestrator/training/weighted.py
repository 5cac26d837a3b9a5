"""A loss that weights the tokens of the answer more than those of the reasoning before it.

The loss is the weighted mean over the target tokens of one optimizer step, across accumulated batches and processes:
sum(w_t * -log p_t) / sum(w_t). So it stays on the scale of an unweighted loss, in nats per token, whatever the weight,
and does not depend on how a step is split into batches. This module must not know what an answer is: the weights come
with the rows.
"""

from dataclasses import dataclass
from typing import Any

import torch
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

WEIGHTS = "loss_weights"
"""The column with one weight per token of a row; 0 where there is no label."""


def target_weights(n_prompt: int, n_target: int, answer: int | None, answer_weight: float) -> list[float]:
    """One weight per token of a row: 0 on the prompt, 1 on the reasoning, `answer_weight` from `answer` on.

    `answer` is the index of the answer's first token in the target; None: no answer, so all target tokens weigh the
    same.

    Only the ratio of the weights matters; the smaller one is scaled to 1, because TRL accepts no divisor below 1.
    """
    least = min(1.0, answer_weight)
    begins = n_target if answer is None else answer
    weights = [1.0 / least] * begins + [answer_weight / least] * (n_target - begins)
    return [0.0] * n_prompt + weights


@dataclass
class WeightedCollator(DataCollatorForLanguageModeling):  # type: ignore[misc]
    """TRL's collator, with the weights padded like the labels."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch with `loss_weights` in the labels' shape, (rows, longest row)."""
        batch: dict[str, Any] = super().torch_call(examples)
        weights = torch.zeros(batch["labels"].shape)
        for row, example in enumerate(examples):
            weights[row, : len(example[WEIGHTS])] = torch.tensor(example[WEIGHTS])
        batch[WEIGHTS] = weights
        return batch


class WeightedTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer with weighted token losses, whose sum is divided by the sum of the weights."""

    loss_is_scaled_for_ga = True

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if WEIGHTS not in self._signature_columns:
            self._signature_columns.append(WEIGHTS)

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Any:
        """The divisor of a step's loss: the summed weights of all its batches, instead of Trainer's token count."""
        if not batch_samples:
            return None
        total = torch.stack([_shifted(batch[WEIGHTS]).sum() for batch in batch_samples]).sum().to(device)
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            total = self.accelerator.gather(total).sum()
        return total

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The weighted loss of one batch, as its share of the step's loss."""
        weights = _shifted(inputs[WEIGHTS])
        rest = {name: value for name, value in inputs.items() if name != WEIGHTS}
        total = weights.sum() if num_items_in_batch is None else num_items_in_batch
        return super().compute_loss(_Weighted(model, weights), rest, return_outputs, total)


class _Weighted:
    """Wraps a model for a single call and multiplies its log-probabilities by the tokens' weights."""

    def __init__(self, model: Any, weights: torch.Tensor) -> None:
        self.model, self.weights = model, weights

    def __call__(self, **inputs: Any) -> Any:
        outputs = self.model(**inputs)
        outputs.log_probs = outputs.log_probs * self.weights.to(outputs.log_probs.device)
        return outputs


def _shifted(weights: torch.Tensor) -> torch.Tensor:
    """The weights of the predicted tokens: all but the first of each row."""
    return weights[:, 1:]
