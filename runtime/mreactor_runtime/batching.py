"""Clip lengths to fixed shapes: buckets, groups of reactions, slots. Indices only, no torch.

Work runs at the shapes of the clip's own length, never at those of its neighbours, so the bytes
of a result do not depend on what else is in the run.
"""

from __future__ import annotations

from collections.abc import Sequence

# Up to a length, buckets are multiples of a step; both in frames. Padding is below 13 % from
# 512 frames on and at most 25 % from 256 on.
BUCKET_STEPS = ((512, 64), (2048, 128))
LONG_STEP = 512

# What the attention scores of one group may take: (heads, T, T) float32 a reaction.
SCORE_BYTES = 128 * 1024**2
FLOAT_BYTES = 4

# What fills a large GPU, an estimate that no GPU has confirmed yet: one usual clip of `base`. A
# model of half its width has a quarter of the work in each frame, and room for four clips.
FULL_WIDTH = 256
FULL_FRAMES = 10 * 768  # of all reactions
MOST_SLOTS = 4


def bucket(frames: int) -> int:
    """The length that a clip of `frames` frames is padded to: the next multiple of its step."""
    if frames < 1:
        raise ValueError(f"a clip has {frames} frames")
    step = next((step for limit, step in BUCKET_STEPS if frames <= limit), LONG_STEP)
    return -(-frames // step) * step


def reactions_at_once(length: int, heads: int) -> int:
    """How many reactions go through the denoiser together, from the bucket and the model alone."""
    return max(1, SCORE_BYTES // (heads * length**2 * FLOAT_BYTES))


def groups(samples: int, length: int, heads: int) -> list[slice]:
    """The reactions 0 to `samples` cut into groups that run at once; the last may be smaller."""
    size = reactions_at_once(length, heads)
    return [slice(start, min(start + size, samples)) for start in range(0, samples, size)]


def slots(samples: int, length: int, width: int) -> int:
    """How many clips go through the sampler together on a GPU, from bucket and model alone.

    Args: samples: reactions of a clip. length: of its bucket. width: of the model.
    """
    lighter = (FULL_WIDTH // width) ** 2
    if lighter <= 1:
        return 1
    return max(1, min(MOST_SLOTS, lighter * FULL_FRAMES // (samples * length)))


def by_bucket(frames: Sequence[int]) -> list[list[int]]:
    """Places of clips that go into one bucket, each bucket's in their order, the longest first.

    Longest first, so that what is allocated for them serves the others too.

    Args: frames: of each clip.
    """
    places: dict[int, list[int]] = {}
    for place, length in enumerate(frames):
        places.setdefault(bucket(length), []).append(place)
    return [places[length] for length in sorted(places, reverse=True)]
