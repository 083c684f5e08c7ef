"""A bundle as a model repository: the server's own schema reads it, and it says what the ONNX says.

The schema is the compiled model_config.proto that NVIDIA publishes in `tritonclient`; it is loaded
alone, since the client around it is not needed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from types import ModuleType

import onnx
import pytest
from fakes.disk import fail_writing
from fakes.engines import CONFIG, bundle_info, onnx_files
from fakes.models import small_config
from google.protobuf import text_format

from mreactor_export.triton_server import (
    check_repository,
    model_config,
    write_bundle_repository,
    write_model_repository,
)
from mreactor_ref.config import ATTENTIONS, Attention
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_runtime.bundle import SessionOptions, write_bundle
from mreactor_runtime.tensors import DENOISER, GraphSpec, graph_specs

FILES = onnx_files()
GRAPHS = [f"mreactor_{graph}" for graph in graph_specs(CONFIG)]
NAMES = [*GRAPHS, "mreactor_reactions"]


@pytest.fixture(scope="module")
def schema() -> ModuleType:
    try:
        package = importlib.metadata.distribution("tritonclient")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the schema comes with tritonclient, which is not installed")
    path = package.locate_file("tritonclient/grpc/model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("model_config_pb2", str(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parse(schema: ModuleType, text: str):
    """The configuration as a message; an unknown field or enum value is an error of the parser."""
    return text_format.Parse(text, schema.ModelConfig())


def server_check(config) -> None:
    """The rules that Triton holds a configuration against when it loads a model."""
    assert config.name
    assert config.backend == "onnxruntime"
    assert config.platform == "onnxruntime_onnx"
    assert config.max_batch_size == 0
    for tensor in (*config.input, *config.output):
        assert tensor.name
        assert tensor.data_type != 0
        assert tensor.dims, "must specify 'dims'"
        assert all(size >= 1 or size == -1 for size in tensor.dims)
        # No empty reshape where there is no batch: a scalar has dims [1] and none at all.
        assert not tensor.HasField("reshape")


def signature(tensors, schema: ModuleType) -> dict[str, tuple[str, list[int]]]:
    names = schema.DataType.Name
    return {t.name: (names(t.data_type), list(t.dims)) for t in tensors}


def onnx_signature(values) -> dict[str, tuple[str, list[int]]]:
    """What the backend reads from the model: dynamic axes are -1, and a scalar has none."""
    types = {"FLOAT": "TYPE_FP32", "INT64": "TYPE_INT64", "BOOL": "TYPE_BOOL"}
    return {
        value.name: (
            types[onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)],
            [-1 if d.dim_param else d.dim_value for d in value.type.tensor_type.shape.dim] or [1],
        )
        for value in values
    }


def test_a_repository_of_a_bundle(tmp_path: Path, schema: ModuleType):
    write_bundle(tmp_path / "bundle", bundle_info(), FILES)
    output = tmp_path / "repository"
    assert write_bundle_repository(tmp_path / "bundle", output) == NAMES
    found = sorted(str(p.relative_to(output)) for p in output.rglob("*") if p.is_file())
    of_graphs = [f"{n}/{f}" for n in GRAPHS for f in ("config.pbtxt", "1/model.onnx")]
    of_loop = ["config.pbtxt", "1/model.py", "1/reactions.json"]
    of_loop += [f"1/mreactor_ref/{name}.py" for name in ("__init__", "errors", "noise", "signals")]
    assert found == sorted([*of_graphs, *(f"mreactor_reactions/{name}" for name in of_loop)])
    for name in GRAPHS:
        graph = name.removeprefix("mreactor_")
        content = (output / name / "1" / "model.onnx").read_bytes()
        assert content == FILES[f"{graph}.onnx"]
        config = parse(schema, (output / name / "config.pbtxt").read_text())
        server_check(config)
        assert config.name == name
        assert config.default_model_filename == "model.onnx"
        model = onnx.load_model_from_string(content)
        assert signature(config.input, schema) == onnx_signature(model.graph.input)
        assert signature(config.output, schema) == onnx_signature(model.graph.output)


def specs(kind: Attention) -> dict[str, GraphSpec]:
    return graph_specs(small_config(kind))


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("graph", ["encoder", "modulator", "denoiser"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_table_is_a_valid_configuration(
    schema: ModuleType, kind: Attention, graph: str, device: str
):
    spec = specs(kind)[graph]
    config = parse(schema, model_config(spec, "m", device))
    server_check(config)
    assert [t.name for t in config.input] == [t.name for t in spec.inputs]
    assert [t.name for t in config.output] == [t.name for t in spec.outputs]
    kinds = {"cpu": "KIND_CPU", "cuda": "KIND_GPU"}
    group = config.instance_group[0]
    assert schema.ModelInstanceGroup.Kind.Name(group.kind) == kinds[device]


def test_the_denoiser_in_words(schema: ModuleType):
    config = parse(schema, model_config(graph_specs(CONFIG)[DENOISER], "denoiser"))
    assert signature(config.input, schema) == {
        "noisy": ("TYPE_FP32", [-1, -1, -1, 83]),
        "style": ("TYPE_FP32", [-1, -1, 4]),
        "modulation": ("TYPE_FP32", [CONFIG.modulations, 4]),
        "keys": ("TYPE_FP32", [-1, 1, -1, 4]),
        "values": ("TYPE_FP32", [-1, -1, 1, -1, 4]),
        "mask": ("TYPE_BOOL", [-1, -1]),
        "guidance": ("TYPE_FP32", [1]),
    }
    assert signature(config.output, schema) == {"clean": ("TYPE_FP32", [-1, -1, -1, 83])}


@pytest.mark.parametrize(
    ("level", "number"),
    [
        ("ORT_ENABLE_ALL", None),
        ("ORT_ENABLE_BASIC", -1),
        ("ORT_ENABLE_EXTENDED", 1),
        ("ORT_DISABLE_ALL", 2),
    ],
)
def test_the_session_is_the_bundles(schema: ModuleType, level: str, number: int | None):
    """The backend's numbers are its own: 2 is no optimisation at all."""
    session = SessionOptions(level, "ORT_PARALLEL")
    config = parse(schema, model_config(graph_specs(CONFIG)[DENOISER], "d", "cpu", session))
    assert {k: v.string_value for k, v in config.parameters.items()} == {"execution_mode": "1"}
    assert config.HasField("optimization") == (number is not None)
    if number is not None:
        assert config.optimization.graph.level == number


