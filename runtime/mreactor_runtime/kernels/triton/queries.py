"""Queries, keys and values of the relative attention, in the Triton language."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportOperatorIssue=false
# pyright: reportMissingParameterType=false

import triton
import triton.language as tl

from mreactor_runtime.kernels.triton.rows import product, vector


@triton.jit
def queries_kernel(
    y,
    weight,
    bias,
    lengths,
    out,
    longest,
    frames,
    reactions,
    blocks,
    y_clip,
    WIDTH: tl.constexpr,
    HEADS: tl.constexpr,
    FRAMES: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """One of queries, keys and values for FRAMES frames of a reaction; of keys their length, too.

    Args:
        y: (B, S, T, WIDTH) by `y_clip` from clip to clip. weight: (3 WIDTH, WIDTH).
        lengths: (B) int32, real frames of a clip.
        out: (B, S, T, 3 WIDTH). longest: (B, S, HEADS, blocks) float32, see `key_lengths_kernel`.
    """
    block, which, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    clip, reaction = (which // reactions).to(tl.int64), which % reactions
    rows, columns = block * FRAMES + tl.arange(0, FRAMES), tl.arange(0, WIDTH)
    first = reaction * frames + block * FRAMES
    weight += part * WIDTH * WIDTH
    x = product(y + clip * y_clip + first * WIDTH, weight, rows < frames, FRAMES, WIDTH, WIDEN)
    x += vector(bias + part * WIDTH, WIDTH)
    rounded = x.to(out.dtype.element_ty)
    out += (clip * reactions * frames + first) * 3 * WIDTH + part * WIDTH
    place = out + tl.arange(0, FRAMES)[:, None] * (3 * WIDTH) + columns[None, :]
    tl.store(place, rounded, mask=rows[:, None] < frames)
    if part == 1:
        k = tl.where(rows[:, None] < tl.load(lengths + clip), rounded.to(tl.float32), 0.0)
        squares = tl.reshape(k * k, [FRAMES, HEADS, WIDTH // HEADS])
        most = tl.sqrt(tl.max(tl.sum(squares, 2), 0))
        heads = tl.arange(0, HEADS)
        tl.store(longest + (which * HEADS + heads) * blocks + block, most)
