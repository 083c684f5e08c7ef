"""The layers of a plan as JSON, and which attentions became one kernel."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LAYERS = "Layers:"  # how the message that lists them begins, in the builder's log
TENSORS = r"(?:[ ,]*\{[^}]*\})*"  # names, dimensions and types, in braces
LINE = re.compile(
    rf"Name: (?P<name>.*?), LayerType: (?P<type>.*?), Inputs: \[(?P<inputs>{TENSORS})\], .*?"
    rf"Outputs: \[(?P<outputs>{TENSORS})\], .*?TacticName: (?P<tactic>.*?), StreamId: \d+, "
    r"Metadata: ?(?P<metadata>.*)"
)
TENSOR = re.compile(r"Name: (.*?), Dimensions: \[(.*?)\].*?Datatype: (\w+)")
NODE = re.compile(r"\[ONNX Layer: (.*?)\]")
FUSED = "mha"  # in the name of every kernel of multi-head attention
PRODUCTS = ("MatMul", "Gemm", "Einsum")


@dataclass(frozen=True)
class BuiltLayer:
    """One layer of a plan.

    Attributes:
        nodes: the ONNX nodes that it came from, all or in part.
        inputs, outputs: "name type [dimensions]" of each tensor, -1 for a free dimension.
    """

    name: str
    type: str
    tactic: str
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Layers:
    """The layers of a plan, and the attentions of its graph by what became of them.

    Attributes:
        fused: those that one kernel computes; each is named by its Softmax or Attention node.
        separate: the others: their scores are written to memory and read again.
    """

    layers: tuple[BuiltLayer, ...]
    fused: tuple[str, ...]
    separate: tuple[str, ...]

    @property
    def summary(self) -> str:
        attentions = len(self.fused) + len(self.separate)
        return f"{len(self.layers)} layers, {len(self.fused)} of {attentions} attentions fused"

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"summary": self.summary}, indent=1) + "\n"


def logged_layers(messages: Iterable[str]) -> list[BuiltLayer]:
    """The layers that a builder listed in its log, which needs no GPU; none if it did not."""
    layers = []
    for message in messages:
        if message.startswith(LAYERS):
            for line in message.splitlines()[1:]:
                if not line.strip():  # tensors of the whole plan follow
                    break
                if match := LINE.match(line.strip()):
                    layers.append(_layer(match))
    return layers


def summarise(layers: Sequence[BuiltLayer], onnx_model: bytes) -> Layers:
    """Hold the layers against the attentions of the graph that they came from."""
    kernels = [
        layer for layer in layers if FUSED in layer.name.lower() or FUSED in layer.tactic.lower()
    ]
    inside = {node for layer in kernels for node in layer.nodes}
    names = attention_nodes(onnx_model)
    return Layers(
        tuple(layers),
        tuple(name for name in names if name in inside),
        tuple(name for name in names if name not in inside),
    )


def attention_nodes(onnx_model: bytes) -> list[str]:
    """Names of the attentions of a graph: an Attention, or a Softmax that weighs a product."""
    import onnx

    graph = onnx.load_from_string(onnx_model).graph
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def weighs_a_product(node: Any) -> bool:
        return any(
            reader.op_type in PRODUCTS or (reader.op_type == "Cast" and weighs_a_product(reader))
            for reader in readers.get(node.output[0], ())
        )

    return [
        node.name or f"node_of_{node.output[0]}"  # as TensorRT's parser names it
        for node in graph.node
        if node.op_type == "Attention" or (node.op_type == "Softmax" and weighs_a_product(node))
    ]


def _layer(match: re.Match[str]) -> BuiltLayer:
    return BuiltLayer(
        name=match["name"],
        type=match["type"],
        tactic=match["tactic"],
        nodes=tuple(NODE.findall(match["metadata"])),
        inputs=_tensors(match["inputs"]),
        outputs=_tensors(match["outputs"]),
    )


def _tensors(text: str) -> tuple[str, ...]:
    return tuple(f"{name} {kind} [{axes}]" for name, axes, kind in TENSOR.findall(text))
