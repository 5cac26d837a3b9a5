"""Two invariants of every training row, in the check and the collator: labels match tokens, rows match inference."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.answers.formats import TagsFormat
from orchestrator.answers.tokens import Ids, TargetTokens, prompt_ids, target_ids
from orchestrator.errors import StageError
from orchestrator.health.rows import rows_findings
from orchestrator.models.loading import load_tokenizer
from orchestrator.models.reference import ModelRef
from orchestrator.plan.plan import Plan, compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.stages.sft import Sft
from orchestrator.training import sft as sft_module
from orchestrator.training.invariants import ROW, Source, parts_at, wrong_label
from orchestrator.training.sft import SftJob, collator, run_sft
from orchestrator.training.weighted import WEIGHTS
from tests.conftest import SMALL

PAIRS = (("How many legs has a spider?", "<answer>8</answer>"), ("3 km in m?", "3 * 1000 <answer>3000</answer>"))


@pytest.fixture(scope="module")
def made() -> Plan:
    return compile_plan(load_recipe(SMALL))


@pytest.fixture(scope="module")
def tokenizer(made: Plan) -> Any:
    return load_tokenizer(made.base)


def row(tokenizer: Any, number: int) -> dict[str, Any]:
    prompt, target = prompt_ids(tokenizer, TagsFormat(), PAIRS[number][0]), target_ids(tokenizer, PAIRS[number][1])
    ids, labels = prompt + target, [-100] * len(prompt) + target
    return {"input_ids": ids, "labels": labels, ROW: number, WEIGHTS: [1.0] * len(ids)}


def shifted(row: dict[str, Any], by: int) -> dict[str, Any]:
    labels = row["labels"]
    return row | {"labels": labels[by:] + [-100] * by if by > 0 else [-100] * -by + labels[:by]}


def other_label(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"labels": [*row["labels"][:-3], 77, *row["labels"][-2:]]}


def without(row: dict[str, Any], place: int) -> dict[str, Any]:
    kept = [i for i in range(len(row["input_ids"])) if i != place % len(row["input_ids"])]
    return {name: [row[name][i] for i in kept] for name in ("input_ids", "labels", WEIGHTS)} | {ROW: row[ROW]}


def doubled(row: dict[str, Any]) -> dict[str, Any]:
    return {name: [row[name][0], *row[name]] for name in ("input_ids", "labels", WEIGHTS)} | {ROW: row[ROW]}


LABELS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "shifted to the left": lambda row: shifted(row, 1),
    "shifted to the right": lambda row: shifted(row, -1),
    "one is another token": other_label,
    "padding by its id": lambda row: row | {"labels": [1 if label == -100 else label for label in row["labels"]]},
}
ROWS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "no end": lambda row: without(row, -1),
    "the first token is missing": lambda row: without(row, 0),
    "the first token stands twice": doubled,
    "a token of the target is missing": lambda row: without(row, -4),
    "the row of another pair": lambda row: row | {ROW: 1 - row[ROW]},
}


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("spoil", [*LABELS.values(), *ROWS.values()], ids=[*LABELS, *ROWS])
def test_no_spoilt_row_goes_into_a_batch(
    spoil: Callable[[dict[str, Any]], dict[str, Any]], weighted: bool, tokenizer: Any
) -> None:
    put_together = collator(tokenizer, weighted, None, Source(tokenizer, TagsFormat(), PAIRS))
    rows = [row(tokenizer, 0), row(tokenizer, 1)]
    once, again = put_together(rows), put_together(rows)
    assert once.keys() == again.keys() and ROW not in once
    with pytest.raises(StageError, match=r"training row [12] ") as caught:
        put_together([rows[0], spoil(rows[1])])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spoil", LABELS.values(), ids=LABELS.keys())
def test_labels_are_looked_at_in_batches_of_any_origin(
    spoil: Callable[[dict[str, Any]], dict[str, Any]], tokenizer: Any
) -> None:
    with pytest.raises(StageError, match="row 2 of a batch: the label at position"):
        collator(tokenizer)([row(tokenizer, 0), spoil(row(tokenizer, 1))])


def test_labels_may_be_masked_and_the_prompt_may_be_trained(tokenizer: Any) -> None:
    put_together = collator(tokenizer, source=Source(tokenizer, TagsFormat(), PAIRS))
    whole = row(tokenizer, 0)
    put_together([whole | {"labels": whole["input_ids"]}, whole | {"labels": [-100] * len(whole["labels"])}])


def test_places_are_found() -> None:
    assert wrong_label([5, 6, 7], [-100, 6, 7]) is None and wrong_label([5, 6, 7], [-100, 7, -100]) == 1
    assert wrong_label([5, 6], [5]) == 1 and wrong_label([], []) is None
    assert parts_at([5, 6], [5, 6]) is None and parts_at([5, 6], [5, 7]) == 1
    assert parts_at([5], [5, 6]) == 1 and parts_at([5, 6], [5]) == 1


# --- a training, and its check


def spoil_rows(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[dict[str, Any]], dict[str, Any]], place: int) -> None:
    """Make the rows from this one on wrong."""
    sound = sft_module.tokenized

    def spoilt(job: Any, tokenizer: Any) -> Any:
        def one(row: dict[str, Any], number: int) -> dict[str, Any]:
            if number < place:
                return row
            made = spoil(row | {ROW: 0, WEIGHTS: row["labels"]})
            return {name: made[name] for name in ("input_ids", "labels")}

        return sound(job, tokenizer).map(one, with_indices=True)

    monkeypatch.setattr(sft_module, "tokenized", spoilt)
    monkeypatch.setattr("orchestrator.health.rows.tokenized", spoilt)


def job(made: Plan, work: Path) -> SftJob:
    spec = Sft(type="sft", max_steps=2, per_device_train_batch_size=4)
    task = made.recipe.task
    pairs = tuple((e.question, task.target(e)) for e in task.examples("demonstrations")[:8])
    return SftJob(work, ModelRef("base", made.base), task.format, spec, 0, 1, pairs)


def test_a_training_ends_at_the_first_row_that_is_spoilt(
    made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sft(job(made, tmp_path / "sound"))
    assert (tmp_path / "sound" / "model" / "adapter_model.safetensors").is_file()
    spoil_rows(monkeypatch, lambda row: shifted(row, 1), 6)
    with pytest.raises(StageError, match=r"training row [78] \(.*a label is the token itself or -100"):
        run_sft(job(made, tmp_path / "spoilt"))
    assert not (tmp_path / "spoilt" / "model").exists()


NAMES = {
    "shifted to the left": "label-not-token",
    "shifted to the right": "label-not-token",
    "one is another token": "label-not-token",
    "padding by its id": "label-not-token",
    "no end": "end-not-trained",
    "the first token is missing": "prompts-differ",
    "the first token stands twice": "prompts-differ",
    "a token of the target is missing": "tokenizer-loses-text",
}


@pytest.mark.parametrize("fault", NAMES)
def test_the_check_names_what_the_collator_would_refuse(
    fault: str, made: Plan, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_rows(monkeypatch, (LABELS | ROWS)[fault], 100)
    found, views = rows_findings(made, made.stage("sft"), tokenizer)
    assert [(f.check, f.severity) for f in found] == [(NAMES[fault], "error")] and len(views) == 2
    assert "20 of 120 rows" in found[0].what


def test_labels_that_are_shifted_are_called_so(made: Plan, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_rows(monkeypatch, lambda row: shifted(row, 1), 0)
    ((found,), _) = rows_findings(made, made.stage("sft"), tokenizer)
    assert "120 of 120 rows" in found.what and "shifted by one place" in found.cause


def test_a_target_in_other_tokens_is_not_what_the_model_writes(
    made: Plan, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ByCharacter(TargetTokens):
        def ids(self, targets: Sequence[str]) -> list[Ids]:
            each = ([i for c in t for i in tokenizer(c, add_special_tokens=False)["input_ids"]] for t in targets)
            return [np.array([*ids, tokenizer.eos_token_id], np.int32) for ids in each]

    monkeypatch.setattr(sft_module, "TargetTokens", ByCharacter)
    found, _ = rows_findings(made, made.stage("sft"), tokenizer)
    assert [f.check for f in found] == ["targets-differ"] and "120 of 120 rows" in found[0].what
