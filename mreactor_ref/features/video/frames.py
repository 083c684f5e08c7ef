"""The pictures of a video, one after the other, upright, each with its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import ClipError
from mreactor_ref.features.container import LONGEST, LONGEST_SECONDS, open_container
from mreactor_ref.features.sound_length import MICROSECONDS
from mreactor_ref.stages import FACE, reached

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

Pixels = NDArray[np.uint8]

# ffmpeg's demuxers that may open a video. Playlists are left out: they open other files.
FORMATS = "mov,matroska,avi"
LONGEST_SIDE = 1280  # pixels; larger pictures are made smaller
FASTEST = 65.0  # frames a second; of a faster video some are left out
MAX_PIXELS = 8192 * 8192  # beyond this a header is damaged


@dataclass(frozen=True)
class Frame:
    """One picture (H, W, 3) RGB, upright, and when it is first shown: seconds from the start of
    the clip, which is where the sound of `load_sound` begins too."""

    time: float
    pixels: Pixels


def read_frames(path: str | Path) -> Iterator[Frame]:
    """Decode the pictures of a video; one is held at a time.

    Times are those of the file, whatever its rate is and however it varies. A picture without
    one, or one that is not later than the one before, is left out, and so is one that does not
    decode.

    Raises:
        ClipError: not readable, no picture inside, or longer than LONGEST_SECONDS.
    """
    from av.error import FFmpegError

    path = Path(path)
    try:
        with open_container(path, FORMATS) as container:
            if not container.streams.video:
                raise ClipError("has no pictures", path, "give a video")
            for frame in _decode(container):
                if frame.time > LONGEST_SECONDS:
                    problem = f"is a video of more than {LONGEST}, the longest that is read"
                    raise ClipError(problem, path, "cut it into several clips")
                yield frame
    except (FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClipError(
            f"cannot be read as a video: {reason}", path, "check that it plays"
        ) from error


def _decode(container: InputContainer) -> Iterator[Frame]:
    from av.error import FFmpegError

    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    start = (cast("int | None", container.start_time) or 0) / MICROSECONDS  # it may be unknown
    duration = (container.duration or 0) / MICROSECONDS
    latest = -np.inf
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except FFmpegError:
            continue
        for frame in frames:
            time = cast("float | None", frame.time)  # some frames have none
            if time is None or time - start < latest + 1 / FASTEST:
                continue
            latest = time - start
            if duration:
                reached(FACE, latest / duration)
            yield Frame(latest, _upright(frame))


def _upright(frame: VideoFrame) -> Pixels:
    """The pixels of a frame, not too many, turned as its file says."""
    if not 0 < frame.width * frame.height <= MAX_PIXELS:
        raise ValueError(f"a picture of {frame.width} x {frame.height}")
    scale = min(1.0, LONGEST_SIDE / max(frame.width, frame.height))
    width, height = (max(2, round(side * scale)) for side in (frame.width, frame.height))
    pixels = np.asarray(frame.to_ndarray(format="rgb24", width=width, height=height), np.uint8)
    turns = round(frame.rotation / 90)
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
