"""The fused step in the Triton language; `step.py` above calls it."""

# pyright: reportOptionalMemberAccess=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportMissingParameterType=false

import triton
import triton.language as tl


@triton.jit
def step_kernel(
    x,
    clean,
    previous,
    noise,
    guidance,
    a,
    b,
    c,
    n,
    size,
    clean_stride,
    previous_stride,
    GUIDED: tl.constexpr,
    NOISY: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A block of numbers of one clip: x <- a x + b clean + c previous + n noise, in this order.

    `size` numbers a clip; the strides are from clip to clip. With GUIDED the `size` numbers after
    those of `clean` are the sample without the speaker. What was guided is written back.
    """
    batch = tl.program_id(1).to(tl.int64)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    x += batch * size
    clean += batch * clean_stride
    previous += batch * previous_stride
    now = tl.load(clean + place, mask=inside)
    if GUIDED:
        without = tl.load(clean + size + place, mask=inside)
        now = without + tl.load(guidance) * (now - without)
        tl.store(clean + place, now, mask=inside)
    last = tl.load(previous + place, mask=inside)
    line = a * tl.load(x + place, mask=inside) + b * now + c * last
    if NOISY:
        line += n * tl.load(noise + batch * size + place, mask=inside)
    tl.store(x + place, line, mask=inside)
