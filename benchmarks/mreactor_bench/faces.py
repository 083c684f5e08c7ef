"""How fast the face is read out of a video, on one core, and what memory a long one takes."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mreactor_ref.errors import ClipError
from mreactor_ref.features.video.channels import TRUSTED
from mreactor_ref.features.video.description import describe
from mreactor_ref.features.video.frames import Frame, read_frames
from mreactor_ref.features.video.networks import check_runtime
from mreactor_ref.features.video.track import follow_face

MEBIBYTE = 2**20
MOST_LOOKS = 20  # at the memory, while frames are read


@dataclass(frozen=True)
class FaceSpeed:
    """The figures of one video.

    Attributes:
        frames: that were read, and followed.
        seconds: that all of it took, on the wall. core_seconds: of the processor, which other
            work on the machine does not change much.
        width, height: of the pictures. seen: share of frames that show the face.
        memory: (minutes of video, MiB) of the process at its peak, from the first looks to the end.
        cores: that the process was held to; 0 where the system cannot hold it.
    """

    frames: int
    seconds: float
    core_seconds: float
    width: int
    height: int
    seen: float
    memory: tuple[tuple[float, float], ...]
    cores: int

    @property
    def rate(self) -> float:
        """Frames a second of one core."""
        return self.frames / self.core_seconds


def measure_faces(
    video: Path, minutes: float, progress: Callable[[float], None] = lambda part: None
) -> FaceSpeed:
    """Read the face of a video again and again, as of one long video, on one core.

    Args:
        video: decoded anew in each turn. minutes: of video; the last turn is read to its end.
        progress: told the part that is done.

    Raises:
        ClipError: the video cannot be read, or has no frame.
        NoRuntimeError: onnxruntime is not installed.
    """
    check_runtime()
    size, looks = [0, 0], list[tuple[float, float]]()

    def frames() -> Iterator[Frame]:
        for frame in turns(video, minutes * 60):
            size[:] = frame.pixels.shape[1], frame.pixels.shape[0]
            if frame.time >= len(looks) * minutes * 60 / MOST_LOOKS:
                looks.append((frame.time / 60, _peak()))
                progress(frame.time / (minutes * 60))
            yield frame

    cores = _one_core()
    started, started_core = time.perf_counter(), time.process_time()
    track = follow_face(frames())
    if not len(track.times):
        raise ClipError("has no frame that can be read", video)
    describe(track, TRUSTED)
    seconds, core_seconds = time.perf_counter() - started, time.process_time() - started_core
    looks.append((track.times[-1] / 60, _peak()))
    return FaceSpeed(
        frames=len(track.times),
        seconds=seconds,
        core_seconds=core_seconds,
        width=size[0],
        height=size[1],
        seen=float(track.seen.mean()),
        memory=tuple(looks),
        cores=cores,
    )


def turns(video: Path, seconds: float) -> Iterator[Frame]:
    """The frames of a video again and again, one after the other in time, for so many seconds."""
    begin = 0.0
    while begin < seconds:
        last = step = 0.0
        for frame in read_frames(video):
            step, last = frame.time - last, frame.time
            yield Frame(begin + frame.time, frame.pixels)
        if last == 0:
            return  # one frame, or none
        begin += last + step


def _one_core() -> int:
    """Hold this process to one of its cores."""
    if not hasattr(os, "sched_setaffinity"):
        return 0
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return 1


def _peak() -> float:
    """The most memory that this process had so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MEBIBYTE if sys.platform == "darwin" else peak / 1024
