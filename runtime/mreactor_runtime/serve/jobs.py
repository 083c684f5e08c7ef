"""Clips at work for requests, and those that are kept until somebody asks for them."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from mreactor_runtime.serve.answers import Answer
from mreactor_runtime.serve.limits import Limits
from mreactor_runtime.serve.options import Asked
from mreactor_runtime.serve.problems import JOB, Refused, refused

WAITING, READING, READY, SAMPLING = "waiting", "reading", "ready", "sampling"
DONE, FAILED = "done", "failed"


@dataclass
class Job:
    """A clip at work.

    Attributes:
        id: that cannot be guessed.
        outcome: the answer, when it comes, or why there is none.
        stage: the last that was reached; of a job that has ended see `state`.
        ended: when, by the monotonic clock.
        fetched: whether somebody had the answer.
    """

    asked: Asked
    id: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    outcome: Future[Answer | Refused] = field(default_factory=Future[Answer | Refused])
    stage: str = WAITING
    ended: float | None = None
    fetched: bool = False

    @property
    def state(self) -> str:
        if not self.outcome.done() or self.outcome.cancelled():
            return self.stage
        return FAILED if isinstance(self.outcome.result(), Refused) else DONE

    def to_dict(self) -> dict[str, Any]:
        """For JSON; a failed one with its error."""
        told: dict[str, Any] = {"id": self.id, "clip": self.asked.clip_id, "state": self.state}
        if self.state not in (DONE, FAILED):
            return told
        outcome = self.outcome.result()
        if isinstance(outcome, Refused):
            return told | outcome.content
        told |= {"result": f"/v1/jobs/{self.id}/result", "warnings": list(outcome.warnings)}
        return told | {"provenance": outcome.provenance.to_dict()}


class Jobs:
    """The jobs that somebody will ask for, by id, until they have been done for too long."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic):
        self._limits, self._clock = limits, clock
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    def keep(self, job: Job) -> None:
        with self._lock:
            self._jobs[job.id] = job
        job.outcome.add_done_callback(lambda _: self._ended(job))

    def get(self, job_id: str) -> Job:
        """Raises Refused: there is none, or no more."""
        with self._lock:
            self._forget_old()
            job = self._jobs.get(job_id)
        if job is None:
            limits = self._limits
            kept = f"{limits.kept_jobs} at the most, for {limits.kept_seconds:g} s"
            message = f"there is no such job; those that are done are kept, {kept}"
            raise refused(HTTPStatus.NOT_FOUND, JOB, message, "send the clip again")
        return job

    def forget(self, job: Job) -> None:
        """A job and its answer are gone; one that nobody has begun is not done."""
        job.outcome.cancel()
        with self._lock:
            self._jobs.pop(job.id, None)

    @property
    def kept(self) -> int:
        with self._lock:
            self._forget_old()
            return len(self._jobs)

    @property
    def unfetched(self) -> int:
        """Jobs that have ended, and nobody has had the answer."""
        with self._lock:
            self._forget_old()
            ended = (job for job in self._jobs.values() if job.outcome.done())
            return sum(not job.fetched for job in ended)

    def _ended(self, job: Job) -> None:
        with self._lock:
            job.ended = self._clock()
            self._forget_old()

    def _forget_old(self) -> None:
        ended = [job for job in self._jobs.values() if job.ended is not None]
        ended.sort(key=lambda job: job.ended or 0.0)
        oldest = self._clock() - self._limits.kept_seconds
        surplus = len(ended) - self._limits.kept_jobs
        for place, job in enumerate(ended):
            if place < surplus or (job.ended or 0.0) < oldest:
                del self._jobs[job.id]
