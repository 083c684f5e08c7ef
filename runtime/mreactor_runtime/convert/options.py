"""What a conversion is asked for: the forms by name, and the options that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mreactor_ref.errors import UsageError
from mreactor_runtime.forms import SUFFIXES, check_formats

# What the 52 expression coefficients of a model are.
FACEVERSE, ARKIT = "faceverse", "arkit"
MEANINGS = (FACEVERSE, ARKIT)
SLOWEST, FASTEST = 1.0, 240.0  # frames a second
LONGEST_SMOOTHING = 10.0  # seconds


@dataclass(frozen=True)
class Conversion:
    """How results are converted.

    Attributes:
        formats: names of SUFFIXES.
        reaction: the one that is converted, from 0 as in the arrays; None for all.
        fps: frames a second of what is written; None for those of the result.
        source_fps: frames a second of the result; None for what its run says.
        smooth: standard deviation in seconds of the Gaussian over time; 0 for none.
        coefficients: FACEVERSE where the face shapes come from the action units, ARKIT where the
            52 expression coefficients are their weights.

    Raises:
        UsageError: no form, an unknown one, or a value out of range.
    """

    formats: tuple[str, ...]
    reaction: int | None = None
    fps: float | None = None
    source_fps: float | None = None
    smooth: float = 0.0
    coefficients: str = FACEVERSE

    def __post_init__(self) -> None:
        check_formats(self.formats)
        if not self.formats:
            raise UsageError("no format is given", fix=f"there are {', '.join(SUFFIXES)}")
        if self.reaction is not None and self.reaction < 0:
            raise UsageError(f"reaction is {self.reaction}, not from 0")
        for name, rate in (("fps", self.fps), ("source_fps", self.source_fps)):
            if rate is not None and not SLOWEST <= rate <= FASTEST:
                raise UsageError(f"{name} is {rate:g}, not {SLOWEST:g} to {FASTEST:g}")
        if not (math.isfinite(self.smooth) and 0 <= self.smooth <= LONGEST_SMOOTHING):
            raise UsageError(f"smooth is {self.smooth:g}, not 0 to {LONGEST_SMOOTHING:g} seconds")
        if self.coefficients not in MEANINGS:
            raise UsageError(
                f"coefficients is {self.coefficients!r}, not one of {', '.join(MEANINGS)}"
            )
