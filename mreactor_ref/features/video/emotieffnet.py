"""A better judge of expressions, optional: EmotiEffLib's EfficientNet-B0 for 8 expressions, valence
and arousal (`enet_b0_8_va_mtl`). Its weights, trained on AffectNet, do not come with the package.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from mreactor_ref.errors import UsageError
from mreactor_ref.features.video.crop import Square, cut
from mreactor_ref.features.video.frames import Pixels
from mreactor_ref.features.video.networks import Network, open_file
from mreactor_ref.signals import EXPRESSIONS, Array

FILE = "enet_b0_8_va_mtl.onnx"
DOWNLOADED = Path("~/.emotiefflib")  # where the package emotiefflib keeps what it downloads
SIZE = 224  # pixels, of what the network sees
MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet, of values from 0 to 1
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
ORDER = ("Anger", "Contempt", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
FACE_SHARE = 0.8  # what the network wants to see, in sides of the square around the face
FIX = "give the folder of enet_b0_8_va_mtl.onnx, or pip install emotiefflib and connect once"


class EmotiEffNet:
    """Judges the expression of a face with EmotiEffLib's network.

    Args:
        folder: where FILE lies; None looks where emotiefflib keeps it, and lets emotiefflib, if
            it is installed, download it.

    Raises:
        UsageError: the file is not to be had, or is another network.
    """

    trusted = ("Surprise", "Contempt", "valence", "arousal")

    def __init__(self, folder: str | Path | None = None) -> None:
        path = _find(None if folder is None else Path(folder).expanduser())
        self._network: Network = open_file(path)
        self.name = f"emotieffnet-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        blank = np.zeros((1, 3, SIZE, SIZE), np.float32)
        try:
            shape = self._network(blank)[0].shape
        except Exception as error:  # onnxruntime's own, of a network with another input
            raise UsageError(f"is not {FILE}: {error}", path, FIX) from error
        if shape != (1, len(ORDER) + 2):
            raise UsageError(f"is not {FILE}: it gives {shape}, not (1, 10)", path, FIX)

    def judge(self, pixels: Pixels, square: Square) -> tuple[Array, Array]:
        """Probabilities (8,) in the order of EXPRESSIONS, and valence and arousal (2,)."""
        picture = (cut(pixels, square.scaled(FACE_SHARE), SIZE) / 255 - MEAN) / DEVIATION
        (out,) = self._network(picture.transpose(2, 0, 1)[None].astype(np.float32))[0]
        weights = np.exp(out[: len(ORDER)] - out[: len(ORDER)].max())
        judged = np.zeros(len(EXPRESSIONS), np.float32)
        judged[[EXPRESSIONS.index(name) for name in ORDER]] = weights / weights.sum()
        return judged, np.clip(out[len(ORDER) :], -1, 1)


def _find(folder: Path | None) -> Path:
    path = (folder or DOWNLOADED.expanduser()) / FILE
    if path.is_file():
        return path
    if folder is not None:
        raise UsageError(f"has no {FILE}", folder, FIX)
    try:
        from emotiefflib.utils import get_model_path_onnx  # pyright: ignore[reportMissingImports]

        return Path(get_model_path_onnx(FILE.removesuffix(".onnx")))
    except (ImportError, OSError) as error:
        raise UsageError(f"the network {FILE} is not on this machine: {error}", fix=FIX) from error
