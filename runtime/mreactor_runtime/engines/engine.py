"""The interface of engines, which run the graphs of `tensors.py`, and their device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mreactor_ref.errors import UsageError
from mreactor_runtime.engines.names import CUDA


class Engine(Protocol):
    """Runs one graph at a time; inputs and outputs are named and shaped as the table says.

    Attributes:
        name: as in `--engine`.
        device: where it wants its inputs, and leaves its outputs.
        keeps_scores: whether its attentions hold (T, T) scores, so that only as many reactions go
            through a step at once as `batching.groups` allows.
    """

    name: str
    device: torch.device
    keeps_scores: bool

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs of a graph. The inputs are not changed."""
        ...


@runtime_checkable
class SideBySide(Protocol):
    """An engine that computes a clip to the same bytes in any slot of a batch of one size, whatever
    lies in the others."""

    def slots(self, samples: int, length: int) -> int:
        """Clips that go through a step together, from the bucket and the model alone.

        Args: samples: reactions of a clip. length: of its bucket.
        """
        ...


def choose_device(device: str) -> torch.device:
    """The torch device of CPU or CUDA. Raises UsageError for CUDA where there is none.

    On CUDA the convolutions of this process are then in full float32, as its products of matrices
    are: PyTorch would round what goes into them to TF32.
    """
    if device == CUDA:
        if not torch.cuda.is_available():
            problem = "this machine has no CUDA device that torch sees"
            raise UsageError(problem, fix="use --device cpu")
        torch.backends.cudnn.allow_tf32 = False
    return torch.device(device)
