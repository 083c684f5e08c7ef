"""The denoiser for a GPU: products of matrices in a half type, attention without scores in memory.

A copy of the reference's denoiser whose sublayers are replaced; layers, ends and order stay the
reference's own code. What rounding hurts stays in float32, as in an export in a half type: decay,
softmax, residual, norms, modulation, the two ends, and guidance. The encoder and the modulator are
not here: they run once, in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

from mreactor_ref.attention import (
    CrossAttention,
    Decay,
    SelfAttention,
    merge_heads,
    split_heads,
)
from mreactor_ref.denoiser import Context, Denoiser, FeedForward, Layer
from mreactor_runtime.kernels import compiling
from mreactor_runtime.kernels.branches import branches
from mreactor_runtime.kernels.gpu_attention import decay_attention


class GpuDenoiser:
    """One step of denoising.

    Args:
        denoiser: of the reference, on its device; it is left as it is.
        dtype: of the products; float32 is exact to rounding.
        compiled: fuse what lies between the products, by `torch.compile`: once for all lengths,
            at the first call, which takes about a minute and is kept on disk for the next process.
    """

    def __init__(
        self, denoiser: Denoiser, dtype: torch.dtype = torch.bfloat16, compiled: bool = True
    ):
        self._denoiser = deepcopy(denoiser).eval().requires_grad_(False)
        for layer in self._denoiser.layers:
            assert isinstance(layer, Layer)
            if layer.relative is not None:
                layer.relative = _GpuSelfAttention(layer.relative, dtype)
            if layer.subject is not None:
                layer.subject = _GpuCrossAttention(layer.subject, dtype)
            layer.feedforward = _GpuFeedForward(layer.feedforward, dtype)
        with torch.no_grad():
            null = denoiser.null_outputs()
        self._null = [value.clone() for value in null]  # (D) a layer

        self._compiled = compiled
        wrap = compiling.compiled if compiled else _as_it_is
        self._conditional = wrap(self._denoiser.conditional)
        self._branches = wrap(self._both)

    def conditional(
        self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor
    ) -> Tensor:
        """The branch with the speaker: (B, S, T, 83) -> (B, S, T, 83) float32."""
        if self._compiled:
            _free_sizes(noisy, context, mask)
        return self._conditional(noisy, modulation, context, mask)

    def branches(self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor) -> Tensor:
        """Both branches of guidance: (B, S, T, 83) -> (B, 2 S, T, 83) float32, speaker first."""
        if self._compiled:
            _free_sizes(noisy, context, mask)
        return self._branches(noisy, modulation, context, mask)

    def _both(self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor) -> Tensor:
        return branches(self._denoiser, self._null, noisy, modulation, context, mask)


class _GpuSelfAttention(SelfAttention):
    """`SelfAttention` with its products in a half type, and no scores in memory."""

    rates: Tensor

    def __init__(self, reference: SelfAttention, dtype: torch.dtype):
        nn.Module.__init__(self)
        self.heads = reference.heads
        self.to_qkv, self.out = _cast(reference.to_qkv, dtype), _cast(reference.out, dtype)
        self.register_buffer("rates", _rates(reference.decay, self.heads, reference.out.weight))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        qkv = self.to_qkv(x.to(self.to_qkv.weight.dtype))
        q, k, v = (split_heads(part, self.heads) for part in qkv.chunk(3, dim=-1))
        return self.out(merge_heads(decay_attention(q, k, v, self.rates, _lengths(mask))))


class _GpuCrossAttention(CrossAttention):
    """`CrossAttention` likewise; its keys and values come from the encoder."""

    rates: Tensor

    def __init__(self, reference: CrossAttention, dtype: torch.dtype):
        nn.Module.__init__(self)
        self.heads = reference.heads
        self.to_query, self.out = _cast(reference.to_query, dtype), _cast(reference.out, dtype)
        self.register_buffer("rates", _rates(reference.decay, self.heads, reference.out.weight))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        dtype = self.to_query.weight.dtype
        q = split_heads(self.to_query(x.to(dtype)), self.heads)
        k = split_heads(keys.to(dtype)[:, None], self.heads)  # (B, 1, H, T, d)
        v = split_heads(values.to(dtype), self.heads)
        return self.out(merge_heads(decay_attention(q, k, v, self.rates, _lengths(mask))))


class _GpuFeedForward(FeedForward):
    """`FeedForward` with its products in a half type."""

    def __init__(self, reference: FeedForward, dtype: torch.dtype):
        nn.Module.__init__(self)
        self.up, self.down = _cast(reference.up, dtype), _cast(reference.down, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.up.weight.dtype))


def _free_sizes(noisy: Tensor, context: Context, mask: Tensor) -> None:
    """Tell the compiler which axes change from clip to clip, so that it compiles for all of them.

    Left to itself it fixes every size, and compiles again at the second; told that all are free, it
    takes sizes that happen to be equal for one and the same.
    """
    from torch._dynamo import maybe_mark_dynamic

    for x, *axes in (
        (noisy, 1, 2),
        (mask, 1),
        (context.condition, 1),
        (context.keys, 2),
        (context.values, 1, 3),
        (context.style, 1),
    ):
        for axis in axes:
            if x.ndim > axis:
                maybe_mark_dynamic(x, axis)


def _lengths(mask: Tensor) -> Tensor:
    """Real frames of each clip, which come first: mask (B, T) -> (B) int32."""
    return mask.sum(dim=1, dtype=torch.int32)


def _cast(linear: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    return deepcopy(linear).to(dtype)


def _rates(decay: Decay | None, heads: int, like: Tensor) -> Tensor:
    """Rate of each head, (H) float32; zeros where there is no decay."""
    if decay is None:
        return torch.zeros(heads, device=like.device)
    return decay.log_rate.detach().float().exp()


def _as_it_is(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return function
