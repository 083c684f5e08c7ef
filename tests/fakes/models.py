"""Small models and batches for the tests: every part present, nothing slow."""

from __future__ import annotations

from dataclasses import replace

import torch

from mreactor_ref.config import CONFIGS, Attention, ModelConfig
from mreactor_ref.model import Batch, MReactor
from mreactor_ref.signals import ATTRIBUTES, COEFFICIENTS, EMOTIONS, STREAMS


def small_config(attention: Attention = "relative+subject", layers: int = 2) -> ModelConfig:
    """A config of width 16 that reads MFCC and MiniLM words, like `mini`."""
    return replace(
        CONFIGS["mini"],
        width=16,
        heads=2,
        layers=layers,
        feedforward=2,
        context=5,
        attention=attention,
    )


def random_model(config: ModelConfig, seed: int = 0, spread: float = 0.2) -> MReactor:
    """A model whose zero-initialised parts are not zero, so that every part has an effect."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MReactor(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += spread * torch.randn_like(parameter)
    return model.eval().requires_grad_(False)


def random_batch(
    config: ModelConfig, clips: int = 2, reactions: int = 3, frames: int = 11, seed: int = 0
) -> Batch:
    """Random clips without padding, every stream present."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g)

    return Batch(
        sound=normal(clips, frames, config.sound),
        words=normal(clips, frames, config.words),
        coefficients=normal(clips, frames, COEFFICIENTS),
        attributes=normal(clips, frames, ATTRIBUTES),
        present=torch.ones(clips, len(STREAMS)),
        mask=torch.ones(clips, frames, dtype=torch.bool),
        emotion=torch.randint(1, len(EMOTIONS), (clips, reactions, frames), generator=g),
        affect=torch.rand(clips, reactions, frames, 2, generator=g),
        smoothness=normal(clips, reactions),
        listener=torch.randint(1, config.listeners + 1, (clips, reactions), generator=g),
    )
