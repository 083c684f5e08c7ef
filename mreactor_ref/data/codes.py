"""The listeners of dyads as codes: the codebook of a training split, and each reaction's code."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.data.dyads import Dyad, stream
from mreactor_ref.listeners import ANYBODY, Codebook, fit_codebook
from mreactor_ref.signals import ATTRIBUTES, COEFFICIENTS, Array, SpeakerClip

FACE = {"attributes": ATTRIBUTES, "coefficients": COEFFICIENTS}  # streams, and their widths


def fit_codes(dyads: Iterable[Dyad], deviation: Array, count: int) -> Codebook:
    """The codebook of a split: `deviation` (83) of the reactions' channels, `count` codes."""
    speakers, means = list[Array](), list[Array]()
    for dyad in dyads:
        means.append(_means(dyad))
        speakers += [speaker_summary(dyad.clip)] * len(dyad.reactions)
    return fit_codebook(np.stack(speakers), np.concatenate(means), deviation, count)


def listener_codes(dyad: Dyad, book: Codebook | None) -> NDArray[np.int64]:
    """The code of each reaction of a dyad, (R,); without a codebook nobody is told apart."""
    if book is None:
        return np.full(len(dyad.reactions), ANYBODY, np.int64)
    speakers = np.repeat(speaker_summary(dyad.clip)[None], len(dyad.reactions), axis=0)
    return book.codes(speakers, _means(dyad))


def speaker_summary(clip: SpeakerClip) -> Array:
    """The mean of the speaker's face over the clip, (83); NaN where there is none."""
    streams = [(stream(clip, name), width) for name, width in FACE.items()]
    return np.concatenate(
        [
            np.full(width, np.nan, np.float32) if values is None else values.mean(axis=0)
            for values, width in streams
        ]
    )


def _means(dyad: Dyad) -> Array:
    """Of each reaction over its frames, (R, 83)."""
    return np.stack([reaction[: dyad.frames].mean(axis=0) for reaction in dyad.reactions])
