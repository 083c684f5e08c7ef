"""ONNX Runtime as an engine: sessions over verified bytes, inputs and outputs bound in place."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_runtime.batching import bucket
from mreactor_runtime.bundle import SessionOptions
from mreactor_runtime.engines.buffers import allocate, hold, sizes_of
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import CPU, CUDA, ONNX
from mreactor_runtime.tensors import (
    CONDITIONAL,
    STEPPING,
    GraphSpec,
    all_graph_specs,
    example_inputs,
    graph_specs,
)

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
PROVIDER_OPTIONS: dict[str, dict[str, str]] = {
    CPU: {},
    # The default would round fp32 to TF32, and pick a convolution by how fast it was this time.
    CUDA: {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"},
}
RECORDING = {"enable_cuda_graph": "1"}
SMALLEST = {"B": 1, "S": 1, "T": bucket(1)}  # of the step that shows whether steps can be recorded
KEPT_SHAPES = 8  # recorded graphs; each holds the weights and the memory of its shapes
ERRORS_ONLY = 3  # of ONNX Runtime's log levels


class OnnxRuntimeEngine:
    """Runs the ONNX files of a bundle.

    Args:
        onnx_files: graph name -> ONNX bytes, whose hashes were checked; these graphs are opened.
        config: fixes the table of tensors that the graphs must have.
        device: "cpu" or "cuda".
        threads: of one operator; None lets ONNX Runtime take every core.
        session: how the bundle says that its graphs are opened.
        cuda_graph: record a step as a CUDA graph, one a shape, instead of launching each of
            its kernels at every step.

    Raises:
        UsageError: onnxruntime, or its CUDA provider, is not installed, or a CUDA graph is wanted
            on another device.
        IntegrityError: a file is no ONNX model, or its tensors are not those of the table.
    """

    name = ONNX
    keeps_scores = True

    def __init__(
        self,
        onnx_files: Mapping[str, bytes],
        config: ModelConfig,
        device: str = CPU,
        threads: int | None = None,
        session: SessionOptions | None = None,
        cuda_graph: bool = False,
    ):
        require_onnxruntime()
        if cuda_graph and device != CUDA:
            raise UsageError(f"a CUDA graph cannot run on {device}", fix="use --device cuda")
        self.device = choose_device(device)
        if not has_provider(device):
            raise UsageError(f"this onnxruntime has no {PROVIDERS[device]}", fix=INSTALL[device])
        self._onnx_files, self._place = dict(onnx_files), device
        self._threads, self._session = threads, session or SessionOptions()
        self._specs = {n: s for n, s in all_graph_specs(config).items() if n in onnx_files}
        self._sessions = {name: self._open(name) for name in self._specs}
        self._recorded = lru_cache(KEPT_SHAPES)(self._record) if cuda_graph else None

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        spec = self._specs[graph]
        inputs = hold(spec, inputs)
        sizes = sizes_of(spec, inputs)
        if self._recorded is not None and graph in STEPPING:
            return self._recorded(graph, tuple(sizes.items())).run(inputs)
        outputs = allocate(spec.outputs, sizes, self.device)
        session = self._sessions[graph]
        run_bound(session, bind(session, spec, inputs, outputs), self.device)
        return outputs

    def _record(self, graph: str, sizes: tuple[tuple[str, int], ...]) -> RecordedGraph:
        """A step at one shape. With its axes fixed, no node about shapes is left for the
        CPU, which could not be recorded."""
        session = self._open(graph, dict(sizes), RECORDING)
        return RecordedGraph(session, self._specs[graph], dict(sizes), self.device)

    def _open(
        self,
        name: str,
        sizes: Mapping[str, int] | None = None,
        provider_options: Mapping[str, str] | None = None,
    ) -> onnxruntime.InferenceSession:
        import onnxruntime

        provider = PROVIDERS[self._place]
        options = session_options(self._session, self._threads)
        for symbol, size in (sizes or {}).items():
            options.add_free_dimension_override_by_name(symbol, size)
        chosen = PROVIDER_OPTIONS[self._place] | dict(provider_options or {})
        try:
            session = onnxruntime.InferenceSession(
                self._onnx_files[name], options, providers=[(provider, chosen)]
            )
        except Exception as error:  # the bindings have a class a status, with no common base
            raise IntegrityError(
                f"ONNX Runtime cannot open the {name}: {error}", fix="export it again"
            ) from error
        if provider not in session.get_providers():  # it goes on without one that does not load
            raise UsageError(f"{provider} does not load here", fix=INSTALL[self._place])
        _check_tensors(session, self._specs[name])
        return session


def open_onnxruntime(
    onnx_files: Mapping[str, bytes],
    config: ModelConfig,
    device: str,
    threads: int | None,
    session: SessionOptions,
    say: Callable[[str], None],
) -> OnnxRuntimeEngine:
    """The engine as a run wants it: on CUDA each step is one launch, where it can be recorded.

    Args:
        say: told where it cannot, and each kernel of a step is launched in its turn.
    """
    if device == CUDA:
        engine = OnnxRuntimeEngine(onnx_files, config, device, threads, session, cuda_graph=True)
        try:
            engine.run(CONDITIONAL, example_inputs(graph_specs(config)[CONDITIONAL], SMALLEST))
        except Exception as error:  # the bindings have a class a status, with no common base
            why = str(error).strip().splitlines()[0]
            say(f"ONNX Runtime launches the kernels of a step one by one, no CUDA graph: {why}")
        else:
            return engine
    return OnnxRuntimeEngine(onnx_files, config, device, threads, session)


class RecordedGraph:
    """A session that always runs at the same shapes and addresses, so that CUDA can replay it.

    ONNX Runtime records at the first call and replays at every later one.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        spec: GraphSpec,
        sizes: Mapping[str, int],
        device: torch.device,
    ):
        self._session, self._device = session, device
        self._inputs = allocate(spec.inputs, sizes, device)
        self._outputs = allocate(spec.outputs, sizes, device)
        self._binding = bind(session, spec, self._inputs, self._outputs)

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        for name, buffer in self._inputs.items():
            buffer.copy_(inputs[name])
        run_bound(self._session, self._binding, self._device)
        # The next call overwrites them, while a solver still needs this one's.
        return {name: value.clone() for name, value in self._outputs.items()}


