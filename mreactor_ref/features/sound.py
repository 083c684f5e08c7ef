"""Sound: decoding of any usual file, or of the sound of a video, to one clean voice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mreactor_ref.errors import ClipError
from mreactor_ref.features.container import LONGEST, TooLong, open_container
from mreactor_ref.features.sound_length import declared_seconds, wav_trailer_share
from mreactor_ref.features.sound_mix import mix
from mreactor_ref.features.sound_track import Track, decode_track
from mreactor_ref.signals import SAMPLE_RATE, Array

# A file may end this much before the end that it declares: encoders pad, clocks round.
TRUNCATION_SECONDS = 0.5
TRUNCATION_SHARE = 0.02
# ffmpeg's demuxers that may open a clip. Playlists are left out: they open other files.
FORMATS = "wav,w64,aiff,flac,mp3,ogg,aac,mov,matroska,avi"

# Outside of these a header is damaged, and would ask for any amount of memory.
MIN_RATE, MAX_RATE = 4_000, 768_000  # Hz

LATE_SECONDS = 0.1  # silence before a sound that is worth a line
QUIET_TRACK = 0.01  # of the level of the loudest track: this one holds no voice beside it
MAX_BROKEN_SHARE = 0.1  # of samples that are not finite
RINGING = 32  # samples before a cut in which the resampler still sounds
FULL_SCALE, CLIPPED_SHARE = 0.98, 0.005  # more samples than this share at full scale: clipped


@dataclass(frozen=True)
class Sound:
    """The sound of a clip.

    Attributes:
        wave: (N,) float32 mono at SAMPLE_RATE; sample 0 is the start of the clip.
        warnings: one line for each thing that was mended, or should be known.
    """

    wave: Array
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return len(self.wave) / SAMPLE_RATE


def load_sound(path: str | Path) -> Array:
    """The wave of `read_sound`, (N,) float32 mono at SAMPLE_RATE."""
    return read_sound(path).wave


def read_sound(path: str | Path) -> Sound:
    """Decode a sound file, or the sound of a video.

    Samples stand where the timestamps put them: gaps are silence, and so is the time before a
    sound that begins later than the picture. Of several tracks the default one is taken, of
    several channels the voice (`sound_mix.mix`). Packets that do not decode are silence, unless
    too much is lost; so are samples that are not finite. Floats in the units of 16, 24 or 32-bit
    integers are scaled.

    Returns:
        The sound, with a line for each of these.

    Raises:
        ClipError: not readable, no sound inside, no samples, cut short (more than
            TRUNCATION_SECONDS and TRUNCATION_SHARE of the declared length is missing), longer
            than LONGEST_SECONDS, or mostly samples that are not finite.
    """
    from av.error import FFmpegError

    path = Path(path)
    try:
        track, declared, warnings = _best_track(path)
        trailer = wav_trailer_share(path) if path.suffix.lower() == ".wav" else 0.0
    except TooLong:
        problem = f"is a sound of more than {LONGEST}, the longest that is read"
        raise ClipError(problem, path, "cut it into several clips") from None
    except (FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClipError(
            f"cannot be read as sound: {reason}", path, "check that it plays, or convert it to wav"
        ) from error
    if not track.rows.size:
        raise ClipError("holds no samples that can be read", path, "record or convert it again")
    _check_complete(path, track, declared)
    if track.broken > MAX_BROKEN_SHARE * track.samples:
        raise ClipError(
            "has samples that are not finite (NaN or infinity)", path, "convert it to 16-bit wav"
        )
    wave, mixed = mix(track)
    warnings += _timing_lines(track) + _sample_lines(track) + mixed
    if trailer:
        wave = wave[: round(len(wave) * (1 - trailer))].copy()
        wave[-RINGING:] = 0
        warnings.append("its header tells no length: the chunks after its samples are cut off")
    clipped = float(np.mean(np.abs(wave) >= FULL_SCALE))
    if clipped > CLIPPED_SHARE:
        warnings.append(f"{100 * clipped:.1f} % of its samples are at full scale: it is clipped")
    return Sound(np.ascontiguousarray(wave), tuple(f"{path.name}: {line}" for line in warnings))


def _best_track(path: Path) -> tuple[Track, float | None, list[str]]:
    """The default track, or the loudest where that is silent; its declared seconds; lines.

    Raises:
        ClipError: there is no sound track.
        ValueError, FFmpegError: it cannot be read.
        TooLong: more than LONGEST_SECONDS.
    """
    first, declared, default, count = _track(path, None)
    if count == 1:
        return first, declared, []
    loudest, other = default, (first, declared)
    for i in range(count):  # of which no more than two are held
        if i != default and (track := _track(path, i)[:2])[0].level > other[0].level:
            loudest, other = i, track
    if first.level < QUIET_TRACK * other[0].level:
        line = f"sound track {default + 1} of {count} is silent: track {loudest + 1} is taken"
        return *other, [line]
    why = "" if default == 0 else ", marked as the default"
    return first, declared, [f"has {count} sound tracks: track {default + 1} is taken{why}"]


def _track(path: Path, index: int | None) -> tuple[Track, float | None, int, int]:
    """One track (None is the default), its declared seconds, its index, and how many there are."""
    from av.stream import Disposition

    with open_container(path, FORMATS) as container:
        streams = container.streams.audio
        if not streams:
            raise ClipError("has no sound", path, "give a file with a sound track")
        if index is None:
            marked = (i for i, s in enumerate(streams) if s.disposition & Disposition.default)
            index = next(marked, 0)
        stream = streams[index]
        if not MIN_RATE <= stream.rate <= MAX_RATE:
            raise ValueError(f"a sample rate of {stream.rate} Hz")
        declared = declared_seconds(container, stream, path)
        return decode_track(container, stream, declared), declared, index, len(streams)


def _check_complete(path: Path, track: Track, declared: float | None) -> None:
    """Raise ClipError if clearly less was decoded than the file declares."""
    total = max(declared or 0.0, track.seconds, track.seconds - track.silence + track.lost)
    missing = max(total - track.seconds, track.lost)
    if missing > max(TRUNCATION_SECONDS, TRUNCATION_SHARE * total):
        raise ClipError(
            f"is cut short or damaged: {total - missing:.1f} s of {total:.1f} s can be read",
            path,
            "copy the file again",
        )


def _timing_lines(track: Track) -> list[str]:
    lines: list[str] = []
    if track.lead > LATE_SECONDS:
        lines.append(f"begins {track.lead:.2f} s after the picture: silence before it")
    if track.gaps:
        start, _ = track.gaps[0]
        lines.append(f"{track.silence:.2f} s are missing, first at {start:.2f} s: silence there")
    if track.steps_back:
        lines.append(
            f"its times start anew {track.steps_back} times: taken as one sound after the other"
        )
    return lines


def _sample_lines(track: Track) -> list[str]:
    lines: list[str] = []
    if track.broken:
        lines.append(f"{track.broken} samples are not finite: silence there")
    if track.unit != 1.0:
        bits = round(np.log2(track.unit)) + 1
        lines.append(f"its samples are in the units of {bits}-bit integers: scaled")
    return lines
