"""ONNX Runtime as an engine: the bundle's options, equal bytes, and CUDA graphs call by call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from fakes.exported import PAPER, exported_graph, network
from fakes.models import small_config
from torch import Tensor

from mreactor_ref.errors import UsageError
from mreactor_runtime.bundle import SessionOptions
from mreactor_runtime.engines import onnxruntime_engine
from mreactor_runtime.engines.names import CPU, CUDA
from mreactor_runtime.engines.onnxruntime_engine import (
    ONNX_TYPES,
    OnnxRuntimeEngine,
    open_onnxruntime,
    session_options,
)
from mreactor_runtime.engines.reference import ReferenceEngine
from mreactor_runtime.tensors import DENOISER, ENCODER, MODULATOR, example_inputs, graph_specs

onnxruntime = pytest.importorskip("onnxruntime")

CONFIG = small_config(PAPER, layers=1)
SPECS = graph_specs(CONFIG)


def engine(threads: int | None = 1, **options) -> OnnxRuntimeEngine:
    models = {name: exported_graph(name) for name in SPECS}
    return OnnxRuntimeEngine(models, CONFIG, threads=threads, **options)


def part(inputs: dict[str, Tensor], axis: str, row: int) -> dict[str, Tensor]:
    """One clip, or one reaction, of the denoiser's inputs."""
    return {
        t.name: inputs[t.name].narrow(t.axes.index(axis), row, 1)
        if axis in t.axes
        else inputs[t.name]
        for t in SPECS[DENOISER].inputs
    }


def test_the_same_bytes_for_any_batch_and_thread_count():
    inputs = example_inputs(SPECS[DENOISER], {"B": 2, "S": 3, "T": 64}, seed=3)
    one = engine()
    whole = one.run(DENOISER, inputs)["clean"]
    assert torch.equal(one.run(DENOISER, inputs)["clean"], whole)
    for threads in (1, 2, None):
        assert torch.equal(engine(threads).run(DENOISER, inputs)["clean"], whole), threads
    for clip in range(2):
        alone = one.run(DENOISER, part(inputs, "B", clip))["clean"]
        assert torch.equal(alone, whole[clip : clip + 1]), clip
    for reaction in range(3):
        alone = one.run(DENOISER, part(inputs, "S", reaction))["clean"]
        assert torch.equal(alone, whole[:, reaction : reaction + 1]), reaction


def test_the_options_of_a_bundle_are_those_of_its_sessions():
    chosen = SessionOptions("ORT_ENABLE_BASIC", "ORT_PARALLEL", use_deterministic_compute=False)
    options = session_options(chosen, threads=3)
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert (options.use_deterministic_compute, options.intra_op_num_threads) == (False, 3)
    default = session_options(SessionOptions(), threads=None)
    assert default.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert default.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert (default.use_deterministic_compute, default.intra_op_num_threads) == (True, 0)


def test_an_engine_opens_every_graph_with_them(monkeypatch):
    opened: list[tuple] = []
    session = onnxruntime.InferenceSession

    def record(model, options, providers):
        opened.append((options.graph_optimization_level, providers))
        return session(model, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    engine(session=SessionOptions(graph_optimization_level="ORT_DISABLE_ALL"))
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert opened == [(level, [("CPUExecutionProvider", {})])] * len(SPECS)


def test_a_cuda_graph_is_for_cuda():
    with pytest.raises(UsageError, match="a CUDA graph cannot run on cpu"):
        engine(cuda_graph=True)


class FakeOptions:
    """What a session is opened with."""

    def __init__(self) -> None:
        self.fixed: dict[str, int] = {}

    def add_free_dimension_override_by_name(self, symbol: str, size: int) -> None:
        self.fixed[symbol] = size


class FakeSession:
    """Records the calls of ONNX Runtime's API in order, and computes `3 * noisy` for `clean`."""

    calls: list[tuple]

    def __init__(self, model: bytes, options: FakeOptions, providers: list[tuple[str, dict]]):
        self.graph = model.decode()
        self.options, self.providers = options, providers
        self.bound: dict[str, tuple[tuple[int, ...], int]] = {}
        self.calls.append(("open", self.graph, dict(options.fixed), providers[0][1]))

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def get_inputs(self) -> list[SimpleNamespace]:
        return self._nodes(SPECS[self.graph].inputs)

    def get_outputs(self) -> list[SimpleNamespace]:
        return self._nodes(SPECS[self.graph].outputs)

    def _nodes(self, tensors) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=t.name, type=ONNX_TYPES[t.dtype]) for t in tensors]

    def io_binding(self) -> FakeSession:
        self.calls.append(("binding", self.graph))
        return self

    def bind_input(self, name, device, index, kind, shape, address) -> None:
        self.bound[name] = (shape, address)
        self.calls.append(("input", name, shape))

    def bind_output(self, name, device, index, kind, shape, address) -> None:
        self.bound[name] = (shape, address)
        self.calls.append(("output", name, shape))

    def run_with_iobinding(self, binding: FakeSession) -> None:
        self.calls.append(("run", self.graph, tuple(a for _, a in self.bound.values())))
        if self.graph == DENOISER:
            memory(self.bound["clean"]).copy_(3 * memory(self.bound["noisy"]))

    def synchronize_outputs(self) -> None:
        self.calls.append(("wait", self.graph))


