"""The length that the header of a sound file declares, and where its samples end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from av import AudioStream
    from av.container import InputContainer

MICROSECONDS = 1_000_000  # the unit of a container's own times
# Sizes at or above this in a wav, and 0, mean "unknown": the writer could not seek back (a pipe).
WAV_UNKNOWN_SIZE = 0x7FFF_F000
# Chunks that follow the samples of a wav, and how far from its end they are looked for.
WAV_TRAILERS = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"iXML", b"smpl", b"_PMX", b"JUNK")
WAV_TAIL = 4 << 20


def declared_seconds(container: InputContainer, stream: AudioStream, path: Path) -> float | None:
    """The length that the file's own header gives, or None where it gives none.

    A stream's duration is not always that: for wav ffmpeg shortens it to the bytes that are
    there, for mp3 without a Xing header it is a guess from the bit rate.
    """
    name = container.format.name
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
        if name == "wav":
            return seconds * _wav_declared_share(path)
        if name == "mp3" and not _has_xing(path):
            return None
        return seconds
    if tag := stream.metadata.get("DURATION"):  # matroska, "00:00:10.005000000"
        hours, minutes, rest = tag.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(rest)
    if container.duration is not None and not container.streams.video:
        return container.duration / MICROSECONDS
    return None


class WavData(NamedTuple):
    """The data chunk of a wav: where it starts, the bytes it declares, the bytes to the end."""

    start: int
    declared: int
    there: int

    @property
    def unknown(self) -> bool:
        return self.declared == 0 or self.declared >= WAV_UNKNOWN_SIZE


def _wav_data(file: BinaryIO, size: int) -> WavData | None:
    file.seek(12)
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            return WavData(file.tell(), length, size - file.tell())
        file.seek(length + length % 2, 1)
    return None


def _wav_declared_share(path: Path) -> float:
    """Declared bytes of the data chunk over the bytes that are there; 1 where not declared."""
    with path.open("rb") as file:
        data = _wav_data(file, path.stat().st_size)
    if data is None or data.unknown or not 0 < data.there < data.declared:
        return 1.0
    return data.declared / data.there


def wav_trailer_share(path: Path) -> float:
    """The part of a wav without a declared length that is other chunks after its samples.

    Such a file is read to its end, and what stands there would be heard as a bang. A chunk is
    known by its name and by a size that takes it to the end of the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        data = _wav_data(file, size)
        if data is None or not data.unknown or data.there <= 0:
            return 0.0
        first = max(data.start, size - WAV_TAIL)
        file.seek(first)
        tail = file.read()
    ends = {size, size + size % 2}
    places = (i for name in WAV_TRAILERS for i in _places(tail, name))
    trailers = [
        i for i in places if first + i + 8 + int.from_bytes(tail[i + 4 : i + 8], "little") in ends
    ]
    return (size - first - min(trailers)) / data.there if trailers else 0.0


def _places(tail: bytes, name: bytes) -> list[int]:
    places: list[int] = []
    i = tail.find(name)
    while i >= 0:
        places.append(i)
        i = tail.find(name, i + 1)
    return places


def _has_xing(path: Path) -> bool:
    """Whether the first frame of an mp3 carries the number of frames."""
    with path.open("rb") as file:
        head = file.read(10)
        tag = 0
        if head[:3] == b"ID3":  # its size is four 7-bit bytes
            sizes = zip(head[6:], (21, 14, 7, 0), strict=False)
            tag = 10 + sum((byte & 0x7F) << shift for byte, shift in sizes)
        file.seek(tag)
        frame = file.read(4096)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))
