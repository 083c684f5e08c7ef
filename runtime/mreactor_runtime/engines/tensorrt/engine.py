"""TensorRT and TensorRT-RTX as engines: plans over static buffers, on a stream of their own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mreactor_ref.config import ModelConfig
from mreactor_ref.files import unwritable, write_whole
from mreactor_runtime.engines.buffers import allocate, hold, sizes_of
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import CUDA
from mreactor_runtime.engines.tensorrt.cache import cached_plan, locked, read_plan
from mreactor_runtime.engines.tensorrt.graph import BoundGraph, OpenedGraph
from mreactor_runtime.engines.tensorrt.key import plan_key
from mreactor_runtime.engines.tensorrt.options import (
    BuildOptions,
    Profile,
    RunOptions,
    default_profiles,
)
from mreactor_runtime.engines.tensorrt.package import TensorRT, load_tensorrt
from mreactor_runtime.engines.tensorrt.stream import CudaStream, Stream
from mreactor_runtime.tensors import GraphSpec, graphs

KEPT_SHAPES = 32  # of all graphs, each with a context; the one unused for longest is let go
ALIGNMENT = 256  # bytes, of scratch memory


class TensorRTEngine:
    """Runs the plans of a model on a CUDA device.

    Args:
        tensorrt: which of the two packages.
        plans: graph name -> plan, whose hash was checked.
        config: fixes the table of tensors that the plans must have.
        options: of running.
        version_compatible: the plans were built so; they then bring code of their own.
        stream: None is a new one.
        specs: the graphs; None is all that a run needs.

    Raises:
        UsageError: no CUDA device.
        TensorRTError: a plan that this version or GPU cannot open.
        IntegrityError: a plan whose tensors are not those of the table.
    """

    keeps_scores = True  # and its profiles end at as many reactions

    def __init__(
        self,
        tensorrt: TensorRT,
        plans: Mapping[str, bytes],
        config: ModelConfig,
        options: RunOptions | None = None,
        version_compatible: bool = False,
        stream: Stream | None = None,
        specs: Mapping[str, GraphSpec] | None = None,
    ):
        self.name = tensorrt.package
        self._stream: Stream = stream or CudaStream(choose_device(CUDA))
        self.device = self._stream.device
        self._tensorrt, self._options = tensorrt, options or RunOptions()
        with tensorrt.listening():
            self._runtime: Any = tensorrt.module.Runtime(tensorrt.log)
            if version_compatible:
                self._runtime.engine_host_code_allowed = True
            self._graphs = {
                name: OpenedGraph(tensorrt, spec, self._open(name, plans[name]), self.device)
                for name, spec in (specs or graphs(config)).items()
            }
            self._runtime_cache: Any = None
            self._makers = {name: self._context_maker(g) for name, g in self._graphs.items()}
        most = max(graph.scratch_bytes for graph in self._graphs.values())
        self._scratch = torch.empty(max(most, ALIGNMENT), dtype=torch.uint8, device=self.device)
        self._bound: OrderedDict[tuple[str, tuple[int, ...]], BoundGraph] = OrderedDict()

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs of a graph, in memory of their own.

        Raises: UsageError where no profile holds the sizes; TensorRTError where the run fails.
        """
        opened = self._graphs[graph]
        held = hold(opened.spec, inputs)
        sizes = sizes_of(opened.spec, held)
        opened.profile_of(sizes)
        outputs = allocate(opened.spec.outputs, sizes, self.device)
        with torch.no_grad(), self._stream.turn():
            for tensor in opened.spec.inputs:
                opened.view(tensor, sizes).copy_(held[tensor.name])
            self._run_bound(graph, sizes)
            for tensor in opened.spec.outputs:
                outputs[tensor.name].copy_(opened.view(tensor, sizes))
        return outputs

    def close(self) -> None:
        """Release recordings, contexts, buffers, plans and the runtime, in that order."""
        self._stream.wait()
        while self._bound:
            self._bound.popitem(last=False)[1].release()
        self._makers.clear()
        for opened in self._graphs.values():
            opened.release()
        self._graphs.clear()
        self._runtime_cache = self._runtime = None

    def _run_bound(self, graph: str, sizes: Mapping[str, int]) -> None:
        """Run a graph at its sizes; the first time there, warm up, and capture where wanted."""
        key = (graph, tuple(sizes.values()))
        captured_by_caller = self._stream.is_captured()
        bound = self._bound.get(key)
        if bound is not None:
            self._bound.move_to_end(key)
            if captured_by_caller:
                bound.recorded_by_caller = True
                bound.launch()
            else:
                bound.run()
            return
        if captured_by_caller:
            raise RuntimeError(f"the {graph} must run once at a shape before it is captured")
        self._make_room()
        bound = self._graphs[graph].bind(sizes, self._makers[graph], self._scratch, self._stream)
        bound.launch()
        if self._options.use_cuda_graph:
            self._stream.wait()
            bound.capture()
            bound.run()
        self._bound[key] = bound
        self._save_runtime_cache()

    def _make_room(self) -> None:
        """Let go of the shape that was unused for longest, but for what a caller has recorded."""
        if len(self._bound) < KEPT_SHAPES:
            return
        free = (key for key, bound in self._bound.items() if not bound.recorded_by_caller)
        key = next(free, None)
        if key is not None:
            self._stream.wait()
            self._bound.pop(key).release()

    def _open(self, name: str, plan: bytes) -> Any:
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise self._tensorrt.refusal(
                f"cannot open its plan of the {name} here", fix="use another --engine"
            )
        return engine

    def _context_maker(self, opened: OpenedGraph) -> Callable[[], Any]:
        """What makes contexts of a plan, all of them without memory of their own."""
        module, engine = self._tensorrt.module, opened.engine
        strategy = module.ExecutionContextAllocationStrategy.USER_MANAGED
        if not self._tensorrt.is_rtx:
            return lambda: engine.create_execution_context(strategy)
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        config.cuda_graph_strategy = getattr(
            module.CudaGraphStrategy, self._options.cuda_graph_strategy.upper()
        )
        config.dynamic_shapes_kernel_specialization_strategy = getattr(
            module.DynamicShapesKernelSpecializationStrategy,
            self._options.specialize_strategy_ds.upper(),
        )
        if self._options.runtime_cache_file is not None:
            if self._runtime_cache is None:
                self._runtime_cache = _load_runtime_cache(config, self._options.runtime_cache_file)
            config.set_runtime_cache(self._runtime_cache)
        return lambda: engine.create_execution_context(config)

    def _save_runtime_cache(self) -> None:
        path = self._options.runtime_cache_file
        if path is None or self._runtime_cache is None:
            return
        with locked(path), unwritable(path):
            write_whole(path, bytes(self._runtime_cache.serialize()))


