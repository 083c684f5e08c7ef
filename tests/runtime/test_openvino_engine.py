"""OpenVINO computes what the reference computes, the same bytes each time, and tells nobody."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fakes.exported import PAPER, exported_graph, network
from fakes.models import small_config
from torch import Tensor

from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_runtime import opening
from mreactor_runtime.bundle import write_bundle
from mreactor_runtime.engines import openvino_engine
from mreactor_runtime.engines.names import AUTO, CPU, CUDA, ONNX, OPENVINO, TORCH
from mreactor_runtime.engines.openvino_engine import OpenVinoEngine
from mreactor_runtime.engines.reference import ReferenceEngine
from mreactor_runtime.opening import ModelFiles, open_model
from mreactor_runtime.tensors import DENOISER, ENCODER, MODULATOR, example_inputs, graph_specs

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
)

STEP_BOUND = 1e-5  # relative L2, fp32, as in the exporter's proof
SIZES = [
    {"B": 1, "S": 1, "T": 1, "N": 1},
    {"B": 3, "S": 2, "T": 7, "N": 2},
    {"B": 1, "S": 4, "T": 64, "N": 20},
]


def engine(threads: int | None = 1) -> OpenVinoEngine:
    config = small_config(PAPER, layers=1)
    models = {name: exported_graph(name) for name in graph_specs(config)}
    return OpenVinoEngine(models, config, threads=threads)


@pytest.fixture(scope="module")
def opened() -> OpenVinoEngine:
    return engine()


def inputs_of(graph: str, sizes: dict[str, int], seed: int = 3) -> dict[str, Tensor]:
    return example_inputs(graph_specs(small_config(PAPER, layers=1))[graph], sizes, seed)


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: "-".join(map(str, sizes.values())))
@pytest.mark.parametrize("graph", [ENCODER, MODULATOR, DENOISER])
def test_every_graph_computes_what_the_reference_computes(opened, graph, sizes):
    inputs = inputs_of(graph, sizes)
    before = {name: value.clone() for name, value in inputs.items()}
    expected, found = ReferenceEngine(network()).run(graph, inputs), opened.run(graph, inputs)
    assert list(found) == [
        t.name for t in graph_specs(small_config(PAPER, layers=1))[graph].outputs
    ]
    for name, value in expected.items():
        assert (found[name].shape, found[name].dtype) == (value.shape, value.dtype)
        assert value.norm() > 0.1
        assert (found[name] - value).norm() <= STEP_BOUND * value.norm(), name
    for name, value in before.items():
        assert torch.equal(inputs[name], value), name


@pytest.mark.parametrize("guidance", [0.0, 1.0, 7.5])
def test_guidance_is_a_number_that_the_graph_takes(opened, guidance):
    inputs = inputs_of(DENOISER, SIZES[1]) | {"guidance": torch.tensor(guidance)}
    expected = ReferenceEngine(network()).run(DENOISER, inputs)["clean"]
    found = opened.run(DENOISER, inputs)["clean"]
    assert (found - expected).norm() <= STEP_BOUND * expected.norm()


def test_a_call_leaves_the_result_of_the_one_before(opened):
    """A solver still needs the last clean sample."""
    first = opened.run(DENOISER, inputs_of(DENOISER, SIZES[1], seed=1))["clean"]
    kept = first.clone()
    second = opened.run(DENOISER, inputs_of(DENOISER, SIZES[1], seed=2))["clean"]
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)


def test_views_that_are_not_contiguous_are_taken(opened):
    timestep = torch.arange(40)[::2]
    found = opened.run(MODULATOR, {"timestep": timestep})["modulation"]
    expected = opened.run(MODULATOR, {"timestep": timestep.contiguous()})["modulation"]
    assert torch.equal(found, expected)


def part(inputs: dict[str, Tensor], axis: str, row: int) -> dict[str, Tensor]:
    """One clip, or one reaction, of the denoiser's inputs."""
    spec = graph_specs(small_config(PAPER, layers=1))[DENOISER]
    return {
        t.name: inputs[t.name].narrow(t.axes.index(axis), row, 1)
        if axis in t.axes
        else inputs[t.name]
        for t in spec.inputs
    }


def test_the_same_bytes_for_any_batch_and_thread_count(opened):
    """A second use, another machine load, or another grouping changes nothing."""
    inputs = inputs_of(DENOISER, {"B": 2, "S": 3, "T": 64})
    whole = opened.run(DENOISER, inputs)["clean"]
    assert torch.equal(opened.run(DENOISER, inputs)["clean"], whole)
    for threads in (1, 2, None):
        assert torch.equal(engine(threads=threads).run(DENOISER, inputs)["clean"], whole), threads
    for clip in range(2):
        alone = opened.run(DENOISER, part(inputs, "B", clip))["clean"]
        assert torch.equal(alone, whole[clip : clip + 1]), clip
    for reaction in range(3):
        alone = opened.run(DENOISER, part(inputs, "S", reaction))["clean"]
        assert torch.equal(alone, whole[:, reaction : reaction + 1]), reaction


