"""Training questions in the test: exactly, with other punctuation, with eight words in a row in common, or, if they are
short, almost word for word.

Shared runs of words are how GPT-3's and later reports measure contamination; n = 8 suits short questions.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.health.near import Words, in_characters, spaced
from orchestrator.health.near import near as doubles
from orchestrator.recipe.graph import behind
from orchestrator.recipe.recipe import Recipe
from orchestrator.stages.base import Verb
from orchestrator.stages.training import Training
from orchestrator.tasks import Task
from orchestrator.tasks.splits import Split
from orchestrator.types import Example, Finding

_N = 8
_N_CHARACTERS = 24
"""Characters in a row, in scripts without spaces: phrases such as `how many are there in all` share fewer."""
_MANY = 0.1
"""Share of questions from which shared phrases are a warning."""
_WORD = re.compile(r"\w+(?:[.,]\w+)*")
_APOSTROPHE = re.compile("[‘’′]")
_DASH = re.compile(r"[–−](?=\d)")
_PART = re.compile(
    _WORD.pattern  # words and numbers
    + r"|(?<!\.)\.(?=\d)"  # .5 is not 5
    + r"|(?<=\d)!"  # nor is 5!
    + r"|-(?=\S)"  # nor is -5
    + r"|(?:(?<=\w)'(?=\w)|(?<=\w)'+(?=\()|(?<=(?<![\w'])\w)'+)"  # don't; a derivative: f'(2), y''
    + r"|[^\w\s.,;:!?'\"‘’“”…–—。，、；：？！「」『』-]"  # 12 + 7 is not 12 / 7, and brackets may be all there is
)
"""The parts that tell two questions apart: words, and signs that are not sentence punctuation."""
TRAINING: tuple[Split, ...] = ("demonstrations", "train")


def overlap(task: Task) -> Iterator[Finding]:
    """Findings on questions that the test, and each further split, shares with the training splits."""
    for split in ("test", *task.further):
        yield from _overlap(task, split)


def _overlap(task: Task, asked: Split) -> Iterator[Finding]:
    test, kind = task.examples(asked), f"{asked} questions"
    trained = {split: task.examples(split) for split in TRAINING if getattr(task, split) is not None}
    copied = {split: copies(test, [e.question for e in rows]) for split, rows in trained.items()}
    for split, found in copied.items():
        if found:
            yield in_training(found, len(test), f"task.{split}", kind)
    known = {e.id for found in copied.values() for e in found}
    of_test: dict[tuple[str, ...], list[int]] = {}  # the smaller side is indexed, the training questions are streamed
    for place, example in enumerate(test):
        for gram in _grams(example.question):
            of_test.setdefault(gram, []).append(place)
    met = {gram for rows in trained.values() for e in rows for gram in _grams(e.question) if gram in of_test}
    places = sorted({place for gram in met for place in of_test[gram]})
    near = [test[place] for place in places if test[place].id not in known]
    if near:
        share = len(near) / len(test)
        in_words = not all(in_characters(_words(e.question)) for e in near)
        # a pattern of the data occurs among the test questions themselves as often as between test and training
        alike = {place for shared in of_test.values() if len(set(shared)) > 1 for place in shared}
        of_patterns = not _written(task, asked) or len(alike) >= 0.5 * len(places)
        yield Finding(
            "near-duplicates",
            "warning" if share >= _MANY and not of_patterns else "info",
            f"{len(near):,} of {len(test):,} {kind} ({share:.1%}) share "
            f"{f'{_N} words' if in_words else f'{_N_CHARACTERS} characters'} in a row with a training question",
            "\n".join(repr(e.question[:160]) for e in near[:3]),
            "the questions come from the same templates, or share passages",
            "read the examples: the same question in other words does not belong in the training split",
        )
    if _written(task, asked):
        known |= {e.id for e in near}
        rest = [(e, _words(e.question)) for e in test if e.id not in known]
        yield from _all_but_equal(
            rest, [(e, _words(e.question)) for rows in trained.values() for e in rows], test, kind
        )


def _all_but_equal(
    rest: Sequence[tuple[Example, Words]], trained: Sequence[tuple[Example, Words]], test: Sequence[Example], kind: str
) -> Iterator[Finding]:
    found = doubles(rest, trained)
    changed = [*found.around, *found.inside, *found.number]
    if pairs := changed or found.pattern:
        share = len(pairs) / len(test)
        parts = ["its beginning", "its end"] if found.around and (found.inside or found.number) else []
        parts += ["its beginning or end"] if found.around and not parts else []
        parts += ["a word inside it"] if found.inside else []
        parts += ["one number"] if found.number or not changed else []
        verb = "differs" if len(pairs) == 1 else "differ"
        what = f"{', '.join(parts[:-1])} or {parts[-1]}" if len(parts) > 1 else parts[0]
        yield Finding(
            "near-duplicates",
            "warning" if changed and share >= _MANY else "info",
            f"{len(pairs):,} of {len(test):,} {kind} ({share:.1%}) {verb} from a training question only in {what}",
            "\n".join(f"{e.question[:100]!r} (trained on: {double.question[:100]!r})" for e, double in pairs[:3]),
            "the same questions, reworded" if changed else "questions of one pattern that differ only in their numbers",
            "remove one of the two: a memorized answer is correct here without being understood"
            if changed
            else "nothing, if calculating with other numbers is what you want to measure",
        )


def asked_in_training(recipe: Recipe) -> Iterator[Finding]:
    """Findings for models that are compared on a split they are trained on, or that chose their checkpoint."""
    asked, made = recipe.evaluate.on, behind(recipe.stages, recipe.models())
    learn = [name for name in made if asked in recipe.stages[name].learns_from(recipe.stages)]
    if learn:
        yield Finding(
            "test-in-training",
            "error",
            f"models are compared on task.{asked}, and {_listed(learn)} learned from it",
            "",
            "on questions that a model was trained on, its accuracy measures memorization",
            "compare on held-out questions: evaluate.on=test",
        )
    chosen = [name for name in made if asked == "validation" and _chooses(recipe.stages[name])]
    if chosen:
        yield Finding(
            "test-in-training",
            "warning",
            f"models are compared on task.validation, and {_listed(chosen)} chose a checkpoint by it",
            "",
            "choosing the best checkpoint on these questions biases their accuracy upward",
            "compare on questions that played no part in training: evaluate.on=test",
        )


def _chooses(spec: Verb) -> bool:
    return isinstance(spec, Training) and spec.validation is not None and spec.validation.select != "last"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def _written(task: Task, split: Split) -> bool:
    """Whether people wrote a split's questions: generated ones share templates, so an overlap proves nothing."""
    source = task.test if split == "test" else task.further[split]
    if source.hold_out is not None and task.train is not None:
        source = task.train
    return source.generate is None


