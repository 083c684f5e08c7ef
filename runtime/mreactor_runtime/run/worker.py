"""A process that does a shard of a run, and what it tells the one that started it."""

from __future__ import annotations

import math
import multiprocessing
import os
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
from mreactor_runtime.run.events import BEGUN, ENDED, RAISED, Event, Joined, Telling, sendable
from mreactor_runtime.run.extras import Extra
from mreactor_runtime.run.job import do_job, open_job
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.reading import Explain
from mreactor_runtime.run.shard import WHOLE
from mreactor_runtime.run.summary import Progress, Summary

PATIENCE = 30.0  # seconds that a process has to end, when it is done or the run is interrupted

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
        self._latest = math.inf  # when it is to have ended
        self.events, theirs = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(
            target=_work, args=(task, theirs), name=name, daemon=True
        )
        with variables(environment), _without_interrupts():
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

    @property
    def is_ending(self) -> bool:
        return self._latest < math.inf

    def is_to_end(self) -> None:
        """From now on it has PATIENCE: something may go on in it when its work is done."""
        self._latest = min(self._latest, time.monotonic() + PATIENCE)

    def kill_if_late(self) -> None:
        if time.monotonic() > self._latest:
            self.process.kill()


def follow(
    workers: Sequence[Worker], progress: Progress, summary: Summary, max_errors: int | None
) -> None:
    """Pass on what the processes say until all have ended, and count it."""
    told = _Together(progress, summary)
    running = {worker.events: worker for worker in workers}
    stopping = False
    while running:
        ready = wait(list(running), PATIENCE if any(w.is_ending for w in workers) else None)
        for worker in running.values():
            worker.kill_if_late()
        for events in ready:
            worker = running[events]  # pyright: ignore[reportArgumentType]
            event = worker.next_event()
            if event is None:
                del running[worker.events]
            else:
                told.take(worker, *event)
            told.begin_if_all_have([w for w in workers if w.events in running])
        if max_errors is not None and len(summary.failed) > max_errors and not stopping:
            summary.stopped = stopping = True
            for worker in running.values():
                worker.process.terminate()
                worker.is_to_end()
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


class _Together(Joined):
    """Likewise, with the beginning once, before anything else."""

    def __init__(self, progress: Progress, summary: Summary):
        super().__init__(progress, summary)
        self._begun = False
        self._to_do = 0
        self._waiting: list[Event] = []  # what was said before all have begun

    def take(self, worker: Worker, kind: str, value: Any) -> None:
        if kind == BEGUN:
            worker.to_do = value
            self._to_do += value
            self._summary.kept += worker.clips - value
        elif kind == ENDED:
            worker.summary = value
            worker.is_to_end()
            self.ended(worker.name, value)
        elif kind == RAISED:
            worker.error = value
            worker.is_to_end()
        elif self._begun:
            self.tell(kind, value)
        else:
            self._waiting.append((kind, value))

    def begin_if_all_have(self, running: Sequence[Worker]) -> None:
        if self._begun or any(worker.to_do is None for worker in running):
            return
        self._begun = True
        self._progress.begin(self._to_do)
        for event in self._waiting:
            self.tell(*event)
        self._waiting.clear()


@contextmanager
def variables(own: Mapping[str, str]) -> Generator[None]:
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


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _work(task: Task, events: Connection) -> None:
    """In the process."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        try:
            reactor, extras, explain = task.open_run(task.device, task.threads)
            telling = Telling(events.send)
            job = open_job(task.input, task.output, reactor, task.options, telling, extras, explain)
            summary = do_job(job)
        except Exception as error:
            events.send((RAISED, sendable(error)))
        else:
            events.send((ENDED, summary))
    except (BrokenPipeError, KeyboardInterrupt):
        return  # nobody listens any more, or it was asked to end
