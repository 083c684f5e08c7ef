"""A judge of expressions as a file: a network of EmotiEffNet's form with one answer."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from mreactor_ref.features.video.emotieffnet import FILE


def write_judge(folder: Path, outputs: int = 10) -> Path:
    """A network of EmotiEffNet's inputs and outputs: always contempt, valence -0.5, arousal 2."""
    answer = np.zeros((1, outputs), np.float32)
    answer[0, 1], answer[0, -2:] = 9.0, [-0.5, 2.0]
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["picture"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "answer"], ["scores"]),
        ],
        "stand_in",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, outputs])],
        [
            helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
            helper.make_tensor("answer", TensorProto.FLOAT, [1, outputs], answer.ravel()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, folder / FILE)
    return folder
