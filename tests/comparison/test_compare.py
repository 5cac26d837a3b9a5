"""`orch compare`: on runs written by the project's own tracking code, and on a real one."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from orchestrator import compare
from orchestrator.cli.show.comparison import as_csv
from orchestrator.comparison import Comparison, conclusions, remarks
from orchestrator.comparison.side_by_side import compare_run
from orchestrator.errors import InputError
from orchestrator.health.findings import written_down
from orchestrator.store.mlflow import MlflowStore
from orchestrator.store.names import FINDING_TAG
from orchestrator.types import Finding
from tests.conftest import SMALL, Called, call
from tests.support.store import children, rows
from tests.support.written_runs import answers, recipe, write_run, write_seeds

FOUR = {
    "base": answers(0.0, answered=0.0),
    "sft": answers(0.5, answered=0.9),
    "rft": answers(0.7, seed=1),
    "grpo": answers(0.72, seed=1),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared")


@pytest.fixture(scope="module")
def ids(folder: Path) -> dict[str, str]:
    """The run IDs of one store, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = MlflowStore()
        found = Finding("test-in-training", "info", "7 of 100 test questions appear in task.train", "", "", "")
        better = FOUR | {"rft": answers(0.9, seed=2)}
        made = {
            "first": write_run(store, recipe(), FOUR),
            "faster": write_run(store, recipe(stages__rft__learning_rate=0.01), better),
            "judge": write_run(store, recipe("judge", task__judge__tolerance=0.5), FOUR),
            "format": write_run(store, recipe("format", task__format__closing="</a>"), FOUR),
            "longer": write_run(store, recipe("longer", evaluate__max_tokens=160), FOUR),
            "questions": write_run(
                store, recipe("questions"), {m: answers(0.5, asked="other") for m in ("base", "sft", "rft")}
            ),
            "contaminated": write_run(
                store, recipe("contaminated"), FOUR, {FINDING_TAG + found.check: written_down(found)}
            ),
            "failed": write_run(store, recipe("failed"), {}, status="FAILED"),
            "seeds": write_seeds(
                store,
                recipe("seeds"),
                {
                    s: FOUR | {m: answers(a + 0.02 * s, seed=s) for m, a in (("sft", 0.5), ("rft", 0.7))}
                    for s in (0, 1, 2)
                },
            ),
        }
        for seed in (0, 1, 2, 3):
            name = f"alone{seed}"
            made[name] = write_run(
                store,
                recipe("alone", seed=seed),
                FOUR | {"sft": answers(0.5 + 0.04 * seed, seed=seed), "rft": answers(0.6 + 0.09 * seed, seed=9)},
            )
        made["last"] = write_run(store, recipe("newest"), FOUR)
    return made


@pytest.fixture(autouse=True)
def _in_that_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield


def labels(comparison: Comparison) -> list[str]:
    return [m.label for m in comparison.models]


def against(comparison: Comparison) -> dict[str, str]:
    return {d.label: d.baseline for d in comparison.differences}


# --- which runs


def test_the_last_run_is_compared_with_its_sft(ids: dict[str, str]) -> None:
    found = compare()
    assert found == compare("last") == compare(ids["last"]) == compare(ids["last"][:12])
    assert labels(found) == ["base", "sft", "rft", "grpo"]
    assert against(found) == {"base": "sft", "rft": "sft", "grpo": "sft"}
    sft = found.models[1]
    assert (sft.accuracy, sft.answer_rate, sft.n, sft.seeds) == (0.5, 0.9, 100, (0,))
    assert sft.tokens_per_answer == pytest.approx(22.0)
    first, second = conclusions(found)
    assert first.startswith("RFT and GRPO are better than SFT: +20.0 points (95% interval ")
    assert second.startswith("SFT is better than the base model: +50.0 points (95% interval ")
    assert found.runs == () and not found.ranked


def test_a_model_costs_what_its_own_stage_and_all_behind_it_cost(ids: dict[str, str]) -> None:
    seconds = {m.label: m.seconds for m in compare(ids["first"]).models}
    assert seconds == {"base": None, "sft": 30.0, "rft": 120.0, "grpo": 150.0}
    assert {m.label: m.gpu_hours for m in compare(ids["first"]).models}["rft"] == 2.0


