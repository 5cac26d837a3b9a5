"""Stored completions judged in another way: the figures are those of a run with these settings."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.commands.rejudge import rejudge
from orchestrator.errors import InputError, RecipeError
from tests.conftest import SMALL, Called, call

Run = tuple[Path, Called]
LOOSE = "task.judge={type: numeric, tolerance: 0.3}"


@pytest.fixture
def in_run(small_run: Run, monkeypatch: Any) -> Path:
    monkeypatch.chdir(small_run[0])
    return small_run[0]


def test_the_same_judge_changes_nothing(in_run: Path, small_run: Run) -> None:
    found = rejudge()
    assert found.run_id == small_run[1].json["run_id"] and found.judged_before == found.judged_now
    assert [part.name for part in found.parts] == ["base", "sft", "samples", "rft", "grpo"]
    for part in found.parts:
        assert part.before == part.now and part.gained == part.lost == 0 and not part.changed
    told = {model["model"]: model["accuracy"] for model in small_run[1].json["models"]}
    assert {p.name: p.now.accuracy for p in found.parts if p.what == "answers"} == pytest.approx(told)
    [draws] = [part for part in found.parts if part.what == "draws"]
    assert draws.now.questions is not None and draws.now.n > draws.now.questions


def test_another_judge_gives_what_a_run_with_it_gives(small_copy: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(small_copy)
    found = rejudge("last", [LOOSE])
    assert "30%" in found.judged_now and found.judged_now != found.judged_before and not found.notes
    sft = next(part for part in found.parts if part.name == "sft")
    assert sft.gained > 0 == sft.lost and sft.now.correct == sft.before.correct + sft.gained
    for one in sft.changed:
        assert (one.status_before, one.status) == ("wrong", "correct") and one.value == one.value_before
    Path("r.yaml").write_text(
        f"extends: {SMALL}\nstages: {{chosen: null, rft: null, grpo: null}}\nevaluate: {{models: [sft]}}\n"
    )
    ran = call(small_copy, "run", "r.yaml", LOOSE, "--json")
    assert ran.code == 0, ran.err
    [model] = ran.json["models"]
    assert model["accuracy"] == pytest.approx(sft.now.accuracy)
    assert (model["accuracy_low"], model["accuracy_high"]) == pytest.approx(sft.now.interval)


def test_draws_are_judged_again_by_another_version_of_the_judge_too(in_run: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("orchestrator.tasks.base.Task.judging", lambda self: {"version": "another"})
    found = rejudge()
    assert "samples" in [part.name for part in found.parts] and not found.notes


def test_it_is_shown(in_run: Path) -> None:
    shown = call(in_run, "rejudge", LOOSE)
    assert shown.code == 0, shown.err
    assert "now judged by  numeric, within 30%" in shown.out and "samples (draws)" in shown.out
    assert "wrong (" in shown.out and "→ correct (" in shown.out
    plain = call(in_run, "rejudge", "last", "--json")
    assert (
        plain.json["parts"][0]["before"] == plain.json["parts"][0]["now"]
        and "No completion becomes correct" in plain.err
    )


def test_texts_that_were_written_for_another_prompt_are_called_that(in_run: Path) -> None:
    [note] = rejudge("last", ["task.format.prompt='Q: {question}\\nA: '"]).notes
    assert note.startswith("task.format.prompt differs") and "`orch run` would generate new ones" in note


def test_where_the_questions_are_gone_draws_are_left_out_and_answers_are_judged(
    small_copy: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(small_copy)
    data = Path("questions.json")
    data.write_text('[{"question": "How many mm are 2 cm?", "answer": 20}, {"question": "And 3 cm?", "answer": 30}]')
    Path("test.json").write_text('[{"question": "How many mm are 7 cm?", "answer": 70}]')
    Path("r.yaml").write_text(
        "name: own\ntask: {type: file, train: {file: questions.json}, test: {file: test.json}}\n"
        "model: {name: tiny}\nstages: {samples: {type: sample, model: base, n: 2, max_tokens: 32}}\n"
        "evaluate: {max_tokens: 32}\n"
    )
    ran = call(small_copy, "run", "r.yaml", "--json")
    assert ran.code == 0, ran.err
    assert [part.name for part in rejudge().parts] == ["base", "samples"]
    data.write_text(data.read_text().replace("20", "200"))
    changed = rejudge()
    assert [part.name for part in changed.parts] == ["base"]
    assert changed.notes == (
        "the draws of samples are left out: task.train has different questions or gold answers now",
    )
    data.unlink()
    found = rejudge()
    assert [part.name for part in found.parts] == ["base"]
    assert len(found.notes) == 1 and found.notes[0].startswith("the draws of samples are left out: ")


def test_settings_that_only_the_old_judge_or_format_has_go_with_it(in_run: Path) -> None:
    found = rejudge("last", ["task.judge.type=exact"])
    assert found.judged_now.startswith("exact") and not found.notes
    found = rejudge("last", ["task.format.type=last_number", "task.judge.tolerance=0.1"])
    assert "within 10%" in found.judged_now and "last number" in found.judged_now and not found.notes


OWN = """\
from orchestrator.tasks.units import UnitsTask

class Own(UnitsTask):
    pass
"""


def test_a_task_of_the_users_own_is_judged_in_another_way(small_copy: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(small_copy)
    Path("own.py").write_text(OWN)
    Path("r.yaml").write_text(
        f"extends: {SMALL}\ntask: {{type: 'own.py:Own'}}\n"
        "stages: {sft: {max_steps: 2}, samples: null, chosen: null, rft: null, grpo: null}\nevaluate: {models: [sft]}\n"
    )
    ran = call(small_copy, "run", "r.yaml", "--json")
    assert ran.code == 0, ran.err
    found = rejudge("last", ["task.judge.tolerance=0.5"])
    assert [part.name for part in found.parts] == ["sft"] and "50%" in found.judged_now


@pytest.mark.parametrize(
    ("override", "error", "said"),
    [
        ("stages.rft.learning_rate=1e-3", InputError, "only task.judge and task.format decide"),
        ("task.judges.type=math", InputError, "only task.judge and task.format decide"),
        ("task.judge.type=maths", RecipeError, "did you mean 'math'?"),
        ("task.judge.tolerance=-1", RecipeError, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_changed_is_refused(in_run: Path, override: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        rejudge("last", [override])
    assert said in str(raised.value)


def test_a_run_that_is_not_there(in_run: Path) -> None:
    with pytest.raises(InputError):
        rejudge("nosuchrun")
