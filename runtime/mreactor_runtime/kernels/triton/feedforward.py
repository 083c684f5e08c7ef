"""The whole feed-forward in the Triton language, from one modulated norm to the next."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportOperatorIssue=false
# pyright: reportMissingParameterType=false

import triton
import triton.language as tl

from mreactor_runtime.kernels.triton.rows import modulated, vector

SLOPE: tl.constexpr = tl.constexpr(1.5957691216057308)  # 2 sqrt(2 / pi)
CUBE: tl.constexpr = tl.constexpr(0.044715)


@triton.jit
def feedforward_kernel(
    y,
    up,
    up_bias,
    down,
    down_bias,
    x,
    out,
    modulation,
    rows,
    GATE: tl.constexpr,
    WIDTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    ROWS: tl.constexpr,
    CHUNK: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """x += gate (gelu(y U' + u) D' + d), and the next sublayer's modulated norm of it to `out`.

    The hidden values are made CHUNK at a time, and none leaves the chip. GELU is the one by the
    hyperbolic tangent: x (1 + tanh v) / 2 is x sigmoid(2 v).

    Args:
        y, x, out: (rows, WIDTH). up: U (HIDDEN, WIDTH). down: D (WIDTH, HIDDEN).
        modulation: (.., WIDTH); GATE is this sublayer's row, the next two are shift and scale of
            the next one.
    """
    first = tl.program_id(0) * ROWS
    columns = tl.arange(0, WIDTH)
    place = tl.arange(0, ROWS)[:, None] * WIDTH + columns[None, :]
    mask = first + tl.arange(0, ROWS)[:, None] < rows
    here = first.to(tl.int64) * WIDTH
    x += here
    out += here
    normed = tl.load(y + here + place, mask=mask, other=0.0)
    if WIDEN:
        normed = normed.to(tl.float32)
    total = tl.zeros([ROWS, WIDTH], tl.float32)
    for start in range(0, HIDDEN, CHUNK):
        chunk = start + tl.arange(0, CHUNK)
        u = tl.load(up + chunk[None, :] * WIDTH + columns[:, None])
        d = tl.load(down + columns[None, :] * HIDDEN + chunk[:, None])
        if WIDEN:
            u, d = u.to(tl.float32), d.to(tl.float32)
        hidden = tl.dot(normed, u, input_precision="ieee")
        hidden += tl.load(up_bias + chunk).to(tl.float32)[None, :]
        hidden *= tl.sigmoid(hidden * (SLOPE + SLOPE * CUBE * hidden * hidden))
        rounded = hidden.to(up.dtype.element_ty)
        if WIDEN:
            rounded = rounded.to(tl.float32)
        total = tl.dot(rounded, d, total, input_precision="ieee")
    now = tl.load(x + place, mask=mask, other=0.0)
    now += vector(modulation + GATE * WIDTH, WIDTH) * (total + vector(down_bias, WIDTH))
    tl.store(x + place, now, mask=mask)
    following = modulated(now, modulation, GATE + 1, WIDTH)
    tl.store(out + place, following.to(out.dtype.element_ty), mask=mask)
