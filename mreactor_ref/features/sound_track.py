"""One sound track of a file, decoded onto the clock of its container."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.container import LONGEST_SECONDS, TooLong
from mreactor_ref.features.sound_length import MICROSECONDS
from mreactor_ref.signals import SAMPLE_RATE, Array
from mreactor_ref.stages import SOUND, reached

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler, AudioStream
    from av.container import InputContainer

# A frame is put at its own time where that is this far from the end of the frame before it.
DRIFT_SECONDS = 0.05
OVERLAP_SECONDS = 0.5  # times that go back by more are those of another recording put behind
MAX_LEAD_SECONDS = 60.0  # before a sound; more would be a damaged header
MAX_GAP_SECONDS = 600.0  # within a sound, likewise
FULL_SCALE_UNITS = (2.0**15, 2.0**23, 2.0**31)  # of integers, which some writers leave in floats
MIN_INTEGER_PEAK = 32.0  # a float sound that reaches this is in one of those units
CENTRE, LOW = ("FC",), ("LFE", "LFE2")  # names of channels in PyAV


@dataclass
class Track:
    """The samples of one track at SAMPLE_RATE, with silence where its timestamps leave gaps.

    Attributes:
        rows: (2, N) left and right, or, of more channels, their mean and the centre; (1, N) mono.
        surround: whether the second row is the centre.
        lead: seconds of silence before the first sample.
        gaps: (start, length) in seconds of the silence put in later.
        steps_back: how often the timestamps started anew.
        lost: seconds of the packets that did not decode.
        broken: samples that were not finite, and are silence.
        unit: what full scale was in the file, where that was not 1.
    """

    rows: Array = field(default_factory=lambda: np.zeros((1, 0), np.float32))
    surround: bool = False
    lead: float = 0.0
    gaps: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    steps_back: int = 0
    lost: float = 0.0
    broken: int = 0
    unit: float = 1.0

    @property
    def seconds(self) -> float:
        return self.rows.shape[1] / SAMPLE_RATE

    @property
    def samples(self) -> int:
        return self.rows.size

    @property
    def silence(self) -> float:
        """Seconds of all gaps."""
        return sum(length for _, length in self.gaps)

    @property
    def level(self) -> float:
        """The root mean square of the louder row, full scale being 1."""
        if not self.rows.size:
            return 0.0
        squares = (np.einsum("n,n->", row, row, dtype=np.float64) for row in self.rows)
        return float(np.sqrt(max(squares) / self.rows.shape[1])) / self.unit


def decode_track(
    container: InputContainer, stream: AudioStream, declared: float | None = None
) -> Track:
    """Decode one track from the start of the container to its end.

    Time zero is the container's own, so that a sound that begins after the picture has silence
    before it. A packet that does not decode, or is not there, leaves a gap.

    Args:
        declared: seconds that the file says it lasts.

    Raises:
        ValueError: a start or a gap that no sound has, or samples that are no sound.
        TooLong: more than LONGEST_SECONDS.
    """
    from av.error import FFmpegError

    track = Track()
    clock = _Clock(container, track)
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except FFmpegError:
            track.lost += float((packet.duration or 0) * (packet.time_base or 0))
            continue
        for frame in frames:
            clock.add(frame)
        if frames and max(clock.seconds, declared or 0.0) > LONGEST_SECONDS:
            raise TooLong
        reached(SOUND, clock.seconds / declared if declared else 0.0)
    clock.end()
    return track


class _Clock:
    """Puts decoded frames on the clock: runs of frames without a gap are resampled together."""

    def __init__(self, container: InputContainer, track: Track):
        start = cast("int | None", container.start_time)  # it may be unknown
        self._zero = (start or 0) / MICROSECONDS if container.streams.video else None
        self._track = track
        self._blocks: list[Array] = []
        self._written = 0  # samples in blocks
        self._resampler: AudioResampler | None = None
        self._kind: tuple[object, ...] = ()
        self._origin = 0.0  # the time of the run's first sample
        self._heard = 0.0  # seconds of the run so far

    @property
    def seconds(self) -> float:
        """What was put down so far."""
        return self._written / SAMPLE_RATE

    def add(self, frame: AudioFrame) -> None:
        from av import AudioResampler

        kind = (frame.sample_rate, frame.layout.name, frame.format.name)
        if self._zero is None:  # a sound without a picture begins where it begins
            self._zero = frame.time or 0.0
        expected = self._origin + self._heard
        time = expected if frame.time is None else frame.time - self._zero
        first = self._resampler is None
        if not first and time < expected - OVERLAP_SECONDS:
            self._track.steps_back += 1  # the clock starts anew: what was heard stays
            self._zero += time - expected
            time = expected
        if first or kind != self._kind or abs(time - expected) > DRIFT_SECONDS:
            self._flush()
            self._move(time, first)
            self._resampler = AudioResampler(format="fltp", rate=SAMPLE_RATE)
            self._kind, self._origin, self._heard = kind, time, 0.0
        assert self._resampler is not None
        self._heard += frame.samples / frame.sample_rate
        for out in self._resampler.resample(self._finite(frame)):
            self._keep(out)

    def end(self) -> None:
        self._flush()
        rows = max((len(block) for block in self._blocks), default=1)
        even = [np.broadcast_to(block, (rows, block.shape[1])) for block in self._blocks]
        if even:
            self._track.rows = np.concatenate(even, axis=1)
        self._blocks.clear()
        peak = max(self._track.rows.max(initial=0.0), -self._track.rows.min(initial=0.0))
        if peak >= MIN_INTEGER_PEAK:
            units = [unit for unit in FULL_SCALE_UNITS if peak <= 1.01 * unit]
            if not units:
                raise ValueError(f"its samples reach {peak:.3g}, where 1 is full scale")
            self._track.unit = units[0]

    def _move(self, time: float, first: bool) -> None:
        """Go to the time at which a run begins: by silence, or over the end of the run before."""
        place = round(time * SAMPLE_RATE)
        gap = (place - self._written) / SAMPLE_RATE
        if first and gap > MAX_LEAD_SECONDS:
            raise ValueError(f"begins {gap:.0f} s after the picture")
        if gap > MAX_GAP_SECONDS:
            raise ValueError(f"its times leap by {gap:.0f} s")
        if first:
            self._track.lead = max(0.0, gap)
        elif gap > DRIFT_SECONDS:
            self._track.gaps.append((self._written / SAMPLE_RATE, gap))
        if gap > 0:
            self._blocks.append(np.zeros((1, place - self._written), np.float32))
            self._written = place
        while self._blocks and self._written > place:
            last = self._blocks.pop()
            self._written -= last.shape[1]
            if self._written < place:
                self._blocks.append(last[:, : place - self._written])
                self._written = place

    def _flush(self) -> None:
        if self._resampler is not None:  # one that saw no frame cannot be flushed
            for out in self._resampler.resample(None):
                self._keep(out)

    def _keep(self, frame: AudioFrame) -> None:
        values = np.asarray(frame.to_ndarray(), np.float32)
        if len(values) > 2:
            names = [channel.name for channel in frame.layout.channels]
            values = _centre_and_rest(values, names)
            self._track.surround = True
        self._blocks.append(values)
        self._written += values.shape[1]

    def _finite(self, frame: AudioFrame) -> AudioFrame:
        """The frame with silence for samples that are not finite, which a filter would spread."""
        if not frame.format.name.startswith(("flt", "dbl")):
            return frame
        values = cast("NDArray[np.float32]", frame.to_ndarray())
        wrong = ~np.isfinite(values)
        if not wrong.any():
            return frame
        self._track.broken += int(wrong.sum())
        values[wrong] = 0
        mended = type(frame).from_ndarray(values, frame.format.name, frame.layout.name)
        mended.sample_rate = frame.sample_rate
        mended.pts, mended.time_base = frame.pts, frame.time_base
        return mended


def _centre_and_rest(values: Array, names: list[str]) -> Array:
    """(2, N) the mean of the channels that are neither centre nor low, and the centre."""
    rest = [i for i, name in enumerate(names) if name not in (*CENTRE, *LOW)]
    centre = [i for i, name in enumerate(names) if name in CENTRE]
    mean = values[rest or slice(None)].mean(axis=0)
    return np.stack([mean, values[centre].mean(axis=0) if centre else mean])
