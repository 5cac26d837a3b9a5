"""Data sets of the Hub, without the Hub: folders that `datasets` reads, and the errors if there is nothing to read."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from pydantic import ValidationError

from orchestrator.errors import DataError
from orchestrator.tasks import TASKS, Task
from orchestrator.tasks.hub import read_hub
from orchestrator.tasks.source import Source


@pytest.fixture(autouse=True)
def _offline_with_a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def rows(start: int, stop: int) -> list[dict[str, Any]]:
    return [{"question": f"question {n}?", "answer": n} for n in range(start, stop)]


def folder(name: str = "set", **splits: list[dict[str, Any]]) -> dict[str, str]:
    """A source that reads a folder of these splits, one JSONL file each."""
    Path(name).mkdir(parents=True, exist_ok=True)
    for split, content in splits.items():
        (Path(name) / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return {"hub": name}


def task(**settings: Any) -> Task:
    return TASKS["file"].model_validate({"type": "file"} | settings)


def problems(made: Task) -> list[str]:
    with pytest.raises(DataError) as caught:
        made.check()
    assert all("\n" not in problem for problem in caught.value.problems)
    return list(caught.value.problems)


def reason(**source: Any) -> str:
    [problem] = problems(task(test=source))
    return problem


def test_each_split_is_read_from_the_one_it_is_mostly_called() -> None:
    source = folder(train=rows(0, 8), test=rows(8, 11))
    made = task(train=source, test=source)
    made.check()
    assert [e.question for e in made.examples("train")] == [f"question {n}?" for n in range(8)]
    assert [(e.id, e.answer) for e in made.examples("test")] == [("test-1", "8"), ("test-2", "9"), ("test-3", "10")]


def test_rows_and_a_named_split_cut_a_data_set_apart() -> None:
    source = folder(train=rows(0, 10), test=rows(10, 11))
    made = task(train=source | {"rows": ":8"}, test=source | {"split": "train", "rows": "8:"})
    made.check()
    assert (len(made.examples("train")), len(made.examples("test"))) == (8, 2)


def test_parquet_and_columns_of_other_names() -> None:
    Path("set").mkdir()
    table = {"q": ["a?", "b?"], "gold": ["1", "2"], "why": ["so 1", None], "uid": [7, 8], "more": [[1], []]}
    pyarrow.parquet.write_table(pyarrow.table(table), "set/test.parquet")
    columns = {"question": "q", "answer": "gold", "demonstration": "why", "id": "uid"}
    found = task(test={"hub": "set", "columns": columns}).examples("test")
    assert [(e.id, e.question, e.answer, e.demonstration) for e in found] == [
        ("7", "a?", "1", "so 1 <answer>1</answer>"),
        ("8", "b?", "2", None),
    ]


def test_its_rows_meet_the_checks_that_those_of_a_file_meet() -> None:
    bad = [{"question": "a?", "answer": "1"}, {"question": " ", "answer": "2"}, {"question": "c?", "answer": None}]
    assert problems(task(test=folder(test=bad))) == [
        "set, split 'test', row 2: the question is blank: write one or leave the row out",
        "set, split 'test', row 3: the answer is empty: write one or leave the row out",
    ]
    again = [{"question": "a?", "answer": "1"}, {"question": " a?", "answer": "1"}, {"question": "b?", "answer": "3"}]
    assert [e.id for e in task(test=folder("again", test=again)).examples("test")] == ["test-1", "test-3"]
    again.append({"question": "a?", "answer": "2"})
    assert reason(**folder("again", test=again)).startswith(
        "again, split 'test', row 4: repeats the question of row 1 with another answer"
    )
    assert reason(**folder("words", test=[{"question": "a?", "answer": "four"}])).startswith(
        "task.test: words: test-1: gold answer 'four': "
    )


def test_columns_that_are_not_there_are_told_with_the_closest() -> None:
    source = folder(test=[{"Question": "a?", "answer": 1}])
    assert reason(**source) == (
        "set, split 'test': has no column 'question'; its columns are 'Question', 'answer': write columns: "
        "{question: Question}"
    )
    neither = {"columns": {"question": "x", "answer": "y"}}
    [said] = problems(task(test=source | neither))
    assert said.endswith("write columns: {question: Question, answer: answer}")


def test_a_split_that_is_not_there() -> None:
    source = folder(train=rows(0, 2), validation=rows(2, 4))
    assert reason(**source) == "set: unknown split 'test' (choices: train, validation)"
    assert reason(**source, split="validaton") == (
        "set: unknown split 'validaton'; did you mean 'validation'? (choices: train, validation)"
    )
    assert reason(**source, rows="9:", split="train").startswith("rows '9:' selects none of the 2 rows")


def test_configurations() -> None:
    folder("set/main", test=rows(0, 2))
    folder("set/socratic", test=rows(5, 9))
    entries = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: test\n    path: {name}/test.jsonl\n"
        for name in ("main", "socratic")
    )
    Path("set/README.md").write_text(f"---\nconfigs:\n{entries}---\n")
    assert len(task(test={"hub": "set", "config": "socratic"}).examples("test")) == 4
    assert reason(hub="set") == "set: holds several data sets; name one of them with config: main, socratic"
    assert reason(hub="set", config="mian") == (
        "set: unknown config 'mian'; did you mean 'main'? (choices: main, socratic)"
    )


def test_what_cannot_be_had_says_why() -> None:
    assert reason(hub="someone/something").startswith("someone/something: no folder here, the Hub cannot be reached")
    assert reason(hub="./nowhere/at/all").startswith("./nowhere/at/all: neither a folder here (")
    Path("empty").mkdir()
    assert reason(hub="empty") == "empty: the folder holds no data files; put .jsonl, .csv or .parquet files into it"
    Path("broken").mkdir()
    Path("broken/test.jsonl").write_text('{"question":\n')
    assert reason(hub="broken").startswith("broken: cannot be read: JSON parse error")


def test_what_the_hub_answers_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load(name: str, *_: Any, **__: Any) -> None:
        raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist on the Hub.")

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert reason(hub="someone/else") == (
        "someone/else: Dataset 'someone/else' doesn't exist on the Hub: check hub and revision; a private data set "
        "needs `hf auth login`"
    )


def test_without_a_network_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub

    class ConnectError(Exception):
        """Named like the one of httpx."""

    def away(*_: Any, **__: Any) -> None:
        raise ConnectError("Name or service not known")

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", away)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("asked again"))
    assert "the Hub cannot be reached" in reason(hub="someone/something")


def test_a_revision_is_handed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: dict[str, Any] = {}

    def load(name: str, config: str | None, **settings: Any) -> Any:
        asked.update(settings, name=name, config=config)
        return datasets.Dataset.from_list(rows(0, 2))

    monkeypatch.setattr(datasets, "load_dataset", load)
    source = Source(hub="someone/something", config="main", revision="v2")
    found, origin = source.read("demonstrations", False)
    assert asked == {"name": "someone/something", "config": "main", "split": "train", "revision": "v2"}
    assert len(found) == 2 and origin.place(2) == "someone/something, main, split 'train', row 2"


def test_a_changed_data_set_has_another_fingerprint() -> None:
    first = task(test=folder(test=rows(0, 3))).fingerprint("test")
    assert task(test=folder("copy", test=rows(0, 3))).fingerprint("test") == first
    assert task(test=folder("longer", test=rows(0, 4))).fingerprint("test") != first


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"hub": "a/b", "file": "c.json"}, "give exactly one of generate, file, hub and hold_out, not file and hub"),
        ({"file": "c.json", "split": "train"}, "split: only a Hub data set has this"),
        ({"generate": 4, "config": "main", "revision": "x"}, "config and revision: only a Hub data set has this"),
        ({"generate": 4, "rows": ":3"}, "rows and columns apply only to a file or a Hub data set"),
        ({"hub": ""}, "at least 1 character"),
    ],
)
def test_a_source_is_one_thing(source: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Source.model_validate(source)


def test_only_the_columns_that_are_used_are_read() -> None:
    source = Source.model_validate(folder(test=[{"question": "a?", "answer": 1, "pictures": list(range(9))}]))
    assert source.hub is not None
    table, _ = read_hub(source.hub, None, "test", None, source.columns)
    assert table.records == [(1, {"question": "a?", "answer": 1})] and "pictures" in table.names


@pytest.mark.parametrize("name", ["a?b", "a*", "a[b]"])
def test_folders_whose_name_would_be_a_pattern_are_refused(name: str) -> None:
    assert "rename the folder, or name its file" in reason(**folder(name, test=rows(0, 3)))


@pytest.mark.parametrize("name", ["a b", "a%20b", "a#b", "é'"])
def test_folders_with_other_signs_are_read(name: str) -> None:
    assert len(task(test=folder(name, test=rows(0, 3))).examples("test")) == 3


def test_class_labels_and_fields_inside_a_column() -> None:
    import datasets

    label = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features(
        {
            "question": datasets.Value("string"),
            "answer": label,
            "extra": {"gold": label, "text": datasets.Value("string")},
        }
    )
    content = {
        "question": ["a?", "b?"],
        "answer": [1, 0],
        "extra": [{"gold": 0, "text": "x"}, {"gold": 1, "text": "y"}],
    }
    Path("set").mkdir()
    datasets.Dataset.from_dict(content, features=features).to_parquet("set/test.parquet")
    for columns, golds in (({}, ["yes", "no"]), ({"answer": "extra.gold"}, ["no", "yes"])):
        made = task(test={"hub": "set", "columns": columns}, judge={"type": "exact"})
        assert [e.answer for e in made.examples("test")] == golds
        made = task(test={"file": "set/test.parquet", "columns": columns}, judge={"type": "exact"})
        assert [e.answer for e in made.examples("test")] == golds
