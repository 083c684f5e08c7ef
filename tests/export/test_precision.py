"""A graph in another precision: the same contract, a type for every tensor, and what it costs."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import onnx
import onnx.parser
import pytest
from fakes.exported import OPSET, exported_graph, network
from fakes.models import small_config

from mreactor_bench.precision.sensitivity import (
    Case,
    denoiser_cases,
    find_kept,
    measure_precision,
    measure_sensitivity,
)
from mreactor_export import to_onnx
from mreactor_export.operators import CLASSES, DATA_MOVEMENT, PRODUCTS, classify
from mreactor_export.parity.calls import open_session
from mreactor_export.precision import (
    BF16,
    FP16,
    FP32,
    HALF_TYPES,
    KEEP_FP32,
    MIXED,
    PrecisionError,
    convert,
    dtype_of,
    emulate,
    float_values,
    halved,
)
from mreactor_export.to_onnx import check_graph, export_graph
from mreactor_ref.errors import UsageError
from mreactor_runtime.engines.names import DTYPES
from mreactor_runtime.tensors import DENOISER, ENCODER, MODULATOR, graph_specs

SPECS = graph_specs(small_config(layers=1))
HALVES = [MIXED, FP16, BF16]
FLOAT = onnx.TensorProto.FLOAT
each_half = pytest.mark.parametrize("precision", HALVES)


def load(name: str = DENOISER) -> onnx.ModelProto:
    return onnx.load_from_string(exported_graph(name))


@cache
def cases() -> tuple[Case, ...]:
    return tuple(denoiser_cases(network(), {"B": 2, "S": 2, "T": 20}))


def run(model: onnx.ModelProto, case: Case, optimised: bool = False) -> np.ndarray:
    session = open_session(model.SerializeToString(), optimised)
    names = [value.name for value in model.graph.input]
    return np.asarray(session.run(None, {name: case[name] for name in names})[0])


def error(found: np.ndarray, expected: np.ndarray) -> float:
    assert np.linalg.norm(expected) > 1
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def types(model: onnx.ModelProto) -> dict[str, int]:
    """The type of every tensor, by strict inference."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    values = (*graph.input, *graph.output, *graph.value_info)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def test_fp32_is_the_graph_as_it_was():
    model = load()
    same = convert(model, FP32)
    assert same == model
    assert metadata(same)["precision"] == "fp32"


@each_half
@pytest.mark.parametrize("name", [ENCODER, MODULATOR, DENOISER])
def test_the_contract_is_the_same_and_the_graph_is_valid(precision: str, name: str):
    model = convert(load(name), precision)
    check_graph(model, SPECS[name])  # names, axes, float32 at both ends, the full check
    assert metadata(model)["precision"] == precision
    before = metadata(load(name))
    assert metadata(model) == before | {"precision": precision}


@each_half
def test_a_conversion_is_deterministic_and_leaves_its_graph_alone(precision: str):
    model, untouched = load(), load()
    once, twice = convert(model, precision), convert(model, precision)
    assert once.SerializeToString() == twice.SerializeToString()
    assert model == untouched


@each_half
def test_each_operator_has_the_type_that_the_table_gives_it(precision: str):
    """Only what takes part in a product of types differs: nothing is left between two types."""
    model, half = load(), HALF_TYPES[precision]
    floats = float_values(model)
    expected = {
        node.name: kind in halved(precision)
        for node, kind in zip(model.graph.node, classify(model.graph), strict=True)
        if kind is not None and floats.issuperset(node.output)
    }
    after = convert(model, precision)
    kinds, seen = types(after), Counter()
    for node in after.graph.node:
        if node.name not in expected or (precision == BF16 and node.op_type == "Conv"):
            continue
        used = {kinds[name] for name in (*node.input, *node.output) if name}
        assert used - {onnx.TensorProto.BOOL} == {half if expected[node.name] else FLOAT}, node.name
        seen[expected[node.name]] += 1
    assert seen[True] > 5
    assert seen[False] > 5


@each_half
def test_no_value_is_cast_twice_or_back(precision: str):
    nodes = convert(load(), precision).graph.node
    half = HALF_TYPES[precision]
    casts = [(n.input[0], n.output[0], n.attribute[0].i) for n in nodes if n.op_type == "Cast"]
    assert max(Counter((source, kind) for source, _, kind in casts).values()) == 1
    rounded = {target for _, target, kind in casts if kind == half}
    assert rounded
    assert not [source for source, _, kind in casts if kind == FLOAT and source in rounded]


@each_half
def test_the_weights_of_products_are_kept_in_the_half_type(precision: str):
    model, half = convert(load(), precision), HALF_TYPES[precision]
    used = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= used  # none is left behind
    matrices = [t for t in model.graph.initializer if len(t.dims) == 2]
    in_half = [tensor for tensor in matrices if tensor.data_type == half]
    assert len(in_half) == len(matrices) - 2 > 5  # without the ends of the denoiser
    assert len(model.SerializeToString()) < len(exported_graph(DENOISER))


def test_moves_of_data_stay_in_the_half_type_between_halves():
    model = convert(load(), BF16)
    kinds = types(model)
    names = {name: node for node in model.graph.node for name in node.output}
    products = [n for n in model.graph.node if n.name.endswith("attend.weights/MatMul")]
    assert len(products) == 2
    for product in products:
        for name in product.input:
            while names[name].op_type in DATA_MOVEMENT:
                assert kinds[name] == onnx.TensorProto.BFLOAT16
                name = names[name].input[0]


