"""Whether there is room for the answers: in `max_tokens` of each drawing stage, and in the model's context."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.health.contract import targets
from orchestrator.plan.plan import Plan, Stage
from orchestrator.tasks.splits import Split
from orchestrator.types import Example, Finding

_FEW = 0.05
"""Share of answers that do not fit below which it is only a warning."""


@dataclass(frozen=True, slots=True)
class _Room:
    """The room a stage gives a completion."""

    split: Split
    tokens: int
    setting: str


def length_findings(plan: Plan, stages: Sequence[Stage], tokenizer: Any, context: int | None) -> Iterator[Finding]:
    """Findings on every stage that generates; `context` is the model's context length in tokens."""
    rooms: dict[_Room, str] = {}
    for stage in stages:
        if (drawing := stage.spec.drawing()) is not None:
            rooms.setdefault(_Room(drawing.split, drawing.max_tokens, drawing.limit), stage.name)
    taught = _target_lengths(plan, tokenizer, _taught(plan))
    prompts: dict[Split, list[tuple[int, Example]]] = {}
    for room, name in rooms.items():
        if room.split not in prompts:
            prompts[room.split] = [
                (len(prompt_ids(tokenizer, plan.recipe.task.format, e.question)), e)
                for e in plan.recipe.task.examples(room.split)
            ]
        further = room.split in plan.recipe.task.further  # its questions may be harder than those that are taught
        lengths = _target_lengths(plan, tokenizer, room.split) if further else taught
        long = [pair for pair in lengths if pair[0] > room.tokens]
        if long:
            share = len(long) / len(lengths)
            worst = max(long, key=lambda pair: pair[0])
            yield Finding(
                "answers-cut-off",
                "error" if share >= _FEW else "warning",
                f"stage {name}: {len(long):,} of {len(lengths):,} targets ({share:.1%}) are longer than "
                f"{room.setting} = {room.tokens}",
                f"the longest has {worst[0]} tokens and ends {worst[1][-80:]!r}",
                "a model that writes what it was taught is cut off before its answer and counted as truncated",
                f"set {room.setting} to {worst[0] + worst[0] // 4} or more",
            )
        widest = max(prompts[room.split], key=lambda pair: pair[0], default=None)
        if context is not None and widest is not None and widest[0] + room.tokens > context:
            yield Finding(
                "context-too-small",
                "error" if widest[0] >= context else "warning",
                f"stage {name}: the longest prompt ({widest[0]} tokens) and {room.setting} = {room.tokens} do not fit "
                f"into the model's context of {context} tokens",
                f"question {widest[1].question[:160]!r}",
                "beyond its context a model writes noise",
                f"lower {room.setting}, shorten the prompt, or leave the longest questions out",
            )


def _taught(plan: Plan) -> Split:
    return "demonstrations" if plan.recipe.task.demonstrations is not None else "test"


def _target_lengths(plan: Plan, tokenizer: Any, split: Split) -> list[tuple[int, str]]:
    """Token counts and texts that a model should write: worked solutions if there are any, else bare answers."""
    return [(len(target_ids(tokenizer, target)), target) for _, target in targets(plan.recipe.task, split)[0]]
