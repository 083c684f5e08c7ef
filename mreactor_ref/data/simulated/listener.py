"""Simulated listeners: styles as tables of gains, and the face of one who listens in a style.

A listener's face is a function of the speaker's voice, words and face, of the style, and of what
the listener makes of each utterance: a take, polarity and intensity as a subject's prior has them
(C.3). The gloomy take good news for doubtful, the sunny see the best in bad news, as far from the
words as the affective filter (eq. 3) lets a subject be. Valence follows the take's polarity, motion
and arousal its intensity. The styles differ in outlook, in how a face rests, in what it answers and
how, and in when; so several reactions to one speaker are right, and their mean is none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mreactor_ref.data.simulated.faces import (
    ShownFace,
    delayed,
    drive_row,
    drive_tracks,
    leaky,
    show,
)
from mreactor_ref.data.simulated.speaker import Speaker
from mreactor_ref.data.simulated.speech import Spoken
from mreactor_ref.features.grid import frame_centres
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

# A take is the words' polarity, moved by the outlook by up to the gap of eq. 3.
WORDS_POLARITY = 0.6  # of a sentence that is meant to be positive, as a sentiment lexicon hears it
WIDEST_GAP = 0.5
LEAST_INTENSITY = 0.5  # of a take, as of a subject that passes eq. 3
OUTLOOK_JITTER = 0.06  # deviation between listeners of one style
INTENSITY_JITTER = 0.12  # likewise, between utterances too

# What a take does to a face.
VALENCE_PER_POLARITY = 0.75
AROUSAL_PER_INTENSITY = 1.6
CALMEST, LIVELIEST = 0.3, 1.8  # gain of the motion at the least and the most intensity


@dataclass(frozen=True)
class Style:
    """How someone listens.

    Attributes:
        outlook: 0 takes everything as badly as it can be taken, 1 as well.
        intensity: of the takes, 0.5 to 1.
        lag: seconds from a cue to its answer.
        valence, arousal: added to what the takes give.
        follow: how much of the speaker's arousal is taken over.
        talk: what the speaker's talking, against silence, adds to arousal.
        rest: drives at rest.
        answer: what a cue adds to each drive: a positive take to smile, a negative one to frown
            and contempt, a stressed word to brow, the speaker's pauses to tension, the end of a
            phrase to mouth (an "mm-hm").
        mimicry: how much of the speaker's smile, frown, raised brows and head pose is taken over.
        nod, shake: radians, of the first swing at the end of a phrase.
        nod_rate: Hz.
        pitch, yaw, roll: of the head at rest, radians; pitch down is positive.
        lean: towards the speaker at rest, the third translation.
        leaning: what is added to the log probability of expressions, by name.
    """

    outlook: float
    intensity: float
    lag: float
    valence: float
    arousal: float
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
    leaning: Mapping[str, float] = field(default_factory=dict)


STYLES: dict[str, Style] = {
    # Smiles readily, suffers with bad words, nods slowly.
    "warm": Style(
        outlook=0.75, intensity=0.72, lag=0.35, valence=0.1, arousal=-0.1,
        follow=0.2, talk=0.25,
        rest={"smile": 0.4, "brow": 0.2, "mouth": 0.1},
        answer={"smile": 0.6, "frown": 0.7, "brow": 0.6, "tension": 0.3, "mouth": 0.6},
        mimicry=0.0, nod=0.16, shake=0.0, nod_rate=1.6, pitch=0.06, yaw=0.0, roll=0.12,
        lean=0.05, leaning={"Happy": 0.5},
    ),
    # Little face, low arousal, one late slow nod.
    "reserved": Style(
        outlook=0.42, intensity=0.58, lag=0.7, valence=-0.05, arousal=-0.4,
        follow=0.15, talk=0.25,
        rest={"frown": 0.1, "tension": 0.35},
        answer={"smile": 0.6, "frown": 0.6, "brow": 0.2, "tension": 0.5, "contempt": 0.1},
        mimicry=0.0, nod=0.07, shake=0.0, nod_rate=1.2, pitch=-0.05, yaw=0.1, roll=-0.03,
        lean=-0.12, leaning={"Neutral": 1.0},
    ),
    # Takes over a part of the speaker's face and head, calm and attentive.
    "mimic": Style(
        outlook=0.58, intensity=0.65, lag=0.5, valence=0.05, arousal=-0.2,
        follow=0.45, talk=0.15,
        rest={"smile": 0.05, "frown": 0.05, "brow": 0.25, "tension": 0.1, "mouth": 0.35},
        answer={"smile": 0.3, "frown": 0.3, "brow": 0.2, "mouth": 0.2},
        mimicry=0.6, nod=0.05, shake=0.0, nod_rate=2.0, pitch=-0.1, yaw=-0.08, roll=-0.1,
        lean=0.02, leaning={},
    ),
    # Doubts good words and despises bad ones, bored by talk, shakes the head.
    "sceptical": Style(
        outlook=0.08, intensity=0.7, lag=0.6, valence=-0.1, arousal=-0.05,
        follow=-0.3, talk=-0.3,
        rest={"smile": 0.05, "frown": 0.3, "brow": 0.1, "tension": 0.25, "contempt": 0.4},
        answer={"smile": 0.2, "frown": 0.2, "brow": 0.65, "tension": 0.5, "contempt": 0.8},
        mimicry=0.0, nod=0.0, shake=0.14, nod_rate=1.8, pitch=0.12, yaw=-0.15, roll=0.05,
        lean=-0.08, leaning={"Contempt": 1.0, "Disgust": 0.5},
    ),
    # Upset by bad words, tense when nobody talks, quick small nods.
    "anxious": Style(
        outlook=0.25, intensity=0.8, lag=0.25, valence=-0.05, arousal=0.2,
        follow=0.3, talk=-0.3,
        rest={"frown": 0.35, "brow": 0.35, "tension": 0.35},
        answer={"smile": 0.3, "frown": 0.6, "brow": 0.4, "tension": 0.6, "mouth": 0.3},
        mimicry=0.0, nod=0.08, shake=0.05, nod_rate=3.0, pitch=0.02, yaw=0.16, roll=-0.12,
        lean=-0.02, leaning={"Fear": 0.8},
    ),
    # Raises brows and opens the mouth at everything, large quick nods.
    "enthusiastic": Style(
        outlook=0.92, intensity=0.88, lag=0.2, valence=0.05, arousal=0.2,
        follow=0.3, talk=0.3,
        rest={"smile": 0.3, "brow": 0.4, "mouth": 0.4},
        answer={"smile": 0.7, "frown": 0.5, "brow": 0.7, "tension": -0.1, "mouth": 0.8},
        mimicry=0.15, nod=0.22, shake=0.0, nod_rate=2.4, pitch=-0.02, yaw=0.05, roll=0.04,
        lean=0.14, leaning={"Surprise": 0.8, "Happy": 0.3},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Take:
    """A listener's view of an utterance: polarity in [-1, 1], intensity in [0.5, 1]."""

    polarity: float
    intensity: float