def memory(bound: tuple[tuple[int, ...], int]) -> Tensor:
    """The floats that lie at an address."""
    import ctypes

    shape, address = bound
    size = int(torch.tensor(shape).prod())
    floats = (ctypes.c_float * size).from_address(address)
    return torch.frombuffer(floats, dtype=torch.float32).view(shape)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Callable[..., OnnxRuntimeEngine]:
    """An engine on a CUDA provider that is played by the CPU; `FakeSession.calls` is new."""
    FakeSession.calls = []
    fake = SimpleNamespace(
        InferenceSession=FakeSession,
        SessionOptions=FakeOptions,
        GraphOptimizationLevel=onnxruntime.GraphOptimizationLevel,
        ExecutionMode=onnxruntime.ExecutionMode,
        get_available_providers=lambda: ["CUDAExecutionProvider"],
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    monkeypatch.setattr(onnxruntime_engine, "choose_device", lambda _: torch.device(CPU))
    models = {name: name.encode() for name in SPECS}
    return lambda **options: OnnxRuntimeEngine(models, CONFIG, CUDA, **options)


NO_SHORTCUTS = {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}


def kinds() -> list[str]:
    return [call[0] for call in FakeSession.calls]


def test_on_cuda_fp32_is_fp32_and_no_algorithm_is_picked_by_its_time(recorded):
    recorded()
    assert FakeSession.calls == [("open", name, {}, NO_SHORTCUTS) for name in SPECS]


def test_a_cuda_graph_has_fixed_shapes_and_addresses(recorded):
    made = recorded(cuda_graph=True)
    FakeSession.calls.clear()
    results = []
    for seed in range(3):
        inputs = example_inputs(SPECS[DENOISER], {"B": 1, "S": 2, "T": 7}, seed)
        results.append((inputs["noisy"], made.run(DENOISER, inputs)["clean"]))
    opened = NO_SHORTCUTS | {"enable_cuda_graph": "1"}
    assert FakeSession.calls[0] == ("open", DENOISER, {"B": 1, "S": 2, "T": 7}, opened)
    spec = SPECS[DENOISER]
    once = ["open", "binding", *["input"] * len(spec.inputs), *["output"] * len(spec.outputs)]
    assert kinds() == [*once, *["run", "wait"] * 3]
    assert len({call for call in FakeSession.calls if call[0] == "run"}) == 1  # the same addresses
    for noisy, clean in results:  # each call has its own result
        assert torch.equal(clean, 3 * noisy)


def test_each_shape_has_a_cuda_graph_of_its_own(recorded):
    made = recorded(cuda_graph=True)
    FakeSession.calls.clear()
    for frames in (7, 9, 7):
        inputs = example_inputs(SPECS[DENOISER], {"B": 1, "S": 2, "T": frames}, frames)
        assert torch.equal(made.run(DENOISER, inputs)["clean"], 3 * inputs["noisy"])
    opened = [call[2]["T"] for call in FakeSession.calls if call[0] == "open"]
    assert opened == [7, 9]


def opened(said: list[str]) -> OnnxRuntimeEngine:
    """As a run opens it."""
    models = {name: name.encode() for name in SPECS}
    return open_onnxruntime(models, CONFIG, CUDA, None, SessionOptions(), said.append)


def test_a_run_on_cuda_records_its_steps(recorded):
    said: list[str] = []
    made = opened(said)
    FakeSession.calls.clear()
    made.run(DENOISER, example_inputs(SPECS[DENOISER], {"B": 1, "S": 2, "T": 7}))
    assert FakeSession.calls[0][3]["enable_cuda_graph"] == "1"
    assert said == []


def test_where_a_step_cannot_be_recorded_its_kernels_are_launched(recorded, monkeypatch):
    def refuse(self, binding):
        if "enable_cuda_graph" in self.providers[0][1]:
            raise RuntimeError("This session cannot use the graph capture feature\nbecause")
        run(self, binding)

    run = FakeSession.run_with_iobinding
    monkeypatch.setattr(FakeSession, "run_with_iobinding", refuse)
    said: list[str] = []
    made = opened(said)
    inputs = example_inputs(SPECS[DENOISER], {"B": 1, "S": 2, "T": 7})
    assert torch.equal(made.run(DENOISER, inputs)["clean"], 3 * inputs["noisy"])
    [line] = said
    assert line.endswith("no CUDA graph: This session cannot use the graph capture feature")


def test_what_runs_once_is_not_recorded(recorded):
    made = recorded(cuda_graph=True)
    FakeSession.calls.clear()
    made.run(MODULATOR, {"timestep": torch.arange(3)})
    made.run(ENCODER, example_inputs(SPECS[ENCODER], {"B": 1, "S": 2, "T": 7}))
    assert "open" not in kinds()
    assert kinds().count("run") == 2


def test_a_provider_that_does_not_load_is_said(recorded, monkeypatch):
    """ONNX Runtime itself would go on, on the CPU."""
    monkeypatch.setattr(FakeSession, "get_providers", lambda _: ["CPUExecutionProvider"])
    with pytest.raises(UsageError, match="CUDAExecutionProvider does not load here"):
        recorded()


@pytest.mark.gpu
@pytest.mark.skipif(
    not (torch.cuda.is_available() and onnxruntime_engine.has_provider(CUDA)),
    reason="needs a CUDA GPU and onnxruntime-gpu",
)
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_gpu_computes_what_the_reference_computes(cuda_graph):
    made = engine(device=CUDA, cuda_graph=cuda_graph)
    for frames in (64, 65, 64):
        for seed in range(3):
            inputs = example_inputs(SPECS[DENOISER], {"B": 2, "S": 3, "T": frames}, seed)
            expected = ReferenceEngine(network()).run(DENOISER, inputs)["clean"]
            placed = {name: value.to(made.device) for name, value in inputs.items()}
            found = made.run(DENOISER, placed)["clean"]
            again = made.run(DENOISER, placed)["clean"]
            assert torch.equal(found, again)
            assert (found.cpu() - expected).norm() <= 1e-5 * expected.norm()
