"""What a verb is: the settings of a stage as a recipe spells them, and everything that is done with such a stage.

A verb is one class in one file, and one line in `STAGES`. Nothing else in orch asks which verb a stage has: it asks the
verb. `jobs` runs in the driver and stays light. The jobs run on Ray workers and import what they need there; `finish`
is one more call on a worker, after them.
"""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, NamedTuple

from orchestrator.sampling.budget import DrawBudget
from orchestrator.stages.context import Context, Job, Output, Share
from orchestrator.tasks import Task
from orchestrator.tasks.splits import Split
from orchestrator.training.settings import StageSettings
from orchestrator.types import BASE, Example, Finding

DEMONSTRATIONS = "demonstrations"
"""The split of worked solutions, which may be named where a stage that makes rows may."""


class Kind(Enum):
    """What a stage makes, for others to refer to; the value is what messages call it."""

    MODEL = "a model"
    COMPLETIONS = "completions"
    ROWS = "rows to train on"
    RESULTS = "results"

    @property
    def given(self) -> tuple[str, ...]:
        """The names that stand for such a thing without a stage."""
        return {Kind.MODEL: (BASE,), Kind.ROWS: (DEMONSTRATIONS,)}.get(self, ())


class Reference(NamedTuple):
    """One stage that another uses."""

    field: str
    """As the recipe spells the setting."""
    stage: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a stage has a model write completions."""

    split: Split
    """Whose questions are asked."""
    n: int
    """Completions of each question."""
    temperature: float
    """0: greedily."""
    max_tokens: int
    limit: str
    """The setting that says so, as messages name it."""
    top_p: float = 1.0
    top_k: int = 0
    """0: all tokens."""
    min_p: float = 0.0
    learns: bool = False
    """Whether the differences between a question's completions are what a training learns from."""
    budget: DrawBudget | None = None
    """How the draws are spread over the questions, `n` of each on average; None: evenly."""

    @property
    def most(self) -> int:
        """Draws of one question at the most."""
        return self.n if self.budget is None else self.budget.max_draws


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many rows or questions, as far as that is known before anything has run."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Keys:
    """What a stage's key is made from, beside its own settings."""

    task: Task
    seed: int
    evaluate: Any
    """The recipe's `evaluate` block: a validation asks as it does."""
    stages: Mapping[str, str]
    """The keys of the base model and of the stages above."""
    model: str | None
    """The model that the stage reads."""

    def of(self, name: str) -> Any:
        """What identifies a stage's output, or the split of worked solutions."""
        return self.task.fingerprint(DEMONSTRATIONS) if name == DEMONSTRATIONS else self.stages[name]


