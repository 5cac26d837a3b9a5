"""The guarantees of every engine, on the embedded model; vllm only if it is installed."""

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from orchestrator.answers.tokens import prompt_ids
from orchestrator.models.base import resolve_model
from orchestrator.models.loading import load_base, load_tokenizer
from orchestrator.models.reference import ModelRef
from orchestrator.models.settings import ModelSpec
from orchestrator.recipe.recipe import load_recipe
from orchestrator.sampling.answering import draw_seed
from orchestrator.sampling.engine import NO_ROOM, Decoding, Engine, Generated, Request, Room
from orchestrator.sampling.engines import make_engine
from tests.conftest import SMALL

# vllm compiles one of its functions in a way that torch is deprecating
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")

BASE = ModelRef("base", resolve_model(ModelSpec(name="tiny")))
ROOM = Room(cpus=2)
GREEDY, DRAWN = Decoding(0.0, 1.0, 24), Decoding(1.0, 1.0, 24)
HOLDS = 512
"""The context length of the embedded model, in tokens."""
AGREE = {"transformers": 1.0, "vllm": 0.98}
"""The minimum share of greedy answers equal to those of plain transformers: vllm sums in another order, and of two
equally likely tokens it may choose the other one."""


@pytest.fixture(
    scope="module",
    params=[
        "transformers",
        pytest.param("vllm", marks=pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed")),
    ],
)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(name: str) -> Iterator[Engine]:
    yield make_engine(name, BASE, ROOM)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """An adapter of rank 6 that changes the model's answers."""
    return adapter_of(0, tmp_path_factory)


@pytest.fixture(scope="module")
def namesake(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """Another adapter with the same name, as those of two seeds have."""
    return adapter_of(1, tmp_path_factory)


def adapter_of(seed: int, tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    torch.manual_seed(seed)
    model = get_peft_model(load_base(BASE.base), LoraConfig(r=6, lora_alpha=48, target_modules=["q_proj", "v_proj"]))
    for key, weight in model.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(weight, std=0.05)
    folder = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(folder)
    return ModelRef("adapted", BASE.base, str(folder))


@pytest.fixture(scope="module")
def asked() -> list[Request]:
    """Two hundred prompts, each as a recipe formats it."""
    task = load_recipe(SMALL, ["task.train={generate: 200}"]).task
    tokenizer = load_tokenizer(BASE.base)
    examples = task.examples("train")
    return [Request(tuple(prompt_ids(tokenizer, task.format, e.question)), draw_seed(0, e.id, 0)) for e in examples]


def plain(requests: list[Request], adapter: str | None = None) -> list[tuple[int, ...]]:
    """The greedy answers of transformers itself, one prompt at a time."""
    model, tokenizer = load_base(BASE.base), load_tokenizer(BASE.base)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    found = []
    for one in requests:
        ids = torch.tensor([one.prompt])
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=GREEDY.max_tokens,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )[0, len(one.prompt) :].tolist()
        found.append(tuple(made[: made.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in made else made))
    return found


def agreement(made: list[Generated], wanted: list[tuple[int, ...]]) -> float:
    return sum(one.ids == two for one, two in zip(made, wanted, strict=True)) / len(wanted)


def test_greedy_answers_are_those_of_plain_transformers(name: str, engine: Engine, asked: list[Request]) -> None:
    assert agreement(engine.generate(asked, GREEDY), plain(asked)) >= AGREE[name]


def test_each_request_gets_its_own_answer_in_order(name: str, engine: Engine, asked: list[Request]) -> None:
    made = engine.generate(asked[:40], GREEDY)
    assert len({one.ids for one in made}) > 20
    backwards = engine.generate(asked[:40][::-1], GREEDY)[::-1]
    assert agreement(backwards, [one.ids for one in made]) >= AGREE[name]


def test_nothing_is_asked(engine: Engine) -> None:
    assert engine.generate([], DRAWN) == []


def test_neighbours_differ_and_a_seed_repeats(engine: Engine, asked: list[Request]) -> None:
    same_prompt = [Request(asked[0].prompt, draw_seed(0, "q", draw)) for draw in range(16)]
    hot = Decoding(2.0, 1.0, 24)
    made = engine.generate(same_prompt, hot)
    assert len({one.ids for one in made}) > 12
    assert engine.generate(same_prompt, hot) == made
    assert engine.generate([same_prompt[3]] * 2, hot) == [made[3]] * 2


def test_completions_end_at_their_length_or_at_the_end_of_the_text(engine: Engine, asked: list[Request]) -> None:
    made = engine.generate(asked[:40], Decoding(1.0, 1.0, 5))
    ends = engine.tokenizer.all_special_ids
    assert {one.finish_reason for one in engine.generate(asked, DRAWN)} == {"length", "stop"}
    for one in made:
        assert not set(one.ids) & set(ends)
        assert len(one.ids) == 5 if one.finish_reason == "length" else len(one.ids) < 5


def test_a_stop_text_ends_a_completion_and_stays_in_it(name: str, engine: Engine, asked: list[Request]) -> None:
    stops = (" ", "m")
    whole = engine.generate(asked[:40], GREEDY)
    made = engine.generate(asked[:40], Decoding(0.0, 1.0, 24, stops))
    cut = 0
    for longer, shorter in zip(whole, made, strict=True):
        text, before = engine.tokenizer.decode(shorter.ids), engine.tokenizer.decode(shorter.ids[:-1])
        assert not any(stop in before for stop in stops)
        if any(stop in text for stop in stops):
            assert shorter.finish_reason == "stop"
            cut += len(shorter.ids) < len(longer.ids)
        else:
            assert shorter.finish_reason == longer.finish_reason
    prefixes = [longer.ids[: len(shorter.ids)] for longer, shorter in zip(whole, made, strict=True)]
    assert cut > 20 and agreement(made, prefixes) >= AGREE[name]


def test_a_prompt_without_room_is_told_and_all_others_are_answered(engine: Engine, asked: list[Request]) -> None:
    full, almost = Request((5,) * HOLDS, 1), Request((5,) * (HOLDS - 3), 1)
    alone = engine.generate(asked[:3], GREEDY)
    made = engine.generate([full, *asked[:2], almost, asked[2]], Decoding(0.0, 1.0, 24))
    assert made[0] == NO_ROOM and [*made[1:3], made[4]] == alone
    assert len(made[3].ids) <= 3 and (made[3].finish_reason == "length") == (len(made[3].ids) == 3)


def test_lots_come_back_whole(name: str, engine: Engine, asked: list[Request]) -> None:
    lots = {"a": asked[:30], "none": [], "b": asked[30:50], "too long": [Request((5,) * HOLDS, 1)], "c": asked[50:90]}
    made = dict(engine.stream(lots.items(), GREEDY))
    assert made.keys() == lots.keys() and made["none"] == [] and made["too long"] == [NO_ROOM]
    together = engine.generate(asked[:90], GREEDY)
    assert agreement(made["a"] + made["b"] + made["c"], [one.ids for one in together]) >= AGREE[name]


def test_an_adapter_is_applied_and_not_applied(
    name: str, engine: Engine, adapter: ModelRef, namesake: ModelRef, asked: list[Request]
) -> None:
    asked = asked[:60]
    bare, wanted = plain(asked), plain(asked, adapter.adapter)
    assert sum(one != two for one, two in zip(bare, wanted, strict=True)) > 20, "it changes something"
    adapted = make_engine(name, adapter, ROOM)
    assert agreement(adapted.generate(asked, GREEDY), wanted) >= 0.95  # transformers merges it into the weights
    assert adapted.turned_to(adapter)
    if adapted.turned_to(BASE):
        assert agreement(adapted.generate(asked, GREEDY), bare) >= AGREE[name]
        assert adapted.turned_to(adapter)
        assert agreement(adapted.generate(asked, GREEDY), wanted) >= 0.95
    # prompts of several blocks, which an engine may cache
    long = [replace(one, prompt=(one.prompt * 32)[:280]) for one in asked[:20]]
    adapted.generate(long, GREEDY)
    if adapted.turned_to(namesake):
        other = plain(long, namesake.adapter)
        assert sum(one != two for one, two in zip(plain(long, adapter.adapter), other, strict=True)) > 10, "they differ"
        assert agreement(adapted.generate(long, GREEDY), other) >= 0.9, "the cache tells the adapters apart"
    assert not engine.turned_to(adapter), "it was created without room for an adapter"