def test_a_shape_is_compiled_once_and_the_last_used_are_kept(monkeypatch):
    monkeypatch.setattr(openvino_engine, "KEPT_SHAPES", 2)
    made = engine()
    compiled: list[tuple] = []
    compile_model = made._core.compile_model

    class Core:
        read_model = made._core.read_model

        def compile_model(self, model, device, options):
            compiled.append((device, options["INFERENCE_PRECISION_HINT"], model.is_dynamic()))
            return compile_model(model, device, options)

    made._core = Core()  # pyright: ignore[reportAttributeAccessIssue]

    def run(count: int) -> None:
        made.run(MODULATOR, {"timestep": torch.arange(count)})

    for count in (3, 3, 4, 3, 5, 3):
        run(count)
    assert compiled == [("CPU", "f32", False)] * 3
    run(4)  # was used least lately
    assert len(compiled) == 4


def test_graphs_that_are_not_the_tables_are_refused():
    config = small_config(PAPER, layers=1)
    right = {name: exported_graph(name) for name in graph_specs(config)}
    with pytest.raises(IntegrityError, match=r"inputs of the encoder are .*timestep"):
        OpenVinoEngine(right | {ENCODER: right[MODULATOR]}, config)
    with pytest.raises(
        IntegrityError, match=r"outputs of the modulator are \{'modulation'"
    ) as error:
        OpenVinoEngine(right | {MODULATOR: cast_output(right[MODULATOR])}, config)
    assert "'i64'" in str(error.value)
    with pytest.raises(IntegrityError, match="OpenVINO cannot open the denoiser: ") as error:
        OpenVinoEngine(right | {DENOISER: b"not an onnx file"}, config)
    assert len(str(error.value).splitlines()) == 1


def cast_output(content: bytes) -> bytes:
    import onnx

    model = onnx.load_model_from_string(content)
    output = model.graph.output[0]
    for node in model.graph.node:
        node.output[:] = ["before" if name == output.name else name for name in node.output]
    kind = onnx.TensorProto.INT64
    model.graph.node.append(onnx.helper.make_node("Cast", ["before"], [output.name], to=kind))
    output.type.tensor_type.elem_type = kind
    return model.SerializeToString()


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match=r'not installed \(pip install "mreactor\[openvino\]"\)'):
        OpenVinoEngine({}, small_config())


def test_another_device_is_refused():
    with pytest.raises(UsageError, match="runs on the CPU, not on cuda"):
        OpenVinoEngine({}, small_config(), device=CUDA)


TELLS_NOBODY = """
import pathlib, socket, sys
asked = []
def refuse(*arguments, **options):
    asked.append(arguments)
    raise OSError("no network")
for name in ("create_connection", "getaddrinfo"):
    setattr(socket, name, refuse)
socket.socket.connect = refuse
from mreactor_runtime.engines.openvino_engine import import_openvino
openvino = import_openvino()
openvino.Core().read_model(pathlib.Path(sys.argv[1]).read_bytes())
assert import_openvino() is openvino
assert "openvino_telemetry" not in sys.modules
print(asked)
"""


def test_nothing_is_reported_to_anyone(tmp_path: Path):
    """OpenVINO's own import tells a web service, and leaves an identifier in the home folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "modulator.onnx").write_bytes(exported_graph(MODULATOR))
    home = dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA"), str(tmp_path / "home"))
    paths = [str(p) for p in sys.path if p]
    done = subprocess.run(
        [sys.executable, "-c", TELLS_NOBODY, str(tmp_path / "modulator.onnx")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(paths), **home},
        check=False,
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
    assert list((tmp_path / "home").iterdir()) == []


def test_a_model_opens_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from fakes.engines import bundle_info, onnx_files

    write_bundle(tmp_path / "bundle", bundle_info(), onnx_files())
    for device in (AUTO, CPU):
        made = open_model(tmp_path / "bundle", engine=OPENVINO, device=device, threads=1)
        assert (made.engine.name, made.engine.device.type) == (OPENVINO, CPU)
    with pytest.raises(UsageError, match="runs on the CPU"):
        open_model(tmp_path / "bundle", engine=OPENVINO, device=CUDA)
    monkeypatch.setitem(opening.PREFERENCE, CPU, (TORCH, OPENVINO, ONNX))
    assert open_model(tmp_path / "bundle", device=CPU).engine.name == OPENVINO
    assert not ModelFiles("x", checkpoint=None, bundle=None, sha256=None).can_run(OPENVINO)


HEARS_SIGNALS = """
import faulthandler, gc, pathlib, signal, sys
from torch import arange
from fakes.models import small_config
from fakes.exported import PAPER
from mreactor_runtime.engines.openvino_engine import OpenVinoEngine

faulthandler.enable()  # gives the process a stack for signals
graphs = {"modulator": pathlib.Path(sys.argv[1]).read_bytes()}
first = OpenVinoEngine(graphs, small_config(PAPER, layers=1))
first.run("modulator", {"timestep": arange(2)})
second = OpenVinoEngine(graphs, small_config(PAPER, layers=1))
second.run("modulator", {"timestep": arange(2)})
del first
gc.collect()
del second
gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
signal.raise_signal(signal.SIGTERM)
"""


def test_a_signal_is_heard_after_engines_were_let_go(tmp_path: Path):
    """OpenVINO puts a stack for signals in the place of Python's, a plugin that is let go the one
    that it found, and if that was another plugin's, Ctrl-C ends in a segmentation fault."""
    (tmp_path / "modulator.onnx").write_bytes(exported_graph(MODULATOR))
    done = subprocess.run(
        [sys.executable, "-c", HEARS_SIGNALS, str(tmp_path / "modulator.onnx")],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": ":".join(p for p in sys.path if p)},
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
