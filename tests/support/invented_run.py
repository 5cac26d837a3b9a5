"""An invented run for the tests of its page: models with arbitrary answers, text of any kind."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.comparison import Evaluated, compare_evaluated
from orchestrator.health.curves.reading import Reading, StageCurves
from orchestrator.report.facts import (
    About,
    Answered,
    Asked,
    RunFacts,
    Sampling,
    SeedFacts,
    SeedsFacts,
    Selected,
    StageFacts,
    Training,
)
from orchestrator.types import Finding

LETTERS = {"c": "correct", "w": "wrong", "u": "unparsed", "t": "truncated"}
RECIPE: dict[str, Any] = {
    "name": "invented",
    "seed": 0,
    "task": {"type": "units"},
    "model": {"name": "tiny"},
    "stages": {
        "sft": {"type": "sft", "data": ["demonstrations"]},
        "samples": {"type": "sample", "model": "sft", "prompts": "train", "n": 4, "temperature": 0.8},
        "chosen": {"type": "select", "from": "samples"},
        "rft": {"type": "sft", "data": ["demonstrations", "chosen"]},
    },
    "evaluate": {"models": ["base", "sft", "rft"], "on": "test"},
}
ANSWERS = {"base": "uuuuuuuu", "sft": "ccwwcwut", "rft": "cccwwccw"}
"""Each model's verdicts, one letter per question."""


def invented(folder: Path, answers: Mapping[str, str] | None = None, text: str = "some text", **more: Any) -> RunFacts:
    """A run whose models answered like this; `text` is used wherever a user's or a model's text can appear."""
    answers = ANSWERS if answers is None else answers
    asked = asked_of(answers, text)
    evaluated = [_evaluated(folder, model, asked) for model in answers]
    against = {model: "sft" for model in answers if model != "sft" and "sft" in answers}
    comparison = compare_evaluated("test", evaluated, against)
    points = {"loss": [(5, 2.0), (10, 1.0), (15, 0.4)], "eval_accuracy": [(10, 0.5), (15, 0.6)]}
    finding = Finding("too-short", "warning", text, text, text, text)
    stages = ("base", *RECIPE["stages"])
    facts: dict[str, Any] = {
        "run_id": "f" * 32,
        "experiment": text,
        "status": "FINISHED",
        "error": None,
        "started": 0.0,
        "recipe": RECIPE,
        "recipe_text": f"name: {text}",
        "versions": {"python": "3.11", "torch": text},
        "commit": text,
        "comparison": comparison,
        "also": (),
        "statuses": {m: Counter(one.answers[m].status for one in asked) for m in answers},
        "asked": asked,
        "trainings": (
            Training(
                StageCurves("sft", "sft", points, (Reading(finding, "loss", (15,)),), 10), text, (("rows", text),)
            ),
        ),
        "samplings": (
            Sampling(
                "samples",
                "sft",
                4,
                0.8,
                {f"t{i}": i % 5 for i in range(20)},
                {"correct": 40, "wrong": 40},
                0.55,
                (Selected("chosen", 12, 9),),
            ),
        ),
        "expected": {one.example_id: place / 10 for place, one in enumerate(asked)},
        "stages": tuple(StageFacts(n, "sft", "FINISHED", n == "rft", 1.5, "k" * 32, "r" * 32) for n in stages),
        "findings": (finding,),
    }
    return RunFacts(**facts | more)


def asked_of(answers: Mapping[str, str], text: str = "some text") -> list[Asked]:
    """The questions of models that answered like this."""
    return [
        Asked(
            f"id-{place}",
            f"question {place} {text}",
            f"gold {text}",
            {
                model: Answered(
                    f"{model} wrote {text}", None if letters[place] in "ut" else text, LETTERS[letters[place]]
                )
                for model, letters in answers.items()
            },
        )
        for place in range(len(next(iter(answers.values()))))
    ]


def _evaluated(folder: Path, model: str, asked: Sequence[Asked]) -> Evaluated:
    file = folder / f"{model}.parquet"
    columns = {
        "example_id": [one.example_id for one in asked],
        "question": [one.example_id for one in asked],
        "gold": ["1"] * len(asked),
        "status": [one.answers[model].status for one in asked],
        "n_tokens": [5] * len(asked),
    }
    pq.write_table(pa.table(columns), file)
    return Evaluated(model, model, () if model == "base" else (0,), ("r" * 32,), (file,))


def invented_seeds(folder: Path, text: str = "some text") -> SeedsFacts:
    """A run of seeds 0 and 1, in which the base model gets nothing right, and sft more than rft."""
    letters = {"base": ["uuuu"], "sft": ["ccww", "cccc"], "rft": ["cwww", "cccw"]}
    evaluated = []
    for model, seeds in letters.items():
        files = []
        for seed, one in enumerate(seeds):
            (folder / str(seed)).mkdir(exist_ok=True)
            files += _evaluated(folder / str(seed), model, asked_of({model: one})).files
        several = (0, 1) if len(seeds) > 1 else ()
        evaluated.append(Evaluated(model, model, several, ("r" * 32,) * len(seeds), tuple(files)))
    plain = invented(folder, text=text)
    about = {field.name: getattr(plain, field.name) for field in fields(About)}
    about |= {"comparison": compare_evaluated("test", evaluated, {"rft": "sft", "base": "sft"})}
    seeds_of = (
        SeedFacts(0, "0" * 32, "FINISHED", {"sft": 0.5, "rft": 0.25}, True),
        SeedFacts(1, "1" * 32, "FAILED", {"sft": 1.0, "rft": 0.75}, False),
    )
    return SeedsFacts(**about, seeds=seeds_of, steady={"sft": [0, 2, 2], "rft": [1, 2, 1]})
