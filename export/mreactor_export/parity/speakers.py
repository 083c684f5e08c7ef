"""The inputs of figures: random speakers, those of clips, noise, and parts of batches."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mreactor_export.parity.cases import Sizes
from mreactor_ref.model import Batch, MReactor
from mreactor_ref.noise import INITIAL, reaction_noise
from mreactor_ref.perception import WORDS
from mreactor_ref.signals import REACTION, STREAMS, SpeakerClip
from mreactor_runtime.tensors import ENCODER, MASK, PRESENT, GraphSpec, example_inputs, graph_specs

Tensors = dict[str, Tensor]

# The encoder keeps a frame where a cosine reaches a threshold. A frame that is nearer to it than
# this is kept or not by the rounding of the last bit, in the reference itself too.
LEAST_MARGIN = 1e-6
TRIES = 100


def random_speaker(model: MReactor, sizes: Sizes) -> Tensors:
    """Inputs of the encoder, the same for the same sizes; no frame of them is at the threshold.

    Streams are normal with the mean and deviation of the training data, channel by channel: many
    deviations away an attention takes one frame for all, and its error says nothing of a run.
    """
    spec, seed = graph_specs(model.config)[ENCODER], sizes.seed
    for turn in range(TRIES):
        speaker = example_inputs(spec, sizes.symbols(), seed + turn * 10**9)
        # Examples always have sound: here another stream is always there at each size.
        speaker[PRESENT] = speaker[PRESENT].roll(seed, dims=1)
        for name in STREAMS:
            standard = model.standard(name)
            speaker[name] = speaker[name] * standard.std + standard.mean
        if margin(model, speaker) >= LEAST_MARGIN:
            return speaker
    raise AssertionError(f"no speaker of {TRIES} keeps clear of the threshold")


@torch.inference_mode()
def margin(model: MReactor, speaker: Mapping[str, Tensor]) -> float:
    """How near the nearest frame's cosine is to the encoder's threshold."""
    projected = model.understand(Batch(**speaker))[0].projected
    words = projected[:, WORDS, None]
    cosine = torch.nn.functional.cosine_similarity(projected, words, dim=-1)
    return (cosine - model.perception.threshold).abs().min().item()


def clip_speaker(model: MReactor, clips: list[SpeakerClip], sizes: Sizes) -> Tensors:
    """The first frames of clips as inputs of the encoder; priors and smoothness are random.

    Args:
        sizes: as many clips as there are, and no more frames than the shortest has.
    """
    speaker = example_inputs(graph_specs(model.config)[ENCODER], sizes.symbols(), sizes.seed)
    speaker[MASK] = torch.ones_like(speaker[MASK])
    streams = [[getattr(clip, name) for name in STREAMS] for clip in clips]
    speaker[PRESENT] = torch.tensor([[float(s is not None) for s in row] for row in streams])
    for i, name in enumerate(STREAMS):
        speaker[name] = torch.stack(
            [
                torch.zeros_like(speaker[name][b])
                if row[i] is None
                else torch.as_tensor(row[i][: sizes.frames], dtype=torch.float32)
                for b, row in enumerate(streams)
            ]
        )
    return speaker


def noise(sizes: Sizes, step: int = INITIAL) -> Tensor:
    """(B, S, T, 83) standard normal, keyed as that of a run."""
    ids = [f"clip {b}" for b in range(sizes.clips)]
    drawn = reaction_noise(sizes.seed, ids, range(sizes.reactions), step, sizes.frames, REACTION)
    return torch.from_numpy(drawn)


def part(inputs: Mapping[str, Tensor], spec: GraphSpec, symbol: str, index: list[int]) -> Tensors:
    """Some indices along the axis of a symbol; what has no such axis stays whole."""
    chosen = {}
    for tensor in spec.inputs:
        value = inputs[tensor.name]
        if symbol in tensor.axes:
            value = value.index_select(tensor.axes.index(symbol), torch.tensor(index))
        chosen[tensor.name] = value
    return chosen


def padded(inputs: Mapping[str, Tensor], spec: GraphSpec, frames: int) -> Tensors:
    """Zeros after the last frame, up to `frames`."""
    longer = {}
    for tensor in spec.inputs:
        value = inputs[tensor.name]
        if "T" in tensor.axes:
            shape = list(value.shape)
            shape[tensor.axes.index("T")] = frames - shape[tensor.axes.index("T")]
            value = torch.cat((value, value.new_zeros(shape)), dim=tensor.axes.index("T"))
        longer[tensor.name] = value
    return longer
