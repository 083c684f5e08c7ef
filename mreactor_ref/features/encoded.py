"""Features of a sound that came with it, made by somebody else's encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mreactor_ref.errors import ClipError
from mreactor_ref.features.faces.npy import HEADER_ERRORS, map_npy
from mreactor_ref.features.faces.track import MAX_ROWS
from mreactor_ref.signals import Array


def read_encoded(path: Path, width: int) -> Array | None:
    """Features of a sound, a row a frame: (T', width) float32; None for those of another width.

    Raises:
        ClipError: no npy file of numbers, too many rows, or values that are not finite.
    """
    fix = "save it again with numpy.save, or remove it: the sound is then encoded"
    try:
        features = map_npy(path)
    except (*HEADER_ERRORS, OSError) as error:
        raise ClipError(f"cannot be read as features of a sound: {error}", path, fix) from None
    if features.ndim == 3 and features.shape[1] == 1:
        features = features[:, 0]
    if features.ndim != 2 or features.shape[1] != width or len(features) == 0:
        return None
    if len(features) > MAX_ROWS:
        raise ClipError(f"has {len(features)} rows, more than {MAX_ROWS}", path, fix)
    if features.dtype.kind != "f" or not np.isfinite(features).all():
        raise ClipError("has values that are not finite numbers", path, fix)
    return np.array(features, np.float32)
