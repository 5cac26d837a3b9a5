"""Readers of held-out curves: overfitting, an accuracy that does not follow the loss, an outlying last point.

Each reader returns None if it sees nothing, or if there are too few points.
"""

import numpy as np

from orchestrator.health.curves.advice import anchored, answer_first, change, denser, joined, slower, until
from orchestrator.health.curves.loss import FAR, HIGH, LEAST, NOISE
from orchestrator.health.curves.reading import Reading, Training
from orchestrator.health.curves.series import Series
from orchestrator.types import Finding

LEAST_EVALUATIONS = 5
"""With fewer evaluations, a held-out curve is not read: five are in order by chance in 1 of 120 cases, four in 24."""

_TREND = 0.05
"""p below which a trend is believed if its size is tested, too."""
_FIRM = 0.01
"""p below which a trend is believed on its own."""
_WORSE = 0.1
"""An evaluation loss is worse if it rose by this share of its best value ..."""
_WORSE_NATS = 0.02
"""... and by this many nats per token: less makes no difference to the model's output."""
_POINTS = 0.05
"""Smallest difference in accuracy worth mentioning; on a few hundred questions, less is noise."""
_MEMORISED = 0.1
"""A training loss below this share of the evaluation loss comes from memorized rows ..."""
_WORSE_THEN = 0.03
"""... and then an evaluation loss that rose by this share rose for that reason."""
_FALLS = 0.2
"""A model whose loss falls by this share has learned something."""
_LITTLE = 0.1
"""An accuracy that never exceeded this is as good as zero."""
_STAYS = 0.03
"""An accuracy whose last evaluations are all within this of its first ones has not risen."""
_ALONE = 0.2
"""A last evaluation loss is an outlier if it is off by this share of the level before it; an accuracy, by ..."""
_ALONE_POINTS = 0.15
_CHANCE = 4.0
"""... and by this many standard deviations of the accuracy that the choice of questions causes."""
_BEFORE = 5
"""Number of evaluations before the last one that predict it."""
_REWARD = 0.05
"""Smallest rise of the mean reward that is not an accident of the sampled questions."""
_COLLAPSE = 0.5
"""A reward has collapsed if it lost this share of its best value."""
_COLLAPSE_LEAST = 0.15


def overfitting(training: Training) -> Reading | None:
    """The evaluation gets worse while the training loss keeps falling."""
    loss, evaluated, accuracy = training["loss"], training["eval_loss"], training["eval_accuracy"]
    if len(evaluated) < LEAST_EVALUATIONS:
        return None
    low = float(np.min(evaluated.values))
    by_heart = len(loss) >= LEAST and loss.level(3) < _MEMORISED * low
    at = turn(evaluated, _WORSE_THEN * low if by_heart else max(_WORSE_NATS, _WORSE * low))
    if at is None:
        return None
    step = int(evaluated.steps[at])
    course = _falls_on(loss, step, by_heart)
    if course is None:
        return None
    harmless = len(accuracy) >= LEAST_EVALUATIONS and accuracy.level(2) >= float(np.max(accuracy.values)) - _POINTS
    seen = f"evaluation loss {evaluated.values[at]:.3f} at step {step}, {evaluated.level(3):.3f} at the end; "
    seen += f"training loss {course[0]:.3f} at that step, {course[1]:.3f} at the end"
    if len(accuracy):
        seen += f"; held-out accuracy {np.max(accuracy.values):.3f} at best, {accuracy.values[-1]:.3f} at the end"
    cause = "the model memorizes the training rows: there are too few of them for this many steps"
    remedy = f"set {until(training.settings, training['epoch'], step)}, or train on more rows"
    if training.hands_on_best:
        cause += "; the selected model is the one from the best step"
    elif harmless:
        cause += "; answers are as good as before, but the model grows more confident in its mistakes"
    elif training.settings.get("validation"):
        remedy += f", or set {change(training.settings.below('validation'), 'select', 'best_accuracy')}"
    return Reading(
        Finding(
            "overfitting",
            "info" if harmless or training.hands_on_best else "warning",
            f"after step {step} the evaluation loss rises while the training loss keeps falling",
            seen,
            cause,
            remedy,
        ),
        "eval_loss",
        (step,),
    )


