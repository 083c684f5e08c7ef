"""Faces of the simulated people: from a few drives over time to attributes and coefficients.

A drive is what moves several muscles at once (a smile, a frown). One table says which action units
it moves; one seeded matrix says how action units and affect show in the 52 expression coefficients.
Both are the same for speakers and listeners.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from mreactor_ref.features.occurrence import occurrence
from mreactor_ref.signals import (
    ACTION_UNITS,
    AROUSAL,
    ATTRIBUTES,
    AU_SLICE,
    COEFFICIENTS,
    EXPRESSION_PLACES,
    EXPRESSION_SLICE,
    EXPRESSIONS,
    SHAPE_SLICE,
    VALENCE,
    Array,
)

# How much each drive moves each action unit, after the prototypes of the Facial Action Coding
# System (Ekman, Friesen and Hager 2002).
MUSCLES: dict[str, dict[str, float]] = {
    "smile": {"AU6": 0.85, "AU12": 1.0, "AU25": 0.3},
    "frown": {"AU1": 0.4, "AU4": 1.0, "AU9": 0.6, "AU15": 0.9, "AU17": 0.75},
    "brow": {"AU1": 0.9, "AU2": 1.0},
    "tension": {"AU7": 0.9, "AU17": 0.3, "AU23": 1.0, "AU24": 0.85},
    "contempt": {"AU9": 0.5, "AU10": 0.9, "AU14": 1.0},
    "mouth": {"AU25": 1.0, "AU26": 0.8},
}

# The log probability of an expression falls with the squared distance from its place in valence
# and arousal, in units of WIDTH.
WIDTH = 0.35

# Small smooth noise: deviations, and the time over which it stays alike.
AFFECT_NOISE = 0.02
MUSCLE_NOISE = 0.025
SHAPE_NOISE = 0.02
ANGLE_NOISE = 0.004  # radians
TRANSLATION_NOISE = 0.003
NOISE_SECONDS = 0.3

SHOWN = len(ACTION_UNITS) + 2  # action units, valence, arousal
MAP_SEED = 58  # of the matrix and the resting face; changing it makes another generator


@dataclass(frozen=True)
class ShownFace:
    """A face over time: attributes (T, 25) and coefficients (T, 58), float32 (see signals.py)."""

    attributes: Array
    coefficients: Array


def drive_row(levels: Mapping[str, float]) -> np.ndarray:
    """(6,) levels of the drives by name, 0 where none is given."""
    unknown = set(levels) - set(MUSCLES)
    assert not unknown, unknown
    return np.array([levels.get(name, 0.0) for name in MUSCLES])


def drive_tracks(frames: int, tracks: Mapping[str, np.ndarray]) -> np.ndarray:
    """(T, 6) tracks (T,) of the drives by name, 0 where none is given."""
    unknown = set(tracks) - set(MUSCLES)
    assert not unknown, unknown
    return np.stack([tracks.get(name, np.zeros(frames)) for name in MUSCLES], axis=1)


def _shape_map() -> tuple[np.ndarray, np.ndarray]:
    """From what is shown to expression coefficients: matrix (17, 52), resting face (52,)."""
    rng = np.random.default_rng(MAP_SEED)
    width = SHAPE_SLICE.stop - SHAPE_SLICE.start
    return rng.normal(0, SHOWN**-0.5, (SHOWN, width)), rng.normal(0, 0.2, width)


_TABLE = np.array([[row.get(unit, 0.0) for unit in ACTION_UNITS] for row in MUSCLES.values()])
_MATRIX, _REST = _shape_map()
_PLACES = np.array([EXPRESSION_PLACES[name] for name in EXPRESSIONS])


def show(
    rng: np.random.Generator,
    drives: np.ndarray,
    affect: np.ndarray,
    pose: np.ndarray,
    fps: float,
    leaning: np.ndarray | None = None,
    motion: float | np.ndarray = 1.0,
) -> ShownFace:
    """The face that drives, affect and pose make, with its noise.

    Args:
        drives: (T, 6) in the order of MUSCLES, resting at 0, full at 1.
        affect: (T, 2) valence and arousal; cut to [-1, 1].
        pose: (T, 6) pitch (down is positive), yaw, roll in radians; translations.
        leaning: (8,) added to the log probabilities of the expressions.
        motion: scales the noise of the head; a number, or (T,).
    """
    frames = len(affect)
    muscles = drives @ _TABLE  # (T, 15)
    muscles = muscles + MUSCLE_NOISE * smooth_noise(rng, frames, muscles.shape[1], fps)
    muscles = np.clip(muscles, 0, 1)
    affect = np.clip(affect + AFFECT_NOISE * smooth_noise(rng, frames, 2, fps), -1, 1)

    attributes = np.empty((frames, ATTRIBUTES), np.float32)
    attributes[:, AU_SLICE] = occurrence(muscles)
    attributes[:, VALENCE], attributes[:, AROUSAL] = affect.T
    attributes[:, EXPRESSION_SLICE] = expressions(affect, leaning)

    coefficients = np.empty((frames, COEFFICIENTS), np.float32)
    shape = _REST + np.concatenate([muscles, affect], axis=1) @ _MATRIX
    shape += SHAPE_NOISE * smooth_noise(rng, frames, shape.shape[1], fps)
    coefficients[:, SHAPE_SLICE] = shape
    shake = smooth_noise(rng, frames, 6, fps) * np.repeat([ANGLE_NOISE, TRANSLATION_NOISE], 3)
    coefficients[:, SHAPE_SLICE.stop :] = pose + np.reshape(motion, (-1, 1)) * shake
    return ShownFace(attributes, coefficients)


def expressions(affect: np.ndarray, leaning: np.ndarray | None = None) -> np.ndarray:
    """Probabilities (T, 8) of the expressions at valence and arousal (T, 2)."""
    apart = affect[:, None] - _PLACES
    logits = -np.square(apart / WIDTH).sum(axis=2) / 2
    if leaning is not None:
        logits = logits + leaning
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def smooth_noise(rng: np.random.Generator, frames: int, channels: int, fps: float) -> np.ndarray:
    """(T, channels) noise of deviation 1 that changes over about NOISE_SECONDS."""
    width = NOISE_SECONDS * fps
    white = rng.standard_normal((frames, channels))
    gain = np.sqrt(2 * np.sqrt(np.pi) * width)  # of white noise, far from the ends
    return gain * gaussian_filter1d(white, width, axis=0, mode="wrap")


def leaky(track: np.ndarray, seconds: float, fps: float) -> np.ndarray:
    """A track (T,) or tracks (T, C) followed with this time constant, from its first value on."""
    keep = np.exp(-1 / (seconds * fps))
    followed, _ = lfilter([1 - keep], [1, -keep], track, axis=0, zi=keep * track[:1])
    return followed


def delayed(track: np.ndarray, seconds: float, fps: float) -> np.ndarray:
    """A track (T,) so many seconds later; its first value until then."""
    frames = np.arange(len(track))
    return np.interp(frames - seconds * fps, frames, track)
