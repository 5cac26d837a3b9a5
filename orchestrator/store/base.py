"""What the rest of orch needs of a store: runs with params, metrics, tags and files, as plain data.

`StoredRun` is one run as it was when it was read; `Store` is the protocol that `mlflow.py` and, for tests, `memory.py`
implement. Both raise TrackingError where the store cannot be reached or written.
"""

import json
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Protocol

from orchestrator.errors import TrackingError
from orchestrator.store import names
from orchestrator.store.client import Patience
from orchestrator.store.names import Keyed, evaluation_tag
from orchestrator.types import DataUsed

RunState = Literal["running", "finished", "failed", "interrupted"]
STATES: Mapping[str, RunState] = {
    "RUNNING": "running",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "interrupted",
}
"""The states of runs by MLflow's status. One that was killed is `running` until the next run there finds that out."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run as the store holds it."""

    run_id: str
    name: str
    experiment: str
    """The name of the experiment that it is in."""
    status: str
    """RUNNING, FINISHED, FAILED or KILLED."""
    parent: str | None
    """The id of the run above it."""
    started: float
    """Seconds since 1970."""
    ended: float | None
    """None: it is not closed."""
    location: str
    """Where its artifacts are: a path, or a URI."""
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The last value of each."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> "RunState":
        """How far it is, in orch's words."""
        return STATES.get(self.status, "running")

    @property
    def verb(self) -> str:
        """A stage's verb, or `run` or `trial` above stages; empty where something else made the run."""
        return self.tags.get(names.VERB_TAG, "")

    @property
    def is_stage(self) -> bool:
        """Whether it stands below a run of `orch run`, and is no trial of it."""
        return self.parent is not None and self.verb != names.WHOLE_RUN and not self.is_trial

    @property
    def is_trial(self) -> bool:
        """Whether it is the run of one of several trials."""
        return self.verb in (names.TRIAL, names.OLDER_TRIAL)

    @property
    def is_swept(self) -> bool:
        """Whether it is the run of a trial of a sweep."""
        return self.verb == names.SWEPT

    @property
    def label(self) -> Mapping[str, Any]:
        """What its trial changes in the recipe; empty where there are no trials."""
        text = self.tags.get(names.TRIAL_TAG)
        if text is not None:
            return dict(json.loads(text))
        return {"seed": self.seed} if self.is_trial else {}

    @property
    def shared(self) -> dict[str, str]:
        """The runs elsewhere that a trial's run refers to as its own stages: their ids by their names."""
        prefix = names.SHARED_TAG
        return {name.removeprefix(prefix): text for name, text in self.tags.items() if name.startswith(prefix)}

    @property
    def key(self) -> str:
        """The key of its stage; empty where it has none."""
        return self.tags.get(names.KEY_TAG, "")

    @property
    def model(self) -> str | None:
        """The model that its stage made or evaluated."""
        return self.tags.get(names.MODEL_TAG)

    @property
    def seed(self) -> int | None:
        """The seed that it ran with; None above several, and on runs that something else made."""
        text = self.tags.get(names.SEED_TAG)
        return None if text is None else int(text)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Above runs of several seeds: which."""
        return tuple(int(text) for text in self.tags.get(names.SEEDS_TAG, "").split(",") if text)

    @property
    def error(self) -> str | None:
        """Why it failed."""
        return self.tags.get(names.ERROR_TAG)

    @property
    def origin(self) -> str:
        """The run that made its stage's output: itself, unless that is reused."""
        return names.origin_of(self.tags) or self.run_id

    def evaluation_key(self, also: str | None = None) -> str | None:
        """The key of its model's evaluation, or of that on a further split; None where there is none."""
        return self.tags.get(evaluation_tag(names.EVALUATION_KEY_TAG, also))

    def evaluation_origin(self, also: str | None = None) -> str:
        """The run that holds the results of its model's evaluation: itself, unless they are reused."""
        return names.evaluation_origin_of(self.tags, also) or self.run_id

    @property
    def splits(self) -> list[str]:
        """The further splits that its model was evaluated on."""
        return names.further_splits(self.tags)

    def recipe_digest(self, also: str | None = None) -> str | None:
        """Equal for evaluations that differ in the seed alone; None: an older run."""
        return self.tags.get(evaluation_tag(names.RECIPE_TAG, also))

    def judging_digest(self, also: str | None = None) -> str | None:
        """Equal for evaluations whose answers were asked for, read and judged alike; None: an older run."""
        return self.tags.get(evaluation_tag(names.JUDGING_TAG, also))

    def judged_by(self, also: str | None = None) -> str | None:
        """How answers were read and judged, in words; None: an older run."""
        return self.tags.get(evaluation_tag(names.JUDGED_BY_TAG, also))

    @property
    def base(self) -> str:
        """The whole model under every adapter; empty where that is not known."""
        return self.tags.get(names.BASE_TAG, "")

    @property
    def chosen(self) -> str:
        """Why a training selected its checkpoint; empty where it had no choice."""
        return self.tags.get(names.CHOSEN_TAG, "")

    @property
    def chosen_step(self) -> int | None:
        """The step of that checkpoint."""
        step = self.metrics.get(names.CHOSEN_STEP)
        return None if step is None else int(step)

    @property
    def commit(self) -> str | None:
        """The commit of the code around it."""
        return self.tags.get(names.COMMIT_TAG)

    @property
    def versions(self) -> dict[str, str]:
        """The packages that it ran with, and their versions."""
        prefix = names.VERSION_TAG
        return {name.removeprefix(prefix): text for name, text in self.tags.items() if name.startswith(prefix)}


