"""Draws: what they depend on, and what they do not."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.models.base import resolve_model
from orchestrator.models.reference import ModelRef
from orchestrator.models.settings import ModelSpec
from orchestrator.recipe.recipe import load_recipe
from orchestrator.sampling.answering import draw_seed
from orchestrator.sampling.engine import Decoding, Request, Room
from orchestrator.sampling.shard import ShardJob, cut, run_shards
from orchestrator.sampling.transformers_engine import RowSampler, TransformersEngine
from orchestrator.types import Example
from tests.conftest import SMALL

BASE = ModelRef("base", resolve_model(ModelSpec(name="tiny")))


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine(BASE)


def requests(engine: TransformersEngine, texts: list[str], draws: int = 1) -> list[Request]:
    ids = [tuple(engine.tokenizer(text)["input_ids"]) for text in texts]
    return [Request(p, draw_seed(0, str(i), d)) for i, p in enumerate(ids) for d in range(draws)]


TEXTS = ["7 h to min: 1 h", "12 kg", "A mile is", "3 * 40 = ", "There are 60 seconds in a", "x", "5 km to m: 1 km = "]


def test_a_draw_does_not_depend_on_its_neighbours(engine: TransformersEngine) -> None:
    decoding = Decoding(temperature=1.0, top_p=1.0, max_tokens=24)
    asked = requests(engine, TEXTS, draws=4)
    together = engine.generate(asked, decoding)
    assert together == [engine.generate([r], decoding)[0] for r in asked]
    assert together[::-1] == engine.generate(asked[::-1], decoding)
    assert len({g.ids for g in together[:4]}) > 1, "the draws of one question are all alike"


def test_greedy_is_what_plain_transformers_generates(engine: TransformersEngine) -> None:
    model = AutoModelForCausalLM.from_pretrained(BASE.base.location, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(BASE.base.location)
    made = engine.generate(requests(engine, TEXTS), Decoding(0, 1, 16))
    for text, ours in zip(TEXTS, made, strict=True):
        inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        theirs = model.generate(**inputs, max_new_tokens=16, do_sample=False)[
            0, inputs["input_ids"].shape[1] :
        ].tolist()
        theirs = theirs[: theirs.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in theirs else theirs
        assert list(ours.ids) == theirs


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes"),
    ],
)
def test_what_memory_does_not_hold_is_completed_in_halves(error: RuntimeError, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, decoding = TransformersEngine(BASE), Decoding(1.0, 1.0, 8)
    asked = requests(engine, TEXTS, draws=2)
    whole = engine.generate(asked, decoding)
    generate, widths, room = engine.model.generate, [], 3

    def narrow(input_ids: torch.Tensor, **named: object) -> object:
        widths.append(len(input_ids))
        if len(input_ids) > room:
            raise error
        return generate(input_ids=input_ids, **named)

    monkeypatch.setattr(engine.model, "generate", narrow)
    assert engine.generate(asked, decoding) == whole
    assert widths == [14, 7, 3, 3, 3, 3, 2]
    widths.clear()
    assert engine.generate(asked, decoding) == whole and max(widths) == 3, "the next batch is no larger"
    room = 0
    with pytest.raises(RuntimeError) as raised:
        engine.generate(asked, decoding)
    assert raised.value is error, "if not even one row fits, it is an error"


def test_any_other_error_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TransformersEngine(BASE)

    def broken(**_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(engine.model, "generate", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        engine.generate(requests(engine, TEXTS), Decoding(1.0, 1.0, 8))


def test_length_and_stop_are_told_apart(engine: TransformersEngine) -> None:
    made = engine.generate(requests(engine, TEXTS), Decoding(0, 1, 3))
    assert all(len(g.ids) == 3 for g in made if g.finish_reason == "length")
    assert all(len(g.ids) < 3 for g in made if g.finish_reason == "stop")
    assert "length" in {g.finish_reason for g in made}


def test_a_stop_string_ends_a_completion_and_stays_in_it(engine: TransformersEngine) -> None:
    free, stops = Decoding(0, 1, 16), (" ", "m")
    asked = requests(engine, TEXTS)
    whole, made = engine.generate(asked, free), engine.generate(asked, Decoding(0, 1, 16, stops))
    assert made == [engine.generate([r], Decoding(0, 1, 16, stops))[0] for r in asked], "padding stays out"
    for longer, shorter in zip(whole, made, strict=True):
        text = engine.tokenizer.decode(shorter.ids)
        before = engine.tokenizer.decode(shorter.ids[:-1])
        assert longer.ids[: len(shorter.ids)] == shorter.ids
        assert not any(stop in before for stop in stops)
        if any(stop in text for stop in stops):
            assert shorter.finish_reason == "stop"
        else:
            assert shorter == longer
    assert any(len(shorter.ids) < len(longer.ids) for longer, shorter in zip(whole, made, strict=True))


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.6)])
def test_tokens_are_drawn_as_often_as_the_model_says(temperature: float, top_p: float) -> None:
    rows = 20_000
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, float("-inf")])
    wanted = torch.softmax(logits / temperature, -1)
    if top_p < 1:
        kept = (wanted.cumsum(-1) - wanted) < top_p  # the logits above are sorted
        wanted = wanted * kept / (wanted * kept).sum()
    sampler = RowSampler([draw_seed(1, str(i), 0) for i in range(rows)], Decoding(temperature, top_p, 4), 1)
    scores = sampler(torch.zeros(rows, 1, dtype=torch.long), logits.expand(rows, -1))
    drawn = torch.bincount(scores.argmax(-1), minlength=5) / rows
    assert drawn[4] == 0
    assert torch.allclose(drawn, wanted, atol=4 * float((0.25 / rows) ** 0.5))


def test_shards_are_the_same_in_any_order_and_never_made_twice(tmp_path: Path) -> None:
    task = load_recipe(SMALL).task
    shards = cut(task.examples("train")[:6], n=4, batch_size=8)
    decoding = Decoding(0.8, 1.0, 16)

    def shard(path: Path, examples: tuple[Example, ...], draws: range, seed: int) -> ShardJob:
        return ShardJob(path, BASE, "transformers", task, examples, draws, decoding, seed, Room())

    def make(folder: Path, order: list[int]) -> list[dict[str, object]]:
        folder.mkdir()
        for index in order:
            examples, draws = shards[index]
            run_shards([shard(folder / f"{index}.parquet", examples, draws, 0)])
        return [row for i in sorted(order) for row in pq.read_table(folder / f"{i}.parquet").to_pylist()]

    forwards, backwards = make(tmp_path / "a", [0, 1, 2]), make(tmp_path / "b", [2, 1, 0])
    assert forwards == backwards and len(forwards) == 24
    before = (tmp_path / "a" / "0.parquet").stat().st_mtime_ns
    examples, draws = shards[0]
    run_shards([shard(tmp_path / "a" / "0.parquet", examples, draws, 9)])
    assert (tmp_path / "a" / "0.parquet").stat().st_mtime_ns == before


def test_every_prompt_is_the_beginning_of_its_training_row() -> None:
    from orchestrator.stages.sft import Sft
    from orchestrator.training.sft import SftJob, tokenized

    task = load_recipe(SMALL).task
    tokenizer = AutoTokenizer.from_pretrained(BASE.base.location)
    examples = task.examples("demonstrations")
    pairs = tuple((e.question, task.target(e)) for e in examples)
    data = tokenized(SftJob(Path(), BASE, task.format, Sft(type="sft"), 0, 1, pairs), tokenizer)
    for example, row in zip(examples, data, strict=True):
        prompt = prompt_ids(tokenizer, task.format, example.question)
        target = target_ids(tokenizer, task.target(example))
        assert row["input_ids"] == prompt + target
        assert row["labels"] == [-100] * len(prompt) + target
        assert row["labels"][-1] == tokenizer.eos_token_id
        # splitting prompt and target loses no text
        assert tokenizer.decode(row["input_ids"][:-1]) == task.format.prompt_text(example.question) + task.target(
            example
        )


def test_a_row_that_is_too_long_is_refused_and_never_cut() -> None:
    from orchestrator.errors import StageError
    from orchestrator.stages.sft import Sft
    from orchestrator.training.sft import SftJob, tokenized

    task = load_recipe(SMALL).task
    tokenizer = AutoTokenizer.from_pretrained(BASE.base.location)
    job = SftJob(Path(), BASE, task.format, Sft(type="sft", max_length=20), 0, 1, (("How far?", "far " * 40),))
    with pytest.raises(StageError, match=r"row 1 has .* more than max_length = 20"):
        tokenized(job, tokenizer)
