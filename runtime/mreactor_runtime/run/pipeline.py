"""Reading, sampling and writing at once: threads that read ahead, and one that writes.

The sampler stays in the thread of its caller. What is held in memory between the stages is bounded,
so a run of any length takes the memory of a short one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")

CLOSING_SECONDS = 10.0  # a thread that reads may be waiting for a server
WAITING_RESULTS = 4  # that are not written yet


class ReadAhead(Generic[T, R]):
    """The results of `read` for each item, in order, made before they are asked for.

    Args:
        read: called from several threads; what it raises, the one who asks gets.
        size: of a result, in any unit.
        threads: that read.
        most, most_size: a thread starts on another item only while fewer results than this wait,
            and less than this of them together.
    """

    def __init__(
        self,
        items: Sequence[T],
        read: Callable[[T], R],
        size: Callable[[R], int],
        threads: int,
        most: int,
        most_size: int,
    ):
        self._items, self._read, self._size = items, read, size
        self._most, self._most_size = most, most_size
        self._changed = threading.Condition()
        self._started = self._taken = self._held = 0
        self._ready: dict[int, R] = {}
        self._error: BaseException | None = None
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"reads clips {i}", daemon=True)
            for i in range(min(threads, len(items)))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(CLOSING_SECONDS)

    def __iter__(self) -> Iterator[R]:
        for place in range(len(self._items)):
            with self._changed:
                self._changed.wait_for(lambda place=place: place in self._ready or self._error)
                if self._error is not None:
                    raise self._error
                result = self._ready.pop(place)
                self._taken += 1
                self._held -= self._size(result)
                self._changed.notify_all()
            yield result

    def _work(self) -> None:
        try:
            while (place := self._next()) is not None:
                result = self._read(self._items[place])
                with self._changed:
                    self._ready[place] = result
                    self._held += self._size(result)
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _next(self) -> int | None:
        """The item to read now, once there is room for it; None where there is no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room())
            if self._closed or self._started == len(self._items):
                return None
            self._started += 1
            return self._started - 1

    def _has_room(self) -> bool:
        # What is asked for next is always started: with nothing before it, nothing is held.
        return self._started - self._taken < self._most and self._held < self._most_size


def windows(
    results: Iterable[R], size: Callable[[R], int], most: int, most_size: int
) -> Iterator[list[R]]:
    """Cut results into runs of 1, 2, 4, ... up to `most`, of `most_size` together at the most.

    The first are short, so that the sampler starts with the first clip. The cuts depend on the
    results alone, not on who was faster.
    """
    window: list[R] = []
    room, held = 1, 0
    for result in results:
        window.append(result)
        held += size(result)
        if len(window) == room or held >= most_size:
            yield window
            window, held, room = [], 0, min(2 * room, most)
    if window:
        yield window


class Writer:
    """Does work in a thread of its own, in order; at once where there is to be no thread.

    Leaving the block waits for all of it, also after an error or Ctrl-C.
    """

    def __init__(self, beside: bool):
        self._thread = ThreadPoolExecutor(1, "writes results") if beside else None
        self._waiting: deque[Future[Any]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._thread is None:
            return
        self._thread.shutdown(wait=True)
        while kind is None and self._waiting:
            self._waiting.popleft().result()

    def do(self, work: Callable[[], None]) -> None:
        """Waits where too much waits. Raises what earlier work raised."""
        if self._thread is None:
            return work()
        while self._waiting and (len(self._waiting) >= WAITING_RESULTS or self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(work))
