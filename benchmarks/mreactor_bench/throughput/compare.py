"""Two settings in turns, A B, B A, A B, ...: what else the machine does then hits both alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from mreactor_bench.throughput.measure import Bench, TimedRow, percentile
from mreactor_bench.throughput.setting import Setting, TimingPlan
from mreactor_bench.throughput.worker import RunnerProcess
from mreactor_runtime.engines.names import TORCH

# Between the two: idle threads of a runner go on spinning for up to 200 ms, and would take cores.
REST = 0.3  # seconds
QUARTILES = (25, 75)


@dataclass(frozen=True)
class Comparison:
    """Two settings, call by call.

    Attributes:
        a, b: rows whose `seconds` are paired by place.
    """

    a: TimedRow
    b: TimedRow

    @property
    def ratios(self) -> tuple[float, ...]:
        """Of each pair: seconds a clip of A over those of B. Above 1, B is the faster."""
        clips = self.b.setting.batch_size / self.a.setting.batch_size
        pairs = zip(self.a.seconds, self.b.seconds, strict=True)
        return tuple(clips * a / b for a, b in pairs)

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of the pairs' ratios."""
        low, high = (percentile(self.ratios, p) for p in QUARTILES)
        return low, high

    def summary(self) -> str:
        """In a line."""
        low, high = self.spread
        return (
            f"B is {self.ratio:.2f} times as fast as A: median of {len(self.ratios)} pairs, "
            f"quartiles {low:.2f} to {high:.2f}, all {min(self.ratios):.2f} to "
            f"{max(self.ratios):.2f}. A: {self.a.setting.describe()}. "
            f"B: {self.b.setting.describe()}."
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "ratio": self.ratio,
            "quartiles": list(self.spread),
            "ratios": list(self.ratios),
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
        }


def in_turns(
    a: Callable[[], float],
    b: Callable[[], float],
    plan: TimingPlan,
    rest: float = REST,
    clock: Callable[[], float] = time.perf_counter,
) -> list[tuple[float, float]]:
    """The seconds of each pair of calls; every second pair begins with B.

    Alternating the order keeps what the first leaves behind (a warm clock, a full cache) from
    counting for one of them alone.
    """

    def rested(call: Callable[[], float]) -> float:
        time.sleep(rest)
        return call()

    for _ in range(plan.warm_up):
        rested(a)
        rested(b)
    started, pairs = clock(), []
    while len(pairs) < plan.repeats or clock() - started < plan.duration:
        if len(pairs) % 2:
            second = rested(b)
            pairs.append((rested(a), second))
        else:
            first = rested(a)
            pairs.append((first, rested(b)))
    return pairs


def compare(bench: Bench, a: Setting, b: Setting, rest: float = REST) -> Comparison:
    """Open both, check both, and time them in turns.

    Raises: as `Bench.measure`.
    """
    bench.say(f"comparing A, {a.describe()}, with B, {b.describe()}")
    with RunnerProcess(bench.weights, a) as first, RunnerProcess(bench.weights, b) as second:
        opened = [first.open(), second.open()]
        # The torch engine first: then its reactions are there to hold the other's against.
        order = sorted((0, 1), key=lambda i: opened[i].name != TORCH)
        checks = {i: bench.references.check((a, b)[i], opened[i]) for i in order}
        pairs = in_turns(first.call, second.call, bench.plan, rest)
        ends = [first.end(), second.end()]
    columns = list(zip(*pairs, strict=True))
    rows = [
        bench.row(setting, opened[i], tuple(columns[i]), ends[i], *checks[i])
        for i, setting in enumerate((a, b))
    ]
    return Comparison(*rows)
