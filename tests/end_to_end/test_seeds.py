"""A recipe with several seeds, run for real: one seed's results are reused, figures are right, nothing is lost."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest

from orchestrator.stats import seed_difference, seed_mean, wilson
from orchestrator.text import inline
from tests.conftest import SMALL, TWO_CORES, Called, call, copied
from tests.end_to_end.test_disturbed import family, gone, start, wait_for
from tests.report.test_run_page import Page
from tests.support.store import artifact, children, client, rows, runs

Run = tuple[Path, Called]
MODELS = ["base", "sft", "rft", "grpo"]
SEEDS = ("run", str(SMALL), "seeds=[0, 1]")


@dataclass(frozen=True)
class SeedsRun:
    """A run of seeds 0 and 1 in a folder where seed 0 had run alone before; it was killed, then interrupted."""

    folder: Path
    called: Called
    killed: dict[str, str]
    """The status of every run except the stages', by name, right after the next start closed the killed ones."""
    interrupted: dict[str, str]
    said: str
    """The stderr output when it was interrupted."""

    @property
    def run_id(self) -> str:
        return str(self.called.json["run_id"])

    def seed(self, seed: int) -> Any:
        """The MLflow run of one seed."""
        return children(self.folder, self.run_id)[f"seed {seed}"]

    def models(self, seed: int) -> dict[str, Any]:
        """The MLflow runs of one seed's models, including those it refers to."""
        one = self.seed(seed)
        shared = {name: one.data.tags.get(f"orch.shared.{name}") for name in MODELS}
        found = {name: client(self.folder).get_run(run_id) for name, run_id in shared.items() if run_id}
        return found | {n: run for n, run in children(self.folder, one.info.run_id).items() if n in MODELS}

    def right(self, model: str, seed: int) -> list[bool]:
        """Whether a model got each question right, according to its own answers, in question order."""
        run = self.models(seed)[model]
        origin = client(self.folder).get_run(run.data.tags.get("orch.eval_cached_from", run.info.run_id))
        table = sorted(rows(origin, "eval/results.parquet"), key=lambda row: str(row["example_id"]))
        return [row["status"] == "correct" for row in table]


