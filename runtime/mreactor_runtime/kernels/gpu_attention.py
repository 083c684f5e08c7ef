"""The relative and subject attentions of D.1 on a GPU, without a score in memory.

softmax(Q K' / sqrt(d) - eps_h |x - y|) V. On CUDA a Triton kernel computes the decay from the
frames' numbers and skips the keys that weigh less than `SKIPPED` together, for every query and
whatever the data (`cpu_attention` has the formula), so that memory grows with the frames, and time
with the frames that a head can see. Elsewhere its eager twin runs, which writes the scores out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mreactor_ref.attention import Attend
from mreactor_ref.errors import UsageError
from mreactor_runtime.kernels.cpu_attention import SKIPPED

LEAST_WIDTH = 16  # of a head, for the units that multiply matrices
NORMED = 64  # frames whose longest key is found by one program
# Frames of queries and of keys a program, its warps, and how many blocks of keys it loads ahead.
Tile = tuple[int, int, int, int]
# By the bytes of a number. In the half types three programs fit on a multiprocessor of an H100.
TILES: dict[int, Tile] = {2: (64, 64, 4, 2), 4: (32, 32, 8, 2)}


@torch.library.custom_op("mreactor::decay_attention", mutates_args=(), device_types="cpu")
def decay_attention(
    queries: Tensor, keys: Tensor, values: Tensor, rates: Tensor, lengths: Tensor
) -> Tensor:
    """Attention with a decay, (B, S, H, T, d) in the type of the queries.

    One operator for `torch.compile`, which does not look inside. Scores, softmax and sums are in
    float32 whatever the type.

    Args:
        queries, values: (B, S, H, T, d), float32, float16 or bfloat16.
        keys: (B, S, H, T, d), or (B, 1, H, T, d) for all reactions; they are not copied.
        rates: eps (H) float32, not negative; zeros are no decay.
        lengths: (B) int32, frames of each clip that may be attended to: the first ones, and one at
            least. What comes out for the others is finite, and means nothing.
    """
    out = _allocate(queries)
    place = torch.arange(queries.shape[3], device=rates.device, dtype=torch.float32)
    distance = (place[:, None] - place[None, :]).abs()  # (T, T)
    padded = place >= lengths[:, None, None, None, None]  # (B, 1, 1, 1, T)
    bias = (-rates[:, None, None] * distance).masked_fill(padded, float("-inf"))
    return out.copy_(Attend()(queries.float(), keys.float(), values.float(), bias))


@decay_attention.register_fake
def _shape(queries: Tensor, keys: Tensor, values: Tensor, rates: Tensor, lengths: Tensor) -> Tensor:
    return _allocate(queries)


@decay_attention.register_kernel("cuda")
def launch_attention(
    queries: Tensor, keys: Tensor, values: Tensor, rates: Tensor, lengths: Tensor
) -> Tensor:
    """The kernels, on CUDA or in Triton's interpreter.

    Raises: UsageError where Triton is not installed.
    """
    longest = launch_key_lengths(keys, lengths)
    return launch_tiled(queries, keys, values, rates, lengths, longest)


def launch_key_lengths(keys: Tensor, lengths: Tensor) -> Tensor:
    """The length of the longest of each NORMED keys, (B, S or 1, H, T / NORMED) float32.

    Raises: UsageError where Triton is not installed.
    """
    try:
        from mreactor_runtime.kernels.triton.attention import key_lengths_kernel
    except ModuleNotFoundError:
        raise UsageError("triton is not installed", fix="pip install triton") from None
    clips, reactions, heads, frames, width = keys.shape
    keys, blocks = _in_one_piece(keys), -(-frames // NORMED)
    out = torch.empty(clips, reactions, heads, blocks, device=keys.device)
    key_lengths_kernel[(blocks, clips * reactions * heads)](
        keys,
        lengths,
        out,
        reactions,
        heads,
        blocks,
        *keys.stride()[:4],
        WIDTH=width,
        PADDED_WIDTH=_padded(width),
        FRAMES=NORMED,
        num_warps=4,  # pyright: ignore[reportCallIssue]
    )
    return out


def launch_tiled(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    rates: Tensor,
    lengths: Tensor,
    longest: Tensor,
    tile: Tile | None = None,
    skipped: float = SKIPPED,
) -> Tensor:
    """The attention over keys whose longest are known, (B, S or 1, H, T / NORMED).

    Args:
        tile: another than that of TILES: another order of sums, so other last bits.
        skipped: the weight that skipped keys have together at the most; 0 skips none.
    """
    from mreactor_runtime.kernels.triton.attention import attention_kernel

    clips, reactions, heads, frames, width = queries.shape
    shared = (clips, 1, heads, frames, width)
    if keys.shape not in (queries.shape, shared) or values.shape != queries.shape:
        raise ValueError(f"keys {tuple(keys.shape)}, values {tuple(values.shape)} do not fit")
    queries, keys, values = (_in_one_piece(x) for x in (queries, keys, values))
    keys = keys.expand(queries.shape)  # a stride of 0, no copy
    longest = longest.expand(-1, reactions, -1, -1)
    out = _allocate(queries)
    query_frames, key_frames, warps, stages = tile or TILES[queries.element_size()]
    attention_kernel[(-(-frames // query_frames), clips * reactions * heads)](
        queries,
        keys,
        values,
        rates,
        lengths,
        longest,
        out,
        1 / math.sqrt(width),
        -math.log(skipped) if skipped else math.inf,
        frames,
        reactions,
        heads,
        longest.shape[-1],
        *longest.stride()[:2],
        *queries.stride()[:4],
        *keys.stride()[:4],
        *values.stride()[:4],
        *out.stride()[:4],
        WIDTH=width,
        PADDED_WIDTH=_padded(width),
        QUERIES=query_frames,
        KEYS=key_frames,
        WIDEN=not queries.is_cuda,
        num_warps=warps,  # pyright: ignore[reportCallIssue]
        num_stages=stages,  # pyright: ignore[reportCallIssue]
        enable_fp_fusion=True,  # pyright: ignore[reportCallIssue]
    )
    return out


def _padded(width: int) -> int:
    """Channels of a head as the kernels take them: a power of two."""
    return max(LEAST_WIDTH, 1 << (width - 1).bit_length())


def _in_one_piece(x: Tensor) -> Tensor:
    """The tensor with the channels of a head side by side."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _allocate(queries: Tensor) -> Tensor:
    """Memory for the result with the heads of a frame side by side: joining them is then free."""
    clips, reactions, heads, frames, width = queries.shape
    return queries.new_empty(clips, reactions, frames, heads, width).transpose(2, 3)
