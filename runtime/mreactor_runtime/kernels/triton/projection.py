"""The end of an attention in the Triton language: projection, residual, next norm, queries."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportOperatorIssue=false
# pyright: reportMissingParameterType=false, reportAssignmentType=false

import triton
import triton.language as tl

from mreactor_runtime.kernels.triton.rows import modulated, product, vector


@triton.jit
def projection_kernel(
    attended,
    weight,
    bias,
    x,
    y,
    modulation,
    query_weight,
    query_bias,
    queries,
    null,
    rows,
    attended_clip,
    x_clip,
    GATE: tl.constexpr,
    RELATIVE: tl.constexpr,
    SHARED: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """x += gate (attended W' + bias) for ROWS frames, and what the next sublayer reads of it.

    The axes of the grid are blocks of rows, branches, clips. After the subject attention there is
    the branch with the speaker alone, and its modulated norm goes to `y`. After the relative one
    (RELATIVE) the branch with the speaker is on its way to the subject attention, and gets
    `queries`. That without has a constant, `null`, in place of that attention: it is added at once,
    and the modulated norm for the feed-forward goes to `y`. With SHARED both branches are one so
    far, and part here.

    Args:
        attended: (B, branches, rows, WIDTH) by `attended_clip`; x and y (B, branches, rows, WIDTH)
            by `x_clip` from clip to clip. queries: (B, rows, WIDTH).
        modulation: of this layer on, (.., WIDTH); GATE is the attention's row. The next sublayer's
            shift, scale and gate are the rows after it, and then those of the one after that.
    """
    block, branch, clip = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    first = block * ROWS
    is_row = first + tl.arange(0, ROWS) < rows
    place = tl.arange(0, ROWS)[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
    mask = is_row[:, None]
    here = (branch * rows + first) * WIDTH
    total = product(attended + clip * attended_clip + here, weight, is_row, ROWS, WIDTH, WIDEN)
    x += clip * x_clip + here
    y += clip * x_clip + here
    now = tl.load(x + place, mask=mask, other=0.0)
    now += vector(modulation + GATE * WIDTH, WIDTH) * (total + vector(bias, WIDTH))
    if RELATIVE:
        if SHARED or branch == 1:
            constant = vector(modulation + (GATE + 3) * WIDTH, WIDTH) * vector(null, WIDTH)
            without, to = now + constant, rows * WIDTH if SHARED else 0
            tl.store(x + to + place, without, mask=mask)
            fed = modulated(without, modulation, GATE + 4, WIDTH)
            tl.store(y + to + place, fed.to(y.dtype.element_ty), mask=mask)
        if branch == 0:
            tl.store(x + place, now, mask=mask)
            asking = modulated(now, modulation, GATE + 1, WIDTH).to(y.dtype.element_ty)
            queries += (clip * rows + first) * WIDTH
            _ask(asking, query_weight, query_bias, queries, mask, ROWS, WIDTH, WIDEN)
    else:
        tl.store(x + place, now, mask=mask)
        fed = modulated(now, modulation, GATE + 1, WIDTH)
        tl.store(y + place, fed.to(y.dtype.element_ty), mask=mask)


@triton.jit
def _ask(x, weight, bias, out, mask, ROWS: tl.constexpr, WIDTH: tl.constexpr, WIDEN: tl.constexpr):
    """x W' + bias to `out`, some columns at a time: x is in registers, and fills them."""
    COLUMNS: tl.constexpr = 64 if WIDTH >= 64 else WIDTH
    rows, deep = tl.arange(0, ROWS), tl.arange(0, WIDTH)
    if WIDEN:
        x = x.to(tl.float32)
    for start in range(0, WIDTH, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        b = tl.load(weight + columns[None, :] * WIDTH + deep[:, None])
        if WIDEN:
            b = b.to(tl.float32)
        asked = tl.dot(x, b, input_precision="ieee")
        asked += tl.load(bias + columns).to(tl.float32)[None, :]
        place = out + rows[:, None] * WIDTH + columns[None, :]
        tl.store(place, asked.to(out.dtype.element_ty), mask=mask)
