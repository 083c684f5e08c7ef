"""Names that the exporter's options take: formats, and operator sets. It imports nothing heavy."""

from mreactor_runtime.engines.names import ONNX, TENSORRT, TENSORRT_RTX

TRITON = "triton"
FORMATS = (ONNX, TENSORRT, TENSORRT_RTX, TRITON)

# Older ones lack operators that the tracer writes; of newer ones it knows no more than the number.
# ONNX Runtime 1.32, OpenVINO 2026.4 and TensorRT-RTX 1.7 take all of these, TensorRT 11 up to 25.
OPSETS = range(18, 26)
