"""What a sweep tries next. Optuna proposes for `random` and `tpe`; a grid is processed in order.

A grid starts with the recipe's own values, if they are among its trials: bad trials are then recognized early, and a
sweep that is cut short has its baseline.

No combination is proposed twice. The same seed and the same results, reported in the same order, give the same
proposals. The study lives in memory: what it needs to know about earlier trials is read from the store.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

from orchestrator.recipe.sweep import Parameter, Sweep
from orchestrator.sweeps.variants import grid

_TRIES = 100
"""Number of repeated proposals in a row after which nothing new is expected."""
_LINKED = "linked"


class Proposer(Protocol):
    """Proposes the settings to try."""

    def ask(self) -> dict[str, Any] | None:
        """The settings of another trial; None: there are no more."""
        ...

    def tell(self, values: Mapping[str, Any], value: float | None) -> None:
        """Report a trial's result; None: it failed or was ended early."""
        ...


def proposer(sweep: Sweep, seed: int, own: Mapping[str, Any] | None = None) -> Proposer:
    """The proposer of a sweep's trials; `own` are the recipe's own values."""
    return _Grid(sweep, own) if sweep.method == "grid" else _Study(sweep, seed)


class _Grid:
    def __init__(self, sweep: Sweep, own: Mapping[str, Any] | None) -> None:
        first = next((values for values in grid(sweep) if values == own), None)
        rest = (values for values in grid(sweep) if values != first)
        self._left: Iterator[dict[str, Any]] = rest if first is None else chain([first], rest)

    def ask(self) -> dict[str, Any] | None:
        return next(self._left, None)

    def tell(self, values: Mapping[str, Any], value: float | None) -> None:
        pass


class _Study:
    """An Optuna study. Listed values are proposed as positions in their list, since they may be any YAML values."""

    def __init__(self, sweep: Sweep, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._sweep, self._space = sweep, space(sweep)
        sampler = (
            # trials run concurrently: running ones count as bad, so that others look elsewhere
            optuna.samplers.TPESampler(seed=seed, constant_liar=True, multivariate=True)
            if sweep.method == "tpe"
            else optuna.samplers.RandomSampler(seed=seed)
        )
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._asked: dict[str, Any] = {}
        """Optuna's trial for each proposed combination, by its label."""

    def ask(self) -> dict[str, Any] | None:
        import optuna

        for _ in range(_TRIES):
            trial = self._study.ask(self._space)
            values = settings(self._sweep, trial.params)
            if _name(values) not in self._asked:
                self._asked[_name(values)] = trial
                return values
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return self._untried()

    def _untried(self) -> dict[str, Any] | None:
        """A combination that was not proposed yet, if all can be listed; there may be few left."""
        values = None
        if self._sweep.size is not None:
            values = next((one for one in grid(self._sweep) if _name(one) not in self._asked), None)
        if values is not None:
            self._study.enqueue_trial(places(self._sweep, values))
            self._asked[_name(values)] = self._study.ask(self._space)
        return values

    def tell(self, values: Mapping[str, Any], value: float | None) -> None:
        import optuna

        trial = self._asked.get(_name(values))
        if trial is None:  # from an earlier sweep
            self._asked[_name(values)] = None
            if value is not None:
                self._study.add_trial(
                    optuna.trial.create_trial(
                        params=places(self._sweep, values), distributions=self._space, value=value
                    )
                )
        elif value is None:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, value)


def space(sweep: Sweep) -> dict[str, Any]:
    """Optuna's distribution for each parameter, and a single one for the linked rows."""
    import optuna

    made: dict[str, Any] = {name: _distribution(one) for name, one in sweep.parameters.items()}
    if sweep.linked:
        made[_LINKED] = optuna.distributions.CategoricalDistribution(range(len(sweep.linked)))
    return made


def settings(sweep: Sweep, params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that Optuna's values represent."""
    made: dict[str, Any] = dict(sweep.linked[params[_LINKED]]) if sweep.linked else {}
    for name, one in sweep.parameters.items():
        made[name] = params[name] if one.values is None else one.values[params[name]]
    return {name: made[name] for name in sweep.names}


def places(sweep: Sweep, values: Mapping[str, Any]) -> dict[str, Any]:
    """Optuna's values for some settings: the inverse of `settings`."""
    made = {
        name: values[name] if one.values is None else _place(one.values, values[name])
        for name, one in sweep.parameters.items()
    }
    if sweep.linked:
        made[_LINKED] = next(i for i, row in enumerate(sweep.linked) if all(values[n] == v for n, v in row.items()))
    return made


def _place(listed: Sequence[Any], value: Any) -> int:
    """The position of a value in a list; `true` is not 1."""
    return next(i for i, one in enumerate(listed) if isinstance(one, bool) == isinstance(value, bool) and one == value)


def _distribution(one: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if one.values is not None:
        return CategoricalDistribution(range(len(one.values)))
    assert one.min is not None and one.max is not None
    if one.kind == "int_uniform":
        return IntDistribution(int(one.min), int(one.max))
    return FloatDistribution(float(one.min), float(one.max), log=one.kind == "log_uniform_values", step=one.q)


def _name(values: Mapping[str, Any]) -> str:
    return repr(sorted(values.items()))


def importance(sweep: Sweep, found: Mapping[str, tuple[Mapping[str, Any], float]]) -> dict[str, float]:
    """The share of the differences between trials that each parameter explains (fANOVA; Hutter et al. 2014).

    `found`: settings and value of each trial. Empty if there are too few trials or settings, or all values are equal.
    """
    import optuna

    if len(found) < 4 or len({value for _, value in found.values()}) == 1 or len(sweep.names) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, within = optuna.create_study(direction="maximize"), space(sweep)
    for values, value in found.values():
        params = places(sweep, values)
        study.add_trial(optuna.trial.create_trial(params=params, distributions=within, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items()}
