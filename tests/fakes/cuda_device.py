"""A stand-in for a CUDA device on a machine that has none, which notes who waits for it.

In the block of `stand_in(...)` tensors that are put on "cuda:0" say that they are there, while
their numbers are on the CPU. A copy between host and device waits unless it is to be queued and its
memory on the host is pinned; so does what reads a number from the device. Each such call is in
`waits`; `calls` has what happened, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)
READS = {
    *(Tensor.item, Tensor.tolist, Tensor.__bool__, Tensor.__float__, Tensor.__int__),
    *(Tensor.__index__, Tensor.nonzero, torch.nonzero, Tensor.equal, torch.equal),
    *(Tensor.masked_select, torch.masked_select, Tensor.unique, torch.unique, Tensor.cpu),
}
MAKES = {torch.tensor, torch.as_tensor, torch.from_numpy}  # of numbers that the host has


class OnCuda(Tensor):
    """A tensor of the stand-in. Its memory is that of a tensor on the CPU."""


class FakeCuda(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.calls: list[str] = []
        self._pinned: list[Tensor] = []  # kept, so that no other memory takes their place

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        on_cuda = any(isinstance(x, OnCuda) for x in given)
        with torch._C.DisableTorchFunctionSubclass():
            if func == Tensor.device.__get__:
                return CUDA if on_cuda else func(*args)
            if func == Tensor.is_cuda.__get__:
                return on_cuda
            if func is Tensor.is_pinned:
                return self._is_pinned(args[0])
            if func is Tensor.pin_memory:
                return args[0] if self._is_pinned(args[0]) else self._pin(args[0].clone())
            if func is Tensor.to:
                return self._to(args[0], *args[1:], **kwargs)
            if func is Tensor.__deepcopy__ and on_cuda:
                return _copied(args[0])
            if func is Tensor.copy_:
                queued = kwargs.get("non_blocking", len(args) > 2 and args[2])
                self._note_copy(args[1], args[0], queued)
            elif on_cuda and (func in READS or _selects(func, args)):
                self._wait(func)
            if kwargs.get("device") is not None:
                on_cuda = torch.device(kwargs["device"]).type == "cuda"
                kwargs["device"] = "cpu"
                if on_cuda and func in MAKES:
                    self._wait(func)
            pinned = kwargs.pop("pin_memory", False)
            result = func(*args, **kwargs)
            if pinned:
                return self._pin(result)
            on_cuda = on_cuda and func is not Tensor.cpu
            return tree_map(_put, result) if on_cuda else result

    def _to(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args and isinstance(args[0], Tensor):
            device, dtype, queued = CUDA if isinstance(args[0], OnCuda) else "cpu", None, False
        else:
            device, dtype, queued, _ = torch._C._nn._parse_to(*args, **kwargs)
        onto = isinstance(x, OnCuda) if device is None else torch.device(device).type == "cuda"
        result = x if dtype is None else x.to(dtype)
        if onto == isinstance(x, OnCuda):
            return _put(result) if onto else result
        self._note_copy(x, _put(x) if onto else torch.empty(0), queued)
        plain = result.detach().clone().as_subclass(Tensor)
        return _put(plain) if onto else plain

    def _note_copy(self, source: Tensor, target: Tensor, queued: bool) -> None:
        if isinstance(source, OnCuda) == isinstance(target, OnCuda):
            return
        host = target if isinstance(source, OnCuda) else source
        if not (queued and self._is_pinned(host)):
            self._wait(Tensor.copy_)

    def _wait(self, func: Any) -> None:
        self.waits.append(resolve_name(func) or str(func))
        self.calls.append(f"waits: {self.waits[-1]}")

    def _pin(self, x: Tensor) -> Tensor:
        self._pinned.append(x)
        return x

    def _is_pinned(self, x: Tensor) -> bool:
        place = x.untyped_storage().data_ptr()
        return any(place == other.untyped_storage().data_ptr() for other in self._pinned)


def _put(x: Any) -> Any:
    return x.as_subclass(OnCuda) if isinstance(x, Tensor) and not isinstance(x, OnCuda) else x


def _copied(x: Tensor) -> Tensor:
    copy = _put(x.detach().clone()).requires_grad_(x.requires_grad)
    copy._is_param = getattr(x, "_is_param", False)
    return copy


def _selects(func: Any, args: Any) -> bool:
    """Whether it picks by a mask, and must know how many there are."""
    if func is not Tensor.__getitem__:
        return False
    return any(isinstance(x, Tensor) and x.dtype == torch.bool for x in tree_leaves(args[1]))


class RerunStream:
    """A stream whose recordings run the function again, instead of the operators it launched."""

    device, handle = CUDA, 7

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    @contextmanager
    def turn(self) -> Iterator[None]:
        yield

    def is_captured(self) -> bool:
        return False

    def capture(self, function: Callable[[], object]) -> _Rerun:
        return _Rerun(function, self.calls)

    def wait(self) -> None:
        self.calls.append("waits for the device")


class _Rerun:
    def __init__(self, function: Callable[[], object], calls: list[str]) -> None:
        self.function, self.calls = function, calls

    def replay(self) -> None:
        self.calls.append("replay")
        self.function()

    def reset(self) -> None:
        self.calls.append("reset")


def stand_in(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A device to enter, with events and the current stream of `torch.cuda` in its `calls`."""
    device = FakeCuda()

    class FakeEvent:
        def __init__(self, enable_timing: bool = False, **_: Any) -> None:
            self.kind = "time" if enable_timing else "event"

        def record(self, stream: object) -> None:
            device.calls.append(self.kind)

        def synchronize(self) -> None:
            device.calls.append(f"waits for {self.kind}")

    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: "the current stream")
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    # A module that moves there gets new parameters, of the class `OnCuda`.
    monkeypatch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)
    return device
