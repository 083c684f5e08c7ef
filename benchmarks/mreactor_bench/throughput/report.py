"""The report of a run: what it holds, its JSON and its Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mreactor_bench.report import PACKAGES, table, to_json
from mreactor_bench.throughput.ceiling import Ceiling, Rates, clip_operations
from mreactor_bench.throughput.compare import Comparison
from mreactor_bench.throughput.measure import TimedRow, clip_ceiling
from mreactor_bench.throughput.setting import PEERS, Setting, TimingPlan
from mreactor_bench.throughput.weights import Weights
from mreactor_runtime.bundle import versions

KIND = "throughput"
MORE_PACKAGES = ("onnx", "openvino", "tensorrt", "tensorrt-rtx", "triton", "matplotlib")
MIB, GIGA, TERA = 2**20, 1e9, 1e12

# What is inside a figure, and what is not.
EXPLANATIONS = {
    "Latency": "from a clip's features in host memory to its reactions in host memory, one call at "
    "a time: priors on frames, copies, encoder, noise, every step of the solver, natural units. "
    "It does not include reading and decoding files, making features, finding the priors of words, "
    "or writing. The median of the timed calls; p90 and p99 are the nearest rank of them, so with "
    "fewer than 100 calls p99 is the slowest.",
    "Clips, reactions, frames a second": "of a call, over the median latency. Frames are those of "
    "all reactions.",
    "Real-time factor": "seconds of computing for a second of a clip, all its reactions together; "
    "below 1 is faster than real time.",
    "Floor": "the larger of two times: operations by formula over the measured rate of a large "
    "square product of matrices in the same dtype, and bytes by formula over the measured "
    "bandwidth of a copy. The formula counts every pair of frames at the clip's own length: a "
    "runner that pads does more, one that skips frames far apart does less, and may pass 100 %.",
    "Share": "of the ceiling: the floor over the time of a clip.",
    "First result": "from a started interpreter to the first reactions in memory: imports, load "
    "and first call.",
    "Load": "from the weights on disk to a runner that can be called; without imports.",
    "Capture": "the first call beyond a median one: what is compiled, captured, allocated and "
    "cached. It is in no other figure but the first result; nor are the warm-up calls.",
    "Memory": "host: the most that the process of this setting held, with its packages and "
    "weights. Device: the most that PyTorch had allocated there; what an engine allocates by "
    "itself is in `device_taken_bytes` of the JSON.",
    "Relative L2": "of the first call's reactions against the torch engine's. A runner beyond its "
    "bound is not timed.",
    "Rows": "are measured one after another, each in a process of its own. Where a machine has "
    "other work, only the paired ratios of --compare tell two settings apart.",
}


@dataclass(frozen=True)
class Report:
    """Everything that a run found.

    Attributes:
        command: the line that was typed. device: of `machine.describe`.
        rates, rates_after: of the machine, before and after; their difference is its unrest.
        settings: what was asked for, in order. rows: what was measured of it.
        failures: what could not be measured, a line each.
    """

    command: str
    device: dict[str, Any]
    weights: Weights
    plan: TimingPlan
    rates: Rates
    rates_after: Rates
    settings: tuple[Setting, ...]
    rows: tuple[TimedRow, ...]
    comparisons: tuple[Comparison, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def all_rows(self) -> list[TimedRow]:
        """Those of comparisons, too."""
        return [*self.rows, *(row for c in self.comparisons for row in (c.a, c.b))]

    def to_json(self) -> str:
        """The record that is kept."""
        weights = self.weights
        return to_json(
            KIND,
            {
                "versions": versions(*PACKAGES, *MORE_PACKAGES),
                "command": self.command,
                "device": self.device,
                "model": {
                    "name": weights.name,
                    "checkpoint_sha256": weights.sha256,
                    "config": weights.config.to_dict(),
                },
                "plan": vars(self.plan),
                "rates": self.rates.to_dict(),
                "rates_after": self.rates_after.to_dict(),
                "ceilings": [
                    {
                        "setting": s.to_dict(),
                        **clip_ceiling(weights.config, self.rates, s).to_dict(),
                    }
                    for s in self.settings
                ],
                "rows": [row.to_dict() for row in self.rows],
                "comparisons": [comparison.to_dict() for comparison in self.comparisons],
                "failures": list(self.failures),
            },
        )

    def to_markdown(self) -> str:
        """The lines that a person reads first."""
        parts = [
            f"# Throughput of {self.weights.name}",
            machine_text(self.device, self.rates),
            f"Command: `{self.command}`",
            "## Ceiling",
            ceiling_markdown(self.weights, self.rates, self.settings),
            drift_text(self.rates, self.rates_after),
        ]
        if self.comparisons:
            lines = [f"- {comparison.summary()}" for comparison in self.comparisons]
            parts += ["## Comparisons", "\n".join(lines)]
        if rows := self.all_rows:
            parts += ["## Figures", table(ROW_COLUMNS, [row_cells(row) for row in rows])]
            parts += [table(COST_COLUMNS, [cost_cells(row) for row in rows])]
        if self.failures:
            parts += ["## Not measured", "\n".join(f"- {line}" for line in self.failures)]
        if peers := peers_in(self.settings):
            parts += ["## Peers", "\n".join(f"- **{name}**: {PEERS[name]}" for name in peers)]
        inside = [f"- **{name}**: {text}" for name, text in EXPLANATIONS.items()]
        return "\n\n".join([*parts, "## What is inside a figure", "\n".join(inside)]) + "\n"


def peers_in(settings: Sequence[Setting]) -> list[str]:
    """The peers among some settings, each once."""
    return [name for name in PEERS if any(setting.runner == name for setting in settings)]


def machine_text(device: dict[str, Any], rates: Rates) -> str:
    """The machine and its rates, in a line."""
    where = device.get("gpu") or f"{device['processor']}, {rates.threads} threads"
    matmul = ", ".join(f"{dtype} {rate / GIGA:.0f}" for dtype, rate in rates.matmul.items())
    return f"{where}: products of matrices {matmul} GFLOP/s, copy {rates.copy / GIGA:.1f} GB/s."


def drift_text(before: Rates, after: Rates) -> str:
    """How much the machine itself changed while it was measured."""
    drift = ", ".join(
        f"{dtype} {after.matmul[dtype] / before.matmul[dtype] - 1:+.0%}" for dtype in before.matmul
    )
    return f"Measured again at the end: products {drift}, copy {after.copy / before.copy - 1:+.0%}."


CEILING_COLUMNS = (
    *("frames", "reactions", "steps", "dtype", "TFLOP, guided", "TFLOP, unguided"),
    *("TFLOP, published loop", "GB", "floor s"),
)


def ceiling_rows(weights: Weights, rates: Rates, settings: Sequence[Setting]) -> list[list[str]]:
    """Operations, bytes and floor of each size and solver, once."""
    rows = {}
    for s in settings:
        floor: Ceiling = clip_ceiling(weights.config, rates, s)
        steps, guided = s.solver.steps, s.solver.guided
        sizes = (weights.config, s.samples, s.frames, steps)
        rows[(s.frames, s.samples, steps, s.dtype, guided, s.batch_size)] = [
            *(f"{s.frames}", f"{s.samples}", f"{steps}", s.dtype),
            f"{clip_operations(*sizes, guided=True) / TERA:.3g}",
            f"{clip_operations(*sizes, guided=False) / TERA:.3g}",
            f"{floor.published / TERA:.3g}",
            f"{floor.bytes / GIGA:.3g}",
            f"{floor.seconds:.3g}",
        ]
    return list(rows.values())


def ceiling_markdown(weights: Weights, rates: Rates, settings: Sequence[Setting]) -> str:
    """The table of `ceiling_rows`; the floor is that of the setting's own guidance."""
    return table(CEILING_COLUMNS, ceiling_rows(weights, rates, settings))


