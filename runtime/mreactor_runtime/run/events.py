"""What a process that does clips tells the one that started it, and how it is heard there."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable
from typing import Any

from mreactor_runtime.run.summary import STAGES, Outcome, Progress, Summary

BEGUN, SAID, REACHED, FINISHED = "begun", "said", "reached", "finished"
ENDED, RAISED = "ended", "raised"
TELLING_SECONDS = 0.2  # between two lines on how far a clip is: a pipe is slow

Event = tuple[str, Any]


class Telling:
    """A progress that sends it all to the process that started this one.

    Args: send: takes a kind of event and what it says.
    """

    def __init__(self, send: Callable[[Event], None]):
        self._send = send
        self._told = -math.inf  # when it last told how far a clip is

    def begin(self, clips: int) -> None:
        self._send((BEGUN, clips))

    def say(self, text: str) -> None:
        self._send((SAID, text))

    def reached(self, clip_id: str, stage: str, part: float) -> None:
        now = time.monotonic()
        if now - self._told >= TELLING_SECONDS:
            self._told = now
            self._send((REACHED, (clip_id, stage, part)))

    def finished(self, outcome: Outcome) -> None:
        self._send((FINISHED, outcome))


def sendable(error: Exception) -> Exception:
    """The error, or what it says where it cannot be pickled and read again."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class Joined:
    """Joins what several processes tell into one, each note once."""

    def __init__(self, progress: Progress, summary: Summary):
        self._progress, self._summary = progress, summary

    def tell(self, kind: str, value: Any) -> None:
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
            summary.missing.update(value.missing)
        else:
            summary.failed[value.clip_id] = value.error
        self._progress.finished(value)

    def ended(self, name: str, theirs: Summary) -> None:
        summary = self._summary
        summary.stopped |= theirs.stopped
        for stage in STAGES:
            summary.stages[stage] += theirs.stages[stage]
        told = theirs.to_dict()
        keys = ("clips", "kept", "done", "failed", "seconds", "stages", "sampler_busy")
        summary.devices.append({"device": name} | {key: told[key] for key in keys})
