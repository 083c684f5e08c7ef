"""MFCC on the video frame grid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.grid import frame_centres
from mreactor_ref.signals import MFCC_WIDTH, SAMPLE_RATE, Array

N_FFT = 1024  # 64 ms
N_MELS = 128
N_MFCC = MFCC_WIDTH // 3
DELTA_WIDTH = 9
DYNAMIC_RANGE = 80.0  # dB below the loudest band of the clip
MFCC_BLOCK = 4096  # frames at a time; bounds the memory of long sounds


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
    padded = np.pad(wave, (N_FFT // 2, short))  # as float32: of an hour it is 230 MB
    window = np.asarray(get_window("hann", N_FFT), np.float64)
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
