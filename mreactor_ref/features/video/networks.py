"""The three networks that come with the package, checked and opened with ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_ref.signals import Array

FOLDER = Path(__file__).with_name("networks")

# SHA-256 of the files; where they come from stands in networks/README.md.
DETECTOR, LANDMARKS, EXPRESSION = "face_detector", "face_landmarks", "face_expression"
SHA256 = {
    DETECTOR: "1837feb4070aa5f784525dff514b7fc1258fc662741f27ea0b6d6f222ea0f41d",
    LANDMARKS: "804f13a8d20d0f83b77390b26880ae03a6fee37de6dac8fe69eedb19786987dd",
    EXPRESSION: "2955a73e2713a74a59f217dd455f414f3d534ea9a2c71318ef5752dd221aa55e",
}

Network = Callable[[Array], list[Array]]


class NoRuntimeError(UsageError):
    """ONNX Runtime is not installed, so no face can be read out of a video."""


def open_network(name: str) -> Network:
    """Open one of the networks; it runs on one core.

    Returns:
        A function from the input, with a first axis of 1, to all outputs.

    Raises:
        NoRuntimeError: onnxruntime is not installed.
        IntegrityError: the file is not the one that the package was made with.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise NoRuntimeError(
            "the face in a video cannot be read without onnxruntime",
            fix="pip install 'mreactor[onnxruntime]'",
        ) from error
    path = FOLDER / f"{name}.onnx"
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise IntegrityError("is not the network of this version", path, "install mreactor again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name
    return lambda values: session.run(None, {source: values})