def test_on_a_gpu_fp32_is_fp32(schema: ModuleType):
    config = parse(schema, model_config(graph_specs(CONFIG)[DENOISER], "d", "cuda"))
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert (accelerator.name, dict(accelerator.parameters)) == ("cuda", {"use_tf32": "0"})
    assert {k: v.string_value for k, v in config.parameters.items()} == {
        "execution_mode": "0",
        "cudnn_conv_algo_search": "2",
    }


def test_the_schema_refuses_what_is_not_its(schema: ModuleType):
    """Else the tests above would show nothing."""
    text = model_config(graph_specs(CONFIG)[DENOISER], "d")
    for wrong in (text + "surprise: 1\n", text.replace("TYPE_FP32", "TYPE_FP31")):
        with pytest.raises(text_format.ParseError):
            parse(schema, wrong)


def test_an_older_export_is_replaced_and_nothing_else(tmp_path: Path):
    output = tmp_path / "repository"
    for _ in range(2):
        write_model_repository(FILES, bundle_info(), output)
        (output / "mreactor_denoiser" / "2").mkdir()
    assert write_model_repository(FILES, bundle_info(), output, device="cuda") == NAMES
    assert "KIND_GPU" in (output / "mreactor_denoiser" / "config.pbtxt").read_text()
    assert not (output / "mreactor_denoiser" / "2").exists()
    (output / "resnet").mkdir()
    with pytest.raises(UsageError, match="holds other models too, 'resnet' first"):
        write_model_repository(FILES, bundle_info(), output)
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is no model repository of this export"):
        check_repository(foreign)
    write_bundle(tmp_path / "bundle", bundle_info(), FILES)
    with pytest.raises(UsageError, match="is a bundle"):
        check_repository(tmp_path / "bundle")
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["bundle", "repository", "thesis"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fail_writing(monkeypatch, lambda path: path.parent.parent.name == "mreactor_modulator")
    with pytest.raises(UsageError, match="cannot be written: No space left on device"):
        write_model_repository(FILES, bundle_info(), tmp_path / "repository")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_bundle_is_not_served(tmp_path: Path):
    write_bundle(tmp_path / "bundle", bundle_info(), FILES)
    (tmp_path / "bundle" / "denoiser.onnx").write_bytes(b"other")
    with pytest.raises(IntegrityError, match=r"denoiser\.onnx"):
        write_bundle_repository(tmp_path / "bundle", tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_a_graph_that_is_left_out_is_an_error(tmp_path: Path):
    given = {"encoder.onnx": b"", "modulator.onnx": b""}
    with pytest.raises(ValueError, match=r"denoiser\.onnx"):
        write_model_repository(given, bundle_info(), tmp_path / "r")
    assert list(tmp_path.iterdir()) == []
