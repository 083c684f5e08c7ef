"""Names of engines and devices, as options spell them, and which engine `auto` prefers."""

TORCH, ONNX, OPENVINO = "torch", "onnx", "openvino"
TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt-rtx"
CPU, CUDA = "cpu", "cuda"
AUTO = "auto"

ENGINES = (AUTO, TORCH, ONNX, OPENVINO, TENSORRT, TENSORRT_RTX)
DEVICES = (AUTO, CPU, CUDA)

# What `auto` takes on a device: the first that can run. Fixed, not measured at run time, so that
# a second run gives the same bytes.
# TensorRT is taken only when asked for: it is not measured yet.
PREFERENCE = {
    CPU: (TORCH, ONNX, OPENVINO),
    CUDA: (TORCH, ONNX),
}
