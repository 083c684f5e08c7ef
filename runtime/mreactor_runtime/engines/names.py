"""Names of engines, devices and precisions, as options spell them, and what `auto` prefers."""

TORCH, ONNX, OPENVINO = "torch", "onnx", "openvino"
TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt-rtx"
CPU, CUDA = "cpu", "cuda"
FP32, MIXED, FP16, BF16 = DTYPES = ("fp32", "mixed", "fp16", "bf16")  # of the steps
AUTO = "auto"

ENGINES = (AUTO, TORCH, ONNX, OPENVINO, TENSORRT, TENSORRT_RTX)
DEVICES = (AUTO, CPU, CUDA)

# Options of TensorRT plans, as trtexec spells them.
HARDWARE_LEVELS = ("none", "ampere+", "sameComputeCapability")
VERBOSITIES = ("layer_names_only", "detailed", "none")
HIGHEST_LEVEL = 5  # of optimization

# What `auto` takes on a device: the first that can run. Fixed, not measured at run time, so that
# a second run gives the same bytes.
# TensorRT is taken only when asked for: it is not measured yet.
PREFERENCE = {
    CPU: (TORCH, ONNX, OPENVINO),
    CUDA: (TORCH, ONNX),
}
