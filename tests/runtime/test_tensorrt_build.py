"""Plans that are really built, with TensorRT-RTX, which needs no GPU; and what TensorRT is told."""

import json

import onnx
import onnx.parser
import pytest
import torch
from fakes.engines import CONFIG, onnx_files
from fakes.exported import exported_files
from fakes.models import small_config
from fakes.tensorrt import FakeTensorRT

from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_runtime.engines.tensorrt import build as tensorrt_build
from mreactor_runtime.engines.tensorrt.build import build_plan
from mreactor_runtime.engines.tensorrt.options import (
    LENGTH_EDGES,
    BuildOptions,
    Profile,
    bucket_profiles,
    default_profiles,
)
from mreactor_runtime.engines.tensorrt.package import (
    TENSORRT_RTX,
    TensorRT,
    TensorRTError,
    is_installed,
    load_tensorrt,
)
from mreactor_runtime.tensors import GraphSpec, TensorSpec, graph_specs

SPECS = graph_specs(small_config(layers=1))
ENDS = {"shortest": 1, "longest": LENGTH_EDGES[-1]}
needs_rtx = [
    pytest.mark.tensorrt,
    pytest.mark.skipif(not is_installed(TENSORRT_RTX), reason="tensorrt-rtx is not installed"),
]
ONNX_TYPES = {"fp32": ("float", 1), "fp16": ("float16", 10), "bf16": ("bfloat16", 16)}

# One attention with the decay over distance, in a precision of its own between fp32 tensors.
WIDTH = 32
ATTENTION = GraphSpec(
    "attention",
    tuple(
        TensorSpec(name, axes, "float32", -1, 1)
        for name, axes in (
            *((name, ("S", 2, "T", WIDTH)) for name in ("q0", "k0", "v0")),
            ("frame", ("T",)),
        )
    ),
    (TensorSpec("out", ("S", 2, "T", WIDTH), "float32", -1, 1),),
)
FORMS = {
    "decomposed": """
    turned = Transpose<perm = [0, 1, 3, 2]>(k)
    product = MatMul(q, turned)
    scaled = Mul(product, scale)
    scores = Add(scaled, bias)
    weights = Softmax<axis = -1>(scores)
    mixed = MatMul(weights, v)""",
    "operator": """
    mixed = Attention(q, k, v, bias)""",
}


def attention(dtype: str, form: str) -> bytes:
    _, number = ONNX_TYPES[dtype]
    tensors = ", ".join(f"float[S,2,T,{WIDTH}] {name}" for name in ("q0", "k0", "v0"))
    casts = "\n".join(
        f"    {name} = Cast<to = {number}>({source})"
        for name, source in (
            *(("q", "q0"), ("k", "k0"), ("v", "v0"), ("x", "frame")),
            *(("scale", "scale0"), ("epsilon", "epsilon0")),
        )
    )
    model = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 23]>
