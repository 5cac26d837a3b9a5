"""The cells of a file: text is text, and nothing else becomes text."""

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.commands.judge import CompletionColumns, JudgedFile, judge_file
from orchestrator.errors import DataError
from orchestrator.recipe.recipe import load_task
from orchestrator.tasks.cells import find, numbered, shape, top_column
from orchestrator.tasks.class_labels import features_in, named
from orchestrator.tasks.columns import Columns
from orchestrator.tasks.draws import draws_of, finish_reason
from orchestrator.tasks.rows import Row, read_rows

SAID = "#### 72"
USER = {"role": "user", "content": "6 * 12?"}
THOUGHT = {"type": "thinking", "thinking": "#### 71"}


def texts(value: Any) -> list[str]:
    return [draw.text for draw in draws_of(value)]


# --- completions as the tools that produce them write them


@pytest.mark.parametrize(
    ("cell", "completions"),
    [
        (SAID, [SAID]),
        (None, [""]),
        (float("nan"), [""]),
        (72, ["72"]),
        (Decimal("72.50"), ["72.50"]),
        ([SAID], [SAID]),
        ([SAID, "no"], [SAID, "no"]),
        ([[SAID, "no"]], [SAID, "no"]),
        ([[SAID], ["no"]], [SAID, "no"]),
        ([{"text": SAID, "finish_reason": "stop"}, {"text": "no", "logprobs": None}], [SAID, "no"]),
        ([{"generated_text": SAID}], [SAID]),
        ([{"generated_text": [USER, {"role": "assistant", "content": SAID}]}], [SAID]),
        ([{"index": 0, "message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}], [SAID]),
        ({"id": "x", "choices": [{"message": {"role": "assistant", "content": SAID}}, {"text": "no"}]}, [SAID, "no"]),
        ({"body": 1, "outputs": [{"text": SAID, "token_ids": [1, 2]}]}, [SAID]),
        ({"candidates": [{"content": {"role": "model", "parts": [{"text": SAID}]}, "finishReason": "STOP"}]}, [SAID]),
        ({"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}, {"text": SAID}]}}]}, [SAID]),
        ({"type": "message", "role": "assistant", "content": [THOUGHT, {"type": "text", "text": SAID}]}, [SAID]),
        ([USER, {"role": "assistant", "content": SAID}], [SAID]),
        ([USER, {"role": "assistant", "content": [{"type": "text", "text": SAID}]}], [SAID]),
        ([USER, {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": SAID}]}], [SAID]),
        ([{"from": "human", "value": "?"}, {"from": "gpt", "value": SAID}], [SAID]),
        ({"role": ["user", "assistant"], "content": ["?", SAID]}, [SAID]),
        ([USER, {"role": "assistant", "content": "#### "}, {"role": "assistant", "content": "72"}], [SAID]),
        ([USER, {"role": "assistant", "content": "1"}, USER, {"role": "assistant", "content": SAID}], [SAID]),
        ([{"type": "text", "text": "####"}, {"type": "text", "text": " 72"}], [SAID]),
        ([THOUGHT, {"type": "text", "text": SAID}], [SAID]),
        ([{"type": "text", "text": SAID, "thinking": None}, THOUGHT | {"text": None}], [SAID]),
        ({"output": [{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant",
          "content": [{"type": "output_text", "text": SAID}]}]}, [SAID]),
        ([USER, {"role": "assistant", "content": None, "refusal": "no"}], [""]),
        ([USER, {"role": "assistant", "content": [THOUGHT]}], [""]),
        ([USER, {"role": "assistant", "content": [{"type": "text", "text": SAID}, {"type": "tool_use"}]}], [SAID]),
        ([THOUGHT], [""]),
        ({"status_code": 200, "body": {"choices": [{"message": {"role": "assistant", "content": SAID}}]}}, [SAID]),
        ([[USER, {"role": "assistant", "content": say}] for say in (SAID, "no")], [SAID, "no"]),
    ],
)  # fmt: skip
def test_completions(cell: Any, completions: list[str]) -> None:
    assert texts(cell) == completions


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ([], "an empty list"),
        ([SAID, None], "a list of 2 values of several kinds"),
        ([SAID, 5], "a list of 2 values of several kinds"),
        ([1, 2, 3], "a list of 3 numbers"),
        ({"a": 1, "b": "x"}, "a struct with fields a, b"),
        ({}, "a struct without fields"),
        ([("a", 1), ("b", 2)], "a map with keys a, b"),
        (b"#### 72", "binary (7 bytes)"),
        (True, "true or false"),
        (datetime.date(2026, 1, 1), "a date"),
        (datetime.datetime(2026, 1, 1), "a timestamp"),
        (datetime.timedelta(1), "a duration"),
        (UUID(int=0), "a UUID"),
        ([USER], "a conversation that ends with the user"),
        ([USER, {"role": "assistant", "content": SAID}, USER], "a conversation that ends with the user"),
        ([{"from": "gpt", "value": SAID}, {"from": "human", "value": "?"}], "a conversation that ends with the human"),
        ([USER, {"role": "tool", "content": "72"}], "a conversation that ends with the tool"),
        ([USER, {"role": "assistant", "content": {"a": 1}}], "a part that is a struct with fields a"),
        ([USER, {"role": "assistant", "content": 5}], "a message whose content is a number"),
        (
            [USER, {"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
            "a message with a part of type 'image_url', which is not text",
        ),
        ([{"logprob": 1}, {"logprob": 2}], "a struct with fields logprob"),
    ],
)
def test_what_holds_no_completion_is_refused_with_its_shape(cell: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        draws_of(cell)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_shapes_hold_no_content_and_are_short() -> None:
    secret = "s3cret"
    for value in (
        [secret] * 3,
        {"a": secret},
        [{"a": secret}],
        secret.encode(),
        [[secret]],
        [USER | {"content": secret}],
    ):
        assert secret not in shape(value) and len(shape(value)) < 100
    assert shape({f"field {n}": n for n in range(40)}).endswith("and 35 more")


# --- why a completion ended


@pytest.mark.parametrize(
    "reason",
    [
        *(
            "length",
            "LENGTH",
            "max_tokens",
            "MAX_TOKENS",
            "max_length",
            "FinishReason.LENGTH",
            "FinishReason.MAX_TOKENS",
        ),
        *("FINISH_REASON_MAX_TOKENS", "max-new-tokens", "model_length", " Length ", "max_output_tokens"),
        *(
            "maxTokens",
            "MaxTokens",
            "FinishReason.maxTokens",
            "<FinishReason.MAX_TOKENS: 2>",
            "max seq len",
            "incomplete",
        ),
        *("FinishReason.LENGTH: 'length'", "context_length", "max_seq_len", "<FinishReason.LENGTH: 'length'>"),
        *({"type": "length"}, {"type": "length", "length": 512}, {"reason": "max_output_tokens"}, {"name": "LENGTH"}),
    ],
)
def test_reasons_that_say_cut_off(reason: Any) -> None:
    assert finish_reason(reason) == ("length", None)


@pytest.mark.parametrize(
    "reason", ["stop", "STOP", "eos_token", "end_turn", "FinishReason.STOP", "tool_calls", "", None, {"type": "stop"}]
)
def test_reasons_that_say_ended(reason: Any) -> None:
    assert finish_reason(reason) == ("stop", None)


@pytest.mark.parametrize("reason", ["abort", "cut short", 2, True, {"a": 1}])
def test_reasons_that_are_not_known_are_told(reason: Any) -> None:
    kept, odd = finish_reason(reason)
    assert kept == "stop" and odd


# --- names with dots


def test_a_column_of_the_very_name_comes_before_a_field() -> None:
    record = {"a.b": 1, "a": {"b": 2, "c.d": 3, "e": [{"f": 4}]}}
    assert find(record, "a.b") == (True, 1)
    assert find(record, "a.c.d") == (True, 3)
    assert find(record, "a.e.0.f") == (True, 4)
    assert find({"a": {"b": None}}, "a.b") == (True, None)
    for missing in ("a.x", "x.y", "a.e.7.f", "a.e.f", "a.b.c", ".", "a.", ".a"):
        assert find(record, missing) == (False, None)
    assert top_column("a.b", ["a.b", "a"]) == "a.b" and top_column("a.x", ["a.b", "a"]) == "a"
    assert top_column("x.y", ["a"]) is None


# --- orch judge


def judged(rows: list[Any], *settings: str, name: str = "made.jsonl", **columns: str) -> JudgedFile:
    path = Path(name)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return judge_file(path, load_task(["format.type=hash", *settings]), CompletionColumns(**columns))


def statuses(found: JudgedFile) -> list[str]:
    return [verdict.status for verdict in found.verdicts]


@pytest.mark.parametrize("name", ["made.jsonl", "made.json", "made.parquet"])
def test_a_list_of_one_draw_is_its_completion(name: str) -> None:
    found = judged([{"text": [SAID], "answer": 72}, {"text": ["#### 7"], "answer": 72}], name=name)
    assert statuses(found) == ["correct", "wrong"] and found.notes == ()


@pytest.mark.parametrize("name", ["made.jsonl", "made.parquet"])
def test_several_draws_are_as_many_completions(name: str) -> None:
    rows = [{"resps": [[SAID, "no"]], "answer": 72}, {"resps": [["#### 7"]], "answer": 72}]
    found = judged(rows, name=name, text="resps")
    assert statuses(found) == ["correct", "unparsed", "wrong"]
    assert [(row["row"], row["draw"]) for row in found.rows] == [(1, 0), (1, 1), (2, 0)]
    [note] = found.notes
    assert note.startswith("3 completions in 2 rows")
    metrics, of_two = found.metrics(), judged([rows[0] | {"resps": [SAID]}, rows[1]], text="resps").metrics()
    assert (metrics["n"], metrics["accuracy"]) == (3, 1 / 3) and of_two["n"] == 2
    width = metrics["accuracy_high"] - metrics["accuracy_low"]
    assert width > 0.7 and of_two["accuracy_high"] - of_two["accuracy_low"] == pytest.approx(0.81, abs=0.01)
    found.write(Path("out.parquet"))
    assert pq.read_table("out.parquet").select(["row", "draw"]).to_pylist()[1] == {"row": 1, "draw": 1}


@pytest.mark.parametrize("name", ["made.jsonl", "made.parquet"])
@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ({"a": 1, "b": 2}, "is a struct with fields a, b: write it as text"),
        ([USER], "is a conversation that ends with the user"),
        ([[1.5, 2.5]], "is a list of 2 numbers"),
    ],
)
def test_what_is_no_completion_is_refused_with_column_and_line(name: str, cell: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        judged([{"made": cell, "answer": 72}], name=name, text="made")
    [problem] = caught.value.problems
    unit = "line" if name == "made.jsonl" else "row"
    assert problem.startswith(f"{name}, {unit} 1: the completion (column 'made') {said}")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([b"#### 72"]), "binary (7 bytes)"),
        (pa.array([[("a", "x")]], pa.map_(pa.string(), pa.string())), "a map with keys a"),
        (pa.array([datetime.datetime(2026, 1, 1)]), "a timestamp"),
        (pa.array([datetime.date(2026, 1, 1)]), "a date"),
        (pa.array([True]), "true or false"),
    ],
)
def test_columns_of_arrow_that_are_no_text(column: pa.Array, said: str) -> None:
    pq.write_table(pa.table({"text": column, "answer": [72]}), "made.parquet")
    with pytest.raises(DataError) as caught:
        judge_file(Path("made.parquet"), load_task([]))
    assert said in str(caught.value) and "column 'text'" in str(caught.value)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()]
)
def test_columns_of_arrow_that_are_text(kind: pa.DataType) -> None:
    text = (
        pa.array([SAID, None]).cast(kind)
        if not pa.types.is_dictionary(kind)
        else pa.array([SAID, None]).dictionary_encode()
    )
    pq.write_table(pa.table({"text": text, "answer": pa.array([Decimal("72.00")] * 2)}), "made.parquet")
    assert statuses(judge_file(Path("made.parquet"), load_task(["format.type=hash"]))) == ["correct", "unparsed"]


def test_cells_inside_others_are_named_with_dots() -> None:
    body = {"choices": [{"message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}]}
    rows = [{"response": {"body": body}, "doc": {"gold": "72", "q": "6 * 12?"}}]
    for name in ("made.jsonl", "made.parquet"):
        for text in ("response.body", "response.body.choices", "response.body.choices.0.message.content"):
            found = judged(rows, name=name, text=text, answer="doc.gold", question="doc.q")
            assert statuses(found) == ["correct"] and found.rows[0]["question"] == "6 * 12?"


def test_a_field_that_no_row_has_is_refused() -> None:
    rows = [{"doc": {"text": SAID, "gold": 72}, "answer": 72}]
    with pytest.raises(
        DataError, match=r"no row has a field 'doc\.txt'; the column is a struct with fields text, gold"
    ):
        judged(rows, text="doc.txt")
    with pytest.raises(DataError, match="no gold answer can be judged"):
        judged(rows, text="doc.text", answer="doc.target")


def test_items_of_lists_are_reached_by_their_number() -> None:
    rows = [{"r": {"out": []}, "answer": 72}, {"r": {"out": [{"t": SAID}]}, "answer": 72}]
    with pytest.raises(DataError, match=r"items of lists .* by their number, from 0: did you mean 'r\.out\.0\.t'\?"):
        judged(rows, text="r.out.t")
    assert statuses(judged(rows, text="r.out.0.t")) == ["unparsed", "correct"]
    assert numbered({"a": [{"b": [{"c": 1}]}]}, "a.b.c") == "a.0.b.0.c"
    assert numbered({"a": [{"b": 1}]}, "a.c") is None and numbered({"a": []}, "a.b") is None
    with pytest.raises(DataError, match=r"has no 'a\.b', only 'question', 'a': did you mean 'a\.0\.b'\?"):
        rows_of({"question": "q?", "a": [{"b": 1}]}, answer="a.b")


def test_completions_that_were_cut_off_by_each_tool() -> None:
    reasons = ["length", "MAX_TOKENS", "max_tokens", "FinishReason.LENGTH", {"type": "length"}, "stop"]
    rows = [{"text": f"{n}", "answer": 72, "finish_reason": reason} for n, reason in enumerate(reasons)]
    assert statuses(judged(rows)) == ["truncated"] * 5 + ["unparsed"]
    choices = [{"text": "", "finish_reason": "length"}, {"text": "", "finish_reason": "stop"}]
    assert statuses(judged([{"choices": choices, "answer": 72}], text="choices")) == ["truncated", "unparsed"]
    assert statuses(judged([{"text": ["a", "b"], "answer": 1, "finish_reason": ["stop", "length"]}])) == [
        "unparsed",
        "truncated",
    ]
    assert statuses(judged([{"text": "a", "answer": 1, "stop_reason": "max_tokens"}])) == ["truncated"]
    for cell in (
        {"generated_text": "a", "details": {"finish_reason": "length"}},
        {"text": "a", "meta_info": {"finish_reason": {"type": "length", "length": 8}}},
        {"output": [{"role": "assistant", "content": "a"}], "incomplete_details": {"reason": "max_output_tokens"}},
        {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "MAX_TOKENS"}]},
    ):
        assert statuses(judged([{"made": cell, "answer": 1}], text="made")) == ["truncated"]
    with pytest.raises(DataError, match="is a cell of 2 draws, but with 3 finish reasons"):
        judged([{"text": ["a", "b"], "answer": 1, "finish_reason": ["stop"] * 3}])


def test_each_row_may_say_in_its_own_column_why_it_ended() -> None:
    rows = [
        {"finish_reason": None, "stop_reason": "max_tokens"},
        {"finish_reason": "", "stopReason": "max_tokens"},
        {"done_reason": "length"},
        {"finish_reason": "length", "stop_reason": None},
        {"finish_reason": [None], "finishReason": ["MAX_TOKENS"]},
        {"finish_reason": "stop", "stop_reason": None},
        {},
    ]
    found = judged([{"text": f"{n}", "answer": 72} | row for n, row in enumerate(rows)])
    assert statuses(found) == ["truncated"] * 5 + ["unparsed"] * 2 and found.notes == ()
    named = [{"text": "a", "answer": 72, "meta": {"why": "length"}}, {"text": "b", "answer": 72, "stop_reason": "stop"}]
    assert statuses(judged(named, finish_reason="meta.why")) == ["truncated", "unparsed"]


@pytest.mark.parametrize("cell", [{"text": "a", "finish_reason": "", "stop_reason": "length"}])
def test_an_empty_reason_is_none(cell: Any) -> None:
    assert statuses(judged([{"made": cell, "answer": 72}], text="made")) == ["truncated"]


def test_reasons_that_are_not_known_are_said_with_their_number() -> None:
    found = judged([{"text": SAID, "answer": 72, "finish_reason": "abort", "id": n} for n in range(3)])
    [note] = found.notes
    assert note.startswith("finish_reason 'abort' (3 times) is unknown")


def test_rows_that_occur_twice_are_said() -> None:
    row = {"question": "6 * 12?", "text": SAID, "answer": 72}
    [note] = judged([row, row | {"text": "no"}, row, row]).notes
    assert note.startswith("2 of 4 rows are duplicates")
    assert judged([row | {"draw": 0}, row | {"draw": 1}], name="made.parquet").notes == ()


@pytest.mark.parametrize("gold", [["72"], [72], "72", 72, 72.0])
def test_golds_of_one_value(gold: Any) -> None:
    assert statuses(judged([{"text": SAID, "answer": gold}])) == ["correct"]


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        (["72", "73"], "is a list of 2 texts"),
        ({"value": "72"}, "is a struct with fields value"),
        (True, "is true or false"),
    ],
)
def test_golds_that_are_none_cost_their_row(gold: Any, said: str) -> None:
    found = judged([{"text": SAID, "target": gold}, {"text": SAID, "target": 72}], answer="target")
    assert statuses(found) == ["error", "correct"]
    assert (
        found.problems[0].startswith("made.jsonl, line 1: the gold answer (column 'target') ")
        and said in found.problems[0]
    )


# --- task files


def rows_of(record: dict[str, Any], name: str = "a.jsonl", **columns: str) -> Row:
    if name == "a.jsonl":
        Path(name).write_text(json.dumps(record))
    else:
        pq.write_table(pa.Table.from_pylist([record]), name)
    [row] = read_rows(Path(name), Columns(**columns))
    return row


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_questions_and_solutions_in_conversations(name: str) -> None:
    chat = [USER, {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": SAID}]}]
    if name == "a.parquet":  # Arrow needs a single type
        chat[0] = {"role": "user", "content": [{"type": "text", "text": "6 * 12?"}]}
    row = rows_of(
        {"messages": chat, "gold": ["72"]}, name, question="messages", answer="gold", demonstration="messages"
    )
    assert (row.question, row.answer, row.demonstration) == ("6 * 12?", "72", SAID)
    assert rows_of({"prompt": [USER], "answer": 72}, question="prompt").question == "6 * 12?"


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_fields_inside_a_column(name: str) -> None:
    record = {"extra": {"gold": "72", "q": "6 * 12?"}, "other": 1}
    row = rows_of(record, name, question="extra.q", answer="extra.gold")
    assert (row.question, row.answer) == ("6 * 12?", "72")
    record = {"extra.gold": "1", "extra": {"gold": "2"}, "question": "q"}
    assert rows_of(record, name, answer="extra.gold").answer == "1", "a column with that exact name comes first"


@pytest.mark.parametrize(
    ("record", "columns", "said"),
    [
        ({"question": ["a", "b", "c"], "answer": 1}, {}, "the question is a list of 3 texts"),
        (
            {"q": {"a": 1, "b": 2}, "answer": 1},
            {"question": "q"},
            "the question (column 'q') is a struct with fields a, b",
        ),
        ({"question": "q", "answer": {"value": 72}}, {}, "the answer is a struct with fields value"),
        ({"question": "q", "answer": ["1", "2"]}, {}, "the answer is a list of 2 texts"),
        ({"question": [USER, USER], "answer": 1}, {}, "the question is a conversation of 2 messages (user, user)"),
        (
            {"question": [{"role": "system", "content": "s"}, USER], "answer": 1},
            {},
            "the question is a conversation of 2 messages (system, user)",
        ),
        ({"question": "q", "answer": 1, "demonstration": [USER]}, {}, "a conversation that ends with the user"),
        ({"question": "q", "answer": 1, "demonstration": ["x"]}, {}, "the demonstration is a list of 1 text"),
        ({"question": "q", "extra": {"a": 1}}, {"answer": "extra.gold"}, "has no 'extra.gold'"),
    ],
)
def test_cells_of_tasks_that_are_refused(record: dict[str, Any], columns: dict[str, str], said: str) -> None:
    with pytest.raises(DataError) as caught:
        rows_of(record, **columns)
    [problem] = caught.value.problems
    assert problem.startswith("a.jsonl, line 1: ") and said in problem


def test_gaps_of_tables_are_empty_cells() -> None:
    table = {"question": ["a?"], "answer": [72.0], "demonstration": [float("nan")], "id": [float("nan")]}
    pq.write_table(pa.table(table), "a.parquet")
    [row] = read_rows(Path("a.parquet"), Columns())
    assert (row.answer, row.demonstration, row.id) == ("72", None, None)
    pq.write_table(pa.table({"question": [float("nan")], "answer": [72.0]}), "a.parquet")
    with pytest.raises(DataError, match="the question is empty"):
        read_rows(Path("a.parquet"), Columns())


# --- class labels


FEATURES = {
    "answer": {"names": ["no", "yes"], "_type": "ClassLabel"},
    "question": {"dtype": "string", "_type": "Value"},
    "extra": {"gold": {"names": ["no", "yes"], "_type": "ClassLabel"}},
}


def labelled() -> pa.Table:
    table = pa.table({"question": ["a?", "b?"], "answer": [1, 0], "extra": [{"gold": 0}, {"gold": 1}]})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})


def test_class_labels_of_a_parquet_file_are_their_names() -> None:
    pq.write_table(labelled(), "a.parquet")
    assert [row.answer for row in read_rows(Path("a.parquet"), Columns())] == ["yes", "no"]
    assert [row.answer for row in read_rows(Path("a.parquet"), Columns(answer="extra.gold"))] == ["no", "yes"]


def test_class_labels_inside_lists_and_structs() -> None:
    label = {"names": ["no", "yes"], "_type": "ClassLabel"}
    assert named([1, 0], {"feature": label, "_type": "List"}) == ["yes", "no"]
    assert named([1, None], [label]) == ["yes", None]
    assert named({"a": [1, 0]}, {"feature": {"a": label}, "_type": "Sequence"}) == {"a": ["yes", "no"]}
    assert named(-1, label) is None and named(7, label) is None and named(None, label) is None
    assert named(1, {"dtype": "int64", "_type": "Value"}) == 1


@pytest.mark.parametrize(
    "metadata", [None, {}, {b"huggingface": b"{"}, {b"huggingface": b"[]"}, {b"huggingface": b"{}"}]
)
def test_metadata_without_features(metadata: dict[bytes, bytes] | None) -> None:
    assert features_in(metadata) == {}