ROW_COLUMNS = (
    *("runner", "dtype", "batch", "frames", "solver", "clips/s", "reactions/s", "frames/s"),
    *("real-time factor", "median s", "p90 s", "p99 s", "calls", "share"),
)
COST_COLUMNS = (
    *("runner", "dtype", "batch", "frames", "solver", "first result s", "load s", "capture s"),
    *("host MiB", "device MiB", "relative L2"),
)


def _names(row: TimedRow) -> list[str]:
    s, solver = row.setting, row.setting.solver
    guidance = f" g{solver.guidance_scale:g}" if solver.guided else ""
    return [
        *(row.name, s.dtype, f"{s.batch_size}", f"{s.frames}x{s.samples}"),
        f"{solver.scheduler} {solver.steps}{guidance}",
    ]


def row_cells(row: TimedRow) -> list[str]:
    """The cells of ROW_COLUMNS; frames are frames x reactions."""
    f = row.figures()
    rates = ("clips_per_second", "reactions_per_second", "frames_per_second", "real_time_factor")
    times = ("latency_median", "latency_p90", "latency_p99")
    return [
        *_names(row),
        *(f"{f[name]:.3g}" if f[name] < 1000 else f"{f[name]:.0f}" for name in rates),
        *(f"{f[name]:.3g}" for name in times),
        f"{len(row.seconds)}",
        f"{row.share:.0%}",
    ]


def cost_cells(row: TimedRow) -> list[str]:
    """The cells of COST_COLUMNS."""
    opened, device = row.opened, row.memory.device
    capture = max(opened.first_seconds - row.latency, 0.0)
    return [
        *_names(row),
        *(f"{x:.3g}" for x in (row.first_result, opened.load_seconds, capture)),
        f"{row.memory.host / MIB:.0f}",
        "" if device is None else f"{device / MIB:.0f}",
        "" if row.relative is None else f"{row.relative:.1e}",
    ]
