"""The maps of a model's attentions while it samples reactions to one clip, and figures of them.

A map is softmax(...) of an attention, (H, T, T): how much each frame of the listener (row) takes
from each frame (column) of the listener or of the speaker. Figures are means over rows, reactions
and steps of sampling.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mreactor_ref.attention import CrossAttention, SelfAttention
from mreactor_ref.config import Attention
from mreactor_ref.emotion.priors import Priors
from mreactor_ref.listeners import draw_codes
from mreactor_ref.model import Batch, MReactor, taps
from mreactor_ref.noise import INITIAL, reaction_noise
from mreactor_ref.sampler import sample
from mreactor_ref.schedule import Solver
from mreactor_ref.signals import REACTION, Array, SpeakerClip
from mreactor_runtime.clip_tensors import encoder_inputs
from mreactor_runtime.tensors import ENCODER, graph_specs

MAP = re.compile(r"layers\.(\d+)\.(relative|subject)\.attend\.weights")
PAPER: Attention = "relative+subject"
AVERAGE_SMOOTHNESS = 0.0


@dataclass(frozen=True)
class AttentionMap:
    """One attention of one layer.

    Attributes:
        layer: from 1.
        name: "self" or "relative", to the listener's own frames; "cross" or "subject", to the
            speaker's.
        entropy: (H,), nats; that of an even map is log T.
        distance: (H,), of the frames that are looked at, in frames; of an even map about T / 3.
        start: entropy and distance that the bias alone gives, mean over heads: of an even map where
            there is no decay. What is beyond it, queries and keys have learned.
        on_speech: (H,), the share that frames with words get, over the share of such frames: 1 is
            indifference. None for a clip without words, or with words in every frame.
        picture: (T, T), mean over heads, of the first reaction at the middle step.
    """

    layer: int
    name: str
    entropy: Array
    distance: Array
    start: tuple[float, float]
    on_speech: Array | None
    picture: Array


def entropy(weights: Tensor) -> Tensor:
    """Maps (..., T, T) -> mean entropy of their rows, (...), nats."""
    return torch.special.entr(weights).sum(dim=-1).mean(dim=-1)


def mean_distance(weights: Tensor) -> Tensor:
    """Maps (..., T, T) -> mean distance of what a row looks at, (...), frames."""
    place = torch.arange(weights.shape[-1], device=weights.device, dtype=weights.dtype)
    return (weights * (place[:, None] - place).abs()).sum(dim=-1).mean(dim=-1)


def on_frames(weights: Tensor, chosen: Tensor) -> Tensor:
    """Maps (..., T, T) -> what chosen frames (T) get, over their share of all frames, (...)."""
    return weights[..., chosen].sum(dim=-1).mean(dim=-1) / chosen.to(weights.dtype).mean()


def spoken_frames(clip: SpeakerClip) -> NDArray[np.bool_]:
    """(T,), true where an utterance is being said."""
    spoken = np.zeros(clip.frames, np.bool_)
    for utterance in clip.utterances:
        spoken[round(utterance.start * clip.fps) : round(utterance.end * clip.fps)] = True
    return spoken


def attention_maps(
    model: MReactor, clip: SpeakerClip, priors: Priors, seed: int, solver: Solver
) -> list[AttentionMap]:
    """All maps of a model whose attention is not fused, layer by layer.

    Args:
        priors: of each reaction, one an utterance; as many reactions as these are sampled.
        solver: without noise of its own steps.

    Raises:
        ClipError: the clip does not fit the model.
    """
    table = solver.table(model.config.train_steps)
    batch = _batch(model, clip, priors, seed)
    modulation, context = model.modulate(torch.tensor(table.timesteps)), model.encode(batch)
    seen: dict[tuple[int, str], list[Tensor]] = {}

    def denoise(x: Tensor, step: int) -> Tensor:
        with taps(model.denoiser) as parts:
            clean = model.denoiser.conditional(x, modulation[step], context, batch.mask)
        for name, weights in parts.items():
            if match := MAP.fullmatch(name):
                seen.setdefault((int(match[1]), match[2]), []).append(weights[0])  # (S, H, T, T)
        return clean

    noise = reaction_noise(seed, [clip.id], range(len(priors)), INITIAL, clip.frames, REACTION)
    sample(denoise, torch.from_numpy(noise), table)
    spoken = torch.from_numpy(spoken_frames(clip))
    maps: list[AttentionMap] = []
    for (layer, part), steps in sorted(seen.items()):
        attention = cast(
            SelfAttention | CrossAttention, getattr(model.denoiser.layers[layer], part)
        )
        start = bias_alone(attention, clip.frames)
        name = _name(model.config.attention, part)
        maps.append(_figures(layer + 1, name, steps, spoken, start))
    return maps


@torch.no_grad()
def bias_alone(attention: SelfAttention | CrossAttention, frames: int) -> tuple[float, float]:
    """Entropy and distance of the map that an attention has where all scores are equal."""
    bias = torch.zeros(frames, frames) if attention.decay is None else attention.decay(frames)
    weights = torch.softmax(bias, dim=-1)
    return float(entropy(weights).mean()), float(mean_distance(weights).mean())


def _name(kind: Attention, part: str) -> str:
    """The name of an attention, by the kind of the model and the part of its layer."""
    return part if kind == PAPER else {"relative": "self", "subject": "cross"}[part]


def _figures(
    layer: int, name: str, steps: Sequence[Tensor], spoken: Tensor, start: tuple[float, float]
) -> AttentionMap:
    """steps: of each step of sampling the maps (S, H, T, T)."""

    def by_head(figures: Sequence[Tensor]) -> Array:
        return torch.stack(list(figures)).mean(dim=(0, 1)).numpy()  # (N, S, H) -> (H,)

    informative = bool(spoken.any()) and not bool(spoken.all())
    return AttentionMap(
        layer,
        name,
        by_head([entropy(weights) for weights in steps]),
        by_head([mean_distance(weights) for weights in steps]),
        start,
        by_head([on_frames(weights, spoken) for weights in steps]) if informative else None,
        steps[len(steps) // 2][0].mean(dim=0).numpy(),
    )


def _batch(model: MReactor, clip: SpeakerClip, priors: Priors, seed: int) -> Batch:
    """The clip alone, without padding."""
    spec = graph_specs(model.config)[ENCODER]
    codes = draw_codes(seed, clip.id, range(len(priors)), model.listener_shares.numpy())
    inputs = encoder_inputs(
        clip, priors, clip.frames, AVERAGE_SMOOTHNESS, codes, spec, model.config
    )
    return Batch(**inputs)
