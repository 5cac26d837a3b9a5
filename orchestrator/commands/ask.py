"""`ask` as a function: put one question to any model of any run, and show every step from question to answer."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.types import Example, FinishReason


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and the model's answer."""

    run_id: str
    model: str
    question: str
    prompt: str
    """The model's exact input, including special tokens."""
    text: str
    """The model's exact output."""
    n_tokens: int
    finish_reason: FinishReason
    value: str | None
    """The parsed answer; None if none was found."""
    notes: tuple[str, ...] = ()
    """What to know about the parsed answer."""

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        return asdict(self)


def ask(
    run: str | None, question: str, model: str | None = None, max_tokens: int | None = None, *, trust: bool = False
) -> Asked:
    """Ask a model of a run a question, with greedy decoding; the last model unless `model` or the id names one.

    The user's own task code is not needed, unless it defines its own verdict. `trust` runs whatever code the run's
    recipe names.

    Raises:
        InputError: no such run or model, or no question.
        UntrustedCode: the model ships its own code.
    """
    from orchestrator.errors import InputError
    from orchestrator.recipe.stored_task import StoredTask
    from orchestrator.runs.past import past_run

    if not question.strip():
        raise InputError("the question is empty: write it after the run")
    past, named = past_run(run, trust)
    name = model or named or past.models()[-1]
    ref = past.model(name, unchanged=True)
    from orchestrator.answers.tokens import prompt_ids  # loads torch: only after the checks above
    from orchestrator.sampling.answering import answer
    from orchestrator.sampling.engine import Decoding
    from orchestrator.sampling.transformers_engine import TransformersEngine

    engine = TransformersEngine(ref)
    task, evaluate = past.recipe.task, past.recipe.evaluate
    notes: Sequence[str] = ()
    if isinstance(task, StoredTask):
        task, notes = task.judging_task()
    decoding = Decoding(0.0, 1.0, max_tokens or evaluate.max_tokens, task.format.stop)
    # any gold answer will do: parsing does not depend on it
    ((completion, verdict),) = answer(engine, task, [Example("asked", question, "0")], range(1), decoding, 0)
    prompt = engine.tokenizer.decode(prompt_ids(engine.tokenizer, task.format, question))
    return Asked(
        past.run_id,
        name,
        question,
        prompt,
        completion.text,
        completion.n_tokens,
        completion.finish_reason,
        verdict.value,
        tuple(notes),
    )
