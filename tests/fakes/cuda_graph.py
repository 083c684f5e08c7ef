"""A stand-in for what captures CUDA graphs, as strict: operators recorded with their memory.

A replay runs the recorded operators again, over the addresses they were recorded with, and no
Python of the function. So what a function keeps outside of static memory shows as a wrong number.
Reading a number from the device is refused while it records, as CUDA refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = (
    *(torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default),
    *(torch.ops.aten.item.default, torch.ops.aten.is_nonzero.default),  # in inference mode
)
HANDLE = 7


class FakeStream:
    """A stream on the CPU.

    Attributes:
        calls: in order, what was asked of it.
        captured_by_caller: what `is_captured` says.
    """

    device, handle = torch.device("cpu"), HANDLE

    def __init__(self, calls: list[str] | None = None) -> None:
        self.calls: list[str] = [] if calls is None else calls
        self.recordings: list[FakeRecording] = []
        self.captured_by_caller = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        self.calls.append("turn begins")
        yield
        self.calls.append("turn ends")

    def is_captured(self) -> bool:
        return self.captured_by_caller

    def capture(self, function: Callable[[], object]) -> FakeRecording:
        self.calls.append("capture")
        recording = FakeRecording(self.calls)
        with recording.mode:
            function()
        self.recordings.append(recording)
        return recording

    def wait(self) -> None:
        self.calls.append("wait")


class FakeRecording:
    def __init__(self, calls: list[str]) -> None:
        self.calls, self.mode = calls, _Record()

    def replay(self) -> None:
        self.calls.append("replay")
        with torch.inference_mode():
            for function, args, kwargs, results in self.mode.made:
                again = tree_leaves(function(*args, **kwargs))
                for old, new in zip(results, again, strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)

    def reset(self) -> None:
        self.calls.append("reset")
        self.mode.made.clear()


class _Record(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Any, Any, Any, list[Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in WAITS:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        result = func(*args, **(kwargs or {}))
        self.made.append((func, args, kwargs or {}, tree_leaves(result)))
        return result


class _Place:
    """A stream of `FakeCaptures`. cuda_stream: its address."""

    cuda_stream = HANDLE
    device = torch.device("cuda", 0)

    def __init__(self, device: torch.device | None = None) -> None:
        pass


class FakeCaptures:
    """What PyTorch knows of captures, in place of `torch.cuda`: a failed one leaves it as it is.

    Attributes:
        current: stream. allocates_to: pools that a capture goes to.
        generator_is_captured: the generator refuses to draw then.
        refused: times that a pool was to end that had ended.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ends_by_itself: bool = False) -> None:
        self.current, self.allocates_to = _Place(), list[Any]()
        self.generator_is_captured, self.refused = False, 0
        self.ends_by_itself, self._pools = ends_by_itself, 0
        for name, value in {
            "Stream": _Place,
            "CUDAGraph": _Graph,
            "graph": self._graph,
            "graph_pool_handle": self._new_pool,
            "current_stream": lambda device=None: self.current,
            "set_stream": self._set_stream,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", self._end, raising=False)

    def _new_pool(self) -> tuple[int, int]:
        self._pools += 1
        return 0, self._pools

    def _set_stream(self, stream: _Place) -> None:
        self.current = stream

    def _end(self, device: int, pool: tuple[int, int]) -> None:
        if pool not in self.allocates_to:
            self.refused += 1
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.allocates_to.remove(pool)

    @contextmanager
    def _graph(self, graph: _Graph, pool: Any, stream: _Place, **_: Any) -> Iterator[None]:
        before, self.current = self.current, stream
        if pool in self.allocates_to:
            raise RuntimeError("beginAllocateToPool: already recording to mempool_id")
        self.allocates_to.append(pool)
        self.generator_is_captured = True
        try:
            yield
        except RuntimeError:
            if self.ends_by_itself:
                self.allocates_to.remove(pool)
            raise RuntimeError("operation failed due to a previous error during capture") from None
        self.allocates_to.remove(pool)
        self.generator_is_captured, self.current = False, before


class _Graph:
    def reset(self) -> None:
        pass
