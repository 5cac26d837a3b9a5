"""The base class of verbs: the settings of a stage as a recipe spells them, and everything that such a stage does.

A verb is one class in one file, and one line in `STAGES`. No other code asks which verb a stage has: it asks the verb.
`jobs` runs in the driver and stays light. The jobs run on Ray workers and import what they need there; `finish` is one
more call on a worker, after them.
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
"""The split of worked solutions; it may be named wherever a stage that makes rows may."""


class Kind(Enum):
    """The kind of a stage's output, for references from other stages; the value is its name in messages."""

    MODEL = "a model"
    COMPLETIONS = "completions"
    ROWS = "rows to train on"
    RESULTS = "results"

    @property
    def given(self) -> tuple[str, ...]:
        """Names that may be used for this kind without a stage."""
        return {Kind.MODEL: (BASE,), Kind.ROWS: (DEMONSTRATIONS,)}.get(self, ())


class Reference(NamedTuple):
    """A reference from one stage to another."""

    field: str
    """The setting, as the recipe spells it."""
    stage: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a stage samples completions from a model."""

    split: Split
    """The split that provides the questions."""
    n: int
    """Completions per question."""
    temperature: float
    """0: greedy decoding."""
    max_tokens: int
    limit: str
    """The name of the setting for `max_tokens`, for messages."""
    top_p: float = 1.0
    top_k: int = 0
    """0: all tokens."""
    min_p: float = 0.0
    learns: bool = False
    """Whether training learns from the differences between the completions of a question."""
    budget: DrawBudget | None = None
    """How the draws are spread over the questions, `n` per question on average; None: evenly."""

    @property
    def most(self) -> int:
        """Maximum number of draws per question."""
        return self.n if self.budget is None else self.budget.max_draws


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds on the number of rows or questions, as far as known before anything has run."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Keys:
    """The inputs of a stage's key other than its own settings."""

    task: Task
    seed: int
    evaluate: Any
    """The recipe's `evaluate` block: a validation uses its settings."""
    stages: Mapping[str, str]
    """The keys of the base model and of the stages above."""
    model: str | None
    """The model that the stage reads."""

    def of(self, name: str) -> Any:
        """The identity of a stage's output, or of the split of worked solutions."""
        return self.task.fingerprint(DEMONSTRATIONS) if name == DEMONSTRATIONS else self.stages[name]


