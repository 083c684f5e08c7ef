"""Times of the fused sampler's parts: attention by tile, whole clips, single kernels.

On a GPU times are those of its own clock, between events. On a CPU the same code runs, with the
attention's eager twin, which has no tiles and skips nothing: a try of the measurement, no figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from mreactor_bench.throughput.weights import random_model
from mreactor_ref.config import ModelConfig
from mreactor_ref.schedule import SolverTable
from mreactor_runtime.engines.names import CUDA
from mreactor_runtime.engines.torch_cuda import TorchCudaEngine
from mreactor_runtime.kernels.cpu_attention import SKIPPED
from mreactor_runtime.kernels.gpu_attention import (
    TILES,
    Tile,
    decay_attention,
    launch_key_lengths,
    launch_tiled,
)
from mreactor_runtime.sampling import Sampler
from mreactor_runtime.tensors import CONDITIONAL, MODULATION, NOISY, example_inputs, graph_specs

# The one in use first; then others, of which more or fewer fit on a multiprocessor.
HALF_TILES: tuple[Tile, ...] = (TILES[2], (64, 64, 4, 3), (64, 32, 4, 2), (128, 64, 8, 2))
SKIPPING = (SKIPPED, 0.0)  # the weight of the keys that are not read: the one in use, and none
GUIDANCES = (1.0, 2.0)
KERNELS = 40  # rows of a profile: the rest takes next to nothing


@dataclass(frozen=True)
class Timing:
    """How calls are timed: how often at least, after the first."""

    device: torch.device
    repeats: int

    def milliseconds(self, call: Callable[[], object]) -> float:
        """The median of single calls."""
        call()
        return median(self._once(call) for _ in range(self.repeats))

    def _once(self, call: Callable[[], object]) -> float:
        if self.device.type != CUDA:
            started = time.perf_counter()
            call()
            return 1000 * (time.perf_counter() - started)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end)


def attention_times(
    config: ModelConfig, frames: int, samples: int, timing: Timing
) -> list[dict[str, Any]]:
    """One attention of a layer in bf16, for one branch's reactions and for both branches'."""
    width = config.width // config.heads
    rates = torch.logspace(-2, -0.3, config.heads, device=timing.device)  # 0.01 to 0.5
    lengths = torch.full((1,), frames, dtype=torch.int32, device=timing.device)
    on_gpu = timing.device.type == CUDA
    rows: list[dict[str, Any]] = []

    def add(reactions: int, about: dict[str, Any], call: Callable[[], Tensor]) -> None:
        rows.append({"reactions": reactions, **about, "milliseconds": timing.milliseconds(call)})

    for reactions in (samples, 2 * samples):
        q, k, v = (_normal(1, reactions, frames, config.heads, width, timing) for _ in range(3))
        if not on_gpu:
            twin = partial(decay_attention, q, k, v, rates, lengths)
            add(reactions, {"tile": None, "skipped": 0.0}, twin)
            continue
        longest = launch_key_lengths(k, lengths)
        add(reactions, {"tile": "key lengths"}, partial(launch_key_lengths, k, lengths))
        for tile, skipped in product(HALF_TILES, SKIPPING):
            call = partial(launch_tiled, q, k, v, rates, lengths, longest, tile, skipped)
            add(reactions, {"tile": tile, "skipped": skipped}, call)
    return rows


def _normal(clips: int, reactions: int, frames: int, heads: int, width: int, to: Timing) -> Tensor:
    """(B, S, H, T, d) in bf16, with the heads inside a frame, as the linear layers leave them."""
    shape = clips, reactions, frames, heads, width
    return torch.randn(shape, device=to.device).bfloat16().transpose(2, 3)


class Clips:
    """The fused sampler over random weights and random clips, `slots` of them side by side."""

    def __init__(
        self,
        config: ModelConfig,
        table: SolverTable,
        frames: int,
        samples: int,
        dtype: str,
        kernels: str,
        device: torch.device,
        slots: int = 1,
    ):
        self.slots = slots
        specs = graph_specs(config)
        engine = TorchCudaEngine(random_model(config), dtype, kernels, device.type)
        self._sampler, self._table = Sampler(engine, specs), table
        inputs = example_inputs(specs[CONDITIONAL], {"B": slots, "S": samples, "T": frames})
        self._inputs = {name: x.to(device) for name, x in inputs.items()}
        self._start, modulation = self._inputs.pop(NOISY), self._inputs.pop(MODULATION)
        self._modulation = modulation.expand(len(table), *modulation.shape)

    def close(self) -> None:
        """Let go of what was recorded."""
        self._sampler.close()

    def run(self, guidance: float) -> Tensor:
        """One run; the first of a guidance compiles and records."""
        given = self._inputs, self._start, self._table, self._modulation, guidance
        return self._sampler.run(*given, lambda step: self._start)


def clip_times(clips: Clips, steps: int, timing: Timing) -> list[dict[str, Any]]:
    """Whole clips, without and with guidance, so much for each; on a GPU one launch of a graph."""
    rows: list[dict[str, Any]] = []
    for guidance in GUIDANCES:
        of_all = timing.milliseconds(lambda guidance=guidance: clips.run(guidance))
        milliseconds = of_all / clips.slots
        rows.append(
            {
                "slots": clips.slots,
                "guidance": guidance,
                "milliseconds": milliseconds,
                "milliseconds_a_step": milliseconds / steps,
            }
        )
    return rows


def kernel_profile(clips: Clips, guidance: float, device: torch.device) -> list[dict[str, Any]]:
    """What one run takes, kernel by kernel, the longest first; operators on a CPU."""
    on_gpu = device.type == CUDA
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else ())]
    clips.run(guidance)
    with profile(activities=activities, acc_events=True) as profiled:
        clips.run(guidance)
        if on_gpu:
            torch.cuda.synchronize(device)
    rows = [
        {"name": event.key, "calls": event.count, "microseconds": _own_time(event, on_gpu)}
        for event in profiled.key_averages()
    ]
    rows = [row for row in rows if row["microseconds"]]
    return sorted(rows, key=lambda row: -row["microseconds"])[:KERNELS]


def _own_time(event: Any, on_gpu: bool) -> float:
    return event.self_device_time_total if on_gpu else event.self_cpu_time_total


def columns_of(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as lines of text, one a row."""
    shown = (
        "  ".join(f"{x:.4g}" if isinstance(x, float) else str(x) for x in row.values())
        for row in rows
    )
    return "\n".join(shown)
