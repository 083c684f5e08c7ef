"""Files that no clip can be made of, of many kinds, each written by a function of a folder and a
name without suffix."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.lib.format import write_array_header_1_0

from mreactor_ref.signals import ATTRIBUTE_NAMES, COEFFICIENTS, SAMPLE_RATE

Write = Callable[[Path, str], object]

SPARSE = 3 << 30  # bytes that take no room on the disk
HEADER = ",".join(ATTRIBUTE_NAMES) + "\n"
ROW = ",".join(["0"] * len(ATTRIBUTE_NAMES)) + "\n"
CUE = "1\n00:00:00,500 --> 00:50:00,500\nhello\n\n2\n00:50:00,500 --> 01:40:00,500\nyou\n"


def content(suffix: str, data: bytes | str | Callable[[], bytes]) -> Write:
    def write(folder: Path, name: str) -> None:
        value = data() if callable(data) else data
        (folder / f"{name}{suffix}").write_bytes(
            value.encode() if isinstance(value, str) else value
        )

    return write


@cache
def sound(
    seconds: float = 1.0, rate: int = SAMPLE_RATE, form: str = "wav", **options: str
) -> bytes:
    file = io.BytesIO()
    wave = np.random.default_rng(0).normal(0, 0.1, round(seconds * rate)).clip(-1, 1)
    soundfile.write(file, wave, rate, format=form, **options)
    return file.getvalue()


@cache
def hours(count: int) -> bytes:
    """A silent sound, of few bytes."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 4000, 1, format="flac") as sound:
        for _ in range(60 * count):
            sound.write(np.zeros(4000 * 60))
    return file.getvalue()


def nan_sound() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.full(SAMPLE_RATE, np.nan), SAMPLE_RATE, "FLOAT", format="wav")
    return file.getvalue()


def array(values: object, **options: bool) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(values), **options)
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.zeros((9, COEFFICIENTS)))
    return file.getvalue()


def declared(rows: int) -> bytes:
    file = io.BytesIO()
    head = {"descr": "<f4", "fortran_order": False, "shape": (rows, COEFFICIENTS)}
    write_array_header_1_0(file, head)
    return file.getvalue()


def sparse(suffix: str, start: bytes | str = b"") -> Write:
    def write(folder: Path, name: str) -> None:
        content(suffix, start)(folder, name)
        os.truncate(folder / f"{name}{suffix}", SPARSE)

    return write


def named(change: str) -> Write:
    return lambda folder, name: content(".npy", good)(folder, change.format(name))


def below(kind: str) -> Write:
    """In a folder that is named as a result is."""

    def write(folder: Path, name: str) -> None:
        (folder / kind).mkdir(exist_ok=True)
        content(".npy", good)(folder / kind, name)

    return write


def good() -> bytes:
    return array(np.random.default_rng(0).normal(size=(20, COEFFICIENTS)).astype(np.float32))


FACE = np.zeros((30, COEFFICIENTS), np.float32)
FAIL: dict[str, Write] = {
    "empty wav": content(".wav", b""),
    "text as wav": content(".wav", "no sound at all\n" * 9),
    "wav cut short": content(".wav", lambda: sound(4.0)[:20_000]),
    "wav of NaN": content(".wav", nan_sound),
    "wav of 1 Hz": content(".wav", lambda: sound()[:24] + b"\1\0\0\0" + sound()[28:]),
    "wav without samples": content(".wav", lambda: sound(0.0)),
    "noise as mp3": content(".mp3", lambda: bytes(np.random.default_rng(1).bytes(5000))),
    "noise as flac": content(".flac", lambda: b"fLaC" + np.random.default_rng(2).bytes(5000)),
    "text as mp4": content(".mp4", "no video"),
    "mp4 of a header": content(".mp4", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2"),
    "script of other files": content(".wav", "ffconcat version 1.0\nfile good-000.npy\n"),
    "playlist": content(".wav", "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"),
    "sound of three hours": content(".flac", lambda: hours(3)),
    "text as npy": content(".npy", "no array"),
    "empty npy": content(".npy", b""),
    "pickles": content(".npy", lambda: array([[{}] * COEFFICIENTS], allow_pickle=True)),
    "text in npy": content(".npy", lambda: array([["a"] * COEFFICIENTS] * 9)),
    "NaN in npy": content(".npy", lambda: array(FACE * np.nan)),
    "npz as npy": content(".npy", archive),
    "npy that declares more than it holds": content(".npy", lambda: declared(10**7)),
    "npy that declares and holds 3 GiB": sparse(".npy", declared(10**7)),
    "sparse npy": sparse(".npy"),
    "face of two days": content(".npy", lambda: array(np.zeros((200_000, 58), np.int8))),
    "words in a csv": content(".csv", HEADER + ROW.replace("0", "zero")),
    "csv without rows": content(".csv", HEADER),
    "csv of uneven rows": content(".csv", HEADER + ROW + "1,2\n" + ROW),
    "noise as csv": content(".csv", b"\xff\xfe\x00\x80" * 99),
    "csv that goes on for 3 GiB": sparse(".csv", HEADER + ROW * 99),
    "empty srt": content(".srt", b""),
    "srt without cues": content(".srt", "hello\n"),
    "srt of an hour and a half alone": content(".srt", CUE),
    "noise as vtt": content(".vtt", b"\x00\x01\x02\x81" * 99),
    "half a json": content(".json", '{"segments": [{"start": 1'),
    "deep json": content(".json", "[" * 100_000),
    "huge json": sparse(".json", json.dumps({"segments": []})),
    "no TextGrid": content(".TextGrid", "hello"),
    "newline in a name": named("{}\nFailed: forged"),
    "escape codes in a name": named("{}\x1b[2J"),
    "a name that is not UTF-8": named("{}\udcff"),
    "a name too long for results": named("{}" + "n" * 225),
    "a folder named like a result": below("good-000.npz"),
    "a folder named like the record": below("run.json"),
}
# Beside clips, and named in a note.
LEFT: dict[str, Write] = {
    "FIFO": lambda folder, name: os.mkfifo(folder / f"{name}.wav"),
    "endless device": lambda folder, name: (folder / f"{name}.srt").symlink_to("/dev/zero"),
    "link to nothing": lambda folder, name: (folder / f"{name}.npy").symlink_to("nowhere"),
    "the system's files": lambda folder, name: (folder / name).symlink_to("/proc"),
}


def write_hostile(folder: Path, count: int) -> tuple[int, list[str]]:
    """Write so many bad files, all kinds of FAIL in turn, and one of each of LEFT.

    Returns: how many clips fail, and the names of files that are left with a note.
    """
    kinds = [*FAIL.values()]
    fails = count - len(LEFT)
    for number in range(fails):
        kinds[number % len(kinds)](folder, f"bad-{number:03}")
    for number, write in enumerate(LEFT.values()):
        write(folder, f"left-{number}")
    return fails, [f"left-{number}" for number in range(len(LEFT))]
