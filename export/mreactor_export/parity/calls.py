"""Calling an engine, and holding what it gives against the table before any value is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mreactor_export.parity.figures import (
    AxesError,
    DtypesError,
    NamesError,
    RunError,
    ShapesError,
)
from mreactor_ref.errors import MReactorError, UsageError
from mreactor_runtime.engines.buffers import sizes_of
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.tensors import ENCODER, GUIDANCE, MASK, MODULATION, NOISY, GraphSpec

if TYPE_CHECKING:
    import onnxruntime

Tensors = dict[str, Tensor]


def call(engine: Engine, name: str, spec: GraphSpec, inputs: Mapping[str, Tensor]) -> Tensors:
    """The outputs of a graph, on the CPU.

    Args:
        name: of the engine, for errors. inputs: those of the graph, and others that it has not.
    Raises: RunError, NamesError, AxesError, ShapesError or DtypesError, in this order.
    """
    feeds = {tensor.name: inputs[tensor.name].to(engine.device) for tensor in spec.inputs}
    sizes = sizes_of(spec, feeds)
    try:
        outputs = engine.run(spec.name, feeds)
    except MReactorError:
        raise
    except Exception as error:  # every engine has its own
        at = ", ".join(f"{symbol} {size}" for symbol, size in sizes.items())
        raise RunError(f"{name} cannot run the {spec.name} at {at}: {error}") from error
    check_outputs(name, spec, sizes, outputs)
    return {key: value.cpu() for key, value in outputs.items()}


def check_outputs(
    name: str, spec: GraphSpec, sizes: Mapping[str, int], outputs: Mapping[str, Tensor]
) -> None:
    """Names, axes, shapes and types of what a graph gave.

    Raises: NamesError, AxesError, ShapesError or DtypesError.
    """
    expected = [tensor.name for tensor in spec.outputs]
    if sorted(outputs) != sorted(expected):
        raise NamesError(
            f"{name}'s {spec.name} gives {', '.join(outputs)}, not {', '.join(expected)}"
        )
    for tensor in spec.outputs:
        shape, wanted = tuple(outputs[tensor.name].shape), tensor.shape(sizes)
        fixed = [
            (size, axis) for size, axis in zip(shape, tensor.axes, strict=False) if axis != size
        ]
        if len(shape) != len(wanted) or any(isinstance(axis, int) for _, axis in fixed):
            raise AxesError(
                f"{name}'s {spec.name} gives {tensor.name} of shape {shape}, not of axes "
                f"{tensor.axes}"
            )
    for tensor in spec.outputs:
        shape, wanted = tuple(outputs[tensor.name].shape), tensor.shape(sizes)
        if shape != wanted:
            raise ShapesError(
                f"{name}'s {spec.name} gives {tensor.name} of shape {shape}, not {wanted}"
            )
    for tensor in spec.outputs:
        dtype = str(outputs[tensor.name].dtype).removeprefix("torch.")
        if dtype != tensor.dtype:
            raise DtypesError(
                f"{name}'s {spec.name} gives {tensor.name} in {dtype}, not {tensor.dtype}"
            )


def clean_of(
    engine: Engine,
    name: str,
    specs: Mapping[str, GraphSpec],
    graph: str,
    speaker: Mapping[str, Tensor],
    step: Mapping[str, Tensor],
) -> Tensor:
    """The clean sample of one step from a speaker's own streams, the encoder in between.

    Args:
        step: the noisy reactions, the modulation and the guidance.
    Raises: as `call` does.
    """
    context = call(engine, name, specs[ENCODER], speaker)
    (clean,) = call(engine, name, specs[graph], {**context, **step, MASK: speaker[MASK]}).values()
    return clean


def step_inputs(noisy: Tensor, modulation: Tensor, guidance: float) -> Tensors:
    """The inputs of a step beside the speaker."""
    return {NOISY: noisy, MODULATION: modulation, GUIDANCE: torch.tensor(guidance)}


def open_session(content: bytes, optimised: bool = False) -> onnxruntime.InferenceSession:
    """A graph on the CPU, with one thread."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UsageError(
            "onnxruntime is not installed", fix='pip install "mreactor[onnxruntime]"'
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    )
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
