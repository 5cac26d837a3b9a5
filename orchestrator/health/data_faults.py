"""Data that cannot be intended: identical gold answers, swapped columns, answers shifted by a row.

Each finding reports its counts. Generated questions are checked like any others. A split of only a few rows is checked
for repetitions alone, since anything else may occur in it by chance.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

from orchestrator.errors import DataError
from orchestrator.health.contract import targets
from orchestrator.tasks import Task
from orchestrator.tasks.judging import item, verdicts
from orchestrator.tasks.splits import Split
from orchestrator.types import Example, Finding

_FEW = 8
"""With fewer rows, nothing is concluded from what they have in common."""
_MANY = 20
"""From this many rows on, what they all have in common is no accident."""
_MOST = 0.9
_LOOKED_AT = 400
"""Number of rows per split on which shifts are tried; each is judged up to seven times."""
_NEIGHBOURS = {
    1: "next",
    -1: "previous",
    2: "second following",
    -2: "second preceding",
    3: "third following",
    -3: "third preceding",
}
"""Names of the rows at these distances, for messages."""
_NATIVE = 0.4
"""Lowest share of a solution's numbers that its question contains; the others are spelled out there, or are factors."""
_ALIEN = 0.5
"""Fraction of that share that another question may contain by chance."""
_SLIPPED = "one column is shifted against the others: by a header, a blank line, or a join by position"
_ENDS_ASKING = re.compile(r"[?？؟]\s*$")
_NUMBER = re.compile(r"\s*[-+]?[\d.,]+\s*")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_EQUALS = re.compile(r"(?:[=≈>]|####)\s*[^\w\s]{0,2}\Z")
_WORD = re.compile(r"[^\W\d_]{2,}")
_SAID = 4
"""Number of words from which a worked solution says more than its answer."""
_TAG = re.compile(r"</?\w+>|\\\w+")
_SENTENCE = re.compile(r"[^\W\d_]{2,}.*\s.*\d|\d.*\s.*[^\W\d_]{2,}", re.DOTALL)
"""Words next to a number: more likely a question than the answer to a bare number."""


def data_faults(task: Task) -> Iterator[Finding]:
    """Findings on each split, the likeliest root cause first."""
    for split in task.splits():
        examples, where = task.examples(split), task.where(split)
        yield from _repeated(task, split)
        if len(examples) < _FEW:
            continue
        swapped = list(_swapped(where, examples))
        yield from swapped
        if not swapped:
            yield from _constant(task, where, examples)
        worked = [e for e in examples if e.demonstration is not None]
        if split == "demonstrations":
            yield from _appended(task, split)
            yield from _empty(where, examples, len(worked))
        if len(worked) >= _FEW:
            yield from list(_same(task, where, worked)) or _apart(task, split)


def _repeated(task: Task, split: Split) -> Iterator[Finding]:
    """The finding for rows that a file contains several times; the task keeps one of each."""
    left_out, kept = task.repeated(split), len(task.examples(split))
    if not left_out:
        return
    n = left_out + kept
    yield Finding(
        "rows-repeated",
        "error" if kept == 1 and n >= _FEW else "warning" if left_out >= 0.1 * n else "info",
        f"{task.where(split)}: {left_out:,} of {n:,} rows repeat the question and the answer of an earlier row: "
        f"{_rows(kept)} left",
        f"each question is used once: {kept:,} of {n:,} rows",
        "the file was written several times, joined with part of itself, or has several solutions per question",
        "remove the repetitions; to train on each question more often, train for more steps",
    )


def _appended(task: Task, split: Split) -> Iterator[Finding]:
    """The finding for solutions not written for the answer format; the task appended the gold answer to them."""
    n, examples = task.appended(split), task.examples(split)
    if not n:
        return
    first = next(e for e in examples if e.demonstration is not None)
    yield Finding(
        "answer-appended",
        "info",
        f"{task.where(split)}: {n:,} worked solutions do not end in an answer that the format {task.format.type!r} can "
        "read, so the gold answer is appended to them",
        f"{first.id}: ...{(first.demonstration or '')[-120:]!r}",
        "the solutions were written for human readers, or for another answer format",
        "nothing, if the model should write like this; otherwise set columns: {demonstration: {column: NAME, "
        "append_answer: never}}, or use another task.format",
    )


