"""Plans of TensorRT and TensorRT-RTX on a CUDA device, against the reference on the CPU."""

import pytest
import torch
from fakes.exported import exported_files, network

from mreactor_export.parity.figures import compare
from mreactor_export.parity.setup import BOUNDS
from mreactor_runtime.engines.reference import ReferenceEngine
from mreactor_runtime.engines.tensorrt.engine import TensorRTEngine, open_tensorrt
from mreactor_runtime.engines.tensorrt.options import bucket_profiles
from mreactor_runtime.engines.tensorrt.package import TENSORRT, TENSORRT_RTX, is_installed
from mreactor_runtime.tensors import DENOISER, example_inputs, graph_specs

# Compute capabilities that the documentation of TensorRT-RTX does not list: data centres' GPUs.
UNLISTED = ((9, 0), (10, 0), (10, 3))
LENGTHS = (64, 128)
REACTIONS = 3


def _reason(package: str) -> str:
    if not torch.cuda.is_available():
        return "needs a CUDA GPU"
    if package == TENSORRT_RTX and torch.cuda.get_device_capability() in UNLISTED:
        return "this GPU is not on the list of TensorRT-RTX"
    return "" if is_installed(package) else f"{package} is not installed"


pytestmark = [pytest.mark.gpu, pytest.mark.tensorrt]


@pytest.fixture(scope="module", params=[TENSORRT, TENSORRT_RTX])
def opened(request, tmp_path_factory):
    """What makes an engine of one package, its plans built once."""
    if reason := _reason(request.param):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("plans")
    config = network().config
    models = {name: exported_files()[f"{name}.onnx"] for name in graph_specs(config)}
    lines: list[str] = []

    def make() -> TensorRTEngine:
        return open_tensorrt(
            request.param,
            models,
            config,
            checkpoint_sha256="0" * 64,
            dtype="fp32",
            profiles=bucket_profiles(LENGTHS, config.heads, REACTIONS),
            folder=folder,
            report=lines.append,
        )

    make().close()
    assert len(lines) == len(models)
    make().close()
    assert len(lines) == len(models), "a second opening builds nothing"
    return make


def test_every_graph_equals_the_reference_at_every_shape(opened):
    reference = ReferenceEngine(network())
    engine = opened()
    specs = graph_specs(network().config)
    for seed, length in enumerate((*LENGTHS, *LENGTHS)):
        for name, spec in specs.items():
            sizes = {"B": 1, "S": REACTIONS, "T": length, "N": 5}
            inputs = example_inputs(spec, sizes, seed)
            expected = reference.run(name, inputs)
            found = engine.run(name, {key: x.to("cuda") for key, x in inputs.items()})
            for output, value in expected.items():
                relative = compare(found[output].cpu(), value).relative
                assert relative < BOUNDS["fp32"].step, (name, output, length)
    engine.close()


def test_the_same_input_gives_the_same_bytes(opened):
    spec = graph_specs(network().config)[DENOISER]
    sizes = {"B": 1, "S": REACTIONS, "T": 64, "N": 1}
    inputs = {key: x.to("cuda") for key, x in example_inputs(spec, sizes).items()}
    outputs = []
    for _ in range(2):
        engine = opened()
        outputs += [engine.run(DENOISER, inputs)["clean"].cpu() for _ in range(3)]
        engine.close()
    assert all(torch.equal(outputs[0], other) for other in outputs[1:])


def test_a_callers_capture_of_several_steps_replays_them(opened):
    spec = graph_specs(network().config)[DENOISER]
    sizes = {"B": 1, "S": REACTIONS, "T": 64, "N": 1}
    inputs = {key: x.to("cuda") for key, x in example_inputs(spec, sizes).items()}
    engine = opened()

    def two_steps() -> torch.Tensor:
        first = engine.run(DENOISER, inputs)["clean"]
        return engine.run(DENOISER, {**inputs, "noisy": first})["clean"]

    expected = two_steps().cpu()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = two_steps()
    result.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(result.cpu(), expected)
    graph.reset()
    engine.close()
