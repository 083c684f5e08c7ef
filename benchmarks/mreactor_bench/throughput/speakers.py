"""The input of every runner: random clips, whose content changes no time, and fixed priors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mreactor_ref.config import ModelConfig
from mreactor_ref.emotion.priors import Prior, assign, frame_priors
from mreactor_ref.listeners import draw_codes
from mreactor_ref.model import Batch
from mreactor_ref.signals import (
    ATTRIBUTES,
    COEFFICIENTS,
    STREAMS,
    Array,
    SpeakerClip,
    Utterance,
)

SEED = 0  # of clips, priors and noise


class FixedPriors:
    """A source with the same three subjects for every utterance: finding them is not measured."""

    notes: Sequence[str] = ()

    def priors(self, utterances: Sequence[str]) -> list[tuple[Prior, ...]]:
        subjects = (
            Prior("loss", "sadness", -0.7, 0.6),
            Prior("news", "interest", 0.2, 0.6),
            Prior("success", "joy", 0.7, 0.8),
        )
        return [subjects] * len(utterances)


def random_clips(config: ModelConfig, frames: int, count: int) -> list[SpeakerClip]:
    """Clips with every stream, standard normal, and one utterance from the start to the end."""
    clips = []
    for number in range(count):
        generator = np.random.default_rng((SEED, number))

        def stream(width: int, generator: np.random.Generator = generator) -> np.ndarray:
            return generator.standard_normal((frames, width), dtype=np.float32)

        clip = SpeakerClip(
            id=f"benchmark/{number}",
            frames=frames,
            fps=config.fps,
            sound=stream(config.sound),
            words=stream(config.words),
            coefficients=stream(COEFFICIENTS),
            attributes=stream(ATTRIBUTES).clip(-1, 1),
            utterances=(Utterance(0.0, frames / config.fps, "news"),),
        )
        clips.append(clip)
    return clips


def make_batch(
    clips: Sequence[SpeakerClip], samples: int, shares: Array, device: torch.device
) -> Batch:
    """Clips of one length, their priors and listeners as the model takes them, without padding.

    Args: shares: of each listener's code, as the model has them.
    """
    count, frames = len(clips), clips[0].frames
    source = FixedPriors()
    laid = [
        frame_priors(
            assign(clip.utterances, source, samples, SEED, clip.id),
            *(clip.utterances, clip.frames, clip.fps),
        )
        for clip in clips
    ]
    listeners = [draw_codes(SEED, clip.id, range(samples), shares) for clip in clips]
    emotion, affect = (np.stack(parts) for parts in zip(*laid, strict=True))

    def to_device(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(device)

    return Batch(
        **{name: to_device(np.stack([_stream(clip, name) for clip in clips])) for name in STREAMS},
        present=torch.ones(count, len(STREAMS), device=device),
        mask=torch.ones(count, frames, dtype=torch.bool, device=device),
        emotion=to_device(emotion),
        affect=to_device(affect),
        smoothness=torch.zeros(count, samples, device=device),
        listener=to_device(np.stack(listeners)),
    )


def _stream(clip: SpeakerClip, name: str) -> np.ndarray:
    stream = getattr(clip, name)
    assert stream is not None, "random clips have every stream"
    return stream
