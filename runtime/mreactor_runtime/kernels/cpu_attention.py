"""Attention with the relative decay on a CPU: frames that the decay leaves nothing of are skipped.

softmax(Q K' / sqrt(d) - eps |x - y|) V, a head at a time, in blocks of queries that see the keys
within reach. Nothing of T x T numbers is ever made: the scores stay inside PyTorch's own kernel,
and the bias is a view of one vector. With the keys in reversed order, frame y standing at
y' = T - 1 - y, the distance x - y is x + y' - (T - 1): a function of the sum of both places, so
that a row of the bias is the one before it, moved on by one number.

What is skipped is bounded, for every frame and whatever the data. Where no score q . k / sqrt(d) of
a frame is more than M above that with its own key, a frame at distance n weighs at most
exp(M - eps n) of the frame itself, and all beyond a reach of w frames at most
2 exp(M - eps w) / (1 - exp(-eps)). `reach` is the w that keeps this below SKIPPED. M is taken from
the lengths of the vectors, |q . k| <= |q| |k|, so that no score is made to find it.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

SKIPPED = 2.0**-24  # the weight, of 1, that the skipped frames have together: half a float32's step
BLOCK = 192  # queries at once; each block also sees keys beyond its ends that most do not need
WHOLE = 512  # frames of a clip that is too short to skip any
WORTH = 0.8  # of a clip's frames: a block that sees more of them is not worth a call of its own


def reach(rate: float, margin: float) -> int:
    """The distance in frames beyond which keys together weigh less than SKIPPED.

    Args: rate: eps. margin: M, the most by which a score is above that with the frame's own key.
    """
    if not math.isfinite(margin):  # nothing is known, nothing is skipped
        return 2**31
    beyond = math.log(2 / -math.expm1(-rate)) - math.log(SKIPPED)
    return math.ceil((margin + beyond) / rate)


class BandedAttention:
    """One attention's heads.

    Args: rates: eps of each head, (H).
    """

    def __init__(self, rates: Tensor):
        self._rates: list[float] = rates.tolist()
        self._slopes = -rates[:, None]
        self._bias = torch.empty(len(rates), 0)

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, out: Tensor) -> None:
        """Queries (N, T, D), keys and values (N, T, D) in reversed order of frames, to `out`.

        Keys may be (1, T, D), for all N.
        """
        frames, heads = queries.shape[1], len(self._rates)
        q, k, v, result = (
            x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (queries, keys, values, out)
        )  # (N, H, T, d)
        bias = self._of(frames)
        if frames <= WHOLE:
            whole = bias.unfold(1, frames, 1)
            k = k.expand(len(q), -1, -1, -1)
            result.copy_(F.scaled_dot_product_attention(q, k, v, attn_mask=whole[None]))
            return
        for row in range(len(q)):
            self._skip(q[row], k[min(row, len(k) - 1)], v[row], bias, result[row])

    def _skip(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, result: Tensor) -> None:
        """One row, (H, T, d) each, in blocks of queries."""
        frames = q.shape[1]
        for some, width in self._bands(q, k):
            block = frames if width >= frames else BLOCK
            for start in range(0, frames, block):
                stop = min(start + block, frames)
                first, last = max(0, start - width), min(frames, stop + width)
                seen = slice(frames - last, frames - first)  # of the reversed keys
                near = bias[some, start + seen.start :].unfold(1, last - first, 1)
                result[some, start:stop] = F.scaled_dot_product_attention(
                    q[None, some, start:stop],
                    k[None, some, seen],
                    v[None, some, seen],
                    attn_mask=near[None, :, : stop - start],
                )[0]

    def _of(self, frames: int) -> Tensor:
        """-eps |x - y| at x + y', (H, 2 T - 1)."""
        bias = self._bias  # once: another thread may need another length, and put its own here
        if bias.shape[1] != 2 * frames - 1:
            self._bias = bias = self._slopes * torch.arange(1 - frames, frames).abs()
        return bias

    def _bands(self, queries: Tensor, keys: Tensor) -> list[tuple[slice, int]]:
        """Neighbouring heads and how far each of them sees, for queries and keys (H, T, d).

        A head that would skip little sees all frames: one call for all such heads costs less.
        """
        frames, size = queries.shape[1:]
        widths = [reach(rate, 0.0) for rate in self._rates]
        if any(_pays(width, frames) for width in widths):
            lengths = [torch.linalg.vector_norm(x, dim=-1) for x in (queries, keys)]
            most = lengths[0] * lengths[1].amax(dim=1, keepdim=True)  # (H, T)
            itself = torch.linalg.vecdot(queries, keys.flip(1))
            margins = ((most - itself).amax(dim=1) / math.sqrt(size)).tolist()
            widths = [reach(*pair) for pair in zip(self._rates, margins, strict=True)]
        widths = [width if _pays(width, frames) else frames for width in widths]
        ends = [h for h in range(1, len(widths)) if widths[h] != widths[h - 1]]
        cuts = itertools.pairwise([0, *ends, len(widths)])
        return [(slice(*cut), widths[cut[0]]) for cut in cuts]


def _pays(width: int, frames: int) -> bool:
    return BLOCK + 2 * width < WORTH * frames
