"""Videos of the drawn head, whose expressions and pose are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.video.frames import Frame
from mreactor_ref.head.head import weights_of
from mreactor_ref.head.picture import View, draw

Picture = NDArray[np.uint8]

WIDTH, HEIGHT = 320, 240
# The expression network takes the head's wide open eyes for surprise: these make them calm.
AWAKE = {"eyeBlinkLeft": 0.2, "eyeBlinkRight": 0.2, "browDownLeft": 0.1, "browDownRight": 0.1}
POSE = ("pitch", "yaw", "roll")


def both(name: str, level: float) -> dict[str, float]:
    """A target of both sides."""
    return {f"{name}Left": level, f"{name}Right": level}


def head(**levels: float) -> Picture:
    """The head with targets by name, turned by pitch, yaw and roll."""
    return _head(tuple(sorted(levels.items())))


@cache
def _head(levels: tuple[tuple[str, float], ...]) -> Picture:
    turned = {name: level for name, level in levels if name in POSE}
    shown = {name: level for name, level in levels if name not in POSE}
    view = View(WIDTH, HEIGHT, distance=0.7, **turned)
    return draw(weights_of(**(AWAKE | shown)), view)


def wall() -> Picture:
    """A picture without a face."""
    return np.full((HEIGHT, WIDTH, 3), 128, np.uint8)


def frames(parts: Iterable[tuple[int, Picture]], fps: float = 10.0) -> Iterator[Frame]:
    """The frames of pictures that are each shown so often."""
    number = 0
    for count, picture in parts:
        for _ in range(count):
            yield Frame(number / fps, picture)
            number += 1


def write_video(
    path: Path, pictures: Sequence[Picture], milliseconds: Sequence[int], sound: float = 0.0
) -> Path:
    """Write pictures at their times; with so many seconds of silent sound from the start on."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1000)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.time_base = Fraction(1, 1000)
        voice = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        if voice is not None:
            silence = np.zeros((1, round(sound * 16_000)), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 0
            resampler = av.AudioResampler(format="fltp", layout="mono", rate=16_000)
            for part in (*resampler.resample(frame), None):
                container.mux(voice.encode(part))
        for picture, time in zip(pictures, milliseconds, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
