import json

import onnx
import onnx.parser

from mreactor_runtime.engines.tensorrt.layers import (
    attention_nodes,
    logged_layers,
    summarise,
)

TENSOR = (
    "{{ Name: {}, Dimensions: [-1,83], Strides: [83,1], StrideOrder: [1,0], Datatype: Float, "
    "Format: (Linear) Row major linear format }}"
)
LOG = f"""Layers:
Name: start_0, LayerType: shape_call, Inputs: [], Constants: [], Outputs: [], TacticName: , \
StreamId: 0, Metadata: \n\
Name: scores_1, LayerType: gemm, Inputs: [ {TENSOR.format("q")}, {TENSOR.format("k")}], \
Constants: [ {TENSOR.format("scale")}], Outputs: [ {TENSOR.format("s")}], TacticName: stub, \
StreamId: 0, Metadata: [ONNX Layer: first]
Name: _gemm_mha_v2_2, LayerType: kgen, Inputs: [ {TENSOR.format("s")}], Outputs: \
[ {TENSOR.format("o")}], ParameterType: None, TacticName: _gemm_mha_v2_0x1, StreamId: 0, \
Metadata: [ONNX Layer: product][ONNX Layer: second]

I/O Tensors:
 Name: q, IOMode: Input
"""

GRAPH = """<ir_version: 10, opset_import: ["" : 23]>
g (float[2,2,4,4] q, float[2,2,4,4] k, float[2,2,4,4] v) => (float[2,2,4,4] o, float[2,2,4,4] w)
{
    s = MatMul(q, k)
    a = Softmax(s)
    b = Cast<to = 1>(a)
    x = MatMul(b, v)
    o = Attention(x, k, v)
    w = Softmax(s)
}"""


def graph() -> bytes:
    model = onnx.parser.parse_model(GRAPH)
    for node, name in zip(
        model.graph.node, ("product", "first", "", "", "second", ""), strict=True
    ):
        node.name = name
    return model.SerializeToString()


def test_layers_are_read_from_the_builders_log():
    layers = logged_layers(["Local timing cache in use", LOG])
    assert [(layer.name, layer.type, layer.nodes) for layer in layers] == [
        ("start_0", "shape_call", ()),
        ("scores_1", "gemm", ("first",)),
        ("_gemm_mha_v2_2", "kgen", ("product", "second")),
    ]
    assert layers[1].inputs == ("q Float [-1,83]", "k Float [-1,83]")
    assert layers[1].outputs == ("s Float [-1,83]",)
    assert layers[2].tactic == "_gemm_mha_v2_0x1"
    assert logged_layers(["nothing of the kind"]) == []


def test_the_summary_tells_fused_attentions_from_separate_ones():
    assert attention_nodes(graph()) == ["first", "second"]  # the last weighs nothing
    found = summarise(logged_layers([LOG]), graph())
    assert found.fused == ("second",)
    assert found.separate == ("first",)
    assert found.summary == "3 layers, 1 of 2 attentions fused"
    told = json.loads(found.to_json())
    assert told["summary"] == found.summary
    assert told["layers"][2]["nodes"] == ["product", "second"]