@pytest.fixture(scope="module")
def seeds_run(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> SeedsRun:
    folder = copied(small_run[0], tmp_path_factory.mktemp("seeds"))
    work = folder / "mlruns" / "work"
    plan = call(folder, "plan", str(SMALL), "seed=1", "--json").json
    keys = {stage["name"]: stage["key"] for stage in plan["stages"]}
    before = {run.info.run_id for run in runs(folder)}
    disturbed(folder, (work / keys["sft"] / "journal.jsonl").exists, signal.SIGKILL)
    said = disturbed(folder, lambda: any((work / keys["samples"]).glob("shard-*.parquet")), signal.SIGTERM)
    found: list[dict[str, str]] = []
    for run in runs(folder, "tags.`orch.verb` = 'run'"):
        if run.info.run_id not in before:
            found.append({run.info.run_name: run.info.status})
            found[-1] |= {name: child.info.status for name, child in children(folder, run.info.run_id).items()}
    called = call(folder, *SEEDS, "--json", **TWO_CORES)
    assert called.code == 0, called.err
    return SeedsRun(folder, called, *found, said)


def disturbed(folder: Path, moment: Callable[[], bool], by: signal.Signals) -> str:
    """Start the run and send it a signal at a given moment; return its stderr output."""
    process = start(folder, *SEEDS)
    wait_for(moment, process)
    everyone = family(process)
    os.kill(process.pid, by) if by == signal.SIGTERM else os.killpg(process.pid, by)
    assert process.wait(timeout=60) == (130 if by == signal.SIGTERM else -by)
    assert gone(everyone), "processes outlived the run"
    return (folder / "stderr").read_text()


def test_a_killed_and_an_interrupted_run_are_closed_and_what_was_finished_stays(seeds_run: SeedsRun) -> None:
    # seed 0 is entirely reused; the kill may have come while its comparison was being written
    assert seeds_run.killed.pop("seed 0") in ("FINISHED", "KILLED")
    # or before the run of seed 1 was created, since its first stage does not wait for that
    assert seeds_run.killed.pop("seed 1", "KILLED") == "KILLED" and seeds_run.killed == {"small": "KILLED"}
    assert seeds_run.interrupted == {"small": "KILLED", "seed 0": "FINISHED", "seed 1": "KILLED"}
    assert ": finished stages are kept; run the same command to resume" in seeds_run.said
    assert not runs(seeds_run.folder, "attributes.status = 'RUNNING'")
    work = seeds_run.folder / "mlruns" / "work"
    assert [p.name for p in work.iterdir()] == ["locks"] and not list((work / "locks").iterdir())


def test_one_run_stands_above_those_of_the_seeds(seeds_run: SeedsRun, small_run: Run) -> None:
    top = client(seeds_run.folder).get_run(seeds_run.run_id)
    assert (top.data.tags["orch.verb"], top.data.tags["orch.seeds"]) == ("run", "0,1")
    assert "mlflow.parentRunId" not in top.data.tags and top.info.status == "FINISHED"
    assert sorted(children(seeds_run.folder, seeds_run.run_id)) == ["seed 0", "seed 1"]
    for seed in (0, 1):
        one = seeds_run.seed(seed)
        assert (one.data.tags["orch.seed"], one.data.params["seed"], one.info.status) == (
            str(seed),
            str(seed),
            "FINISHED",
        )
        below = children(seeds_run.folder, one.info.run_id)
        own = ["sft", "samples", "chosen", "rft", "grpo"] + ["base"] * (seed == 0)
        assert sorted(below) == sorted(own), "the first seed has the base model's run, and the others refer to it"
        shared = {t.removeprefix("orch.shared."): v for t, v in one.data.tags.items() if t.startswith("orch.shared.")}
        assert shared == ({} if seed == 0 else {"base": seeds_run.models(0)["base"].info.run_id})
        assert {run.data.tags["orch.seed"] for run in below.values()} == {str(seed)}
        assert {run.info.status for run in below.values()} == {"FINISHED"}


def test_what_was_made_for_one_seed_alone_is_reused(seeds_run: SeedsRun, small_run: Run) -> None:
    alone, other = seeds_run.called.json["runs"]
    assert all(stage["cached"] for stage in alone["stages"])
    assert [m["accuracy"] for m in alone["models"]] == [m["accuracy"] for m in small_run[1].json["models"]]
    made = {stage["name"] for stage in other["stages"] if not stage["cached"]}
    assert made == {"samples", "chosen", "rft", "grpo", "evaluate.sft", "evaluate.rft", "evaluate.grpo"}, (
        "SFT had finished before the interruption, and the base is the same for every seed"
    )


def test_and_what_was_made_for_several_is_reused_for_one_alone(seeds_run: SeedsRun) -> None:
    before = len(runs(seeds_run.folder))
    called = call(seeds_run.folder, "run", str(SMALL), "seed=1", "--json")
    assert called.code == 0, called.err
    assert called.json["run_id"] == seeds_run.seed(1).info.run_id and len(runs(seeds_run.folder)) == before
    assert called.json["models"] == seeds_run.called.json["runs"][1]["models"]


def test_again_runs_nothing_and_adds_nothing_whatever_the_order(seeds_run: SeedsRun) -> None:
    before = len(runs(seeds_run.folder))
    called = call(seeds_run.folder, "run", str(SMALL), "seeds=[1, 0]", "--json")
    assert called.code == 0, called.err
    assert called.json["run_id"] == seeds_run.run_id and len(runs(seeds_run.folder)) == before
    by_model = {m["model"]: m for m in seeds_run.called.json["models"]}
    for m in called.json["models"]:
        assert m["accuracy_mean"] == by_model[m["model"]]["accuracy_mean"]
        assert m["accuracies"] == by_model[m["model"]]["accuracies"][::-1]


def test_a_seed_that_is_added_runs_alone(seeds_run: SeedsRun) -> None:
    plan = call(seeds_run.folder, "plan", str(SMALL), "seeds=[0, 1, 2]", "--json").json
    assert len(plan["stages"]) == 3 * 9 - 2, "the base model is evaluated once for all seeds"
    to_run = [(stage["name"], [t["seed"] for t in stage["trials"]]) for stage in plan["stages"] if not stage["cached"]]
    assert len(to_run) == 8 and all(seeds == [2] for _, seeds in to_run)
    [base] = [stage for stage in plan["stages"] if stage["name"] == "evaluate.base"]
    assert [trial["seed"] for trial in base["trials"]] == [0, 1, 2]


def test_the_aggregate_is_right_to_the_digit(seeds_run: SeedsRun) -> None:
    metrics = client(seeds_run.folder).get_run(seeds_run.run_id).data.metrics
    said = {m["model"]: m for m in seeds_run.called.json["models"]}
    assert list(said) == MODELS
    right = {model: np.array([seeds_run.right(model, seed) for seed in (0, 1)]) for model in MODELS}
    for model in MODELS[1:]:
        accuracies = [fmean(seeds_run.right(model, seed)) for seed in (0, 1)]
        assert said[model]["accuracies"] == accuracies
        assert accuracies == [seeds_run.models(seed)[model].data.metrics["accuracy"] for seed in (0, 1)]
        expected = seed_mean(right[model])
        for name, value in {
            "accuracy_mean": fmean(accuracies),
            "accuracy_sd": stdev(accuracies),
            "accuracy_low": expected.low,
            "accuracy_high": expected.high,
            "answer_rate_mean": fmean(seeds_run.models(s)[model].data.metrics["answer_rate"] for s in (0, 1)),
            "n": 60,
        }.items():
            assert said[model][name] == pytest.approx(value, abs=1e-12), (model, name)
            assert metrics[f"{model}/{name}"] == said[model][name]
        assert metrics[f"{model}/seeds"] == 2
    assert said["base"]["shared"] and (said["base"]["accuracy_low"], said["base"]["accuracy_high"]) == wilson(
        int(right["base"][0].sum()), 60
    )
    assert "accuracy" not in metrics
    for d in seeds_run.called.json["differences"]:
        gap = seed_difference(right[d["model"]][: 1 if d["model"] == "base" else 2], right["sft"], d["model"] == "base")
        assert d["baseline"] == "sft" and d["difference_mean"] == pytest.approx(gap.difference, abs=1e-12)
        assert (d["difference_low"], d["difference_high"]) == pytest.approx((gap.low, gap.high), abs=1e-12)
        assert metrics[f"{d['model']}/difference_mean"] == d["difference_mean"]


def test_the_description_and_the_screen_say_the_same(seeds_run: SeedsRun) -> None:
    note = client(seeds_run.folder).get_run(seeds_run.run_id).data.tags["mlflow.note.content"]
    shown = " ".join(call(seeds_run.folder, *SEEDS).out.split())  # sentences wrap on the screen
    assert seeds_run.called.json["conclusions"]
    for sentence in seeds_run.called.json["conclusions"]:
        assert inline(sentence) in note and sentence in shown
    for m in seeds_run.called.json["models"]:
        assert f"| {m['model']} | {m['accuracy_mean']:.3f} |" in note
        assert f"{m['accuracy_mean']:.3f} [{m['accuracy_low']:.3f}, {m['accuracy_high']:.3f}]" in shown


def test_verbs_that_look_back_take_one_seed(seeds_run: SeedsRun) -> None:
    question = "How many meters in 5 kilometers?"
    first, second, none = (
        call(seeds_run.folder, "ask", seeds_run.run_id, question, "--json", *more)
        for more in ((), ("--seed", "1"), ("--seed", "7"))
    )
    assert first.json["run_id"] == seeds_run.seed(0).info.run_id and first.json["model"] == "grpo"
    assert "The run has seeds 0, 1; using seed 0 (choose with --seed)." in first.err
    assert second.json["run_id"] == seeds_run.seed(1).info.run_id and "--seed" not in second.err
    assert none.code == 2 and f"run {seeds_run.run_id} has no seed 7; it has 0, 1" in none.err


def test_the_seeds_have_a_report_together_and_each_its_own(seeds_run: SeedsRun) -> None:
    said = seeds_run.called.json
    file = Path(said["report"])
    page = Page(file.read_text(encoding="utf-8"))
    assert all(sentence in page.text for sentence in said["conclusions"])
    assert all(str(a["href"]).startswith("#") for a in page.all("a")) and not page.all("script")
    for seed in (0, 1):
        assert f"orch report {seeds_run.seed(seed).info.run_id}" in page.text
        own = artifact(seeds_run.seed(seed), "report.html")
        assert f"· seed {seed}" in Page(own.read_text(encoding="utf-8")).text
        for model in MODELS[1:]:
            assert f"{100 * fmean(seeds_run.right(model, seed)):.1f}%" in page.text
    for model in MODELS[1:]:
        both = [a + b for a, b in zip(seeds_run.right(model, 0), seeds_run.right(model, 1), strict=True)]
        assert f"{model}, 2 seeds {both.count(0)} {both.count(1)} {both.count(2)}" in page.text
    assert (file.parent / "figures" / "accuracy.svg").is_file()
