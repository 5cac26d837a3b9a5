"""Shell completion, as set up by `orch --install-completion`: recipes, their dotted keys, runs.

It must be quick and quiet: nothing heavy is imported, and on an error nothing is offered.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import typer

_RUNS = 50
"""Number of runs offered: the newest ones."""


def recipes(incomplete: str) -> list[str]:
    """The recipes and folders whose path begins with the text typed so far."""
    with suppress(OSError):
        folder, _, begun = incomplete.rpartition("/")
        inside = sorted(Path(folder or ("/" if incomplete.startswith("/") else ".")).expanduser().iterdir())
        before = incomplete[: len(incomplete) - len(begun)]
        return [
            f"{before}{path.name}{'/' if path.is_dir() else ''}"
            for path in inside
            if path.name.startswith(begun)
            and (begun.startswith(".") or not path.name.startswith("."))
            and (path.is_dir() or path.suffix in (".yaml", ".yml"))
        ]
    return []


def keys(context: typer.Context, incomplete: str) -> list[str]:
    """The settings of the named recipe, such as `stages.rft.learning_rate=`."""
    with suppress(Exception):  # `orch plan` reports whatever is wrong with the recipe
        from orchestrator.recipe.recipe import load_recipe
        from orchestrator.schema import flatten

        settings = load_recipe(context.params["recipe"]).model_dump(by_alias=True, serialize_as_any=True)
        return [f"{name}=" for name in flatten(settings) if name.startswith(incomplete)]
    return []


def runs(incomplete: str) -> list[tuple[str, str]]:
    """`last`, the experiments, and the shortened ids of the newest runs, each with a description."""
    return [(name, help) for name, help in _runs() if name.startswith(incomplete)]


def _runs() -> Iterator[tuple[str, str]]:
    from orchestrator.errors import TrackingError
    from orchestrator.store.names import SWEEP, VERB_TAG, WHOLE_RUN
    from orchestrator.store.opening import local_database

    yield "last", "the newest run"
    with suppress(TrackingError):
        database = local_database()
        if database is None:
            return
        made = [run for verb in (WHOLE_RUN, SWEEP) for run in database.runs({VERB_TAG: verb}, limit=_RUNS)]
        found = sorted((run for run in made if run.parent is None), key=lambda run: -run.started)[:_RUNS]
        for name in dict.fromkeys(run.experiment for run in found):
            yield name, "its newest run"
        for run in found:
            yield run.run_id[:8], f"{run.experiment}, {run.status.lower()}"
