"""The fused step: guidance and the solver's line in one pass over memory, in place.

It is a `step` of `mreactor_ref.sampler.sample`. On CUDA one Triton kernel reads each number once
and writes it once; elsewhere its eager twin runs, which is made of the reference's own functions.
Both give the same bytes: the kernel rounds after each product and each sum, as PyTorch does, and
fuses none of them.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from mreactor_ref.denoiser import guide
from mreactor_ref.sampler import Row, solver_step

HAS_TRITON = importlib.util.find_spec("triton") is not None
BLOCK = 1024  # numbers a program; the kernel waits for memory whatever this is


def fused_step(
    x: Tensor,
    clean: Tensor,
    previous: Tensor,
    row: Row,
    noise: Tensor | None,
    guidance: Tensor | None = None,
) -> Tensor:
    """One step of any solver, written over `x`.

    Args:
        x: (B, S, T, C) float32, in one piece. It is changed, and returned.
        clean: (B, S, T, C); with `guidance` (B, 2 S, T, C), the sample with the speaker before that
            without. What is guided is written over the first S, so that this tensor is also what
            the next step takes as `previous`.
        previous: `clean` of the step before, or zeros like `x`.
        row: a, b, c, n. noise: like x, or None where n is 0.
        guidance: () float32 on the device, so that no number is waited for; None where the engine
            has guided already.
    """
    step = launch_step if x.is_cuda and HAS_TRITON else eager_step
    return step(x, clean, previous, row, noise, guidance)


def eager_step(
    x: Tensor,
    clean: Tensor,
    previous: Tensor,
    row: Row,
    noise: Tensor | None,
    guidance: Tensor | None = None,
) -> Tensor:
    """The twin of the kernel."""
    reactions = x.shape[1]
    now = clean[:, :reactions]
    if guidance is not None:
        now.copy_(guide(clean[:, reactions:], now, guidance))
    return x.copy_(solver_step(x, now, previous[:, :reactions], row, noise))


def launch_step(
    x: Tensor,
    clean: Tensor,
    previous: Tensor,
    row: Row,
    noise: Tensor | None,
    guidance: Tensor | None = None,
) -> Tensor:
    """The kernel, on CUDA or in Triton's interpreter.

    Raises: ValueError where shapes, types or strides do not fit.
    """
    from mreactor_runtime.kernels.triton.step import step_kernel

    branches = 1 if guidance is None else 2
    reactions = x.shape[1]
    shapes = [tuple(clean.shape), tuple(previous.shape[2:])]
    if shapes != [(x.shape[0], branches * reactions, *x.shape[2:]), tuple(x.shape[2:])]:
        raise ValueError(f"{branches} branches of {tuple(x.shape)} are not {tuple(clean.shape)}")
    tensors = [x, clean, previous] + ([] if noise is None else [noise])
    if any(not tensor.is_contiguous() or tensor.dtype != torch.float32 for tensor in tensors):
        raise ValueError("the fused step takes float32 tensors, each in one piece")
    a, b, c, n = row
    size = x[0].numel()
    step_kernel[(-(-size // BLOCK), x.shape[0])](
        x,
        clean,
        previous,
        x if noise is None else noise,
        x if guidance is None else guidance,
        a,
        b,
        c,
        n,
        size,
        clean.stride(0),
        previous.stride(0),
        GUIDED=guidance is not None,
        NOISY=noise is not None,
        BLOCK=BLOCK,
        # Products and sums are rounded apart, as the twin's are.
        enable_fp_fusion=False,  # pyright: ignore[reportCallIssue]
    )
    return x