attention ({tensors}, float[T] frame) => (float[S,2,T,{WIDTH}] out)
<int64[1] zero = {{0}}, int64[1] one = {{1}}, float scale0 = {{0.177}}, float epsilon0 = {{-0.1}}>
{{
{casts}
    row = Unsqueeze(x, one)
    column = Unsqueeze(x, zero)
    difference = Sub(row, column)
    distance = Abs(difference)
    bias = Mul(distance, epsilon){FORMS[form]}
    out = Cast<to = 1>(mixed)
}}"""
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


@pytest.fixture(scope="module")
def rtx() -> TensorRT:
    return load_tensorrt(TENSORRT_RTX)


class TestTensorRTRTX:
    pytestmark = needs_rtx

    @pytest.mark.parametrize("graph", SPECS)
    @pytest.mark.parametrize("end", ENDS)
    def test_every_graph_builds_in_fp32_at_both_ends_of_the_buckets(self, rtx, graph, end):
        profiles = bucket_profiles([ENDS[end]], heads=2, samples=10)
        plan = build_plan(rtx, SPECS[graph], exported_files()[f"{graph}.onnx"], profiles)
        assert len(plan.content) > 10_000
        assert plan.layers.layers
        assert plan.timing_cache is None

    @pytest.mark.parametrize("dtype", ["mixed", "fp16", "bf16"])
    @pytest.mark.parametrize("graph", SPECS)
    @pytest.mark.parametrize("end", ENDS)
    def test_every_graph_builds_in_the_exporters_other_precisions(self, rtx, dtype, graph, end):
        precision = pytest.importorskip("mreactor_export.precision")
        model = onnx.load_from_string(exported_files()[f"{graph}.onnx"])
        half = precision.convert(model, dtype).SerializeToString()
        profiles = bucket_profiles([ENDS[end]], heads=2, samples=10)
        assert build_plan(rtx, SPECS[graph], half, profiles).layers.layers

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("dtype", ONNX_TYPES)
    @pytest.mark.parametrize("end", ENDS)
    def test_attention_builds_in_every_precision_and_only_short_types_are_fused(
        self, rtx, dtype, form, end
    ):
        length = ENDS[end] * 64 if end == "shortest" else ENDS[end]
        profile = Profile({"S": (1, 4, 4), "T": (length, length, length)})
        layers = build_plan(rtx, ATTENTION, attention(dtype, form), [profile]).layers
        assert len(layers.fused) + len(layers.separate) == 1
        assert bool(layers.fused) == (dtype != "fp32")

    def test_the_default_profiles_are_in_one_plan(self, rtx):
        spec, model = SPECS["denoiser"], exported_files()["denoiser.onnx"]
        plan = build_plan(rtx, spec, model, default_profiles(heads=2))
        one = build_plan(rtx, spec, model, default_profiles(heads=2)[:1])
        assert len(plan.content) > len(one.content)
        assert len(plan.layers.separate) >= 2  # fp32: relative and subject attention, a layer

    @pytest.mark.parametrize("targets", [("89",), ("8.6", "120")])
    def test_targets_are_built_for_without_having_them(self, rtx, targets):
        options = BuildOptions(compute_capabilities=targets)
        profiles = bucket_profiles([64], heads=2, samples=2)
        model = exported_files()["modulator.onnx"]
        assert build_plan(rtx, SPECS["modulator"], model, profiles, options).content
        assert tensorrt_build.build_target(rtx, options) == (
            f"compute capabilities {', '.join(targets)}"
        )

    def test_an_unknown_target_names_the_known_ones(self, rtx):
        options = BuildOptions(compute_capabilities=("42",))
        profiles = bucket_profiles([64], heads=2, samples=2)
        with pytest.raises(UsageError, match=r"compute capability '42' \(it knows 75, .*120"):
            build_plan(
                rtx, SPECS["modulator"], exported_files()["modulator.onnx"], profiles, options
            )

    def test_a_refusal_ends_with_the_builders_own_words(self, rtx):
        options = BuildOptions(compute_capabilities=("75",))  # which has no fp32 products
        profile = Profile({"S": (1, 4, 4), "T": (64, 64, 64)})
        with pytest.raises(TensorRTError) as error:
            build_plan(rtx, ATTENTION, attention("fp32", "decomposed"), [profile], options)
        assert str(error.value).startswith(f"{rtx} cannot build the attention: ")
        assert "Turing" in str(error.value)
        assert "\n" not in str(error.value)

    def test_bytes_that_are_no_model_are_an_integrity_error(self, rtx):
        profiles = bucket_profiles([64], heads=2, samples=2)
        with pytest.raises(IntegrityError, match="cannot read the encoder") as error:
            build_plan(rtx, SPECS["encoder"], b"nothing", profiles)
        assert error.value.exit_code == 5

    def test_another_graphs_model_is_an_integrity_error(self, rtx):
        profiles = bucket_profiles([64], heads=2, samples=2)
        with pytest.raises(IntegrityError, match="inputs of the encoder are timestep, not sound"):
            build_plan(rtx, SPECS["encoder"], exported_files()["modulator.onnx"], profiles)

    def test_the_library_has_every_option_that_this_code_names(self, rtx):
        module = rtx.module
        for strategy in ("DISABLED", "WHOLE_GRAPH_CAPTURE"):
            assert hasattr(module.CudaGraphStrategy, strategy)
        for when in ("LAZY", "EAGER", "NONE"):
            assert hasattr(module.DynamicShapesKernelSpecializationStrategy, when)
        for level in tensorrt_build.HARDWARE.values():
            assert hasattr(module.HardwareCompatibilityLevel, level)
        for name in (
            *("set_input_shape", "set_tensor_address", "execute_async_v3", "infer_shapes"),
            *("set_optimization_profile_async", "set_device_memory", "is_stream_capturable"),
        ):
            assert hasattr(module.IExecutionContext, name)
        for name in (
            *("device_memory_size_v2", "get_tensor_profile_shape", "num_optimization_profiles"),
            *("get_tensor_mode", "get_tensor_dtype", "get_tensor_shape", "create_runtime_config"),
            *("num_io_tensors", "get_tensor_name", "create_engine_inspector"),
        ):
            assert hasattr(module.ICudaEngine, name)
        assert hasattr(module.ExecutionContextAllocationStrategy, "USER_MANAGED")
        assert hasattr(module.Runtime, "engine_host_code_allowed")


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def told(options: BuildOptions, package: str = "tensorrt") -> dict:
    spec = graph_specs(CONFIG)["denoiser"]
    profiles = bucket_profiles([64], CONFIG.heads, samples=3)
    fake = FakeTensorRT(package)
    plan = build_plan(fake.tensorrt, spec, onnx_files()["denoiser.onnx"], profiles, options)
    return json.loads(plan.content)


def test_tensorrt_is_told_every_option(gpu):
    plain = told(BuildOptions())
    assert plain["flags"] == []  # TF32 is on where nobody clears it
    assert plain["level"] == 3
    assert plain["hardware"] == "NONE"
    assert plain["profiles"][0]["noisy"] == [[1, 1, 64, 83], [1, 3, 64, 83], [1, 3, 64, 83]]
    assert set(plain["profiles"][0]) == {"noisy", "style", "keys", "values", "mask"}
    options = BuildOptions(
        builder_optimization_level=5,
        hardware_compatibility_level="ampere+",
        version_compatible=True,
        refit=True,
        no_tf32=False,
    )
    full = told(options)
    assert full["flags"] == ["REFIT", "TF32", "VERSION_COMPATIBLE"]
    assert full["level"] == 5
    assert full["hardware"] == "AMPERE_PLUS"


def test_rtx_is_asked_for_plans_that_can_be_captured():
    assert told(BuildOptions(), TENSORRT_RTX)["flags"] == ["REQUIRE_USER_ALLOCATION"]


def test_tensorrt_needs_a_gpu_to_build(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="needs a GPU to build, and torch sees none"):
        told(BuildOptions())


def test_a_plan_without_a_profile_is_a_mistake_of_the_caller(gpu):
    spec = graph_specs(CONFIG)["modulator"]
    with pytest.raises(ValueError, match="needs a profile"):
        build_plan(FakeTensorRT().tensorrt, spec, onnx_files()["modulator.onnx"], [])