def _swapped(where: str, examples: Sequence[Example]) -> Iterator[Finding]:
    n = len(examples)
    asking = sum(bool(_ENDS_ASKING.search(e.answer)) for e in examples)
    asked = sum(bool(_ENDS_ASKING.search(e.question)) for e in examples)
    numbers = sum(bool(_NUMBER.fullmatch(e.question)) for e in examples)
    longer = sum(bool(_SENTENCE.search(e.answer)) for e in examples)
    clear = asking >= 0.5 * n and asked < 0.1 * n
    if clear or (numbers >= _MOST * n and longer >= 0.5 * n):
        what = f"{asking:,} answers and {asked:,} questions end in a question mark"
        if not clear:
            what = f"{numbers:,} questions are bare numbers, and {longer:,} answers are sentences"
        yield Finding(
            "columns-swapped",
            "error" if clear else "warning",
            f"{where}: questions and answers look swapped: in {n:,} rows, {what}",
            "\n".join(f"question {e.question[:80]!r}, answer {e.answer[:80]!r}" for e in examples[:3]),
            "columns.question and columns.answer are mixed up, or each pair is the wrong way around",
            "swap columns.question and columns.answer, or the two entries of each pair",
        )


def constant_gold(task: Task, examples: Sequence[Example]) -> tuple[str, int, tuple[str, ...]] | None:
    """The gold answer of nearly all rows, the number of rows that have it, and its other forms; None if golds differ.

    Golds are the same if the judge says so: to a judge of numbers, 7, 7.0 and `7 km` are. Also None if there are too
    few rows, or if the task judges by more than the gold answer.
    """
    n = len(examples)
    if n < _FEW or task.own_scores:
        return None
    golds = Counter(" ".join(e.answer.split()) for e in examples)
    gold, times = golds.most_common(1)[0]
    forms: list[str] = []
    different = 0
    for form, of_form in golds.items():
        if form != gold and task.same_answer(gold, form):
            forms.append(form)
            times += of_form
        elif form != gold and (different := different + of_form) > n - _MOST * n:
            return None
    return gold, times, tuple(forms)


def _constant(task: Task, where: str, examples: Sequence[Example]) -> Iterator[Finding]:
    found = constant_gold(task, examples)
    if found is None:
        return
    n, (gold, times, forms) = len(examples), found
    whole = times == n
    written = f", also written {', '.join(repr(form[:40]) for form in forms[:4])}" if forms else ""
    yield Finding(
        "gold-constant",
        "error" if whole and n >= _MANY else "warning",
        f"{where}: {'all' if whole else f'{times:,} of'} {n:,} gold answers are {gold[:80]!r}{written}",
        "\n".join(f"{e.question[:120]!r}" for e in examples[:3]),
        "the answers are read from the wrong column, or one answer was filled down the table",
        f"set columns.answer to the right column; if this is intended, note that always answering {gold[:40]!r} has an "
        f"accuracy of {times / n:.2f}",
    )


# --- worked solutions


def _empty(where: str, examples: Sequence[Example], worked: int) -> Iterator[Finding]:
    empty = len(examples) - worked
    if not (empty and worked):
        return
    first = next(e for e in examples if e.demonstration is None)
    yield Finding(
        "demonstrations-empty",
        "warning",
        f"{where}: {empty:,} of {len(examples):,} rows have no worked solution, so SFT trains on their bare answers",
        f"{first.id}: {first.question[:120]!r}",
        "the demonstration column has gaps",
        "fill the gaps, or leave these rows out: a mix of worked solutions and bare answers teaches neither",
    )


def _same(task: Task, where: str, worked: Sequence[Example]) -> Iterator[Finding]:
    n = len(worked)
    [(text, times)] = Counter(" ".join((e.demonstration or "").split()) for e in worked).most_common(1)
    bare = sum(" ".join(e.answer.split()) == text for e in worked)  # a solution that is just the answer may be frequent
    if times >= 0.5 * n and bare < times:
        yield Finding(
            "demonstrations-alike",
            "error",
            f"{where}: the same worked solution appears in {times:,} of {n:,} rows",
            f"{text[:160]!r}",
            "the column was filled down a table, or one solution was joined to every question",
            "give each question its own solution with columns.demonstration",
        )
        return
    [(text, times)] = Counter(filter(None, (_but_for_answer(task, e) for e in worked))).most_common(1) or [("", 0)]
    if times >= 0.5 * n:
        yield Finding(
            "demonstrations-alike",
            "warning",
            f"{where}: the same worked solution appears in {times:,} of {n:,} rows, except for its final answer",
            f"{text[:160]!r}",
            "the solutions were filled in from a template: none of them shows how its answer is found",
            "give each question its own solution with columns.demonstration, or leave the column out to train on "
            "bare answers",
        )


def _but_for_answer(task: Task, example: Example) -> str | None:
    """A worked solution without its final answer; None if it says nothing else."""
    gold, text = " ".join(example.answer.split()), " ".join((example.demonstration or "").split())
    found = list(re.finditer(rf"(?<!\w){re.escape(gold)}(?!\w)", text)) or list(_DIGITS.finditer(text))
    if not found:
        return None
    left = f"{text[: found[-1].start()]}...{text[found[-1].end() :]}"
    with suppress(DataError):
        if " ".join(task.format.target_text(gold).split()) == text:
            return None
    return left if len(_WORD.findall(_TAG.sub("", left))) >= _SAID else None