def copies(test: Sequence[Example], questions: Iterable[str]) -> list[Example]:
    """The test questions that also occur in `questions`, ignoring case, whitespace and punctuation."""
    seen = {_bare(question) for question in questions}
    return [e for e in test if _bare(e.question) in seen]


def in_training(found: Sequence[Example], n: int, where: str, kind: str = "test questions") -> Finding:
    """The finding for evaluation questions that were trained on."""
    return Finding(
        "test-in-training",
        "error",
        f"{len(found):,} of {n:,} {kind} appear in {where}",
        "\n".join(repr(e.question[:160]) for e in found[:3]),
        "the test was not held out: for a model that has seen these questions, it measures memorization",
        "remove them from the training split, or hold out questions with task.test={hold_out: N}",
    )


def _bare(question: str) -> str:
    """A question reduced to what distinguishes it; typographic dashes and apostrophes become plain ones."""
    plain = _APOSTROPHE.sub("'", _DASH.sub("-", question.casefold()))
    return " ".join(_PART.findall(plain)) or question.strip()


def _words(question: str) -> Words:
    """A question's words and signs; in scripts without spaces, its characters."""
    return tuple(_bare(spaced(question)).split(" "))


def _grams(question: str) -> Iterator[tuple[str, ...]]:
    words = _WORD.findall(spaced(question.casefold()))
    n = _N_CHARACTERS if in_characters(words) else _N
    for start in range(len(words) - n + 1):
        yield tuple(words[start : start + n])