def test_a_named_baseline(ids: dict[str, str]) -> None:
    assert against(compare(ids["first"], baseline="rft")) == {"base": "rft", "sft": "rft", "grpo": "rft"}
    with pytest.raises(InputError, match=r"--baseline: unknown model 'rtf'; did you mean 'rft'\? \(choices: base, sft"):
        compare(ids["first"], baseline="rtf")


def test_two_runs_are_compared_like_with_like(ids: dict[str, str]) -> None:
    found = compare(ids["first"], ids["faster"])
    assert against(found)["rft learning_rate 0.01"] == "rft learning_rate 0.004"
    [said] = conclusions(found)
    assert "RFT with learning_rate 0.01 is better than RFT with learning_rate 0.004: +20.0 points" in said
    assert "SFT with" not in said and "seed" not in said, "only models that are compared like with like"
    first, second = found.runs
    assert (first.run_ids, first.changes) == ((ids["first"],), ())
    assert [*map(str, second.changes)] == ["rft.learning_rate 0.004 → 0.01"]


def test_a_recipe_file_stands_for_its_newest_run(ids: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(SMALL.read_text().replace("name: small", "name: written"))
    assert compare(str(tmp_path / "r.yaml")) == compare(ids["faster"])


def test_a_run_below_stands_for_the_one_it_is_in(ids: dict[str, str]) -> None:
    inner = compare(ids["first"]).models[2].run_ids[0]
    assert compare(inner) == compare(ids["first"])


# --- seeds


def test_a_run_of_several_seeds_is_put_together(ids: dict[str, str]) -> None:
    found = compare(ids["seeds"])
    by = {m.label: m for m in found.models}
    assert by["rft"].seeds == (0, 1, 2) and by["rft"].by_seed == pytest.approx((0.7, 0.72, 0.74))
    assert by["rft"].seed_sd == pytest.approx(0.02) and len(by["rft"].run_ids) == 3
    assert "3 seeds each" in conclusions(found)[0]
    assert any("RFT 2.0 over 3 seeds" in s for s in remarks(found))


def test_seeds_of_an_experiment_are_put_together_and_other_settings_are_not(ids: dict[str, str]) -> None:
    assert {m.label: m.seeds for m in compare(experiment="alone").models}["rft"] == (0, 1, 2, 3)
    named = compare(ids["alone0"], ids["alone1"], ids["alone2"])
    assert {m.label: m.seeds for m in named.models}["rft"] == (0, 1, 2)
    swept = compare(experiment="written")
    assert [label for label in labels(swept) if label.startswith("rft")] == [
        "rft learning_rate 0.01",
        "rft learning_rate 0.004",
    ]
    assert len(set(against(swept).values())) == 1, "all against one SFT"


def test_two_runs_that_differ_in_their_seed_alone_are_two_models(ids: dict[str, str]) -> None:
    found = compare(ids["alone0"], ids["alone3"])
    assert "rft seed 0" in labels(found) and "rft seed 3" in labels(found)
    [one] = [d for d in found.differences if d.label == "rft seed 3"]
    assert one.seeds_alone and one.shown and one.baseline == "rft seed 0"
    said = conclusions(found)
    assert "These models differ only in their seed: the result says nothing about different recipes." in said
    sd = 9 * (((-1.5) ** 2 + 0.5**2) * 2 / 3) ** 0.5
    assert any(f"RFT with seed 3 {sd:.1f} over 4" in s for s in remarks(found)), "seed variance known from other runs"


def test_one_seed_says_that_it_is_one(ids: dict[str, str]) -> None:
    assert any("to measure seed variance" in s for s in remarks(compare(ids["first"])))
    known = remarks(compare(ids["alone0"]))
    assert any("Standard deviation of accuracy across seeds" in s for s in known), "known from other runs"


# --- refusals


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("judge", "task.judge.tolerance is 0.5, but 0.05 in run {first}"),
        ("format", "task.format.closing is '</a>', but '</answer>' in run {first}"),
        ("longer", "evaluate.max_tokens is 160, but 80 in run {first}"),
        ("questions", "100 and 100 questions, of which 0 are the same"),
    ],
)
def test_what_was_not_asked_and_judged_alike_is_not_compared(ids: dict[str, str], other: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        compare(ids["first"], ids[other])
    assert said.format(first=ids["first"][:8]) in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_experiment_says_what_it_leaves_out(ids: dict[str, str], folder: Path) -> None:
    store = MlflowStore()
    write_run(store, recipe("mixed"), {"sft": answers(0.5, n=40), "rft": answers(0.5, n=40)})
    write_run(store, recipe("mixed", task__judge__tolerance=0.5), FOUR)
    write_run(store, recipe("mixed"), FOUR)
    found = compare(experiment="mixed")
    assert labels(found) == ["base", "sft", "rft", "grpo"]
    assert len(found.left_out) == 2 and any("tolerance is 0.5" in why for why in found.left_out)
    assert any("figures cannot be compared: the questions are not those of run" in why for why in found.left_out)
    assert sum(s.startswith("Left out: run ") for s in remarks(found)) == 2


def test_models_that_a_run_has_not_evaluated_are_named(ids: dict[str, str], folder: Path) -> None:
    store = MlflowStore()
    cut = write_run(store, recipe("cut"), {name: FOUR[name] for name in ("base", "sft")}, status="KILLED")
    [said] = compare(cut).left_out
    assert said == f"run {cut[:8]} was interrupted and has no evaluation of rft, grpo."
    assert compare(ids["first"]).left_out == ()
    parent = write_seeds(store, recipe("cut"), {0: FOUR, 1: {"sft": FOUR["sft"]}})
    [said] = compare(parent).left_out
    assert "base of seed 1, rft of seed 1, grpo of seed 1" in said and "seed 0" not in said


def test_what_cannot_be_found_is_one_line(ids: dict[str, str]) -> None:
    for wanted, said in (
        ({"experiment": "writen"}, "did you mean 'written'?"),
        ({"experiment": "failed"}, "no run of the experiment 'failed' has evaluated a model"),
        ({"on": "longer"}, "has evaluated no model on the split 'longer'"),
    ):
        with pytest.raises(InputError, match=said.replace("?", r"\?")):
            compare(**wanted)
    with pytest.raises(InputError, match="it ended with: stage 'sft' failed: no memory"):
        compare(ids["failed"])
    with pytest.raises(InputError, match="not both"):
        compare("last", experiment="written")


def test_contamination_is_said(ids: dict[str, str]) -> None:
    found = compare(ids["contaminated"])
    assert found.contaminated == ("Contaminated: 7 of 100 test questions appear in task.train",)
    assert "Contaminated: 7 of 100 test questions appear in task.train" in conclusions(found)


# --- many runs of an experiment


@pytest.fixture(scope="module")
def twelve(ids: dict[str, str], folder: Path) -> list[str]:
    """The runs of one experiment, oldest first: some of one recipe, some failed, some with another test or judge."""

    def of(rft: float, sft: float = 0.5, seed: int = 1) -> dict[str, pa.Table]:
        return FOUR | {"sft": answers(sft, answered=0.9), "rft": answers(rft, seed=seed), "grpo": answers(rft, seed=9)}

    faster, more = {"stages__rft__learning_rate": 0.01}, {"stages__samples__n": 8}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = MlflowStore()
        made = [write_run(store, recipe("twelve"), of(0.6), shared=True)]
        made += [
            write_run(store, recipe("twelve", seed=seed, **faster), of(0.8 + seed / 100, seed=seed), shared=True)
            for seed in (0, 1, 2)
        ]
        for changes, figures in (
            (more, of(0.7)),
            (more | faster, of(0.85)),
            ({"stages__sft__learning_rate": 0.005}, of(0.55, 0.3)),
            ({"stages__grpo__max_steps": 200}, of(0.6)),
            ({"stages__rft__learning_rate": 1.0}, {"base": FOUR["base"], "sft": FOUR["sft"]}),
        ):
            status = "FINISHED" if len(figures) == 4 else "FAILED"
            made.append(write_run(store, recipe("twelve", **changes), figures, status=status, shared=True))
        made.append(write_run(store, recipe("twelve"), {}, status="FAILED"))
        other = {name: answers(0.9, n=40, asked="z") for name in FOUR}
        made.append(write_run(store, recipe("twelve", task__test__generate=40), other, shared=True))
        made.append(write_run(store, recipe("twelve", task__judge__tolerance=0.5), of(0.99)))
        made.append(write_run(store, recipe("twelve"), of(0.6), shared=True))
    return made


def test_an_experiment_is_ranked_against_the_baseline_of_its_oldest_run(twelve: list[str]) -> None:
    found = compare(experiment="twelve")
    assert found.ranked and [m.accuracy for m in found.models] == sorted(m.accuracy for m in found.models)[::-1]
    assert set(against(found).values()) == {"sft learning_rate 0.002"}
    assert {m.label: m.seeds for m in found.models} == {
        "rft samples.n 8, learning_rate 0.01": (0,),
        "grpo samples.n 8, rft.learning_rate 0.01": (0,),
        "rft learning_rate 0.01": (0, 1, 2),
        "grpo rft.learning_rate 0.01": (0, 1, 2),
        "rft samples.n 8": (0,),
        "grpo samples.n 8": (0,),
        "rft": (0,),
        "grpo": (0,),
        "grpo max_steps 200": (0,),
        "rft sft.learning_rate 0.005": (0,),
        "grpo sft.learning_rate 0.005": (0,),
        "sft learning_rate 0.002": (0, 1, 2),
        "sft learning_rate 0.005": (0,),
        "base": (),
    }
    first, second = conclusions(found)
    assert first.startswith(
        "RFT with samples.n 8, learning_rate 0.01 has the highest accuracy of 14 models, 0.850 (95% interval 0.767 to "
        "0.907); it is better than SFT with learning_rate 0.002: +35.0 points (95% interval "
    )
    assert second == (
        "Of the other 11 trained models, 5 are better than SFT with learning_rate 0.002, 1 is worse and 5 do not "
        "differ significantly; the smallest detectable difference is 23.3 points."
    )


def test_an_experiment_says_what_is_different_between_its_runs(twelve: list[str]) -> None:
    short = {run_id: f"run {place}" for place, run_id in enumerate(twelve)}
    told = {
        ", ".join(short[run_id] for run_id in one.run_ids): (one.seeds, [*map(str, one.changes)])
        for one in compare(experiment="twelve").runs
    }
    assert told == {
        "run 0, run 12": ((0,), []),
        "run 1, run 2, run 3": ((0, 1, 2), ["rft.learning_rate 0.004 → 0.01"]),
        "run 4": ((0,), ["samples.n 4 → 8"]),
        "run 5": ((0,), ["samples.n 4 → 8", "rft.learning_rate 0.004 → 0.01"]),
        "run 6": ((0,), ["sft.learning_rate 0.002 → 0.005"]),
        "run 7": ((0,), ["grpo.max_steps 50 → 200"]),
        "run 8": ((0,), ["rft.learning_rate 0.004 → 1"]),
    }


def test_an_experiment_says_which_runs_cannot_be_compared_and_which_failed(twelve: list[str]) -> None:
    short = [run_id[:8] for run_id in twelve]
    unlike = "was evaluated or judged differently, so its figures cannot be compared"
    assert {*compare(experiment="twelve").left_out} == {
        f"run {short[10]} {unlike}: the questions are not those of run {short[12]}.",
        f"run {short[11]} {unlike}: task.judge.tolerance is 0.5, but 0.05 in run {short[12]}.",
        f"run {short[9]} failed and has no evaluation of base, sft, rft, grpo (stage 'sft' failed: no memory).",
        f"run {short[8]} failed and has no evaluation of rft, grpo (stage 'sft' failed: no memory).",
    }


def test_a_ranking_on_the_screen_fits_80_columns_and_names_settings(twelve: list[str], folder: Path) -> None:
    called = call(folder, "compare", "--experiment", "twelve", COLUMNS="80")
    lines = called.out.splitlines()
    assert called.code == 0 and all(len(line) <= 80 for line in lines)
    places = [line.split()[:2] for line in lines if line[:1].isdigit() and ". " in line[:4]]
    assert places[:2] == [["1.", "rft"], ["2.", "grpo"]] and len(places) == 2 * 14, "in both tables"
    assert any(line.split() == [twelve[4][:8], "0", "samples.n", "4", "→", "8"] for line in lines)
    assert f"settings that differ from {twelve[0][:8]}" in called.out


# --- the command


def test_the_command_prints_sentences_tables_json_and_csv(ids: dict[str, str], folder: Path) -> None:
    found = compare(ids["first"])
    called = call(folder, "compare", ids["first"], "--json", COLUMNS="80")
    assert called.code == 0, called.err
    assert called.json == json.loads(
        json.dumps(found.as_json() | {"conclusions": conclusions(found), "remarks": remarks(found)})
    )
    assert all(len(line) <= 80 for line in called.err.splitlines())
    assert called.err.startswith("RFT and GRPO are better than SFT: +20.0 points")
    assert "0.700 [0.604, 0.781]" in called.err
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [row["label"] for row in rows] == ["base", "sft", "rft", "grpo"]
    assert float(rows[2]["difference"]) == pytest.approx(0.2) and rows[1]["difference"] == ""
    refused = call(folder, "compare", ids["first"], ids["judge"])
    assert refused.code == 2 and refused.out == "" and refused.err.startswith(f"orch: run {ids['judge'][:8]} was ")


def test_a_real_run_says_the_same_everywhere(small_run: tuple[Path, Called], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, called = small_run
    monkeypatch.chdir(folder)
    found = compare_run(MlflowStore(), called.json["run_id"])
    assert found is not None
    assert list(conclusions(found)) == called.json["conclusions"]
    assert list(remarks(found)) == called.json["remarks"] and found.judged_by == called.json["judged_by"]
    assert {m.label: m.accuracy for m in found.models} == {m["model"]: m["accuracy"] for m in called.json["models"]}
    by = {d["model"]: d for d in called.json["differences"]}
    for d in found.differences:
        assert by[d.label]["p"] == pytest.approx(d.p_corrected) and by[d.label]["wins"] == d.wins
    note = MlflowStore().find(called.json["run_id"]).tags["mlflow.note.content"]
    assert note.startswith(called.json["conclusions"][0].replace("<", "\\<").replace("[", "\\["))
    assert all(m.seconds for m in found.models if m.label != "base")


def test_what_stages_cost_is_logged_and_foretells_the_next(small_run: tuple[Path, Called]) -> None:
    folder, called = small_run
    made = children(folder, called.json["run_id"])
    for name in ("sft", "rft", "grpo", "samples"):
        metrics = made[name].data.metrics
        assert metrics["tokens_per_second"] == pytest.approx(metrics["tokens"] / metrics["seconds"]), name
        assert metrics["gpu_hours"] == 0 and 100 < metrics["peak_memory_mb"] < 10_000, name
    for name in ("base", "sft", "rft", "grpo"):
        metrics = made[name].data.metrics
        assert metrics["eval/tokens"] == pytest.approx(60 * metrics["tokens_per_completion"]), name
        assert metrics["eval/tokens_per_second"] > 0 and metrics["eval/peak_memory_mb"] > 100, name
    drawn = rows(made["samples"], "completions.parquet")
    assert made["samples"].data.metrics["tokens"] == sum(row["n_tokens"] for row in drawn)
    assert 40 * 4 * 20 < made["sft"].data.metrics["tokens"] < 40 * 4 * 120, "tokens of 160 rows"
    told = {s["name"]: s for s in call(folder, "plan", str(SMALL), "seed=1", "--json").json["stages"]}
    assert told["evaluate.base"]["cached"] and told["evaluate.base"]["forecast"] is None
    for name in ("sft", "samples", "chosen", "rft", "grpo", "evaluate.grpo"):
        forecast = told[name]["forecast"]
        assert (forecast["how"], forecast["runs"]) == ("same", 1), name
        metric = "eval/seconds" if name.startswith("evaluate.") else "seconds"
        assert forecast["seconds"] == made[name.removeprefix("evaluate.")].data.metrics[metric], name


def test_a_sampling_tells_pass_at_k(small_run: tuple[Path, Called]) -> None:
    folder, called = small_run
    metrics = children(folder, called.json["run_id"])["samples"].data.metrics
    assert metrics["pass_at_1"] == pytest.approx(metrics["pass_rate"])
    assert metrics["pass_at_4"] == pytest.approx(metrics["coverage"])
    assert metrics["pass_at_1"] <= metrics["pass_at_2"] <= metrics["pass_at_4"]
    assert 0 < metrics["maj_at_4"] <= metrics["pass_at_4"]
