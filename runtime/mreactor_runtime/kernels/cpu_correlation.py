"""Temporal correlation on a CPU: what the reference computes, an hour's clip within bounded memory.

The attention that a frame receives is r = sum_x w_x softmax(q_x K')_y over all frames x of all
modalities. A block of queries takes the keys in pieces. The scores of a piece stay in a core's
cache while their largest is taken off and they are raised to e; they are then kept until the sums
of the block's rows are known, and added up over its rows as a vector times a matrix. A score is
made once, written once and read once.

Rows of tokens that repeat the one before them, such as a word's on all its frames or those of a
stream that the clip does not have, have the same scores: one stands for all, and counts as many.
Padded frames are left out.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from mreactor_ref.perception import TemporalCorrelation
from mreactor_ref.stages import ENCODING, reached
from mreactor_runtime.kernels.cpu_threads import Cores, Workspace

QUERIES = 128  # of a block, whose scores with all keys are kept: 97 MB a core for an hour's clip
KEYS = 1024  # of a piece: its scores with a block take half a core's cache


class CpuCorrelation:
    """`TemporalCorrelation` in blocks, for clips whose real frames come first.

    Args:
        reference: whose projections it takes.
        threads: cores to use; the bytes of a clip depend neither on them nor on other clips.
    """

    def __init__(self, reference: TemporalCorrelation, threads: int):
        self._to_query, self._to_key = reference.to_query, reference.to_key
        self._cores = Cores(threads)

    def __call__(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, 3, T, D), mask (B, T) -> weights (B, 3, T), mean one over the real frames."""
        weights = x.new_zeros(x.shape[:3])
        for clip, out, frames in zip(x, weights, mask.sum(dim=1).tolist(), strict=True):
            tokens, places = _distinct(clip[:, :frames].flatten(0, 1))
            received = self._received(tokens, torch.bincount(places).to(x.dtype))
            out[:, :frames] = received[places].unflatten(0, (len(clip), frames))
        return weights

    def _received(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """The attention that each of the tokens (N, D) receives, where each is there so often."""
        # In a task's one thread: the last bits of a product may depend on how many share it.
        [keys] = self._cores.results([lambda: self._to_key(tokens).T.contiguous()])  # (D, N)
        work, starts = Workspace(), range(0, len(tokens), QUERIES)

        def block(start: int) -> Tensor:
            some = slice(start, start + QUERIES)
            queries = self._to_query(tokens[some]) / math.sqrt(len(keys))
            return _attended(queries, counts[some], keys, counts, work)

        received = torch.zeros(len(tokens), dtype=torch.float64)
        blocks = self._cores.results([partial(block, start) for start in starts])
        for start, part in zip(starts, blocks, strict=True):
            reached(ENCODING, start / len(tokens))
            received += part
        return received.to(tokens.dtype)


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, D) without repetitions of the one before, and where each of the N is among them."""
    is_new = torch.ones(len(rows), dtype=torch.bool)
    torch.any(rows[1:] != rows[:-1], dim=1, out=is_new[1:])
    return rows[is_new], is_new.cumsum(0) - 1


def _attended(
    queries: Tensor, asking: Tensor, keys: Tensor, counts: Tensor, work: Workspace
) -> Tensor:
    """The attention of queries (M, D) to keys (D, N), which are there `counts` (N) times: (N).

    Args: asking: of each query, what it counts (M).
    """
    kept = work.take("scores", len(queries), keys.shape[1]).flatten()
    pieces = [piece.view(len(queries), -1) for piece in kept.split(len(queries) * KEYS)]
    most, sums = torch.empty(2, len(pieces), len(queries), 1)
    for i, some in enumerate(keys.split(KEYS, dim=1)):
        scores = torch.mm(queries, some, out=pieces[i])
        torch.amax(scores, dim=1, keepdim=True, out=most[i])
        scores.sub_(most[i]).exp_()
        sums[i] = scores @ counts[i * KEYS : (i + 1) * KEYS, None]
    scale = (most - most.amax(dim=0)).exp()  # of each piece to the whole row
    scale *= asking[:, None] / (scale * sums).sum(dim=0)  # (pieces, M, 1)
    return torch.cat([scale[i, :, 0] @ scores for i, scores in enumerate(pieces)])
