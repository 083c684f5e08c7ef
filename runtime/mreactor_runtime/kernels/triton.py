"""The kernels written in the Triton language, which `step.py` and `gpu_attention.py` call.

Apart, since importing Triton takes a second, and only a GPU needs it. With TRITON_INTERPRET=1 in
the environment before the first import they run on CPU tensors, one program after another.

Sizes of blocks are fixed and not tuned at run time: another block sums in another order, and the
same clip must give the same bytes in every run.
"""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportOperatorIssue=false
# pyright: reportMissingParameterType=false

import triton
import triton.language as tl

LOG2_E: tl.constexpr = tl.constexpr(1.4426950408889634)  # exp(x) = exp2(x log2 e), one instruction


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


@triton.jit
def attention_kernel(
    queries,
    keys,
    values,
    rates,
    mask,
    out,
    scale,
    bound,
    frames,
    reactions,
    heads,
    query_clip,
    query_reaction,
    query_head,
    query_frame,
    key_clip,
    key_reaction,
    key_head,
    key_frame,
    value_clip,
    value_reaction,
    value_head,
    value_frame,
    out_clip,
    out_reaction,
    out_head,
    out_frame,
    WIDTH: tl.constexpr,
    PADDED_WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """softmax(Q K' / sqrt(d) - rate |x - y|) V for QUERIES frames of one head of one reaction.

    The softmax is made as the keys pass by, KEYS at a time, and no score leaves the chip (Dao et
    al. 2022, algorithm 1). The decay comes from the frames' numbers. Blocks of keys that lie
    beyond `bound` of decay for all the queries are not visited.

    Args:
        queries, keys, values, out: (B, S, H, T, d) by their strides; d is in one piece. Keys that
            all reactions share have a stride of 0.
        rates: (H) float32. mask: (B, T) of bytes, 0 for padded frames. scale: 1 / sqrt(d).
        WIDEN: multiply in float32 what was rounded to its type: the same products, for the
            interpreter, which takes bfloat16 for whole numbers there.
    """
    first = tl.program_id(0) * QUERIES
    which = tl.program_id(1)
    head = which % heads
    reaction = (which // heads % reactions).to(tl.int64)
    clip = (which // heads // reactions).to(tl.int64)
    queries += clip * query_clip + reaction * query_reaction + head * query_head
    keys += clip * key_clip + reaction * key_reaction + head * key_head
    values += clip * value_clip + reaction * value_reaction + head * value_head
    out += clip * out_clip + reaction * out_reaction + head * out_head
    mask += clip * frames

    rows, channels = first + tl.arange(0, QUERIES), tl.arange(0, PADDED_WIDTH)
    is_channel = channels[None, :] < WIDTH
    is_query = (rows[:, None] < frames) & is_channel
    q = tl.load(queries + rows[:, None] * query_frame + channels[None, :], mask=is_query, other=0.0)
    if WIDEN:
        q = q.to(tl.float32)

    rate = tl.load(rates + head)
    # At most all frames, and no division by a rate of zero.
    reach = tl.ceil(bound / tl.maximum(rate, bound / frames)).to(tl.int32)
    begin = tl.maximum(first - reach, 0) // KEYS * KEYS
    end = tl.minimum(first + QUERIES + reach, frames)
    slope, steepness = rate * LOG2_E, scale * LOG2_E

    highest = tl.full([QUERIES], float("-inf"), tl.float32)
    total = tl.full([QUERIES], 0.0, tl.float32)
    mixed = tl.full([QUERIES, PADDED_WIDTH], 0.0, tl.float32)
    for start in range(begin, end, KEYS):
        columns = start + tl.arange(0, KEYS)
        is_key = (columns[:, None] < frames) & is_channel
        k = tl.load(keys + columns[:, None] * key_frame + channels[None, :], mask=is_key, other=0.0)
        v = tl.load(
            values + columns[:, None] * value_frame + channels[None, :], mask=is_key, other=0.0
        )
        if WIDEN:
            k, v = k.to(tl.float32), v.to(tl.float32)
        real = tl.load(mask + columns, mask=columns < frames, other=0)
        distance = tl.abs(rows[:, None].to(tl.float32) - columns[None, :].to(tl.float32))
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * steepness - slope * distance
        scores = tl.where(real[None, :] != 0, scores, float("-inf"))
        higher = tl.maximum(highest, tl.max(scores, 1))
        # Where no key was real so far: -inf - -inf would be no number.
        shift = tl.where(higher == float("-inf"), 0.0, higher)
        weights = tl.exp2(scores - shift[:, None])
        fade = tl.exp2(highest - shift)
        total = total * fade + tl.sum(weights, 1)
        mixed = mixed * fade[:, None]
        rounded = weights.to(values.dtype.element_ty)
        if WIDEN:
            rounded = rounded.to(tl.float32)
        mixed += tl.dot(rounded, v, input_precision="ieee")
        highest = higher
    # A query without any key gets zeros.
    result = mixed / tl.where(total == 0.0, 1.0, total)[:, None]
    tl.store(
        out + rows[:, None] * out_frame + channels[None, :],
        result.to(out.dtype.element_ty),
        mask=is_query,
    )
