"""The three networks that come with the package, checked and opened with ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_ref.signals import Array

FOLDER = Path(__file__).with_name("networks")

# SHA-256 of the files; where they come from stands in networks/README.md.
DETECTOR, LANDMARKS, EXPRESSION = "face_detector", "face_landmarks", "face_expression"
SHA256 = {
    DETECTOR: "0ce14cfd265ea6d84975f3e5616a76789cec4c2a8c90b3aa480bf89221b9ac27",
    LANDMARKS: "8fe9922e903965447afec87168ceaaa21a6c4230687584dcb9bb18b6400ecbd8",
    EXPRESSION: "e2000a851f74112e3a891d8ec6fa80ee318e4cfbea1197553442065c9c6d56ae",
}

Network = Callable[[Array], list[Array]]


class NoRuntimeError(UsageError):
    """ONNX Runtime is not installed, so no face can be read out of a video."""


def check_runtime() -> None:
    """Raise NoRuntimeError unless onnxruntime is installed."""
    if find_spec("onnxruntime") is None:
        raise NoRuntimeError(
            "the face in a video cannot be read without onnxruntime",
            fix="pip install 'mreactor[onnxruntime]'",
        )


def open_network(name: str) -> Network:
    """Open one of the networks; it runs on one core.

    Returns:
        A function from the input, with a first axis of 1, to all outputs.

    Raises:
        NoRuntimeError: onnxruntime is not installed.
        IntegrityError: the file is not the one that the package was made with.
    """
    path = FOLDER / f"{name}.onnx"
    check_runtime()
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[name]:
        raise IntegrityError("is not the network of this version", path, "install mreactor again")
    return open_file(path)


def open_file(path: Path) -> Network:
    """Open an ONNX file with one input, whatever it is; it runs on one core.

    Raises:
        NoRuntimeError: onnxruntime is not installed.
        UsageError: it is no ONNX file.
    """
    check_runtime()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises its own, by what is wrong with the file
        raise UsageError(f"is no ONNX file that can be run: {error}", path) from error
    source = session.get_inputs()[0].name
    return lambda values: cast("list[Array]", session.run(None, {source: values}))
