"""Rows of a fine-tuning: read in batches, in the order of their sources, and kept on disk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.answers.formats import TagsFormat
from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.errors import DataError, StageError
from orchestrator.models.base import resolve_model
from orchestrator.models.loading import load_tokenizer
from orchestrator.models.reference import ModelRef
from orchestrator.models.settings import ModelSpec
from orchestrator.stages.sft import Sft
from orchestrator.training.rows import Pair, Pairs, Rows, batches
from orchestrator.training.sft import SftJob, tokenized
from orchestrator.training.weighted import WEIGHTS

DEMONSTRATIONS: list[Pair] = [(f"demonstration {n}?", f"{n} <answer>{n}</answer>") for n in range(5)]
CHOSEN: list[Pair] = [(f"chosen {n // 3}?", f"{'so ' * n}<answer>{n}</answer>") for n in range(11)]


def stored(path: Path, pairs: list[Pair]) -> Path:
    """A file as `select` writes it, with several row groups."""
    questions, texts = zip(*pairs, strict=True)
    table = pa.table({"draw": list(range(len(pairs))), "text": texts, "question": questions})
    pq.write_table(table, path, row_group_size=4)
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Demonstrations, a file, and more demonstrations."""
    return (*DEMONSTRATIONS[:3], stored(tmp_path / "chosen.parquet", CHOSEN), *DEMONSTRATIONS[3:])


ALL = [*DEMONSTRATIONS[:3], *CHOSEN, *DEMONSTRATIONS[3:]]


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_batches_hold_all_pairs_in_order(rows: Rows, at_once: int) -> None:
    made = list(batches(rows, at_once))
    assert max(batch.num_rows for batch in made) <= at_once
    assert [(r["question"], r["target"]) for batch in made for r in batch.to_pylist()] == ALL


def test_pairs_are_found_by_their_number(rows: Rows, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    pairs = Pairs(rows, folder)
    assert list(pairs) == ALL and pairs[-1] == ALL[-1] and pairs[2:5] == ALL[2:5]
    assert list(folder.iterdir()) == [], "the file is unnamed"


def job(rows: Rows, work: Path, **settings: Any) -> SftJob:
    base = ModelRef("base", resolve_model(ModelSpec(name="tiny")))
    return SftJob(work, base, TagsFormat(), Sft(type="sft", **settings), 0, 1, rows)


@pytest.mark.parametrize("weight", [1, 3])
def test_rows_of_a_file_are_those_of_its_pairs(rows: Rows, tmp_path: Path, weight: int) -> None:
    wanted = job(rows, tmp_path / "work", answer_weight=weight)
    tokenizer = load_tokenizer(wanted.model.base)
    made = tokenized(wanted, tokenizer)
    assert made.to_list() == tokenized(replace(wanted, rows=tuple(ALL)), tokenizer).to_list()
    for (question, target), row in zip(ALL, made, strict=True):
        prompt, answer = prompt_ids(tokenizer, TagsFormat(), question), target_ids(tokenizer, target)
        assert row["input_ids"] == prompt + answer and row["labels"] == [-100] * len(prompt) + answer
        assert weight == 1 or len(row[WEIGHTS]) == len(row["labels"])
    assert list((tmp_path / "work").iterdir()) == []


def test_a_row_that_is_too_long_is_named_by_its_number(tmp_path: Path) -> None:
    long = [*CHOSEN, ("How far?", "far " * 60)]
    wanted = job((*DEMONSTRATIONS, stored(tmp_path / "chosen.parquet", long)), tmp_path / "work", max_length=60)
    with pytest.raises(StageError, match=r"training row 17 has .* tokens, more than max_length = 60: .*'How far\?'"):
        tokenized(wanted, load_tokenizer(wanted.model.base))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "chosen.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"chosen\.parquet is damaged"):
        list(batches((tmp_path / "chosen.parquet",)))
