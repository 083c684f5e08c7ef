"""The reference as ONNX graphs: what comes out is the table's, and what is not is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from fakes.exported import METADATA, OPSET, PAPER, exported_files, exported_graph, network
from fakes.models import random_model, small_config

from mreactor_bench.precision.forms import bias_as_inputs
from mreactor_export import to_onnx, traced
from mreactor_export.names import OPSETS
from mreactor_export.operators import DECOMPOSED, FORMS, OPERATOR, TARGETS, attention_form
from mreactor_export.parity.calls import open_session
from mreactor_export.to_onnx import (
    TRACED,
    ExportError,
    check_graph,
    check_options,
    export_graph,
    export_graphs,
)
from mreactor_ref.config import ATTENTIONS, Attention
from mreactor_ref.denoiser import Context
from mreactor_ref.errors import UsageError
from mreactor_ref.model import Batch
from mreactor_runtime.engines.names import ONNX
from mreactor_runtime.engines.reference import ReferenceEngine
from mreactor_runtime.tensors import (
    ATTENTION,
    CONDITIONAL,
    DENOISER,
    ENCODER,
    MODULATOR,
    example_inputs,
    graph_specs,
    kernel_graph_specs,
)

onnxruntime = pytest.importorskip("onnxruntime")

SPECS = graph_specs(small_config(layers=1))
# Every graph of the paper's kind, and the one whose table is another without cross-attention.
EXPORTED: list[tuple[str, Attention]] = [
    *((name, PAPER) for name in SPECS),
    (CONDITIONAL, "self"),
    (DENOISER, "self"),
]
# Axes that were 2, 3, 37 and 5 when the graphs were traced.
SIZES = [
    {"B": 1, "S": 1, "T": 1, "N": 1},
    {"B": 3, "S": 2, "T": 7, "N": 2},
    {"B": 2, "S": 16, "T": 65, "N": 50},
    {"B": 1, "S": 2, "T": 300, "N": 3},
]


each_graph = pytest.mark.parametrize(("name", "kind"), EXPORTED)


def load(name: str, kind: Attention = PAPER) -> onnx.ModelProto:
    return onnx.load_from_string(exported_graph(name, kind))


def signature(values: onnx.ModelProto) -> dict[str, tuple[str, tuple[str | int, ...]]]:
    """Name -> type and axes, of what goes in and out."""
    return {
        value.name: (
            onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim),
        )
        for value in (*values.graph.input, *values.graph.output)
    }


def test_a_file_for_each_graph():
    assert list(exported_files()) == [f"{name}.onnx" for name in (*SPECS, ATTENTION)]


@each_graph
def test_names_and_axes_are_the_tables(name: str, kind: Attention):
    model, spec = load(name, kind), graph_specs(small_config(kind, layers=1))[name]
    assert [v.name for v in model.graph.input] == [t.name for t in spec.inputs]
    assert [v.name for v in model.graph.output] == [t.name for t in spec.outputs]
    names = {"float32": "FLOAT", "int64": "INT64", "bool": "BOOL"}
    expected = {t.name: (names[t.dtype], t.axes) for t in (*spec.inputs, *spec.outputs)}
    assert signature(model) == expected


def test_the_denoiser_in_words():
    """The table's own tests hold it against the design; this spells one graph in full."""
    assert signature(load(DENOISER)) == {
        "noisy": ("FLOAT", ("B", "S", "T", 83)),
        "style": ("FLOAT", ("B", "S", 16)),
        "modulation": ("FLOAT", (11, 16)),
        "keys": ("FLOAT", ("B", 1, "T", 16)),
        "values": ("FLOAT", ("B", "S", 1, "T", 16)),
        "mask": ("BOOL", ("B", "T")),
        "guidance": ("FLOAT", ()),
        "clean": ("FLOAT", ("B", "S", "T", 83)),
    }
    alone = signature(load(DENOISER, "self"))
    assert alone["condition"] == ("FLOAT", ("B", "T", 16))
    assert not {"keys", "values"} & set(alone)


@each_graph
def test_a_graph_is_one_valid_file_of_standard_operators(name: str, kind: Attention):
    model = load(name, kind)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert {node.domain for node in model.graph.node} == {""}
    assert {t.data_location for t in model.graph.initializer} == {onnx.TensorProto.DEFAULT}
    assert not any(t.external_data for t in model.graph.initializer)


