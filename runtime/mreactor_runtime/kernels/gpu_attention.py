"""The relative and subject attentions of D.1 on a GPU, without a score in memory.

softmax(Q K' / sqrt(d) - eps_h |x - y|) V. On CUDA a Triton kernel computes the decay from the
frames' numbers and skips what lies beyond `BOUND`, so that memory grows with the frames, and time
with the frames that a head can see. Elsewhere its eager twin runs, which writes the scores out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mreactor_ref.attention import Attend, key_mask
from mreactor_ref.errors import UsageError

# Keys are skipped where the decay eps_h |x - y| is beyond this: at equal content their weight is
# under exp(-40) = 4e-18 of that of the query's own frame. A skipped key would show in float32
# (6e-8, exp(-16.6)) only if its content scored over 23 higher than the best key that is kept.
BOUND = 40.0

LEAST_WIDTH = 16  # of a head, for the units that multiply matrices
# Frames of queries and of keys a program, its warps, and how many blocks of keys it loads ahead.
Tile = tuple[int, int, int, int]
# By the bytes of a number: the largest that spill no register at 64 channels a head.
TILES: dict[int, Tile] = {2: (128, 64, 8, 3), 4: (64, 32, 8, 2)}


@torch.library.custom_op("mreactor::decay_attention", mutates_args=(), device_types="cpu")
def decay_attention(
    queries: Tensor, keys: Tensor, values: Tensor, rates: Tensor, mask: Tensor, bound: float = BOUND
) -> Tensor:
    """Attention with a decay, (B, S, H, T, d) in the type of the queries.

    One operator for `torch.compile`, which does not look inside. Scores, softmax and sums are in
    float32 whatever the type.

    Args:
        queries, values: (B, S, H, T, d), float32, float16 or bfloat16.
        keys: (B, S, H, T, d), or (B, 1, H, T, d) for all reactions; they are not copied.
        rates: eps (H) float32, not negative; zeros are no decay.
        mask: (B, T), true for frames that may be attended to. A query that reaches none of them
            gets zeros on CUDA; a real frame always reaches itself.
        bound: decay beyond which keys may be skipped. The twin skips none.
    """
    out = _allocate(queries)
    distance = torch.arange(mask.shape[1], device=mask.device, dtype=torch.float32)
    distance = (distance[:, None] - distance[None, :]).abs()  # (T, T)
    bias = key_mask(mask, torch.float32) - rates[:, None, None] * distance  # (B, 1, H, T, T)
    return out.copy_(Attend()(queries.float(), keys.float(), values.float(), bias))


@decay_attention.register_fake
def _shape(
    queries: Tensor, keys: Tensor, values: Tensor, rates: Tensor, mask: Tensor, bound: float = BOUND
) -> Tensor:
    return _allocate(queries)


@decay_attention.register_kernel("cuda")
def launch_attention(
    queries: Tensor, keys: Tensor, values: Tensor, rates: Tensor, mask: Tensor, bound: float = BOUND
) -> Tensor:
    """The kernel, on CUDA or in Triton's interpreter.

    Raises: UsageError where Triton is not installed.
    """
    tile = TILES[queries.element_size()]
    return launch_tiled(queries, keys, values, rates, mask, bound, tile)


def launch_tiled(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    rates: Tensor,
    mask: Tensor,
    bound: float,
    tile: Tile,
) -> Tensor:
    """`launch_attention` with another tile: another order of sums, so other last bits."""
    try:
        from mreactor_runtime.kernels.triton import attention_kernel
    except ModuleNotFoundError:
        raise UsageError("triton is not installed", fix="pip install triton") from None
    clips, reactions, heads, frames, width = queries.shape
    shared = (clips, 1, heads, frames, width)
    if keys.shape not in (queries.shape, shared) or values.shape != queries.shape:
        raise ValueError(f"keys {tuple(keys.shape)}, values {tuple(values.shape)} do not fit")
    queries, keys, values = (
        x if x.stride(-1) == 1 else x.contiguous() for x in (queries, keys, values)
    )
    keys = keys.expand(queries.shape)  # a stride of 0, no copy
    out = _allocate(queries)
    query_frames, key_frames, warps, stages = tile
    attention_kernel[(-(-frames // query_frames), clips * reactions * heads)](
        queries,
        keys,
        values,
        rates.float().contiguous(),
        mask.contiguous().view(torch.uint8),
        out,
        1 / math.sqrt(width),
        bound,
        frames,
        reactions,
        heads,
        *queries.stride()[:4],
        *keys.stride()[:4],
        *values.stride()[:4],
        *out.stride()[:4],
        WIDTH=width,
        PADDED_WIDTH=max(LEAST_WIDTH, 1 << (width - 1).bit_length()),
        QUERIES=query_frames,
        KEYS=key_frames,
        WIDEN=not queries.is_cuda,
        num_warps=warps,  # pyright: ignore[reportCallIssue]
        num_stages=stages,  # pyright: ignore[reportCallIssue]
        enable_fp_fusion=True,  # pyright: ignore[reportCallIssue]
    )
    return out


def _allocate(queries: Tensor) -> Tensor:
    """Memory for the result with the heads of a frame side by side: joining them is then free."""
    clips, reactions, heads, frames, width = queries.shape
    return queries.new_empty(clips, reactions, frames, heads, width).transpose(2, 3)
