"""Functions recorded over buffers that they share, so that each is one launch.

A recording holds addresses. So what it reads and writes lies in buffers that stay where they are,
as large as the largest so far, and whoever replays it fills them before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

import torch
from torch import Tensor

from mreactor_runtime.kernels.cuda_graph import CapturedFunction, Stream

KEPT_GRAPHS = 16  # each graph takes some tens of MiB of the device


class Recordings:
    """What was recorded on a stream, by key. Not for two threads at once.

    Args: kept: recordings at most; the one unused for longest is let go.
    """

    def __init__(self, stream: Stream, kept: int = KEPT_GRAPHS):
        self._stream, self._most = stream, kept
        self._buffers: dict[str, Tensor] = {}  # flat, at the largest shape so far
        self._recorded: OrderedDict[Hashable, CapturedFunction] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._recorded

    def place(self, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Places in the buffers for tensors like these.

        A buffer that is too small gives way to a larger one, and ends what was recorded with it.
        """
        for name, x in like.items():
            buffer = self._buffers.get(name)
            if buffer is not None and len(buffer) >= x.numel() and buffer.dtype == x.dtype:
                continue
            self._keep(0)
            self._buffers.pop(name, None)
            self._buffers[name] = torch.empty(x.numel(), dtype=x.dtype, device=self._stream.device)
        return {name: self._buffers[name][: x.numel()].view(x.shape) for name, x in like.items()}

    def record(self, key: Hashable, function: Callable[[], object]) -> None:
        """Run a function over places in the buffers, then record it. Raises what it raises."""
        self._keep(self._most - 1)
        self._recorded[key] = CapturedFunction(function, self._stream)

    def replay(self, key: Hashable) -> None:
        """Launch what was recorded. Raises KeyError: nothing was."""
        self._recorded.move_to_end(key)
        self._recorded[key].replay()

    def close(self) -> None:
        """Let go of all recordings, then of the buffers."""
        self._keep(0)
        self._buffers.clear()

    def _keep(self, count: int) -> None:
        while len(self._recorded) > count:
            self._recorded.popitem(last=False)[1].release()
