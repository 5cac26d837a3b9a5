"""Evaluations -> the comparison: each model's figures, and the differences from their baselines."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from orchestrator.comparison.answers import Answers, Evaluated, read_answers
from orchestrator.comparison.types import ComparedModel, Comparison, ModelDifference
from orchestrator.stats import (
    detectable_beside,
    holm,
    mcnemar,
    paired_bootstrap,
    paired_difference,
    rate_difference,
    rate_parts,
    seed_difference,
    seed_mean,
)


def compare_evaluated(
    on: str, evaluated: Sequence[Evaluated], baselines: Mapping[str, str], seeds_alone: Collection[str] = ()
) -> Comparison:
    """Compare models side by side.

    `baselines` maps each label to the one it is compared with; a label without a baseline is only shown. `seeds_alone`
    are the labels that differ from their baseline only in their seed.

    Raises:
        InputError: an evaluation cannot be read, or the models were evaluated on different questions.
    """
    answers = dict(zip((one.label for one in evaluated), read_answers(evaluated), strict=True))
    models = {one.label: _model(one, answers[one.label]) for one in evaluated}
    pairs = [(models[label], models[baseline]) for label, baseline in baselines.items() if label != baseline]
    tested_at = 1 - 0.05 / max(len(pairs), 1)  # the confidence that the smallest p must reach under Holm
    differences = [_difference(a, answers[a.label], b, answers[b.label], tested_at) for a, b in pairs]
    corrected = holm([d.p for d in differences])
    return Comparison(
        on,
        tuple(models.values()),
        tuple(
            replace(d, p_corrected=p, seeds_alone=d.label in seeds_alone)
            for d, p in zip(differences, corrected, strict=True)
        ),
    )


def _model(one: Evaluated, answers: Answers) -> ComparedModel:
    found = answers.summaries
    by_seed = [one.accuracy for one in found]
    tokens = [one.tokens_per_completion for one in found if one.tokens_per_completion is not None]
    if len(by_seed) > 1:
        mean = seed_mean(answers.right)
        accuracy, low, high, sd = mean.mean, mean.low, mean.high, mean.sd
    else:
        accuracy, sd = by_seed[0], None
        low, high = found[0].interval
    return ComparedModel(
        label=one.label,
        model=one.model,
        seeds=one.seeds,
        run_ids=one.run_ids,
        accuracy=accuracy,
        accuracy_low=low,
        accuracy_high=high,
        answer_rate=sum(one.answered for one in found) / sum(one.n for one in found),
        n=found[0].asked,
        answers_each=found[0].n // found[0].asked,
        by_seed=tuple(by_seed),
        seed_sd=sd,
        tokens_per_answer=sum(tokens) / len(tokens) if len(tokens) == len(found) else None,
        seconds=one.seconds,
        gpu_hours=one.gpu_hours,
    )


def _difference(
    a: ComparedModel, ours: Answers, b: ComparedModel, theirs: Answers, tested_at: float
) -> ModelDifference:
    """`a` against `b`; the caller corrects p. `tested_at` is the test's confidence, for the detectable difference."""
    mine, yours, n = ours.right.mean(axis=0), theirs.right.mean(axis=0), a.n
    wins, losses = int((mine > yours).sum()), int((mine < yours).sum())
    detectable: float | None
    if len(ours.right) == len(theirs.right) == 1 and (ours.drawn or theirs.drawn):
        drawn = rate_difference(mine, yours, tested_at=tested_at)
        difference, low, high, p, detectable = drawn.difference, drawn.low, drawn.high, drawn.p, drawn.detectable
    elif len(ours.right) == len(theirs.right) == 1:
        difference, low, high = paired_difference(wins, losses, n)
        p = mcnemar(wins, losses)
        detectable = detectable_beside(n, wins + losses, confidence=tested_at)
    else:
        fixed = any(not m.seeds for m in (a, b))
        found = seed_difference(ours.right, theirs.right, fixed, tested_at=tested_at)
        difference, low, high, p = found.difference, found.low, found.high, found.p
        detectable = found.detectable
    bootstrap = paired_bootstrap(mine, yours)
    parts = rate_parts(a.answer_rate, a.accuracy, b.answer_rate, b.accuracy)
    return ModelDifference(
        label=a.label,
        baseline=b.label,
        difference=difference,
        low=low,
        high=high,
        p=p,
        p_corrected=p,
        wins=wins,
        losses=losses,
        n=n,
        detectable=detectable,
        bootstrap_low=bootstrap.low,
        bootstrap_high=bootstrap.high,
        by_answering=None if parts is None else parts[0],
        by_being_right=None if parts is None else parts[1],
    )
