"""A process that does a shard of a run, and what it tells the one that started it."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mreactor_ref.data.inputs import Inputs
from mreactor_ref.errors import MReactorError
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run.extras import Extra
from mreactor_runtime.run.job import Job, do_job
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.reading import Explain
from mreactor_runtime.run.shard import WHOLE
from mreactor_runtime.run.summary import STAGES, Outcome, Progress, Summary

PATIENCE = 30.0  # seconds that a process has to end, when the run is interrupted

BEGUN, SAID, REACHED, FINISHED = "begun", "said", "reached", "finished"
ENDED, RAISED = "ended", "raised"
TELLING_SECONDS = 0.2  # between two lines on how far a clip is: a pipe is slow

# Opens what a process needs, there, on its device and with its CPU threads; it is pickled.
OpenRun = Callable[[str, int | None], tuple[Reactor, Sequence[Extra], Explain | None]]


@dataclass(frozen=True)
class Task:
    """The work of a process."""

    input: Inputs
    output: Path
    options: Options
    open_run: OpenRun
    device: str
    threads: int | None


class Worker:
    """A process, started, with our end of its pipe.

    Args:
        name: for people. environment: variables that it has of its own.
        clips: in its shard.

    Attributes:
        to_do: clips that are not done already, once it has begun. summary: once it is done.
        error: what ended it before.
    """

    def __init__(self, task: Task, name: str, environment: Mapping[str, str], clips: int):
        context = multiprocessing.get_context("spawn")
        self.name, self.shard, self.clips = name, task.options.shard or WHOLE, clips
        self.to_do: int | None = None
        self.summary: Summary | None = None
        self.error: BaseException | None = None
        self.events, theirs = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(
            target=_work, args=(task, theirs), name=name, daemon=True
        )
        with _environment(environment), _without_interrupts():
            self.process.start()
        theirs.close()  # or the end of the process would not be seen

    def next_event(self) -> tuple[str, Any] | None:
        """The next event of the process; None where it has ended."""
        try:
            return self.events.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            if self.summary is None and self.error is None:
                self.error = MReactorError(
                    f"the process on {self.name} has died (exit {self.process.exitcode})",
                    fix="run it again: what is done is kept",
                )
            return None


def follow(
    workers: Sequence[Worker], progress: Progress, summary: Summary, max_errors: int | None
) -> None:
    """Pass on what the processes say until all have ended, and count it."""
    told = _Together(progress, summary)
    running = {worker.events: worker for worker in workers}
    while running:
        for events in wait(list(running)):
            worker = running[events]  # pyright: ignore[reportArgumentType]
            event = worker.next_event()
            if event is None:
                del running[worker.events]
            else:
                told.take(worker, *event)
            told.begin_if_all_have([w for w in workers if w.events in running])
        if max_errors is not None and len(summary.failed) > max_errors and not summary.stopped:
            summary.stopped = True
            for worker in running.values():
                worker.process.terminate()
    names = [worker.name for worker in workers]
    summary.devices.sort(key=lambda device: names.index(device["device"]))


def end(workers: Sequence[Worker]) -> None:
    """Make sure that no process is left: each may write what it has, then it is killed."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


class _Together:
    """Joins what several processes tell into one: the beginning once, and each note once."""

    def __init__(self, progress: Progress, summary: Summary):
        self._progress, self._summary = progress, summary
        self._begun = False
        self._to_do = 0
        self._waiting: list[tuple[str, Any]] = []  # what was said before all have begun

    def take(self, worker: Worker, kind: str, value: Any) -> None:
        if kind == BEGUN:
            worker.to_do = value
            self._to_do += value
            self._summary.kept += worker.clips - value
        elif kind == ENDED:
            worker.summary = value
            self._ended(worker.name, value)
        elif kind == RAISED:
            worker.error = value
        elif self._begun:
            self._tell(kind, value)
        else:
            self._waiting.append((kind, value))

    def begin_if_all_have(self, running: Sequence[Worker]) -> None:
        if self._begun or any(worker.to_do is None for worker in running):
            return
        self._begun = True
        self._progress.begin(self._to_do)
        for event in self._waiting:
            self._tell(*event)
        self._waiting.clear()

    def _tell(self, kind: str, value: Any) -> None:
        summary = self._summary
        if kind == SAID:
            if value not in summary.notes:
                summary.notes.append(value)
                self._progress.say(value)
            return
        if kind == REACHED:
            self._progress.reached(*value)
            return
        if value.error is None:
            summary.done += 1
            summary.reactions += value.reactions
        else:
            summary.failed[value.clip_id] = value.error
        self._progress.finished(value)

    def _ended(self, name: str, theirs: Summary) -> None:
        summary = self._summary
        summary.missing += theirs.missing
        summary.stopped |= theirs.stopped
        summary.device_seconds += theirs.device_seconds
        for stage in STAGES:
            summary.stages[stage] += theirs.stages[stage]
        told = theirs.to_dict()
        keys = ("clips", "kept", "done", "failed", "seconds", "stages", "sampler_busy")
        summary.devices.append({"device": name} | {key: told[key] for key in keys})


@contextmanager
def _environment(own: Mapping[str, str]) -> Generator[None]:
    """Variables for the processes that are started inside."""
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Generator[None]:
    """Processes that are started inside ignore Ctrl-C, which a terminal sends to them as well: it
    is for the one that started them to end them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Telling:
    """A progress that sends it all to the process that started this one."""

    def __init__(self, events: Connection):
        self._events = events
        self._told = -math.inf  # when it last told how far a clip is

    def begin(self, clips: int) -> None:
        self._events.send((BEGUN, clips))

    def say(self, text: str) -> None:
        self._events.send((SAID, text))

    def reached(self, clip_id: str, stage: str, part: float) -> None:
        now = time.monotonic()
        if now - self._told >= TELLING_SECONDS:
            self._told = now
            self._events.send((REACHED, (clip_id, stage, part)))

    def finished(self, outcome: Outcome) -> None:
        self._events.send((FINISHED, outcome))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _work(task: Task, events: Connection) -> None:
    """In the process."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        try:
            reactor, extras, explain = task.open_run(task.device, task.threads)
            telling = _Telling(events)
            job = Job(task.input, task.output, reactor, task.options, telling, extras, explain)
            summary = do_job(job)
        except Exception as error:
            events.send((RAISED, _sendable(error)))
        else:
            events.send((ENDED, summary))
    except (BrokenPipeError, KeyboardInterrupt):
        return  # nobody listens any more, or it was asked to end


def _sendable(error: Exception) -> Exception:
    """The error, or what it says where it cannot be pickled and read again."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
