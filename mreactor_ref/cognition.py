"""HCD, hierarchical cognition disentanglement (C.2): fine and coarse factors, and the condition C.

Paper to code: lip, eye and pose F_l, F_e, F_p -> `FINE`; head, appearance and expression F_h, F_a,
F_e -> `COARSE`; Z_f = alpha (cos - beta) -> `fine_scores`; Z_c = gamma (W2 - delta), W2 the
2-Wasserstein distance -> `coarse_scores`.
The embeddings come from the 83 face channels that a clip has: a factor is a projection of its own
channels. The expression coefficients have no published meaning one by one, so lip and eye both
see all of them. Appearance is what stays: the mean of the coefficients over the clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mreactor_ref.config import ModelConfig
from mreactor_ref.perception import Perception
from mreactor_ref.signals import (
    ACTION_UNITS,
    AFFECT_SLICE,
    ANGLE_SLICE,
    ATTRIBUTES,
    COEFFICIENTS,
    EXPRESSION_SLICE,
    MODALITIES,
    SHAPE_SLICE,
    TRANSLATION_SLICE,
)

FINE = ("lip", "eye", "pose")
COARSE = ("head", "appearance", "expression")

_EYE_UNITS = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU9")  # upper face; the others are the mouth's
_SHAPE = list(range(COEFFICIENTS))[SHAPE_SLICE]
_RIGID = [*range(COEFFICIENTS)[ANGLE_SLICE], *range(COEFFICIENTS)[TRANSLATION_SLICE]]
_AFFECT = [*range(ATTRIBUTES)[AFFECT_SLICE], *range(ATTRIBUTES)[EXPRESSION_SLICE]]

# Channels of each factor: (of the coefficients, of the attributes).
CHANNELS = {
    "lip": (_SHAPE, [i for i, unit in enumerate(ACTION_UNITS) if unit not in _EYE_UNITS]),
    "eye": (_SHAPE, [i for i, unit in enumerate(ACTION_UNITS) if unit in _EYE_UNITS]),
    "pose": (list(range(COEFFICIENTS))[ANGLE_SLICE], []),
    "head": (_RIGID, []),
    "appearance": (list(range(COEFFICIENTS)), []),
    "expression": (_SHAPE, _AFFECT),
}

LOG_DEVIATION_RANGE = (-4.0, 2.0)  # keeps a Gaussian's deviation between 0.02 and 7
TINY = 1e-6  # inside the root of W2, whose gradient at zero is infinite


@dataclass(frozen=True)
class Cognition:
    """The condition, and what the contrastive losses compare.

    Attributes:
        condition: C (B, T, D).
        fine: lip, eye and pose of each frame (B, 3, T, D). sound: (B, T, D).
        coarse: means and deviations of head, appearance and expression, (B, 3, T, 2 D).
        fused: the same of the fused sound and words, (B, T, 2 D).
    """

    condition: Tensor
    fine: Tensor
    sound: Tensor
    coarse: Tensor
    fused: Tensor


def gaussian(x: Tensor) -> Tensor:
    """(..., 2 D) of means and log deviations -> means and deviations."""
    mean, log_deviation = x.chunk(2, dim=-1)
    return torch.cat((mean, log_deviation.clamp(*LOG_DEVIATION_RANGE).exp()), dim=-1)


def wasserstein(a: Tensor, b: Tensor) -> Tensor:
    """2-Wasserstein distance of diagonal Gaussians, per root of the width.

    Means and deviations lie in the last axis. W2^2 = |mean - mean'|^2 + |deviation -
    deviation'|^2; the division makes it a root mean square, so that one scale suits every width.
    """
    width = a.shape[-1] // 2
    return ((a - b).square().sum(dim=-1) / width + TINY).sqrt()


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real frames: x (B, ..., T, D), mask (B, T) -> (B, ..., D)."""
    weight = mask.to(x.dtype).reshape(mask.shape[0], *[1] * (x.dim() - 3), -1, 1)
    return (x * weight).sum(dim=-2) / weight.sum(dim=-2)


