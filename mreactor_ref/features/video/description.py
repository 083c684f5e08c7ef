"""Turns the track of a face into the 25 attributes over time, fills gaps, and says so."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.face import Face
from mreactor_ref.features.grid import at_times
from mreactor_ref.features.video import track as columns
from mreactor_ref.features.video.action_units import action_units
from mreactor_ref.features.video.blendshapes import rest_products, solve
from mreactor_ref.features.video.channels import TRUSTED, summary
from mreactor_ref.features.video.track import Track
from mreactor_ref.signals import (
    AFFECT_SLICE,
    ATTRIBUTES,
    AU_SLICE,
    EXPRESSION_PLACES,
    EXPRESSION_SLICE,
    EXPRESSIONS,
    Array,
)

GAP_SECONDS = 1.0  # a face that is away for longer is shown at rest meanwhile
LEAST_SECONDS = 0.5  # that a face is seen, or the video has none
NEUTRAL = EXPRESSIONS.index("Neutral")


@dataclass(frozen=True)
class VideoFace:
    """The face of a video.

    Attributes:
        face: the attributes (T', 25) with their times, or None where no face is seen.
        seen: (T',) whether a frame shows the face.
        pose: (T', 6) pitch, yaw, roll in radians (head/turn.py) and the place right of, above and
            towards the camera in centimetres of the canonical face; NaN where it is not seen.
        confidence: (T',) how sure the network is that it sees a face, 0 to 1.
        blendshapes: (T', 52) the weights of ARKit's targets (head.TARGETS).
        warnings: one line for each thing that should be known.
        trusted: names of the channels that can be trusted; the others are hints.
    """

    face: Face | None
    seen: NDArray[np.bool_]
    pose: Array
    confidence: Array
    blendshapes: Array
    warnings: tuple[str, ...] = ()
    trusted: tuple[str, ...] = field(default=TRUSTED)


def no_face(frames: int, warning: str) -> VideoFace:
    """The result for a video without a face."""
    return VideoFace(
        None,
        np.zeros(frames, bool),
        np.full((frames, 6), np.nan, np.float32),
        np.zeros(frames, np.float32),
        np.zeros((frames, 52), np.float32),
        (warning,),
    )


def describe(track: Track, trusted: tuple[str, ...] = TRUSTED) -> VideoFace:
    """The attributes of a track, gaps filled, and the lines about it."""
    seen, rows, times = track.seen, track.rows, track.times
    spans = np.diff(times, append=times[-1:] + np.median(np.diff(times)) if len(times) > 1 else 0)
    if (spans * seen).sum() < LEAST_SECONDS:
        return no_face(len(times), "no face is seen in the video")
    shown = rows[seen]
    wanted = shown[:, columns.PRODUCTS].astype(np.float64)
    judged = shown[:, columns.EXPRESSION]
    weights = solve(wanted - rest_products(wanted, judged[:, NEUTRAL]))
    attributes = np.empty((len(shown), ATTRIBUTES), np.float32)
    attributes[:, AU_SLICE] = action_units(weights, shown[:, columns.LIPS])
    attributes[:, EXPRESSION_SLICE] = judged
    attributes[:, AFFECT_SLICE] = shown[:, columns.AFFECT]
    units = at_times(attributes[:, AU_SLICE], times[seen], times, nearest=True)
    filled = at_times(attributes, times[seen], times)
    filled[:, AU_SLICE] = units
    away = _away(times, seen)
    filled[away] = _rest()
    blendshapes = at_times(weights, times[seen], times)
    blendshapes[away] = 0
    return VideoFace(
        Face(attributes=filled, times=times + spans / 2),
        seen,
        rows[:, columns.POSE],
        np.nan_to_num(rows[:, columns.SCORE]),
        blendshapes,
        (f"the face is read from the video: {summary(trusted)}", *_warnings(track, spans, away)),
        trusted,
    )


def _away(times: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(T',) whether the face is away for longer than a gap that is filled."""
    order = np.arange(len(seen))
    before = np.maximum.accumulate(np.where(seen, order, -1))
    after = np.minimum.accumulate(np.where(seen, order, len(seen))[::-1])[::-1]
    left = np.where(before < 0, times[0], times[np.maximum(before, 0)])
    right = np.where(after == len(seen), times[-1], times[np.minimum(after, len(seen) - 1)])
    return ~seen & (right - left > GAP_SECONDS)


def _rest() -> Array:
    """(25,) a face that shows nothing."""
    rest = np.zeros(ATTRIBUTES, np.float32)
    rest[EXPRESSION_SLICE.start + NEUTRAL] = 1
    rest[AFFECT_SLICE] = EXPRESSION_PLACES["Neutral"]
    return rest


def _warnings(track: Track, spans: NDArray[np.float64], away: NDArray[np.bool_]) -> list[str]:
    lines: list[str] = []
    if track.others:
        turns = f", {track.switches} times another took over" if track.switches else ""
        lines.append(
            f"{track.others + 1} faces are seen in a picture: the largest is followed{turns}"
        )
    if away.any():
        lines.append(
            f"the face is away for {spans[away].sum():.1f} s of the video: "
            "there it counts as a face at rest"
        )
    return lines
