"""The least that a clip costs, by formula: the multiply-adds of the layers.

    S reactions, T frames, L layers, D width, N steps; f the feed-forward's width in D.

Multiply-adds of one layer, one reaction, one step, for the paper's kind of attention:

    branch     (4 + 2 f) T D^2 + 2 T^2 D    attention of the frames to each other, feed-forward
    speaker    2 T D^2 + 2 T^2 D            attention to the speaker, whose keys and values are kept

A clip is S N L (branch + speaker) without guidance and S N L (2 branch + speaker) with it: the
attention to the dropped condition is a constant. What every sampler also does is left out, as it
is small or done once: the linear layers from and to the channels of a reaction, the norms, the
encoder.
"""

from __future__ import annotations

from mreactor_ref.config import ModelConfig


def branch(config: ModelConfig, frames: int) -> int:
    """Multiply-adds of a layer's attention of the frames to each other and its feed-forward."""
    own = 0 if config.attention == "cross" else _attention(config, frames, projections=4)
    return own + 2 * config.feedforward * frames * config.width**2


def speaker(config: ModelConfig, frames: int) -> int:
    """Multiply-adds of a layer's attention to the speaker, with keys and values that are there."""
    return 0 if config.attention == "self" else _attention(config, frames, projections=2)


def _attention(config: ModelConfig, frames: int, projections: int) -> int:
    return projections * frames * config.width**2 + 2 * frames**2 * config.width


def clip_multiply_adds(
    config: ModelConfig, samples: int, frames: int, steps: int, guided: bool
) -> int:
    """Multiply-adds of a clip: the layers, which no sampler can leave out."""
    layer = branch(config, frames) * (2 if guided else 1) + speaker(config, frames)
    return samples * steps * config.layers * layer