@pytest.mark.parametrize(("precision", "bound"), [(MIXED, 4e-3), (FP16, 8e-3), (BF16, 6e-2)])
def test_a_precision_costs_what_its_type_rounds(precision: str, bound: float):
    """The bounds are twice what was measured: masked keys bring nothing but rounding either."""
    model = load()
    emulated = emulate(convert(model, precision))
    onnx.checker.check_model(emulated, full_check=True)
    for case in cases():
        found = error(run(emulated, case), run(model, case))
        assert bound / 100 < found < bound


def test_the_emulation_is_what_fp16_gives():
    """ONNX Runtime runs fp16 on a CPU, but rounds less often: it widens what lacks a kernel."""
    model = load()
    converted = convert(model, FP16)
    for case in cases():
        expected, real = run(model, case), run(converted, case)
        ratio = error(run(emulate(converted), case), expected) / error(real, expected)
        assert 0.8 < ratio < 2.5


def test_fp32_is_not_changed_by_the_emulation():
    model = load()
    assert emulate(convert(model, FP32)).graph.node == model.graph.node


def test_a_weight_beyond_the_type_is_refused():
    model = load()
    tensor = next(t for t in model.graph.initializer if t.name.endswith("up.bias"))
    values = np.array(onnx.numpy_helper.to_array(tensor))
    values[3] = 1e5
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    with pytest.raises(PrecisionError, match=r"up\.bias has a value of 1e\+05, .* beyond float16"):
        convert(model, FP16)
    convert(model, BF16)


def test_an_unknown_precision_is_refused():
    with pytest.raises(UsageError, match="dtype is 'fp8', not one of fp32, mixed, fp16, bf16"):
        convert(load(), "fp8")


def test_only_what_runs_at_every_step_leaves_fp32():
    for precision in DTYPES:
        assert dtype_of(ENCODER, precision) == dtype_of(MODULATOR, precision) == FP32
        assert dtype_of(DENOISER, precision) == precision


def test_an_export_is_converted(monkeypatch: pytest.MonkeyPatch):
    """Tracing takes seconds: here it gives what was traced before."""

    def trace(graph, *_):
        model = load(graph.spec.name)
        del model.metadata_props[:]
        return model

    monkeypatch.setattr(to_onnx, "_trace", trace)
    for name, expected in ((DENOISER, BF16), (ENCODER, FP32)):
        content = export_graph(network(), SPECS[name], OPSET, {}, dtype=BF16)
        assert metadata(onnx.load_from_string(content))["precision"] == expected


def convolution(opset: int) -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : {opset}]>
convolve (float[1,1,T] x) => (float[1,1,U] y)
<float[1,1,1] w = {{2.0}}, float two = {{2.0}}> {{
    one = Constant<value = float {{1.0}}>()
    z = Conv(x, w)
    s = Mul(z, two)
    y = Add(s, one)
}}"""
    )


@pytest.mark.parametrize(
    ("opset", "precision", "half"), [(21, BF16, False), (22, BF16, True), (18, FP16, True)]
)
def test_an_operator_that_does_not_know_the_type_stays_in_fp32(
    opset: int, precision: str, half: bool
):
    model = convert(convolution(opset), precision)
    onnx.checker.check_model(model, full_check=True)
    weight = next(t for t in model.graph.initializer if t.dims == [1, 1, 1])
    assert weight.data_type == (HALF_TYPES[precision] if half else FLOAT)
    assert "Constant" not in {node.op_type for node in model.graph.node}


def test_every_node_of_the_denoiser_that_computes_has_a_class():
    model = load()
    classes = classify(model.graph)
    without = {
        node.op_type
        for node, kind in zip(model.graph.node, classes, strict=True)
        if kind is None and float_values(model).intersection(node.output)
    }
    assert without <= DATA_MOVEMENT | {"Range", "Cast"}
    found = Counter(classes)
    assert set(CLASSES) - {"attention"} == set(found) - {None}
    assert (found["softmax"], found["activation"], found["convolution"]) == (2, 1, 1)
    assert (found["guidance"], found["ends"], found["norm"]) == (3, 4, 4)
    assert (found["matmul"], found["scores"]) == (10, 4)


def test_each_class_is_measured_alone_and_spared():
    rows = list(measure_sensitivity(load(), BF16, cases()[:1]))
    assert [row.operators for row in rows] == [k for k in CLASSES if k != "attention"]
    assert sum(row.nodes for row in rows) == len([k for k in classify(load().graph) if k])
    table, everything = measure_precision(load(), BF16, cases()[:1])
    assert 0 < table < everything
    for row in rows:
        # Convolutions know bf16 from opset 22 on; every other class loses something.
        assert (row.alone > 0) == (row.operators != "convolution")
        assert row.alone < 1.5 * everything
        assert row.spared < 1.5 * everything


def test_what_is_kept_is_found_by_the_error_it_saves():
    """Above 256 frames bf16 confuses neighbours: that is found first, whatever the model."""
    long = denoiser_cases(network(), {"B": 1, "S": 1, "T": 600})[:1]
    found = list(find_kept(load(), BF16, long))
    errors = [value for _, value in found]
    assert errors == sorted(errors, reverse=True)
    kept = [kind for kind, _ in found]
    assert kept[0] == ""
    assert kept[1] == "decay"
    assert not PRODUCTS.intersection(kept)


def test_the_table_is_of_classes_with_a_reason_each():
    assert set(KEEP_FP32) <= set(CLASSES) - PRODUCTS
    assert all(KEEP_FP32.values())
    assert halved(FP16) == halved(BF16) == set(CLASSES) - set(KEEP_FP32)
    assert halved(MIXED) == PRODUCTS
    assert halved(FP32) == frozenset()
