"""The scheduler: runs plans on Ray. Cached stages are reused, ready ones run in parallel, shared ones run once.

Its guarantees, whatever happens:

- No two stages run with the same key at once: a walk keeps its running stages by key, and each key has a lock on the
  host. A stage that finds its key taken waits and reuses the output; the lock of a dead owner is free.
- A stage's artifacts are in the store before its key is, and its key before its lock is released and before a stage
  that reads its output starts. Running stages write through a queue that the walk does not wait for; the same goes for
  the reads and writes at the end of a plan.
- Earlier plans go first: a later one gets what they leave of the cluster. While a stage's output is assembled
  and written, its share is kept for its own plan's next stage, but not for long: no GPU waits for a slow store.
- Any error in a stage, wherever it surfaces, is the failure of that stage: it is recorded with its reason, stages that
  depend on it are skipped, and all others continue. Only an interruption, or a store that cannot be reached or written,
  ends a walk; what was finished by then is kept.
- The output of a stage's workers is kept, up to a limit, and is in the store when the stage has finished or failed.
- The driver holds no rows and no weights: workers read and write them, even when an output is assembled. Only paths,
  counts and the rows of a table for people come back.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from orchestrator.errors import OrchError, RefusalError, StageError, TrackingError
from orchestrator.plan.plan import Stage
from orchestrator.runs.claims import Claim, Claims
from orchestrator.runs.cluster import Cluster, disconnect
from orchestrator.runs.context import context_of
from orchestrator.runs.cost import Cost, cost_of
from orchestrator.runs.crew import Call, stop_all
from orchestrator.runs.home import Home, Sent, close_home, sent
from orchestrator.runs.progress import Branch
from orchestrator.runs.running import Running
from orchestrator.runs.spare import end_old_spare, end_spare
from orchestrator.runs.state import StageState
from orchestrator.runs.together import Together, together
from orchestrator.runs.work import WorkFolder, contents_of
from orchestrator.runs.worker_log import Logged, logged, read_log
from orchestrator.runs.writer import Writer
from orchestrator.stages.base import put_together
from orchestrator.stages.context import Context, Job, Output
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.disk_space import disk_full
from orchestrator.store.names import COMPLETIONS
from orchestrator.store.place import store_folder
from orchestrator.store.tables import readable
from orchestrator.training.journal import NAME as JOURNAL
from orchestrator.training.journal import Tail
from orchestrator.training.watch import stops

Listener = Callable[[list[StageState]], None]
_TICK = 0.25
"""Maximum seconds between two polls of the workers."""
_SOON = 0.03
"""The same while something is being written."""
_PATIENCE = 20.0
"""Seconds that a walk which is given up waits for pending writes."""
_RETRIES = 2
"""How often a job whose worker died is restarted; it resumes from its own work folder."""


class Feed(Protocol):
    """Supplies a walk with further plans while it runs."""

    @property
    def ended(self) -> bool:
        """Whether no further plans will come."""
        ...

    def look(self) -> None:
        """Process what has ended, and add the plans to walk next; called before stages are started."""
        ...


class Walk:
    """One walk over plans. Earlier plans go first; later ones use what is left of the cluster.

    If there is a `feed`, it adds plans while the walk runs.
    """

    def __init__(
        self,
        branches: list[Branch],
        store: Store,
        work: WorkFolder,
        cluster: Cluster | None,
        listener: Listener,
        home: Home | None = None,
    ) -> None:
        self.branches, self.store, self.work, self.cluster, self.listener = branches, store, work, cluster, listener
        self.home = home
        self.note = ""
        """What the walk is waiting for, unless its stages show that."""
        self._copied = ""
        """The note that the copy of the work folder lags behind, if it does."""
        self.feed: Feed | None = None
        self.writer = Writer(store.writers)
        """Its owners are the keys of stages and the names of runs."""
        self.running: dict[str, Running] = {}
        """By key: no two plans run the same stage at once."""
        self._claims = Claims(branches, self.running, work, cluster)
        self._origins: dict[str, StoredRun] = {}
        """By id: the runs that hold the inputs of started stages."""
        self._everywhere: dict[Path, bool] = {}
        """Folders of start models, and whether all machines have them."""
        self._no_room: str | None = None
        """The first stage that found the disk full: only its error reports the details."""
        self._ended: dict[str, tuple[Branch, str | Exception]] = {}
        """For each key that this walk has ended: the branch that ran it, and the run with its output, or the error."""

    def go(self) -> None:
        """Walk until every stage of every plan has ended."""
        while not self._settled():
            if self.feed is not None:
                self.feed.look()
            self._start_ready()
            end_old_spare()
            self._tell()
            if self.running:
                self._look()
            elif not self.writer.wait(_TICK) and not self._settled():
                time.sleep(_TICK)  # another process is running what the rest waits for
        end_spare()
        self._tell()
        while not self.writer.flush(_TICK):  # including the curves of failed stages
            self._show()
        for branch in self.branches:
            self.writer.is_written(branch.name)  # raises the error that kept its run from being closed
        self.writer.close()
        self._tell()
        if self.home is not None and self.cluster is not None:
            close_home(self.home, self.cluster)

    def stop(self) -> None:
        """Give up the walk: stop all workers, release all locks, keep what is finished."""
        if self.home is not None and self.cluster is not None:
            stop_all()
            close_home(self.home, self.cluster)
        disconnect()
        with suppress(Exception):  # an error here is not why the walk ends
            self.writer.flush(_PATIENCE)
        self.writer.close()
        for running in self.running.values():
            running.state.given_up()
        for lock in [*(r.lock for r in self.running.values()), *(claim.lock for claim in self._claims)]:
            self.work.release(lock)
        for branch in self._open():
            with suppress(OrchError):
                branch.record.keep_made()

    def tell(self, note: str) -> None:
        """Show what the walk is waiting for; empty: nothing any more. May be called on any thread."""
        changed, self.note = note != self.note, note
        if changed and threading.current_thread() is threading.main_thread():
            self._show()

    def _open(self) -> list[Branch]:
        return [branch for branch in self.branches if branch.result is None]

    def _settled(self) -> bool:
        return all(branch.settled for branch in self.branches) and (self.feed is None or self.feed.ended)

    def _tell(self) -> None:
        copy = self.work.copy
        if copy is not None and self.note in ("", self._copied):
            self._copied = self.note = copy.problem or ""
        for branch in self._open():
            if branch.settled and not branch.closing:
                branch.closing = True
                self.writer.submit(branch.name, branch.name, branch.close)
        self._show()

    def _show(self) -> None:
        self.listener([state for branch in self.branches for state in branch.states.values()])

    def _start_ready(self) -> None:
        """Start every stage that can start now, those of earlier plans first."""
        for branch in self.branches:
            for state in branch.states.values():
                if state.state == "waiting" and branch.ready(state):
                    with self._boundary(branch, state):
                        self._consider(branch, state)
        made = self._finished_elsewhere()
        for claim in self._claims:
            end_old_spare()  # starting a stage may take long: fetching its inputs, or waiting for the store
            stage = claim.state.stage
            with self._boundary(claim.branch, claim.state):
                try:
                    # if the lookup of all failed, look up each: only a stage whose output has changed fails
                    found = (self.store.finished([stage]) if made is None else made).get(stage.key)
                    if found is not None:
                        self._reuse(claim.branch, claim.state, found)
                    else:
                        self._start(claim)
                finally:
                    self._claims.settle(claim)

    def _finished_elsewhere(self) -> dict[str, str] | None:
        """The claimed stages that another process has finished since the plan was made; None if the lookup failed."""
        try:
            return self.store.finished(stages) if (stages := self._claims.stages) else {}
        except Exception as error:
            if _ends_walk(error):
                raise
            return None

    def _consider(self, branch: Branch, state: StageState) -> None:
        """Reuse the outcome of a ready stage if there is one, otherwise claim the stage."""
        stage = state.stage
        if stage.key in self._ended:
            other, end = self._ended[stage.key]
            if isinstance(end, str):
                branch.reuse(state, end, "reused" if other is branch else f"as {other.title}")
            else:
                branch.fail(state, end)
        elif stage.cached is not None:
            self._reuse(branch, state, stage.cached)
        else:
            self._claims.claim(branch, state)

    def _reuse(self, branch: Branch, state: StageState, origin: str) -> None:
        branch.reuse(state, origin)
        if self.work.copy is not None:
            self.work.copy.remove(state.stage.key)  # the process that produced it may have died before doing so

    def _start(self, claim: Claim) -> None:
        assert self.cluster is not None
        branch, state, share = claim.branch, claim.state, claim.share
        stage, cluster = state.stage, self.cluster
        if why := cluster.too_large(share):
            raise OrchError(*(f"stages.{stage.name}.resources.{one}" for one in why))
        self.writer.submit(branch.name, stage.key, lambda: self._write_down(branch, state))
        origins = {name: branch.record.origins[name] for name in stage.inputs} | dict(stage.pooled)
        made = {name: self._input(branch, name) for name in stage.inputs}
        made |= {name: self.store.output(run_id, COMPLETIONS) for name, run_id in stage.pooled.items()}
        copies = self._copies(branch, made, origins)
        drawn = self._drawn(branch, stage, copies)
        work = self.work.folder(stage.key)
        context = context_of(branch.plan, stage, work, made, share, copies, cluster.places(share), drawn)
        state.state, state.started, state.figure = "running", time.monotonic(), ""
        jobs = stage.spec.jobs(context)
        context.begun.unlink(missing_ok=True)
        titles = [f"{stage.name}, job {place} of {len(jobs)}" for place in range(1, len(jobs) + 1)]
        inputs = tuple(copy.relative_to(self.work.root).as_posix() for copy in copies.values())
        calls = [self._call(job, title, context, inputs) for job, title in zip(jobs, titles, strict=True)]
        tail = Tail.of_a_job(context.work / JOURNAL)  # before a worker can rewrite it
        # workers that run a job together have a share each; the call that starts them and waits for them has none
        cpus, gpus = (share.cpus, share.gpus) if share.workers == 1 else (0, 0.0)
        load, several = jobs[0].loads if jobs else "", share.workers > 1
        crew = cluster.submit(calls, cpus, gpus, _RETRIES, with_the_files=several, load=load, starts_workers=several)
        items, leaves = [job.items for job in jobs], [job.leaves for job in jobs]
        state.total = stage.spec.items(context.task)
        state.done = max(0, state.total - sum(items))  # the rest was done before a run was killed
        self.running[stage.key] = Running(
            branch, state, context, claim.lock, crew, [None] * len(jobs), items, leaves, state.done, tail
        )

    def _call(self, job: Job, title: str, context: Context, inputs: tuple[str, ...]) -> Call:
        """A job as a call for one worker, or for several together; `inputs` are the copies that it reads."""
        work = context.work
        if context.share.workers > 1:
            share = context.share
            return together, Together(job.function, job.argument, work, title, share, _RETRIES, self.home, inputs)
        call = logged, Logged(job.function, job.argument, work, title)
        return call if self.home is None else (sent, Sent(*call, self.home, work, inputs, job.leaves))

    def _write_down(self, branch: Branch, state: StageState) -> None:
        """A stage begins: start its run, and note whose work its folder holds."""
        branch.record.started(state)
        if state.state == "running":
            self.work.note(state.stage.key, branch.about(state))

    def _input(self, branch: Branch, name: str) -> Path:
        """The output of a finished stage."""
        stage, origin = branch.plan.stage(name), branch.record.origins[name]
        if origin not in self._origins:
            self._origins[origin] = self.store.find(origin)
        return self.store.output(self._origins[origin], stage.output)

    def _drawn(self, branch: Branch, stage: Stage, copies: dict[Path, Path]) -> Path | None:
        """Stored completions that a stage would otherwise draw, added to `copies` if workers do not see them.

        They only save time: if they were deleted or changed, or are unavailable, they are drawn again.
        """
        if stage.drawn is None:
            return None
        try:
            drawn = readable(self.store.output(stage.drawn, stage.output))
            if self._apart(branch):
                copies[drawn] = self.work.share(drawn, f"draws-{stage.drawn}-{stage.also or 'own'}")
        except Exception as error:
            if _ends_walk(error):
                raise
            return None
        return drawn

    def _apart(self, branch: Branch) -> bool:
        """Whether workers on other machines do not see files in the store."""
        cluster = self.cluster
        return cluster is not None and cluster.joined and (branch.plan.recipe.work_folder or self.home) is not None

    def _copies(self, branch: Branch, made: Mapping[str, Path], origins: Mapping[str, str]) -> dict[Path, Path]:
        """Copies of a stage's inputs in the work folder, if workers on other machines do not see the originals.

        `origins` are the runs that hold the inputs.
        """
        plan = branch.plan
        if not self._apart(branch):
            return {}
        found = {path: self.work.share(path, origins[name]) for name, path in made.items()}
        start = plan.start
        for folder, digest in ((start.base.location, start.base.digest), (start.adapter, start.digest)):
            if folder is not None and Path(folder).is_dir() and not self._is_everywhere(Path(folder)):
                found[Path(folder)] = self.work.share(Path(folder), f"start-{digest[:32]}")
        return found

    def _is_everywhere(self, folder: Path) -> bool:
        """Whether all machines have a folder's files."""
        assert self.cluster is not None
        if folder not in self._everywhere:
            here = contents_of(folder)
            self._everywhere[folder] = all(
                there == here for _, there in self.cluster.on_each_machine(contents_of, folder)
            )
        return self._everywhere[folder]

    def _look(self) -> None:
        """Process what the workers have done since the last call."""
        assert self.cluster is not None
        refs = {ref: key for key, r in self.running.items() for ref in r.crew.pending}
        if refs:
            soon = any(running.worked is not None for running in self.running.values())
            for ref in self.cluster.wait(list(refs), _SOON if soon else _TICK):
                running = self.running.get(refs[ref])
                if running is not None:
                    with self._boundary(running.branch, running.state):
                        self._collect(running, ref)
        else:
            self.writer.wait(_TICK)
        for key, running in list(self.running.items()):
            with self._boundary(running.branch, running.state):
                if not running.state.at_work and running.context.begun.exists():
                    running.state.begun()
                is_written = self.writer.is_written(key)
                if running.output is not None:
                    if is_written:
                        self._conclude(running, running.output)
                    continue
                self._log_points(running, running.read_journal())
                if any(running.items) and (made := running.made) != running.state.done:
                    running.state.progress(made, running.state.total)
                if running.result is not None:
                    self._finish(running)
                elif not running.crew.pending:
                    self._put_together(running)

    def _collect(self, running: Running, ref: Any) -> None:
        taken = running.crew.take(ref)
        if taken is None:  # a worker has its GPU and has begun
            return
        place, done = taken
        if running.finishing:
            running.result = done
            return
        running.done[place] = done

    def end_early(self, branch: Branch, why: str) -> None:
        """Start no further stage of this plan, and stop running ones unless another plan waits for their output.

        Finished stages are kept. The plan's run is closed as KILLED, with the reason.
        """
        branch.given_up = why
        for state in branch.states.values():
            if state.state == "waiting":
                state.state, state.figure = "stopped", why
        for running in list(self.running.values()):
            if running.branch is branch and running.output is None and not self._wanted(branch, running.state.stage):
                self._leave(running)
                running.crew.stop()
                branch.stop(running.state, why)
                self.work.remove(running.state.stage.key)

    def _wanted(self, branch: Branch, stage: Stage) -> bool:
        """Whether another plan waits for a stage's output."""
        return any(
            state.state == "waiting" and state.stage.key == stage.key
            for other in self._open()
            if other is not branch
            for state in other.states.values()
        )

    def _log_points(self, running: Running, points: list[dict[str, Any]]) -> None:
        branch, state = running.branch, running.state
        if points:  # its run is started by the time they are written
            self.writer.submit(branch.name, state.stage.key, lambda: self.store.log_points(str(state.run_id), points))

    def _put_together(self, running: Running) -> None:
        """All jobs are done: let a worker assemble the output. If there were jobs, it reserves no more cores."""
        assert self.cluster is not None
        spec, context = running.state.stage.spec, running.context
        examples = {split: context.task.examples(split) for split in spec.splits_read(context.stages)}
        cpus = 0 if running.done else context.cpus
        title = f"{context.name}, assembling its output"
        call = (logged, Logged(put_together, (spec, context, examples), context.work, title))
        running.worked = time.monotonic() if running.done else None
        running.crew, running.finishing = self.cluster.submit([call], cpus, 0.0, _RETRIES, with_the_files=True), True

    def _finish(self, running: Running) -> None:
        branch, state, stage = running.branch, running.state, running.state.stage
        made, last = [done for done in running.done if done is not None], running.result
        assert last is not None
        output: Output = last.result
        worked = max(d.ended for d in made) - min(d.began for d in made) if made else 0.0
        state.seconds = worked + last.ended - last.began
        for finding in output.findings:
            branch.notice(state, finding)
        if (stop := stops(list(output.findings), branch.plan.recipe.limits.ends_on)) is not None:
            raise StageError(f"stopped by limits.stop_on: {stop.check}: {stop.what}; {stop.remedy}")
        cost = cost_of(made, last, state.seconds, running.context.share.all_gpus, output.tokens)
        self.writer.submit(branch.name, stage.key, lambda: self._write_output(running, output, cost))
        running.output, running.worked = output, running.worked or time.monotonic()

    def _write_output(self, running: Running, output: Output, cost: Cost) -> None:
        """Write a stage's output, and fetch it for the stages that read it."""
        branch, stage = running.branch, running.state.stage
        branch.record.finished(running.state, running.context, output, cost)
        if branch.reads(stage.name):
            try:
                # fetched now, so that the walk need not wait for it
                self._copies(branch, {stage.name: self._input(branch, stage.name)}, branch.record.origins)
            except Exception as error:
                if _ends_walk(error):
                    raise  # any other error is the failure of the stage that reads it

    def _conclude(self, running: Running, output: Output) -> None:
        """Mark a stage as done: all its output is in the store."""
        branch, state, stage = running.branch, running.state, running.state.stage
        state.state, state.figure = "done", output.figure
        self._ended[stage.key] = (branch, branch.record.origins[stage.name])
        self.work.remove(stage.key)
        self._leave(running)

    @contextmanager
    def _boundary(self, branch: Branch, state: StageState) -> Iterator[None]:
        """Treat any error inside as this stage's failure, except for a store that cannot be reached or written."""
        try:
            yield
        except Exception as error:
            if _ends_walk(error):
                raise
            running = self.running.get(state.stage.key)
            if running is not None and running.state is state:
                self._leave(running)
                with suppress(Exception):  # Ray's error about workers that are gone is not the cause
                    running.crew.stop()
            self._fail(branch, state, error)

    def _fail(self, branch: Branch, state: StageState, error: Exception) -> None:
        key = state.stage.key
        full = disk_full(error, self.work.root / key, store_folder(), Path(tempfile.gettempdir()))
        if full is not None:
            error = StageError(full if self._no_room is None else f"no space left, as for stage {self._no_room!r}")
            self._no_room = self._no_room or state.stage.name
        self._ended[key] = (branch, error)
        branch.fail(state, error, read_log(self.work.root / key))
        self.work.give_back(key)

    def _leave(self, running: Running) -> None:
        self.running.pop(running.state.stage.key, None)
        self.work.release(running.lock)


def _ends_walk(error: Exception) -> bool:
    """Whether an error is not limited to one stage: the store cannot be reached or written."""
    return isinstance(error, TrackingError) and not isinstance(error, RefusalError)
