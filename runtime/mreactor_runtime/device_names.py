"""The names of processors and GPUs, for people."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from mreactor_runtime.engines.names import CUDA


def device_name(device: torch.device) -> str:
    """The name of a device of PyTorch."""
    return torch.cuda.get_device_name(device) if device.type == CUDA else cpu_name()


def cpu_name() -> str:
    """The processor's name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
