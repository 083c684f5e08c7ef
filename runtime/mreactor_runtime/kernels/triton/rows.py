"""What the kernels of the denoiser do with a block of frames: a product, a norm, a sublayer's end.

A block is (frames, D) in float32: D is a power of two, and a program holds all of it, so that a
norm needs no other program, and reads and writes nothing between.
"""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportOperatorIssue=false
# pyright: reportMissingParameterType=false, reportAssignmentType=false

import triton
import triton.language as tl

EPSILON: tl.constexpr = tl.constexpr(1e-5)  # of `torch.nn.LayerNorm`


@triton.jit
def product(x, weight, is_row, ROWS: tl.constexpr, WIDTH: tl.constexpr, WIDEN: tl.constexpr):
    """x W' for ROWS rows at `x` and W at `weight`, (WIDTH, WIDTH), both in one piece.

    Args: is_row: (ROWS), which rows there are. WIDEN: see `attention_kernel`.
    """
    DEEP: tl.constexpr = 64 if WIDTH >= 64 else WIDTH
    rows, columns = tl.arange(0, ROWS), tl.arange(0, WIDTH)
    total = tl.zeros([ROWS, WIDTH], tl.float32)
    for start in range(0, WIDTH, DEEP):
        deep = start + tl.arange(0, DEEP)
        a = tl.load(x + rows[:, None] * WIDTH + deep[None, :], mask=is_row[:, None], other=0.0)
        b = tl.load(weight + columns[None, :] * WIDTH + deep[:, None])
        if WIDEN:
            a, b = a.to(tl.float32), b.to(tl.float32)
        total = tl.dot(a, b, total, input_precision="ieee")
    return total


@triton.jit
def vector(at, WIDTH: tl.constexpr):
    """WIDTH numbers from `at`, (1, WIDTH) float32."""
    return tl.load(at + tl.arange(0, WIDTH)).to(tl.float32)[None, :]


@triton.jit
def modulated(x, modulation, SHIFT: tl.constexpr, WIDTH: tl.constexpr):
    """norm(x) * (1 + scale) + shift; the rows SHIFT and SHIFT + 1 of `modulation` are the two."""
    centred = x - (tl.sum(x, 1) / WIDTH)[:, None]
    variance = tl.sum(centred * centred, 1) / WIDTH
    normed = centred * tl.rsqrt(variance + EPSILON)[:, None]
    scale = vector(modulation + (SHIFT + 1) * WIDTH, WIDTH)
    return normed * (1 + scale) + vector(modulation + SHIFT * WIDTH, WIDTH)
