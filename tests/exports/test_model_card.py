"""The card of an exported model and the Python code in it, which hold up whatever text goes into them."""

import ast
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from markdown_it import MarkdownIt

from orchestrator.answers.formats import AnswerFormat, BoxedFormat, HashFormat, TagsFormat
from orchestrator.comparison import Comparison, compare_one_run
from orchestrator.exports.card import Card, model_card, trained_by
from orchestrator.exports.loading_code import Loading, loading_code
from orchestrator.models.base import BaseModelRef
from orchestrator.models.merge_agreement import Agreement
from orchestrator.recipe.recipe import Recipe, load_recipe
from orchestrator.tasks.judged_by import judged_by
from orchestrator.text import code, fenced, inline
from orchestrator.types import Finding
from tests.conftest import SMALL
from tests.support.written_runs import answers

HUB = BaseModelRef("someone/small", "someone/small", "0123abc", "someone/small@0123abc")
TINY = BaseModelRef("tiny", "/somewhere/tiny", None, "digest")
NASTY = "# a `b` *c* _d_ [e](http://f) <script>g</script> | h\n```\n~~~ \\ & \x1b[31m $x$"


def markdown() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def shown(text: str) -> str:
    """The text a reader sees of rendered Markdown."""
    html = markdown().render(text)
    assert not re.search(r"<(?!/?(p|code|pre|em|table|thead|tbody|tr|th|td)\b)", html), html
    plain = re.sub(r"<[^>]+>", "", html)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        plain = plain.replace(entity, character)
    return plain


# --- text inside Markdown


def test_running_text_means_nothing() -> None:
    seen = " ".join(NASTY.split()).replace("\x1b", "\\x1b")
    assert shown(f"x {inline(NASTY)} y").strip() == f"x {seen} y"
    table = f"| a | b |\n|---|---|\n| {inline(NASTY)} | last |\n"
    assert "<td>last</td>" in markdown().render(table) and seen in shown(table)


@pytest.mark.parametrize("text", ["x", "`", "``", "a`b", "`a`` b```", "<b>", "| |", "a\nb"])
def test_code_on_a_line_shows_as_it_is(text: str) -> None:
    assert shown(f"see {code(text)}!").strip() == f"see {text.replace(chr(10), ' ')}!"


@pytest.mark.parametrize("text", ["x", "```", "a\n````\n# b\n", "~~~\n<b>&", "", "  indented\n\n\n"])
def test_a_block_of_code_shows_as_it_is(text: str) -> None:
    (token,) = markdown().parse(fenced(text, "text"))
    assert token.type == "fence" and token.info == "text"
    assert token.content == text.removesuffix("\n") + "\n" or (text == "" and token.content in ("", "\n"))


# --- the code


def loading(**settings: Any) -> Loading:
    given: dict[str, Any] = {"adapter_on": TINY, "trust_remote_code": False, "dtype": "float32"}
    return Loading(**given | {"answer_format": TagsFormat(), "ends_itself": False, "max_tokens": 64} | settings)


FORMATS: list[AnswerFormat] = [
    TagsFormat(),
    HashFormat(prompt='\'{question}\' {x} """\n\\n', prefix="é\t'"),
    BoxedFormat(chat=True),
    TagsFormat(chat=True, system="Say 'yes'.\n{question}", prefix="<answer>", stop=("</answer>", "\n\n")),
]


@pytest.mark.parametrize("form", FORMATS, ids=range(len(FORMATS)))
@pytest.mark.parametrize("base", [None, TINY, HUB], ids=["whole", "tiny", "hub"])
def test_the_code_is_python_and_imports_nothing_of_orch(form: AnswerFormat, base: BaseModelRef | None) -> None:
    text = loading_code(loading(answer_format=form, adapter_on=base), NASTY)
    tree = ast.parse(text)
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == ({"transformers"} if base is None else {"transformers", "peft"})
    assert NASTY in {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert ("0123abc" in text) == (base is HUB)
    assert max(len(line) for line in text.splitlines() if NASTY[:3] not in line) <= 120


class _Tokenizer:
    """Returns its input in readable form."""

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return "".join(f"<{m['role']}>{m['content']}" for m in messages) + "<assistant>"


@pytest.mark.parametrize("form", FORMATS, ids=range(len(FORMATS)))
def test_the_code_asks_as_the_format_asks(form: AnswerFormat) -> None:
    """Up to the line that tokenizes the text."""
    body = loading_code(loading(answer_format=form), "?").partition("def ask(question):\n")[2]
    asking = body.partition("    ids = ")[0]
    scope: dict[str, Any] = {"tokenizer": _Tokenizer()}
    exec(f"def asked(question):\n{asking}    return text", scope)
    text = form.prompt_text(NASTY)
    if form.chat:
        system = f"<system>{form.system}" if form.system is not None else ""
        text = f"{system}<user>{text}<assistant>"
    assert scope["asked"](NASTY) == text + form.prefix


def test_remote_code_and_an_own_end_of_text_are_minded() -> None:
    text = loading_code(loading(trust_remote_code=True, ends_itself=True), "?")
    assert text.count("trust_remote_code=True") == 2
    assert "tokenizer(text)['input_ids'][:-1]" in text


# --- the card


def recipe(*overrides: str) -> Recipe:
    return load_recipe(SMALL, overrides)


def compared(*models: str) -> Comparison:
    """Models on 60 questions: `base` has none right, any other has 39 right and 6 without an answer."""
    results = {}
    for model in models:
        table = answers(0 if model == "base" else 0.65, 60, answered=0 if model == "base" else 0.9)
        results[model] = Path(f"{model}.parquet")
        pq.write_table(table, results[model])
    return compare_one_run("test", results, "base")


def card(**settings: Any) -> Card:
    given = {
        "run_id": "0123",
        "model": "grpo",
        "kind": "adapter",
        "start": TINY,
        "base": TINY,
        "dtype": "float32",
        "recipe": recipe(),
        "judged_by": judged_by(recipe().task),
        "recipe_text": yaml.safe_dump(recipe().resolved(), sort_keys=False),
        "comparison": compared("base", "grpo"),
        "findings": (),
        "agreement": None,
        "code": "print(1)\n",
        "prompt": "How?\n",
        "written": "So.",
        "versions": {"torch": "2.13.0", "python": "3.11"},
        "commit": None,
    }
    return Card(**given | settings)


def front(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text.split("---\n")[1]))