class Verb(StageSettings, ABC):
    """A verb. Its fields are its settings; each concrete subclass is listed in `STAGES`."""

    VERSION: ClassVar[int]
    """Raised when the same settings produce a different output: stages that ran before then run again."""
    OUTPUT: ClassVar[str]
    """The artifact without which a stage is not finished (`store.names`)."""
    MAKES: ClassVar[Kind]
    REFERENCES: ClassVar[Mapping[str, Kind]] = {}
    """The fields that name one or more stages, and the kind of output that these must have."""
    SPLITS: ClassVar[Mapping[str, str]] = {}
    """The fields that name a split whose questions are read, and the name of its content in the key."""
    CPUS: ClassVar[int] = 1
    """Cores per job if the recipe does not set them."""
    ON_GPU: ClassVar[bool] = True
    """Whether its jobs use a GPU if there is one."""
    COUNTS: ClassVar[str] = "steps"
    """The unit of progress."""
    HEADLINE: ClassVar[str] = ""
    """The curve whose latest value is shown while the stage runs."""
    CURVES: ClassVar[tuple[str, ...]] = ()
    """The curves that are stored, and read when the run is inspected later."""
    PANELS: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = ()
    """The figure of its curves: for each panel, the title of its axis and the names of its curves."""
    SPOKEN: ClassVar[bool] = False
    """Whether its name is an acronym, which sentences write in capitals."""
    BASELINE: ClassVar[bool] = False
    """Whether the first model that it makes is the baseline for other models."""

    @property
    def counts(self) -> str:
        """The unit of progress of this stage."""
        return self.COUNTS

    @property
    def makes_model(self) -> bool:
        """Whether it makes a model, which is then evaluated."""
        return self.MAKES is Kind.MODEL

    @property
    def model_read(self) -> str | None:
        """The model that it reads; None if it reads none."""
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
        """Settings that name stages which do not go together, each with the problem."""
        yield from ()

    def in_key_by_content(self) -> set[str]:
        """The settings that name the verb, stages and splits: `key_inputs` contains their content instead."""
        return {"type", *self.REFERENCES, *self.SPLITS}

    # -- the key ---------------------------------------------------------------------------------------------------

    def key_inputs(self, keys: Keys) -> dict[str, Any]:
        """Its inputs, by their names in the key: all except those in `leaves_out`."""
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
        """The inputs that do not affect the output of a stage with these settings, with the reason."""
        return {}

    # -- the run ---------------------------------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """Number of workers that run one job together."""
        return 1

    def share(self, cores: int, gpus: float) -> Share:
        """The resources of one job, on machines with `cores` cores in a cluster with `gpus` GPUs."""
        asked, workers = self.resources, self.workers
        cpus = asked.cpus or max(1, min(self.CPUS, cores // workers))
        if not self.ON_GPU:
            return Share(cpus, 0.0, workers)
        return Share(cpus, asked.gpus if asked.gpus is not None else float(min(1, gpus)), workers)

    def items(self, task: Task) -> int:
        """Total units of progress, as far as known before it runs; 0: its job reports them."""
        return 0

    @abstractmethod
    def jobs(self, context: Context) -> list[Job]:
        """The remaining calls; those whose output is already in the work folder are left out."""

    @abstractmethod
    def finish(self, context: Context) -> Output:
        """Combine the jobs' output in the work folder into `context.output`, which does not exist yet.

        Runs on a worker without a GPU, and again if that worker dies.
        """

    def splits_read(self, stages: "Mapping[str, Verb]") -> set[Split]:
        """The splits whose examples `finish` reads: they are sent along, as a worker may not see the user's files."""
        return {getattr(self, field) for field in self.SPLITS}

    # -- what checks, forecasts and reports ask --------------------------------------------------------------------

    def drawing(self) -> Drawing | None:
        """How it samples from a model; None if it does not."""
        return None

    def decides_draws(self, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The part of its key's inputs that decides each of its completions; None: it makes none."""
        return None

    def source(self, stages: "Mapping[str, Verb]") -> Drawing | None:
        """The drawing that its output was selected from; None if nothing was drawn."""
        return self.drawing()

    def row_sources(self) -> tuple[str, ...]:
        """The sources of the rows that it trains on: `demonstrations`, or stages that make rows."""
        return ()

    def learns_from(self, stages: "Mapping[str, Verb]") -> set[Split]:
        """The splits whose questions the resulting model has seen."""
        return set()

    def bounds(self, task: Task, stages: "Mapping[str, Verb]") -> Bounds:
        """The number of rows or questions that it trains on or makes."""
        return Bounds(0, 0)

    def settings_findings(self, name: str, task: Task, stages: "Mapping[str, Verb]") -> Iterator[Finding]:
        """Problems with its settings in view of its data; `name` is the stage's name."""
        yield from ()

    @classmethod
    def amount(cls, settings: Mapping[str, str], known: Mapping[str, float]) -> float | None:
        """How much work a stage has to do, in its own units; None if unknown.

        `settings` are those of a run, as text; `known` are its metrics or, before the run, the result of `countable`.
        """
        return None

    def countable(self, task: Task) -> Mapping[str, float]:
        """The inputs of `amount` that can be counted before anything has run."""
        return {}


def is_pooled(name: str) -> bool:
    """Whether a reference names the draws of another run (RUN:STAGE)."""
    return ":" in name


def parted(pooled: str) -> tuple[str, str]:
    """The run and the stage of such a reference."""
    run, _, stage = pooled.partition(":")
    return run, stage


def put_together(argument: tuple[Verb, Context, Mapping[Split, list[Example]]]) -> Output:
    """Run `finish` on a worker with the examples that it reads, after removing leftovers of a worker that died."""
    verb, context, examples = argument
    context.task.use(examples)
    context.begun.touch()
    shutil.rmtree(context.output, ignore_errors=True)
    return verb.finish(context)


def names_in(value: Any) -> tuple[str, ...]:
    """The names in a setting that contains one or several."""
    return (value,) if isinstance(value, str) else tuple(value)


def _each(identify: Callable[[str], Any], value: Any) -> Any:
    return identify(value) if isinstance(value, str) else [identify(name) for name in value]
