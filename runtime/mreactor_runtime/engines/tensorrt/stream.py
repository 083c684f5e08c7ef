"""The CUDA stream that plans run on, and the capture of what runs there."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch


class Recording(Protocol):
    """What was captured, to be launched again at once."""

    def replay(self) -> None: ...

    def reset(self) -> None: ...


class Stream(Protocol):
    """What an engine needs of a device: `CudaStream`, or a stand-in that keeps no GPU busy."""

    device: torch.device

    @property
    def handle(self) -> int: ...

    def turn(self) -> AbstractContextManager[None]: ...

    def is_captured(self) -> bool: ...

    def capture(self, launch: Callable[[], None]) -> Recording: ...

    def wait(self) -> None: ...


class CudaStream:
    """A stream of its own: on the default one TensorRT would wait for the whole device."""

    def __init__(self, device: torch.device):
        self.device = device
        self._stream = torch.cuda.Stream(device)

    @property
    def handle(self) -> int:
        return self._stream.cuda_stream

    @contextmanager
    def turn(self) -> Generator[None]:
        """Work of the block follows what the caller queued before, and precedes what comes after.

        Events alone order the two streams, so the block may itself be captured by a caller.
        """
        caller = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(caller)
        with torch.cuda.stream(self._stream):
            yield
        caller.wait_stream(self._stream)

    def is_captured(self) -> bool:
        """Whether a caller is capturing now: a recording cannot be replayed inside another."""
        return torch.cuda.is_current_stream_capturing()

    def capture(self, launch: Callable[[], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        # Only this thread's calls are judged: the library may compile or allocate in its own.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            launch()
        return graph

    def wait(self) -> None:
        """Until all that was queued is done."""
        self._stream.synchronize()
