"""Checks of a bundle's ONNX files beyond their hash: one file, its tensors, its checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mreactor_ref.errors import IntegrityError
from mreactor_ref.files import shown_hash
from mreactor_runtime.tensors import GraphSpec

if TYPE_CHECKING:
    import onnx

CHECKPOINT = "checkpoint_sha256"  # the exporter's metadata
AGAIN = "export it again with mreactor-export"


def check_onnx(content: bytes, path: Path, checkpoint_sha256: str, spec: GraphSpec) -> None:
    """Refuse a file that is not what the exporter writes.

    Its inputs and outputs are those of the table, also the ones that no node reads and an engine
    may forget. A file whose metadata names another checkpoint was put here from elsewhere. External
    data would make an engine open other files, which no hash covers.

    Args: spec: of the graph that it is to be.

    Raises: IntegrityError, which names the file.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise IntegrityError(f"is no ONNX model: {error}", path, AGAIN) from None
    if not model.graph.node:
        raise IntegrityError("is no ONNX model: it has no nodes", path, AGAIN)
    external = [tensor.name for tensor in tensors(model) if is_external(tensor)]
    if external:
        raise IntegrityError(
            f"keeps data of {len(external)} tensors in other files, {external[0]!r} first",
            path,
            AGAIN,
        )
    for kind, values, specs in (
        ("inputs", model.graph.input, spec.inputs),
        ("outputs", model.graph.output, spec.outputs),
    ):
        names, expected = [value.name for value in values], [tensor.name for tensor in specs]
        if names != expected:
            raise IntegrityError(
                f"has the {kind} {', '.join(names)}, not {', '.join(expected)}", path, AGAIN
            )
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if metadata.get(CHECKPOINT, checkpoint_sha256) != checkpoint_sha256:
        raise IntegrityError(
            f"is of the checkpoint {shown_hash(metadata[CHECKPOINT])}, "
            f"not {shown_hash(checkpoint_sha256)} of its bundle",
            path,
            AGAIN,
        )


def is_external(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.external_data) or tensor.data_location == tensor.EXTERNAL


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model: of its graph, graphs inside nodes, and its functions."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _graph_tensors(graph)