def session_options(session: SessionOptions, threads: int | None) -> onnxruntime.SessionOptions:
    """A bundle's session options as ONNX Runtime takes them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, session.graph_optimization_level
    )
    options.execution_mode = getattr(onnxruntime.ExecutionMode, session.execution_mode)
    options.use_deterministic_compute = session.use_deterministic_compute
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = ERRORS_ONLY
    return options


def bind(
    session: onnxruntime.InferenceSession,
    spec: GraphSpec,
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
) -> onnxruntime.IOBinding:
    """The memory of tensors as what a session reads and writes; they must outlive its runs."""
    binding = session.io_binding()
    for tensors, values, bind_one in (
        (spec.inputs, inputs, binding.bind_input),
        (spec.outputs, outputs, binding.bind_output),
    ):
        for tensor in tensors:
            value = values[tensor.name]
            device = (value.device.type, value.device.index or 0)
            kind = NUMPY_TYPES[tensor.dtype]
            bind_one(tensor.name, *device, kind, tuple(value.shape), value.data_ptr())
    return binding


def run_bound(
    session: onnxruntime.InferenceSession, binding: onnxruntime.IOBinding, device: torch.device
) -> None:
    """Run, and wait for the result. On CUDA the session has a stream of its own."""
    if device.type == CUDA:
        torch.cuda.current_stream(device).synchronize()
    session.run_with_iobinding(binding)
    binding.synchronize_outputs()


def require_onnxruntime() -> None:
    """Raises UsageError where it is not installed."""
    try:
        importlib.import_module("onnxruntime")
    except ModuleNotFoundError:
        raise UsageError("onnxruntime is not installed", fix=INSTALL[CPU]) from None


def has_provider(device: str) -> bool:
    """Whether an onnxruntime is installed that runs on a device."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return False
    return PROVIDERS[device] in onnxruntime.get_available_providers()


def _check_tensors(session: onnxruntime.InferenceSession, spec: GraphSpec) -> None:
    """Hold the names and types of a session against the table."""
    for kind, tensors, nodes in (
        ("inputs", spec.inputs, session.get_inputs()),
        ("outputs", spec.outputs, session.get_outputs()),
    ):
        expected = {tensor.name: ONNX_TYPES[tensor.dtype] for tensor in tensors}
        types = {node.name: node.type for node in nodes}
        if types != expected:
            raise IntegrityError(
                f"the {kind} of the {spec.name} are {types}, not {expected}", fix="export it again"
            )
