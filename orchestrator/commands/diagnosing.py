"""One diagnosis of a run or a model: collects findings from checks, curves, files and the models themselves.

`diagnose` decides what to inspect; `health.causes` ranks the findings.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.errors import InputError, ModelError
from orchestrator.health.adapter import adapter_findings
from orchestrator.health.base_weights import Weights, base_findings, read_weights
from orchestrator.health.causes import likeliest_first
from orchestrator.health.check import check_plan
from orchestrator.health.contract import targets
from orchestrator.health.curves.reading import StageCurves
from orchestrator.health.damage import not_looked_at, output_finding, unreadable
from orchestrator.health.diagnosis import ALONE, Diagnosis, Generation, Measured
from orchestrator.health.facts import few_questions, few_steps, overflow
from orchestrator.health.failures import failure
from orchestrator.health.findings import CheckReport, format_changed, told_only
from orchestrator.health.judged_again import judged_again
from orchestrator.health.model_parts import try_prompt
from orchestrator.health.predicting import Row, losses, shift_finding
from orchestrator.health.probe import asked, load_engine, origin_findings
from orchestrator.health.reading import reading_findings
from orchestrator.health.too_little import too_little
from orchestrator.health.written import Written, fell, written_findings
from orchestrator.models.reference import ModelRef
from orchestrator.models.start import is_trained
from orchestrator.plan.plan import Plan, compile_plan
from orchestrator.runs.past import PastRun, PastStage
from orchestrator.runs.past_curves import findings_of, stage_curves
from orchestrator.runs.past_outputs import changed_outputs
from orchestrator.sampling.completions import summary_of
from orchestrator.sampling.transformers_engine import TransformersEngine
from orchestrator.stages.training import Training
from orchestrator.store.names import MODEL, log_of
from orchestrator.store.place import store_folder
from orchestrator.store.tables import first_answers
from orchestrator.types import BASE, Finding

QUESTIONS = 100
"""Number of test questions put to a model without stored completions."""
_SHOWN = 8
_TARGETS = 24
"""Number of gold targets that a model's loss is measured on."""
_FEW_RIGHT = 0.1
"""A model whose accuracy exceeds this was not trained on shifted targets."""
_SYMPTOMS = (
    *("answers-cut-off", "draws-identical", "groups-alike", "completions-clipped", "warmup-too-long"),
    *("never-stops", "answer-rate-zero", "accuracy-zero", "runs-on-after-answer"),
)
"""Findings about a training run that do not explain a weak model."""


