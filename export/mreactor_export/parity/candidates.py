"""The engines that a bundle's graphs are proved on: what a machine has."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx
import torch

from mreactor_export.precision import FP32, dtype_of, emulate
from mreactor_ref.config import ModelConfig
from mreactor_runtime.bundle import SessionOptions
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.engines.names import CPU, CUDA, ONNX, OPENVINO
from mreactor_runtime.engines.onnxruntime_engine import OnnxRuntimeEngine, has_provider
from mreactor_runtime.engines.openvino_engine import OpenVinoEngine

EMULATED, ON_CUDA = f"{ONNX} emulated", f"{ONNX} cuda"


@dataclass(frozen=True)
class Candidates:
    """Name -> engine, and lines about what stands for what, or is not there."""

    engines: dict[str, Engine]
    notes: tuple[str, ...]


def open_candidates(
    onnx_files: Mapping[str, bytes],
    config: ModelConfig,
    dtype: str = FP32,
    session: SessionOptions | None = None,
    threads: int | None = None,
) -> Candidates:
    """ONNX Runtime on the CPU, OpenVINO where it is installed, and ONNX Runtime on a GPU.

    A CPU does not compute in half precisions: ONNX Runtime refuses bf16, and makes of fp16 what
    it likes. There the first engine runs the graphs as `precision.emulate` makes them, each value
    that is half rounded as the type rounds it.

    Args:
        onnx_files: graph name -> ONNX bytes. session: how ONNX Runtime opens them.
    Raises: UsageError: onnxruntime is not installed. IntegrityError: a graph does not open.
    """
    engines: dict[str, Engine] = {}
    notes: list[str] = []
    session = session or SessionOptions()
    if dtype == FP32:
        engines[ONNX] = OnnxRuntimeEngine(onnx_files, config, CPU, threads, session)
    else:
        plain = replace(session, graph_optimization_level="ORT_DISABLE_ALL")
        wide = {
            name: content if dtype_of(name, dtype) == FP32 else _emulated(content)
            for name, content in onnx_files.items()
        }
        engines[EMULATED] = OnnxRuntimeEngine(wide, config, CPU, threads, plain)
        notes.append(
            f"{EMULATED}: a CPU has no {dtype}; fp32 with every half value rounded as {dtype} does"
        )
    if importlib.util.find_spec(OPENVINO) is None:
        notes.append("openvino is not installed: no independent engine")
    else:
        engines[OPENVINO] = OpenVinoEngine(onnx_files, config, CPU, threads)
    if torch.cuda.is_available() and has_provider(CUDA):
        engines[ON_CUDA] = OnnxRuntimeEngine(onnx_files, config, CUDA, None, session)
    else:
        notes.append("no GPU, or no onnxruntime for it: nothing was run on CUDA")
    return Candidates(engines, tuple(notes))


def _emulated(content: bytes) -> bytes:
    return emulate(onnx.load_from_string(content)).SerializeToString()
