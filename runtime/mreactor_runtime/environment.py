"""Describes the machine and the installation: versions, engines, devices, models, caches."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from mreactor_ref.cache import cache_folder
from mreactor_ref.checkpoint import shipped
from mreactor_ref.errors import MReactorError
from mreactor_runtime.bundle import versions
from mreactor_runtime.device_names import cpu_name
from mreactor_runtime.engines.names import AUTO, CPU, CUDA, ENGINES
from mreactor_runtime.opening import find_model

REQUIRED = ("mreactor", "torch", "numpy", "av", "onnx", "transformers", "sentence-transformers")
# What brings a package that may be missing.
OPTIONAL = {
    "onnxruntime": "onnxruntime",
    "onnxruntime-gpu": "gpu",
    "openvino": "openvino",
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt-rtx",
    "faster-whisper": "transcribe",
    "matplotlib": "plot",
    "accelerate": "train",
}


def describe_environment() -> dict[str, dict[str, Any]]:
    """Section -> name -> value, all of it plain text, numbers and lists."""
    return {
        "machine": _machine(),
        "packages": versions(*REQUIRED) | _optional(),
        "models": {name: _model(name) for name in shipped()},
        "cache": {"folder": str(cache_folder()), "MiB": _mebibytes(cache_folder())},
    }


def _machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": cpu_name(),
        "processors": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "CUDA of torch": torch.version.cuda or "none",
        "GPUs": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] or "none",
    }


def _optional() -> dict[str, str]:
    installed = versions(*OPTIONAL)
    return {
        package: installed.get(package, f'not installed (pip install "mreactor[{extra}]")')
        for package, extra in OPTIONAL.items()
    }


def _model(name: str) -> str:
    """The engines that can run a shipped model, or why none can."""
    try:
        files = find_model(name)
    except MReactorError as error:
        return error.problem
    engines = [engine for engine in ENGINES if engine != AUTO and files.can_run(engine)]
    exported = "exported" if files.bundle else f"not exported ({files.how_to_export})"
    devices = CUDA if torch.cuda.is_available() else CPU
    return f"{exported}; runs on {devices} by {', '.join(engines)}"


def _mebibytes(folder: Path) -> float:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return round(sum(sizes) / 2**20, 1)