def open_tensorrt(
    package: str,
    models: Mapping[str, bytes],
    config: ModelConfig,
    *,
    model: str,
    dtype: str,
    profiles: Sequence[Profile] | None = None,
    build: BuildOptions | None = None,
    options: RunOptions | None = None,
    folder: Path | None = None,
    shipped: Path | None = None,
    report: Callable[[str], None] | None = None,
) -> TensorRTEngine:
    """An engine over plans from the cache; what is not there, or stale, is built first.

    Args:
        package: "tensorrt" or "tensorrt-rtx".
        models: graph name -> ONNX bytes, whose hashes were checked.
        model: SHA-256 of the checkpoint. dtype: of the export.
        profiles: None is `default_profiles`.
        folder: of plans that are built here; None is the user's cache.
        shipped: of plans that came with the model, such as its bundle.
        report: hears one line before each build: what is built, and why.
    Raises: as `load_tensorrt`, `cached_plan` and `TensorRTEngine`; UsageError without a GPU.
    """
    tensorrt, build = load_tensorrt(package), build or BuildOptions()
    choose_device(CUDA)
    profiles = profiles or default_profiles(config.heads)
    plans = {}
    for name, spec in graphs(config).items():
        about = (tensorrt, spec, models[name], profiles, build)
        path = cached_plan(
            *about, model=model, dtype=dtype, folder=folder, shipped=shipped, report=report
        )
        plans[name] = read_plan(path, plan_key(*about, model=model, dtype=dtype))
    return TensorRTEngine(tensorrt, plans, config, options, build.version_compatible)


def _load_runtime_cache(config: Any, path: Path) -> Any:
    """The kernels that were compiled before; a file that does not fit is left aside."""
    cache = config.create_runtime_cache()
    if path.is_file():
        with locked(path):
            content = path.read_bytes()
        if content and not cache.deserialize(content):
            cache.reset()
    return cache
