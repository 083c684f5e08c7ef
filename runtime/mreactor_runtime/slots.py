"""Clips of one bucket side by side in the sampler, in a fixed number of slots.

Of a small model one clip does not fill a GPU. So several go through each step together. How many
slots there are is fixed by bucket and model, and a slot that no clip is left for is filled all the
same: the shapes are always the same, and so are the bytes of a clip, whatever its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mreactor_ref.emotion.priors import Priors
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.batching import bucket, by_bucket
from mreactor_runtime.noise_ahead import Draw
from mreactor_runtime.tensors import REACTIONS, GraphSpec, TensorSpec


@dataclass(frozen=True)
class Encoded:
    """A clip of a batch, its place there, and what the denoiser needs of it (B = 1)."""

    number: int
    clip: SpeakerClip
    priors: Priors
    inputs: dict[str, Tensor]


@dataclass(frozen=True)
class Filled:
    """The slots of one run of the sampler, of one bucket, and the clips in the first of them."""

    slots: int
    clips: Sequence[Encoded]

    @property
    def length(self) -> int:
        """Of the bucket, in frames."""
        return bucket(self.clips[0].clip.frames)

    def draws(self, seed: int, reactions: slice, step: int) -> list[Draw]:
        """The noise of a step of the sampler, in this order."""
        numbers = range(reactions.start, reactions.stop)
        return [Draw(seed, one.clip.id, numbers, step, self.length) for one in self.clips]

    def inputs(self, step: GraphSpec, reactions: slice) -> dict[str, Tensor]:
        """Of the inputs of a step those that come from the clips, for some of their reactions."""
        return {
            spec.name: self.join(
                [_part(one.inputs[spec.name], spec, reactions) for one in self.clips]
            )
            for spec in step.inputs
            if spec.name in self.clips[0].inputs
        }

    def join(self, tensors: Sequence[Tensor]) -> Tensor:
        """Tensors of the clips, (1, ...) each, as one (slots, ...).

        A slot without a clip repeats the last clip's; nobody reads what becomes of it.
        """
        if self.slots == 1:
            return tensors[0]
        spare = self.slots - len(tensors)
        return torch.cat([*tensors, *[tensors[-1]] * spare])


def fill(clips: Sequence[Encoded], slots_of: Callable[[int], int]) -> list[Filled]:
    """Clips of any lengths put into slots in their order, the longest bucket first.

    Args: slots_of: slots of a bucket, from its length.
    """
    filled = list[Filled]()
    for places in by_bucket([one.clip.frames for one in clips]):
        slots = slots_of(bucket(clips[places[0]].clip.frames))
        for first in range(0, len(places), slots):
            filled.append(Filled(slots, [clips[i] for i in places[first : first + slots]]))
    return filled


def _part(x: Tensor, spec: TensorSpec, reactions: slice) -> Tensor:
    """The part of a tensor that belongs to some reactions; all of it where it has no such axis."""
    if REACTIONS not in spec.axes:
        return x
    count = reactions.stop - reactions.start
    return x.narrow(spec.axes.index(REACTIONS), reactions.start, count)
