"""Measures the best that this machine can do: products of matrices, and copies of memory."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

from mreactor_bench.throughput.ceiling import Rates

# Large enough that nothing but the product counts, small enough for a second a try.
MATMUL_SIZES = {"cpu": 2048, "cuda": 8192}
COPY_BYTES = {"cpu": 256 * 2**20, "cuda": 2 * 2**30}  # beyond any cache
ROUNDS, TRIES = 5, 5
TORCH_TYPES = {"fp32": "float32", "mixed": "float16", "fp16": "float16", "bf16": "bfloat16"}


def measure_rates(device: str, dtypes: Iterable[str], threads: int | None = None) -> Rates:
    """The rates of a device. On CUDA fp32 is fp32: TF32 is not taken.

    Args:
        threads: of the CPU; None leaves PyTorch its own choice.
    Raises: UsageError: a device that is not there.
    """
    import torch

    from mreactor_runtime.engines.engine import choose_device

    place = choose_device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    size = MATMUL_SIZES[device]

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    matmul = {}
    for dtype in sorted(set(dtypes)):
        a, b = torch.rand(2, size, size, device=place).to(getattr(torch, TORCH_TYPES[dtype]))
        out = torch.empty_like(a)
        seconds = best(lambda a=a, b=b, out=out: (torch.matmul(a, b, out=out), wait()))
        matmul[dtype] = 2 * size**3 / seconds
    source = torch.zeros(COPY_BYTES[device] // 4, device=place)
    target = torch.ones_like(source)
    seconds = best(lambda: (target.copy_(source), wait()))
    return Rates(device, matmul, 2 * COPY_BYTES[device] / seconds, torch.get_num_threads())


def best(
    call: Callable[[], Any],
    rounds: int = ROUNDS,
    tries: int = TRIES,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """The least of several medians, in seconds: what the machine does when it is left alone.

    A single shortest time could be an accident of the clock, a single median a busy moment.
    """
    call()
    medians = []
    for _ in range(rounds):
        times = []
        for _ in range(tries):
            started = clock()
            call()
            times.append(clock() - started)
        medians.append(median(times))
    return min(medians)


def describe(device: str) -> dict[str, Any]:
    """The machine, for a report: processor, cores, memory, and the GPU where that is the device."""
    import torch

    from mreactor_runtime.device_names import cpu_name

    facts: dict[str, Any] = {
        "device": device,
        "processor": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts["gpu"] = properties.name
        facts["gpu_memory_bytes"] = properties.total_memory
        facts["compute_capability"] = f"{properties.major}.{properties.minor}"
        facts["cuda"] = torch.version.cuda
    return facts


def _memory() -> int | None:
    """Of the machine, where the system tells it."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peak_memory() -> int:
    """The most memory that this process ever held, in bytes.

    On Linux that of this program alone: what `getrusage` says includes the program that started
    it, whose peak a new process inherits.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
