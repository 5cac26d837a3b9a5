"""Checks a chat template against training and inference: whether it passes on the question, and how its turn ends.

Renders a few conversations; knows no weights. A template that rejects them has been reported before, with its message.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

from jinja2 import TemplateError

from orchestrator.answers.formats import AnswerFormat
from orchestrator.answers.tokens import chat_text
from orchestrator.health.contract import targets
from orchestrator.plan.plan import Plan
from orchestrator.stages.base import DEMONSTRATIONS
from orchestrator.types import Finding

_QUESTION, _ANSWER = "How much is 6 times 7?", "All in all it is 42."
"""The question and the answer that the template's turns are tried on."""
_LOOKED_AT = 20
"""Number of questions per split that are looked for in their rendered prompts."""
_THINKING = re.compile(r"</?(?:think|thinking|thoughts?|reasoning)>|\[/?THINK\]|◁/?think▷")


def template_findings(plan: Plan, tokenizer: Any, stops: Collection[int]) -> Iterator[Finding]:
    """Findings on the template that a recipe's prompts use; `stops` are the tokens that end a completion."""
    name, chat = plan.base.name, plan.recipe.task.format.chat
    template = getattr(tokenizer, "chat_template", None)
    if chat and not template:
        yield Finding(
            "chat-template-missing",
            "error",
            f"task.format.chat is true, but the tokenizer of {name} has no chat template",
            "tokenizer.chat_template is empty",
            "it is a base model, not one that was trained to chat",
            "set task.format.chat to false, or use the model's chat version",
        )
    elif template and not chat:
        yield Finding(
            "chat-template-unused",
            "info",
            f"{name} has a chat template, but the prompts of this recipe are plain text",
            "task.format.chat is false",
            "a model trained to chat answers plain prompts less well",
            "set task.format.chat to true, unless plain prompts are what you want to train",
        )
    elif template:
        lost = list(_lost(plan, tokenizer))
        yield from lost
        if not lost:
            turns = _Turns(tokenizer, plan.recipe.task.format)
            yield from _thinking(plan, turns)
            yield from _begin(plan, turns)
            yield from _end(plan, turns, stops)


class _Turns:
    """One question in a template: the text around it and around an answer to it."""

    def __init__(self, tokenizer: Any, answer_format: AnswerFormat) -> None:
        self.tokenizer = tokenizer
        bare = answer_format.model_copy(update={"prompt": "{question}"})
        self.begun = chat_text(tokenizer, bare, _QUESTION).rpartition(_QUESTION)[2]
        """The text between the question and the place where the model starts to write."""
        self.header = self.end = ""
        """The same if an answer follows, and the text after the answer; both empty if the template accepts none."""
        try:
            before, _, self.end = chat_text(tokenizer, bare, _QUESTION, _ANSWER).rpartition(_ANSWER)
            self.header = before.rpartition(_QUESTION)[2]
        except (TemplateError, TypeError, ValueError):
            pass

    def end_of_turn(self) -> str | None:
        """The mark that ends an answer, if it is not the end of text; None if there is no other."""
        text, eos = self.end.strip(), self.tokenizer.eos_token
        if not self.header or not text or eos in text:
            return None
        tokens = {str(token) for token in self.tokenizer.added_tokens_decoder.values()}
        marks = [token for token in tokens | set(self.tokenizer.all_special_tokens) if text.startswith(token)]
        if marks:
            return max(marks, key=len)
        # some templates always open the next turn, which does not end this one
        return None if self.header.strip().endswith(text) else text.split()[0]


def _lost(plan: Plan, tokenizer: Any) -> Iterator[Finding]:
    """Findings for a question or a system message that is missing from the prompt, or changed there."""
    task, name = plan.recipe.task, plan.base.name
    examples = [e for split in task.splits() for e in task.examples(split)[:_LOOKED_AT]]
    prompts = [chat_text(tokenizer, task.format, e.question) for e in examples]
    lost = [
        (e.question, prompt)
        for e, prompt in zip(examples, prompts, strict=True)
        if _flat(task.format.prompt_text(e.question)) not in _flat(prompt)
    ]
    if lost:
        question, prompt = lost[0]
        yield Finding(
            "template-drops-question",
            "error",
            f"the chat template of {name} does not pass on the question: {len(lost)} of {len(examples)} questions do "
            "not appear in their prompts unchanged",
            f"question {question[:160]!r}\nprompt   {prompt[-300:]!r}",
            "the template expects messages of another shape, renders only some roles, or changes the text",
            "use the chat template that the model was trained with, or set task.format.chat to false",
        )
    system = task.format.system
    if system is not None and prompts and _flat(system) not in _flat(prompts[0]):
        yield Finding(
            "template-drops-system",
            "error",
            f"the chat template of {name} drops the system message",
            f"system {system[:160]!r}\nprompt {prompts[0][:300]!r}",
            "the template has no place for a system message and drops it without an error",
            "write the system message into task.format.prompt and leave task.format.system out",
        )


