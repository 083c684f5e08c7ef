"""The denoiser of the paper's attention for a GPU, in six kernels a layer and no copies between.

    tokens                    embedding, style, mask, convolution, first norm        once a step
    queries, keys, values     and the lengths of the keys                            \\
    relative attention                                                               |
    its projection            residual, norm, the subject attention's queries        | a layer
    subject attention         with the speaker only: without, it is a constant       |
    its projection            residual, norm                                         |
    feed-forward              residual, the next norm                                /
    last product              in float32                                             a clip

Products are in a half type, all else in float32, as in `gpu_denoiser`, which has the same results
by the compiler's kernels, and does what does not fit here: other attentions, other widths, float32.
What no step changes, such as the lengths of the speaker's keys, is made once a clip by `Clip`.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from mreactor_ref.attention import (
    CrossAttention,
    Decay,
    SelfAttention,
    merge_heads,
    split_heads,
)
from mreactor_ref.denoiser import Context, Denoiser, Layer
from mreactor_runtime.kernels.gpu_attention import (
    decay_attention,
    launch_key_lengths,
    launch_tiled,
)
from mreactor_runtime.kernels.gpu_feedforward import eager_feedforward, launch_feedforward
from mreactor_runtime.kernels.gpu_projection import (
    eager_relative,
    eager_subject,
    launch_relative,
    launch_subject,
)
from mreactor_runtime.kernels.gpu_queries import eager_queries, launch_queries
from mreactor_runtime.kernels.gpu_tokens import TokenWeights, eager_tokens, launch_tokens
from mreactor_runtime.kernels.step import HAS_TRITON

ROWS_A_LAYER = 9  # of the modulation
WIDTHS = (16, 32, 64, 128, 256)  # that a program can hold whole
LEAST_HIDDEN = 16


@dataclass(frozen=True)
class Kernels:
    """The kernels of a step, or their twins."""

    tokens: Callable[..., None]
    queries: Callable[..., tuple[Tensor, Tensor]]
    key_lengths: Callable[[Tensor, Tensor], Tensor]
    attention: Callable[..., Tensor]
    relative: Callable[..., Tensor]
    subject: Callable[..., None]
    feedforward: Callable[..., None]


def _attend(q: Tensor, k: Tensor, v: Tensor, rates: Tensor, lengths: Tensor, _: Tensor) -> Tensor:
    return decay_attention(q, k, v, rates, lengths)


def _no_lengths(keys: Tensor, lengths: Tensor) -> Tensor:
    return keys.new_empty(*keys.shape[:3], 0)


LAUNCHED = Kernels(
    launch_tokens,
    launch_queries,
    launch_key_lengths,
    launch_tiled,
    launch_relative,
    launch_subject,
    launch_feedforward,
)
EAGER = Kernels(
    eager_tokens,
    eager_queries,
    _no_lengths,
    _attend,
    eager_relative,
    eager_subject,
    eager_feedforward,
)


def fits(denoiser: Denoiser, dtype: torch.dtype) -> bool:
    """Whether the kernels can compute this denoiser with products in this type."""
    layer = cast(Layer, denoiser.layers[0])
    width, hidden = denoiser.embed.out_features, layer.feedforward.up.out_features
    is_paper = denoiser.kind == "relative+subject"
    is_whole = width in WIDTHS and hidden >= LEAST_HIDDEN and hidden & (hidden - 1) == 0
    return is_paper and is_whole and dtype != torch.float32


class FusedDenoiser:
    """One step of denoising, with the kernels of `Kernels`.

    Args:
        denoiser: of the reference, on its device, one that `fits`; it is left as it is.
        dtype: of the products.
        kernels: None takes Triton's on CUDA, and elsewhere their twins.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        dtype: torch.dtype = torch.bfloat16,
        kernels: Kernels | None = None,
    ):
        with torch.no_grad():
            self._null = [value.clone() for value in denoiser.null_outputs()]  # (D) a layer
        on_gpu = denoiser.null_token.is_cuda and HAS_TRITON
        self._kernels = kernels or (LAUNCHED if on_gpu else EAGER)
        self._dtype = dtype
        self._tokens = TokenWeights.of(denoiser)
        self._out = deepcopy(denoiser.out).requires_grad_(False)
        self._layers = [_Layer(cast(Layer, layer), dtype) for layer in denoiser.layers]

    def conditional(
        self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor
    ) -> Tensor:
        """The branch with the speaker: (B, S, T, 83) -> (B, S, T, 83) float32.

        Args: mask: (B, T), the real frames first, one at least.
        """
        return self._step(noisy, modulation, self.clip(context, mask), branches=1)

    def branches(self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor) -> Tensor:
        """Both branches of guidance: (B, S, T, 83) -> (B, 2 S, T, 83) float32, speaker first."""
        return self._step(noisy, modulation, self.clip(context, mask), branches=2)

    def clip(self, context: Context, mask: Tensor) -> Clip:
        """What no step changes: made once a clip, and given to `step`."""
        lengths = mask.sum(dim=1, dtype=torch.int32)
        keys, values = context.keys.to(self._dtype), context.values.to(self._dtype)
        each = split_heads(keys, self._layers[0].heads)  # (B, L, H, T, d)
        return Clip(
            context.style.contiguous(),
            each,
            values,
            self._kernels.key_lengths(each, lengths),
            lengths,
        )

    def step(self, noisy: Tensor, modulation: Tensor, clip: Clip, guided: bool) -> Tensor:
        """(B, S, T, 83) -> (B, S, T, 83), or with both branches (B, 2 S, T, 83), speaker first."""
        return self._step(noisy, modulation, clip, branches=2 if guided else 1)

    def _step(self, noisy: Tensor, modulation: Tensor, clip: Clip, branches: int) -> Tensor:
        kernels, lengths = self._kernels, clip.lengths
        clips, count, frames, _ = noisy.shape
        width = modulation.shape[-1]
        x = noisy.new_empty(clips, branches * count, frames, width)
        y = torch.empty_like(x, dtype=self._dtype)
        last = torch.empty_like(x)
        kernels.tokens(noisy, clip.style, lengths, self._tokens, modulation, x, y)
        for i, layer in enumerate(self._layers):
            rows = modulation[ROWS_A_LAYER * i :]
            null = self._null[i] if branches == 2 else None
            reactions = x.shape[1] if i else count  # both branches are one so far
            qkv, longest = kernels.queries(y, reactions, layer.to_qkv, layer.heads, lengths)
            q, k, v = (split_heads(part, layer.heads) for part in qkv.chunk(3, dim=-1))
            near = kernels.attention(q, k, v, layer.near, lengths, longest)
            to_query = layer.to_query
            asked = kernels.relative(merge_heads(near), layer.near_out, x, y, rows, to_query, null)
            speaker = slice(i, i + 1)
            far = kernels.attention(
                split_heads(asked, layer.heads),
                clip.keys[:, speaker],
                split_heads(clip.values[:, :, i], layer.heads),
                layer.far,
                lengths,
                clip.longest[:, speaker],
            )
            kernels.subject(merge_heads(far), layer.far_out, x, y, rows)
            is_last = i + 1 == len(self._layers)
            kernels.feedforward(y, layer.feedforward, x, rows, last if is_last else y)
        return self._last_product(last)

    def _last_product(self, x: Tensor) -> Tensor:
        """(B, R, T, D) -> (B, R, T, 83), clip by clip: the library's order may depend on how many
        rows there are, and on where among them one lies."""
        clean = x.new_empty(*x.shape[:3], self._out.out_features)
        for rows, out in zip(x.flatten(1, 2), clean.flatten(1, 2), strict=True):
            torch.addmm(self._out.bias, rows, self._out.weight.T, out=out)
        return clean


@dataclass(frozen=True)
class Clip:
    """What the steps of a clip have in common.

    Attributes:
        style: (B, S, D). keys: of each layer, (B, L, H, T, d). values: (B, S, L, T, D).
        longest: of the keys, (B, L, H, T / NORMED). lengths: (B) int32, real frames.
    """

    style: Tensor
    keys: Tensor
    values: Tensor
    longest: Tensor
    lengths: Tensor


def _rates(decay: Decay | None) -> Tensor:
    """Rate of each head, (H) float32."""
    assert decay is not None
    return decay.log_rate.detach().float().exp()


class _Layer:
    """The weights of a layer: those of products in their type, the rates in float32."""

    def __init__(self, layer: Layer, dtype: torch.dtype):
        relative = cast(SelfAttention, layer.relative)
        subject = cast(CrossAttention, layer.subject)
        self.heads = relative.heads
        self.near, self.far = _rates(relative.decay), _rates(subject.decay)
        linears = relative.to_qkv, relative.out, subject.to_query, subject.out, layer.feedforward
        copies = [deepcopy(linear).requires_grad_(False).to(dtype) for linear in linears]
        self.to_qkv, self.near_out, self.to_query, self.far_out, self.feedforward = copies
