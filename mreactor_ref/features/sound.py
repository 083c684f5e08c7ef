"""Sound: decoding of any usual file, and MFCC on the video frame grid."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import ClipError
from mreactor_ref.features.grid import frame_centres
from mreactor_ref.signals import MFCC_WIDTH, SAMPLE_RATE, Array

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream
    from av.container import InputContainer

# A file may end this much before the end that it declares: encoders pad, clocks round.
TRUNCATION_SECONDS = 0.5
TRUNCATION_SHARE = 0.02
# ffmpeg's demuxers that may open a clip. Playlists are left out: they open other files.
OPTIONS = {"format_whitelist": "wav,w64,aiff,flac,mp3,ogg,aac,mov,matroska,avi"}
# Sizes at or above this in a wav mean "unknown": the writer could not seek back (a pipe).
WAV_UNKNOWN_SIZE = 0x7FFF_F000

# Outside of these a header is damaged, and would ask for any amount of memory.
MIN_RATE, MAX_RATE = 4_000, 768_000  # Hz
MAX_LEAD_SECONDS = 60.0

MICROSECONDS = 1_000_000  # the unit of a container's own times

N_FFT = 1024  # 64 ms
N_MELS = 128
N_MFCC = MFCC_WIDTH // 3
DELTA_WIDTH = 9
DYNAMIC_RANGE = 80.0  # dB below the loudest band of the clip
MFCC_BLOCK = 4096  # frames at a time; bounds the memory of long sounds


def load_sound(path: str | Path) -> Array:
    """Decode a sound file, or the sound of a video, to (N,) float32 mono at SAMPLE_RATE.

    Channels are averaged, so a sound stored twice is as loud as the same sound stored once.
    A sound that begins later than the picture of its video gets silence before it.
    Packets that do not decode are skipped, as players do, unless too much is lost.

    Raises:
        ClipError: not readable, no sound inside, no samples, cut short (more than
            TRUNCATION_SECONDS and TRUNCATION_SHARE of the declared length is missing), or
            samples that are not finite.
    """
    import av
    from av.error import FFmpegError

    path = Path(path)
    try:
        # "file:", or a colon in a name would make a network address of it
        address = f"file:{path}"
        with av.open(address, "r", options=OPTIONS, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise ClipError("has no sound", path, "give a file with a sound track")
            stream = container.streams.audio[0]
            if not MIN_RATE <= stream.rate <= MAX_RATE:
                raise ValueError(f"a sample rate of {stream.rate} Hz")
            declared = _declared_seconds(container, stream, path)
            wave, lost = _decode(container, stream)
    except (FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClipError(
            f"cannot be read as sound: {reason}", path, "check that it plays, or convert it to wav"
        ) from error
    if len(wave) == 0:
        raise ClipError("holds no samples that can be read", path, "record or convert it again")
    _check_complete(path, len(wave) / SAMPLE_RATE, declared, lost)
    if not np.isfinite(wave).all():
        raise ClipError(
            "has samples that are not finite (NaN or infinity)", path, "convert it to 16-bit wav"
        )
    return wave


def _decode(container: InputContainer, stream: AudioStream) -> tuple[Array, float]:
    """Return ((N,) the samples, seconds of the packets that did not decode)."""
    from av import AudioResampler
    from av.error import FFmpegError

    resampler = AudioResampler(format="fltp", rate=SAMPLE_RATE)
    blocks: list[NDArray[np.floating]] = []
    lost = 0.0
    for packet in container.demux(stream):
        try:
            decoded = packet.decode()
        except FFmpegError:
            lost += float((packet.duration or 0) * (packet.time_base or 0))
            continue
        for frame in decoded:
            if not blocks:
                blocks.append(np.zeros(_lead_samples(container, frame)))
            blocks += [out.to_ndarray().mean(axis=0) for out in resampler.resample(frame)]
    if blocks:  # a resampler that saw no frame cannot be flushed
        blocks += [out.to_ndarray().mean(axis=0) for out in resampler.resample(None)]
    wave = np.concatenate(blocks) if blocks else np.zeros(0)
    return wave.astype(np.float32, copy=False), lost


def _lead_samples(container: InputContainer, first: AudioFrame) -> int:
    """Samples of silence before a sound that begins later than the picture of its video."""
    start = cast("int | None", container.start_time)  # it may be unknown
    if not container.streams.video or first.time is None or start is None:
        return 0
    lead = first.time - start / MICROSECONDS
    if lead > MAX_LEAD_SECONDS:
        raise ValueError(f"begins {lead:.0f} s after the picture")
    return max(0, round(lead * SAMPLE_RATE))


def _check_complete(path: Path, decoded: float, declared: float | None, lost: float) -> None:
    """Raise ClipError if clearly less was decoded than the file declares (seconds)."""
    total = max(declared or 0.0, decoded + lost)
    if total - decoded > max(TRUNCATION_SECONDS, TRUNCATION_SHARE * total):
        raise ClipError(
            f"is cut short or damaged: {decoded:.1f} s of {total:.1f} s can be read",
            path,
            "copy the file again",
        )


def _declared_seconds(container: InputContainer, stream: AudioStream, path: Path) -> float | None:
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


def _wav_declared_share(path: Path) -> float:
    """Declared bytes of the data chunk over the bytes that are there; 1 where not declared."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                there = size - file.tell()
                return length / there if 0 < there < length < WAV_UNKNOWN_SIZE else 1.0
            file.seek(length + length % 2, 1)
    return 1.0


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


