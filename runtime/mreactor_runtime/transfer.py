"""Copies between the host and a CUDA device for which nobody waits.

A plain copy keeps its caller waiting for all that the device has queued, such as the whole graph of
a clip. These are queued like any other work. They go by pinned memory, which the device reads and
writes by itself, and which PyTorch does not use again before the device is done with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mreactor_runtime.engines.names import CUDA


def host_memory(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Uninitialised memory on the host, pinned where `device` is of CUDA."""
    return torch.empty(shape, dtype=dtype, pin_memory=device.type == CUDA)


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device. On CUDA the copy is queued."""
    if device.type != CUDA:
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)  # pinned already, it is taken as it is


class HostCopy:
    """A copy of a tensor on the host, queued when it is made, and waited for when it is needed.

    A tensor that is on the host is not copied.
    """

    def __init__(self, x: Tensor):
        self._host, self._arrived = x, None
        if x.device.type != CUDA:
            return
        self._host = host_memory(tuple(x.shape), x.dtype, x.device)
        self._host.copy_(x, non_blocking=True)
        # Who waits sleeps, and leaves the core to threads that read clips.
        self._arrived = torch.cuda.Event(blocking=True)
        self._arrived.record(torch.cuda.current_stream(x.device))

    def wait(self) -> Tensor:
        """The copy, once it is there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._host
