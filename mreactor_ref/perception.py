"""MPB, multimodal perception behaviour (C.1): streams -> masked, time-aligned representations.

Paper to code: A_S, L_S, F_S -> the sound, words and face of `MODALITIES`; their hatted forms ->
`Perception.masked`; theta -> `mask_threshold`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mreactor_ref.config import ModelConfig
from mreactor_ref.signals import ATTRIBUTES, COEFFICIENTS, MODALITIES, STREAMS

WORDS = MODALITIES.index("words")


@dataclass(frozen=True)
class Perception:
    """Weighted projections, their masked forms (B, 3, T, D), and the masks of 0 and 1 (B, 3, T)."""

    projected: Tensor
    masked: Tensor
    masks: Tensor


class StreamProjection(nn.Module):
    """Each stream to width D; a learned token for a stream that the clip does not have."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        widths = (config.sound, config.words, COEFFICIENTS, ATTRIBUTES)
        self.linears = nn.ModuleList(nn.Linear(width, config.width) for width in widths)
        self.missing = nn.Parameter(0.02 * torch.randn(len(STREAMS), config.width))

    def forward(self, streams: tuple[Tensor, ...], present: Tensor) -> Tensor:
        """Streams (B, T, width) each, present (B, 4) -> (B, 3, T, D): sound, words, face."""
        sound, words, coefficients, attributes = (
            torch.where(present[:, i, None, None] > 0, linear(stream), self.missing[i])
            for i, (linear, stream) in enumerate(zip(self.linears, streams, strict=True))
        )
        return torch.stack((sound, words, coefficients + attributes), dim=1)


class TemporalCorrelation(nn.Module):
    """Temporal correlation learning: how much a frame matters to its own and the other modalities.

    One attention over all frames of all modalities holds the intra-modal correlations in its
    diagonal blocks and the inter-modal ones in the others. A frame's weight is the attention that
    it receives, averaged over the real frames and scaled to a mean of one.

    `block` takes so many queries at once, for clips whose scores would not all fit; the runtime
    sets it.
    """

    def __init__(self, width: int):
        super().__init__()
        self.to_query = nn.Linear(width, width)
        self.to_key = nn.Linear(width, width)
        self.block: int | None = None

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, 3, T, D), mask (B, T) -> weights (B, 3, T), mean one over the real frames."""
        valid = mask[:, None].expand(-1, x.shape[1], -1).flatten(1)  # (B, 3 T)
        queries, keys = self.to_query(x), self.to_key(x).flatten(1, 2)  # (B, 3, T, D), (B, 3 T, D)
        received = torch.zeros_like(valid, dtype=x.dtype)
        for own in queries.unbind(dim=1):  # a sum of sums: some engines add one number at a time
            for some, real in zip(self._blocks(own), self._blocks(mask), strict=True):
                received = received + self._received(some, keys, real, valid)
        return received.unflatten(1, (x.shape[1], -1))

    def _blocks(self, x: Tensor) -> Sequence[Tensor]:
        return [x] if self.block is None else x.split(self.block, dim=1)

    @staticmethod
    def _received(queries: Tensor, keys: Tensor, asking: Tensor, valid: Tensor) -> Tensor:
        """The attention of queries (B, M, D) to each of the keys (B, N, D), with masks: (B, N)."""
        scores = queries @ keys.transpose(1, 2) / math.sqrt(queries.shape[-1])
        scores = scores.masked_fill(~valid[:, None, :], float("-inf"))
        attention = torch.softmax(scores, dim=-1) * asking[:, :, None]
        return attention.sum(dim=1)  # by pairs, which a matrix product's sum is not


def straight_through_mask(cosine: Tensor, threshold: float, temperature: float) -> Tensor:
    """1 where the cosine reaches the threshold, else 0; its gradient is the soft sigmoid's."""
    hard = (cosine >= threshold).to(cosine.dtype)
    soft = torch.sigmoid((cosine - threshold) / temperature)
    return hard + (soft - soft.detach())


class PerceptionModule(nn.Module):
    """MPB: projection, temporal correlation learning, temporal masking (C.1)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.threshold, self.temperature = config.mask_threshold, config.mask_temperature
        self.project = StreamProjection(config)
        self.correlate = TemporalCorrelation(config.width)

    def forward(self, streams: tuple[Tensor, ...], present: Tensor, mask: Tensor) -> Perception:
        projected = self.project(streams, present)  # (B, 3, T, D)
        return self.weigh(projected, self.correlate(projected, mask))

    def weigh(self, projected: Tensor, weights: Tensor) -> Perception:
        """Projections (B, 3, T, D) by their weights (B, 3, T), and masked; frame by frame."""
        projected = projected * weights[..., None]
        words = projected[:, WORDS, None]  # (B, 1, T, D)
        cosine = F.cosine_similarity(projected, words, dim=-1)  # (B, 3, T)
        masks = straight_through_mask(cosine, self.threshold, self.temperature)
        return Perception(projected, projected * masks[..., None], masks)


def mask_loss(perception: Perception, mask: Tensor) -> Tensor:
    """Mean squared error between each projection and its masked form, over real frames (C.1)."""
    error = (perception.projected - perception.masked).square().mean(dim=-1)  # (B, 3, T)
    weight = mask[:, None].to(error.dtype)
    return (error * weight).sum() / (weight.sum() * error.shape[1])
