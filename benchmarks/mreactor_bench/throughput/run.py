"""A whole run of `mreactor-bench throughput`: the ceiling, then every setting, then the report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from mreactor_bench.throughput.compare import Comparison, compare
from mreactor_bench.throughput.machine import describe, measure_rates
from mreactor_bench.throughput.measure import Bench, References, TimedRow
from mreactor_bench.throughput.peers import Unavailable
from mreactor_bench.throughput.report import Report, ceiling_markdown, machine_text
from mreactor_bench.throughput.setting import Setting, TimingPlan, change
from mreactor_bench.throughput.weights import Weights, find_weights, random_weights, with_exports
from mreactor_bench.throughput.worker import in_process
from mreactor_ref.errors import MReactorError, UsageError
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import AUTO, CPU, CUDA, TORCH


@dataclass(frozen=True)
class Request:
    """The options of a run.

    Attributes:
        model: a name or path. random: a config's name, whose weights are then random.
        runners: engines and peers. dtypes, batch_sizes, frames, steps: all products are measured.
        solver: options of it, by name, in place of the model's own; so are steps, if there are any.
        pair: the two of --compare, which are then measured alone.
        plan: how often. command: the line that was typed.
    """

    model: str
    random: str | None
    runners: tuple[str, ...]
    dtypes: tuple[str, ...]
    device: str
    batch_sizes: tuple[int, ...]
    frames: tuple[int, ...]
    steps: tuple[int, ...]
    samples: int
    solver: Mapping[str, Any]
    threads: int | None
    pair: tuple[str, str] | None
    plan: TimingPlan
    command: str


def run(
    request: Request, say: Callable[[str], None], show: Callable[[str], None]
) -> tuple[Report, MReactorError | None]:
    """Measure what was asked for.

    Args:
        say: hears what is being done. show: hears results: first the ceiling.
    Returns: the report, and the first failure. A failure ends its own setting alone, so that what
        else was asked for is not lost.
    Raises: UsageError: what cannot be measured at all.
    """
    with tempfile.TemporaryDirectory(prefix="mreactor-bench-") as folder:
        return _run(request, Path(folder), say, show)


def _run(
    request: Request, folder: Path, say: Callable[[str], None], show: Callable[[str], None]
) -> tuple[Report, MReactorError | None]:
    device = choose(request.device)
    weights = random_weights(request.random, folder) if request.random else None
    weights = weights or find_weights(request.model)
    settings = list_settings(request, weights, device)
    if len({setting.device for setting in settings}) > 1:
        raise UsageError("the two settings are on different devices", fix="compare on one device")
    device, dtypes = settings[0].device, [setting.dtype for setting in settings]
    wanted = [setting.dtype for setting in settings if setting.needs_graphs]
    weights = with_exports(weights, wanted, folder, say)
    say("measuring the machine")
    rates = in_process(measure_rates, device, dtypes, request.threads)
    show(machine_text(describe(device), rates))
    show(ceiling_markdown(weights, rates, settings))
    bench = Bench(weights, rates, request.plan, References(weights, say), say)
    rows: list[TimedRow] = []
    comparisons: list[Comparison] = []
    failures: list[MReactorError] = []
    if request.pair:
        comparisons.append(compare(bench, settings[0], settings[1]))
    for setting in [] if request.pair else settings:
        try:
            rows.append(bench.measure(setting))
        except MReactorError as error:
            say(f"not measured: {error}")
            failures.append(error)
    say("measuring the machine again")
    report = Report(
        command=request.command,
        device=describe(device),
        weights=weights,
        plan=request.plan,
        rates=rates,
        rates_after=in_process(measure_rates, device, dtypes, request.threads),
        settings=tuple(settings),
        rows=tuple(rows),
        comparisons=tuple(comparisons),
        failures=tuple(str(error) for error in failures),
    )
    # A peer that a machine cannot run is a finding, and no failure of what was asked for.
    serious = [error for error in failures if not isinstance(error, Unavailable)]
    return report, serious[0] if serious else None


def choose(device: str) -> str:
    """ "cpu" or "cuda". Raises UsageError where it is not there."""
    import torch

    if device == AUTO:
        return CUDA if torch.cuda.is_available() else CPU
    return choose_device(device).type


def list_settings(request: Request, weights: Weights, device: str) -> list[Setting]:
    """Every product of what was asked for; with a pair, A and B.

    Raises: UsageError: a solver that is out of range, or a pair that cannot be read.
    """
    solver = weights.defaults.changed(**request.solver)
    solvers = [replace(solver, steps=steps) for steps in request.steps or (solver.steps,)]
    base = Setting(
        runner=TORCH,
        dtype=request.dtypes[0],
        device=device,
        batch_size=request.batch_sizes[0],
        frames=request.frames[0],
        samples=request.samples,
        solver=solvers[0],
        threads=request.threads,
    )
    if request.pair:
        single = replace(base, runner=(*request.runners, TORCH)[0])
        settings = [change(single, text) for text in request.pair]
    else:
        settings = [
            replace(base, runner=r, dtype=d, batch_size=b, frames=f, solver=s)
            for f, b, s, d, r in product(
                *(request.frames, request.batch_sizes, solvers),
                *(request.dtypes, request.runners or (AUTO,)),
            )
        ]
    for setting in settings:
        choose_device(setting.device)
        setting.solver.table(weights.config.train_steps)
    return settings
