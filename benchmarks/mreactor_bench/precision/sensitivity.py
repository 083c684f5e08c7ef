"""How much each class of operators loses in a half type: the measurement behind `KEEP_FP32`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch

from mreactor_export.operators import CLASSES, PRODUCTS, classify
from mreactor_export.parity.calls import open_session
from mreactor_export.precision import convert, emulate, halved
from mreactor_ref.model import Batch, MReactor
from mreactor_runtime.tensors import DENOISER, ENCODER, example_inputs, graph_specs

Case = dict[str, np.ndarray]
SIZES = {"B": 1, "S": 1, "T": 750}  # beyond 256 frames, where bf16 has no odd numbers
TIMESTEPS = (999, 500, 20)
GUIDANCE = (7.5,)  # multiplies what the two branches lose
GAIN = 0.95  # a class is kept in fp32 when that takes the error to this part of what it was


@dataclass(frozen=True)
class Sensitivity:
    """Relative L2 errors of the clean sample, the largest of all cases.

    Attributes:
        operators: one of `CLASSES`. nodes: how many of the graph's are of it.
        alone: with this class alone in the half type.
        spared: with every class but this in the half type.
    """

    operators: str
    nodes: int
    alone: float
    spared: float


def denoiser_cases(
    model: MReactor, sizes: dict[str, int] | None = None, seed: int = 0
) -> list[Case]:
    """Inputs of the denoiser as a run makes them: a speaker's condition, steps early and late."""
    specs, sizes = graph_specs(model.config), sizes or SIZES
    speaker = example_inputs(specs[ENCODER], sizes, seed)
    with torch.no_grad():
        context, modulation = (
            model.encode(Batch(**speaker)),
            model.modulate(torch.tensor(TIMESTEPS)),
        )
    given = example_inputs(specs[DENOISER], sizes, seed + 1) | {"mask": speaker["mask"]}
    for name in ("condition", "keys", "values", "style"):
        if name in given:
            given[name] = getattr(context, name)
    return [
        {k: np.asarray(x) for k, x in given.items()}
        | {"modulation": row.numpy(), "guidance": np.array(scale, np.float32)}
        for row in modulation
        for scale in GUIDANCE
    ]


def measure_sensitivity(
    proto: onnx.ModelProto, precision: str, cases: Sequence[Case]
) -> Iterator[Sensitivity]:
    """Each class of operators that the graph has, alone in the half type and alone spared.

    Args:
        proto: a graph in fp32. precision: "fp16" or "bf16".
    Raises: UsageError: onnxruntime is not installed.
    """
    classes = classify(proto.graph)
    there = [kind for kind in CLASSES if kind in classes]
    expected = _run(proto, cases)
    for kind in there:
        yield Sensitivity(
            kind,
            classes.count(kind),
            _error(proto, precision, {kind}, cases, expected),
            _error(proto, precision, set(there) - {kind}, cases, expected),
        )


def find_kept(
    proto: onnx.ModelProto, precision: str, cases: Sequence[Case]
) -> Iterator[tuple[str, float]]:
    """The table `KEEP_FP32` by measurement: class after class, and the error with all kept so far.

    Starts with ("", the error with everything in the half type); at each turn the class whose
    keeping lowers the error most, as long as that is by more than `GAIN`. Products of matrices are
    what a half type is for: they are not asked.
    """
    expected = _run(proto, cases)
    half = {kind for kind in classify(proto.graph) if kind is not None}
    error = _error(proto, precision, half, cases, expected)
    yield "", error
    while half - PRODUCTS:
        tried = {
            kind: _error(proto, precision, half - {kind}, cases, expected)
            for kind in CLASSES
            if kind in half - PRODUCTS
        }
        best = min(tried, key=lambda kind: (tried[kind], kind))
        if not tried[best] < error * GAIN:
            return
        error = tried[best]
        half.remove(best)
        yield best, error


def measure_precision(
    proto: onnx.ModelProto, precision: str, cases: Sequence[Case]
) -> tuple[float, float]:
    """Relative L2 of a precision as `convert` makes it, and with nothing kept in fp32."""
    expected = _run(proto, cases)
    return (
        _error(proto, precision, halved(precision), cases, expected),
        _error(proto, precision, set(CLASSES), cases, expected),
    )


def _error(
    proto: onnx.ModelProto,
    precision: str,
    classes: Collection[str],
    cases: Sequence[Case],
    expected: Sequence[np.ndarray],
) -> float:
    outputs = _run(emulate(convert(proto, precision, classes)), cases)
    errors = [
        np.linalg.norm((a - b).astype(np.float64)) / np.linalg.norm(b.astype(np.float64))
        for a, b in zip(outputs, expected, strict=True)
    ]
    return float(np.max(errors))  # NaN, where there is one


def _run(proto: onnx.ModelProto, cases: Sequence[Case]) -> list[np.ndarray]:
    session = open_session(proto.SerializeToString())
    names = [value.name for value in proto.graph.input]
    return [
        np.asarray(session.run(None, {name: case[name] for name in names})[0]) for case in cases
    ]
