"""All measures of a set of results in one call: over all clips, by clip, by group of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.appropriateness import clip_frcorr, clip_frdist
from mreactor_ref.metrics.compat import Edition
from mreactor_ref.metrics.diversity import clip_frdiv, clip_frvar, clip_pairs
from mreactor_ref.metrics.groups import Grouping
from mreactor_ref.metrics.intervals import (
    RESAMPLES,
    Interval,
    draw_clips,
    interval,
    resampled_means,
)
from mreactor_ref.metrics.lengths import LengthRule, challenge_length
from mreactor_ref.metrics.synchrony import CHALLENGE_FPS, clip_lags
from mreactor_ref.signals import ATTRIBUTES

Float64 = NDArray[np.float64]

MEASURES = ("FRCorr", "FRDist", "FRDiv", "FRVar", "FRDvs", "FRSyn")
ACROSS_CLIPS = "FRDvs"


@dataclass(frozen=True)
class Scores:
    """The measures of each clip.

    Attributes:
        by_clip: measure -> (N,), or for FRDvs (N, N), a value for each two clips.
    """

    by_clip: dict[str, Float64]

    def means(self, clips: Sequence[int] | None = None) -> dict[str, float]:
        """The measures over all clips, or over those at these places. FRDvs of one clip is 0."""
        means: dict[str, float] = {}
        for name, values in self._of(clips).items():
            if values.ndim == 1:
                means[name] = float(values.mean())
            else:
                pairs = values[np.triu_indices(len(values), 1)]
                means[name] = float(pairs.mean()) if len(pairs) else 0.0
        return means

    def intervals(
        self, clips: Sequence[int] | None = None, resamples: int = RESAMPLES, seed: int = 0
    ) -> dict[str, Interval | None]:
        """Bootstrap intervals of `means`; None for each where there are fewer than two clips."""
        resampled = self.resampled(clips, resamples, seed)
        return {name: interval(means) for name, means in resampled.items()}

    def resampled(
        self, clips: Sequence[int] | None, resamples: int, seed: int
    ) -> dict[str, Float64]:
        """The measures in each resample of the clips; of fewer than two none."""
        chosen = self._of(clips)
        count = len(next(iter(chosen.values())))
        if count < 2:
            return {name: np.zeros(0) for name in chosen}
        drawn = draw_clips(count, resamples, seed)
        return {name: resampled_means(values, drawn) for name, values in chosen.items()}

    def _of(self, clips: Sequence[int] | None) -> dict[str, Float64]:
        if clips is None:
            return self.by_clip
        places = np.asarray(clips)
        return {
            name: values[places] if values.ndim == 1 else values[np.ix_(places, places)]
            for name, values in self.by_clip.items()
        }


@dataclass(frozen=True)
class Gap:
    """Between the groups with the largest and the smallest mean of a measure.

    Attributes:
        largest, smallest: names of these groups.
        difference: of their means.
        interval: of the difference between these two, each resampled; None where one of them has
            fewer than two clips. A gap whose interval holds 0 may be chance.
    """

    largest: str
    smallest: str
    difference: float
    interval: Interval | None


def group_gaps(
    scores: Scores, grouping: Grouping, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Gap]:
    """The gap of each measure; empty where there is one group."""
    if len(grouping.groups) < 2:
        return {}
    means = {group: scores.means(clips) for group, clips in grouping.groups.items()}
    resampled = {
        group: scores.resampled(clips, resamples, seed + place)
        for place, (group, clips) in enumerate(grouping.groups.items())
    }
    gaps: dict[str, Gap] = {}
    for name in scores.by_clip:
        ranked = sorted(means, key=lambda group: means[group][name])
        smallest, largest = ranked[0], ranked[-1]
        low, high = resampled[smallest][name], resampled[largest][name]
        gaps[name] = Gap(
            largest,
            smallest,
            means[largest][name] - means[smallest][name],
            interval(high - low) if len(low) and len(high) else None,
        )
    return gaps


def score(
    predictions: Sequence[NDArray[Any]],
    appropriate: Sequence[Sequence[NDArray[Any]]],
    speakers: Sequence[NDArray[Any]],
    fps: float = CHALLENGE_FPS,
    edition: Edition | None = None,
    length_rule: LengthRule = challenge_length,
) -> Scores:
    """The challenge's measures that need no rendered video, in the order of `MEASURES`.

    Args:
        predictions: per clip the generated attributes (S, T, 25), all of the same S.
        appropriate: per clip the attributes of all its appropriate real reactions, each (T', 25)
            at its own length.
        speakers: per clip the speaker's attributes (T, 25).
        fps: for FRSyn; see `frsyn`.
        edition: what the code of a challenge computes in place of the definitions.
        length_rule: brings a real reaction to T frames.

    Raises:
        UsageError: the three differ in the number of clips, an array has another shape or a value
            that is not finite, clips differ in S, or a clip has no appropriate reaction.
    """
    _check(predictions, appropriate, speakers)
    values = {
        "FRCorr": clip_frcorr(predictions, appropriate, length_rule, edition),
        "FRDist": clip_frdist(predictions, appropriate, length_rule),
        "FRDiv": clip_frdiv(predictions, edition),
        "FRVar": clip_frvar(predictions, edition),
    }
    if edition is None or edition.across_clips:
        values[ACROSS_CLIPS] = clip_pairs(predictions, edition)
    lags = clip_lags(predictions, speakers, fps, edition)
    values["FRSyn"] = np.array([of_clip.mean() for of_clip in lags])
    return Scores(values)


def evaluate(
    predictions: Sequence[NDArray[Any]],
    appropriate: Sequence[Sequence[NDArray[Any]]],
    speakers: Sequence[NDArray[Any]],
    fps: float = CHALLENGE_FPS,
    edition: Edition | None = None,
    length_rule: LengthRule = challenge_length,
) -> dict[str, float]:
    """The means of `score` over the clips, by name."""
    return score(predictions, appropriate, speakers, fps, edition, length_rule).means()


def _check(
    predictions: Sequence[NDArray[Any]],
    appropriate: Sequence[Sequence[NDArray[Any]]],
    speakers: Sequence[NDArray[Any]],
) -> None:
    if not len(predictions) == len(appropriate) == len(speakers):
        raise UsageError(
            f"{len(predictions)} predicted clips, {len(appropriate)} with appropriate reactions "
            f"and {len(speakers)} speakers do not belong together"
        )
    for clip, (generated, real, speaker) in enumerate(
        zip(predictions, appropriate, speakers, strict=True)
    ):
        _check_array(f"clip {clip}: predictions", generated, dimensions=3)
        _check_array(f"clip {clip}: speaker", speaker, dimensions=2)
        for reaction in real:
            _check_array(f"clip {clip}: appropriate reaction", reaction, dimensions=2)
        if len(generated) != len(predictions[0]):
            raise UsageError(
                f"clip {clip} has {len(generated)} reactions, the first one {len(predictions[0])}"
            )


def _check_array(what: str, values: NDArray[Any], dimensions: int) -> None:
    """Raise where an array is not (..., T, 25), is empty or is not finite."""
    if values.ndim != dimensions or values.shape[-1] != ATTRIBUTES or values.size == 0:
        expected = "(S, T, 25)" if dimensions == 3 else "(T, 25)"
        raise UsageError(f"{what} has shape {values.shape}, not {expected}")
    if not np.isfinite(values).all():
        raise UsageError(f"{what} has values that are not finite")