def info_nce(scores: Tensor, temperature: float) -> Tensor:
    """InfoNCE, both ways, over a B x B matrix whose diagonal holds the true pairs (C.2)."""
    target = torch.arange(len(scores), device=scores.device)
    logits = scores / temperature
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class TemporalContext(nn.Module):
    """A depthwise convolution over time, x + conv(x): the only part that tells before from after.

    The decay |x - y| of the attentions is symmetric, so that without it a lag could not be learned.
    """

    def __init__(self, width: int, frames: int):
        super().__init__()
        self.conv = nn.Conv1d(width, width, frames, padding=frames // 2, groups=width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (N, T, D), mask (N, T): padded frames count as the silence beyond the ends."""
        real = x * mask[..., None].to(x.dtype)
        return x + self.conv(real.transpose(1, 2)).transpose(1, 2)


class CognitionModule(nn.Module):
    """HCD: face factors against sound and words, and their fusion into the condition C (C.2)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        width = config.width
        self.temperature = config.contrast_temperature
        self.fine = nn.ModuleList(nn.Linear(self._inputs(name), width) for name in FINE)
        self.coarse = nn.ModuleList(nn.Linear(self._inputs(name), 2 * width) for name in COARSE)
        self.fused = nn.Linear(2 * width, 2 * width)
        self.alpha, self.beta = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))
        self.log_gamma, self.delta = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(3))
        joined = len(MODALITIES) * width + len(FINE) * width + len(COARSE) * width + 6
        self.join = nn.Linear(joined, 2 * width)
        self.narrow = nn.Linear(2 * width, width)
        self.context = nn.ModuleList(TemporalContext(width, config.context) for _ in range(2))
        self.mix = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.norm = nn.LayerNorm(width)

    @staticmethod
    def _inputs(factor: str) -> int:
        return sum(len(channels) for channels in CHANNELS[factor])

    def forward(
        self, perception: Perception, coefficients: Tensor, attributes: Tensor, mask: Tensor
    ) -> Cognition:
        """Standardised coefficients (B, T, 58) and attributes (B, T, 25), zero where missing."""
        still = masked_mean(coefficients, mask)[:, None].expand_as(coefficients)
        return self.of_frames(perception, coefficients, attributes, mask, still)

    def of_frames(
        self,
        perception: Perception,
        coefficients: Tensor,
        attributes: Tensor,
        mask: Tensor,
        still: Tensor,
    ) -> Cognition:
        """The same where `still` (B, T, 58) is the clip's mean coefficients at every frame.

        What a frame gets depends on the `context` - 1 frames before and after it alone.
        """
        sound, words, _ = perception.masked.unbind(dim=1)  # (B, T, D)

        def channels(factor: str) -> Tensor:
            own, attribute = CHANNELS[factor]
            source = still if factor == "appearance" else coefficients
            if not attribute:
                return source[..., own]
            return torch.cat((source[..., own], attributes[..., attribute]), dim=-1)

        fine = torch.stack(
            [linear(channels(name)) for name, linear in zip(FINE, self.fine, strict=True)], dim=1
        )  # (B, 3, T, D)
        coarse = gaussian(
            torch.stack(
                [f(channels(name)) for name, f in zip(COARSE, self.coarse, strict=True)], dim=1
            )
        )  # (B, 3, T, 2 D)
        fused = gaussian(self.fused(torch.cat((sound, words), dim=-1)))  # (B, T, 2 D)
        z_fine = self.fine_scores(F.cosine_similarity(fine, sound[:, None], dim=-1))  # (B, 3, T)
        z_coarse = self.coarse_scores(wasserstein(coarse, fused[:, None]))  # (B, 3, T)
        parts = (
            perception.masked.transpose(1, 2).flatten(2),  # (B, T, 3 D)
            fine.transpose(1, 2).flatten(2),
            coarse.chunk(2, dim=-1)[0].transpose(1, 2).flatten(2),  # the means
            z_fine.transpose(1, 2),
            z_coarse.transpose(1, 2),
        )
        condition = self.narrow(F.gelu(self.join(torch.cat(parts, dim=-1))))  # (B, T, D)
        for context, mix in zip(self.context, self.mix, strict=True):
            condition = condition + mix(F.gelu(context(condition, mask)))
        return Cognition(self.norm(condition), fine, sound, coarse, fused)

    def fine_scores(self, cosine: Tensor) -> Tensor:
        """Z_f = alpha (cos - beta), per factor: cosine (B, 3, ...)."""
        shape = (3, *[1] * (cosine.dim() - 2))
        return self.alpha.view(shape) * (cosine - self.beta.view(shape))

    def coarse_scores(self, distance: Tensor) -> Tensor:
        """Z_c = gamma (W2 - delta), gamma > 0, per factor: distance (B, 3, ...)."""
        shape = (3, *[1] * (distance.dim() - 2))
        return self.log_gamma.exp().view(shape) * (distance - self.delta.view(shape))

    def losses(self, cognition: Cognition, mask: Tensor) -> tuple[Tensor, Tensor]:
        """InfoNCE of the fine and of the coarse factors, over clips as pairs (C.2).

        Row i, column j of a matrix compares the face of clip i with the sound (and words) of clip
        j, from their means over the real frames. A larger Z_c is a larger distance: its negative
        is the score.
        """
        sound = masked_mean(cognition.sound, mask)  # (B, D)
        fine = masked_mean(cognition.fine, mask)  # (B, 3, D)
        cosine = F.cosine_similarity(fine[:, :, None], sound[None, None], dim=-1)  # (B, 3, B)
        coarse = masked_mean(cognition.coarse, mask)  # (B, 3, 2 D)
        fused = masked_mean(cognition.fused, mask)  # (B, 2 D)
        distance = wasserstein(coarse[:, :, None], fused[None, None])  # (B, 3, B)
        z_fine, z_coarse = self.fine_scores(cosine), self.coarse_scores(distance)
        fine_loss = torch.stack([info_nce(z, self.temperature) for z in z_fine.unbind(1)]).mean()
        coarse_loss = torch.stack(
            [info_nce(-z, self.temperature) for z in z_coarse.unbind(1)]
        ).mean()
        return fine_loss, coarse_loss
