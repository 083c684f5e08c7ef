"""The attentions of MAG (C.3, D.1): relative and subject, and the plain self and cross of figure 2.

Paper to code: Q, K, V -> queries, keys, values; epsilon(x - y) -> `Decay`, a positive rate per head
times the distance of two frames; S (subject prior) -> `prior`; C (condition) -> `condition`.
The decay is symmetric, since reactions are generated offline from the whole clip.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOWEST_DECAY, FASTEST_DECAY = 0.01, 0.5  # initial rates a frame: memories of 4 s and of 0.1 s


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(..., T, D) -> (..., H, T, D / H)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x: Tensor) -> Tensor:
    """(..., H, T, D / H) -> (..., T, D)."""
    return x.transpose(-3, -2).flatten(-2)


class AttentionWeights(nn.Module):
    """softmax(Q K' / sqrt(d) + bias), (..., H, T, T). A module, so that a tap sees the map."""

    def forward(self, queries: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
        return torch.softmax(scores + bias, dim=-1)


class Attend(nn.Module):
    """Scaled dot-product attention over the last two axes, with an additive bias.

    `fused` takes PyTorch's own kernel, which keeps no map; the runtime sets it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights = AttentionWeights()
        self.fused = False

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        if not self.fused:
            return self.weights(queries, keys, bias) @ values
        # Clips beside heads, so that the reactions are the first axis: the bias, which is the same
        # for all of them, then needs no copy for each. What is expanded is written out in a graph,
        # so only what must be is.
        clips, reactions, heads = queries.shape[:3]
        if _is_one(keys.shape[1]):
            keys = keys.expand(-1, reactions, -1, -1, -1)
        if _is_one(bias.shape[2]):
            bias = bias.expand(-1, -1, heads, -1, -1)
        q, k, v, bias = (
            x.transpose(0, 1).flatten(1, 2) for x in (queries, keys, values, bias)
        )  # (S, B H, T, d), (1, B H, T, T)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return out.unflatten(1, (clips, heads)).transpose(0, 1)  # (B, S, H, T, d)


def _is_one(size: int | torch.SymInt) -> bool:
    """Whether an axis is 1 wherever it is. A traced axis that is free is not asked."""
    return isinstance(size, int) and size == 1


class Decay(nn.Module):
    """The bias -eps_h |x - y| with a learned positive rate eps_h per head (D.1)."""

    def __init__(self, heads: int):
        super().__init__()
        rates = torch.logspace(math.log10(SLOWEST_DECAY), math.log10(FASTEST_DECAY), heads)
        self.log_rate = nn.Parameter(rates.log())  # exp keeps the rate positive

    def forward(self, frames: int) -> Tensor:
        """(H, T, T)."""
        position = torch.arange(frames, device=self.log_rate.device, dtype=self.log_rate.dtype)
        distance = (position[:, None] - position[None, :]).abs()  # (T, T)
        return -self.log_rate.exp()[:, None, None] * distance


def key_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Padded frames get no attention: mask (B, T) true for real frames -> bias (B, 1, 1, 1, T)."""
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return bias.masked_fill(~mask, float("-inf"))[:, None, None, None, :]


class SelfAttention(nn.Module):
    """Attention of the listener's frames to each other; relative attention with `decay` (D.1).

    softmax(Q K' / sqrt(d) - eps_h |x - y|) V, for tokens (B, S, T, D) and mask (B, T).
    """

    def __init__(self, width: int, heads: int, decay: bool):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width)
        self.decay = Decay(heads) if decay else None
        self.attend = Attend()
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.to_qkv(x).chunk(3, dim=-1))
        bias = key_mask(mask, x.dtype)  # (B, 1, 1, 1, T)
        if self.decay is not None:
            bias = bias + self.decay(x.shape[-2])  # (B, 1, H, T, T)
        return self.out(merge_heads(self.attend(q, k, v, bias)))  # (B, S, T, D)


class CrossAttention(nn.Module):
    """Attention of the listener's frames to the speaker's condition C.

    With `subject` it is the subject attention of C.3: the relative decay, and values that the
    subject prior modulates, V <- V (1 + scale(S)) + shift(S). Keys and values do not depend on the
    diffusion step: they are made once a clip, by `keys` and `values`.
    """

    def __init__(self, width: int, heads: int, subject: bool):
        super().__init__()
        self.heads = heads
        self.to_query = nn.Linear(width, width)
        self.to_key = nn.Linear(width, width)
        self.to_value = nn.Linear(width, width)
        self.from_prior = nn.Linear(width, 2 * width) if subject else None
        self.decay = Decay(heads) if subject else None
        self.attend = Attend()
        self.out = nn.Linear(width, width)
        if self.from_prior is not None:
            nn.init.zeros_(self.from_prior.weight)
            nn.init.zeros_(self.from_prior.bias)

    def keys(self, condition: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D): shared by all reactions of a clip."""
        return self.to_key(condition)

    def values(self, condition: Tensor, prior: Tensor) -> Tensor:
        """Condition (B, T, D), prior (B, S, T, D) -> values (B, S, T, D)."""
        values = self.to_value(condition)[:, None]  # (B, 1, T, D)
        if self.from_prior is None:
            return values.expand(-1, prior.shape[1], -1, -1)
        scale, shift = self.from_prior(prior).chunk(2, dim=-1)
        return values * (1 + scale) + shift

    def null(self, token: Tensor, prior: Tensor) -> Tensor:
        """The output of attention to one repeated token, whatever the query: its value, (D)."""
        return self.out(self.values(token[None, None], prior[None, None, None])[0, 0, 0])

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """x, values (B, S, T, D), keys (B, T, D), mask (B, T) -> (B, S, T, D)."""
        q = split_heads(self.to_query(x), self.heads)
        k = split_heads(keys[:, None], self.heads)  # (B, 1, H, T, d)
        v = split_heads(values, self.heads)
        bias = key_mask(mask, x.dtype)
        if self.decay is not None:
            bias = bias + self.decay(x.shape[-2])
        return self.out(merge_heads(self.attend(q, k, v, bias)))
