"""Simulated listeners: styles as tables of gains, and the face of one who listens in a style.

A listener's face is a function of the speaker's voice, words and face and of the style, with a lag
and a little smooth noise. The styles differ in how a face rests, in what it answers and how, and
in when; so several reactions to one speaker are right, and their mean is none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mreactor_ref.data.faces import ShownFace, delayed, drive_row, drive_tracks, leaky, show
from mreactor_ref.data.speaker import Speaker
from mreactor_ref.signals import ACTION_UNITS, ANGLE_SLICE, EXPRESSIONS

FEELING_SECONDS = 0.3  # over which a feeling comes to a listener's face, and goes
TALK_SECONDS = 0.3
NOD_SECONDS = 0.4  # in which a nod dies away
MURMUR_SECONDS = 0.2  # from the start of an "mm-hm" to its middle
STRESS_SECONDS = 0.12
SEEN_SECONDS = 0.2
ROLL_PER_VALENCE = 0.05  # radians
SHIFT_PER_RADIAN = 0.4  # of a translation, by a turn of the head
LEAN_PER_AROUSAL = 0.1
LAG_JITTER = 0.015  # seconds, deviation between listeners of one style
GAIN_JITTER = 0.03


@dataclass(frozen=True)
class Style:
    """How someone listens.

    Attributes:
        lag: seconds from a cue to its answer.
        valence, arousal: at rest.
        praise, trouble: what positive and negative words add to valence.
        follow: how much of the speaker's arousal is taken over.
        talk: what the speaker's talking, against silence, adds to arousal.
        rest: drives at rest.
        answer: what a cue adds to each drive: positive words to smile and contempt, negative words
            to frown, a stressed word to brow, the speaker's pauses to tension, the end of a phrase
            to mouth (an "mm-hm").
        mimicry: how much of the speaker's smile, frown, raised brows and head pose is taken over.
        nod, shake: radians, of the first swing at the end of a phrase.
        nod_rate: Hz.
        pitch, yaw, roll: of the head at rest, radians; pitch down is positive.
        lean: towards the speaker at rest, the third translation.
        motion: scales nods, shakes and the noise of the head.
        leaning: what is added to the log probability of expressions, by name.
    """

    lag: float
    valence: float
    arousal: float
    praise: float
    trouble: float
    follow: float
    talk: float
    rest: Mapping[str, float]
    answer: Mapping[str, float]
    mimicry: float
    nod: float
    shake: float
    nod_rate: float
    pitch: float
    yaw: float
    roll: float
    lean: float
    motion: float
    leaning: Mapping[str, float] = field(default_factory=dict)


STYLES: dict[str, Style] = {
    # Smiles at good words, suffers with bad ones, nods slowly.
    "warm": Style(
        lag=0.35, valence=0.45, arousal=-0.05, praise=0.4, trouble=-0.45, follow=0.2, talk=0.25,
        rest={"smile": 0.4, "brow": 0.2, "mouth": 0.1},
        answer={"smile": 0.6, "frown": 0.7, "brow": 0.6, "tension": 0.3, "mouth": 0.6},
        mimicry=0.0, nod=0.16, shake=0.0, nod_rate=1.6, pitch=0.06, yaw=0.0, roll=0.12,
        lean=0.05, motion=1.0, leaning={"Happy": 0.5},
    ),
    # Little face, low arousal, one late slow nod.
    "reserved": Style(
        lag=0.7, valence=-0.05, arousal=-0.65, praise=0.3, trouble=-0.3, follow=0.15, talk=0.25,
        rest={"frown": 0.1, "tension": 0.35},
        answer={"smile": 0.6, "frown": 0.6, "brow": 0.2, "tension": 0.5, "contempt": 0.1},
        mimicry=0.0, nod=0.07, shake=0.0, nod_rate=1.2, pitch=-0.05, yaw=0.1, roll=-0.03,
        lean=-0.12, motion=0.5, leaning={"Neutral": 1.0},
    ),
    # Takes over a part of the speaker's face and head, calm and attentive.
    "mimic": Style(
        lag=0.5, valence=0.3, arousal=-0.45, praise=0.45, trouble=-0.5, follow=0.45, talk=0.15,
        rest={"smile": 0.05, "frown": 0.05, "brow": 0.25, "tension": 0.1, "mouth": 0.35},
        answer={"smile": 0.3, "frown": 0.3, "brow": 0.2, "mouth": 0.2},
        mimicry=0.6, nod=0.05, shake=0.0, nod_rate=2.0, pitch=-0.1, yaw=-0.08, roll=-0.1,
        lean=0.02, motion=0.8, leaning={},
    ),
    # Doubts praise, warms to complaints, bored by talk, shakes the head.
    "sceptical": Style(
        lag=0.6, valence=-0.45, arousal=-0.05, praise=-0.35, trouble=0.35, follow=-0.3, talk=-0.3,
        rest={"smile": 0.05, "frown": 0.3, "brow": 0.1, "tension": 0.25, "contempt": 0.4},
        answer={"frown": -0.2, "brow": 0.65, "tension": 0.5, "contempt": 0.6},
        mimicry=0.0, nod=0.0, shake=0.14, nod_rate=1.8, pitch=0.12, yaw=-0.15, roll=0.05,
        lean=-0.08, motion=1.0, leaning={"Contempt": 1.0, "Disgust": 0.5},
    ),
    # Upset by bad words, tense when nobody talks, quick small nods.
    "anxious": Style(
        lag=0.25, valence=-0.3, arousal=0.55, praise=0.25, trouble=-0.4, follow=0.3, talk=-0.3,
        rest={"frown": 0.35, "brow": 0.35, "tension": 0.35},
        answer={"smile": 0.3, "frown": 0.6, "brow": 0.4, "tension": 0.6, "mouth": 0.3},
        mimicry=0.0, nod=0.08, shake=0.05, nod_rate=3.0, pitch=0.02, yaw=0.16, roll=-0.12,
        lean=-0.02, motion=1.4, leaning={"Fear": 0.8},
    ),
    # Raises brows and opens the mouth at everything, large quick nods.
    "enthusiastic": Style(
        lag=0.2, valence=0.35, arousal=0.6, praise=0.35, trouble=-0.55, follow=0.3, talk=0.3,
        rest={"smile": 0.3, "brow": 0.4, "mouth": 0.4},
        answer={"smile": 0.7, "frown": 0.5, "brow": 0.7, "tension": -0.1, "mouth": 0.8},
        mimicry=0.15, nod=0.22, shake=0.0, nod_rate=2.4, pitch=-0.02, yaw=0.05, roll=0.04,
        lean=0.14, motion=1.3, leaning={"Surprise": 0.8, "Happy": 0.3},
    ),
}  # fmt: skip


def simulate_listener(rng: np.random.Generator, speaker: Speaker, style: Style) -> ShownFace:
    """The face of one listener of this style: as many frames as the speaker's face.

    A cue at time t shows from t + lag on; the first frames rest. Two draws differ by the jitter of
    lag and gain, and by the noise of faces.py.
    """
    fps, heard = speaker.fps, speaker.tracks
    lag = style.lag + rng.normal(0, LAG_JITTER)
    gain = 1 + rng.normal(0, GAIN_JITTER)

    def answer(track: np.ndarray, seconds: float) -> np.ndarray:
        return gain * delayed(leaky(track, seconds, fps), lag, fps)

    feeling = answer(heard.polarity, FEELING_SECONDS)
    pleased, troubled = np.maximum(feeling, 0), np.maximum(-feeling, 0)
    talk = answer((heard.envelope > 0).astype(float), TALK_SECONDS)
    since = np.arange(len(feeling))[:, None] / fps - heard.phrase_ends - lag  # (T, E) seconds
    swing, murmur = gain * _swing(since, style.nod_rate), gain * _murmur(since)

    answers = drive_tracks(
        len(feeling),
        {
            "smile": pleased,
            "frown": troubled,
            "brow": answer(heard.emphasis, STRESS_SECONDS),
            "tension": 1 - talk,
            "contempt": pleased,
            "mouth": murmur,
        },
    )
    drives = drive_row(style.rest) + drive_row(style.answer) * answers
    drives += style.mimicry * _seen(speaker, lag)
    affect = np.stack(
        [
            style.valence + style.praise * pleased + style.trouble * troubled,
            style.arousal
            + style.follow * answer(heard.arousal, FEELING_SECONDS)
            + style.talk * (talk - 0.5),
        ],
        axis=1,
    )
    leaning = np.array([style.leaning.get(name, 0.0) for name in EXPRESSIONS])
    pose = _pose(style, speaker, lag, swing, affect)
    return show(rng, drives, affect, pose, fps, leaning, style.motion)


def _swing(since: np.ndarray, rate: float) -> np.ndarray:
    """(T,) sum of damped swings, each from 0 seconds after its cue on: since (T, E)."""
    after = np.maximum(since, 0)
    return (np.sin(2 * np.pi * rate * after) * np.exp(-after / NOD_SECONDS)).sum(axis=1)


def _murmur(since: np.ndarray) -> np.ndarray:
    """(T,) sum of bumps of height 1, MURMUR_SECONDS after their cues: since (T, E)."""
    after = np.maximum(since, 0) / MURMUR_SECONDS
    return (after * np.exp(1 - after)).sum(axis=1)


def _seen(speaker: Speaker, lag: float) -> np.ndarray:
    """(T, 6) what a mimic sees of the speaker's drives, after the lag: smile, frown and brow."""
    units = speaker.face.attributes
    signs = {"smile": "AU12", "frown": "AU4", "brow": "AU2"}
    seen = {
        name: delayed(
            leaky(units[:, ACTION_UNITS.index(unit)], SEEN_SECONDS, speaker.fps), lag, speaker.fps
        )
        for name, unit in signs.items()
    }
    return drive_tracks(len(units), seen)


def _pose(
    style: Style, speaker: Speaker, lag: float, swing: np.ndarray, affect: np.ndarray
) -> np.ndarray:
    """(T, 6) angles and translations: the head swings, and what moves it moves the face along."""
    pose = np.empty((len(swing), 6))
    pose[:, :3] = style.pitch, style.yaw, style.roll
    pose[:, 0] += style.motion * style.nod * swing
    pose[:, 1] += style.motion * style.shake * swing
    for angle, copied in enumerate(speaker.face.coefficients[:, ANGLE_SLICE].T):
        pose[:, angle] += style.mimicry * delayed(copied, lag, speaker.fps)
    pose[:, 2] += ROLL_PER_VALENCE * affect[:, 0]
    pose[:, 3] = SHIFT_PER_RADIAN * pose[:, 1]
    pose[:, 4] = -SHIFT_PER_RADIAN * pose[:, 0]
    pose[:, 5] = style.lean + LEAN_PER_AROUSAL * (affect[:, 1] - style.arousal)
    return pose