def draw_takes(
    rng: np.random.Generator, style: Style, script: Sequence[Spoken]
) -> tuple[Take, ...]:
    """The view that a listener of this style takes of each utterance."""
    outlook = np.clip(style.outlook + rng.normal(0, OUTLOOK_JITTER), 0, 1)
    leaning = WIDEST_GAP * (2 * outlook - 1)
    habit = style.intensity + rng.normal(0, INTENSITY_JITTER)
    return tuple(
        Take(
            float(np.clip(WORDS_POLARITY * spoken.polarity + leaning, -1, 1)),
            float(np.clip(habit + rng.normal(0, INTENSITY_JITTER), LEAST_INTENSITY, 1)),
        )
        for spoken in script
    )


def simulate_listener(
    rng: np.random.Generator,
    speaker: Speaker,
    style: Style,
    takes: Sequence[Take] | None = None,
) -> ShownFace:
    """The face of one listener of this style: as many frames as the speaker's face.

    A cue at time t shows from t + lag on. Two draws differ by the takes, the jitter of lag and
    gain, and by the noise of faces.py.

    Args:
        takes: one for each utterance of the speaker's script; drawn if None.
    """
    fps, heard = speaker.fps, speaker.tracks
    takes = draw_takes(rng, style, speaker.script) if takes is None else takes
    lag = style.lag + rng.normal(0, LAG_JITTER)
    gain = 1 + rng.normal(0, GAIN_JITTER)

    def answer(track: np.ndarray, seconds: float) -> np.ndarray:
        return gain * delayed(leaky(track, seconds, fps), lag, fps)

    polarity, intensity = _take_tracks(speaker, takes)
    feeling = answer(polarity, FEELING_SECONDS)
    lively = delayed(leaky(intensity, FEELING_SECONDS, fps), lag, fps)
    motion = CALMEST + (LIVELIEST - CALMEST) * (lively - LEAST_INTENSITY) / (1 - LEAST_INTENSITY)
    pleased, troubled = np.maximum(feeling, 0), np.maximum(-feeling, 0)
    talk = answer((heard.envelope > 0).astype(float), TALK_SECONDS)
    since = np.arange(len(feeling))[:, None] / fps - heard.phrase_ends - lag  # (T, E) seconds
    swing, murmur = gain * _swing(since, style.nod_rate), gain * _murmur(since)

    answers = drive_tracks(
        len(feeling),
        {
            "smile": pleased,
            "frown": troubled,
            "brow": motion * answer(heard.emphasis, STRESS_SECONDS),
            "tension": 1 - talk,
            "contempt": troubled,
            "mouth": motion * murmur,
        },
    )
    drives = drive_row(style.rest) + drive_row(style.answer) * answers
    drives += style.mimicry * _seen(speaker, lag)
    affect = np.stack(
        [
            style.valence + VALENCE_PER_POLARITY * feeling,
            style.arousal
            + AROUSAL_PER_INTENSITY * (lively - (1 + LEAST_INTENSITY) / 2)
            + style.follow * answer(heard.arousal, FEELING_SECONDS)
            + style.talk * (talk - 0.5),
        ],
        axis=1,
    )
    leaning = np.array([style.leaning.get(name, 0.0) for name in EXPRESSIONS])
    pose = _pose(style, speaker, lag, swing, motion, affect)
    return show(rng, drives, affect, pose, fps, leaning, motion)


