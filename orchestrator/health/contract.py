"""The answer contract as text: every gold answer is read back as itself, and the model writes the answer's opening.

Knows no model and no tokenizer.
"""

from collections.abc import Iterator

from orchestrator.answers.control_tokens import before_token
from orchestrator.answers.formats import HashFormat, MarkerFormat, RegexFormat, TagsFormat
from orchestrator.errors import DataError
from orchestrator.tasks import Task
from orchestrator.tasks.judged_by import own_method
from orchestrator.tasks.judging import Item, item, verdicts
from orchestrator.tasks.splits import Split
from orchestrator.types import Example, Finding, Verdict

_SHOWN = 3
_TRIED = 3
"""Number of gold answers per split on which a task's own verdict is tried before all of them are judged."""
_AT_ONCE = 20
_SLOT = "\x00question\x00"


def contract(task: Task) -> Iterator[Finding]:
    """Findings on the prompt and on the gold answers of every split."""
    yield from _opening(task)
    if (broken := _broken(task)) is not None:
        yield broken
        if broken.severity == "error":
            return  # every gold answer would fail the same way, some of them after seconds
    for split in task.splits():
        yield from _round_trip(task, split)


def opening_text(task: Task) -> str:
    """The text a model writes right before its answer, such as `<answer>` or `####`; empty if there is none."""
    try:
        return task.format.model_copy(update={"prefix": ""}).target_text("7").partition("7")[0].strip()
    except DataError:
        return ""


def _broken(task: Task) -> Finding | None:
    """The finding for a task's own verdict that fails on gold answers, or prints while judging."""
    if not task.own_verdict:
        return None
    for split in task.splits():
        tried = targets(task, split)[0][:_TRIED]
        judged = [one for e, text in tried for one in verdicts(task, [item(text, e)])]
        failed = [(e, v) for (e, _), v in zip(tried, judged, strict=True) if v.why is not None]
        if not failed:
            continue
        example, verdict = failed[0]
        prints = verdict.status not in ("error", "timeout")
        return Finding(
            "verdict-fails",
            "warning" if prints else "error",
            f"the task's own verdict {'prints' if prints else 'fails'} on {len(failed)} of {len(tried)} gold answers "
            f"of {task.where(split)}: {verdict.why}",
            f"{example.id}: gold {example.answer!r}, status {verdict.status}",
            "its output is lost, and printing slows judging down"
            if prints
            else "the code raises, runs too long, ends its process or returns something other than a Verdict; such "
            "completions count as not correct",
            f"fix {type(task).__name__}.{own_method(task)} at that line",
        )
    return None


def _opening(task: Task) -> Iterator[Finding]:
    if task.format.chat:
        return  # the model starts a new turn: the end of the user's message is an instruction
    opening = opening_text(task)
    after = task.format.prompt_text(_SLOT).removesuffix(task.format.prefix).rpartition(_SLOT)[2].rstrip()
    if opening and _opens(task, after, opening):
        yield Finding(
            "opening-in-prompt",
            "error",
            f"the prompt itself ends in {opening!r}, but the model must write that in its completion",
            f"the prompt ends: {after[-60:]!r}",
            "the text that opens the answer is only in the prompt, so no completion contains it and none is parsed",
            f"remove {opening!r} from task.format.prompt; to make the model start there, set task.format.prefix to it",
        )


def _opens(task: Task, after: str, opening: str) -> bool:
    """Whether the text after the question ends in the opening as an answer starts, not as an instruction may end.

    A mark with a closing counterpart (tags, a box, JSON) is left open there. A mark that ends with its line is alone on
    it: `#### ` opens an answer, `then give the answer after ####` only mentions it.
    """
    kind = task.format
    if isinstance(kind, MarkerFormat) and kind.ignore_case:
        after, opening = after.casefold(), opening.casefold()
    to_the_end = isinstance(kind, TagsFormat) and not kind.closing.strip()
    if to_the_end or isinstance(kind, HashFormat | MarkerFormat | RegexFormat):
        return after.rpartition("\n")[2].strip() == opening
    return after.endswith(opening)


def targets(task: Task, split: Split) -> tuple[list[tuple[Example, str]], list[str]]:
    """The examples of a split with the text a model should write for each, and the reasons why others have none."""
    written: list[tuple[Example, str]] = []
    refused: list[str] = []
    for example in task.examples(split):
        try:
            written.append((example, task.target(example)))
        except DataError as error:
            refused.append(f"{example.id}: {error}")
    return written, refused


def _round_trip(task: Task, split: Split) -> Iterator[Finding]:
    examples = task.examples(split)
    written, refused = targets(task, split)
    judged = _judged(task, [item(text, example) for example, text in written])
    failed = [(e, t, v) for (e, t), v in zip(written, judged, strict=False) if v.status != "correct"]
    bad = len(failed) + len(refused)
    if not bad:
        return
    lines = [*refused, *(_shown(e, t, v) for e, t, v in failed)]
    if failed and all(before_token(text).strip() not in ("", text.strip()) for _, text, _ in failed):
        yield Finding(
            "end-in-target",
            "error",
            f"{task.where(split)}: {len(failed):,} of {len(examples):,} worked solutions contain the end of a turn "
            "before their answer",
            "\n".join(lines[:_SHOWN]),
            "the solutions contain a model's end tokens: nothing after the first one is ever generated, so it is not "
            "read either",
            "remove these tokens from the worked solutions",
        )
        return
    worked = any(e.demonstration is not None for e, _, _ in failed)
    yield Finding(
        "gold-round-trip",
        "error",
        f"{task.where(split)}: {bad:,} of {len(examples):,} gold answers, written as a model should write them, are "
        "not judged correct",
        "\n".join(lines[:_SHOWN]),
        "a worked solution ends in an answer other than its row's, or in none that the answer format finds"
        if worked
        else "the answer format or the judge cannot read these answers",
        "fix these rows, or task.format and task.judge, so that the targets of training are what is rewarded",
    )


def _judged(task: Task, items: list[Item]) -> list[Verdict]:
    """The verdicts. If a task's own verdict keeps timing out, only the first ones: each takes seconds."""
    if not task.own_verdict:
        return verdicts(task, items)
    judged: list[Verdict] = []
    while len(judged) < len(items) and sum(v.status == "timeout" for v in judged) < _TRIED:
        judged += verdicts(task, items[len(judged) : len(judged) + _AT_ONCE])
    return judged


def _shown(example: Example, target: str, verdict: Verdict) -> str:
    tail = target if len(target) <= 100 else "..." + target[-97:]
    why = f" ({verdict.why})" if verdict.why is not None else ""
    return f"{example.id}: gold {example.answer!r}, target {tail!r}, parsed {verdict.value!r}: {verdict.status}{why}"
