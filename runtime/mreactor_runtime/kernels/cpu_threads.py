"""Cores of a CPU: tasks that share them, and memory that each thread keeps for its own.

PyTorch keeps a number of threads for each thread that calls it. The threads of `Cores` have theirs
set once, so that tasks run side by side and the bytes of a result do not depend on how many do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from mreactor_runtime.thread_pool import started_pool

T = TypeVar("T")

AHEAD = 2  # tasks a worker that are begun or wait for one; few, so that Ctrl-C ends them soon


class Workspace(threading.local):
    """Memory of the thread that asks, by name: as large as the largest request so far."""

    def __init__(self) -> None:
        self._memory: dict[str, Tensor] = {}

    def take(self, name: str, rows: int, columns: int) -> Tensor:
        """Uninitialised (rows, columns) float32, valid until the name is asked for again."""
        count = rows * columns
        if name not in self._memory or len(self._memory[name]) < count:
            self._memory[name] = torch.empty(count)
        return self._memory[name][:count].view(rows, columns)


class Cores:
    """Runs tasks on so many cores, in inference mode."""

    def __init__(self, count: int):
        self.count = count
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def results(self, tasks: Sequence[Callable[[], T]], each: int = 1) -> Generator[T]:
        """What the tasks return, in their order, while others are at work.

        Args: each: threads of PyTorch that a task has.
        """
        workers = max(1, self.count // each)
        if each not in self._pools:
            self._pools[each] = started_pool(workers, "mreactor", partial(_use, each))
        begun: deque[Future[T]] = deque()
        try:
            for task in tasks:
                if len(begun) == AHEAD * workers:
                    yield begun.popleft().result()
                begun.append(self._pools[each].submit(_inferring, task))
            while begun:
                yield begun.popleft().result()
        finally:
            for waiting in begun:
                waiting.cancel()


def _use(threads: int) -> None:
    torch.set_num_threads(threads)


def _inferring(task: Callable[[], T]) -> T:
    with torch.inference_mode():
        return task()
