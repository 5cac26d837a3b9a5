"""A million completions through the stages that read them: the driver's growth, the largest worker, the time.

    python benchmarks/million.py [--rows 1000000]

`--rows` completions of about 2,000 characters, 50 draws per question, are written as the shards of a sampling stage.
Then Ray workers, called as in a run, assemble the stage's output (counts, pass@k, one file), select a quarter of the
rows, and build training rows from these.

Targets, for a million on two cores: the driver grows by at most 100 MB, no process uses more than 1.5 GB, and it takes
3 minutes, not counting the writing of the shards, which is an engine's work.
"""

import argparse
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from orchestrator.plan.plan import Plan, compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.cluster import Cluster, connect, disconnect
from orchestrator.runs.context import context_of
from orchestrator.runs.crew import Done
from orchestrator.stages.base import put_together
from orchestrator.stages.context import Context, Output, Share
from orchestrator.store.names import CHOSEN, COMPLETIONS

DRAWS, SHARD, CHARACTERS = 50, 250, 2_000
WORDS = [
    "how",
    "many",
    "metres",
    "is",
    "the",
    "distance",
    "we",
    "convert",
    "each",
    "unit",
    "step",
    "by",
    "answer",
    "then",
    "multiply",
    "divide",
    "so",
    "result",
    "gallon",
    "pint",
    "ounce",
    "minute",
    "hour",
    "of",
    "to",
    "in",
    "12",
    "1760",
    "3.5",
    "240",
    "=",
    "*",
    "+",
    ".",
]
RECIPE = """\
name: million
task: {{type: units, train: {{generate: {questions}}}, test: {{generate: 2}}}}
model: {{name: tiny}}
stages:
  samples: {{type: sample, model: base, n: {draws}, batch_size: {shard}}}
  chosen:  {{type: select, from: samples, max_per_example: {most}}}
  rft:     {{type: sft, data: chosen, max_length: 4096}}
evaluate: {{models: base}}
"""
MOST = 13
"""Maximum number of rows kept per question: slightly more than a quarter of its draws."""


def write_shards(argument: tuple[Path, list[str]]) -> None:
    """Write the shards of a sampling: four in ten completions are correct, every tenth repeats the one before it."""
    from orchestrator.sampling.completions import write
    from orchestrator.types import Completion, Verdict

    folder, ids = argument
    drawn = random.Random(0)
    sentences = [" ".join(drawn.choices(WORDS, k=40)) for _ in range(2_000)]
    per_shard = SHARD // DRAWS
    for number in range(0, len(ids), per_shard):
        rows: list[tuple[Completion, Verdict]] = []
        for name in ids[number : number + per_shard]:
            text = ""
            for draw in range(DRAWS):
                if draw % 10 != 9:
                    text = ". ".join(drawn.choices(sentences, k=CHARACTERS // 190)) + f" <answer>{draw}</answer>"
                right = drawn.random() < 0.4
                verdict = Verdict("correct" if right else "wrong", str(draw % 7))
                rows.append((Completion(name, draw, text, 500, "stop"), verdict))
        write(folder / f"shard-{number // per_shard:06d}.parquet", rows)


def build_rows(job: Any) -> int:
    """Tokenize all training rows as a training does; return the number of rows."""
    from orchestrator.models.loading import load_tokenizer
    from orchestrator.training.rows import Pairs
    from orchestrator.training.sft import SftJob, tokenized

    settings, _, _ = job
    made = SftJob(*settings)
    pairs = Pairs(made.rows, made.work)
    rows = tokenized(made, load_tokenizer(made.model.base))
    assert len(pairs) == len(rows)
    return len(rows)


class Watch:
    """The observed peak memory of this process, and of its largest child process, in MB."""

    def __init__(self) -> None:
        self.own = self.largest = 0.0
        self._on = True
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        me = psutil.Process()
        while self._on:
            self.own = max(self.own, me.memory_info().rss / 1e6)
            for child in me.children(recursive=True):
                try:
                    self.largest = max(self.largest, child.memory_info().rss / 1e6)
                except psutil.Error:
                    continue
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop watching."""
        self._on = False
        self._thread.join()


def call(cluster: Cluster, function: Callable[[Any], Any], argument: Any) -> Done:
    """The outcome of one call on a worker."""
    import ray

    crew = cluster.submit([(function, argument)], 1, 0.0, 0)
    [reference] = crew.pending
    while not ray.wait([reference], timeout=0.25)[0]:
        pass
    return crew.take(reference)[1]


def stages(plan: Plan, cluster: Cluster, folder: Path) -> Iterator[tuple[str, Done, str]]:
    """Run each step: its name, the outcome of its call, and a summary."""

    def context(name: str, **inputs: Path) -> Context:
        (folder / name).mkdir(exist_ok=True)
        return context_of(plan, plan.stage(name), folder / name, inputs, Share(2, 0.0))

    def finish(given: Context) -> tuple[Done, str]:
        verb = given.stages[given.name]
        examples = {split: given.task.examples(split) for split in verb.splits_read(given.stages)}
        done = call(cluster, put_together, (verb, given, examples))
        output: Output = done.result
        return done, output.figure

    samples = context("samples")
    yield "counting", *finish(samples)
    chosen = context("chosen", samples=samples.output / COMPLETIONS)
    yield "select", *finish(chosen)
    rft = context("rft", chosen=chosen.output / CHOSEN)
    [job] = rft.stages["rft"].jobs(replace(rft, work=folder / "rft"))
    done = call(cluster, build_rows, job.argument)
    yield "training rows", done, f"{done.result:,} rows"


def main() -> None:
    """Print the duration of each step, and the three totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    questions = max(1, parser.parse_args().rows // DRAWS)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        recipe = folder / "million.yaml"
        recipe.write_text(RECIPE.format(questions=questions, draws=DRAWS, shard=SHARD, most=MOST))
        plan = compile_plan(load_recipe(recipe))
        ids = [example.id for example in plan.recipe.task.examples("train")]
        cluster = connect()
        try:
            (folder / "samples").mkdir()
            written = call(cluster, write_shards, (folder / "samples", ids))
            print(f"{len(ids) * DRAWS:,} completions written in {written.ended - written.began:.1f} s", flush=True)
            before, watch, seconds = psutil.Process().memory_info().rss / 1e6, Watch(), 0.0
            for name, done, said in stages(plan, cluster, folder):
                took = done.ended - done.began
                seconds += took
                print(f"{name:<16} {took:7.1f} s {done.peak_mb or 0:7.0f} MB  {said}", flush=True)
            watch.stop()
        finally:
            disconnect()
        print(f"driver grew by   {watch.own - before:7.0f} MB")
        print(f"largest process  {watch.largest:7.0f} MB")
        print(f"all together     {seconds:7.1f} s on {os.cpu_count()} cores", flush=True)


if __name__ == "__main__":
    main()
