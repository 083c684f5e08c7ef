"""An ONNX graph to a plan of TensorRT or TensorRT-RTX.

Networks are strongly typed, so each tensor has the precision that the ONNX file gives it.
TensorRT-RTX builds without a GPU, for every GPU it knows or for the compute capabilities asked for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_runtime.engines.tensorrt.layers import Layers, logged_layers, summarise
from mreactor_runtime.engines.tensorrt.options import (
    CURRENT,
    BuildOptions,
    Profile,
    profiles_of,
)
from mreactor_runtime.engines.tensorrt.package import TensorRT
from mreactor_runtime.tensors import GraphSpec

EXPORT_AGAIN = "export it again with mreactor-export"
HARDWARE = {"ampere+": "AMPERE_PLUS", "sameComputeCapability": "SAME_COMPUTE_CAPABILITY"}


@dataclass(frozen=True)
class Plan:
    """A built plan.

    Attributes:
        content: what a runtime deserialises.
        layers: of it. seconds: that the build took.
        timing_cache: the measured kernels with those of this build; None where there is none.
    """

    content: bytes
    layers: Layers
    seconds: float
    timing_cache: bytes | None = None


def build_plan(
    tensorrt: TensorRT,
    spec: GraphSpec,
    onnx_model: bytes,
    profiles: Sequence[Profile],
    options: BuildOptions | None = None,
    timing_cache: bytes = b"",
) -> Plan:
    """Build one graph.

    Args:
        onnx_model: a whole ONNX file, whose hash was checked.
        profiles: at least one; sizes of symbols that the graph lacks are left out.
        timing_cache: of earlier builds; one that is broken or foreign is left aside.
    Raises:
        UsageError: an option that the package does not have, or it needs a GPU.
        IntegrityError: the file is no ONNX model, or its tensors are not those of the table.
        TensorRTError: the builder refused; the message ends with its own last errors.
    """
    options = options or BuildOptions()
    options.check(tensorrt, torch.cuda.is_available())
    module, started = tensorrt.module, time.perf_counter()
    with tensorrt.listening() as messages:
        builder = module.Builder(tensorrt.log)
        network = builder.create_network(_network_flags(module))
        _parse(tensorrt, network, spec, onnx_model)
        config = builder.create_builder_config()
        _configure(tensorrt, config, options)
        _add_profiles(builder, config, spec, profiles_of(spec, profiles))
        cache = None if tensorrt.is_rtx else _attach(config, timing_cache)
        content = builder.build_serialized_network(network, config)
        if content is None:
            raise tensorrt.refusal(f"cannot build the {spec.name}")
        layers = summarise(logged_layers(messages), onnx_model)
        return Plan(
            content=bytes(content),
            layers=layers,
            seconds=time.perf_counter() - started,
            timing_cache=None if cache is None else bytes(cache.serialize()),
        )


def build_target(tensorrt: TensorRT, options: BuildOptions) -> str:
    """The GPUs that a plan runs on, for its cache key and for people."""
    chosen = options.compute_capabilities
    if tensorrt.is_rtx and chosen != (CURRENT,):
        return (
            f"compute capabilities {', '.join(chosen)}"
            if chosen
            else "every GPU that its builder knows"
        )
    return gpu_name()


def gpu_name() -> str:
    """The name and compute capability of the GPU that torch uses; UsageError where it has none."""
    if not torch.cuda.is_available():
        raise UsageError("this machine has no CUDA device that torch sees")
    major, minor = torch.cuda.get_device_capability()
    return f"{torch.cuda.get_device_name()} (compute capability {major}.{minor})"


def merge_timing_cache(tensorrt: TensorRT, content: bytes, other: bytes) -> bytes:
    """Two timing caches in one: what another process measured in the meantime is kept."""
    with tensorrt.listening():
        config = tensorrt.module.Builder(tensorrt.log).create_builder_config()
        cache = config.create_timing_cache(content)
        addition = config.create_timing_cache(other)
        if cache is None or addition is None or not cache.combine(addition, False):
            return content
        return bytes(cache.serialize())


def _network_flags(module: Any) -> int:
    """Strongly typed where that is a choice; since TensorRT 11 there is no other kind."""
    typed = getattr(module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if typed is None else 1 << int(typed)


def _parse(tensorrt: TensorRT, network: Any, spec: GraphSpec, onnx_model: bytes) -> None:
    module = tensorrt.module
    parser = module.OnnxParser(network, tensorrt.log)
    if not parser.parse(onnx_model):
        said = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        told = " ".join("; ".join(said).split())
        raise IntegrityError(f"{tensorrt} cannot read the {spec.name}: {told}", fix=EXPORT_AGAIN)
    for kind, count, get, tensors in (
        ("inputs", network.num_inputs, network.get_input, spec.inputs),
        ("outputs", network.num_outputs, network.get_output, spec.outputs),
    ):
        present, expected = [get(i).name for i in range(count)], [t.name for t in tensors]
        if sorted(present) != sorted(expected):
            raise IntegrityError(
                f"the {kind} of the {spec.name} are {', '.join(present)}, "
                f"not {', '.join(expected)}",
                fix=EXPORT_AGAIN,
            )
    _let_attention_decompose(module, network)


def _let_attention_decompose(module: Any, network: Any) -> None:
    """Allow an Attention operator without a kernel of its own, as in fp32, to become several."""
    kind = getattr(module.LayerType, "ATTENTION_INPUT", None)
    if kind is None:
        return
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        if layer.type == kind:
            layer.__class__ = module.IAttentionInputLayer  # the bindings give the base class
            layer.attention.decomposable = True


def _configure(tensorrt: TensorRT, config: Any, options: BuildOptions) -> None:
    module = tensorrt.module
    flags = module.BuilderFlag
    config.builder_optimization_level = options.builder_optimization_level
    config.profiling_verbosity = getattr(
        module.ProfilingVerbosity, options.profiling_verbosity.upper()
    )
    if options.no_tf32:
        config.clear_flag(flags.TF32)
    if options.refit:
        config.set_flag(flags.REFIT)
    if options.version_compatible:
        config.set_flag(flags.VERSION_COMPATIBLE)
    if options.hardware_compatibility_level != "none":
        level = HARDWARE[options.hardware_compatibility_level]
        config.hardware_compatibility_level = getattr(module.HardwareCompatibilityLevel, level)
    if tensorrt.is_rtx:
        if hasattr(flags, "REQUIRE_USER_ALLOCATION"):  # else a stream cannot be captured
            config.set_flag(flags.REQUIRE_USER_ALLOCATION)
        _set_targets(tensorrt, config, options.compute_capabilities)


def _set_targets(tensorrt: TensorRT, config: Any, targets: Sequence[str]) -> None:
    if not targets:
        return
    config.num_compute_capabilities = len(targets)
    chosen = compute_capabilities(tensorrt, targets)
    for i, (target, capability) in enumerate(zip(targets, chosen, strict=True)):
        if not config.set_compute_capability(capability, i):
            raise tensorrt.refusal(f"refuses compute capability {target}")


def compute_capabilities(tensorrt: TensorRT, targets: Sequence[str]) -> list[Any]:
    """The targets as TensorRT-RTX has them. Raises: UsageError for one that it has not."""
    if not targets:
        return []
    enumeration, capabilities = tensorrt.module.ComputeCapability, []
    for target in targets:
        name = target.upper() if target == CURRENT else f"SM{target.replace('.', '')}"
        chosen = getattr(enumeration, name, None)
        if chosen is None:
            names = [n.removeprefix("SM") for n in enumeration.__members__ if n.startswith("SM")]
            raise UsageError(
                f"{tensorrt} does not know compute capability {target!r}",
                fix=f"it knows {', '.join(names)}, and {CURRENT}",
            )
        capabilities.append(chosen)
    return capabilities


def _add_profiles(builder: Any, config: Any, spec: GraphSpec, profiles: Sequence[Profile]) -> None:
    if not profiles:
        raise ValueError("a plan needs a profile")
    for profile in profiles:
        shapes = builder.create_optimization_profile()
        for tensor in spec.inputs:
            if any(isinstance(axis, str) for axis in tensor.axes):
                shapes.set_shape(tensor.name, *profile.shapes(tensor))
        if config.add_optimization_profile(shapes) < 0:
            raise ValueError(f"profile {profile.to_dict()} of the {spec.name} is not valid")


def _attach(config: Any, content: bytes) -> Any:
    """A timing cache of the builder's configuration: the given one, or an empty one."""
    for start in (content, b""):
        cache = None
        with suppress(RuntimeError, TypeError):  # how the bindings refuse bytes that are no cache
            cache = config.create_timing_cache(start)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    return None
