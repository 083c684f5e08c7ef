"""How fast the slow measures are, in turns with the straightforward way, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mreactor_bench.metrics import straightforward
from mreactor_bench.throughput.compare import QUARTILES, in_turns
from mreactor_bench.throughput.measure import percentile
from mreactor_bench.throughput.setting import TimingPlan
from mreactor_ref.data.simulated.listener import STYLES, simulate_listener
from mreactor_ref.data.simulated.speaker import simulate_speaker
from mreactor_ref.metrics.appropriateness import frcorr, frdist
from mreactor_ref.metrics.compat import EDITIONS
from mreactor_ref.metrics.synchrony import frsyn
from mreactor_ref.signals import ATTRIBUTES, Array

FPS = 25.0
NOISE = 0.05  # so that no generated channel is 0 or 1, or constant: models are not so exact

SIMULATED, RANDOM = "simulated", "random"
KINDS = (SIMULATED, RANDOM)


@dataclass(frozen=True)
class Sample:
    """One clip to score: generated (S, T, 25), real R of (T, 25), speaker (T, 25)."""

    generated: Array
    real: list[Array]
    speaker: Array


@dataclass(frozen=True)
class Speed:
    """One measure, both ways.

    Attributes:
        ours, theirs: median seconds. ratio: median of the pairs' ratios, with their quartiles.
        difference: of the two values.
    """

    ours: float
    theirs: float
    ratio: float
    quartiles: tuple[float, float]
    value: float
    difference: float


def draw_sample(kind: str, samples: int, frames: int, real: int, seed: int = 0) -> Sample:
    """Reactions of simulated listeners, each to a speaker of its own; or uniform noise.

    Noise is the worst case: all distances are alike, so that no bound tells them apart.
    """
    rng = np.random.default_rng(seed)
    if kind == RANDOM:
        noise = rng.random((samples + real + 1, frames, ATTRIBUTES)).astype(np.float32)
        return Sample(noise[:samples], list(noise[samples:-1]), noise[-1])
    faces = [_listener(rng, frames) for _ in range(samples + real)]
    generated = np.stack(faces[:samples])
    generated += rng.normal(0, NOISE, generated.shape).astype(np.float32)
    speaker = simulate_speaker(rng, frames / FPS, FPS).face.attributes
    return Sample(generated, faces[samples:], speaker)


def measure_speed(sample: Sample, plan: TimingPlan, say: Callable[[str], None]) -> dict[str, Speed]:
    """FRCorr, FRDist and FRSyn of one clip. FRSyn is that of 2023, so that both count alike.

    The seconds are those that the thread computed, for others may use the machine, too.
    """
    generated, real, speaker = sample.generated, sample.real, sample.speaker
    ways: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        "FRCorr": (
            lambda: frcorr([generated], [real]),
            lambda: straightforward.frcorr(generated, real),
        ),
        "FRDist": (
            lambda: frdist([generated], [real]),
            lambda: straightforward.frdist(generated, real),
        ),
        "FRSyn": (
            lambda: frsyn([generated], [speaker], edition=EDITIONS["react2023"]),
            lambda: straightforward.frsyn(generated, speaker),
        ),
    }
    speeds: dict[str, Speed] = {}
    with threadpool_limits(1):
        for name, (ours, theirs) in ways.items():
            say(f"timing {name}")
            value, other = ours(), theirs()  # and compile
            pairs = in_turns(_timed(ours), _timed(theirs), plan, rest=0)
            ratios = [b / a for a, b in pairs]
            low, high = (percentile(ratios, p) for p in QUARTILES)
            seconds = median(a for a, _ in pairs), median(b for _, b in pairs)
            speeds[name] = Speed(*seconds, median(ratios), (low, high), value, abs(value - other))
    return speeds


def speed_rows(found: dict[str, Speed]) -> dict[str, dict[str, str]]:
    """For a table."""
    return {
        name: {
            "ours, ms": f"{1e3 * speed.ours:.3g}",
            "straightforward, ms": f"{1e3 * speed.theirs:.4g}",
            "times as fast": f"{speed.ratio:.3g}",
            "quartiles": "{:.3g} to {:.3g}".format(*speed.quartiles),
            "value": f"{speed.value:.6g}",
            "difference": f"{speed.difference:.1e}",
        }
        for name, speed in found.items()
    }


def _listener(rng: np.random.Generator, frames: int) -> Array:
    speaker = simulate_speaker(rng, frames / FPS, FPS)
    style = STYLES[str(rng.choice(list(STYLES)))]
    return simulate_listener(rng, speaker, style).attributes


def _timed(call: Callable[[], Any]) -> Callable[[], float]:
    def seconds() -> float:
        started = time.thread_time()
        call()
        return time.thread_time() - started

    return seconds
