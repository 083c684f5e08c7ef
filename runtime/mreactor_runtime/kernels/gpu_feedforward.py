"""The feed-forward, from one modulated norm to the next, in one kernel; and its eager twin."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mreactor_ref.denoiser import FeedForward
from mreactor_runtime.kernels.gpu_rows import FED_GATE, check_in_one_piece, modulated

ROWS, STAGES = 64, 2  # frames a program
LEAST_CHUNK = 16  # for the units that multiply matrices


def eager_feedforward(
    y: Tensor, feedforward: FeedForward, x: Tensor, modulation: Tensor, out: Tensor
) -> None:
    """The residual, and what the next sublayer reads: the next layer's first, or the last product.

    Args:
        y: (B, R, T, D), read. x: the same in float32, changed.
        modulation: of this layer on, (.., D); the next sublayer's rows follow this layer's.
        out: like y, or float32; it may be y.
    """
    up, down = feedforward.up, feedforward.down
    hidden = F.linear(y, up.weight, up.bias).float()
    hidden = F.gelu(hidden, approximate="tanh").to(y.dtype)
    x += modulation[FED_GATE] * F.linear(hidden, down.weight, down.bias).float()
    out.copy_(modulated(x, modulation, FED_GATE + 1))


def launch_feedforward(
    y: Tensor, feedforward: FeedForward, x: Tensor, modulation: Tensor, out: Tensor
) -> None:
    """The kernel, on CUDA or in Triton's interpreter."""
    from mreactor_runtime.kernels.triton.feedforward import feedforward_kernel

    up, down = feedforward.up, feedforward.down
    check_in_one_piece(y=y, x=x, out=out, up=up.weight, down=down.weight, modulation=modulation)
    hidden, width = up.weight.shape
    rows = x.numel() // width
    feedforward_kernel[(-(-rows // ROWS),)](
        y,
        up.weight,
        up.bias,
        down.weight,
        down.bias,
        x,
        out,
        modulation,
        rows,
        GATE=FED_GATE,
        WIDTH=width,
        HIDDEN=hidden,
        ROWS=ROWS,
        CHUNK=chunk_of(width, hidden),
        WIDEN=not x.is_cuda,
        num_warps=warps_of(width),  # pyright: ignore[reportCallIssue]
        num_stages=STAGES,  # pyright: ignore[reportCallIssue]
        enable_fp_fusion=True,  # pyright: ignore[reportCallIssue]
    )


def chunk_of(width: int, hidden: int) -> int:
    """Hidden channels at once: with those of both weights no register is spilled."""
    return min(hidden, max(LEAST_CHUNK, width // 4))


def warps_of(width: int) -> int:
    """Warps a program, likewise."""
    return max(4, width // 32)