class Verb(StageSettings, ABC):
    """One verb. Its fields are its settings; a subclass that is not abstract goes into `STAGES`."""

    VERSION: ClassVar[int]
    """Raised when the same settings make another output: stages made before then run again."""
    OUTPUT: ClassVar[str]
    """The artifact without which a stage is not done (`store.names`)."""
    MAKES: ClassVar[Kind]
    REFERENCES: ClassVar[Mapping[str, Kind]] = {}
    """The fields that name stages, one or several, and what these must make."""
    SPLITS: ClassVar[Mapping[str, str]] = {}
    """The fields that name a split of the task whose questions are read, and what the key calls their content."""
    CPUS: ClassVar[int] = 1
    """Cores of one job where the recipe does not say."""
    ON_GPU: ClassVar[bool] = True
    """Whether its jobs use a GPU where there is one."""
    COUNTS: ClassVar[str] = "steps"
    """What says how far it is."""
    HEADLINE: ClassVar[str] = ""
    """The curve whose last point is shown while the stage runs."""
    CURVES: ClassVar[tuple[str, ...]] = ()
    """The curves that are kept and read when the run is looked at later."""
    PANELS: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = ()
    """The figure of its curves: for each panel the title of its axis and the names of its curves."""
    SPOKEN: ClassVar[bool] = False
    """Whether its name is an acronym, which sentences write in capitals."""
    BASELINE: ClassVar[bool] = False
    """Whether the first model that it makes is what other models are compared with."""

    @property
    def counts(self) -> str:
        """What says how far such a stage is."""
        return self.COUNTS

    @property
    def makes_model(self) -> bool:
        """Whether it makes a model, which is then evaluated."""
        return self.MAKES is Kind.MODEL

    @property
    def model_read(self) -> str | None:
        """The model that it reads; None where it reads none."""
        return next((getattr(self, field) for field, kind in self.REFERENCES.items() if kind is Kind.MODEL), None)

    def references(self) -> list[Reference]:
        """The stages that it uses, in the order of its fields."""
        return [
            Reference(type(self).model_fields[field].alias or field, name, kind)
            for field, kind in self.REFERENCES.items()
            for name in names_in(getattr(self, field))
            if name not in kind.given and not (kind is Kind.COMPLETIONS and is_pooled(name))
        ]

    def pooled(self) -> list[Reference]:
        """The draws of other runs that it uses, as RUN:STAGE."""
        return [
            Reference(type(self).model_fields[field].alias or field, name, kind)
            for field, kind in self.REFERENCES.items()
            for name in names_in(getattr(self, field))
            if kind is Kind.COMPLETIONS and is_pooled(name)
        ]

    def misuses(self, stages: "Mapping[str, Verb]") -> Iterator[tuple[str, str]]:
        """Settings that name stages which do not go together, each with what is wrong."""
        yield from ()

    def in_key_by_content(self) -> set[str]:
        """The verb, the stages and the splits that it names: `key_inputs` has what they are and hold."""
        return {"type", *self.REFERENCES, *self.SPLITS}

    # -- the key ---------------------------------------------------------------------------------------------------

    def key_inputs(self, keys: Keys) -> dict[str, Any]:
        """What it reads, by the names under which the key holds it: everything but what `leaves_out` names."""
        sources: dict[str, Callable[[], Any]] = {
            "format": keys.task.format.fingerprint,
            "judging": keys.task.judging,
            "seed": lambda: keys.seed,
        }
        if keys.model is not None:
            sources["model"] = lambda: keys.stages[str(keys.model)]
        for field, kind in self.REFERENCES.items():
            if kind is not Kind.MODEL:
                sources[type(self).model_fields[field].alias or field] = lambda field=field: _each(  # type: ignore[misc]
                    keys.of, getattr(self, field)
                )
        for field, name in self.SPLITS.items():
            sources[name] = lambda field=field: keys.task.fingerprint(getattr(self, field))  # type: ignore[misc]
        return {name: read() for name, read in sources.items() if name not in self.leaves_out()}

    def leaves_out(self) -> Mapping[str, str]:
        """What does not decide the output of a stage with these settings, and why."""
        return {}

    # -- the run ---------------------------------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """How many workers make one job together."""
        return 1

    def share(self, cores: int, gpus: float) -> Share:
        """What one job gets, on machines with `cores` cores in a cluster with `gpus` GPUs."""
        asked, workers = self.resources, self.workers
        cpus = asked.cpus or max(1, min(self.CPUS, cores // workers))
        if not self.ON_GPU:
            return Share(cpus, 0.0, workers)
        return Share(cpus, asked.gpus if asked.gpus is not None else float(min(1, gpus)), workers)

    def items(self, task: Task) -> int:
        """How many of what it counts there are, as far as it is known before it runs; 0: its job tells."""
        return 0

    @abstractmethod
    def jobs(self, context: Context) -> list[Job]:
        """The calls still to be made; those whose output lies in the work folder already are left out."""

    @abstractmethod
    def finish(self, context: Context) -> Output:
        """Put what the jobs left in the work folder together under `context.output`.

        Runs on a worker without a GPU, and again if that worker dies. `context.output` does not exist before.
        """

    def splits_read(self, stages: "Mapping[str, Verb]") -> set[Split]:
        """The splits whose examples `finish` reads: they are sent along, as a worker may not see the user's files."""
        return {getattr(self, field) for field in self.SPLITS}

    # -- what checks, forecasts and reports ask --------------------------------------------------------------------

    def drawing(self) -> Drawing | None:
        """How it has a model write; None where it does not."""
        return None

    def decides_draws(self, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The part of what its key is made from that decides each of its completions; None: it makes none."""
        return None

    def source(self, stages: "Mapping[str, Verb]") -> Drawing | None:
        """The drawing that what it makes was chosen from; None where nothing was drawn."""
        return self.drawing()

    def row_sources(self) -> tuple[str, ...]:
        """Where the rows come from that it trains on: `demonstrations`, or stages that make rows."""
        return ()

    def learns_from(self, stages: "Mapping[str, Verb]") -> set[Split]:
        """The splits whose questions the model that it makes has seen."""
        return set()

    def bounds(self, task: Task, stages: "Mapping[str, Verb]") -> Bounds:
        """The rows or questions that it trains on or makes."""
        return Bounds(0, 0)

    def settings_findings(self, name: str, task: Task, stages: "Mapping[str, Verb]") -> Iterator[Finding]:
        """What is wrong with its settings in view of its data; `name` is the stage's."""
        yield from ()

    @classmethod
    def amount(cls, settings: Mapping[str, str], known: Mapping[str, float]) -> float | None:
        """How much a stage has to do, in units of its own; None where that is not known.

        `settings` are those of a run, as texts; `known` are its metrics, or before it what `countable` gives.
        """
        return None

    def countable(self, task: Task) -> Mapping[str, float]:
        """What `amount` asks for, as far as it can be counted before anything has run."""
        return {}


def is_pooled(name: str) -> bool:
    """Whether a reference names draws of another run: RUN:STAGE."""
    return ":" in name


def parted(pooled: str) -> tuple[str, str]:
    """The run and the stage of such a reference."""
    run, _, stage = pooled.partition(":")
    return run, stage


def put_together(argument: tuple[Verb, Context, Mapping[Split, list[Example]]]) -> Output:
    """`finish` on a worker, with the examples that it reads; what a worker that died has left of it is removed."""
    verb, context, examples = argument
    context.task.use(examples)
    context.begun.touch()
    shutil.rmtree(context.output, ignore_errors=True)
    return verb.finish(context)


def names_in(value: Any) -> tuple[str, ...]:
    """The names in a setting that holds one or several."""
    return (value,) if isinstance(value, str) else tuple(value)


def _each(identify: Callable[[str], Any], value: Any) -> Any:
    return identify(value) if isinstance(value, str) else [identify(name) for name in value]
