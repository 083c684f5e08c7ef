"""When the rows of a table of a face were: timestamps of every unit, timecodes, frame numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import ClipError
from mreactor_ref.features.faces.table import Table

# Columns with times, the first that a table has is taken. Their unit is told by their steps, since
# some files lie about it: LibreFace's frame_time_in_ms may hold seconds.
TIMES = ("timestamp", "frame_time_in_ms", "timestamp_ms", "time_ms", "time_s", "time")
FRAMES = ("frame", "frame_idx", "frame_index")
TIMECODE = "timecode"  # of Live Link Face
CAMERA_RATES = (24.0, 25.0, 30.0, 50.0, 60.0, 120.0)
# A step of frames in seconds is below the first; in ms, us and ns it is above it and its multiples.
STEP_SECONDS, STEP_UNITS = 5.0, (1e3, 1e6, 1e9)
LATE_SECONDS = 86_400.0  # a first time after this is that of a wall clock
_TIMECODE = re.compile(r"(\d+):(\d+):(\d+)[:;.](\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Clock:
    """The times of rows: `middles` (T',) of their frames in seconds, and the frame rate."""

    middles: NDArray[np.float64]
    fps: float


def read_clock(table: Table) -> Clock | None:
    """The times of a table's rows, or None where it has no times, or one row.

    Raises:
        ClipError: times that do not rise.
    """
    if TIMECODE in table.texts:
        times = _timecodes(table.texts[TIMECODE])
    else:
        column = next((name for name in TIMES if name in table.columns), None)
        times = None if column is None else table.columns[column]
    if times is None or len(times) < 2 or not np.isfinite(times).all():
        return None
    steps = np.diff(times)
    if not (steps > 0).all():
        fix = "keep the rows of one video, in order"
        raise ClipError("its timestamps do not rise", table.path, fix)
    step = float(np.median(steps))
    unit = next((u for u in reversed(STEP_UNITS) if step >= STEP_SECONDS * u / 1e3), 1.0)
    times, steps = times / unit, steps / unit
    if TIMECODE in table.texts or times[0] > LATE_SECONDS:
        times = times - times[0]
    # rounded timestamps have uneven steps: their mean over the frames that they span is exact
    frames = np.rint(steps / np.median(steps)).sum()
    fps = float(frames / (times[-1] - times[0]))
    return Clock(times + 0.5 / fps, fps)


def frame_numbers(table: Table) -> NDArray[np.intp] | None:
    """The number of each row's frame from 0, where a table has such and they rise."""
    column = next((table.columns[name] for name in FRAMES if name in table.columns), None)
    if column is None or not np.isfinite(column).all():
        return None
    numbers = np.rint(column).astype(np.intp)
    if len(numbers) > 1 and (np.diff(numbers) <= 0).any():
        return None
    return numbers - min(int(numbers[0]), 1)  # OpenFace counts from 1, others from 0


def _timecodes(cells: list[str]) -> NDArray[np.float64] | None:
    """Seconds of `hours:minutes:seconds:frames`, with a fraction of a frame or not.

    The frames count to the rate of the camera, which no column tells: it is the least that a camera
    has above the largest count. Some writers have milliseconds there. None where a cell is none, or
    the rows span no whole second, which the rate is read from.
    """
    fields = [_TIMECODE.fullmatch(cell) for cell in cells]
    parts = np.array([list(map(float, match.groups())) for match in fields if match])
    if len(parts) < len(cells) or not len(parts):
        return None
    seconds = parts[:, :3] @ np.array([3600.0, 60.0, 1.0])
    if seconds[-1] < seconds[0]:  # past midnight
        seconds = np.where(seconds < seconds[0], seconds + LATE_SECONDS, seconds)
    if seconds[-1] == seconds[0]:
        return None
    largest = parts[:, 3].max()
    rate = next((rate for rate in CAMERA_RATES if largest < rate), 1000.0)
    return seconds + parts[:, 3] / rate
