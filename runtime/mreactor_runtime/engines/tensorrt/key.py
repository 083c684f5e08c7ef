"""The key of a plan: all that it depends on, each part in words that a refusal can use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mreactor_ref.files import shown_hash
from mreactor_runtime.engines.tensorrt.build import build_target
from mreactor_runtime.engines.tensorrt.options import BuildOptions, Profile, profiles_of
from mreactor_runtime.engines.tensorrt.package import TensorRT
from mreactor_runtime.tensors import GraphSpec

KEY_DIGITS = 16  # of the key's SHA-256, in a file name


@dataclass(frozen=True)
class PlanKey:
    """All that a plan depends on.

    Attributes:
        graph: its name in the table. model: SHA-256 of the checkpoint.
        weights: SHA-256 of the ONNX file. dtype: of the export, "fp32", "fp16" or "bf16".
        package, version: of the builder. target: what it was built to run on.
        profiles: as `Profile.to_dict`. flags: as `BuildOptions.flags`.
    """

    graph: str
    model: str
    weights: str
    dtype: str
    package: str
    version: str
    target: str
    profiles: list[dict[str, list[int]]]
    flags: dict[str, Any]

    @property
    def sha256(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def stem(self) -> str:
        return f"{self.graph}-{self.sha256[:KEY_DIGITS]}"

    def differences(self, built: PlanKey) -> list[str]:
        """The parts in which another plan was built for something else, in words."""
        parts = []
        if built.graph != self.graph or built.model != self.model:
            parts.append("another model's")
        if built.weights != self.weights:
            was, now = shown_hash(built.weights), shown_hash(self.weights)
            parts.append(f"from other weights ({was}, these are {now})")
        if built.dtype != self.dtype:
            parts.append(f"in {built.dtype}, not {self.dtype}")
        if (built.package, built.version) != (self.package, self.version):
            was, now = f"{built.package} {built.version}", f"{self.package} {self.version}"
            parts.append(f"by {was}, this is {now}")
        if built.target != self.target:
            parts.append(f"for {built.target}, this is {self.target}")
        if built.profiles != self.profiles:
            was, now = in_words(built.profiles), in_words(self.profiles)
            parts.append(f"with the profile {was}, not {now}")
        if built.flags != self.flags:
            changed = sorted(
                name
                for name in {**built.flags, **self.flags}
                if built.flags.get(name) != self.flags.get(name)
            )
            parts.append(
                "with "
                + ", ".join(
                    f"{name} {built.flags.get(name)}, not {self.flags.get(name)}"
                    for name in changed
                )
            )
        return parts


def plan_key(
    tensorrt: TensorRT,
    spec: GraphSpec,
    onnx_model: bytes,
    profiles: Sequence[Profile],
    options: BuildOptions,
    *,
    checkpoint_sha256: str,
    dtype: str,
) -> PlanKey:
    """The key of a plan that would be built here and now. UsageError where that needs a GPU."""
    return PlanKey(
        graph=spec.name,
        model=checkpoint_sha256,
        weights=hashlib.sha256(onnx_model).hexdigest(),
        dtype=dtype,
        package=tensorrt.package,
        version=tensorrt.version,
        target=build_target(tensorrt, options),
        profiles=[profile.to_dict() for profile in profiles_of(spec, profiles)],
        flags=options.flags(),
    )


def in_words(profiles: list[dict[str, list[int]]]) -> str:
    """For people: "B 1-1 S 1-10 T 64-64", a profile after the other."""
    return " and ".join(
        " ".join(f"{symbol} {sizes[0]}-{sizes[-1]}" for symbol, sizes in profile.items())
        for profile in profiles
    )