def alone(training: Training) -> Reading | None:
    """The last evaluation is far from what the earlier ones predict, and nothing else moved."""
    for name, least in (("eval_loss", 0.0), ("eval_accuracy", _ALONE_POINTS)):
        evaluated = training[name]
        expected = _expected(evaluated)
        if expected is None:
            continue
        low, high = expected
        last, before = float(evaluated.values[-1]), evaluated.part(0, -1)
        off = max(low - last, last - high)
        if name == "eval_accuracy":
            if last > high and before.level(3) <= _LITTLE:
                continue  # it starts to rise, and a rise from zero is steep: no earlier point can predict it
            least = max(least, _CHANCE * training.chance(before.level(3)))
        else:
            least = max(_ALONE * abs(before.level(3)), _WORSE_NATS)
        if off < max(least, 2 * NOISE * before.part(-_BEFORE).noise()) or _moved(training["loss"], evaluated):
            continue
        step = int(evaluated.steps[-1])
        return Reading(
            Finding(
                "last-evaluation-alone",
                "warning",
                f"the last {_plain(name)} is {last:.3f}, which no earlier evaluation supports",
                f"the {min(_BEFORE, len(before))} before it predict {low:.3f} to {high:.3f}; the training loss did not "
                f"move with it (step {step})",
                "a single evaluation may be off because of its questions or a single step, or the last one ran "
                "differently",
                f"do not choose a model by it; {denser(training.settings)}",
            ),
            name,
            (step,),
        )
    return None


