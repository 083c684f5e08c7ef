"""Bringing a real reaction to the length of the generated ones.

FRCorr compares frame with frame, so both must be of one length. Every clip of 2023 and 2024 is cut
to 750 frames before anything is scored, and no rule is needed. In 2025 and 2026 a learned
autoencoder does it (framework/modules/post_processor.py): it is given where its input starts and
ends and where its output shall, and was trained to give frames of the same clip at the same rate
(`ReactionAutoEncoderDataset` in dataset/react_2025.py). So what is too long is cut, what is too
short is continued by what the network makes up; a reaction of more than 1,000 frames goes through
it in segments. Its weights come with the challenge's data alone. The rule `challenge` is the same
arithmetic of segments, with the last frame of a segment held in place of the network's frames;
pass a function of your own to score with the network.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[Any]
LengthRule = Callable[[Frames, int], Frames]

SEGMENT = 1000  # frames; `post_clip_length` of the challenge
CHALLENGE, STRETCH = "challenge", "stretch"


def challenge_length(reaction: Frames, frames: int) -> Frames:
    """The challenge's rule: cut what is too long, hold the last frame of what is too short.

    Up to 1,000 frames that is all. A longer one is taken in n equal segments, n being the longer
    of both lengths in thousands, rounded up; each segment is cut or held to its own share.

    Args:
        reaction: (T', C), T' at least 1.
        frames: T, at least 1.

    Returns:
        (T, C); the same array where T' is T.
    """
    if len(reaction) == frames:
        return reaction
    segments = ceil(max(len(reaction), frames) / SEGMENT)
    shorter = ceil(min(len(reaction), frames) / segments)
    read, written = (SEGMENT, shorter) if len(reaction) > frames else (shorter, SEGMENT)
    if segments == 1:
        read, written = len(reaction), frames
    index = np.arange(frames)
    segment, place = index // written, index % written
    ends = np.minimum((segment + 1) * read, len(reaction)) - 1
    return reaction[np.minimum(segment * read + place, ends)]


def stretched_length(reaction: Frames, frames: int) -> Frames:
    """Ours: the whole reaction, faster or slower, (T', C) to (T, C) by taking the nearest frame.

    It keeps occurrences 0 or 1 and probabilities summing to 1.
    """
    if len(reaction) == frames:
        return reaction
    centres = (np.arange(frames) + 0.5) * (len(reaction) / frames)
    return reaction[np.minimum(centres.astype(int), len(reaction) - 1)]


LENGTH_RULES: dict[str, LengthRule] = {CHALLENGE: challenge_length, STRETCH: stretched_length}
