"""All measures of a set of results in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.appropriateness import frcorr, frdist
from mreactor_ref.metrics.diversity import frdiv, frdvs, frvar
from mreactor_ref.metrics.synchrony import CHALLENGE_FPS, frsyn
from mreactor_ref.signals import ATTRIBUTES

MEASURES = ("FRCorr", "FRDist", "FRDiv", "FRVar", "FRDvs", "FRSyn")


def evaluate(
    predictions: Sequence[NDArray[Any]],
    appropriate: Sequence[Sequence[NDArray[Any]]],
    speakers: Sequence[NDArray[Any]],
    fps: float = CHALLENGE_FPS,
    compat: bool = False,
) -> dict[str, float]:
    """The challenge's measures that need no rendered video, by name, in the order of `MEASURES`.

    Args:
        predictions: per clip the generated attributes (S, T, 25).
        appropriate: per clip the attributes of its appropriate real reactions, each (T', 25).
        speakers: per clip the speaker's attributes (T, 25).
        fps, compat: for FRSyn; see `frsyn`.

    Raises:
        UsageError: the three differ in the number of clips, an array has another shape or a value
            that is not finite, or a clip has no appropriate reaction.
    """
    if not len(predictions) == len(appropriate) == len(speakers):
        raise UsageError(
            f"{len(predictions)} predicted clips, {len(appropriate)} with appropriate reactions "
            f"and {len(speakers)} speakers do not belong together"
        )
    for clip, (generated, real, speaker) in enumerate(
        zip(predictions, appropriate, speakers, strict=True)
    ):
        _check(f"clip {clip}: predictions", generated, dimensions=3)
        _check(f"clip {clip}: speaker", speaker, dimensions=2)
        for reaction in real:
            _check(f"clip {clip}: appropriate reaction", reaction, dimensions=2)
    return {
        "FRCorr": frcorr(predictions, appropriate),
        "FRDist": frdist(predictions, appropriate),
        "FRDiv": frdiv(predictions),
        "FRVar": frvar(predictions),
        "FRDvs": frdvs(predictions),
        "FRSyn": frsyn(predictions, speakers, fps, compat),
    }


def _check(what: str, values: NDArray[Any], dimensions: int) -> None:
    """Raise where an array is not (..., T, 25), is empty or is not finite."""
    if values.ndim != dimensions or values.shape[-1] != ATTRIBUTES or values.size == 0:
        expected = "(S, T, 25)" if dimensions == 3 else "(T, 25)"
        raise UsageError(f"{what} has shape {values.shape}, not {expected}")
    if not np.isfinite(values).all():
        raise UsageError(f"{what} has values that are not finite")
