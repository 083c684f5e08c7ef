"""A stand-in for TensorRT's Python interface; what it builds, `tensorrt_run` runs.

The builder's plan is JSON of all that it was told.
"""

from __future__ import annotations

import json
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from fakes.cuda_graph import FakeStream
from fakes.tensorrt_run import FakePlan, ILogger
from mreactor_runtime.engines.tensorrt.package import TensorRT, process_log


class Flag(IntEnum):
    REFIT = 4
    TF32 = 6
    VERSION_COMPATIBLE = 12
    REQUIRE_USER_ALLOCATION = 28


def names(*members: str) -> Any:
    return SimpleNamespace(**{name: name for name in members})


class FakeTimingCache:
    """Names of the graphs whose kernels were measured."""

    def __init__(self, content: bytes):
        self.graphs: list[str] = json.loads(content or b"[]")

    def serialize(self) -> bytes:
        return json.dumps(self.graphs).encode()

    def combine(self, other: FakeTimingCache, ignore_mismatch: bool) -> bool:
        self.graphs += [name for name in other.graphs if name not in self.graphs]
        return True


class FakeBuilderConfig:
    def __init__(self) -> None:
        self.flags = {Flag.TF32}
        self.profiles: list[dict[str, Any]] = []
        self.builder_optimization_level = 3
        self.hardware_compatibility_level = "NONE"
        self.profiling_verbosity = ""
        self.timing: FakeTimingCache | None = None

    def set_flag(self, flag: Flag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: Flag) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: FakeProfile) -> int:
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def create_timing_cache(self, content: bytes) -> FakeTimingCache:
        try:
            return FakeTimingCache(content)
        except ValueError:
            raise RuntimeError("no timing cache") from None

    def set_timing_cache(self, cache: FakeTimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.timing = cache
        return True


class FakeProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        self.shapes[name] = shapes


class FakeNetwork:
    num_layers = 0

    def __init__(self) -> None:
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.name = ""

    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))

    def get_input(self, index: int) -> Any:
        return self.inputs[index]

    def get_output(self, index: int) -> Any:
        return self.outputs[index]


class FakeTensorRT:
    """The module, and what a test can set before it is used.

    Attributes:
        calls: all that the stream and the contexts were asked, in order.
        built: what the builder was told, a dict a plan.
        error: what the builder says instead of building.
    """

    def __init__(self, package: str = "tensorrt", version: str = "11.0.0"):
        self.calls: list[str] = []
        self.built: list[dict[str, Any]] = []
        self.error: str | None = None
        self.wrong_types: dict[str, str] = {}
        self.stream = FakeStream(self.calls)
        self._log: Any = None
        module = ModuleType(package)
        vars(module).update(self._interface())
        self.tensorrt = TensorRT(package, version, module, process_log(module))

    def logged(self, severity: int, message: str) -> None:
        self.tensorrt.log.log(severity, message)

    def _interface(self) -> dict[str, Any]:
        return {
            "ILogger": ILogger,
            "BuilderFlag": Flag,
            "NetworkDefinitionCreationFlag": SimpleNamespace(),
            "LayerType": SimpleNamespace(),
            "TensorIOMode": names("INPUT", "OUTPUT"),
            "ProfilingVerbosity": names("DETAILED", "LAYER_NAMES_ONLY", "NONE"),
            "HardwareCompatibilityLevel": names("AMPERE_PLUS", "SAME_COMPUTE_CAPABILITY"),
            "ExecutionContextAllocationStrategy": names("USER_MANAGED"),
            "CudaGraphStrategy": names("DISABLED", "WHOLE_GRAPH_CAPTURE"),
            "DynamicShapesKernelSpecializationStrategy": names("LAZY", "EAGER", "NONE"),
            "Builder": self._builder,
            "OnnxParser": self._parser,
            "Runtime": self._runtime,
        }

    def _builder(self, log: Any) -> Any:
        return SimpleNamespace(
            create_network=lambda flags: FakeNetwork(),
            create_builder_config=FakeBuilderConfig,
            create_optimization_profile=FakeProfile,
            build_serialized_network=self._build,
        )

    def _parser(self, network: FakeNetwork, log: Any) -> Any:
        errors: list[str] = []

        def parse(content: bytes) -> bool:
            try:
                graph = onnx.load_from_string(content).graph
            except DecodeError:
                errors.append("no protobuf")
                return False
            network.inputs, network.outputs = list(graph.input), list(graph.output)
            network.name = graph.name
            return True

        return SimpleNamespace(
            parse=parse,
            num_errors=1,
            get_error=lambda index: SimpleNamespace(desc=lambda: errors[index]),
        )

    def _build(self, network: FakeNetwork, config: FakeBuilderConfig) -> bytes | None:
        if self.error is not None:
            self.logged(ILogger.ERROR, self.error)
            return None
        if config.timing is not None:
            config.timing.graphs.append(network.name)
        told = {
            "graph": network.name,
            "profiles": config.profiles,
            "flags": sorted(flag.name for flag in config.flags),
            "level": config.builder_optimization_level,
            "hardware": config.hardware_compatibility_level,
        }
        self.built.append(told)
        return json.dumps(told).encode()

    def _runtime(self, log: Any) -> Any:
        def deserialize(content: bytes) -> FakePlan | None:
            try:
                return FakePlan(json.loads(content), self)
            except ValueError:
                self.logged(ILogger.ERROR, "the plan is of another version")
                return None

        return SimpleNamespace(deserialize_cuda_engine=deserialize)