@lru_cache(maxsize=2)
def _mel_filters(rate: int) -> NDArray[np.float64]:
    """(N_FFT / 2 + 1, N_MELS): triangles, Slaney's scale and norm."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=N_FFT // 2 + 1,
        num_mel_filters=N_MELS,
        min_frequency=0.0,
        max_frequency=rate / 2,
        sampling_rate=rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return np.asarray(filters, np.float64)


def mfcc(wave: Array, fps: float, frames: int, rate: int = SAMPLE_RATE) -> Array:
    """MFCC on the video frame grid: 26 coefficients, their first and their second differences.

    Window k is centred on (k + 0.5) / fps seconds, rounded to a sample: a frame rate need not
    divide the sample rate. Beyond the ends the sound is zero. Settings are librosa's defaults
    with 1024 points: Hann, Slaney mel, 80 dB range, orthonormal DCT-II, differences by
    Savitzky-Golay of width 9.

    Args:
        wave: (N,) samples.
        fps: frames a second.
        frames: T.
        rate: samples a second.

    Returns:
        (T, 78) float32.
    """
    from scipy.fft import dct, rfft
    from scipy.signal import get_window
    from transformers.audio_utils import power_to_db

    if frames == 0:
        return np.zeros((0, MFCC_WIDTH), np.float32)
    starts = np.rint(frame_centres(fps, frames) * rate).astype(np.int64)  # after the padding
    short = max(0, int(starts[-1]) + N_FFT // 2 - len(wave))
    padded = np.pad(np.asarray(wave, np.float64), (N_FFT // 2, short))
    window = get_window("hann", N_FFT)
    filters = _mel_filters(rate)
    mel = np.empty((frames, N_MELS))
    for first in range(0, frames, MFCC_BLOCK):
        block = starts[first : first + MFCC_BLOCK, None] + np.arange(N_FFT)
        power = np.abs(np.asarray(rfft(padded[block] * window))) ** 2
        mel[first : first + MFCC_BLOCK] = power @ filters
    decibels = power_to_db(mel, min_value=1e-10, db_range=DYNAMIC_RANGE)
    base = np.asarray(dct(decibels, type=2, norm="ortho"))[:, :N_MFCC]
    streams = [base, _difference(base, 1), _difference(base, 2)]
    return np.concatenate(streams, axis=1, dtype=np.float32)


def _difference(values: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """(T, C) local slope (order 1) or curvature (order 2) of each channel over time.

    A track shorter than the filter is extended with its end values, so one frame gives zeros.
    """
    from scipy.signal import savgol_filter

    mode = "interp" if len(values) >= DELTA_WIDTH else "nearest"
    return np.asarray(
        savgol_filter(values, DELTA_WIDTH, deriv=order, polyorder=order, axis=0, mode=mode)
    )
