"""Existing completions that a stage would draw, though judged differently or fewer of them."""

from collections.abc import Iterable

from orchestrator.errors import OutputError
from orchestrator.store.at_once import at_once
from orchestrator.store.base import Store
from orchestrator.store.names import Keyed, draws_tag
from orchestrator.store.outputs import StoredOutputs


def drawn(store: Store, outputs: StoredOutputs, stages: Iterable[Keyed]) -> dict[str, str]:
    """See `Store.drawn`."""
    asked = {stage.key: stage for stage in stages if stage.draws_digest is not None}
    found = at_once(lambda stage: _most(store, outputs, stage), list(asked.values()))
    return {key: run_id for key, run_id in zip(asked, found, strict=True) if run_id is not None}


def _most(store: Store, outputs: StoredOutputs, stage: Keyed) -> str | None:
    """The run with the most of a stage's completions; the newest, if several have as many."""
    runs = store.runs({draws_tag(stage): stage.draws_digest}, status="FINISHED")
    many = "draws"
    if stage.is_evaluation:
        many = "answers_per_question" if stage.also is None else f"{stage.also}/answers_per_question"
    for run in sorted(runs, key=lambda run: -run.metrics.get(many, 0.0)):
        problems: list[str] = []
        try:
            if outputs.is_there(run, stage.output, problems.append) and not problems:
                return run.run_id
        except OutputError:  # changed completions are drawn again
            continue
    return None
