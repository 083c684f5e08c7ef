"""The denoiser on a CPU: what the reference computes, without what a clip does not need.

Reactions are shared out among the cores, a long one alone: what a layer works on then stays in a
core's cache, no core waits for another within a step, and the bytes of a reaction depend on no
other reaction, batch or number of threads. A step's large intermediates live in memory that is
reserved once a thread. Padded frames are left out. Both branches of guidance share the tokens and
the first attention of the frames to each other, and the attention to the dropped condition is a
constant.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from mreactor_ref.attention import CrossAttention, SelfAttention
from mreactor_ref.denoiser import MODULATIONS, Context, Denoiser, FeedForward, Layer
from mreactor_runtime.kernels.cpu_attention import BandedAttention
from mreactor_runtime.kernels.cpu_pieces import PIECE, pieces
from mreactor_runtime.kernels.cpu_threads import Cores, Workspace

ROWS = 256  # of the feed-forward at once: its hidden values then stay in the cache
TOKENS = 1024  # of a share, where its reactions are short: fewer are not worth their calls
SLOPE, CUBE = 2 * math.sqrt(2 / math.pi), 0.044715  # of GELU: 2 u = SLOPE x (1 + CUBE x^2)


class CpuDenoiser:
    """The step of a denoiser with relative and subject attention, on CPU threads.

    Args:
        denoiser: in evaluation mode, on the CPU; read, and not changed.
        threads: cores to use.
    """

    def __init__(self, denoiser: Denoiser, threads: int):
        self._denoiser, self._cores = denoiser, Cores(threads)
        self._margin = denoiser.context.conv.kernel_size[0] // 2
        self._work = Workspace()
        self._layers = [_Layer(cast(Layer, layer), self._work) for layer in denoiser.layers]
        with torch.no_grad():
            self._null = [x.clone() for x in denoiser.null_outputs()]

    def conditional(
        self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor
    ) -> Tensor:
        """The branch with the speaker: (B, S, T, 83) -> (B, S, T, 83), zeros in padded frames.

        Args:
            modulation: (M, D). mask: (B, T), the real frames first.
        """
        return self._step(noisy, modulation, context, mask, branches=1)

    def branches(self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor) -> Tensor:
        """Both branches of guidance: (B, S, T, 83) -> (B, 2 S, T, 83), speaker first."""
        return self._step(noisy, modulation, context, mask, branches=2)

    def _step(
        self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor, branches: int
    ) -> Tensor:
        clips, reactions, longest, channels = noisy.shape
        clean = noisy.new_zeros(clips, branches, reactions, longest, channels)
        tasks: list[Callable[[], None]] = []
        for b, frames in enumerate(mask.sum(dim=1).tolist()):
            keys = context.keys[b, :, :frames].flip(1)  # (L, T, D), the last frame first
            for some in self._shares(reactions, frames):

                def share(
                    b: int = b, some: slice = some, frames: int = frames, keys: Tensor = keys
                ) -> None:
                    values = context.values[b, some, :, :frames]
                    tokens = noisy[b, some, :frames], context.style[b, some]
                    both = self._share(*tokens, keys, values, modulation, branches)
                    clean[b, :, some, :frames] = both.unflatten(0, (branches, -1))

                tasks.append(share)
        threads = self._cores.count
        each = threads // min(threads, len(tasks))  # a core that is left over helps one
        for _ in self._cores.results(tasks, each):
            pass
        return clean.flatten(1, 2)

    def _shares(self, reactions: int, frames: int) -> list[slice]:
        """The reactions of a clip cut into equal shares, as many as cores or a multiple of them."""
        least = math.ceil(reactions / max(1, TOKENS // frames))
        count = min(reactions, math.ceil(least / self._cores.count) * self._cores.count)
        cuts = [reactions * i // count for i in range(count + 1)]
        return [slice(*cut) for cut in itertools.pairwise(cuts)]

    def _share(
        self,
        noisy: Tensor,
        style: Tensor,
        keys: Tensor,
        values: Tensor,
        modulation: Tensor,
        branches: int,
    ) -> Tensor:
        """Some reactions of a clip, S of them: (S, T, 83) -> (S or 2 S, T, 83), speaker first.

        Args: style (S, D), keys (L, T, D), values (S, L, T, D).
        """
        denoiser, (count, frames, _), width = self._denoiser, noisy.shape, style.shape[1]
        rows = branches * count
        x = self._work.take("x", rows * frames, width).view(rows, frames, width)
        with_speaker, without = x[:count], x[count:]
        cut = list(pieces(frames, self._margin))
        for piece in cut:
            seen = noisy[None, :, piece.seen]
            whole = torch.ones(1, seen.shape[2], dtype=torch.bool)
            tokens = denoiser.tokens(seen, style[None], whole)
            with_speaker[:, piece.frames] = tokens[0, :, piece.inside]
        for i, layer in enumerate(self._layers):
            relative, subject, feedforward = denoiser.rows(modulation, i)[:, 0].split(MODULATIONS)
            layer.attend_relative(x if i else with_speaker, relative)
            if i == 0:
                without.copy_(with_speaker[: len(without)])
            layer.attend_subject(with_speaker, keys[None, i], values[:, i].flip(1), subject)
            without += subject[2] * self._null[i]
            layer.feed_forward(x.flatten(0, 1), feedforward)
        clean = noisy.new_empty(rows, *noisy.shape[1:])
        for piece in cut:
            clean[:, piece.frames] = denoiser.finish(x[:, piece.frames], modulation)
        return clean


class _Layer:
    """One layer's sublayers, each adding to its tokens in place.

    `modulation` is (3, D): the shift, scale and gate of the sublayer.
    """

    def __init__(self, layer: Layer, work: Workspace):
        self._work = work
        self._relative = cast(SelfAttention, layer.relative)
        self._subject = cast(CrossAttention, layer.subject)
        self._feedforward: FeedForward = layer.feedforward
        self._near = _banded(self._relative)
        self._far = _banded(self._subject)

    def attend_relative(self, x: Tensor, modulation: Tensor) -> None:
        """Tokens (N, T, D)."""
        y, width = _modulated(x, modulation), x.shape[2]
        weight, bias = self._relative.to_qkv.weight, self._relative.to_qkv.bias
        queries = self._linear("queries", y, weight[:width], bias[:width])
        # The keys in reversed order are those of the reversed tokens.
        both = self._linear("keys and values", y.flip(1), weight[width:], bias[width:])
        attended = self._work.take("attended", x.shape[0] * x.shape[1], width).view_as(x)
        self._near(queries, both[..., :width], both[..., width:], attended)
        self._add(x, attended, self._relative.out, modulation)

    def attend_subject(self, x: Tensor, keys: Tensor, values: Tensor, modulation: Tensor) -> None:
        """Tokens (N, T, D); keys (1, T, D) and values (N, T, D), the last frame first."""
        to_query = self._subject.to_query
        y = _modulated(x, modulation)
        queries = self._linear("queries", y, to_query.weight, to_query.bias)
        attended = self._work.take("attended", x.shape[0] * x.shape[1], x.shape[2]).view_as(x)
        self._far(queries, keys, values, attended)
        self._add(x, attended, self._subject.out, modulation)

    def feed_forward(self, x: Tensor, modulation: Tensor) -> None:
        """Tokens (N, D), whatever their order."""
        up, down = self._feedforward.up, self._feedforward.down
        for rows in x.split(ROWS):
            hidden = self._linear("hidden", _modulated(rows, modulation), up.weight, up.bias)
            gelu_(hidden, self._work.take("inner", *hidden.shape))
            self._add(rows, hidden, down, modulation)

    def _add(self, x: Tensor, y: Tensor, linear: torch.nn.Linear, modulation: Tensor) -> None:
        """x += gate * linear(y), a piece at a time."""
        rows, values = x.flatten(0, -2).split(PIECE), y.flatten(0, -2).split(PIECE)
        for some, of_them in zip(rows, values, strict=True):
            some.addcmul_(self._linear("out", of_them, linear.weight, linear.bias), modulation[2])

    def _linear(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(..., D) -> (..., E) in the workspace."""
        flat = x.flatten(0, -2)
        out = self._work.take(name, len(flat), len(weight))
        return torch.addmm(bias, flat, weight.T, out=out).view(*x.shape[:-1], len(weight))


def gelu_(x: Tensor, spare: Tensor) -> None:
    """GELU by the hyperbolic tangent, in place, with memory of the same shape to spare.

    x (1 + tanh u) / 2 is x sigmoid(2 u), and PyTorch's sigmoid takes a third of its tanh's time.
    """
    torch.mul(x, x, out=spare)
    spare.mul_(CUBE * SLOPE).add_(SLOPE).mul_(x).sigmoid_()
    x.mul_(spare)


def _modulated(x: Tensor, modulation: Tensor) -> Tensor:
    """norm(x) * (1 + scale) + shift, for x (..., D)."""
    shift, scale, _ = modulation
    return F.layer_norm(x, scale.shape, 1 + scale, shift)


def _banded(attention: SelfAttention | CrossAttention) -> BandedAttention:
    assert attention.decay is not None
    return BandedAttention(attention.decay.log_rate.detach().exp())
