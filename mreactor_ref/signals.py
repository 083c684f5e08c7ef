"""The signals that go in and come out: streams, channels, frame grid, and two records.

Shape letters, used in every shape comment of the project: B clips, S reactions of a clip,
T frames, D model width, H heads, L layers, N sampling steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Reaction attributes, 25 a frame, in the order of the REACT challenges.
ACTION_UNITS = (
    *("AU1", "AU2", "AU4", "AU6", "AU7", "AU9", "AU10", "AU12"),
    *("AU14", "AU15", "AU17", "AU23", "AU24", "AU25", "AU26"),
)
EXPRESSIONS = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Contempt")
ATTRIBUTE_NAMES = (*ACTION_UNITS, "valence", "arousal", *EXPRESSIONS)
ATTRIBUTES = len(ATTRIBUTE_NAMES)  # 25

AU_SLICE = slice(0, 15)  # occurrence, 0 or 1
AFFECT_SLICE = slice(15, 17)  # valence, arousal in [-1, 1]
EXPRESSION_SLICE = slice(17, 25)  # probabilities that sum to 1
VALENCE, AROUSAL = 15, 16

# Where the expressions lie in valence and arousal.
EXPRESSION_PLACES = {
    "Neutral": (0.0, -0.1),
    "Happy": (0.75, 0.3),
    "Sad": (-0.6, -0.5),
    "Surprise": (0.15, 0.8),
    "Fear": (-0.5, 0.75),
    "Disgust": (-0.7, 0.15),
    "Anger": (-0.75, 0.55),
    "Contempt": (-0.4, -0.05),
}

# Face coefficients, 58 a frame: FaceVerse v2 3DMM.
COEFFICIENTS = 58
SHAPE_SLICE = slice(0, 52)  # expression coefficients
ANGLE_SLICE = slice(52, 55)  # pitch, yaw, roll, radians
TRANSLATION_SLICE = slice(55, 58)

# What the model generates: the attributes, then the coefficients.
REACTION = ATTRIBUTES + COEFFICIENTS  # 83
REACTION_ATTRIBUTES = slice(0, ATTRIBUTES)
REACTION_COEFFICIENTS = slice(ATTRIBUTES, REACTION)

# Speaker streams on the frame grid, in the order of `present`; the last two are the face.
STREAMS = ("sound", "words", "coefficients", "attributes")
MODALITIES = ("sound", "words", "face")

SAMPLE_RATE = 16_000  # Hz; every sound is resampled to it
MFCC_WIDTH = 78  # 26 coefficients with first and second differences
WAV2VEC_WIDTH = 768
MINILM_WIDTH = 384
ROBERTA_WIDTH = 768

# Emotion labels of a prior (section C.3, eq. 4). The first stands for "no prior".
EMOTIONS = (
    *("none", "neutral", "joy", "happiness", "excitement", "contentment", "gratitude", "pride"),
    *("love", "hope", "relief", "amusement", "interest", "surprise", "confusion", "boredom"),
    *("sadness", "disappointment", "guilt", "shame", "fear", "anxiety", "anger", "frustration"),
    *("disgust", "contempt"),
)
NO_EMOTION = 0


@dataclass(frozen=True)
class Utterance:
    """Words that belong together: a subtitle cue, a sentence. Times in seconds from the start."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class SpeakerClip:
    """One speaker on the frame grid. A stream that the clip does not have is None.

    Attributes:
        id: path without extension, relative to the input folder, with forward slashes.
        frames: T, the length of every stream.
        fps: frames a second.
        sound: (T, sound width) float32.
        words: (T, words width) float32, zero where nobody speaks.
        coefficients: (T, 58) float32.
        attributes: (T, 25) float32.
        utterances: the words again, as text, for the emotion priors.
    """

    id: str
    frames: int
    fps: float
    sound: Array | None = None
    words: Array | None = None
    coefficients: Array | None = None
    attributes: Array | None = None
    utterances: tuple[Utterance, ...] = ()


@dataclass(frozen=True)
class Reactions:
    """The reactions to one clip: attributes (S, T, 25) and coefficients (S, T, 58), float32."""

    attributes: Array
    coefficients: Array