@each_graph
def test_metadata_is_inside_and_no_path_of_the_exporter_is(name: str, kind: Attention):
    content = exported_graph(name, kind)
    model = onnx.load_from_string(content)
    spec = graph_specs(small_config(kind, layers=1))[name]
    assert {p.key: p.value for p in model.metadata_props} == {
        **METADATA,
        "graph": name,
        "symbols": " ".join(spec.symbols),
        "precision": "fp32",
        "attention": "decomposed",
    }
    assert b".py" not in content
    assert b"stack_trace" not in content


def test_the_same_model_gives_the_same_bytes():
    """The key of an engine's cache is the hash of its graph."""
    again = export_graph(network(), SPECS[MODULATOR], OPSET, METADATA)
    assert again == exported_files()["modulator.onnx"]


def run(name: str, kind: Attention, inputs: dict[str, torch.Tensor]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(exported_graph(name, kind), options)
    return session.run(None, {key: x.numpy() for key, x in inputs.items()})  # pyright: ignore


def close(found: np.ndarray, expected: torch.Tensor) -> None:
    wanted = expected.numpy()
    assert found.shape == wanted.shape
    assert np.linalg.norm(wanted) > 0.1  # an all-zero output would prove nothing
    assert np.linalg.norm(found - wanted) <= 1e-5 * np.linalg.norm(wanted)


each_size = pytest.mark.parametrize(
    "sizes", SIZES, ids=lambda sizes: "-".join(map(str, sizes.values()))
)


@each_size
def test_onnx_runtime_encodes_and_modulates_as_the_model(sizes: dict[str, int]):
    model = network()
    speaker = example_inputs(SPECS[ENCODER], sizes, seed=3)
    timestep = torch.arange(999, -1, -999 // sizes["N"])[: sizes["N"]]
    context = model.encode(Batch(**speaker))
    encoded = run(ENCODER, PAPER, speaker)
    for tensor, found in zip(SPECS[ENCODER].outputs, encoded, strict=True):
        close(found, getattr(context, tensor.name))
    close(run(MODULATOR, PAPER, {"timestep": timestep})[0], model.modulate(timestep))


@pytest.mark.parametrize("kind", [PAPER, "self"])
@each_size
def test_onnx_runtime_denoises_as_the_model(kind: Attention, sizes: dict[str, int]):
    model = network(kind)
    inputs = example_inputs(graph_specs(model.config)[DENOISER], sizes, seed=4)
    given = {k: inputs.get(k, torch.empty(0)) for k in ("condition", "keys", "values", "style")}
    for scale in (0.0, 1.0, 4.0):
        inputs["guidance"] = torch.tensor(scale)
        expected = model.denoise(
            inputs["noisy"],
            inputs["modulation"],
            Context(**given),
            inputs["mask"],
            inputs["guidance"],
        )
        close(run(DENOISER, kind, inputs)[0], expected)


def fix_axis(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 37


def fix_output_axis(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 2


def rename_axis(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"


def rename_input(model: onnx.ModelProto) -> None:
    old = model.graph.input[0].name
    model.graph.input[0].name = "x"
    for node in model.graph.node:
        node.input[:] = ["x" if name == old else name for name in node.input]


def change_order(model: onnx.ModelProto) -> None:
    inputs = list(model.graph.input)
    del model.graph.input[:]
    model.graph.input.extend(reversed(inputs))


def add_output(model: onnx.ModelProto) -> None:
    model.graph.output.add().CopyFrom(model.graph.output[0])
    model.graph.output[-1].name = model.graph.node[0].output[0]


def change_type(model: onnx.ModelProto) -> None:
    model.graph.input[5].type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def cut_wire(model: onnx.ModelProto) -> None:
    model.graph.node[-1].input[0] = "nothing gives this"


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Reakt"


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (fix_axis, r"input noisy has axes \('B', 'S', 37, 83\), not \('B', 'S', 'T', 83\)"),
        (fix_output_axis, r"output clean has axes \(2, 'S', 'T', 83\)"),
        (rename_axis, r"input noisy has axes \('batch', 'S', 'T', 83\)"),
        (rename_input, r"inputs are \['x', 'style'"),
        (change_order, r"inputs are \['guidance', 'mask'"),
        (add_output, r"outputs are \['clean', "),
        (change_type, "input mask is float32, not bool"),
        (cut_wire, "nothing gives this"),
        (unknown_operator, "Reakt"),
    ],
)
def test_a_graph_that_is_not_the_tables_is_refused(
    tamper: Callable[[onnx.ModelProto], None], message: str
):
    model = load(DENOISER)
    check_graph(model, SPECS[DENOISER])
    tamper(model)
    with pytest.raises(ExportError, match=f"^graph denoiser: .*{message}") as error:
        check_graph(model, SPECS[DENOISER])
    assert error.value.exit_code == 1


def test_a_model_that_fixes_an_axis_is_refused(monkeypatch: pytest.MonkeyPatch):
    """Tracing succeeds, and the number of timesteps has become a constant."""

    def modulate(engine: ReferenceEngine, inputs: dict[str, torch.Tensor]) -> dict:
        timestep = inputs["timestep"][: TRACED["N"]].reshape(TRACED["N"])
        return {"modulation": engine._model.modulate(timestep)}

    monkeypatch.setattr(ReferenceEngine, "_modulate", modulate)
    with pytest.raises(ExportError, match=r"modulator: output modulation has axes \(5, 11, 16\)"):
        export_graph(network(), SPECS[MODULATOR], OPSET, {})


def test_the_traced_sizes_cannot_hide_a_mistake():
    """Sizes of 0 and 1 become constants, and equal ones could be taken for one another."""
    assert min(TRACED.values()) > 1
    assert len(set(TRACED.values())) == len(TRACED)


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("layers", [1, 3])
def test_the_arranged_denoiser_computes_what_the_reference_does(kind: Attention, layers: int):
    """Both branches as reactions of one batch, the first attention once; in float64."""
    model = random_model(small_config(kind, layers)).double()
    spec = graph_specs(model.config)[DENOISER]
    examples = example_inputs(spec, {"B": 2, "S": 3, "T": 9}, seed=2)
    inputs = {k: x.double() if x.is_floating_point() else x for k, x in examples.items()}
    given = {k: inputs.get(k, torch.empty(0)) for k in ("condition", "keys", "values", "style")}
    for scale in (0.0, 1.0, 7.5):
        inputs["guidance"] = torch.tensor(scale, dtype=torch.float64)
        rest = {k: x for k, x in inputs.items() if k not in given}
        (found,) = traced.Graph(model, spec)(*inputs.values())
        expected = model.denoise(context=Context(**given), **rest)
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


def makers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def ancestors(model: onnx.ModelProto, names: list[str]) -> set[str]:
    """Every value that these come from, themselves included."""
    made, found, left = makers(model), set(), list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left.extend(made[name].input if name in made else [])
    return found


def test_the_dropped_condition_has_no_attention_and_shared_work_is_done_once():
    """One layer: a relative attention for both branches, a subject attention for one."""
    nodes = load(DENOISER).graph.node
    assert [node.name for node in nodes if node.op_type in ("Softmax", "Conv")] == [
        "context.conv/Conv",
        "layers.0.relative.attend.weights/Softmax",
        "layers.0.subject.attend.weights/Softmax",
    ]


@pytest.mark.parametrize("kind", [PAPER, "self"])
def test_nothing_of_size_is_computed_from_constants_or_the_clip_alone(kind: Attention):
    """Products and norms depend on the step's own inputs; the rest is cheap: bias and casts."""
    model = load(DENOISER, kind)
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm", "Conv", "Gelu", "LayerNormalization", "Softmax"):
            assert "noisy" in ancestors(model, list(node.input)), node.name


def test_the_bias_can_be_given_with_the_same_result():
    """What is measured against a bias that is made at every step."""
    model = load(DENOISER)
    given, names = bias_as_inputs(model)
    assert len(names) == 2  # relative and subject
    assert len(given.graph.node) == len(model.graph.node) - 2
    model.graph.output.extend(value for value in given.graph.input if value.name in names)
    inputs = example_inputs(SPECS[DENOISER], {"B": 2, "S": 2, "T": 12}, seed=7)
    case = {key: x.numpy() for key, x in inputs.items()}
    clean, *biases = open_session(model.SerializeToString()).run(["clean", *names], case)
    case |= dict(zip(names, biases, strict=True))
    assert np.array_equal(open_session(given.SerializeToString()).run(None, case)[0], clean)


def test_nodes_are_named_by_the_part_of_the_model():
    names = [node.name for node in load(DENOISER).graph.node]
    assert len(set(names)) == len(names)
    assert {"embed/MatMul", "layers.0.feedforward/Gelu", "layers.0.norm/LayerNormalization"} <= set(
        names
    )


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_the_attention_graph_is_one_layers_attentions(kind: Attention):
    model = random_model(small_config(kind, layers=2))
    spec = kernel_graph_specs(model.config)[ATTENTION]
    inputs = example_inputs(spec, {"B": 2, "S": 3, "T": 33}, seed=5)
    content = export_graph(model, spec, OPSET, METADATA, layer=1)
    session = onnxruntime.InferenceSession(content)
    found = session.run(None, {key: x.numpy() for key, x in inputs.items()})
    layer = model.denoiser.layers[1]
    expected = {}
    if kind != "cross":
        expected["relative"] = layer.relative(inputs["tokens"], inputs["mask"])
    if kind != "self":
        expected["subject"] = layer.subject(
            **{"x" if k == "tokens" else k: v for k, v in inputs.items()}
        )
    assert list(expected) == [tensor.name for tensor in spec.outputs]
    for value, wanted in zip(found, expected.values(), strict=True):
        close(value, wanted)


def test_the_graphs_of_a_run_are_exported_with_the_same_options(monkeypatch: pytest.MonkeyPatch):
    options = {"dtype": "bf16", "form": OPERATOR}
    asked = []

    def export(model, spec, opset, metadata, **given):
        asked.append((opset, metadata, given))
        return spec.name.encode()

    monkeypatch.setattr(to_onnx, "export_graph", export)
    files = export_graphs(network(), 23, METADATA, **options)
    assert files == {f"{name}.onnx": name.encode() for name in SPECS}
    assert asked == [(23, METADATA, options)] * len(SPECS)


@pytest.mark.parametrize(
    ("opset", "form"),
    [(OPSETS[0], DECOMPOSED), (23, OPERATOR), (OPSETS[-1], OPERATOR), (OPSETS[-1], DECOMPOSED)],
)
def test_every_opset_and_form_computes_the_same(opset: int, form: str):
    model = network()
    spec = kernel_graph_specs(model.config)[ATTENTION]
    content = export_graph(model, spec, opset, METADATA, form=form)
    proto = onnx.load_from_string(content)
    kinds = [node.op_type for node in proto.graph.node]
    found = (kinds.count("Attention"), kinds.count("Softmax"))
    assert found == ((2, 0) if form == OPERATOR else (0, 2))
    assert {p.key: p.value for p in proto.metadata_props}["attention"] == form
    assert not model.denoiser.layers[0].relative.attend.fused  # as it was
    inputs = example_inputs(spec, {"B": 3, "S": 2, "T": 40}, seed=6)
    session = onnxruntime.InferenceSession(content)
    outputs = session.run(None, {key: x.numpy() for key, x in inputs.items()})
    expected = traced.Graph(model, spec)(*inputs.values())
    for value, wanted in zip(outputs, expected, strict=True):
        close(value, wanted)


@pytest.mark.parametrize(
    ("opset", "precision", "form", "message"),
    [
        (17, "fp32", DECOMPOSED, "--opset is 17, not 18 to 25"),
        (26, "fp32", DECOMPOSED, "--opset is 26, not 18 to 25"),
        (22, "fp32", OPERATOR, r"opset 22 has no attention operator \(use --opset 23 or newer\)"),
        (23, "fp32", "fused", "attention is 'fused', not one of decomposed, operator"),
        (23, "fp8", DECOMPOSED, "dtype is 'fp8', not one of fp32, mixed, fp16, bf16"),
        (23, "mixed", OPERATOR, "mixed keeps the softmax in fp32"),
    ],
)
def test_an_option_that_is_not_known_is_refused(
    opset: int, precision: str, form: str, message: str
):
    with pytest.raises(UsageError, match=f"^{message}"):
        check_options(opset, precision, form)
    with pytest.raises(UsageError, match=f"^{message}"):
        export_graph(network(), SPECS[MODULATOR], opset, {}, dtype=precision, form=form)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("opset", [OPSETS[0], 22, 23, OPSETS[-1]])
@pytest.mark.parametrize("precision", ["fp32", "mixed", "fp16", "bf16"])
def test_every_target_gets_a_form_that_can_be_exported(target: str, opset: int, precision: str):
    form = attention_form(target, precision, opset)
    check_options(opset, precision, form)
    expected = target != ONNX and opset >= 23 and precision in ("fp16", "bf16")
    assert form == FORMS[expected]


def test_an_unknown_target_is_refused():
    with pytest.raises(UsageError, match="target is 'coreml', not one of onnx, tensorrt"):
        attention_form("coreml", "fp32", 23)
