"""OpenVINO as an engine of the CPU: one compiled model a shape, in fp32."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache, lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from torch import Tensor

from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_runtime.engines.buffers import allocate, hold, sizes_of
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import CPU, OPENVINO
from mreactor_runtime.tensors import GraphSpec, all_graph_specs

if TYPE_CHECKING:
    import openvino

INSTALL = 'pip install "mreactor[openvino]"'
TELEMETRY = "openvino_telemetry"
OPENVINO_TYPES = {"float32": "f32", "int64": "i64", "bool": "boolean"}

# Compiled models that are kept. Each takes a second to make, and holds the memory of its shapes.
KEPT_SHAPES = 8

OPTIONS = {
    "INFERENCE_PRECISION_HINT": "f32",  # some processors would take bf16
    "NUM_STREAMS": "1",  # all threads work on one call
    "ENABLE_CPU_PINNING": False,  # a core that another process uses would hold up the whole call
}


class OpenVinoEngine:
    """Runs the ONNX files of a bundle on the CPU, compiled for each shape it meets.

    Args:
        onnx_files: graph name -> ONNX bytes, whose hashes were checked; these graphs are opened.
        config: fixes the table of tensors that the graphs must have.
        device: "cpu".
        threads: of one call; None lets OpenVINO take every core.

    Raises:
        UsageError: openvino is not installed, or the device is another.
        IntegrityError: a file is no ONNX model, or its tensors are not those of the table.
    """

    name = OPENVINO
    keeps_scores = True

    def __init__(
        self,
        onnx_files: Mapping[str, bytes],
        config: ModelConfig,
        device: str = CPU,
        threads: int | None = None,
    ):
        if device != CPU:
            raise UsageError(
                f"the openvino engine runs on the CPU, not on {device}", fix="use --device cpu"
            )
        self.device = choose_device(device)
        self._openvino = import_openvino()
        self._core = _core()
        self._options = OPTIONS | ({} if threads is None else {"INFERENCE_NUM_THREADS": threads})
        self._specs = {n: s for n, s in all_graph_specs(config).items() if n in onnx_files}
        self._onnx_files = dict(onnx_files)
        self._used = {
            name: _check_tensors(self._read(name), spec) for name, spec in self._specs.items()
        }
        self._request = lru_cache(KEPT_SHAPES)(self._compile)

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        spec = self._specs[graph]
        inputs = hold(spec, inputs)
        outputs = allocate(spec.outputs, sizes_of(spec, inputs), self.device)
        used = {name: inputs[name] for name in self._used[graph]}
        request = self._request(graph, tuple(tuple(value.shape) for value in used.values()))
        for name, value in (used | outputs).items():
            memory = self._openvino.Tensor(value.numpy(), shared_memory=True)
            request.set_tensor(name, memory)
        request.infer()
        return outputs

    def _compile(self, graph: str, shapes: tuple[tuple[int, ...], ...]) -> openvino.InferRequest:
        model = self._read(graph)
        used = zip(self._used[graph], shapes, strict=True)
        model.reshape({name: list(shape) for name, shape in used})
        return self._core.compile_model(model, "CPU", self._options).create_infer_request()

    def _read(self, graph: str) -> openvino.Model:
        try:
            return self._core.read_model(self._onnx_files[graph])
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise IntegrityError(
                f"OpenVINO cannot open the {graph}: {reason}", fix="export it again"
            ) from None


@cache
def _core() -> openvino.Core:
    """The one core of this process, which is never let go.

    Its CPU plugin gives the thread a stack for signals, and on its end the one that was there
    before. Of two cores that is the other's, which may be gone: then the next signal, such as
    Ctrl-C, is a segmentation fault.
    """
    return import_openvino().Core()


def import_openvino() -> ModuleType:
    """OpenVINO without its telemetry, which reports each import to a web service.

    OpenVINO brings a stub for installations without the telemetry package, so that is what it is
    told. A program that imported it earlier has made its own choice.

    Raises: UsageError where it is not installed.
    """
    blocked = "openvino" not in sys.modules and TELEMETRY not in sys.modules
    if blocked:
        sys.modules[TELEMETRY] = None  # pyright: ignore[reportArgumentType]
    try:
        import openvino
    except ModuleNotFoundError:
        raise UsageError("openvino is not installed", fix=INSTALL) from None
    finally:
        if blocked:
            del sys.modules[TELEMETRY]
    return openvino


def _check_tensors(model: openvino.Model, spec: GraphSpec) -> tuple[str, ...]:
    """Hold the names and types of a model against the table.

    Returns: the inputs that the graph makes use of; OpenVINO forgets the others.
    """
    named = []
    for tensors, ports in ((spec.inputs, model.inputs), (spec.outputs, model.outputs)):
        expected = {tensor.name: OPENVINO_TYPES[tensor.dtype] for tensor in tensors}
        types = {
            name: port.get_element_type().get_type_name()
            for port in ports
            for name in port.get_names() & expected.keys() or port.get_names()
        }
        named.append((types, expected))
    (inputs, known), (outputs, expected) = named
    if not inputs.items() <= known.items():
        problem = f"the inputs of the {spec.name} are {inputs}, not {known}"
    elif outputs != expected:
        problem = f"the outputs of the {spec.name} are {outputs}, not {expected}"
    else:
        return tuple(tensor.name for tensor in spec.inputs if tensor.name in inputs)
    raise IntegrityError(problem, fix="export it again")