def _take_tracks(speaker: Speaker, takes: Sequence[Take]) -> tuple[np.ndarray, np.ndarray]:
    """(T,) polarity and intensity: a take holds until the next utterance starts.

    Before the first one there is nothing to take: polarity 0, the least intensity.
    """
    frames = len(speaker.tracks.envelope)
    starts = [spoken.utterance.start for spoken in speaker.script]
    current = np.searchsorted(starts, frame_centres(speaker.fps, frames), side="right") - 1
    before = (0.0, LEAST_INTENSITY)
    of = np.array([before, *((take.polarity, take.intensity) for take in takes)])[current + 1]
    return of[:, 0], of[:, 1]


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
    style: Style,
    speaker: Speaker,
    lag: float,
    swing: np.ndarray,
    motion: np.ndarray,
    affect: np.ndarray,
) -> np.ndarray:
    """(T, 6) angles and translations: the head swings, and what moves it moves the face along."""
    pose = np.empty((len(swing), 6))
    pose[:, :3] = style.pitch, style.yaw, style.roll
    pose[:, 0] += motion * style.nod * swing
    pose[:, 1] += motion * style.shake * swing
    for angle, copied in enumerate(speaker.face.coefficients[:, ANGLE_SLICE].T):
        pose[:, angle] += motion * style.mimicry * delayed(copied, lag, speaker.fps)
    pose[:, 2] += ROLL_PER_VALENCE * affect[:, 0]
    pose[:, 3] = SHIFT_PER_RADIAN * pose[:, 1]
    pose[:, 4] = -SHIFT_PER_RADIAN * pose[:, 0]
    pose[:, 5] = style.lean + LEAN_PER_AROUSAL * (affect[:, 1] - style.arousal)
    return pose
