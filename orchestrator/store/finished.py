"""Which stages are finished: looks up their keys in as few requests as the store's filters allow.

MLflow's filters cannot match a tag against a list of values. So a few keys are searched one by one. Many are looked up
among the newest runs, read page by page for as long as that is faster; keys not found there are then searched one by
one. Each key is looked up once, however many stages have it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

from orchestrator.errors import OutputError
from orchestrator.store.at_once import at_once
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.names import VERB_TAG, Keyed, key_tag, origin_tag
from orchestrator.store.outputs import StoredOutputs

KEYS_A_PAGE = 200
"""Keys whose search, one by one, takes as long as reading one page of runs (SQLite: 15 ms a key, 3 s a page)."""
PAGE = 1000
"""Runs per page."""
_Asked = tuple[str, str]
"""A tag and the key it must contain."""


def finished(store: Store, outputs: StoredOutputs, stages: Iterable[Keyed]) -> dict[str, str]:
    """See `Store.finished`."""
    asked: dict[_Asked, Keyed] = {}
    for stage in stages:
        asked.setdefault((key_tag(stage), stage.key), stage)
    if not asked:
        return {}
    lookup = _Lookup(store, asked)
    done: dict[str, str] = {}
    changed: list[str] = []
    found = at_once(lambda one: _made_by(lookup, outputs, *one), list(asked.items()))
    for stage, (origin, problem) in zip(asked.values(), found, strict=True):
        if origin is not None:
            done[stage.key] = origin
        elif problem is not None:
            changed.append(f"stage {stage.name}: {problem}")
    if changed:
        raise OutputError(*changed)
    return done


def _made_by(
    lookup: "_Lookup", outputs: StoredOutputs, question: _Asked, stage: Keyed
) -> tuple[str | None, str | None]:
    """The run that contains a stage's output, or else what is wrong with one whose output has changed."""
    problems: list[str] = []
    tried: set[str] = set()
    for run in lookup.candidates(question):
        origin = run.tags.get(origin_tag(stage), run.run_id)
        if origin in tried:  # one of many runs that reuse it
            continue
        tried.add(origin)
        maker = lookup.active(origin, run)
        if maker is not None and outputs.is_there(maker, stage.output, problems.append):
            return origin, None
    return None, next(iter(problems), None)


class _Lookup:
    """The finished runs with the requested keys."""

    def __init__(self, store: Store, asked: Mapping[_Asked, Keyed]) -> None:
        self.store = store
        self.experiments = [experiment.name for experiment in store.experiments()]
        self._active: dict[str, StoredRun | None] = {}
        """By id: runs whose state is known; None for deleted ones."""
        self._fitting: dict[_Asked, list[StoredRun]] = {}
        self._is_whole = False
        """Whether all finished runs have been read."""
        pages = len(asked) // KEYS_A_PAGE
        if pages:
            self._read(asked, pages)

    def _read(self, asked: Mapping[_Asked, Keyed], pages: int) -> None:
        """Read the newest finished runs until every key has one, but only a few pages."""
        runs = self.store.runs({VERB_TAG: None}, status="FINISHED", experiments=self.experiments)
        tags = {tag for tag, _ in asked}
        for run in islice(runs, pages * PAGE):
            self._active[run.run_id] = run
            for question in {(tag, run.tags[tag]) for tag in tags & run.tags.keys()} & asked.keys():
                self._fitting.setdefault(question, []).append(run)
            if len(self._fitting) == len(asked):
                break
        else:
            self._is_whole = len(self._active) < pages * PAGE
        newest = [(origin_tag(asked[question]), fitting[0]) for question, fitting in self._fitting.items()]
        unknown = {run.tags.get(tag, run.run_id) for tag, run in newest} - self._active.keys()
        self._active |= dict.fromkeys(unknown, None)
        if unknown:
            self._active |= {r.run_id: r for r in self.store.runs(ids=unknown, experiments=self.experiments)}

    def candidates(self, question: _Asked) -> Iterator[StoredRun]:
        """The finished runs with a key, newest first."""
        read: Sequence[StoredRun] = self._fitting.get(question, ())
        return chain(read, () if self._is_whole else self._one_by_one(question))

    def _one_by_one(self, question: _Asked) -> Iterator[StoredRun]:
        """First only the newest, which usually is the right one; then all."""
        tag, key = question
        for limit in (1, None):
            runs = [*self.store.runs({tag: key}, status="FINISHED", experiments=self.experiments, limit=limit)]
            yield from runs
            if not runs:
                return

    def active(self, origin: str, run: StoredRun) -> StoredRun | None:
        """The run that produced the output of `run`, unless it was deleted."""
        if origin == run.run_id:
            return run
        if origin not in self._active:
            self._active[origin] = next(self.store.runs(ids=[origin], experiments=self.experiments, limit=1), None)
        return self._active[origin]
