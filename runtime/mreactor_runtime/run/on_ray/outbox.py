"""The events of a worker of a cluster, until they are sent to the process that started the run."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from mreactor_runtime.run.events import SAID, Event
from mreactor_runtime.run.failures import Failure
from mreactor_runtime.run.manifest import Line
from mreactor_runtime.run.summary import Outcome

DONE = "done"  # a kind of event: a `ClipEnd`


class ClipEnd(NamedTuple):
    """The end of a clip: its lines, and what people are told."""

    line: Line
    failure: Failure | None
    outcome: Outcome


class Outbox:
    """Keeps the lines of clips, and what is said of them, until they are sent.

    The ledger writes here in any thread, one at a time; a clip's line comes before its outcome.

    Args: with_urls: puts URLs in the place of names of files that are copies here.
    """

    def __init__(self, with_urls: Callable[[str], str] = str) -> None:
        self._with_urls = with_urls
        self._events: deque[Event] = deque()
        self._line: Line = {}
        self._failure: Failure | None = None

    def add(self, line: Line) -> None:
        self._line = json.loads(self._with_urls(json.dumps(line)))

    def add_failure(self, failure: Failure) -> None:
        path = failure.path and self._with_urls(failure.path)
        self._failure = replace(failure, path=path, message=self._with_urls(failure.message))

    def begin(self, clips: int) -> None: ...

    def say(self, text: str) -> None:
        self._events.append((SAID, text))

    def reached(self, clip_id: str, stage: str, part: float) -> None: ...

    def finished(self, outcome: Outcome) -> None:
        self._events.append((DONE, ClipEnd(self._line, self._failure, outcome)))
        self._failure = None

    def taken(self) -> list[Event]:
        """What is there, which it is rid of."""
        return [self._events.popleft() for _ in range(len(self._events))]
