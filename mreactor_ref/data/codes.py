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
    summaries = [_summaries(dyad) for dyad in dyads]
    speakers, polarities, means = map(np.concatenate, zip(*summaries, strict=True))
    return fit_codebook(speakers, polarities, means, deviation, count)


def listener_codes(dyad: Dyad, book: Codebook | None) -> NDArray[np.int64]:
    """The code of each reaction of a dyad, (R,); without a codebook nobody is told apart."""
    if book is None:
        return np.full(len(dyad.reactions), ANYBODY, np.int64)
    return book.codes(*_summaries(dyad))


def speaker_summary(clip: SpeakerClip) -> Array:
    """The mean of the speaker's face over the clip, (83); NaN where there is none."""
    streams = [(stream(clip, name), width) for name, width in FACE.items()]
    return np.concatenate(
        [
            np.full(width, np.nan, np.float32) if values is None else values.mean(axis=0)
            for values, width in streams
        ]
    )


def _summaries(dyad: Dyad) -> tuple[Array, Array, Array]:
    """Of each reaction the speaker's face (R, 83), the polarity shown (R,) and the mean (R, 83)."""
    means = np.stack([reaction[: dyad.frames].mean(axis=0) for reaction in dyad.reactions])
    speakers = np.repeat(speaker_summary(dyad.clip)[None], len(means), axis=0)
    return speakers, dyad.shown[..., 0].mean(axis=1), means
