"""Queries, keys and values of the relative attention, in one kernel; and its eager twin."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mreactor_runtime.kernels.gpu_attention import NORMED
from mreactor_runtime.kernels.gpu_rows import check_in_one_piece

WARPS, STAGES = 8, 2


def eager_queries(
    y: Tensor, reactions: int, linear: nn.Linear, heads: int, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """What the attention of the frames to each other takes, and how far it must see.

    Args:
        y: (B, R, T, D), of which the first `reactions` are read. linear: D -> 3 D.
        lengths: (B) int32, real frames.

    Returns:
        Queries, keys and values (B, S, T, 3 D), and the length of the longest of each NORMED keys
        (B, S, H, T / NORMED) float32.
    """
    qkv = F.linear(y[:, :reactions], linear.weight, linear.bias)
    keys = qkv.chunk(3, dim=-1)[1].unflatten(-1, (heads, -1))  # (B, S, T, H, d)
    frames = keys.shape[2]
    real = torch.arange(frames, device=y.device) < lengths[:, None]  # (B, T)
    norms = torch.linalg.vector_norm(keys.float(), dim=-1) * real[:, None, :, None]
    blocks = [block.amax(dim=2) for block in norms.split(NORMED, dim=2)]
    return qkv, torch.stack(blocks, dim=-1)


def launch_queries(
    y: Tensor, reactions: int, linear: nn.Linear, heads: int, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """The kernel, on CUDA or in Triton's interpreter."""
    from mreactor_runtime.kernels.triton.queries import queries_kernel

    check_in_one_piece(y=y, weight=linear.weight)
    clips, _, frames, width = y.shape
    blocks = -(-frames // NORMED)
    qkv = y.new_empty(clips, reactions, frames, 3 * width)
    longest = torch.empty(clips, reactions, heads, blocks, device=y.device)
    queries_kernel[(blocks, clips * reactions, 3)](
        y,
        linear.weight,
        linear.bias,
        lengths,
        qkv,
        longest,
        frames,
        reactions,
        blocks,
        y.stride(0),
        WIDTH=width,
        HEADS=heads,
        FRAMES=NORMED,
        WIDEN=not y.is_cuda,
        num_warps=WARPS,  # pyright: ignore[reportCallIssue]
        num_stages=STAGES,  # pyright: ignore[reportCallIssue]
        enable_fp_fusion=True,  # pyright: ignore[reportCallIssue]
    )
    return qkv, longest