def _apart(task: Task, split: Split) -> Iterator[Finding]:
    """The finding for worked solutions that end in another row's gold answer, or that fit a nearby row's question."""
    written, _ = targets(task, split)
    pairs = [(example, text) for example, text in written if example.demonstration is not None][:_LOOKED_AT]
    if len(pairs) < _FEW:
        return
    own = _agreeing(task, pairs, 0)
    found = (_slipped(task, pairs, own) if own < 0.5 * len(pairs) else None) or _asked_elsewhere(pairs)
    if found is None:
        return
    what, cause = found
    example, text = pairs[1]
    yield Finding(
        "answers-shifted",
        "error",
        f"{task.where(split)}: {what}",
        f"{example.id}: question {example.question[:80]!r}, gold {example.answer!r}, solution ends {text[-80:]!r}",
        cause,
        "join the columns again from their original sources",
    )


def _slipped(task: Task, pairs: Sequence[tuple[Example, str]], own: int) -> tuple[str, str] | None:
    """Evidence that gold answers are paired with other rows' solutions, and the likely cause, or None."""
    n = len(pairs)
    by = {shift: _agreeing(task, pairs, shift) for shift in _NEIGHBOURS}
    best = max(by, key=lambda shift: by[shift])
    if by[best] >= 0.8 * (n - abs(best)):
        what = f"{by[best]:,} of {n:,} worked solutions end in the gold answer of the {_NEIGHBOURS[best]} row"
        return f"{what}, and {own:,} in their own", _SLIPPED
    ends = Counter(v.value for v in verdicts(task, [item(text, e) for e, text in pairs]))
    golds = [task.format.target_text(e.answer) for e, _ in pairs]
    wanted = Counter(v.value for v in verdicts(task, [item(g, e) for g, (e, _) in zip(golds, pairs, strict=True)]))
    shared = sum((ends & wanted).values())
    if own < 0.3 * n and shared >= _MOST * n and len(wanted) > 2:
        what = f"{own:,} of {n:,} worked solutions end in their own gold answer, but {shared:,} in that of some row"
        return what, "one column was sorted or shuffled without the others"
    return None


def _asked_elsewhere(pairs: Sequence[tuple[Example, str]]) -> tuple[str, str] | None:
    """Evidence from numbers that questions are paired with other rows' solutions, and the likely cause, or None."""
    asked = [set(map(_plain, _DIGITS.findall(example.question))) for example, _ in pairs]
    used = [_started_from(example, text) for example, text in pairs]
    told = {shift: _told(asked, used, shift) for shift in (0, *_NEIGHBOURS)}
    best = max(_NEIGHBOURS, key=lambda shift: told[shift])
    if told[best] < _NATIVE or told[0] > _ALIEN * told[best]:
        return None
    what = (
        f"worked solutions use the numbers of the {_NEIGHBOURS[best]} row's question ({told[best]:.0%} of theirs occur "
        f"there), not those of their own ({told[0]:.0%})"
    )
    return what, _SLIPPED


def _agreeing(task: Task, pairs: Sequence[tuple[Example, str]], shift: int) -> int:
    """Number of solutions judged correct against the gold answer of the row `shift` places further down."""
    items = [
        item(text, pairs[place + shift][0]) for place, (_, text) in enumerate(pairs) if 0 <= place + shift < len(pairs)
    ]
    return sum(v.status == "correct" for v in verdicts(task, items))


def _told(asked: Sequence[set[str]], used: Sequence[set[str]], shift: int) -> float:
    """The mean share of a solution's numbers that the question `shift` rows down contains; 0 if few have numbers."""
    places = [place for place in range(len(used)) if used[place] and 0 <= place + shift < len(asked)]
    if len(places) < max(_FEW - abs(shift), 0.5 * (len(used) - abs(shift))):
        return 0.0
    return sum(len(used[p] & asked[p + shift]) / len(used[p]) for p in places) / len(places)


def _started_from(example: Example, text: str) -> set[str]:
    """The numbers that a worked solution takes from its question: those it does not compute, as in `= 12`."""
    worked_out = {_plain(example.answer.strip())}
    taken = set()
    for found in _DIGITS.finditer(text):
        number = _plain(found[0])
        if number in worked_out or number in taken:
            continue
        if _EQUALS.search(text, max(0, found.start() - 8), found.start()):
            worked_out.add(number)
        else:
            taken.add(number)
    return taken


def _plain(number: str) -> str:
    """A number without its thousands separators."""
    return re.sub(r",(?=\d{3}(?!\d))", "", number)


def _rows(number: int) -> str:
    return f"{number:,} row is" if number == 1 else f"{number:,} rows are"
