"""The plans of a bundle: built from its own ONNX files, and shipped beside them.

They are built through the user's cache of plans, so that an export that is done again, or a format
that is added to it, builds only what has changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mreactor_export.options import ExportOptions
from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import IntegrityError
from mreactor_runtime.engines.tensorrt.build import build_target, compute_capabilities
from mreactor_runtime.engines.tensorrt.cache import (
    BUILD_AGAIN,
    LAYERS,
    MANIFEST,
    cached_plan,
    read_plan,
)
from mreactor_runtime.engines.tensorrt.key import plan_key
from mreactor_runtime.engines.tensorrt.package import TensorRT, load_tensorrt
from mreactor_runtime.tensors import all_graph_specs


@dataclass(frozen=True)
class ShippedPlan:
    """A plan of a bundle.

    Attributes:
        package: that built it. bytes: of the plan. seconds: that the build took, when it was.
        summary: of its layers. fused: the attentions that one kernel computes.
    """

    package: str
    graph: str
    bytes: int
    seconds: float
    summary: str
    fused: tuple[str, ...]


def load_packages(options: ExportOptions) -> dict[str, TensorRT]:
    """The packages of the plans that are asked for.

    Raises: UsageError where one is not installed, has no libraries, lacks an option, or needs a
        GPU that is not there.
    """
    packages = {name: load_tensorrt(name) for name in options.packages}
    for tensorrt in packages.values():
        options.build.check(tensorrt, torch.cuda.is_available())
        if tensorrt.is_rtx:
            compute_capabilities(tensorrt, options.build.compute_capabilities)
        build_target(tensorrt, options.build)
    return packages


def build_plans(
    packages: Mapping[str, TensorRT],
    onnx_files: Mapping[str, bytes],
    config: ModelConfig,
    options: ExportOptions,
    *,
    checkpoint_sha256: str,
    report: Callable[[str], None],
) -> tuple[dict[str, bytes], list[ShippedPlan]]:
    """A plan of each graph with each package.

    Args:
        onnx_files: graph name -> ONNX bytes. checkpoint_sha256: of the model.
        report: hears a line before each build.
    Returns: the files of the plans by name, and what is to be said of them.
    Raises: as `cached_plan`.
    """
    files: dict[str, bytes] = {}
    plans = []
    for tensorrt in packages.values():
        for name, spec in all_graph_specs(config).items():
            plan = (tensorrt, spec, onnx_files[name], options.profiles(config), options.build)
            key = plan_key(*plan, checkpoint_sha256=checkpoint_sha256, dtype=options.dtype)
            path = cached_plan(
                *plan, checkpoint_sha256=checkpoint_sha256, dtype=options.dtype, report=report
            )
            content = read_plan(path, key)
            told, layers = (_read(path.with_suffix(suffix)) for suffix in (MANIFEST, LAYERS))
            files |= {path.name: content}
            files |= {path.with_suffix(LAYERS).name: layers, path.with_suffix(MANIFEST).name: told}
            manifest, parts = json.loads(told), json.loads(layers)
            plans.append(
                ShippedPlan(
                    package=tensorrt.package,
                    graph=name,
                    bytes=len(content),
                    seconds=manifest["seconds"],
                    summary=manifest["layers"],
                    fused=tuple(parts["fused"]),
                )
            )
    return files, plans


def targets(options: ExportOptions) -> set[str]:
    """The GPUs that plans would be built for, here and now. Raises: as `load_packages`."""
    return {build_target(t, options.build) for t in load_packages(options).values()}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"cannot be read: {error.strerror}", path, BUILD_AGAIN) from None
