"""A video of a clip's reactions: the heads in a grid with the speaker's sound, drawn on a CPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mreactor_ref.data.clips import ClipFiles
from mreactor_ref.features.sound import read_sound
from mreactor_ref.files import in_place_of
from mreactor_ref.head.picture import Picture, View, draw
from mreactor_ref.signals import SAMPLE_RATE, Array
from mreactor_runtime.convert.result import read_result
from mreactor_runtime.convert.take import Take, make_take
from mreactor_runtime.provenance import MARK
from mreactor_runtime.report.timeline import require_matplotlib
from mreactor_runtime.view.clip_data import DEFAULT_FPS
from mreactor_runtime.view.credentials import Credentials

MOST_HEADS, COLUMNS = 10, 5
WIDTH, HEIGHT, STRIP = 144, 156, 24  # pixels of a head, and of the line below all
DPI = 100


def write_video(
    result: Path,
    clip: ClipFiles | None,
    target: Path,
    meaning: str,
    report: Callable[[str, int, int], None] = lambda what, done, of: None,
    credentials: Credentials | None = None,
) -> None:
    """Write an mp4 (H.264, AAC) of the first ten reactions to a clip, each said to be generated.

    Args:
        result: the npz of the clip. clip: its own files, for the sound; without it there is none.
        meaning: FACEVERSE or ARKIT, see `take.make_take`. report: is told what is done of what.
        credentials: sign it.

    Raises:
        ClipError: the result or the sound cannot be read. UsageError: matplotlib is not installed.
    """
    require_matplotlib()
    read = read_result(result)
    fps = read.provenance.fps or DEFAULT_FPS
    takes = [
        make_take(attributes, coefficients, meaning, fps, {})
        for attributes, coefficients in zip(
            read.attributes[:MOST_HEADS], read.coefficients[:MOST_HEADS], strict=True
        )
    ]
    wave = None if clip is None or clip.sound is None else read_sound(clip.sound).wave
    with in_place_of(target) as partial:
        about = {"title": read.provenance.clip, "comment": MARK}
        about |= {"description": read.provenance.to_json()}
        _write(partial, _pictures(takes), len(takes[0].angles), fps, wave, report, about)
        if credentials is not None:
            credentials.sign(partial, read.provenance, wave is not None)


def _pictures(takes: list[Take]) -> Iterator[Picture]:
    """The picture of each frame: all heads, their names, and the mark."""
    columns = min(COLUMNS, len(takes))
    rows = -(-len(takes) // columns)
    canvas = np.full((rows * HEIGHT + STRIP, columns * WIDTH, 3), 255, np.uint8)
    words, opacity = _words(len(takes), columns, canvas.shape[0], canvas.shape[1])

    def head(k: int, frame: int) -> None:
        pitch, yaw, roll = map(float, takes[k].angles[frame])
        view = View(WIDTH, HEIGHT, pitch, yaw, roll, focal=3.1, offset=(0.0, 0.018))
        top, left = k // columns * HEIGHT, k % columns * WIDTH
        canvas[top : top + HEIGHT, left : left + WIDTH] = draw(takes[k].shapes[frame], view)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for frame in range(len(takes[0].angles)):
            list(pool.map(head, range(len(takes)), [frame] * len(takes)))
            yield np.round(canvas * (1 - opacity) + words * opacity).astype(np.uint8)


def _words(
    heads: int, columns: int, height: int, width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is written over each picture: its colours (H, W, 3), and how much they cover (H, W, 1).

    The mark stands on a white line of its own.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.patch.set_alpha(0)
    for k in range(heads):
        x = (k % columns + 0.5) * WIDTH / width
        y = 1 - ((k // columns + 1) * HEIGHT - 6) / height
        figure.text(x, y, f"Listener {k + 1}", fontsize=8, ha="center", color="#ffffff")
    figure.text(0.01, STRIP / 2 / height, MARK, fontsize=9, va="center", color="#222222")
    painted = FigureCanvasAgg(figure)
    painted.draw()
    pixels = np.asarray(painted.buffer_rgba(), np.float64)
    return pixels[..., :3], pixels[..., 3:] / 255


def _write(
    path: Path,
    pictures: Iterator[Picture],
    frames: int,
    fps: float,
    wave: Array | None,
    report: Callable[[str, int, int], None],
    about: dict[str, str],
) -> None:
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as file:
        file.metadata.update(about)
        video = file.add_stream("libx264", rate=rate, options={"crf": "23"})
        voice = None if wave is None else file.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for number, picture in enumerate(pictures):
            if number == 0:
                video.height, video.width, video.pix_fmt = *picture.shape[:2], "yuv420p"
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            file.mux(video.encode(frame))
            report("video", number + 1, frames)
        file.mux(video.encode(None))
        if voice is None or wave is None:
            return
        data = np.round(np.clip(wave[: round(frames / fps * SAMPLE_RATE)], -1, 1) * 32767)
        sound = av.AudioFrame.from_ndarray(data.astype(np.int16)[None], "s16", "mono")
        sound.sample_rate = SAMPLE_RATE
        resampler = av.AudioResampler(format=voice.format, layout="mono", rate=SAMPLE_RATE)
        for part in (*resampler.resample(sound), *resampler.resample(None), None):
            file.mux(voice.encode(part))
