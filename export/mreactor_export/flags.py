"""The command's options of TensorRT plans, named as trtexec names them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mreactor_ref.errors import UsageError
from mreactor_runtime.engines.names import HARDWARE_LEVELS, HIGHEST_LEVEL, VERBOSITIES

if TYPE_CHECKING:  # `--help` must not wait for it
    from mreactor_runtime.engines.tensorrt.options import BuildOptions

CLICK_OPTIONS = {
    "builder_optimization_level": click.option(
        "--builderOptimizationLevel",
        "builder_optimization_level",
        type=click.IntRange(0, HIGHEST_LEVEL),
        default=3,
        help="More takes longer to build.",
    ),
    "hardware_compatibility_level": click.option(
        "--hardwareCompatibilityLevel",
        "hardware_compatibility_level",
        type=click.Choice(HARDWARE_LEVELS),
        default="none",
        help="Other GPUs that may run a plan. TensorRT only.",
    ),
    "version_compatible": click.option(
        "--versionCompatible",
        "version_compatible",
        is_flag=True,
        help="A newer TensorRT may run a plan. TensorRT only.",
    ),
    "refit": click.option("--refit", is_flag=True, help="A plan's weights can be replaced."),
    "no_tf32": click.option(
        "--noTF32/--TF32",
        "no_tf32",
        default=True,
        help="Whether products in fp32 stay what they are, which parity needs.",
    ),
    "profiling_verbosity": click.option(
        "--profilingVerbosity",
        "profiling_verbosity",
        type=click.Choice(VERBOSITIES),
        default="detailed",
        help="What a plan tells of its layers.",
    ),
    "compute_capabilities": click.option(
        "--computeCapabilities",
        "compute_capabilities",
        metavar="89,120|current",
        show_default="those that the builder takes",
        help="GPUs that a plan is built for. TensorRT-RTX only.",
    ),
    "timing_cache_file": click.option(
        "--timingCacheFile",
        "timing_cache_file",
        type=click.Path(dir_okay=False, path_type=Path),
        show_default="one a GPU, in the user's cache",
        help="Of measured kernels. TensorRT only.",
    ),
    "buckets": click.option(
        "--buckets",
        metavar="64,256,768",
        show_default="any length up to 2048",
        help="Frames of the clips that plans are for: a profile each, of that bucket alone.",
    ),
}


def plan_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, and pass them on as one argument, `plans`."""

    @wraps(command)
    def gathered(**values: Any) -> None:
        plans = {name: values.pop(name) for name in CLICK_OPTIONS}
        command(**values, plans=plans)

    for option in reversed(CLICK_OPTIONS.values()):
        gathered = option(gathered)
    return gathered


def read_plan_flags(plans: dict[str, Any]) -> tuple[BuildOptions, tuple[int, ...]]:
    """The build options and the buckets of plans, from the command's. Raises: UsageError."""
    from mreactor_runtime.engines.tensorrt.options import BuildOptions

    values = dict(plans)
    capabilities, buckets = values.pop("compute_capabilities"), values.pop("buckets")
    try:
        lengths = tuple(int(length) for length in _parts(buckets))
    except ValueError:
        raise UsageError(f"buckets are {buckets!r}, not numbers of frames") from None
    return BuildOptions(**values, compute_capabilities=_parts(capabilities)), lengths


def _parts(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(part.strip() for part in text.split(","))
