"""The scheduler: carries out plans on Ray. Cached stages are reused, ready ones run side by side, shared ones run once.

What it guarantees, whatever happens:

- A key is made by one stage at a time: within a walk by its name, on one host by a lock. Whoever finds it being made
  waits for it and takes what was made; the lock of an owner that died is free.
- A stage's artifacts are in the store before its key is, and its key before its lock is released and before a stage
  that reads of it starts. What running stages write goes through a queue that the walk does not wait for, and so does
  what is read and written when a plan ends.
- Earlier plans have right of way: a later one gets what they leave of the machine. While a stage is put together and
  written its share is kept for its own plan's next stage, but not for long: no GPU waits for a slow store.
- Whatever goes wrong with a stage, wherever that comes to light, is the failure of that stage: it is recorded with its
  reason, stages that read of it are skipped, all others go on. Only an interruption, and a store that cannot be reached
  or written, end a walk; what was finished by then is kept.
- What the workers of a stage write is kept, bounded, and is in the store when the stage is finished or has failed.
- The driver holds no rows and no weights: workers read and write them, also where an output is put together. What
  comes back are paths, counts and the rows of a table that people look at.
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
"""Seconds between two looks at the workers, at the most."""
_SOON = 0.03
"""The same while something is written."""
_PATIENCE = 20.0
"""Seconds that a walk which is given up waits for what is to be written."""
_RETRIES = 2
"""How often a job whose worker died is started again; it goes on from its own work folder."""


class Feed(Protocol):
    """Gives a walk further plans while it goes on."""

    @property
    def ended(self) -> bool:
        """Whether no further plan will come."""
        ...

    def look(self) -> None:
        """Take in what has come to an end, and add what is to be walked next; called before stages are started."""
        ...


class Walk:
    """One walk over plans. Earlier plans go first; later ones take what is left of the machine.

    Where there is a `feed`, plans come while the walk goes on.
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
        """What the walk waits for, where that is nothing that its stages tell."""
        self._copied = ""
        """The note that the copy of the work folder lags behind, if it does."""
        self.feed: Feed | None = None
        self.writer = Writer(store.writers)
        """Its owners are the keys of stages, and the names of runs."""
        self.running: dict[str, Running] = {}
        """By key: no two plans make the same at once."""
        self._claims = Claims(branches, self.running, work, cluster)
        self._origins: dict[str, StoredRun] = {}
        """By id: the runs that hold what started stages read."""
        self._everywhere: dict[Path, bool] = {}
        """Folders of start models, and whether all machines have them."""
        self._no_room: str | None = None
        """The first stage that found the disk full: what there is to say of it is said with that one."""
        self._ended: dict[str, tuple[Branch, str | Exception]] = {}
        """For each key that this walk has come to the end of: who made it, and the run that holds it or the error."""

    def go(self) -> None:
        """Walk until every stage of every plan has come to an end."""
        while not self._settled():
            if self.feed is not None:
                self.feed.look()
            self._start_ready()
            end_old_spare()
            self._tell()
            if self.running:
                self._look()
            elif not self.writer.wait(_TICK) and not self._settled():
                time.sleep(_TICK)  # another process makes what the rest waits for
        end_spare()
        self._tell()
        while not self.writer.flush(_TICK):  # also the curves of stages that have failed
            self._show()
        for branch in self.branches:
            self.writer.is_written(branch.name)  # raises what kept its run from being closed
        self.writer.close()
        self._tell()
        if self.home is not None and self.cluster is not None:
            close_home(self.home, self.cluster)

    def stop(self) -> None:
        """The walk is given up: no worker goes on, no lock is held, what is made is kept."""
        if self.home is not None and self.cluster is not None:
            stop_all()
            close_home(self.home, self.cluster)
        disconnect()
        with suppress(Exception):  # what goes wrong now is not why the walk ends
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
        """Have it shown what the walk waits for; empty: for nothing any more. On whatever thread."""
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
        """Start every stage that can be started now, those of earlier plans first."""
        for branch in self.branches:
            for state in branch.states.values():
                if state.state == "waiting" and branch.ready(state):
                    with self._boundary(branch, state):
                        self._consider(branch, state)
        made = self._finished_elsewhere()
        for claim in self._claims:
            stage = claim.state.stage
            with self._boundary(claim.branch, claim.state):
                try:
                    # where it could not be said of all, the stage whose output is not what it was fails by itself
                    found = (self.store.finished([stage]) if made is None else made).get(stage.key)
                    if found is not None:
                        self._reuse(claim.branch, claim.state, found)
                    else:
                        self._start(claim)
                finally:
                    self._claims.settle(claim)

    def _finished_elsewhere(self) -> dict[str, str] | None:
        """The claimed stages that another process has made since the plan; None where that cannot be said of all."""
        try:
            return self.store.finished(stages) if (stages := self._claims.stages) else {}
        except Exception as error:
            if _ends_walk(error):
                raise
            return None

    def _consider(self, branch: Branch, state: StageState) -> None:
        """Take what is made of a stage that is ready, else claim it."""
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
            self.work.copy.remove(state.stage.key)  # whoever has made it may have been lost before that

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
        tail = Tail.of_a_job(context.work / JOURNAL)  # before a worker can write it again
        # workers that make a job together have a share each; who starts them and waits for them has none
        cpus, gpus = (share.cpus, share.gpus) if share.workers == 1 else (0, 0.0)
        load, several = jobs[0].loads if jobs else "", share.workers > 1
        crew = cluster.submit(calls, cpus, gpus, _RETRIES, with_the_files=several, load=load, starts_workers=several)
        items, leaves = [job.items for job in jobs], [job.leaves for job in jobs]
        state.total = stage.spec.items(context.task)
        state.done = max(0, state.total - sum(items))  # the rest was made before a run was killed
        self.running[stage.key] = Running(
            branch, state, context, claim.lock, crew, [None] * len(jobs), items, leaves, state.done, tail
        )

    def _call(self, job: Job, title: str, context: Context, inputs: tuple[str, ...]) -> Call:
        """A job as a worker makes it, or several together; `inputs` are the copies that it reads."""
        work = context.work
        if context.share.workers > 1:
            share = context.share
            return together, Together(job.function, job.argument, work, title, share, _RETRIES, self.home, inputs)
        call = logged, Logged(job.function, job.argument, work, title)
        return call if self.home is None else (sent, Sent(*call, self.home, work, inputs, job.leaves))

    def _write_down(self, branch: Branch, state: StageState) -> None:
        """A stage begins: its run, and whose work its folder holds."""
        branch.record.started(state)
        if state.state == "running":
            self.work.note(state.stage.key, branch.about(state))

    def _input(self, branch: Branch, name: str) -> Path:
        """What a finished stage has made."""
        stage, origin = branch.plan.stage(name), branch.record.origins[name]
        if origin not in self._origins:
            self._origins[origin] = self.store.find(origin)
        return self.store.output(self._origins[origin], stage.output)

    def _drawn(self, branch: Branch, stage: Stage, copies: dict[Path, Path]) -> Path | None:
        """Completions that a stage would draw, put among the `copies` where workers do not see them.

        They only save time: what was deleted or changed since, or cannot be had, is drawn again.
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
        """Whether workers on other machines do not see what lies in the store."""
        cluster = self.cluster
        return cluster is not None and cluster.joined and (branch.plan.recipe.work_folder or self.home) is not None

    def _copies(self, branch: Branch, made: Mapping[str, Path], origins: Mapping[str, str]) -> dict[Path, Path]:
        """Of what a stage reads: copies in the work folder, where workers on other machines do not see it itself.

        `origins` are the runs that hold it.
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
        """Take in what the workers have done since the last look."""
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
        if taken is None:  # a worker has its GPU, and has begun
            return
        place, done = taken
        if running.finishing:
            running.result = done
            return
        running.done[place] = done

    def end_early(self, branch: Branch, why: str) -> None:
        """No further stage of this plan is begun; one that runs is ended, unless another plan waits for what it makes.

        What is finished stays. The plan's run is closed as KILLED, with the reason.
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
        """Whether another plan waits for what a stage makes."""
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
        """All jobs are done: a worker puts the output together. Where there were jobs, it takes no more cores."""
        assert self.cluster is not None
        spec, context = running.state.stage.spec, running.context
        examples = {split: context.task.examples(split) for split in spec.splits_read(context.stages)}
        cpus = 0 if running.done else context.cpus
        title = f"{context.name}, putting its output together"
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
        """What a stage has made, and its run as those will need it that read of it."""
        branch, stage = running.branch, running.state.stage
        branch.record.finished(running.state, running.context, output, cost)
        if branch.reads(stage.name):
            try:
                # it is fetched now, so that the walk need not wait for it
                self._copies(branch, {stage.name: self._input(branch, stage.name)}, branch.record.origins)
            except Exception as error:
                if _ends_walk(error):
                    raise  # any other is the failure of the stage that reads it

    def _conclude(self, running: Running, output: Output) -> None:
        """All that a stage writes is in the store."""
        branch, state, stage = running.branch, running.state, running.state.stage
        state.state, state.figure = "done", output.figure
        self._ended[stage.key] = (branch, branch.record.origins[stage.name])
        self.work.remove(stage.key)
        self._leave(running)

    @contextmanager
    def _boundary(self, branch: Branch, state: StageState) -> Iterator[None]:
        """Whatever goes wrong inside is this stage's failure, but for a store that cannot be reached or written."""
        try:
            yield
        except Exception as error:
            if _ends_walk(error):
                raise
            running = self.running.get(state.stage.key)
            if running is not None and running.state is state:
                self._leave(running)
                with suppress(Exception):  # what Ray says of workers that are gone is not what went wrong
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
    """Whether an error is no single stage's: the store cannot be reached or written."""
    return isinstance(error, TrackingError) and not isinstance(error, RefusalError)
