"""Reads the contents of the page for several seeds of one recipe from the store."""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from orchestrator.comparison import ComparedModel
from orchestrator.health.findings import findings_of, ranked
from orchestrator.report.facts import SeedFacts, SeedsFacts
from orchestrator.report.reading import read_about
from orchestrator.sampling.completions import right_of_questions
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.names import RESULTS
from orchestrator.store.tables import read_stored
from orchestrator.types import Finding


def seed_runs(store: Store, run_id: str) -> list[StoredRun]:
    """The single-seed runs under a run, in seed order; none if the run has only one seed."""
    found = [run for run in store.children(run_id).values() if run.is_trial]
    return sorted(found, key=_seed)


def _seed(run: StoredRun) -> int:
    assert run.seed is not None, "every run of `orch run` has one"
    return run.seed


def read_seeds(store: Store, run_id: str, page: str) -> SeedsFacts:
    """The contents of the page of a run of several seeds; `page` is the file name of the seeds' own pages.

    Raises:
        InputError: the run was not created by `orch run`, or none of its models was evaluated.
    """
    about = read_about(store, run_id)
    runs = seed_runs(store, run_id)
    found: dict[Finding, set[int]] = {finding: set() for finding in about.pop("findings")}
    seeds = []
    for run in runs:
        own, seed = store.artifact(run, page), _seed(run)
        accuracies = {m.label: m.by_seed[m.seeds.index(seed)] for m in about["comparison"].models if seed in m.seeds}
        seeds.append(SeedFacts(seed, run.run_id, run.status, accuracies, own.is_file()))
        below = [run, *store.children(run.run_id).values()]
        for finding in (finding for one in below for finding in findings_of(one.tags)):
            found.setdefault(finding, set()).add(seed)
    steady = {m.label: _steady(store, m) for m in about["comparison"].models if len(m.seeds) > 1}
    named = [_named(finding, of, len(runs)) for finding, of in found.items()]
    return SeedsFacts(**about, findings=ranked(named), seeds=tuple(seeds), steady=steady)


def _named(finding: Finding, seeds: Collection[int], n: int) -> Finding:
    """A finding prefixed with the seeds that have it, unless all have it."""
    if len(seeds) in (0, n):
        return finding
    told = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}"
    return replace(finding, what=f"{told}: {finding.what}")


def _steady(store: Store, model: ComparedModel) -> list[int]:
    right: Counter[str] = Counter()
    for run_id in model.run_ids:
        origin = store.find(run_id).evaluation_origin()
        table = read_stored(store.output(origin, RESULTS), ["example_id", "status"])
        for example_id, share in zip(*right_of_questions(table), strict=True):
            right[example_id] += share > 0.5
    counts = Counter(right.values())
    return [counts[n] for n in range(len(model.seeds) + 1)]