@dataclass(frozen=True, slots=True)
class StoredExperiment:
    """One experiment as the store holds it."""

    experiment_id: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)


class Store(Protocol):
    """A store. What the methods below the last line do is made of those above it."""

    process: str | None
    """Marks the runs that are started, so that others can tell when the process that writes them is gone."""
    title: str
    """What messages call it."""
    writers: int = 1
    """How many threads may write to it side by side."""
    patience: Patience | None = None
    """How a run waits for a store that does not answer; None: it does not."""

    # -- reading ---------------------------------------------------------------------------------------------------

    def finished(self, stages: Iterable[Keyed]) -> dict[str, str]:
        """For each key that is done: the run whose artifacts hold the output. What was deleted since is not done.

        Raises:
            OutputError: outputs that were changed since they were made, each named.
        """
        ...

    def drawn(self, stages: Iterable[Keyed]) -> dict[str, str]:
        """For each key whose completions are there, judged in another way or fewer of them: the run that has most."""
        ...

    def runs(
        self,
        tags: Mapping[str, str | None] | None = None,
        *,
        status: str | None = None,
        experiments: Collection[str] | None = None,
        ids: Collection[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[StoredRun]:
        """The runs that fit, however many, the newest first; at most `limit`. What was deleted is left out.

        Args:
            tags: what each tag says, or None for whatever it says.
            experiments: names; without them all.
        """
        ...

    def with_id(self, run_id: str) -> StoredRun | None:
        """The run with exactly this id, also where it was deleted; None: there is none."""
        ...

    def beginning(self, part: str) -> list[StoredRun]:
        """The runs whose ids begin with these letters and digits."""
        ...

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """The points of one curve: (step, value)."""
        ...

    def artifact(self, run: str | StoredRun, name: str, *, fresh: bool = False) -> Path:
        """Where one of a run's artifacts lies; a copy where the store is elsewhere, nothing where there is none.

        `fresh`: it may have been written again since it was copied.
        """
        ...

    def output(self, run: str | StoredRun, name: str, full: bool = False) -> Path:
        """As `artifact`, for what a stage has made: its content is what was made; with `full` all of it is read.

        Raises:
            OutputError: it is not what it was.
        """
        ...

    def address(self, run_id: str, name: str) -> str | None:
        """Where one of a run's files is: a path, or a URI where the store is elsewhere; None where there is none."""
        ...

    def experiments(self) -> list[StoredExperiment]:
        """All experiments there are, the newest first."""
        ...

    # -- writing ---------------------------------------------------------------------------------------------------

    def experiment(self, name: str) -> str:
        """The id of the experiment of that name, made if need be."""
        ...

    def tag_experiment(self, experiment_id: str, tag: str, text: str) -> None:
        """Set a tag of an experiment's."""
        ...

    def start(self, experiment_id: str, name: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> str:
        """Start a run; its id."""
        ...

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Settings, nested ones under dotted keys."""
        ...

    def log(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str] | None = None) -> None:
        """Single values, and tags."""
        ...

    def log_points(self, run_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Points of training curves, as the journal holds them: `metrics`, `step`, and `time` in milliseconds."""
        ...

    def log_evaluation(
        self, run_id: str, model: str, metrics: Mapping[str, float], data: DataUsed, tags: Mapping[str, str]
    ) -> None:
        """An evaluation's figures, in the run of its model and where the store lists models."""
        ...

    def log_data(self, run_id: str, data: DataUsed) -> None:
        """A data set the run made or read, with its source and digest; a bare file name is one of its artifacts."""
        ...

    def log_table(self, run_id: str, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """A table that a person may read, as an artifact; all rows have the keys of the first."""
        ...

    def log_folder(self, run_id: str, folder: Path, output: str | None = None) -> dict[str, str]:
        """All files below a folder, as artifacts.

        `output` names the stage's output among them. The tags that say what it holds, by which `Store.output` goes, are
        given back: they are to be logged with its key.
        """
        ...

    def end(self, run_id: str, status: str, error: str | None = None) -> None:
        """Close a run as FINISHED, FAILED or KILLED."""
        ...

    # -- made of these ---------------------------------------------------------------------------------------------

    def find(self, wanted: str | None) -> StoredRun:
        """The run that a user names, by its id, by the beginning of it, or by its experiment, whose newest it is then.

        Without a name it is the run of a recipe that was started or asked for last.

        Raises:
            TrackingError: there is none, or the beginning fits several.
        """
        if wanted is None:
            if (newest := self.last()) is None:
                if any(self.runs({names.VERB_TAG: names.SWEEP}, limit=1)):
                    raise TrackingError(
                        f"{self.title} holds sweeps alone: name one that `orch runs` lists, or see its trials with "
                        "`orch compare --sweep`"
                    )
                raise TrackingError(f"{self.title} holds no run; make one with `orch run RECIPE`")
            return newest
        if (exact := self.with_id(wanted)) is not None:
            return exact
        called = [experiment.name for experiment in self.experiments()]
        if wanted in called and (newest := self._newest(wanted)) is not None:
            return newest
        fitting = self.beginning(wanted) if wanted.isalnum() else []
        if len(fitting) > 1:
            raise TrackingError(f"{len(fitting)} runs begin with {wanted!r}: give more of the id")
        if not fitting:
            close = get_close_matches(wanted, called, n=1, cutoff=0.5)
            guess = f"did you mean {close[0]!r}, an experiment? " if close else ""
            raise TrackingError(f"no run {wanted!r} in {self.title}; {guess}`orch runs` lists them all")
        return fitting[0]

    def _newest(self, experiment: str) -> StoredRun | None:
        """The newest run of a recipe, or sweep, of an experiment."""
        found = [
            run
            for verb in (names.WHOLE_RUN, names.SWEEP)
            for run in self.runs({names.VERB_TAG: verb}, experiments=[experiment], limit=1)
        ]
        return max(found, key=lambda run: run.started, default=None)

    def children(self, parent: str) -> dict[str, StoredRun]:
        """The runs under a parent and those that it refers to, by name, the oldest first.

        Of two of one name the newer counts, and one under the parent before one that it refers to.
        """
        own = {run.name: run for run in reversed([*self.runs({names.PARENT_TAG: parent})])}
        shared = self.find(parent).shared
        elsewhere = {run.run_id: run for run in self.runs(ids=set(shared.values()))} if shared else {}
        return {name: elsewhere[run_id] for name, run_id in shared.items() if run_id in elsewhere} | own

    def asked_again(self, run: StoredRun) -> None:
        """A finished run was asked for again: from now on it is the last one."""
        experiment = self.experiment(run.experiment)
        self.tag_experiment(experiment, names.ASKED_TAG, f"{time.time():.6f} {run.run_id}")

    def last(self) -> StoredRun | None:
        """The run of a recipe that was started or asked for last; None: there is none."""
        newest = next(iter(self.runs({names.VERB_TAG: names.WHOLE_RUN}, limit=1)), None)
        asked = [e.tags[names.ASKED_TAG].split() for e in self.experiments() if names.ASKED_TAG in e.tags]
        later = {run_id: float(at) for at, run_id in asked if newest is None or float(at) >= newest.started}
        runs = sorted(self.runs(ids=set(later)), key=lambda run: later[run.run_id]) if later else []
        return runs[-1] if runs else newest

    def log_file(self, run_id: str, content: str | bytes, name: str) -> None:
        """One artifact; a text that is not all UTF-8 is written as far as it is."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode(errors="replace") if isinstance(content, str) else content)
            self.log_folder(run_id, Path(folder))

    def close_runs(self, process: str, status: str, error: str) -> None:
        """Close what a process has started and left open, what it started last first; one that cannot be, stays."""
        for run in [*self.runs({names.PROCESS_TAG: process}, status="RUNNING")]:
            with suppress(TrackingError):
                self.end(run.run_id, status, error)
