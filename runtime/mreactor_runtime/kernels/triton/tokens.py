"""The tokens of a step in the Triton language: embedding, style, mask, convolution, first norm."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportOperatorIssue=false
# pyright: reportMissingParameterType=false

import triton
import triton.language as tl

from mreactor_runtime.kernels.triton.rows import modulated, vector


@triton.jit
def tokens_kernel(
    noisy,
    style,
    lengths,
    weight,
    bias,
    taps,
    taps_bias,
    modulation,
    scratch,
    x,
    y,
    frames,
    reactions,
    x_clip,
    CHANNELS: tl.constexpr,
    DEEP: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
    TAPS: tl.constexpr,
    FRAMES: tl.constexpr,
    SPAN: tl.constexpr,
):
    """e + conv(e) for FRAMES frames of a reaction, e = noisy W' + bias + style in real frames.

    A program embeds its frames and those that the convolution sees around them, SPAN in all, and
    keeps them in a scratch of its own, since a tap reads other threads' frames; it stays in the
    cache. The embedding is a product of three tf32 ones, which is float32 but for its last bits.

    Args:
        noisy: (B, S, T, CHANNELS). style: (B, S, WIDTH). lengths: (B) int32, real frames.
        weight: (WIDTH, CHANNELS). taps: (TAPS, WIDTH), a tap's number of each channel side by side.
        scratch: (programs, SPAN, WIDTH) float32.
        x: float32, the tokens, and y, the modulated norm by the first two rows of `modulation`:
            (B, S, T, WIDTH) by `x_clip` from clip to clip.
    """
    block, which = tl.program_id(0), tl.program_id(1)
    clip, reaction = (which // reactions).to(tl.int64), which % reactions
    length = tl.load(lengths + clip)
    span = tl.arange(0, SPAN)
    numbers = block * FRAMES - TAPS // 2 + span
    is_real = ((numbers >= 0) & (numbers < length))[:, None]
    noisy += which.to(tl.int64) * frames * CHANNELS
    scratch += (which * tl.num_programs(0) + block).to(tl.int64) * SPAN * WIDTH
    for left in range(0, WIDTH, COLUMNS):
        columns = left + tl.arange(0, COLUMNS)
        e = tl.zeros([SPAN, COLUMNS], tl.float32)
        for start in range(0, CHANNELS, DEEP):
            deep = start + tl.arange(0, DEEP)
            inside = deep < CHANNELS
            at = noisy + numbers[:, None] * CHANNELS + deep[None, :]
            a = tl.load(at, mask=is_real & inside[None, :], other=0.0)
            at = weight + columns[None, :] * CHANNELS + deep[:, None]
            b = tl.load(at, mask=inside[:, None], other=0.0)
            e = tl.dot(a, b, e, input_precision="tf32x3")
        e += (tl.load(bias + columns) + tl.load(style + which * WIDTH + columns))[None, :]
        e = tl.where(is_real, e, 0.0)
        tl.store(scratch + span[:, None] * WIDTH + columns[None, :], e)
    tl.debug_barrier()  # what other threads of the program have written is read

    within = tl.arange(0, FRAMES)
    place = within[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
    now = tl.load(scratch + TAPS // 2 * WIDTH + place) + vector(taps_bias, WIDTH)
    for tap in range(0, TAPS):
        now += vector(taps + tap * WIDTH, WIDTH) * tl.load(scratch + tap * WIDTH + place)
    mask = block * FRAMES + within[:, None] < frames
    here = clip * x_clip + (reaction * frames + block * FRAMES) * WIDTH
    tl.store(x + here + place, now, mask=mask)
    normed = modulated(now, modulation, 0, WIDTH)
    tl.store(y + here + place, normed.to(y.dtype.element_ty), mask=mask)
