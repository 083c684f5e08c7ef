"""The end of an attention, up to what the next sublayer reads, in one kernel; and its twin."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from mreactor_runtime.kernels.gpu_rows import (
    RELATIVE_GATE,
    SUBJECT_GATE,
    check_in_one_piece,
    modulated,
)

ROWS, WARPS, STAGES = 32, 8, 2  # frames a program


def eager_relative(
    attended: Tensor,
    out: nn.Linear,
    x: Tensor,
    y: Tensor,
    modulation: Tensor,
    to_query: nn.Linear,
    null: Tensor | None,
) -> Tensor:
    """After the relative attention: its residual, and the subject attention's queries.

    Where there is the branch without the speaker, the subject attention is a constant there, which
    is added as well; its `y` is then what the feed-forward reads. The first time, both branches are
    one, and part here.

    Args:
        attended: (B, S or 2 S, T, D). out: its projection.
        x, y: (B, S or 2 S, T, D), changed.
        modulation: of this layer on, (.., D).
        null: (D), what the attention to the dropped condition gives; None without guidance.

    Returns: (B, S, T, D).
    """
    count = x.shape[1] // (1 if null is None else 2)
    read = x[:, : attended.shape[1]]
    now = read + modulation[RELATIVE_GATE] * F.linear(attended, out.weight, out.bias).float()
    if null is not None:
        x[:, count:] = now[:, -count:] + modulation[SUBJECT_GATE] * null
        y[:, count:] = modulated(x[:, count:], modulation, SUBJECT_GATE + 1)
    x[:, :count] = now[:, :count]
    asking = modulated(x[:, :count], modulation, RELATIVE_GATE + 1).to(y.dtype)
    return F.linear(asking, to_query.weight, to_query.bias)


def eager_subject(
    attended: Tensor, out: nn.Linear, x: Tensor, y: Tensor, modulation: Tensor
) -> None:
    """After the subject attention, of the first reactions: its residual, the feed-forward's `y`."""
    now = x[:, : attended.shape[1]]
    now += modulation[SUBJECT_GATE] * F.linear(attended, out.weight, out.bias).float()
    y[:, : attended.shape[1]] = modulated(now, modulation, SUBJECT_GATE + 1)


def launch_relative(
    attended: Tensor,
    out: nn.Linear,
    x: Tensor,
    y: Tensor,
    modulation: Tensor,
    to_query: nn.Linear,
    null: Tensor | None,
) -> Tensor:
    """The kernel, on CUDA or in Triton's interpreter."""
    clips, reactions, frames, width = x.shape
    count = reactions // (1 if null is None else 2)
    queries = y.new_empty(clips, count, frames, width)
    check_in_one_piece(weight=to_query.weight)
    asking = {"query_weight": to_query.weight, "query_bias": to_query.bias, "queries": queries}
    shared = attended.shape[1] < reactions
    asking |= {"null": out.bias if null is None else null, "RELATIVE": True, "SHARED": shared}
    _launch(attended, out, x, y, modulation, attended.shape[1] // count, RELATIVE_GATE, asking)
    return queries


def launch_subject(
    attended: Tensor, out: nn.Linear, x: Tensor, y: Tensor, modulation: Tensor
) -> None:
    """The kernel, on CUDA or in Triton's interpreter."""
    # What it does not read: any pointer will do.
    unread = dict.fromkeys(("query_weight", "query_bias", "queries", "null"), out.bias)
    given = {**unread, "RELATIVE": False, "SHARED": False}
    _launch(attended, out, x, y, modulation, 1, SUBJECT_GATE, given)


def _launch(
    attended: Tensor,
    out: nn.Linear,
    x: Tensor,
    y: Tensor,
    modulation: Tensor,
    branches: int,
    gate: int,
    others: dict[str, Any],
) -> None:
    from mreactor_runtime.kernels.triton.projection import projection_kernel

    pieces = {"attended": attended, "x": x, "y": y, "modulation": modulation}
    check_in_one_piece(weight=out.weight, **pieces)
    clips, reactions, frames, width = attended.shape
    rows = reactions // branches * frames
    projection_kernel[(-(-rows // ROWS), branches, clips)](
        weight=out.weight,
        bias=out.bias,
        rows=rows,
        attended_clip=attended.stride(0),
        x_clip=x.stride(0),
        GATE=gate,
        WIDTH=width,
        ROWS=ROWS,
        WIDEN=not x.is_cuda,
        num_warps=WARPS,  # pyright: ignore[reportCallIssue]
        num_stages=STAGES,  # pyright: ignore[reportCallIssue]
        enable_fp_fusion=True,  # pyright: ignore[reportCallIssue]
        **pieces,
        **others,
    )
