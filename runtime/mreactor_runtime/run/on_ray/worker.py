"""A worker of a Ray cluster: an actor with a model of its own that does clips.

It runs on any machine of the cluster, from the folder that the run was started in, and writes
results where one process would. What is said of them goes to the process that started the run.
"""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mreactor_ref.data.inputs import Inputs, listed
from mreactor_ref.data.reading import open_hearing
from mreactor_ref.errors import MReactorError, UsageError
from mreactor_runtime.run.events import ENDED, RAISED, Event, sendable
from mreactor_runtime.run.failures import WORKER, Failure
from mreactor_runtime.run.ferry import Ferry, Parcel, moved
from mreactor_runtime.run.job import full_disk
from mreactor_runtime.run.loop import ClipLoop
from mreactor_runtime.run.on_ray.copies import made_folder
from mreactor_runtime.run.on_ray.outbox import Outbox
from mreactor_runtime.run.on_ray.tries import MOST_TRIES
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.plan import Plan, plan_run
from mreactor_runtime.run.results import Ledger, Results
from mreactor_runtime.run.run_json import difference
from mreactor_runtime.run.stores import Mirrors, is_url
from mreactor_runtime.run.summary import Summary
from mreactor_runtime.run.worker import OpenRun

OPENING = "opening"  # what is tried


@dataclass(frozen=True)
class RayTask:
    """The work of the workers; it is pickled.

    Attributes:
        folder: that the run was started in, from which its paths go.
        input, output: folders that all machines have under the same names, or URLs.
        input_folders: of the clips, as `Found` has them.
        origin: where the process that shares the work out has its mirrors.
        open_run, device, threads: as of a process that does a shard.
    """

    folder: Path
    input: Inputs
    input_folders: tuple[Path, ...]
    output: str | Path
    origin: Path
    options: Options
    open_run: OpenRun
    device: str
    threads: int | None


def plan_there(task: RayTask) -> Plan | Exception:
    """The plan of a run, made on a machine of the cluster; or what stands against it."""
    try:
        _enter(task)
        reactor, extras, explain = task.open_run(task.device, task.threads)
        return plan_run(task.input, reactor, task.options, extras, explain)
    except Exception as error:
        return sendable(error)


class RayWorker:
    """An actor of a pool of Ray Data.

    Copies of what lies at URLs are in a folder of its own, of which `drop_copies` rids a machine.

    An error in opening is kept for the first clips: Ray would start the actor again and again. So
    it does with one that dies, and with the chunk that it was at; `tries` tells when to stop.

    Args: tries: the actor `Tries`. workers: in the pool.
    """

    def __init__(self, task: RayTask, plan: Plan, tries: Any, workers: int):
        self._name = f"{socket.gethostname()} {os.getpid()}"
        self._origin, self._tries, self._error = task.origin, tries, None
        try:
            with self._begun(OPENING) as times:
                if times >= MOST_TRIES * workers:
                    raise MReactorError(
                        "workers die while they open the model",
                        fix="give fewer of them more memory: --ray-concurrency",
                    )
                self._loop, self._summary = self._opened(task, plan)
        except Exception as error:
            self._error = sendable(error)

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[dict[str, list[bytes]]]:
        """Rows of pickled events, each as soon as there are some, of rows of pickled parcels."""
        for row in batch["clips"]:
            parcels: Sequence[Parcel] = pickle.loads(row)
            with self._begun(f"{len(parcels)} from {parcels[0].clip.id}") as times:
                if times and len(parcels) > 1:
                    continue  # Ray would pass over as many rows as the dead worker has sent
                rows = self._do(parcels) if len(parcels) > 1 else self._do_alone(parcels, times)
                with closing(rows):
                    for events in rows:
                        yield {"events": [pickle.dumps(events)]}

    def _opened(self, task: RayTask, plan: Plan) -> tuple[ClipLoop, Summary]:
        """Raises UsageError where this machine would make other bytes than the plan's."""
        _enter(task)
        options = task.options
        reactor, extras, explain = task.open_run(task.device, task.threads)
        here = plan_run(task.input, reactor, options, extras, explain)
        if here.fingerprint != plan.fingerprint:
            how = difference(plan.record, here.record) or "it is not known how"
            raise UsageError(
                f"{socket.gethostname()} makes other results than the first machine: {how}",
                fix="take machines of one kind with the same packages",
            )
        hear = open_hearing(options.reading, reactor.engine.device.type)
        mirrors = Mirrors(made_folder(task.origin), listed(task.input), task.output)
        self._outbox = Outbox(mirrors.with_urls)
        self._ferry = Ferry(mirrors, plan.beside, self._outbox)
        summary = Summary(mirrors.output, 0)
        ledger = Ledger(self._outbox, summary, self._ferry, plan.head)
        results = Results(
            mirrors.output, ledger, extras, explain is not None, options.debug, max_errors=None
        )
        folders = [moved(folder, task.origin, mirrors.folder) for folder in task.input_folders]
        return ClipLoop(reactor, options, results, explain, hear, folders), summary

    def _do_alone(self, parcels: Sequence[Parcel], times: int) -> Generator[list[Event]]:
        """Do one clip, or fail it where too many workers have died over it; all in one row."""
        if self._error is None and times >= MOST_TRIES:
            message = f"the process that did it has died, {times} times of {times}"
            fix = "see Ray's logs of its workers"
            failure = Failure(parcels[0].clip.id, WORKER, "WorkerDied", None, message, fix)
            self._loop.results.ledger.failed(failure, 0.0)
            yield self._outbox.taken()
        else:
            yield [event for events in self._do(parcels) for event in events]

    @contextmanager
    def _begun(self, key: str) -> Generator[int]:
        """Something that workers may die over; how often they have."""
        import ray

        yield cast("int", ray.get(self._tries.begin.remote(key)))
        self._tries.end.remote(key)

    def _do(self, parcels: Sequence[Parcel]) -> Generator[list[Event]]:
        """Do some clips; what happened since the last time, again and again."""
        if self._error is not None:
            yield [(RAISED, self._error)]
            return
        started, summary = time.perf_counter(), self._summary
        summary.clips += len(parcels)
        try:
            with (
                full_disk(Path(summary.output)),
                self._ferry.unpacked(parcels, self._origin) as clips,
                closing(self._loop.steps(clips)) as steps,
            ):
                for _ in steps:
                    if events := self._outbox.taken():
                        yield events
        except Exception as error:
            yield [*self._outbox.taken(), (RAISED, sendable(error))]
            return
        summary.seconds += time.perf_counter() - started
        summary.notes.clear()  # they are sent
        yield [*self._outbox.taken(), (ENDED, (self._name, summary))]


def _enter(task: RayTask) -> None:
    """Be in the run's folder. Raises MReactorError where this machine does not have it."""
    folders = [task.folder] + [task.folder / task.output] * (not is_url(task.output))
    for folder in folders:
        if not folder.is_dir():
            raise MReactorError(
                f"is not there on {socket.gethostname()}",
                folder,
                "input and output lie in folders that all machines of the cluster have, or at URLs",
            )
    os.chdir(task.folder)
