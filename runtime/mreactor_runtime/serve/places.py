"""Room for the clips that are taken in and not answered; who finds none is told when to come."""

from __future__ import annotations

import math
import threading
from http import HTTPStatus

from mreactor_runtime.serve.problems import QUEUE, refused

FIRST_GUESS = 1.0  # seconds that a clip takes
NEW_SHARE = 0.2  # of the newest clip in the mean
SHORTEST, LONGEST = 1, 120  # seconds to wait


class Places:
    """So many places; a clip has one from before its body is read until it is answered."""

    def __init__(self, count: int):
        self._count, self._taken, self._closed = count, 0, False
        self._changed = threading.Condition()
        self._seconds = FIRST_GUESS

    def take(self) -> None:
        """Raises Refused: all are taken, or the service ends."""
        with self._changed:
            headers = {"Retry-After": str(self._wait())}
            if self._closed:
                message, fix = "the service ends and takes no more clips", "try another, or later"
                headers["Connection"] = "close"
                raise refused(HTTPStatus.SERVICE_UNAVAILABLE, QUEUE, message, fix, None, headers)
            if self._taken >= self._count:
                message = f"{self._taken} clips are waiting or at work, no more are taken in"
                fix = f"try again in {headers['Retry-After']} s"
                raise refused(HTTPStatus.TOO_MANY_REQUESTS, QUEUE, message, fix, None, headers)
            self._taken += 1

    def give_back(self) -> None:
        with self._changed:
            self._taken -= 1
            self._changed.notify_all()

    def took(self, seconds: float) -> None:
        """A clip has been sampled in so many seconds."""
        with self._changed:
            self._seconds += NEW_SHARE * (seconds - self._seconds)

    def close(self) -> None:
        """Give none any more."""
        with self._changed:
            self._closed = True

    def wait_until_free(self, seconds: float) -> bool:
        """Wait until none is taken; whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._taken, seconds)

    @property
    def taken(self) -> int:
        return self._taken

    @property
    def closed(self) -> bool:
        return self._closed

    def _wait(self) -> int:
        """Seconds until a place is likely to be free."""
        return min(max(math.ceil(self._seconds), SHORTEST), LONGEST)
