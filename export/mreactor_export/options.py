"""Options of an export, checked before any work and recorded in the bundle that it makes.

A bundle holds one form of attention, so that all of its engines, and its parity check, read the
same ONNX files, and a plan's cache key is found again where the bundle is run. Where a TensorRT is
among the formats, it is the form that TensorRT fuses; ONNX Runtime and OpenVINO run either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mreactor_export.names import FORMATS
from mreactor_export.operators import ATTENTION_OPSET, OPERATOR, attention_form, check_opset
from mreactor_export.precision import FP32, halved
from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import UsageError
from mreactor_runtime.engines.names import ONNX, TENSORRT, TENSORRT_RTX
from mreactor_runtime.engines.tensorrt.options import (
    CURRENT,
    MOST_REACTIONS,
    BuildOptions,
    Profile,
    bucket_profiles,
    default_profiles,
)
from mreactor_runtime.tensors import all_graph_specs

PACKAGES = (TENSORRT, TENSORRT_RTX)  # of plans
DEFAULT_OPSET = 20

TRACERS = ("mreactor", "torch", "onnx", "onnxscript")  # whose versions an ONNX file depends on
ENGINES = ("onnxruntime", "onnxruntime-gpu", "openvino")  # and the figures of parity


@dataclass(frozen=True)
class ExportOptions:
    """One export.

    Attributes:
        formats: of FORMATS; "onnx" is made whether it is named or not.
        dtype: one of `names.DTYPES`.
        opset: of the ONNX files; None is DEFAULT_OPSET, or the first that has what a format of
            this dtype is faster with.
        build: of plans. buckets: clips' lengths in frames, a profile each; none is any length up
            to that of `default_profiles`.

    Raises: UsageError for what is not known, or does not fit.
    """

    formats: tuple[str, ...] = (ONNX,)
    dtype: str = FP32
    opset: int | None = None
    build: BuildOptions = field(default_factory=BuildOptions)
    buckets: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise UsageError(f"format is {name!r}, not one of {', '.join(FORMATS)}")
        halved(self.dtype)
        if self.opset is not None:
            check_opset(self.opset)
        if any(frames < 1 for frames in self.buckets):
            raise UsageError(f"a bucket is {min(self.buckets)} frames, not 1 or more")
        if not self.packages and (self.buckets or self.build != BuildOptions()):
            raise UsageError(
                f"options of plans are given, but no format of {', '.join(PACKAGES)}",
                fix=f"add one: --format {ONNX},{TENSORRT_RTX}",
            )

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that plans are built with."""
        return tuple(name for name in PACKAGES if name in self.formats)

    @property
    def graph_opset(self) -> int:
        """The opset of the ONNX files."""
        if self.opset is not None:
            return self.opset
        faster = OPERATOR in self._forms(ATTENTION_OPSET)
        return ATTENTION_OPSET if faster else DEFAULT_OPSET

    @property
    def form(self) -> str:
        """Of attention, in all ONNX files of the bundle."""
        forms = self._forms(self.graph_opset)
        return OPERATOR if OPERATOR in forms else attention_form(ONNX, self.dtype, self.graph_opset)

    @property
    def bound_to_gpu(self) -> bool:
        """Whether plans are built for the GPU of this machine."""
        return TENSORRT in self.packages or CURRENT in self.build.compute_capabilities

    @property
    def distributions(self) -> tuple[str, ...]:
        """The packages whose versions the bundle depends on."""
        return (*TRACERS, *ENGINES, *self.packages)

    def profiles(self, config: ModelConfig) -> tuple[Profile, ...]:
        """Of the plans of a model."""
        if self.buckets:
            return bucket_profiles(self.buckets, config.heads, MOST_REACTIONS)
        return default_profiles(config.heads)

    def record(self, config: ModelConfig) -> dict[str, Any]:
        """For `EXPORT_RECORD`: all of this that a bundle depends on.

        A model repository is no part of it.
        """
        plans = None
        if self.packages:
            profiles = [profile.to_dict() for profile in self.profiles(config)]
            plans = {"build": self.build.flags(), "profiles": profiles}
        return {
            "formats": [ONNX, *self.packages],
            "graphs": list(all_graph_specs(config)),
            "dtype": self.dtype,
            "opset": self.graph_opset,
            "attention": self.form,
            "plans": plans,
        }

    def _forms(self, opset: int) -> set[str]:
        return {attention_form(package, self.dtype, opset) for package in self.packages}


def parse_formats(text: str) -> tuple[str, ...]:
    """ "onnx,triton" -> the formats, "onnx" first. Names are checked by `ExportOptions`."""
    return tuple(dict.fromkeys((ONNX, *(name.strip() for name in text.split(",")))))