def _thinking(plan: Plan, turns: _Turns) -> Iterator[Finding]:
    """The finding for a thinking block that the template opens and the training targets do not close."""
    marks = _THINKING.findall(turns.begun + plan.recipe.task.format.prefix)
    if not marks or "/" in marks[-1]:
        return
    opening, closing = marks[-1], marks[-1][0] + "/" + marks[-1][1:]
    taught = _demonstrated(plan)
    inside = [target for target in taught if closing not in target]
    if taught and not inside:
        return
    prefix = f"set task.format.prefix to {closing + chr(10) * 2!r}, which closes it"
    yield Finding(
        "template-opens-thinking",
        "error" if inside else "warning",
        f"the chat template of {plan.base.name} opens a thinking block: the prompt ends after {opening}"
        + (f", and {len(inside):,} of {len(taught):,} worked solutions do not close it" if inside else ""),
        f"the prompt ends {turns.begun[-60:]!r}" + (f"\na target is {inside[0][:120]!r}" if inside else ""),
        "the model would learn to answer inside its thinking block, and never to close it"
        if inside
        else "the model thinks before it answers, and its thinking counts as part of the completion",
        f"{prefix}; or close it in the worked solutions"
        if inside
        else f"make max_tokens large enough for the thinking, or {prefix}",
    )


def _begin(plan: Plan, turns: _Turns) -> Iterator[Finding]:
    """The finding for a model's turn that the prompt does not open, or opens only in part."""
    if not turns.header.startswith(turns.begun):
        return
    more = _THINKING.sub("", turns.header.removeprefix(turns.begun)).strip()
    if more:
        yield Finding(
            "template-turn-not-opened",
            "warning",
            f"the chat template of {plan.base.name} writes {more!r} before an answer, but the prompt ends without it",
            f"the prompt ends {turns.begun[-80:]!r}\nan answer comes after {turns.header[-80:]!r}",
            "the template ignores add_generation_prompt, or opens only part of the model's turn with it",
            f"set task.format.prefix to {turns.header.removeprefix(turns.begun)!r}, or use a template that opens the "
            "model's turn",
        )


def _end(plan: Plan, turns: _Turns, stops: Collection[int]) -> Iterator[Finding]:
    """The finding for a turn that ends differently in the template than in training."""
    mark = turns.end_of_turn()
    if mark is None:
        return
    tokenizer = turns.tokenizer
    stopped = mark in tokenizer.get_vocab() and tokenizer.convert_tokens_to_ids(mark) in stops
    yield Finding(
        "template-end-not-trained",
        "info" if stopped else "error",
        f"the chat template of {plan.base.name} ends a turn with {mark!r}, but training targets end with "
        f"{tokenizer.eos_token!r}",
        f"after an answer the template writes {turns.end[:80]!r}; a completion ends at "
        f"{', '.join(tokenizer.convert_ids_to_tokens(sorted(stops)))}",
        "both end a completion, so no figure is wrong"
        if stopped
        else "a model trained with this template ends its turn with a mark that does not stop generation, so it writes "
        "on until it is cut off; or the template belongs to another model",
        "nothing, unless the trained model should end its turns as the template does"
        if stopped
        else f"in a copy of the model, set eos_token to {mark!r} in tokenizer_config.json, if that is one of its "
        "tokens; else use the model's chat version, or the template it was trained with",
    )


def _demonstrated(plan: Plan) -> list[str]:
    """The worked solutions that an `sft` stage trains on."""
    task = plan.recipe.task
    used = any(DEMONSTRATIONS in stage.spec.row_sources() for stage in plan.stages)
    return [target for _, target in targets(task, "demonstrations")[0]] if used else []


def _flat(text: str) -> str:
    return " ".join(text.split())