class Look:
    """One diagnosis in progress."""

    def __init__(self, past: PastRun, questions: int, trained: bool = False) -> None:
        self.past, self.recipe, self.questions = past, past.recipe, questions
        start = past.start
        self.base_is_trained = trained or is_trained(start.base, start.adapter)
        """Whether the recipe's own model is already trained, so that its output can count as a fault."""
        self.found: list[Finding] = []
        self.report = CheckReport(())
        self.measured: list[Measured] = []
        self.generations: list[Generation] = []
        self.answers: dict[str, list[Written]] = {}
        self.curves: list[StageCurves] = []
        self.plan: Plan | None = None
        """The recipe compiled now; None if it is rejected."""
        self.targets: list[Row] | None = None
        """Tokenized prompts and gold targets."""

    def set_up(self) -> None:
        """Run the checks of `orch check` on the recipe as things are now."""
        try:
            plan = self.plan = self._plan()
            self.report = check_plan(plan, self.recipe.work_folder or store_folder() / "work")
        except InputError as error:
            self.found.append(_refused(error))
            return
        self.recipe = self.recipe.model_copy(update={"task": plan.recipe.task})  # its tolerance is settled
        self.found += self.report.findings
        if plan.format_change is not None:
            self.found.append(format_changed(plan.format_change))

    def _plan(self) -> Plan:
        return compile_plan(self.recipe.model_copy(update={"allow_format_change": True}))

    def stages(self, stages: Sequence[PastStage]) -> None:
        """Inspect stages: their errors, curves and outputs."""
        for stage in stages:
            curves = stage_curves(self.past, stage)
            self.curves += [curves] if curves is not None else []
            spec = self.recipe.stages.get(stage.name)
            settings = {} if spec is None else spec.model_dump(mode="json")
            told = findings_of(self.past, stage, curves)
            self.found += [overflow(finding, settings, f"stages.{stage.name}.") for finding in told]
            self.found += list(left(stage)) or changed_outputs(stage)
            self.found += failures(stage, self.past.run_id)

    def models(self, names: Sequence[str]) -> None:
        """Inspect models: first their files, then their completions and logits."""
        weights = cache(read_weights)  # each base is read once, and freed before a model is loaded
        refs: dict[str, ModelRef | None] = {}
        for name in names:
            with self._whatever_it_is(name):
                refs[name] = self._sound(name, weights)
        del weights
        for name, ref in refs.items():
            with self._whatever_it_is(name):
                rows = self._stored(name)
                if ref is None:
                    self._take(name, rows, "evaluation")
                else:
                    self._answers(name, ref, rows)

    @contextmanager
    def _whatever_it_is(self, name: str) -> Iterator[None]:
        """Turn any error into a finding, so that one oddly damaged model does not end the look at the others."""
        try:
            yield
        except Exception as error:
            self.found.append(not_looked_at(f"model {name}", error))

    def _stored(self, name: str) -> list[Written]:
        """The stored answers of a model's evaluation; empty if they cannot be read."""
        stage = self.past.stages.get(name)
        if stage is None or stage.results is None:
            return []
        columns = ["example_id", "question", "gold", "text", "value", "status", "finish_reason"]
        try:
            return [Written(**row) for row in first_answers(stage.results, columns).to_pylist()]
        except (ValueError, TypeError, InputError) as error:
            self.found.append(unreadable(name, stage.results, error))
            return []

    def _sound(self, name: str, weights: Weights) -> ModelRef | None:
        """The model; None if its files are missing or damaged."""
        try:
            ref = self.past.model(name)
        except ModelError as error:
            self.found.append(missing(name, error))
            return None
        found = list(base_findings(ref.base, weights)) if name == BASE or ref.adapter is None else []
        if ref.adapter is not None:
            found += adapter_findings(name, Path(ref.adapter), ref.base, weights)
        unsound = [f for f in found if f.severity == "error"]
        self.found += [f for f in unsound if f not in self.found]
        return None if any(f.check != "adapter-zero" for f in unsound) else ref

    def _answers(self, name: str, ref: ModelRef, rows: list[Written]) -> None:
        engine = self._engine(name, ref)
        if engine is None:
            self._take(name, rows, "evaluation")
            return
        batch = self.recipe.evaluate.batch_size if rows else None
        if rows:
            self._take(name, rows, "evaluation")
            self._show(name, engine, rows)
        else:
            rows = self._ask(name, engine)
        task, limit = self.recipe.task, self.recipe.evaluate.max_tokens
        if not self.recipe.evaluate.temperature:  # a sampled text need not be the likeliest
            self.found += origin_findings(name, ref, engine, task, rows, limit, batch)
        self._shifted(name, ref, engine, rows)
        if name == BASE and ref.adapter is not None and (bare := self._engine(name, replace(ref, adapter=None))):
            self._ask(ALONE, bare)

    def _shifted(self, name: str, ref: ModelRef, engine: TransformersEngine, rows: list[Written]) -> None:
        """Check whether a model that is hardly ever right was trained to predict a token other than the next."""
        right = sum(row.status == "correct" for row in rows)
        if not self._is_trained(name) or not rows or right > _FEW_RIGHT * len(rows):
            return
        targets = self._targets(engine)
        if not targets:
            return
        now, before = losses(engine.model, targets), None
        if ref.adapter is not None and not isinstance(bare := load_engine(name, replace(ref, adapter=None)), Finding):
            before = losses(bare.model, targets)
        found = shift_finding(name, now, before)
        self.found += [] if found is None else [found]

    def _targets(self, engine: TransformersEngine) -> list[Row]:
        """Some gold targets with their prompts; empty if the data can no longer be read."""
        if self.targets is None:
            task, self.targets = self.recipe.task, []
            split = next((s for s in task.splits() if s == "demonstrations"), self.recipe.evaluate.on)
            try:
                pairs = [(e.question, target) for e, target in targets(task, split)[0][:_TARGETS]]
            except InputError:
                pairs = []
            for question, target in pairs:
                prompt = prompt_ids(engine.tokenizer, task.format, question)
                self.targets.append((prompt, target_ids(engine.tokenizer, target)))
        return self.targets

    def _is_trained(self, name: str) -> bool:
        return name in self.recipe.stages or (name == BASE and self.base_is_trained)

    def _engine(self, name: str, ref: ModelRef) -> TransformersEngine | None:
        engine = load_engine(name, ref)
        if not isinstance(engine, Finding):
            try:
                try_prompt(engine.tokenizer, self.recipe.task.format, ref.base.name)
                return engine
            except ModelError as error:
                engine = _refused(error)
        self.found += [engine] if engine not in self.found else []
        return None

    def diagnosis(self, subject: str) -> Diagnosis:
        """The finished diagnosis, the likeliest cause first."""
        self._compare()
        evaluate = self.recipe.evaluate
        if (few := few_questions(self.measured, evaluate.on)) is not None:
            self.found = [few, *(f for f in self.found if f.check != few.check)]
        decoding = {"temperature": evaluate.temperature, "max_tokens": evaluate.max_tokens, "engine": evaluate.engine}
        made = Diagnosis(
            subject,
            likeliest_first(told_only(self.found, self.recipe.limits.ignore)),
            tuple(self.measured),
            tuple(self.generations),
            self.report.rows,
            decoding | {"stop": list(self.recipe.task.format.stop)},
            tuple(self.curves),
        )
        return replace(made, generations=tuple(sorted(made.generations, key=lambda g: g.model != made.in_question)))

    def _ask(self, name: str, engine: TransformersEngine) -> list[Written]:
        try:
            examples = self.recipe.task.examples(self.recipe.evaluate.on)[: self.questions]
        except InputError:
            return []
        rows = asked(engine, self.recipe.task, examples, self.recipe.evaluate.max_tokens)
        self._take(name, rows, "asked now")
        self._show(name, engine, rows)
        return rows

    def _take(self, name: str, rows: list[Written], source: str) -> None:
        if not rows:
            return
        self.answers[name] = rows
        counted = summary_of(r.status for r in rows)
        self.measured.append(
            Measured(name, counted.accuracy, *counted.interval, counted.answer_rate, counted.n, source)
        )
        trained, task = self._is_trained(name), self.recipe.task
        written = list(written_findings(name, rows, trained, "" if task.own_verdict else task.judge.type))
        again = {f.check for f in written}  # those noticed during evaluation repeat them, with fewer facts
        noticed = f"stage evaluate.{name}: "
        self.found = [f for f in self.found if f.check not in again or not f.what.startswith(noticed)]
        self.found += written
        self.found += reading_findings(name, rows, task, trained)
        self._little(name, rows)
        stage = self.past.stages.get(name)
        if source == "evaluation" and stage is not None and self.plan is not None:
            then = stage.run.judging_digest()
            now = next((s.judging_digest for s in self.plan.stages if s.name == f"evaluate.{name}"), None)
            found = judged_again(name, self.recipe.task, rows, None if None in (then, now) else then == now)
            self.found += [] if found is None else [found]

    def _little(self, name: str, rows: list[Written]) -> None:
        """Check whether a model was trained too little; replaces the finding from its curve alone."""
        stage, spec = self.past.stages.get(name), self.recipe.stages.get(name)
        if stage is None or not isinstance(spec, Training):
            return
        settings, found = spec.model_dump(mode="json"), None
        if spec.row_sources() and spec.model == BASE and not self.base_is_trained:
            found = too_little(name, stage.curves, settings, rows)
        told = [f for f in self.found if f.what.startswith((f"stage {name}: ", f"model {name} ", f"model {name}: "))]
        if found is None and all(f.check in _SYMPTOMS or f.severity == "info" for f in told):
            found = few_steps(name, stage.headline, stage.curves, settings, self.measured[-1])
        if found is not None:
            same = f"stage {name}: "
            self.found = [f for f in self.found if not (f.check == found.check and f.what.startswith(same))] + [found]

    def _show(self, name: str, engine: TransformersEngine, rows: Sequence[Written]) -> None:
        for row in rows[:_SHOWN]:
            prompt = engine.tokenizer.decode(prompt_ids(engine.tokenizer, self.recipe.task.format, row.question))
            self.generations.append(Generation(name, row.question, prompt, row.text, row.value, row.gold, row.status))

    def _compare(self) -> None:
        """Compare each model with the starting model; a significant drop makes a changed format an error."""
        started = ALONE if ALONE in self.answers else BASE
        worse = [
            finding
            for name, rows in self.answers.items()
            if name != started and started in self.answers
            for finding in fell(name, rows, started, self.answers[started])
        ]
        self.found += worse
        for index, finding in enumerate(self.found):
            if finding.check == "format-changed" and worse:
                self.found[index] = replace(
                    finding,
                    severity="error",
                    evidence=f"{worse[0].what}\n{worse[0].evidence}\n{finding.evidence}",
                    cause="the drop is significant, and the format change explains it: " + finding.cause,
                )


