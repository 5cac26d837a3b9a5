"""Shards: every draw is in exactly one of them, and is the same whichever process makes it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestrator.errors import DataError, StageError
from orchestrator.models.base import BaseModelRef
from orchestrator.models.reference import ModelRef
from orchestrator.sampling import shard
from orchestrator.sampling.answering import draw_seed
from orchestrator.sampling.completions import SCHEMA, shards, summary, summary_of, whole_questions, write, writing
from orchestrator.sampling.engine import Decoding, Engine, Generated, Request, Room
from orchestrator.sampling.shard import ShardJob, Stored, cut, run_shards
from orchestrator.stages.drawing import _whole
from orchestrator.tasks import TASKS
from orchestrator.types import Completion, Example, Verdict


def examples(n: int) -> list[Example]:
    return [Example(f"e{i}", f"{i}?", float(i)) for i in range(n)]


@pytest.mark.parametrize("questions", [1, 2, 7, 32])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 13])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 8, 16, 1000])
def test_every_draw_stands_in_exactly_one_shard(questions: int, n: int, batch_size: int) -> None:
    shards = cut(examples(questions), n, batch_size)
    rows = [(e.id, draw) for part, draws in shards for e in part for draw in draws]
    assert len(rows) == len(set(rows)) == questions * n
    assert set(rows) == {(f"e{i}", draw) for i in range(questions) for draw in range(n)}
    assert all(0 < len(part) * len(draws) <= batch_size for part, draws in shards)


def test_a_questions_draws_stay_together_where_they_fit() -> None:
    assert [(len(part), draws) for part, draws in cut(examples(5), 3, 7)] == [
        (2, range(3)),
        (2, range(3)),
        (1, range(3)),
    ]
    assert [(len(part), draws) for part, draws in cut(examples(2), 5, 2)] == [
        (1, range(0, 2)),
        (1, range(2, 4)),
        (1, range(4, 5)),
    ] * 2
    assert cut([], 3, 7) == []


@pytest.mark.parametrize("left", [b"", b"PAR1", b"PAR1 cut off"])
def test_a_shard_that_cannot_be_read_is_drawn_again(tmp_path: Path, left: bytes) -> None:
    whole, broken = tmp_path / "shard-000000.parquet", tmp_path / "shard-000001.parquet"
    write(whole, [(Completion("e", 0, "x", 1, "stop"), Verdict("wrong", "1"))])
    broken.write_bytes(left)
    assert _whole(whole) and not _whole(broken) and not _whole(tmp_path / "shard-000002.parquet")
    assert whole.exists() and not broken.exists()
    data = bytearray(whole.read_bytes())
    data[4:24] = bytes(20)  # a page, whose damage the footer does not show
    whole.write_bytes(data)
    assert _whole(whole), "only reading its rows shows it"
    with pytest.raises(DataError, match=r"shard-000000\.parquet is damaged and cannot be read: .*; it has been"):
        list(shards(tmp_path))
    assert not _whole(whole)


def test_seeds_are_distinct_and_of_64_bits() -> None:
    seeds = {draw_seed(s, f"e{e}", d) for s in range(3) for e in range(50) for d in range(20)}
    assert len(seeds) == 3000 and all(0 <= seed < 2**64 for seed in seeds)
    assert max(seeds) > 2**60
    assert draw_seed(1, "2", 3) != draw_seed(1, "3", 2) and draw_seed(1, "11", 1) != draw_seed(11, "1", 1)


def test_a_seed_is_the_same_in_every_process() -> None:
    # printf '0\\0000\\000e0' | sha256sum
    assert draw_seed(0, "e0", 0) == 0xEB8602DB0B34AD63
    code = "from orchestrator.sampling.answering import draw_seed; print(draw_seed(7, 'é', 3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == draw_seed(7, "é", 3)


class FakeTokenizer:
    """One token per character."""

    eos_token_id = -1

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(c) for c in text]}

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(chr(i) for i in ids)


class FakeEngine(Engine):
    """Answers with the number in the question; the last draw of a batch is cut off."""

    def __init__(self) -> None:
        self.tokenizer = FakeTokenizer()
        self.seen: list[Request] = []

    def generate(self, requests: list[Request], decoding: Decoding) -> list[Generated]:
        self.seen += requests
        texts = ["".join(chr(i) for i in r.prompt if chr(i).isdigit()) for r in requests]
        made = [Generated(tuple(ord(c) for c in f"<answer>{text}</answer>"), "stop") for text in texts]
        return [*made[:-1], Generated((ord("x"),), "length")]


def job(path: Path, draws: range = range(2)) -> ShardJob:
    task = TASKS["file"].model_validate({"type": "file", "test": {"file": "unused.json"}})
    model = ModelRef("base", BaseModelRef("fake", "fake", None, "0"))
    wrong = Example("e9", "8?", 9.0)
    return ShardJob(path, model, "fake", task, (*examples(2), wrong), draws, Decoding(1.0, 1.0, 8), 5, Room())


def test_a_shard_is_drawn_judged_and_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    monkeypatch.setattr(shard, "_engine", lambda *_: engine)
    made = job(tmp_path / "s.parquet", range(3, 5))
    run_shards([made])
    table = pq.read_table(tmp_path / "s.parquet")
    assert table.schema == SCHEMA
    rows = [(r["example_id"], r["draw"], r["status"], r["value"], r["finish_reason"]) for r in table.to_pylist()]
    assert rows == [
        ("e0", 3, "correct", "0", "stop"),
        ("e0", 4, "correct", "0", "stop"),
        ("e1", 3, "correct", "1", "stop"),
        ("e1", 4, "correct", "1", "stop"),
        ("e9", 3, "wrong", "8", "stop"),
        ("e9", 4, "truncated", None, "length"),
    ]
    assert [r.seed for r in engine.seen] == [draw_seed(5, e, d) for e in ("e0", "e1", "e9") for d in (3, 4)]
    assert "".join(chr(i) for i in engine.seen[0].prompt) == "0?\n"
    run_shards([made])
    assert len(engine.seen) == 6, "an existing shard is not made again"


def stored_draws(path: Path, each: int, before: int = 0) -> Stored:
    """Draws of the questions of `job`, each with its number as the answer; other questions come before them."""
    rows = [
        (Completion(e, draw, f"<answer>{draw}</answer>", 3, "stop"), Verdict("wrong", "?"))
        for e in (*(f"other{n}" for n in range(before)), "e0", "e1", "e9")
        for draw in range(each)
    ]
    write(path, rows)
    return Stored(path, before * each, each)


@pytest.mark.parametrize("before", [0, 5])
def test_stored_draws_are_judged_and_the_missing_ones_drawn(
    tmp_path: Path, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()
    monkeypatch.setattr(shard, "_engine", lambda *_: engine)
    stored = stored_draws(tmp_path / "stored.parquet", 3, before)
    run_shards([replace(job(tmp_path / "s.parquet", range(1, 5)), stored=stored)])
    rows = pq.read_table(tmp_path / "s.parquet").to_pylist()
    assert [(r["example_id"], r["draw"]) for r in rows] == [(e, d) for e in ("e0", "e1", "e9") for d in range(1, 5)]
    old = [(r["value"], r["status"], r["n_tokens"]) for r in rows if r["draw"] < 3]
    assert old == [
        ("1", "wrong", 3),
        ("2", "wrong", 3),
        ("1", "correct", 3),
        ("2", "wrong", 3),
        *[(v, "wrong", 3) for v in "12"],
    ]
    assert [r.seed for r in engine.seen] == [draw_seed(5, e, d) for e in ("e0", "e1", "e9") for d in (3, 4)]


def test_where_all_draws_are_stored_no_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*_: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(shard, "_engine", loaded)
    stored = stored_draws(tmp_path / "stored.parquet", 4)
    run_shards([replace(job(tmp_path / "s.parquet", draws), stored=stored) for draws in (range(2),)])
    rows = pq.read_table(tmp_path / "s.parquet").to_pylist()
    assert [r["value"] for r in rows] == ["0", "1"] * 3 and rows[0]["status"] == "correct"


def test_stored_draws_of_other_questions_are_refused(tmp_path: Path) -> None:
    stored = replace(stored_draws(tmp_path / "stored.parquet", 2, 1), first=0)
    with pytest.raises(StageError, match=r"does not have the draws of 'e0' where they should be"):
        run_shards([replace(job(tmp_path / "s.parquet"), stored=stored)])


def test_shards_of_an_engine_that_streams_are_written_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Streaming(FakeEngine):
        def stream(self, lots: Any, decoding: Decoding) -> Any:
            lots = [*lots]
            for path in (one.path for one, _ in lots):
                assert not path.exists()
            for lot, requests in lots[::-1]:
                yield lot, self.generate(requests, decoding)

    monkeypatch.setattr(shard, "_engine", lambda *_: Streaming())
    jobs = [job(tmp_path / f"{n}.parquet", range(n, n + 2)) for n in range(3)]
    run_shards(jobs)
    assert [pq.read_table(one.path)["draw"].to_pylist()[:2] for one in jobs] == [[0, 1], [1, 2], [2, 3]]


def test_a_shard_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", die)
    with pytest.raises(OSError):
        write(tmp_path / "s.parquet", [(Completion("e", 0, "x", 1, "stop"), Verdict("wrong", "1"))])
    assert not (tmp_path / "s.parquet").exists()


def test_any_text_can_be_stored(tmp_path: Path) -> None:
    texts = ["", "\ud800", "a\udc00b", "\U0001f600", "\0", "é\n"]
    rows = [(Completion("e", n, text, 1, "stop"), Verdict("wrong", text)) for n, text in enumerate(texts)]
    write(tmp_path / "s.parquet", rows)
    stored = pq.read_table(tmp_path / "s.parquet").to_pylist()
    expected = ["", "\ufffd", "a\ufffdb", "\U0001f600", "\0", "é\n"]
    assert [r["text"] for r in stored] == [r["value"] for r in stored] == expected
    assert [p.name for p in tmp_path.iterdir()] == ["s.parquet"], "no temporary file is left"


def judged(statuses: str, question: str = "e") -> list[tuple[Completion, Verdict]]:
    """Completions of one question: c is correct, w wrong, u unparsed; each of two tokens."""
    names: dict[str, Any] = {"c": "correct", "w": "wrong", "u": "unparsed"}
    return [(Completion(question, n, s, 2, "stop"), Verdict(names[s], s)) for n, s in enumerate(statuses)]


def test_the_summary_of_shards_is_that_of_all_their_rows(tmp_path: Path) -> None:
    for number, statuses in enumerate(("ccwu", "wu", "c")):
        write(tmp_path / f"shard-{number:06d}.parquet", judged(statuses, f"e{number}"))
    found = summary(whole_questions(shards(tmp_path), 2))
    assert (found.n, found.correct, found.answered, found.tokens) == (7, 3, 5, 14)
    low, high = found.interval
    assert found.metrics() == {
        "accuracy": 3 / 7,
        "accuracy_low": low,
        "accuracy_high": high,
        "answer_rate": 5 / 7,
        "n": 7,
        "tokens_per_completion": 2.0,
        "status/correct": 3,
        "status/unparsed": 2,
        "status/wrong": 2,
    }
    alone = summary_of(["correct"] * 3 + ["wrong"] * 2 + ["unparsed"] * 2)
    assert alone.interval == (low, high) and "tokens_per_completion" not in alone.metrics()
    wider = replace(alone, independent=3).interval
    assert wider[0] < low < high < wider[1], "seven draws of three questions carry less information"


def test_a_file_of_completions_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "output" / "completions.parquet"
    with pytest.raises(ValueError), writing(path, SCHEMA) as out:
        out.write_table(SCHEMA.empty_table())
        raise ValueError
    assert list(path.parent.iterdir()) == []
    with writing(path, SCHEMA):
        pass
    assert list(path.parent.iterdir()) == [path] and pq.read_table(path).schema == SCHEMA
