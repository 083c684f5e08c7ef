"""A clip and its priors as the encoder's inputs, padded to the length of its bucket."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mreactor_ref.config import ModelConfig
from mreactor_ref.emotion.priors import Prior, frame_priors
from mreactor_ref.errors import ClipError
from mreactor_ref.signals import STREAMS, SpeakerClip
from mreactor_runtime import tensors


def encoder_inputs(
    clip: SpeakerClip,
    priors: Sequence[Sequence[Prior]],
    length: int,
    smoothness: float,
    listeners: NDArray[np.int64],
    spec: tensors.GraphSpec,
    config: ModelConfig,
) -> dict[str, Tensor]:
    """The tensors of `spec`, the encoder's, on the CPU, for one clip (B = 1).

    Args:
        priors: of each reaction, one an utterance.
        length: in frames, at least the clip's.
        smoothness: of the motion, in deviations from the training data's mean.
        listeners: the code of each reaction, (S,).
    Raises: ClipError: the clip does not fit the model.
    """
    emotion, affect = frame_priors(priors, clip.utterances, clip.frames, clip.fps)
    known: dict[str, Tensor] = {
        tensors.MASK: torch.arange(length)[None] < clip.frames,
        tensors.PRESENT: torch.tensor([[getattr(clip, name) is not None for name in STREAMS]]),
        tensors.EMOTION: _pad(torch.as_tensor(emotion)[None], 2, length),
        tensors.AFFECT: _pad(torch.as_tensor(affect)[None], 2, length),
        tensors.SMOOTHNESS: torch.full((1, len(priors)), smoothness),
        tensors.LISTENER: torch.as_tensor(listeners)[None],
    }
    inputs = {}
    for tensor in spec.inputs:
        if tensor.name in STREAMS:
            value = _pad(_stream(clip, tensor, config.fps)[None], 1, length)
        else:
            value = known[tensor.name]
        inputs[tensor.name] = value.to(getattr(torch, tensor.dtype))
    return inputs


def _pad(x: Tensor, axis: int, length: int) -> Tensor:
    """Zeros after the last frame, up to `length`."""
    shape = list(x.shape)
    shape[axis] = length - shape[axis]
    return torch.cat((x, x.new_zeros(shape)), dim=axis)


def _stream(clip: SpeakerClip, spec: tensors.TensorSpec, fps: float) -> Tensor:
    """A stream of the clip, (T, width), zeros where it has none. Raises ClipError: a misfit."""
    if clip.fps != fps:
        raise ClipError(f"has {clip.fps:g} frames a second, the model {fps:g}", clip.id)
    width = int(spec.axes[-1])
    stream = getattr(clip, spec.name)
    if stream is None:
        return torch.zeros(clip.frames, width)
    if stream.shape != (clip.frames, width):
        raise ClipError(
            f"{spec.name} has shape {stream.shape}, not {(clip.frames, width)}", clip.id
        )
    if not np.isfinite(stream).all():
        raise ClipError(f"{spec.name} has values that are not finite", clip.id)
    return torch.as_tensor(stream, dtype=torch.float32)
