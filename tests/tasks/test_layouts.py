"""Files as others publish them: texts made of several columns, conversations, answers at the end of solutions."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.commands.init import init
from orchestrator.errors import DataError
from orchestrator.recipe.recipe import load_recipe
from orchestrator.tasks.file import FileTask


def rows(*records: Any, name: str = "my.jsonl") -> Path:
    Path(name).write_text("".join(json.dumps(record) + "\n" for record in records))
    return Path(name)


def task(*records: Any, columns: dict[str, Any], **settings: Any) -> FileTask:
    source = {"file": str(rows(*records)), "columns": columns}
    return FileTask.model_validate({"train": source, "test": {"generate": 1}, **settings})


# --- a text made of several columns


def test_a_text_is_made_of_columns() -> None:
    made = task(
        {"instruction": "Add.", "input": "3 + 4", "extra": {"gold": 7}},
        {"instruction": "How much is 2 + 2?", "input": "", "extra": {"gold": 4}},
        {"instruction": "Double it.", "input": 5, "extra": {"gold": 10}},
        columns={"question": "{instruction}\n{input}", "answer": "extra.gold"},
    )
    assert [e.question for e in made.examples("train")] == ["Add.\n3 + 4", "How much is 2 + 2?", "Double it.\n5"]


def test_a_column_of_that_very_name_is_that_column() -> None:
    made = task({"{q}": "3 + 4?", "answer": 7}, columns={"question": "{q}"})
    assert made.examples("train")[0].question == "3 + 4?"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"a": "x", "answer": 7}, "its first row is {'a': 'x', 'answer': 7}: write columns: {question: COLUMN}"),
        ({"a": "x", "b": ["y"], "answer": 7}, "the column 'b' is a list of 1 text (['y']): text can be built only"),
        ({"a": "", "b": None, "answer": 7}, "the question (column '{a} of {b}') is empty"),
    ],
)
def test_what_cannot_be_made_is_said(record: dict[str, Any], said: str) -> None:
    made = task(record, columns={"question": "{a} of {b}"})
    with pytest.raises(DataError) as caught:
        made.examples("train")
    assert said in str(caught.value)


def test_a_csv_and_parquet_file_have_them_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    Path("my.csv").write_text("a;b;answer\n1;2;3\n")
    pq.write_table(pa.table({"a": ["1"], "b": ["2"], "answer": [3], "other": [b"x"]}), "my.parquet")
    for name in ("my.csv", "my.parquet"):
        source = {"file": name, "columns": {"question": "{a} + {b}?"}}
        made = FileTask.model_validate({"train": source, "test": {"generate": 1}})
        assert made.examples("train")[0].question == "1 + 2?"


# --- answers at the end of solutions


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"type": "tags"}, "3 + 4 is <answer>7</answer>"),
        ({"type": "hash"}, "3 + 4\n#### 7"),
        ({"type": "boxed"}, "It is $\\boxed{7}$."),
        ({"type": "marker"}, "3 + 4\nFINAL ANSWER: 7"),
        ({"type": "last_number"}, "first 3, then 4: 7"),
        ({"type": "json"}, 'It is {"answer": 7}'),
    ],
)
def test_an_answer_is_found_at_the_end_of_its_solution(form: dict[str, Any], text: str) -> None:
    made = task({"question": "3 + 4?", "answer": text}, columns={}, format=form)
    [example] = made.examples("train")
    assert (example.answer, example.demonstration) == ("7", text)


@pytest.mark.parametrize(
    ("form", "judge", "text"),
    [
        ("last_number", "exact", "Room 5"),
        ("tags", "exact", "<answer>7</answer> it is not"),
        ("boxed", "math", "\\frac{1}{2}"),
        ("tags", "numeric", "7"),
    ],
)
def test_an_answer_that_is_one_stays_whole(form: str, judge: str, text: str) -> None:
    made = task({"question": "?", "answer": text}, columns={}, format={"type": form}, judge={"type": judge})
    assert (made.examples("train")[0].answer, made.examples("train")[0].demonstration) == (text, None)


def test_the_columns_that_are_meant_are_shown_to_be_pasted() -> None:
    made = task({"Prompt": "3 + 4?", "gold": 7}, columns={"demonstration": "step"})
    with pytest.raises(DataError) as caught:
        made.examples("train")
    assert str(caught.value) == (
        "my.jsonl: has no column 'question' and no column 'answer' and no column 'step'; its columns are 'Prompt', "
        "'gold', its first row is {'Prompt': '3 + 4?', 'gold': 7}: write columns: {question: Prompt, answer: gold, "
        "demonstration: COLUMN}"
    )


# --- layouts that others publish


def chat(n: int) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"How much is {n} + {n}?"},
        {"role": "assistant", "content": f"{n} + {n} = {2 * n}\n#### {2 * n}"},
    ]


LAYOUTS = {
    "alpaca": lambda n: {"instruction": "Double the number.", "input": f"{n}", "output": f"{2 * n}"},
    "chat": lambda n: {"messages": chat(n)},
    "sharegpt": lambda n: {
        "conversations": [{"from": "human", "value": f"2 * {n}?"}, {"from": "gpt", "value": f"{2 * n}"}]
    },
    "prompt-completion": lambda n: {"prompt": f"How much is {n} + {n}?", "completion": f"<answer>{2 * n}</answer>"},
    "chat prompt and completion": lambda n: {"prompt": chat(n)[:1], "completion": chat(n)[1:]},
    "preferences": lambda n: {"prompt": f"2 * {n}?", "chosen": f"{n} twice\n#### {2 * n}", "rejected": f"#### {n}"},
    "competition": lambda n: {"problem": f"Double ${n}$.", "level": "1", "solution": f"It is $\\boxed{{{2 * n}}}$."},
    "verifiable": lambda n: {"prompt": chat(n)[:1], "ground_truth": f"{2 * n}", "dataset": "sums"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_recipe_is_written_for_it(layout: str) -> None:
    begun = init(rows(*(LAYOUTS[layout](n) for n in range(3, 43))))
    task = load_recipe(begun.recipe).task
    task.check()
    answers = {int(e.answer) for split in task.splits() for e in task.examples(split)}
    assert answers == {2 * n for n in range(3, 43)}
    assert all("{" not in e.question for e in task.examples("test"))
