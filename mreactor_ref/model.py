"""MReactor: perception, cognition and the denoiser together, and its losses (C.4)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from mreactor_ref.attention import Attend
from mreactor_ref.cognition import Cognition, CognitionModule
from mreactor_ref.config import ModelConfig
from mreactor_ref.denoiser import Context, Denoiser
from mreactor_ref.perception import Perception, PerceptionModule, mask_loss
from mreactor_ref.signals import (
    AFFECT_SLICE,
    ATTRIBUTES,
    AU_SLICE,
    COEFFICIENTS,
    EXPRESSION_SLICE,
    NO_EMOTION,
    REACTION,
    REACTION_ATTRIBUTES,
    REACTION_COEFFICIENTS,
    STREAMS,
)


@dataclass(frozen=True)
class Batch:
    """Speaker clips on one frame grid, padded to the longest.

    Attributes:
        sound (B, T, sound), words (B, T, words), coefficients (B, T, 58), attributes (B, T, 25):
            raw features; anything where `present` is 0.
        present: (B, 4) of 0 and 1, in the order of STREAMS.
        mask: (B, T), true for real frames. Each clip has at least one.
        emotion: (B, S, T) indices into EMOTIONS. affect: (B, S, T, 2), polarity and intensity.
        smoothness: (B, S), in deviations from the training data's mean; 0 is average.
        listener: (B, S) codes of listeners, 0 to K; 0 says nothing.
    """

    sound: Tensor
    words: Tensor
    coefficients: Tensor
    attributes: Tensor
    present: Tensor
    mask: Tensor
    emotion: Tensor
    affect: Tensor
    smoothness: Tensor
    listener: Tensor


class Standard(nn.Module):
    """Mean and deviation of a stream's channels in the training data; kept in the checkpoint."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def set(self, mean: Tensor, std: Tensor) -> None:
        self.mean.copy_(mean)
        self.std.copy_(std)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def to_reaction(standardised: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """The model's channels (..., 83) in natural units and ranges.

    Action units are clipped to [0, 1], valence and arousal to [-1, 1]; expression probabilities
    are clipped at 0 and scaled to sum to 1. Coefficients are left as they are.
    """
    x = standardised * std + mean
    affect, expressions = x[..., AFFECT_SLICE], x[..., EXPRESSION_SLICE].clamp(min=1e-6)
    return torch.cat(
        (
            x[..., AU_SLICE].clamp(0, 1),
            affect.clamp(-1, 1),
            expressions / expressions.sum(dim=-1, keepdim=True),
            x[..., REACTION_COEFFICIENTS],
        ),
        dim=-1,
    )


class MReactor(nn.Module):
    """The reference model, whose parts can be called apart: encode a clip, denoise a step."""

    smoothness_mean: Tensor
    smoothness_std: Tensor
    listener_shares: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        widths = (config.sound, config.words, COEFFICIENTS, ATTRIBUTES)
        self.streams = nn.ModuleDict(
            {name: Standard(width) for name, width in zip(STREAMS, widths, strict=True)}
        )
        self.reaction = Standard(REACTION)
        self.register_buffer("smoothness_mean", torch.zeros(()))
        self.register_buffer("smoothness_std", torch.ones(()))
        even = torch.full((config.listeners,), 1 / max(1, config.listeners))
        self.register_buffer("listener_shares", even)
        self.perception = PerceptionModule(config)
        self.cognition = CognitionModule(config)
        self.denoiser = Denoiser(config)

    def standard(self, stream: str) -> Standard:
        """Mean and deviation of a stream of STREAMS."""
        return cast(Standard, self.streams[stream])

    def understand(self, batch: Batch) -> tuple[Perception, Cognition]:
        """MPB and HCD (C.1, C.2): everything about the speaker that no prior changes."""
        streams = self.standardised(batch)
        perception = self.perception(streams, batch.present, batch.mask)
        return perception, self.cognition(perception, streams[2], streams[3], batch.mask)

    def standardised(self, batch: Batch) -> tuple[Tensor, ...]:
        """The speaker's streams (B, T, width) in deviations from the mean, zero where missing."""
        raw = (batch.sound, batch.words, batch.coefficients, batch.attributes)
        present = batch.present[:, :, None, None]  # (B, 4, 1, 1)
        return tuple(
            torch.where(present[:, i] > 0, self.streams[name](x), 0.0)
            for i, (name, x) in enumerate(zip(STREAMS, raw, strict=True))
        )

    def encode(self, batch: Batch) -> Context:
        """Streams and priors -> condition, keys, values and style of every reaction."""
        _, cognition = self.understand(batch)
        return self.denoiser.make_context(
            cognition.condition, batch.emotion, batch.affect, batch.smoothness, batch.listener
        )

    def modulate(self, timestep: Tensor) -> Tensor:
        """Timesteps (N) -> modulations (N, M, D): once a table of steps."""
        return self.denoiser.step(timestep)

    def denoise(
        self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor, guidance: Tensor
    ) -> Tensor:
        """One step: noisy (B, S, T, 83), modulation (M, D) -> clean (B, S, T, 83), guided."""
        return self.denoiser.denoise(noisy, modulation, context, mask, guidance)

    def fuse_attention(self, fused: bool = True) -> None:
        """Take PyTorch's own attention kernel (no maps) or the one that is written out."""
        for module in self.modules():
            if isinstance(module, Attend):
                module.fused = fused


@contextmanager
def taps(model: nn.Module) -> Generator[dict[str, Tensor]]:
    """Named intermediates: what every part returned while the context is open.

    Keys are module names, as in `denoiser.layers.0.relative`; attention maps, (B, S, H, T, T),
    are those that end in `attend.weights`. A part that is called twice (guidance has two branches)
    adds `#1`. For the maps, attention must not be fused.
    """
    seen: dict[str, Tensor] = {}
    calls: dict[str, int] = {}

    def record(name: str, output: object) -> None:
        if not isinstance(output, Tensor):
            return
        call = calls.get(name, 0)
        calls[name] = call + 1
        seen[f"{name}#{call}" if call else name] = output.detach()

    handles = [
        module.register_forward_hook(lambda _m, _i, output, name=name: record(name, output))
        for name, module in model.named_modules()
        if name
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Losses:
    """Eq. 5 and the losses of MPB and HCD, and their weighted sum."""

    total: Tensor
    generation: Tensor
    mask: Tensor
    fine: Tensor
    coarse: Tensor


def generation_loss(
    clean: Tensor, target: Tensor, mask: Tensor, coefficient_weight: float
) -> Tensor:
    """Eq. 5: mean squared error over real frames, attributes and coefficients weighed as groups."""
    error = (clean - target).square()  # (B, S, T, 83)
    attributes = error[..., REACTION_ATTRIBUTES].mean(dim=-1)
    coefficients = error[..., REACTION_COEFFICIENTS].mean(dim=-1)
    weight = mask[:, None].to(error.dtype).expand_as(attributes)  # (B, S, T)
    per_frame = (attributes + coefficient_weight * coefficients) / (1 + coefficient_weight)
    return (per_frame * weight).sum() / weight.sum()


def training_losses(
    model: MReactor,
    batch: Batch,
    target: Tensor,
    noisy: Tensor,
    timestep: Tensor,
    dropped: Tensor,
) -> Losses:
    """All losses of a training step (C.4).

    Args:
        target: clean reactions, standardised, (B, S, T, 83). noisy: the same at `timestep` (B, S).
        dropped: (B) true where the whole condition and the prior give way to the null token.
    """
    config, denoiser = model.config, model.denoiser
    perception, cognition = model.understand(batch)
    condition = torch.where(dropped[:, None, None], denoiser.null_token, cognition.condition)
    emotion = torch.where(dropped[:, None, None], NO_EMOTION, batch.emotion)
    affect = torch.where(dropped[:, None, None, None], 0.0, batch.affect)
    context = denoiser.make_context(condition, emotion, affect, batch.smoothness, batch.listener)
    clean = denoiser.conditional(noisy, denoiser.step(timestep), context, batch.mask)
    generation = generation_loss(clean, target, batch.mask, config.coefficient_weight)
    fine, coarse = contrastive_losses(model, batch, cognition)
    mask = mask_loss(perception, batch.mask)
    total = (
        generation
        + config.mask_weight * mask
        + config.fine_weight * fine
        + config.coarse_weight * coarse
    )
    return Losses(total, generation, mask, fine, coarse)


def contrastive_losses(
    model: MReactor, batch: Batch, cognition: Cognition
) -> tuple[Tensor, Tensor]:
    """HCD's losses over the clips that have sound and a whole face: others are no true pairs."""
    sound, _, coefficients, attributes = batch.present.unbind(dim=1)
    rows = (sound * coefficients * attributes > 0).nonzero()[:, 0]
    if len(rows) < 2:
        zero = cognition.condition.sum() * 0
        return zero, zero
    chosen = Cognition(
        cognition.condition[rows],
        cognition.fine[rows],
        cognition.sound[rows],
        cognition.coarse[rows],
        cognition.fused[rows],
    )
    return model.cognition.losses(chosen, batch.mask[rows])
