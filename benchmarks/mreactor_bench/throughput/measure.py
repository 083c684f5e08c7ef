"""How fast a setting is, with what it is held against: its floor, and the same reactions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from mreactor_bench.throughput.ceiling import Ceiling, Rates, ceiling
from mreactor_bench.throughput.setting import Setting, TimingPlan
from mreactor_bench.throughput.weights import Weights
from mreactor_bench.throughput.worker import Memory, OpeningTimes, RunnerProcess
from mreactor_export.parity.setup import BOUNDS
from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import MReactorError
from mreactor_ref.signals import Array
from mreactor_runtime.engines.names import TORCH

PERCENT = (90, 99)


class DifferentReactions(MReactorError):
    """A runner that is not timed, since it does not make the reactions that the reference makes."""


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank: a value that was measured, none that lies between two of them."""
    ordered = sorted(values)
    return ordered[max(math.ceil(percent / 100 * len(ordered)) - 1, 0)]


@dataclass(frozen=True)
class TimedRow:
    """The figures of one setting.

    Attributes:
        setting: what was asked for. name: of the runner that did it.
        seconds: of each timed call.
        opened: loading and the first call. memory: at its most.
        ceiling: of one clip. fps: of the clips.
        relative: L2 of the difference to the torch engine's reactions over that of these; None
            for these, and where no checkpoint is there to run it. bound: of `relative`.
    """

    setting: Setting
    name: str
    seconds: tuple[float, ...]
    opened: OpeningTimes
    memory: Memory
    ceiling: Ceiling
    fps: float
    relative: float | None
    bound: float

    @property
    def latency(self) -> float:
        """Seconds of a call, the median."""
        return median(self.seconds)

    @property
    def clips_a_second(self) -> float:
        return self.setting.batch_size / self.latency

    @property
    def first_result(self) -> float:
        """Seconds from a started interpreter to the first reactions in memory."""
        return self.opened.import_seconds + self.opened.load_seconds + self.opened.first_seconds

    @property
    def share(self) -> float:
        """Of the ceiling: the floor over the time of a clip."""
        return self.ceiling.seconds * self.clips_a_second

    def figures(self) -> dict[str, float]:
        """All figures, times in seconds."""
        setting, clips = self.setting, self.clips_a_second
        p90, p99 = (percentile(self.seconds, p) for p in PERCENT)
        return {
            "clips_per_second": clips,
            "reactions_per_second": clips * setting.samples,
            "frames_per_second": clips * setting.samples * setting.frames,
            "real_time_factor": 1 / (clips * setting.frames / self.fps),
            "latency_median": self.latency,
            "latency_p90": p90,
            "latency_p99": p99,
            "time_to_first_result": self.first_result,
            "share_of_ceiling": self.share,
        }

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "setting": self.setting.to_dict(),
            "runner": self.name,
            "threads": self.opened.threads,
            "figures": self.figures(),
            "ceiling": self.ceiling.to_dict(),
            "import_seconds": self.opened.import_seconds,
            "load_seconds": self.opened.load_seconds,
            "first_call_seconds": self.opened.first_seconds,
            "capture_or_compile_seconds": max(self.opened.first_seconds - self.latency, 0.0),
            "host_peak_bytes": self.memory.host,
            "device_peak_bytes": self.memory.device,
            "device_taken_bytes": self.memory.device_taken,
            "relative_to_torch": self.relative,
            "relative_bound": self.bound,
            "notes": list(self.opened.notes),
            "seconds": list(self.seconds),
        }


def timed(
    call: Callable[[], float], plan: TimingPlan, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, ...]:
    """The seconds of each call of a plan; `call` says how long it took."""
    for _ in range(plan.warm_up):
        call()
    started, seconds = clock(), []
    while len(seconds) < plan.repeats or clock() - started < plan.duration:
        seconds.append(call())
    return tuple(seconds)


def relative_error(found: Array, expected: Array) -> float:
    """L2 of the difference over that of the expected, in float64; NaN where one is in them."""
    if found.shape != expected.shape:
        return math.nan
    size = float(np.linalg.norm(expected.astype(np.float64)))
    return float(np.linalg.norm(found.astype(np.float64) - expected)) / (size or 1.0)


class References:
    """The torch engine's reactions of each size and solver, made once each."""

    def __init__(self, weights: Weights, say: Callable[[str], None]):
        self._weights, self._say = weights, say
        self._known: dict[tuple[Any, ...], Array] = {}

    def check(self, setting: Setting, opened: OpeningTimes) -> tuple[float | None, float]:
        """The relative error of a runner's first reactions, and its bound.

        Raises: DifferentReactions where it is beyond the bound.
        """
        bound = BOUNDS[setting.dtype].trajectory
        own = opened.name == TORCH and setting.dtype == "fp32"
        if own and setting.reactions not in self._known:
            self._known[setting.reactions] = opened.reactions
            return None, bound
        if self._weights.checkpoint is None:
            return None, bound
        relative = relative_error(opened.reactions, self._expected(setting))
        if not relative <= bound:  # false for NaN
            raise DifferentReactions(
                f"{setting.describe()}: its reactions are not those of the torch engine, relative "
                f"L2 {relative:.1e}, bound {bound:.0e}; it is not timed"
            )
        return relative, bound

    def _expected(self, setting: Setting) -> Array:
        key = setting.reactions
        if key not in self._known:
            torch_engine = replace(setting, runner=TORCH, dtype="fp32")
            self._say(f"checking against {torch_engine.describe()}")
            with RunnerProcess(self._weights, torch_engine) as worker:
                self._known[key] = worker.open().reactions
        return self._known[key]


@dataclass(frozen=True)
class Bench:
    """The parts that all measurements of a run share.

    Attributes:
        rates: of the machine. say: hears what is being done.
    """

    weights: Weights
    rates: Rates
    plan: TimingPlan
    references: References
    say: Callable[[str], None]

    def measure(self, setting: Setting) -> TimedRow:
        """Open, check, warm up, time.

        Raises: what the runner raises; DifferentReactions.
        """
        self.say(f"measuring {setting.describe()}")
        with RunnerProcess(self.weights, setting) as worker:
            opened = worker.open()
            relative, bound = self.references.check(setting, opened)
            seconds = timed(worker.call, self.plan)
            return self.row(setting, opened, seconds, worker.end(), relative, bound)

    def row(
        self,
        setting: Setting,
        opened: OpeningTimes,
        seconds: tuple[float, ...],
        memory: Memory,
        relative: float | None,
        bound: float,
    ) -> TimedRow:
        """A row of what was measured."""
        config = self.weights.config
        return TimedRow(
            setting=setting,
            name=opened.name,
            seconds=seconds,
            opened=opened,
            memory=memory,
            ceiling=clip_ceiling(config, self.rates, setting),
            fps=config.fps,
            relative=relative,
            bound=bound,
        )


def clip_ceiling(config: ModelConfig, rates: Rates, setting: Setting) -> Ceiling:
    """The floor of one clip of a setting."""
    return ceiling(
        config,
        rates,
        samples=setting.samples,
        frames=setting.frames,
        steps=setting.solver.steps,
        guided=setting.solver.guided,
        dtype=setting.dtype,
        clips=setting.batch_size,
    )
