"""Make the clips of examples/clips: synthetic voices, their words, and faces that follow both.

Needs the command espeak-ng. The texts are below; a word between stars is stressed. The faces are
those of the simulated speakers, driven by the envelope that is measured in the sound and by the
polarity that each sentence is written with.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import click
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

from mreactor_ref.data.simulated.faces import ShownFace
from mreactor_ref.data.simulated.speaker import speaker_face
from mreactor_ref.data.simulated.speech import Spoken, Word, syllables, tracks
from mreactor_ref.data.simulated.writing import segments
from mreactor_ref.signals import ATTRIBUTE_NAMES, AU_SLICE

FPS = 25
RATE = 22_050  # Hz, what espeak-ng makes
LEAD, TAIL = 0.4, 0.8  # seconds of silence before and after the words
SHORTEST_PAUSE = 0.15
PICTURE = 64  # pixels, width and height of the video
CODECS = {
    ".flac": ("flac", RATE),
    ".mp3": ("libmp3lame", RATE),
    ".ogg": ("libopus", 24_000),  # Opus knows no 22,050 Hz
    ".mp4": ("aac", RATE),
}


@dataclass(frozen=True)
class Line:
    """A sentence with its polarity (1, 0, -1) and arousal (-1 to 1)."""

    polarity: int
    arousal: float
    text: str


@dataclass(frozen=True)
class Recipe:
    """One clip: a voice of espeak-ng, its length, its formats and its lines.

    Attributes:
        words: extension of the words' file, or None. face: "coefficients.npy", "attributes.npy",
            "attributes.csv" or None.
    """

    name: str
    voice: str
    seconds: float
    sound: str
    words: str | None
    face: str | None
    lines: tuple[Line, ...]


RECIPES = (
    Recipe("good_news", "en-us+f3", 10.0, ".wav", ".srt", "coefficients.npy", (
        Line(0, 0.0, "I have been waiting for a letter since *March*."),
        Line(1, 0.6, "It came this morning, and I am so *happy*!"),
        Line(1, 0.4, "They *loved* my pictures, every one of them."),
    )),
    Recipe("broken_bicycle", "en-gb+m3", 14.0, ".flac", ".txt", "attributes.csv", (
        Line(0, -0.2, "I left the bicycle behind the *library*."),
        Line(-1, 0.4, "When I came back, somebody had *smashed* both wheels."),
        Line(-1, -0.3, "I felt awful, and I walked home in the rain."),
        Line(1, 0.3, "A kind *neighbour* lent me hers, which was lovely."),
    )),
    Recipe("train_to_the_coast", "en-gb-scotland+f2", 16.0, ".mp3", ".vtt", "attributes.npy", (
        Line(0, 0.0, "The train takes *two* hours, and it stops at every village."),
        Line(1, 0.5, "Then you see the water, and it is *wonderful*."),
        Line(-1, 0.2, "Last year a storm ruined the trip, that was *horrible*."),
        Line(1, 0.3, "This time the sun was shining, and we laughed a lot."),
    )),
    Recipe("only_sound", "en-us+m1", 8.0, ".ogg", None, None, (
        Line(0, 0.1, "You turn left at the *bakery*, and then you cross the square."),
        Line(0, 0.0, "The house is the second one, with the green *door*."),
    )),
    Recipe("interviews/long_story", "en-gb+f4", 60.0, ".ogg", ".json", "coefficients.npy", (
        Line(0, 0.0, "My grandfather had a small *boat*, and he kept it on the river."),
        Line(1, 0.3, "When I was seven, he taught me to row, and I *loved* it."),
        Line(0, 0.0, "We went out in the evening, usually on a *Thursday*."),
        Line(1, 0.5, "He sang the whole way, and he was *wonderful*."),
        Line(0, -0.2, "Then he moved to the city, to a flat on the fourth floor."),
        Line(-1, -0.4, "He was *lonely* there, and I was too young to understand."),
        Line(-1, 0.3, "One winter the boat was stolen, it was *terrible*."),
        Line(-1, 0.1, "He cried, and I had *never* seen him cry before."),
        Line(0, 0.1, "My mother put a note on the board in the *harbour*."),
        Line(0, 0.0, "For three months there was no answer."),
        Line(1, 0.8, "And then a fisherman *found* it, can you believe that!"),
        Line(1, 0.6, "It was dirty, but it was safe, and we were so *glad*."),
        Line(1, 0.2, "We painted it *blue*, and we laughed all afternoon."),
        Line(0, -0.1, "The boat is mine now, and it lies under a tree."),
        Line(1, 0.3, "On Thursdays I take my daughter out, and she *sings*."),
    )),
    Recipe("interviews/first_day", "en-us+f2", 11.0, ".mp4", ".srt", None, (
        Line(-1, 0.3, "My first day at work was a *disaster*."),
        Line(-1, 0.1, "I broke the coffee machine, and I felt so *ashamed*."),
        Line(1, 0.5, "But everybody was kind, and now it is a good *joke*."),
    )),
)  # fmt: skip


def say(line: Line, voice: str, folder: Path) -> NDArray[np.float32]:
    """One line as sound at RATE, without the silence around it."""
    path = folder / "line.wav"
    text = "".join(
        f"<emphasis level='moderate'>{part}</emphasis>" if i % 2 else part
        for i, part in enumerate(line.text.split("*"))
    )
    pitch, speed = round(50 + 20 * line.arousal), round(165 + 15 * line.arousal)
    loudness = round(60 + 25 * line.arousal)  # of 200; beyond 100 it clips
    arguments = ["-v", voice, "-p", str(pitch), "-s", str(speed), "-a", str(loudness)]
    subprocess.run(["espeak-ng", "-m", *arguments, "-w", str(path), text], check=True)
    with wave.open(str(path)) as file:
        assert file.getframerate() == RATE, file.getframerate()
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    sound = data.astype(np.float32) / np.float32(32768)
    heard = np.flatnonzero(np.abs(sound) > 0.01)
    return sound[heard[0] : heard[-1] + 1]


def perform(recipe: Recipe, folder: Path) -> tuple[NDArray[np.float32], tuple[Spoken, ...]]:
    """The sound of a recipe, with pauses that fill its length, and what is said when."""
    spoken = [say(line, recipe.voice, folder) for line in recipe.lines]
    total = round(recipe.seconds * RATE)
    silence = recipe.seconds - LEAD - TAIL - sum(map(len, spoken)) / RATE
    pause = silence / max(1, len(spoken) - 1)
    if pause < SHORTEST_PAUSE:
        raise click.ClickException(f"{recipe.name}: the words do not fit, pauses of {pause:.2f} s")
    sound, script, start = np.zeros(total, np.float32), [], LEAD
    for line, part in zip(recipe.lines, spoken, strict=True):
        first = round(start * RATE)
        sound[first : first + len(part)] = part
        end = start + len(part) / RATE
        script.append(Spoken(spread(line.text, start, end), line.polarity, line.arousal))
        start = end + pause
    return sound, tuple(script)


def spread(text: str, start: float, end: float) -> tuple[Word, ...]:
    """The words of a line over its time, by their syllables."""
    words = text.split()
    weights = np.array([syllables(word.replace("*", "")) + 0.3 for word in words])
    edges = start + (end - start) * np.concatenate([[0], weights.cumsum() / weights.sum()])
    times = edges.round(3).tolist()
    return tuple(
        Word(word.replace("*", ""), a, b, "*" in word)
        for word, a, b in zip(words, times[:-1], times[1:], strict=True)
    )


def face(sound: NDArray[np.float32], script: tuple[Spoken, ...], seed: int) -> ShownFace:
    """The simulated face that follows this sound and script."""
    seconds = len(sound) / RATE
    frames = round(seconds * FPS)
    edges = np.arange(frames) * RATE // FPS
    level = np.sqrt(np.add.reduceat(sound.astype(np.float64) ** 2, edges) / (RATE / FPS))
    followed = replace(tracks(script, seconds, FPS), envelope=level / np.quantile(level, 0.9))
    return speaker_face(np.random.default_rng(seed), followed, FPS)


def write_sound(path: Path, sound: NDArray[np.float32]) -> None:
    """Write sound in the format of the path's extension; mp4 also gets a plain grey picture."""
    data = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
    if path.suffix == ".wav":
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
            file.writeframes(data.tobytes())
        return
    # without bitexact an ogg file gets a random serial number
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        codec, rate = CODECS[path.suffix]
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        if path.suffix == ".mp4":
            write_picture(container, len(sound) / RATE)
        frame = av.AudioFrame.from_ndarray(data[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate)
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            container.mux(stream.encode(part))


def write_picture(container: OutputContainer, seconds: float) -> None:
    """A grey video of this length: only the sound of a video is used."""
    stream = container.add_stream("mpeg4", rate=FPS)
    assert isinstance(stream, av.VideoStream)
    stream.width = stream.height = PICTURE
    stream.pix_fmt = "yuv420p"
    grey = np.full((PICTURE, PICTURE, 3), 128, np.uint8)
    for number in range(round(seconds * FPS)):
        frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def clock(seconds: float, mark: str) -> str:
    """00:00:01,250 with the mark before the milliseconds."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    return f"00:{minutes:02d}:{second:02d}{mark}{milliseconds:03d}"


def transcript(script: tuple[Spoken, ...], suffix: str) -> str:
    """The words of a script as srt, vtt, json or txt."""
    said = [spoken.utterance for spoken in script]
    if suffix == ".txt":
        return " ".join(utterance.text for utterance in said) + "\n"
    if suffix == ".json":
        return json.dumps(segments(script), indent=1) + "\n"
    mark = "," if suffix == ".srt" else "."
    cues = [f"{clock(u.start, mark)} --> {clock(u.end, mark)}\n{u.text}\n" for u in said]
    if suffix == ".srt":
        return "\n".join(f"{number}\n{cue}" for number, cue in enumerate(cues, 1))
    return "WEBVTT\n\n" + "\n".join(cues)


def write_face(stem: Path, kind: str, shown: ShownFace) -> None:
    """Write the coefficients or attributes as npy, or the attributes as csv with a header."""
    stream, suffix = kind.split(".")
    values = getattr(shown, stream)
    if suffix == "npy":
        np.save(stem.with_suffix(".npy"), values)
        return
    with stem.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(ATTRIBUTE_NAMES)
        for row in values.tolist():
            units = [f"{value:.0f}" for value in row[AU_SLICE]]
            table.writerow([*units, *(f"{value:.4f}" for value in row[AU_SLICE.stop :])])


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path(__file__).parent / "clips",
    help="Folder to write to; its clips are replaced.",
)
def main(output: Path) -> None:
    """Make the example clips."""
    if shutil.which("espeak-ng") is None:
        raise click.ClickException("espeak-ng is not installed (apt-get install espeak-ng)")
    for seed, recipe in enumerate(RECIPES):
        stem = output / recipe.name
        stem.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            sound, script = perform(recipe, Path(folder))
        write_sound(stem.with_suffix(recipe.sound), sound)
        if recipe.words is not None:
            text = transcript(script, recipe.words)
            stem.with_suffix(recipe.words).write_text(text, encoding="utf-8")
        if recipe.face is not None:
            write_face(stem, recipe.face, face(sound, script, seed))
        click.echo(f"{recipe.name}: {recipe.seconds:g} s, {len(recipe.lines)} lines")


if __name__ == "__main__":
    main()
