"""How long a device has worked, by its own clock.

What a caller waits for is something else: the device works on while the next clip is made ready,
and may be idle while a result is unpacked.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

import torch

from mreactor_runtime.engines.names import CUDA

OPEN = 64  # spans whose ends are not read yet; more are read, oldest first


class DeviceClock:
    """Adds up spans of work on a device; on CUDA between two events, elsewhere on the wall.

    Args:
        device: that works.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._seconds = 0.0
        self._open: deque[tuple[torch.cuda.Event, torch.cuda.Event]] = deque()

    @contextmanager
    def span(self) -> Generator[None]:
        """The block queues work. Nobody waits for it here."""
        if self._device.type != CUDA:
            started = time.perf_counter()
            yield
            self._seconds += time.perf_counter() - started
            return
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        stream = torch.cuda.current_stream(self._device)
        begin.record(stream)
        yield
        end.record(stream)
        self._open.append((begin, end))
        while len(self._open) > OPEN:
            self._read()

    @property
    def seconds(self) -> float:
        """All spans so far, once they have ended."""
        while self._open:
            self._read()
        return self._seconds

    def _read(self) -> None:
        begin, end = self._open.popleft()
        end.synchronize()
        self._seconds += begin.elapsed_time(end) / 1000
