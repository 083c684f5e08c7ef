"""One plan, opened: its tensors held against the table, its buffers, and its runs at a shape.

Buffers are allocated once, at the largest shape of any profile, and every shape runs at their
addresses. Each shape has an execution context of its own, as a captured graph needs; contexts
share one piece of scratch memory, since they take turns on one stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_runtime.engines.tensorrt.package import TensorRT
from mreactor_runtime.kernels.cuda_graph import Stream
from mreactor_runtime.tensors import GraphSpec, TensorSpec

# The library's type names -> torch's, and which of them may stand for a type of the table.
TORCH_TYPES = {
    "FLOAT": torch.float32,
    "HALF": torch.float16,
    "BF16": torch.bfloat16,
    "INT32": torch.int32,
    "INT64": torch.int64,
    "BOOL": torch.bool,
}
ACCEPTED = {
    "float32": ("FLOAT", "HALF", "BF16"),  # a plan in fp16 may have fp16 inputs: copying converts
    "int64": ("INT64", "INT32"),
    "bool": ("BOOL",),
}
NEW_PLAN = "build a plan with a profile that holds them"


class OpenedGraph:
    """A deserialised plan of one graph, with its buffers.

    Attributes:
        spec: from the table. scratch_bytes: that a run needs.
        ranges: a profile each: symbol -> (least, most).
    """

    def __init__(self, tensorrt: TensorRT, spec: GraphSpec, engine: Any, device: torch.device):
        self.spec, self._tensorrt = spec, tensorrt
        self.engine: Any = engine
        types = _check_tensors(tensorrt, spec, engine)
        self.ranges = [_ranges(spec, engine, i) for i in range(engine.num_optimization_profiles)]
        self.scratch_bytes = int(engine.device_memory_size_v2)
        most = [{symbol: most for symbol, (_, most) in one.items()} for one in self.ranges]
        self._buffers = {
            tensor.name: torch.empty(
                max(math.prod(tensor.shape(sizes)) for sizes in most),
                dtype=types[tensor.name],
                device=device,
            )
            for tensor in (*spec.inputs, *spec.outputs)
        }

    def profile_of(self, sizes: Mapping[str, int]) -> int:
        """The first profile that holds these sizes. Raises: UsageError where none does."""
        for i, ranges in enumerate(self.ranges):
            if all(least <= sizes[s] <= most for s, (least, most) in ranges.items()):
                return i
        wanted = " ".join(f"{symbol} {size}" for symbol, size in sizes.items())
        there = " and ".join(
            " ".join(f"{symbol} {least}-{most}" for symbol, (least, most) in ranges.items())
            for ranges in self.ranges
        )
        raise UsageError(
            f"the plan of the {self.spec.name} runs at {there}, not at {wanted}", fix=NEW_PLAN
        )

    def view(self, tensor: TensorSpec, sizes: Mapping[str, int]) -> Tensor:
        """The front of a tensor's buffer, in its shape at these sizes."""
        shape = tensor.shape(sizes)
        return self._buffers[tensor.name][: math.prod(shape)].view(shape)

    def bind(
        self,
        sizes: Mapping[str, int],
        make_context: Callable[[], Any],
        scratch: Tensor,
        stream: Stream,
    ) -> BoundGraph:
        """A context at these sizes, over the buffers; nothing runs yet."""
        profile = self.profile_of(sizes)
        with self._tensorrt.listening():
            context = make_context()
            must = self._must
            must(context is not None, "cannot run the")
            must(context.set_optimization_profile_async(profile, stream.handle), "has no profile")
            for tensor in self.spec.inputs:
                must(context.set_input_shape(tensor.name, tensor.shape(sizes)), "refuses a shape")
            context.set_device_memory(scratch.data_ptr(), scratch.nbytes)
            for name, buffer in self._buffers.items():
                must(context.set_tensor_address(name, buffer.data_ptr()), "refuses an address")
            lacking = context.infer_shapes()
            must(not lacking, f"lacks the shape of {', '.join(lacking)}")
        return BoundGraph(self._tensorrt, self.spec.name, context, stream)

    def release(self) -> None:
        """Let go of the buffers, then of the plan; its contexts are released before."""
        self._buffers.clear()
        self.engine = None

    def _must(self, went_well: bool, what: str) -> None:
        if not went_well:
            raise self._tensorrt.refusal(f"{what}, at the {self.spec.name}")


class BoundGraph:
    """A graph at one shape.

    Attributes:
        recorded_by_caller: a CUDA graph of the caller's runs this context, which must stay.
    """

    def __init__(self, tensorrt: TensorRT, name: str, context: Any, stream: Stream):
        self._tensorrt, self._name = tensorrt, name
        self._context: Any = context
        self._stream = stream
        self.recorded_by_caller = False

    def launch(self) -> None:
        """Queue the kernels. Raises: TensorRTError."""
        if not self._context.execute_async_v3(self._stream.handle):
            raise self._tensorrt.refusal(f"failed to run the {self._name}")

    def release(self) -> None:
        """Let go of the context. Nothing may be queued."""
        self._context = None


def _check_tensors(tensorrt: TensorRT, spec: GraphSpec, engine: Any) -> dict[str, torch.dtype]:
    """Hold names, directions, types and fixed axes against the table; name -> torch's type.

    Raises: IntegrityError.
    """
    modes = tensorrt.module.TensorIOMode
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    types = {}
    for kind, mode, tensors in (
        ("inputs", modes.INPUT, spec.inputs),
        ("outputs", modes.OUTPUT, spec.outputs),
    ):
        present = sorted(name for name in names if engine.get_tensor_mode(name) == mode)
        expected = sorted(tensor.name for tensor in tensors)
        if present != expected:
            raise IntegrityError(
                f"the {kind} of the plan of the {spec.name} are {', '.join(present)}, "
                f"not {', '.join(expected)}"
            )
        for tensor in tensors:
            types[tensor.name] = _check_tensor(spec, tensor, engine)
    return types


def _check_tensor(spec: GraphSpec, tensor: TensorSpec, engine: Any) -> torch.dtype:
    dtype = engine.get_tensor_dtype(tensor.name).name
    if dtype not in ACCEPTED[tensor.dtype]:
        raise IntegrityError(
            f"{tensor.name} of the plan of the {spec.name} is {dtype}, not {tensor.dtype}"
        )
    shape = tuple(engine.get_tensor_shape(tensor.name))
    fits = len(shape) == len(tensor.axes) and all(
        isinstance(axis, str) or size == axis
        for axis, size in zip(tensor.axes, shape, strict=False)
    )
    if not fits:
        raise IntegrityError(
            f"{tensor.name} of the plan of the {spec.name} has axes {shape}, not {tensor.axes}"
        )
    return TORCH_TYPES[dtype]


def _ranges(spec: GraphSpec, engine: Any, profile: int) -> dict[str, tuple[int, int]]:
    """Symbol -> (least, most) of one profile, as the plan itself has it."""
    ranges = {}
    for tensor in spec.inputs:
        if not any(isinstance(axis, str) for axis in tensor.axes):
            continue
        least, _, most = engine.get_tensor_profile_shape(tensor.name, profile)
        for axis, low, high in zip(tensor.axes, tuple(least), tuple(most), strict=True):
            if isinstance(axis, str):
                ranges[axis] = (int(low), int(high))
    return ranges
