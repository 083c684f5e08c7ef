"""Capture and replay of any function over static buffers, as one CUDA graph.

A graph holds addresses and no values: the function reads and writes memory that stays where it is,
and whoever replays it fills that memory before. All graphs of one device share a pool of memory for
what the function allocates, so they must take turns, and the largest should come first: the others
then fit into what it left.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

import torch


class Recording(Protocol):
    """A captured graph, to be launched again at once."""

    def replay(self) -> None: ...

    def reset(self) -> None: ...


class Stream(Protocol):
    """A stream to launch and capture on: `CudaStream`, or a stand-in without a GPU."""

    device: torch.device

    @property
    def handle(self) -> int:
        """Its address, for libraries that launch their own kernels."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """The block's work follows what the caller queued before, and precedes what comes after."""
        ...

    def is_captured(self) -> bool:
        """Whether the caller is capturing now what it launches."""
        ...

    def capture(self, function: Callable[[], object]) -> Recording:
        """Record a function. Raises where it waits for the device or reads a number from it, and
        can be used again."""
        ...

    def wait(self) -> None:
        """Until all that was queued is done."""
        ...


class CudaStream:
    """A stream of its own beside the default one, which some libraries would wait for, and a pool
    of memory for all that is captured there."""

    def __init__(self, device: torch.device):
        self.device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    @property
    def handle(self) -> int:
        return self._stream.cuda_stream

    @contextmanager
    def turn(self) -> Generator[None]:
        # Events alone order the two streams, so the block may itself be captured by the caller.
        caller = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(caller)
        with torch.cuda.stream(self._stream):
            yield
        caller.wait_stream(self._stream)

    def is_captured(self) -> bool:
        return torch.cuda.is_current_stream_capturing()

    def capture(self, function: Callable[[], object]) -> torch.cuda.CUDAGraph:
        caller = torch.cuda.current_stream(self.device)
        try:
            return self._capture(function)
        except BaseException:
            self._clean_up(caller)
            raise

    def _capture(self, function: Callable[[], object]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        # A wait of this thread is an error, instead of a graph that lacks it. Other threads, which
        # read clips meanwhile, may pin memory.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            function()
        return graph

    def _clean_up(self, caller: torch.cuda.Stream) -> None:
        """After a capture that failed: do what PyTorch leaves undone then, in 2.11 all of it.

        The stream of the capture stays the current one, what is allocated still goes to the pool,
        which takes no other capture, and the generator of random numbers takes itself for captured
        until a capture succeeds.
        """
        torch.cuda.set_stream(caller)
        with suppress(RuntimeError):  # it has ended by itself
            torch._C._cuda_endAllocateToPool(  # pyright: ignore[reportPrivateUsage]
                caller.device.index, self._pool
            )
        self._pool = torch.cuda.graph_pool_handle()
        out = torch.zeros(1, device=self.device)
        self._capture(out.zero_).reset()
        self._pool = torch.cuda.graph_pool_handle()

    def wait(self) -> None:
        torch.cuda.synchronize(self.device)


class CapturedFunction:
    """A function without arguments or result, over memory that stays where it is.

    It runs once as it is, since a first run compiles, allocates and chooses algorithms, which no
    graph can hold. It is then recorded, without being run. Raises what the function raises, and
    RuntimeError where it waits for the device.
    """

    def __init__(self, function: Callable[[], object], stream: Stream):
        self._stream = stream
        with stream.turn():
            function()
        stream.wait()
        self._recording: Recording | None = stream.capture(function)

    def replay(self) -> None:
        """Launch it, as one graph, on the caller's stream. RuntimeError: it was released."""
        if self._recording is None:
            raise RuntimeError("a graph that was released cannot be replayed")
        self._recording.replay()

    def release(self) -> None:
        """Give its memory back, once nothing of it is queued. Harmless when done twice."""
        if self._recording is not None:
            self._stream.wait()
            self._recording.reset()
            self._recording = None