def left(stage: PastStage) -> Iterator[Finding]:
    """The finding for a damaged output file of a finished stage."""
    if stage.status == "FINISHED" and stage.output is not None:
        found = output_finding(stage.name, stage.store.artifact(stage.origin, stage.output))
        if found is not None and stage.output != MODEL:  # models are inspected separately
            yield found


def _refused(error: InputError) -> Finding:
    return Finding(
        "set-up-refused",
        "error",
        f"the recipe no longer validates: {error.problems[0]}",
        "\n".join(error.problems),
        "a file, model or setting it refers to has changed or is missing",
        "fix the lines above and run `orch check` again",
    )


def failures(stage: PastStage, run_id: str) -> Iterator[Finding]:
    """The finding for a failed stage, or for the failed evaluation of its model."""
    if stage.error is None or stage.status == "KILLED":
        return
    only_evaluated = stage.status == "FINISHED" or stage.verb == "evaluate"
    name = f"evaluate.{stage.name}" if only_evaluated else stage.name
    file = stage.store.artifact(stage.run_id, log_of(name))
    log = file.read_text(encoding="utf-8") if file.is_file() else None
    yield failure(name, stage.error, log, f"orch logs {run_id[:8]} {name}")


def missing(name: str, error: ModelError) -> Finding:
    return Finding(
        "model-missing",
        "error",
        f"model {name}: {error.problems[0].removeprefix('model.name: ')}",
        "it was trained whole (lora: null), and it, or the whole model under its adapter, is read from that folder",
        "it was deleted, was never saved, or a copy was interrupted",
        "train it again (the stage runs again), or copy the files back",
    )