def test_figures_stand_with_their_intervals() -> None:
    text = model_card(card())
    said = "GRPO is better than the base model: +65.0 points (95% interval 50.5 to 75.3, p \\< 0.001, n = 60)."
    assert said in text.splitlines()
    assert "| grpo (this one) | 0.650 | 0.524 to 0.758 | 0.900 | +0.650 to base, +0.505 to +0.753 | 60 |" in text
    assert "| base | 0.000 | 0.000 to 0.060 | 0.000 |  | 60 |" in text
    judged = r"judged by: numeric, within 5% of the gold answer, both rounded to 3 decimals; answers in \<answer\> tags"
    assert judged in text.splitlines()
    assert "On 60 questions (test)" in text and "at most 64 tokens" in text and "Seed 0" in text
    assert "`tiny` → rft (sft) → grpo (grpo)" in text and "torch 2.13.0" in text
    assert "not evaluated" not in text and text.endswith("```\n") and "\n\n\n" not in text


def test_the_recipe_in_it_loads_as_the_recipe() -> None:
    text = model_card(card())
    (block,) = [t.content for t in markdown().parse(text) if t.type == "fence" and t.info == "yaml"]
    Path("again.yaml").write_text(block)
    assert load_recipe("again.yaml").resolved() == recipe().resolved()


def test_a_model_that_was_not_evaluated_says_so() -> None:
    assert "This model was not evaluated in its run." in model_card(card(comparison=None, written=None))
    some = model_card(card(comparison=compared("base")))
    assert "This model was not evaluated in its run." in some and "| base |" in some and "this one" not in some


def test_findings_and_agreement_are_told() -> None:
    found = Finding("loss-too-high", "warning", "the loss ends at <b>9</b>", "", "", "")
    text = model_card(card(findings=(found,), agreement=Agreement(8, 1e-6, 1e-6, "bfloat16"), kind="merged"))
    assert "- warning, loss-too-high: the loss ends at \\<b\\>9\\</b\\>" in text
    assert "compared with it on 8 questions: the root mean square difference of the logits is at most 0.05" in text
    assert "With plain transformers, in this folder" in text
    assert "With plain transformers and peft, in this folder" in model_card(card())


@pytest.mark.parametrize(
    ("off", "lost", "dtype", "holds"),
    [
        (5e-7, 1e-6, "float32", True),
        (2e-4, 1e-6, "float32", False),
        (2e-4, 1e-6, "bfloat16", True),
        (1e-3, 0.6, "bfloat16", False),
        (1e-3, None, "bfloat16", True),
        (float("nan"), None, "float32", False),
        (1e-7, float("nan"), "float32", False),
    ],
)
def test_what_agrees(off: float, lost: float | None, dtype: str, holds: bool) -> None:
    assert Agreement(8, off, lost, dtype).holds is holds


def test_names_and_texts_cannot_break_the_page() -> None:
    nasty = recipe().model_copy(update={"name": NASTY})
    text = model_card(card(recipe=nasty, prompt=NASTY, written=NASTY, code=repr(NASTY)))
    tokens = markdown().parse(text.split("---\n", 2)[2])
    heads = [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]
    assert heads[1:] == ["Figures", "Load it", "The recipe"]
    assert not [t for t in tokens if t.type == "html_block"]
    assert not [c for t in tokens for c in t.children or () if c.type in ("html_inline", "link_open", "image")]
    assert sum(t.type == "fence" for t in tokens) == 4


def test_the_front_matter_names_only_a_base_that_the_hub_has() -> None:
    assert front(model_card(card())) == {
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["orch", "sft", "grpo"],
    }
    hub = front(model_card(card(start=HUB, base=HUB)))
    assert (hub["base_model"], hub["base_model_relation"]) == ("someone/small", "adapter")
    merged = front(model_card(card(start=HUB, base=HUB, kind="merged")))
    assert (merged["library_name"], merged["base_model_relation"]) == ("transformers", "finetune")
    above = front(model_card(card(start=HUB, base=TINY)))
    assert above["base_model_relation"] == "finetune", "an adapter on a model that the run itself trained"


def test_a_model_is_traced_to_where_it_began() -> None:
    assert trained_by(recipe(), "grpo") == [("rft", "sft"), ("grpo", "grpo")]
    assert trained_by(recipe(), "sft") == [("sft", "sft")]
    assert trained_by(recipe(), "base") == []
