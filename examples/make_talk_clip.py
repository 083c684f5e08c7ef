"""Make examples/clips/talk.mp4: the drawn head says a few sentences, and nods, smiles and blinks.

Needs the command espeak-ng. The jaw follows the loudness of the speech, the lips its brightness.
Nothing in it is a real person: the head is MakeHuman's (mreactor_ref/head/README.md).
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import click
import numpy as np
from make_clips import RATE, Line, Recipe, perform
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from mreactor_ref.data.simulated.speech import Spoken
from mreactor_ref.head.head import weights_of
from mreactor_ref.head.picture import View, draw

FPS = 25
WIDTH, HEIGHT = 320, 240
SEED = 7

RECIPE = Recipe("talk", "en-us+m3", 9.0, ".mp4", None, None, (
    Line(0, 0.0, "I waited the whole *afternoon* for that call."),
    Line(1, 0.5, "And then they said yes, I got the *job*!"),
    Line(1, 0.2, "I am so *happy*, I still cannot believe it."),
))  # fmt: skip

# What a face that is awake and at rest shows, and what the movements are made of.
CALM = {"eyeBlinkLeft": 0.2, "eyeBlinkRight": 0.2, "browDownLeft": 0.1, "browDownRight": 0.1}
SMILE = {"mouthSmile": 0.8, "cheekSquint": 0.7, "mouthUpperUp": 0.3, "mouthDimple": 0.3}
BROWS = {"browInnerUp": 0.7, "browOuterUp": 0.6}
JAW, NOD, SWAY = 0.5, 0.16, 0.05  # of the jaw's target; radians
BLINKS = (0.9, 2.6, 4.1, 6.3, 7.9)  # seconds


@dataclass(frozen=True)
class Motion:
    """What the head does, (T,) each: 0 to 1, and angles in radians."""

    jaw: NDArray[np.float64]
    round: NDArray[np.float64]
    smile: NDArray[np.float64]
    brows: NDArray[np.float64]
    blink: NDArray[np.float64]
    pitch: NDArray[np.float64]
    yaw: NDArray[np.float64]
    roll: NDArray[np.float64]


def bump(times: NDArray, start: float, end: float, ramp: float) -> NDArray[np.float64]:
    """(T,) 1 from start to end, with smooth slopes of `ramp` seconds before and after."""
    level = np.clip(np.minimum(times - start + ramp, end + ramp - times) / ramp, 0, 1)
    return level**2 * (3 - 2 * level)


def loudness(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """(T,) of each frame, 0 to 1."""
    frames = round(len(sound) / RATE * FPS)
    edges = np.arange(frames) * RATE // FPS
    level = np.sqrt(np.add.reduceat(sound.astype(np.float64) ** 2, edges) / (RATE / FPS))
    return np.clip(gaussian_filter1d(level / np.quantile(level, 0.95), 0.8), 0, 1)


def brightness(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """(T,) how much of each frame's sound changes from sample to sample: high in s, low in o."""
    frames = round(len(sound) / RATE * FPS)
    edges = np.arange(frames) * RATE // FPS
    change = np.add.reduceat(np.abs(np.diff(sound, prepend=0.0)), edges)
    return gaussian_filter1d(change / (np.add.reduceat(np.abs(sound), edges) + 1e-3), 1.0)


def plan(sound: NDArray[np.float32], script: tuple[Spoken, ...]) -> Motion:
    """The motion that goes with the sound: a smile from the second line on, a nod on each."""
    loud, bright = loudness(sound), brightness(sound)
    times = (np.arange(len(loud)) + 0.5) / FPS
    rng = np.random.default_rng(SEED)

    def drift(scale: float) -> NDArray[np.float64]:
        noise = gaussian_filter1d(rng.standard_normal(len(times)), 0.6 * FPS, mode="wrap")
        return scale * noise / noise.std()

    spans = [(spoken.words[0].start, spoken.words[-1].end) for spoken in script]
    nods = np.zeros(len(times))
    for start, _ in spans[1:]:
        nods += bump(times, start + 0.25, start + 0.35, 0.25)
    blink = np.zeros(len(times))
    for moment in BLINKS:
        blink = np.maximum(blink, bump(times, moment, moment + 0.04, 0.08))
    return Motion(
        jaw=JAW * loud,
        round=np.clip(0.25 - bright, 0, 0.25) * 2 * loud,
        smile=bump(times, spans[1][0] + 0.6, times[-1], 0.5),
        brows=bump(times, spans[1][0] + 0.4, spans[1][0] + 1.0, 0.3),
        blink=blink,
        pitch=NOD * nods + drift(SWAY / 3),
        yaw=drift(SWAY),
        roll=drift(SWAY / 2),
    )


def picture(motion: Motion, frame: int) -> NDArray[np.uint8]:
    """(H, W, 3) the head at a frame."""
    smile, brows, blink = motion.smile[frame], motion.brows[frame], motion.blink[frame]
    levels = dict(CALM)
    for target, level in SMILE.items():
        for side in ("Left", "Right"):
            levels[target + side] = levels.get(target + side, 0) + smile * level
    for side in ("Left", "Right"):
        levels[f"eyeBlink{side}"] = max(levels[f"eyeBlink{side}"], blink)
        levels[f"browOuterUp{side}"] = BROWS["browOuterUp"] * brows
    levels["browInnerUp"] = BROWS["browInnerUp"] * brows
    levels["jawOpen"] = motion.jaw[frame] * (1 - 0.4 * smile)
    levels["mouthFunnel"] = motion.round[frame] * (1 - 0.6 * smile)
    pitch, yaw, roll = motion.pitch[frame], motion.yaw[frame], motion.roll[frame]
    view = View(WIDTH, HEIGHT, pitch, yaw, roll, distance=0.64, offset=(0, 0.01))
    return draw(weights_of(**levels), view)


def write(path: Path, motion: Motion, sound: NDArray[np.float32]) -> None:
    """Write the pictures as H.264 and the sound as AAC, which every player knows."""
    with av.open(str(path), "w", options={"fflags": "+bitexact", "movflags": "faststart"}) as file:
        options = {"crf": "25", "preset": "veryslow", "threads": "1"}
        video = file.add_stream("libx264", rate=FPS, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        voice = file.add_stream("aac", rate=RATE, layout="mono")
        voice.bit_rate = 64_000
        for number in range(len(motion.jaw)):
            frame = av.VideoFrame.from_ndarray(picture(motion, number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        data = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(data[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(format=voice.format, layout="mono", rate=RATE)
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            file.mux(voice.encode(part))


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path(__file__).parent / "clips" / f"{RECIPE.name}{RECIPE.sound}",
    help="File to write.",
)
def main(output: Path) -> None:
    """Make the clip of the talking head."""
    if shutil.which("espeak-ng") is None:
        raise click.ClickException("espeak-ng is not installed (apt-get install espeak-ng)")
    with tempfile.TemporaryDirectory() as folder:
        sound, script = perform(RECIPE, Path(folder))
    write(output, plan(sound, script), sound)
    click.echo(f"{output.name}: {RECIPE.seconds:g} s, {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
