"""Figures of each layer: parts inside an exported graph, as extra outputs of that very graph.

And of the attentions of one layer alone, which have a graph of their own, on every engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from mreactor_export.parity.calls import call, open_session, step_inputs
from mreactor_export.parity.candidates import EMULATED
from mreactor_export.parity.cases import Sizes
from mreactor_export.parity.figures import LAYER, Figure, NamesError, ParityError, compare_all
from mreactor_export.parity.setup import Setup
from mreactor_export.parity.speakers import Tensors, noise, random_speaker
from mreactor_export.precision import FP32, dtype_of, emulate
from mreactor_ref.denoiser import Layer
from mreactor_ref.model import MReactor
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.engines.names import ONNX
from mreactor_runtime.tensors import (
    ATTENTION,
    DENOISER,
    ENCODER,
    KEYS,
    MASK,
    STEPPING,
    TOKENS,
    VALUES,
)

LAST = {"relative": "relative.out", "subject": "subject.out", "feedforward": "feedforward.down"}
GUIDANCE = 2.0


def layer_figures(setup: Setup, onnx_files: Mapping[str, bytes]) -> Iterator[Figure]:
    """Every sublayer of every layer of a step, in ONNX Runtime on the CPU.

    Each is fed by the layers before it, so an error is seen from the layer on that made it.

    Args:
        onnx_files: graph name -> ONNX bytes. A graph in half precision runs as `emulate` makes it.
    """
    name = ONNX if setup.dtype == FP32 else EMULATED
    parts = sublayers(setup.model)
    opened: dict[str, tuple[Any, dict[str, str]]] = {}
    for sizes in setup.cases.layers:
        speaker = random_speaker(setup.model, sizes)
        context = {key: x.float() for key, x in setup.exact.run(ENCODER, speaker).items()}
        step = step_inputs(noise(sizes), setup.modulation(500), GUIDANCE)
        inputs: Tensors = {**context, **step, MASK: speaker[MASK]}
        for graph in STEPPING:
            scale = GUIDANCE if graph == DENOISER else None
            bound = setup.bound(LAYER, graph)
            try:
                if graph not in opened:
                    opened[graph] = _open(onnx_files[graph], graph, setup.dtype, parts)
                results = _run(opened[graph], setup, graph, inputs, parts)
            except ParityError as fault:
                label = setup.label(name, LAYER, graph, sizes, scale)
                yield Figure(**vars(label), bound=bound, fault=fault)
                continue
            expected = {r.name: r.layers(graph, inputs) for r in setup.references}
            for part in parts:
                label = setup.label(name, LAYER, f"{graph} {part}", sizes, scale)
                pairs = [(key, results[part], outputs[part]) for key, outputs in expected.items()]
                yield compare_all(label, bound, lambda pairs=pairs: pairs)


def attention_figures(setup: Setup) -> Iterator[Figure]:
    """The graph of attention alone, each of its attentions, on all engines.

    Tokens are normal, as a layer norm leaves them; keys and values are a speaker's.
    """
    for sizes in setup.cases.layers:
        inputs = _attention_inputs(setup, sizes)
        expected = {r.name: r.run(ATTENTION, inputs) for r in setup.references}
        for name, engine in setup.engines(sizes.frames):
            for output in setup.specs[ATTENTION].outputs:
                label = setup.label(name, LAYER, f"{ATTENTION} {output.name}", sizes)
                compared = partial(_attended, setup, name, engine, output.name, inputs, expected)
                yield compare_all(label, setup.bound(LAYER, ATTENTION), compared)


def _attention_inputs(setup: Setup, sizes: Sizes) -> Tensors:
    speaker = random_speaker(setup.model, sizes)
    context = setup.exact.run(ENCODER, speaker)
    generator = torch.Generator().manual_seed(sizes.seed)
    shape = (sizes.clips, sizes.reactions, sizes.frames, setup.model.config.width)
    layered = {name: axis for name, axis in ((KEYS, 1), (VALUES, 2)) if name in context}
    return {
        TOKENS: torch.randn(shape, generator=generator),
        MASK: speaker[MASK],
        **{name: context[name].select(axis, 0).float() for name, axis in layered.items()},
    }


def _attended(
    setup: Setup,
    name: str,
    engine: Engine,
    output: str,
    inputs: Tensors,
    expected: Mapping[str, Tensors],
) -> Iterator[tuple[str, Tensor, Tensor]]:
    attended = call(engine, name, setup.specs[ATTENTION], inputs)[output]
    yield from ((against, attended, outputs[output]) for against, outputs in expected.items())


def sublayers(model: MReactor) -> list[str]:
    """ "layers.0.relative" and so on, as far as the model has them."""
    return [
        f"layers.{i}.{name}"
        for i, layer in enumerate(model.denoiser.layers)
        for name in LAST
        if isinstance(layer, Layer) and getattr(layer, name) is not None
    ]


def exposed(proto: onnx.ModelProto, graph: str, parts: list[str]) -> dict[str, str]:
    """Part -> the value that its last operator makes, by the names of the nodes.

    Raises: NamesError where the graph has no node of a part.
    """
    makers = {}
    for node in proto.graph.node:
        makers[node.name.rpartition("/")[0]] = node.output[0]
    values = {}
    for part in parts:
        layer, _, name = part.rpartition(".")
        value = makers.get(f"{layer}.{LAST[name]}")
        if value is None:
            raise NamesError(f"the graph {graph} has no part {part}")
        values[part] = value
    return values


def _open(content: bytes, graph: str, dtype: str, parts: list[str]) -> tuple[Any, dict[str, str]]:
    proto = onnx.load_from_string(content)
    values = exposed(proto, graph, parts)
    half = dtype_of(graph, dtype) != FP32
    if half:
        proto = emulate(proto)
    have = {value.name for value in proto.graph.output}
    proto.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in dict.fromkeys(values.values())
        if name not in have
    )
    return open_session(proto.SerializeToString(), optimised=not half), values


def _run(
    opened: tuple[Any, dict[str, str]], setup: Setup, graph: str, inputs: Tensors, parts: list[str]
) -> dict[str, Tensor]:
    session, values = opened
    feeds = {tensor.name: inputs[tensor.name].numpy() for tensor in setup.specs[graph].inputs}
    outputs = session.run([values[part] for part in parts], feeds)
    return {part: torch.from_numpy(np.asarray(x)) for part, x in zip(parts, outputs, strict=True)}
