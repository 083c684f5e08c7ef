"""Build options of TensorRT plans, named as trtexec names them, and profiles of sizes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mreactor_ref.errors import UsageError
from mreactor_runtime.batching import bucket, reactions_at_once
from mreactor_runtime.bundle import EXPORT_RECORD, Bundle
from mreactor_runtime.engines.names import HARDWARE_LEVELS, HIGHEST_LEVEL, VERBOSITIES
from mreactor_runtime.engines.tensorrt.package import TensorRT
from mreactor_runtime.tensors import CLIPS, FRAMES, REACTIONS, STEPS, GraphSpec, TensorSpec

CURRENT = "current"

# Of the default profiles: the longest clip of each, in frames, and the most reactions at once.
LENGTH_EDGES = (512, 1024, 2048)
MOST_REACTIONS = 16
USUAL_REACTIONS = 10
USUAL_STEPS = 10
MOST_STEPS = 1000


@dataclass(frozen=True)
class BuildOptions:
    """How a plan is built. Every field but the last is part of the plan's cache key.

    Precision is not among them: it is that of the ONNX file, since networks are strongly typed.

    Attributes:
        builder_optimization_level: 0 to 5; more takes longer to build.
        hardware_compatibility_level: one of HARDWARE_LEVELS. TensorRT only.
        version_compatible: a newer TensorRT may run the plan. TensorRT only.
        refit: weights can be replaced. TensorRT-RTX needs a GPU to build so.
        no_tf32: keep fp32 products in fp32, which parity needs.
        profiling_verbosity: one of VERBOSITIES; "detailed" is what layer information needs.
        compute_capabilities: targets as digits ("89", "120"), or "current" for this GPU alone; none
            is the builder's default set. TensorRT-RTX only, and no GPU is needed to build.
        timing_cache_file: of measured kernels, shared by builds. TensorRT only: RTX times nothing.
    """

    builder_optimization_level: int = 3
    hardware_compatibility_level: str = "none"
    version_compatible: bool = False
    refit: bool = False
    no_tf32: bool = True
    profiling_verbosity: str = "detailed"
    compute_capabilities: tuple[str, ...] = ()
    timing_cache_file: Path | None = None

    def __post_init__(self) -> None:
        level = self.builder_optimization_level
        if not 0 <= level <= HIGHEST_LEVEL:
            raise UsageError(f"builder optimization level is {level}, not 0 to {HIGHEST_LEVEL}")
        for name, known in (
            ("hardware_compatibility_level", HARDWARE_LEVELS),
            ("profiling_verbosity", VERBOSITIES),
        ):
            _check_choice(name, getattr(self, name), known)
        if CURRENT in self.compute_capabilities and len(self.compute_capabilities) > 1:
            raise UsageError(f"{CURRENT!r} is the only compute capability, or none of them")

    def flags(self) -> dict[str, Any]:
        """For the cache key: all that changes the plan, as JSON has it."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        del kept["timing_cache_file"]
        return kept | {"compute_capabilities": list(self.compute_capabilities)}

    def check(self, tensorrt: TensorRT, has_gpu: bool) -> None:
        """Refuse what a package does not have. Raises: UsageError, one line."""
        for_tensorrt = {
            "--hardwareCompatibilityLevel": self.hardware_compatibility_level != "none",
            "--versionCompatible": self.version_compatible,
            "--timingCacheFile": self.timing_cache_file is not None,
        }
        for_rtx = {"--computeCapabilities": bool(self.compute_capabilities)}
        wrong = for_tensorrt if tensorrt.is_rtx else for_rtx
        lacking = [name for name, is_given in wrong.items() if is_given]
        if lacking:
            raise UsageError(f"{tensorrt} has no {', '.join(lacking)}", fix="leave it out")
        needs_gpu = not tensorrt.is_rtx or self.refit or CURRENT in self.compute_capabilities
        if needs_gpu and not has_gpu:
            why = " with refit" if self.refit else ""
            raise UsageError(f"{tensorrt} needs a GPU to build{why}, and torch sees none here")


@dataclass(frozen=True)
class Profile:
    """Sizes that a plan runs at: symbol of `tensors.SYMBOLS` -> (least, usual, most)."""

    sizes: Mapping[str, tuple[int, int, int]]

    def __post_init__(self) -> None:
        for symbol, (least, usual, most) in self.sizes.items():
            if not 1 <= least <= usual <= most:
                raise UsageError(f"profile of {symbol} is {least}, {usual}, {most}: not in order")

    def shapes(self, tensor: TensorSpec) -> tuple[tuple[int, ...], ...]:
        """The tensor's least, usual and greatest shape."""
        return tuple(
            tensor.shape({symbol: sizes[i] for symbol, sizes in self.sizes.items()})
            for i in range(3)
        )

    def of(self, spec: GraphSpec) -> Profile:
        """Only the symbols of a graph, in the table's order."""
        return Profile({symbol: self.sizes[symbol] for symbol in spec.symbols})

    def to_dict(self) -> dict[str, list[int]]:
        """For JSON."""
        return {symbol: list(sizes) for symbol, sizes in self.sizes.items()}


def profiles_of(spec: GraphSpec, profiles: Iterable[Profile]) -> tuple[Profile, ...]:
    """The profiles of one graph: those that its symbols tell apart."""
    kept: list[Profile] = []
    for profile in profiles:
        if (own := profile.of(spec)) not in kept:
            kept.append(own)
    return tuple(kept)


def default_profiles(heads: int, clips: int = 1) -> tuple[Profile, ...]:
    """Any length up to the last of LENGTH_EDGES, in a few ranges, with as many reactions at once
    as `batching` sends at the range's shortest bucket."""
    profiles, shortest = [], 1
    for longest in LENGTH_EDGES:
        most = min(MOST_REACTIONS, reactions_at_once(bucket(shortest), heads))
        profiles.append(_profile((shortest, longest, longest), most, clips))
        shortest = longest + 1
    return tuple(profiles)


def bucket_profiles(
    lengths: Sequence[int], heads: int, samples: int, clips: int = 1
) -> tuple[Profile, ...]:
    """One profile a bucket of the clips' lengths, at exactly its frames, largest first.

    Args:
        lengths: frames of each clip. samples: reactions of a clip.
    """
    return tuple(
        _profile((length, length, length), min(samples, reactions_at_once(length, heads)), clips)
        for length in sorted({bucket(frames) for frames in lengths}, reverse=True)
    )


def _profile(frames: tuple[int, int, int], reactions: int, clips: int) -> Profile:
    return Profile(
        {
            CLIPS: (1, 1, clips),
            REACTIONS: (1, min(USUAL_REACTIONS, reactions), reactions),
            FRAMES: frames,
            STEPS: (1, USUAL_STEPS, MOST_STEPS),
        }
    )


def plan_options(bundle: Bundle) -> tuple[BuildOptions, tuple[Profile, ...]]:
    """How plans of a bundle are built: as its export was told, else by default.

    Raises: IntegrityError: its record of the export was changed.
    """
    plans = None
    if EXPORT_RECORD in bundle.files:
        plans = json.loads(bundle.read(EXPORT_RECORD))["plans"]
    if plans is None:
        return BuildOptions(), default_profiles(bundle.info.config.heads)
    targets = tuple(plans["build"]["compute_capabilities"])
    profiles = [
        Profile({symbol: (least, usual, most) for symbol, (least, usual, most) in sizes.items()})
        for sizes in plans["profiles"]
    ]
    return BuildOptions(**plans["build"] | {"compute_capabilities": targets}), tuple(profiles)


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{name} is {value!r}, not one of {', '.join(known)}")
