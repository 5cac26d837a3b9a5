"""How hard a test question is, measured without the model in question.

Two measures: the pass rate of similar training questions in the sampling, which is known before any model sees the
test; and the number of the run's other models that solve the question. Knows no store and no page.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log

import numpy as np
from scipy.sparse import csr_matrix

from orchestrator.report.facts import Asked
from orchestrator.stats import wilson

NEIGHBOURS = 10
"""Number of training questions that represent a test question."""
GROUPS = 4
_CHUNK = 256
"""Number of test questions whose similarities to all training questions are in memory at a time."""
_WORD = re.compile(r"\d[\d.,/]*|[^\W\d_]+|[^\w\s]")
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Cell:
    """One model's result on one group of questions."""

    right: int
    n: int

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval."""
        return wilson(self.right, self.n)


@dataclass(frozen=True, slots=True)
class Group:
    """Questions of similar difficulty, with each model's result; None: the group is empty for that model."""

    label: str
    cells: Mapping[str, Cell | None]


def expected(pass_rates: Mapping[str, float], train: Mapping[str, str], test: Mapping[str, str]) -> dict[str, float]:
    """For each test question, the mean pass rate of the `NEIGHBOURS` most similar training questions, in [0, 1].

    `train` and `test` are questions by id, `pass_rates` the share of correct draws of training questions. Similarity is
    the cosine of tf-idf vectors of words, with every digit replaced by 0 (Salton and Buckley 1988, Information
    Processing and Management 24:513). Empty if fewer training questions were sampled. All questions as similar as the
    tenth count, so a question that resembles fewer than ten gets the mean of all.
    """
    ids = [i for i in pass_rates if i in train]
    if len(ids) < NEIGHBOURS or not test:
        return {}
    words = [Counter(_words(text)) for text in (*(train[i] for i in ids), *test.values())]
    seen = Counter(word for bag in words[: len(ids)] for word in bag)
    place = {word: number for number, word in enumerate(seen)}
    vectors = _vectors(words, place, [log(len(ids) / count) + 1 for count in seen.values()])
    rates = np.array([pass_rates[i] for i in ids])
    found: dict[str, float] = {}
    for begin in range(0, len(test), _CHUNK):
        alike = (vectors[len(ids) + begin : len(ids) + begin + _CHUNK] @ vectors[: len(ids)].T).toarray()
        tenth = np.partition(alike, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS, None]
        near = alike >= tenth - 1e-12
        means = near @ rates / near.sum(axis=1)
        found |= dict(zip(islice(test, begin, begin + _CHUNK), map(float, means), strict=True))
    return found


def by_expectation(asked: Sequence[Asked], labels: Sequence[str], hard: Mapping[str, float]) -> list[Group]:
    """The questions in `GROUPS` groups of about equal size by expected pass rate, the hardest first.

    Questions with the same expected pass rate are in the same group, so there may be fewer groups.
    """
    known = sorted((one for one in asked if one.example_id in hard), key=lambda one: hard[one.example_id])
    groups: dict[int, list[Asked]] = {}
    group_of: dict[float, int] = {}
    for place, one in enumerate(known):
        number = group_of.setdefault(hard[one.example_id], GROUPS * place // len(known))
        groups.setdefault(number, []).append(one)
    made = []
    for group in groups.values():
        low, high = (hard[group[i].example_id] for i in (0, -1))
        label = f"{low:.0%} to {high:.0%}" if f"{low:.0%}" != f"{high:.0%}" else f"{low:.0%}"
        made.append(Group(label, {m: _cell(group, m) for m in labels}))
    return made


def by_others(asked: Sequence[Asked], labels: Sequence[str]) -> list[Group]:
    """For each model, the questions grouped by the number of other models that solve them, the hardest first."""
    others = len(labels) - 1
    solved = {one.example_id: sum(one.right(m) for m in labels) for one in asked}
    return [
        Group(
            f"{count} of {others}",
            {m: _cell([one for one in asked if solved[one.example_id] - one.right(m) == count], m) for m in labels},
        )
        for count in range(others + 1)
    ]


def _cell(group: Sequence[Asked], model: str) -> Cell | None:
    return Cell(sum(one.right(model) for one in group), len(group)) if group else None


def _words(text: str) -> list[str]:
    return _WORD.findall(_DIGIT.sub("0", text.casefold()))


def _vectors(bags: Sequence[Mapping[str, int]], place: Mapping[str, int], weights: Sequence[float]) -> csr_matrix:
    """One row of length 1 for each bag of words; words that occur in no training question are ignored."""
    rows, columns, values = [], [], []
    for row, bag in enumerate(bags):
        found = {place[word]: count * weights[place[word]] for word, count in bag.items() if word in place}
        length = float(np.linalg.norm(list(found.values()))) or 1.0
        rows += [row] * len(found)
        columns += list(found)
        values += [value / length for value in found.values()]
    return csr_matrix((values, (rows, columns)), shape=(len(bags), len(place)))
