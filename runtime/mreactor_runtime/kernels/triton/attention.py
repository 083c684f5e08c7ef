"""The attention with a decay in the Triton language; `gpu_attention.py` calls it."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportOperatorIssue=false
# pyright: reportMissingParameterType=false

import triton
import triton.language as tl

LOG2_E: tl.constexpr = tl.constexpr(1.4426950408889634)  # exp(x) = exp2(x log2 e), one instruction
LEAST_RATE: tl.constexpr = tl.constexpr(1e-6)
LENGTHS: tl.constexpr = tl.constexpr(64)  # of blocks of keys that are read at once


@triton.jit
def key_lengths_kernel(
    keys,
    lengths,
    out,
    reactions,
    heads,
    blocks,
    key_clip,
    key_reaction,
    key_head,
    key_frame,
    WIDTH: tl.constexpr,
    PADDED_WIDTH: tl.constexpr,
    FRAMES: tl.constexpr,
):
    """|k| of the longest key in each block of FRAMES, of real frames; 0 where there is none.

    Args:
        keys: (B, S, H, T, d) by their strides. lengths: (B) int32, real frames of a clip.
        out: (B, S, H, blocks) float32, in one piece.
    """
    block, which = tl.program_id(0), tl.program_id(1)
    head = which % heads
    reaction = (which // heads % reactions).to(tl.int64)
    clip = (which // heads // reactions).to(tl.int64)
    keys += clip * key_clip + reaction * key_reaction + head * key_head
    rows, channels = block * FRAMES + tl.arange(0, FRAMES), tl.arange(0, PADDED_WIDTH)
    is_real = (rows[:, None] < tl.load(lengths + clip)) & (channels[None, :] < WIDTH)
    place = keys + rows[:, None] * key_frame + channels[None, :]
    k = tl.load(place, mask=is_real, other=0.0).to(tl.float32)
    tl.store(out + which * blocks + block, tl.sqrt(tl.max(tl.sum(k * k, 1), 0)))


@triton.jit
def _take(q, k, v, bias, row_bias, steepness, highest, total, mixed, WIDEN: tl.constexpr):
    """The softmax so far, and a block of keys more.

    The bias of a score is `bias`, (keys) or (queries, keys), and `row_bias` (queries) beside it,
    which is the same for all these keys and so meets only their maximum.
    """
    if WIDEN:
        k = k.to(tl.float32)
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * steepness + bias
    higher = tl.maximum(highest, tl.max(scores, 1) + row_bias)
    weights = tl.exp2(scores - (higher - row_bias)[:, None])
    fade = tl.exp2(highest - higher)
    rounded = weights.to(v.dtype)
    if WIDEN:
        rounded, v = rounded.to(tl.float32), v.to(tl.float32)
    mixed = tl.dot(rounded, v, mixed * fade[:, None], input_precision="ieee")
    return higher, total * fade + tl.sum(weights, 1), mixed


@triton.jit
def _reach(q, is_real, longest, blocks, steepness, highest, rate, skipped, frames):
    """Frames beyond a block of queries at which keys weigh less than exp(-skipped) together.

    As `cpu_attention.reach`: no score is above |q| |k|, and the best one so far is `highest`.
    """
    most = 0.0
    for start in range(0, blocks, LENGTHS):
        place = start + tl.arange(0, LENGTHS)
        most = tl.maximum(most, tl.max(tl.load(longest + place, mask=place < blocks, other=0.0), 0))
    wide = q.to(tl.float32)
    above = tl.sqrt(tl.sum(wide * wide, 1)) * most * steepness - highest
    margin = tl.max(tl.where(is_real, above, 0.0), 0) / LOG2_E
    steep = tl.maximum(rate, LEAST_RATE)  # no division by a rate of zero
    wanted = margin + tl.log(2 / (1 - tl.exp(-steep))) + skipped
    # No number is less than anything: then all frames are seen.
    reach = tl.where(wanted < rate * frames, tl.maximum(wanted / steep, 0.0), frames * 1.0)
    return tl.ceil(reach).to(tl.int32)


@triton.jit
def attention_kernel(
    queries,
    keys,
    values,
    rates,
    lengths,
    longest,
    out,
    scale,
    skipped,
    frames,
    reactions,
    heads,
    blocks,
    longest_clip,
    longest_reaction,
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
    al. 2022, algorithm 1). The blocks with the queries' own frames come first: after them every row
    has a best score, and what lies too far to weigh anything beside it is known. On either side of
    them the decay is linear, a number a key and one a query; both are counted from the end of the
    queries' block that is nearer, so that they stay small where a key counts.

    Args:
        queries, keys, values, out: (B, S, H, T, d) by their strides; d is in one piece. Keys that
            all reactions share have a stride of 0.
        rates: (H) float32. lengths: (B) int32, real frames of a clip, which come first.
        longest: of `key_lengths_kernel`. scale: 1 / sqrt(d). skipped: see `_reach`.
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
    longest += clip * longest_clip + reaction * longest_reaction + head * blocks
    length = tl.load(lengths + clip)

    within, channels = tl.arange(0, QUERIES), tl.arange(0, PADDED_WIDTH)
    rows = first + within
    is_query = (rows[:, None] < frames) & (channels[None, :] < WIDTH)
    place = out + rows[:, None] * out_frame + channels[None, :]
    if first >= length:  # all padding
        tl.store(place, tl.zeros([QUERIES, PADDED_WIDTH], out.dtype.element_ty), mask=is_query)
        return
    q = tl.load(queries + rows[:, None] * query_frame + channels[None, :], mask=is_query, other=0.0)
    if WIDEN:
        q = q.to(tl.float32)
    rate = tl.load(rates + head)
    slope, steepness = rate * LOG2_E, scale * LOG2_E

    after = tl.arange(0, KEYS)
    key_place = after[:, None] * key_frame + channels[None, :]
    value_place = after[:, None] * value_frame + channels[None, :]
    highest = tl.full([QUERIES], float("-inf"), tl.float32)
    total = tl.full([QUERIES], 0.0, tl.float32)
    mixed = tl.full([QUERIES, PADDED_WIDTH], 0.0, tl.float32)
    for start in range(first, first + QUERIES, KEYS):
        columns = start + after
        is_key = columns[:, None] < length
        if WIDTH != PADDED_WIDTH:
            is_key = is_key & (channels[None, :] < WIDTH)
        k = tl.load(keys + start * key_frame + key_place, mask=is_key, other=0.0)
        v = tl.load(values + start * value_frame + value_place, mask=is_key, other=0.0)
        distance = tl.abs(rows[:, None] - columns[None, :]).to(tl.float32)
        bias = tl.where(columns[None, :] < length, -slope * distance, float("-inf"))
        highest, total, mixed = _take(
            q, k, v, bias, tl.zeros_like(highest), steepness, highest, total, mixed, WIDEN
        )

    reach = _reach(q, rows < length, longest, blocks, steepness, highest, rate, skipped, frames)
    begin = tl.maximum(first - reach, 0) // KEYS * KEYS
    end = tl.maximum(tl.minimum(first + QUERIES + reach, length), first + QUERIES)
    for step in range(begin, end - QUERIES, KEYS):
        is_before = step < first
        start = tl.where(is_before, step, step + QUERIES)
        columns = start + after
        is_key = columns[:, None] < length
        if WIDTH != PADDED_WIDTH:
            is_key = is_key & (channels[None, :] < WIDTH)
        k = tl.load(keys + start * key_frame + key_place, mask=is_key, other=0.0)
        v = tl.load(values + start * value_frame + value_place, mask=is_key, other=0.0)
        beyond = tl.where(is_before, first - columns, columns - (first + QUERIES - 1))
        inside = tl.where(is_before, within, QUERIES - 1 - within)
        bias = tl.where(columns < length, -slope * beyond.to(tl.float32), float("-inf"))
        highest, total, mixed = _take(
            q,
            k,
            v,
            bias[None, :],
            -slope * inside.to(tl.float32),
            steepness,
            highest,
            total,
            mixed,
            WIDEN,
        )
    tl.store(place, (mixed / total[:, None]).to(out.dtype.element_ty), mask=is_query)
