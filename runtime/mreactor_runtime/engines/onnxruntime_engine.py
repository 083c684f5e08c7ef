"""ONNX Runtime as an engine: sessions over verified bytes, inputs and outputs bound in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import CPU, CUDA, ONNX
from mreactor_runtime.tensors import GraphSpec, graphs

if TYPE_CHECKING:
    import onnxruntime

# The table's type names -> those of numpy, torch and ONNX Runtime.
NUMPY_TYPES: dict[str, Any] = {"float32": np.float32, "int64": np.int64, "bool": np.bool_}
ONNX_TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)", "bool": "tensor(bool)"}
PROVIDERS = {CPU: "CPUExecutionProvider", CUDA: "CUDAExecutionProvider"}
INSTALL = {
    CPU: 'pip install "mreactor[onnxruntime]"',
    CUDA: 'pip uninstall onnxruntime, then pip install "mreactor[gpu]"',
}
ERRORS_ONLY = 3  # of ONNX Runtime's log levels


class OnnxRuntimeEngine:
    """Runs the ONNX files of a bundle.

    Args:
        models: graph name -> ONNX bytes, whose hashes were checked.
        config: fixes the table of tensors that the graphs must have.
        device: "cpu" or "cuda".
        threads: of one operator; None lets ONNX Runtime take every core.

    Raises:
        UsageError: onnxruntime, or its CUDA provider, is not installed.
        IntegrityError: a file is no ONNX model, or its tensors are not those of the table.
    """

    name = ONNX

    def __init__(
        self,
        models: Mapping[str, bytes],
        config: ModelConfig,
        device: str = CPU,
        threads: int | None = None,
    ):
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise UsageError("onnxruntime is not installed", fix=INSTALL[CPU]) from None
        self.device = choose_device(device)
        if not has_provider(device):
            raise UsageError(f"this onnxruntime has no {PROVIDERS[device]}", fix=INSTALL[device])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.use_deterministic_compute = True
        options.log_severity_level = ERRORS_ONLY
        self._specs = graphs(config)
        self._sessions = {
            name: _open(name, models[name], options, PROVIDERS[device]) for name in self._specs
        }
        for name, spec in self._specs.items():
            _check_tensors(self._sessions[name], spec)

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        spec, session = self._specs[graph], self._sessions[graph]
        held = {tensor.name: inputs[tensor.name].contiguous() for tensor in spec.inputs}
        sizes = {
            axis: size
            for tensor in spec.inputs
            for axis, size in zip(tensor.axes, held[tensor.name].shape, strict=True)
            if isinstance(axis, str)
        }
        outputs = {
            tensor.name: torch.empty(
                tensor.shape(sizes), dtype=getattr(torch, tensor.dtype), device=self.device
            )
            for tensor in spec.outputs
        }
        binding = session.io_binding()
        place = (self.device.type, self.device.index or 0)
        for tensors, values, bind in (
            (spec.inputs, held, binding.bind_input),
            (spec.outputs, outputs, binding.bind_output),
        ):
            for tensor in tensors:
                value = values[tensor.name]
                kind = NUMPY_TYPES[tensor.dtype]
                bind(tensor.name, *place, kind, tuple(value.shape), value.data_ptr())
        if self.device.type == CUDA:  # the session has a stream of its own
            torch.cuda.current_stream(self.device).synchronize()
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return outputs


def has_provider(device: str) -> bool:
    """Whether an onnxruntime is installed that runs on a device."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return False
    return PROVIDERS[device] in onnxruntime.get_available_providers()


def _open(
    name: str, model: bytes, options: onnxruntime.SessionOptions, provider: str
) -> onnxruntime.InferenceSession:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(model, options, providers=[provider])
    except Exception as error:  # the bindings have a class a status, with no common base
        raise IntegrityError(
            f"ONNX Runtime cannot open the {name}: {error}", fix="export it again"
        ) from error


def _check_tensors(session: onnxruntime.InferenceSession, spec: GraphSpec) -> None:
    """Hold the names and types of a session against the table."""
    for kind, tensors, found in (
        ("inputs", spec.inputs, session.get_inputs()),
        ("outputs", spec.outputs, session.get_outputs()),
    ):
        expected = {tensor.name: ONNX_TYPES[tensor.dtype] for tensor in tensors}
        given = {node.name: node.type for node in found}
        if given != expected:
            raise IntegrityError(
                f"the {kind} of the {spec.name} are {given}, not {expected}", fix="export it again"
            )
