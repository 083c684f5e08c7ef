"""`torch.compile` as the kernels need it: whole, alike on every machine, and without its advice."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

# Sizes of blocks are not chosen by timing, which would sum in another order on another day.
OPTIONS: dict[str, str | int | bool | Callable[..., object]] = {"deterministic": True}
# What compiling says that no user can act on: products in float32 are to be exact, and the call of
# a deprecated function is PyTorch's own.
QUIET = (
    ("TensorFloat32 tensor cores", UserWarning),
    ("`?torch.jit", DeprecationWarning),
)


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, compiled at its first call. Raises what `torch.compile` raises."""
    fast = torch.compile(function, fullgraph=True, options=OPTIONS)
    is_compiled = False

    def call(*arguments: object) -> Tensor:
        nonlocal is_compiled
        if is_compiled:
            return fast(*arguments)
        with warnings.catch_warnings():
            for message, category in QUIET:
                warnings.filterwarnings("ignore", message, category)
            result = fast(*arguments)
        is_compiled = True
        return result

    return call
