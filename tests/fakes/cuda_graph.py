"""A stand-in for what captures CUDA graphs, as strict: operators recorded with their memory.

A replay runs the recorded operators again, over the addresses they were recorded with, and no
Python of the function. So what a function keeps outside of static memory shows as a wrong number.
Reading a number from the device is refused while it records, as CUDA refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)


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
