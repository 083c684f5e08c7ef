"""A simulated speaker: words, voice, and a face that follows both."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from mreactor_ref.data.simulated.faces import ShownFace, drive_tracks, leaky, show, smooth_noise
from mreactor_ref.data.simulated.sentences import SHELVES
from mreactor_ref.data.simulated.speech import (
    MIN_SECONDS,
    Spoken,
    Tracks,
    tracks,
    voice,
    write_script,
)
from mreactor_ref.signals import Array

FEELING_SECONDS = 0.35  # over which a feeling comes to a speaker's face, and goes
SWAY = 0.03  # radians, of the head


@dataclass(frozen=True)
class Turns:
    """How long turns are: from `shortest` to `longest` seconds, in whole frames."""

    fps: float = 25.0
    shortest: float = MIN_SECONDS
    longest: float = 16.0

    def seconds(self, rng: np.random.Generator) -> float:
        """The length of one: a whole number of frames, so that sound and face are of one length."""
        drawn = rng.uniform(self.shortest, self.longest)
        return max(round(drawn * self.fps) / self.fps, self.shortest)


@dataclass(frozen=True)
class Speaker:
    """One turn of a speaker.

    Attributes:
        fps: frames a second of tracks and face.
        script: what was said when.
        sound: (samples,) float32 at 16 kHz.
        tracks: what the face followed.
        face: T frames.
    """

    fps: float
    script: tuple[Spoken, ...]
    sound: Array
    tracks: Tracks
    face: ShownFace


def simulate_speaker(
    rng: np.random.Generator,
    seconds: float,
    fps: float = 25.0,
    shelves: Collection[int] = range(SHELVES),
) -> Speaker:
    """A speaker's turn of so many seconds; T = round(seconds * fps).

    Args:
        shelves: which sentences may be said (see sentences.py).

    Raises:
        UsageError: fewer seconds than one sentence needs.
    """
    script = write_script(rng, seconds, shelves)
    followed = tracks(script, seconds, fps)
    sound = voice(rng, script, seconds)
    return Speaker(fps, script, sound, followed, speaker_face(rng, followed, fps))


def speaker_face(rng: np.random.Generator, followed: Tracks, fps: float) -> ShownFace:
    """The face of someone who speaks so: jaw by level, smile by polarity, brows by stress.

    The voice may be a real one, when its tracks are measured.
    """
    frames = len(followed.envelope)
    expressivity = rng.uniform(0.8, 1.1)
    feeling = leaky(followed.polarity, FEELING_SECONDS, fps)
    pleased, troubled = np.maximum(feeling, 0), np.maximum(-feeling, 0)
    stress = leaky(followed.emphasis, 0.08, fps)
    excitement = leaky(followed.arousal, FEELING_SECONDS, fps)
    voiced = leaky(np.minimum(followed.envelope, 1.5), 0.03, fps)
    drives = drive_tracks(
        frames,
        {
            "smile": 0.1 + 0.6 * expressivity * pleased,
            "frown": 0.1 + 0.6 * expressivity * troubled,
            "brow": 0.1 + 0.9 * expressivity * stress,
            "tension": 0.1 + 0.4 * np.maximum(excitement, 0),
            "mouth": 0.05 + 1.1 * voiced,
        },
    )
    affect = np.stack(
        [
            0.05 + rng.normal(0, 0.05) + 0.3 * expressivity * feeling,
            0.05 + 0.3 * excitement + 0.15 * leaky(voiced, 0.3, fps),
        ],
        axis=1,
    )
    pose = SWAY * smooth_noise(rng, frames, 6, fps / 3)  # three times as slow as a face's noise
    pose[:, 0] += 0.12 * stress
    pose[:, 3:] *= 0.5
    return show(rng, drives, affect, pose, fps)