def answers_not_learned(training: Training) -> Reading | None:
    """The loss falls, but the held-out accuracy does not follow."""
    accuracy, held_out = training["eval_accuracy"], training["eval_loss"]
    name = "eval_loss" if len(held_out) >= LEAST_EVALUATIONS else "loss"
    loss = training[name]
    if len(accuracy) < LEAST_EVALUATIONS or len(loss) < (LEAST_EVALUATIONS if name == "eval_loss" else LEAST):
        return None
    first, last = float(np.median(loss.values[:2])), loss.level(3)
    if last > HIGH or loss.falling() > _FIRM or first - last < max(_FALLS * first, NOISE * loss.noise()):
        return None
    third, best = max(2, len(accuracy) // 3), float(np.max(accuracy.values))
    begin, end = float(np.median(accuracy.values[:third])), accuracy.values[-third:]
    if best > FAR or (best > _LITTLE and float(np.max(end)) - begin > _STAYS):
        return None
    return Reading(
        Finding(
            "answers-not-learned",
            "warning",
            f"the {_plain(name)} falls from {first:.2f} to {last:.2f}, but held-out accuracy stays at {end[-1]:.3f}",
            f"accuracy {', '.join(f'{value:.3f}' for value in accuracy.values[-8:])} "
            f"at steps {accuracy.steps[-8:][0]} to {accuracy.steps[-1]}",
            "most tokens of a row are its reasoning: the loss mainly measures how that is worded, hardly the answer",
            f"set {answer_first(training.settings)}, and look at the model's completions with `orch ask`",
        ),
        "eval_accuracy",
        (int(accuracy.steps[0]), int(accuracy.steps[-1])),
    )


def reward_not_accuracy(training: Training) -> Reading | None:
    """GRPO's reward rises while held-out accuracy falls."""
    reward, accuracy = training["reward"], training["eval_accuracy"]
    if len(reward) < LEAST or reward.rising() > _FIRM or reward.change() < max(_REWARD, reward.noise()):
        return None
    error = training.chance(float(np.max(accuracy.values, initial=0.0)))
    at = turn(Series(accuracy.steps, -accuracy.values), max(_POINTS, _CHANCE * error))
    if at is None:
        return None
    step = int(accuracy.steps[at])
    after = reward.since(step)
    if len(after) < LEAST_EVALUATIONS or after.change() < -_REWARD:
        return None
    steps = [until(training.settings, training["epoch"], step)]
    held = anchored(training.settings)
    return Reading(
        Finding(
            "reward-not-accuracy",
            "warning",
            f"after step {step} held-out accuracy falls while the reward keeps rising",
            f"accuracy {accuracy.values[at]:.3f} at step {step}, {accuracy.level(3):.3f} at the end; reward "
            f"{reward.values[:3].mean():.3f} at the start, {reward.level(3):.3f} at the end",
            "the policy learns what is rewarded on its training questions, not how to solve others: there are too few "
            "questions, or it has moved too far from its start model",
            f"set {joined([*steps, held] if held else steps)}, or train on more questions",
        ),
        "eval_accuracy",
        (step,),
    )


def reward_collapsed(training: Training) -> Reading | None:
    """GRPO's reward had risen, but is lost again."""
    reward = training["reward"]
    if len(reward) < LEAST:
        return None
    smooth = reward.smooth(max(3, len(reward) // 10 | 1))
    at = int(np.argmax(smooth))
    best, end = float(smooth[at]), reward.level(max(3, len(reward) // 10))
    if best - end < max(_COLLAPSE * best, _COLLAPSE_LEAST, NOISE * reward.noise()):
        return None
    parts = [slower(training.settings, 3)]
    held = anchored(training.settings)
    step = int(reward.steps[at])
    return Reading(
        Finding(
            "reward-collapsed",
            "warning" if training.hands_on_best else "error",
            f"the reward fell from {best:.2f} at step {step} to {end:.2f} at the end",
            f"{len(reward)} points, noise {reward.noise():.3f}",
            "steps that are too large moved the policy out of the region where it could answer",
            f"set {joined([*parts, held] if held else parts)}",
        ),
        "reward",
        (step,),
    )


def turn(evaluated: Series, least: float) -> int | None:
    """Index of the lowest point after which a curve rises by `least` or more, beyond its noise; None if it does not."""
    if len(evaluated) < LEAST_EVALUATIONS:
        return None
    at = int(np.argmin(evaluated.smooth(3)))
    after = evaluated.part(at)
    if len(after) < 4 or after.rising() > _TREND:
        return None
    rise = after.level(3) - float(np.min(evaluated.smooth(3)))
    return at if rise >= max(least, NOISE * evaluated.noise()) else None


def _falls_on(loss: Series, step: int, by_heart: bool) -> tuple[float, float] | None:
    """The training loss at a step and at the end, if it fell, or did not rise and (`by_heart`) cannot fall further."""
    after = loss.since(step)
    if len(loss) < LEAST or len(after) < 3:
        return None
    then, end = float(np.median(after.values[:3])), loss.level(3)
    if end > then + loss.noise():
        return None
    return (then, end) if by_heart or after.falling() < _TREND else None


def _expected(evaluated: Series) -> tuple[float, float] | None:
    """The range in which the last point should be, judging by the earlier ones; None if there are too few of them.

    The curve may follow their line, stay where the last three were, or move on as the last two did: a steep rise is
    short.
    """
    if len(evaluated) <= LEAST_EVALUATIONS:
        return None
    from scipy.stats import theilslopes

    before = evaluated.part(-1 - _BEFORE, -1)
    slope, intercept, _, _ = theilslopes(before.values, before.steps)
    steps, values = evaluated.steps[-3:], before.values[-2:]
    on = values[1] + (values[1] - values[0]) * (steps[2] - steps[1]) / (steps[1] - steps[0])
    led = (*before.values[-3:], intercept + slope * steps[2], on)
    return float(min(led)), float(max(led))


def _moved(loss: Series, evaluated: Series) -> bool:
    """Whether the training loss left its own course between the last two evaluations."""
    now = loss.since(int(evaluated.steps[-2]) + 1)
    before = loss.until(int(evaluated.steps[-2]))
    if not len(now) or len(before) < 3:
        return False
    off = abs(float(np.median(now.values)) - before.level(3))
    return off > max(_ALONE * abs(before.level(3)), NOISE * loss.noise())


def _plain(name: str) -> str:
    return {"eval_loss": "evaluation loss", "eval_accuracy": "held-out accuracy", "loss": "training loss"}[name]
