"""Progress listeners, a clip's outcome, and the summary of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

# To prepare is to compile and record for the lengths of the clips, before they are sampled.
DECODE, PREPARE, SAMPLE, WRITE = STAGES = ("decode", "prepare", "sample", "write")


@dataclass(frozen=True)
class Outcome:
    """The outcome of one clip; `error` is None where it is done.

    `milliseconds` are those of its own reading, sampling and writing; clips that are sampled
    together share the time of that evenly. `missing` are the streams that it does not have.
    """

    clip_id: str
    reactions: int
    milliseconds: float
    error: str | None = None
    missing: tuple[str, ...] = ()


class Progress(Protocol):
    """A listener to a run: called one at a time, but not always from the same thread."""

    def begin(self, clips: int) -> None:
        """The run starts, with so many clips to do."""
        ...

    def say(self, text: str) -> None:
        """Something the user should know, once."""
        ...

    def reached(self, clip_id: str, stage: str, part: float) -> None:
        """So much of a stage of a clip (`mreactor_ref.stages`) is done, from 0 to 1."""
        ...

    def finished(self, outcome: Outcome) -> None:
        """A clip is done, or has failed."""
        ...


class Silent:
    """Tells nobody; the summary keeps the notes."""

    def begin(self, clips: int) -> None: ...

    def say(self, text: str) -> None: ...

    def reached(self, clip_id: str, stage: str, part: float) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...


@dataclass
class Summary:
    """The figures and notes of a run.

    Attributes:
        output: a folder, or a URL.
        clips: all of the input, or of its shard. kept: of these, done by an earlier run.
        done, reactions: by this run. seconds: from its first clip to its last, on the wall.
        failed: clip id -> error. notes: what was said on the way.
        missing: modality -> clips that have none of it.
        stopped: whether more than `max_errors` failed, so that clips were left undone.
        stages: seconds spent in each of STAGES. They overlap, so they may add up to more than
            `seconds`.
        device_seconds: how long the device worked, by its own clock; of several all together.
        devices: what each process says of itself, where there were several.
    """

    output: Path | str
    clips: int
    kept: int = 0
    done: int = 0
    reactions: int = 0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
    missing: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    stopped: bool = False
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    device_seconds: float = 0.0
    devices: list[dict[str, Any]] = field(default_factory=list)

    @property
    def working_seconds(self) -> float:
        """Of `seconds` those that were not for preparing; of several processes by their mean."""
        return self.seconds - self.stages[PREPARE] / max(1, len(self.devices))

    @property
    def sampler_busy(self) -> float:
        """The share of that time in which the device worked; of several processes the mean."""
        if self.devices:
            return sum(device["sampler_busy"] for device in self.devices) / len(self.devices)
        return self.device_seconds / self.working_seconds if self.working_seconds > 0 else 0.0

    @property
    def left(self) -> int:
        """Clips that were not tried."""
        return self.clips - self.kept - self.done - len(self.failed)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without what the manifest says already."""
        told = {
            "clips": self.clips,
            "kept": self.kept,
            "done": self.done,
            "failed": len(self.failed),
            "stopped": self.stopped,
            "reactions": self.reactions,
            "seconds": round(self.seconds, 3),
            "stages": {name: round(seconds, 3) for name, seconds in self.stages.items()},
            "device_seconds": round(self.device_seconds, 3),
            "sampler_busy": round(self.sampler_busy, 4),
            "missing": dict(self.missing),
            "notes": self.notes,
        }
        return told | ({"devices": self.devices} if self.devices else {})
