from dataclasses import replace

import pytest
import torch
from fakes.engines import CONFIG, FakeEngine, onnx_files
from fakes.tensorrt import FakeTensorRT

from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_runtime.engines.tensorrt import engine as tensorrt_engine
from mreactor_runtime.engines.tensorrt.build import build_plan
from mreactor_runtime.engines.tensorrt.engine import TensorRTEngine, open_tensorrt
from mreactor_runtime.engines.tensorrt.options import (
    BuildOptions,
    Profile,
    bucket_profiles,
)
from mreactor_runtime.engines.tensorrt.package import TensorRTError
from mreactor_runtime.tensors import example_inputs, graph_specs

SPECS = graph_specs(CONFIG)
PROFILES = bucket_profiles([64, 128], CONFIG.heads, samples=3)
SIZES = {"B": 1, "S": 2, "T": 64, "N": 5}


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "GPU One")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))


def plans(fake: FakeTensorRT, profiles=PROFILES) -> dict[str, bytes]:
    return {
        name: build_plan(fake.tensorrt, spec, onnx_files()[f"{name}.onnx"], profiles).content
        for name, spec in SPECS.items()
    }


def make(fake: FakeTensorRT, **changes) -> TensorRTEngine:
    made = changes.pop("plans", None) or plans(fake)
    return TensorRTEngine(fake.tensorrt, made, CONFIG, stream=fake.stream, **changes)


def inputs(graph: str, seed: int = 0, **sizes: int) -> dict[str, torch.Tensor]:
    return example_inputs(SPECS[graph], {**SIZES, **sizes}, seed)


def assert_equal(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("package", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("graph", SPECS)
def test_every_graph_computes_through_its_buffers_what_it_should(package, graph):
    fake = FakeTensorRT(package)
    engine = make(fake)
    assert engine.name == package
    for seed, sizes in enumerate(({}, {"T": 128, "S": 3, "N": 1000}, {}, {"S": 1, "N": 1})):
        given = inputs(graph, seed, **sizes)
        assert_equal(engine.run(graph, given), FakeEngine().run(graph, given))


def test_outputs_are_not_the_buffers_and_inputs_are_not_changed():
    engine = make(FakeTensorRT())
    first, second = inputs("denoiser", 1), inputs("denoiser", 2)
    before = {name: value.clone() for name, value in first.items()}
    kept = engine.run("denoiser", first)
    engine.run("denoiser", second)
    assert_equal(kept, FakeEngine().run("denoiser", before))
    assert_equal(first, before)


def test_views_that_are_not_contiguous_are_copied():
    engine = make(FakeTensorRT())
    given = inputs("denoiser")
    turned = given["noisy"].transpose(2, 3).contiguous().transpose(2, 3)
    assert not turned.is_contiguous()
    expected = FakeEngine().run("denoiser", given)
    assert_equal(engine.run("denoiser", {**given, "noisy": turned}), expected)


def test_the_order_of_calls():
    fake = FakeTensorRT()
    engine = make(fake)
    fake.calls.clear()
    engine.run("modulator", inputs("modulator"))
    assert fake.calls == [
        "turn begins",
        "context modulator",
        "profile 0",
        "shape timestep (5,)",
        "scratch",
        "address timestep",
        "address modulation",
        "execute",
        "turn ends",
    ]
    fake.calls.clear()
    engine.run("modulator", inputs("modulator", 1))
    assert fake.calls == ["turn begins", "execute", "turn ends"]


def test_the_order_of_calls_at_the_end():
    fake = FakeTensorRT()
    engine = make(fake)
    engine.run("modulator", inputs("modulator"))
    fake.calls.clear()
    engine.close()
    assert fake.calls == ["wait", "release context", *["release plan"] * len(SPECS)]


def test_rtx_captures_nothing_itself_and_changes_no_kernel_in_the_middle_of_a_run():
    fake = FakeTensorRT("tensorrt-rtx")
    make(fake)
    assert fake.calls.count("cuda_graph_strategy DISABLED") == len(SPECS)
    strategy = "dynamic_shapes_kernel_specialization_strategy EAGER"
    assert fake.calls.count(strategy) == len(SPECS)


def test_each_shape_has_a_context_and_the_first_profile_that_holds_it():
    fake = FakeTensorRT()
    engine = make(fake)
    fake.calls.clear()
    for length in (64, 128, 64, 128):
        engine.run("denoiser", inputs("denoiser", T=length))
    asked = [call for call in fake.calls if call.startswith(("context", "profile"))]
    assert asked == ["context denoiser", "profile 1", "context denoiser", "profile 0"]


def test_all_shapes_run_at_the_same_addresses():
    fake = FakeTensorRT()
    engine = make(fake)
    seen = []
    for length in (64, 128):
        engine.run("denoiser", inputs("denoiser", T=length))
        seen.append(dict(engine._bound[("denoiser", (1, 2, length))]._context.addresses))
    assert seen[0] == seen[1]


def test_the_shape_that_was_unused_for_longest_is_released(monkeypatch):
    monkeypatch.setattr(tensorrt_engine, "KEPT_SHAPES", 2)
    fake = FakeTensorRT()
    engine = make(fake)
    for steps in (1, 2, 1):
        engine.run("modulator", inputs("modulator", N=steps))
    fake.calls.clear()
    engine.run("modulator", inputs("modulator", N=3))
    assert fake.calls[:3] == ["turn begins", "wait", "release context"]
    fake.calls.clear()
    engine.run("modulator", inputs("modulator", N=1))
    assert fake.calls == ["turn begins", "execute", "turn ends"]


def test_a_callers_capture_gets_launches_of_what_has_run_before():
    fake = FakeTensorRT()
    engine = make(fake)
    fake.stream.captured_by_caller = True
    with pytest.raises(RuntimeError, match="must run once at a shape before it is captured"):
        engine.run("modulator", inputs("modulator"))
    fake.stream.captured_by_caller = False
    engine.run("modulator", inputs("modulator"))
    fake.stream.captured_by_caller = True
    fake.calls.clear()
    engine.run("modulator", inputs("modulator"))
    assert fake.calls == ["turn begins", "execute", "turn ends"]


def test_sizes_that_no_profile_holds_are_refused_in_words():
    engine = make(FakeTensorRT())
    with pytest.raises(UsageError) as error:
        engine.run("denoiser", inputs("denoiser", T=192))
    assert str(error.value) == (
        "the plan of the denoiser runs at B 1-1 S 1-3 T 128-128 and B 1-1 S 1-3 T 64-64, "
        "not at B 1 S 2 T 192 (build a plan with a profile that holds them)"
    )


def test_a_plan_that_cannot_be_opened_says_what_the_library_says():
    fake = FakeTensorRT()
    with pytest.raises(TensorRTError) as error:
        make(fake, plans={**plans(fake), "denoiser": b"not json"})
    assert str(error.value) == (
        "tensorrt 11.0.0 cannot open its plan of the denoiser here: "
        "the plan is of another version (use another --engine)"
    )


def test_a_plan_with_other_tensors_is_an_integrity_error():
    fake = FakeTensorRT()
    built = plans(fake)
    with pytest.raises(IntegrityError, match="the inputs of the plan of the denoiser are timestep"):
        make(fake, plans={**built, "denoiser": built["modulator"]})
    fake.wrong_types = {"mask": "FLOAT"}
    with pytest.raises(IntegrityError, match="mask of the plan of the encoder is FLOAT, not bool"):
        make(fake, plans=built)
    wider = replace(CONFIG, width=6)
    fake.wrong_types = {}
    with pytest.raises(IntegrityError, match="condition of the plan of the encoder has axes"):
        TensorRTEngine(fake.tensorrt, built, wider, stream=fake.stream)


def test_a_run_that_fails_says_what_the_library_says():
    fake = FakeTensorRT()
    engine = make(fake)
    engine.run("modulator", inputs("modulator"))
    engine._bound[("modulator", (5,))]._context.fails = True
    with pytest.raises(TensorRTError, match="failed to run the modulator: out of memory"):
        engine.run("modulator", inputs("modulator"))


def test_opening_builds_what_is_missing_and_takes_what_is_there(tmp_path, monkeypatch):
    fake = FakeTensorRT()
    monkeypatch.setattr(tensorrt_engine, "load_tensorrt", lambda package: fake.tensorrt)
    monkeypatch.setattr(tensorrt_engine, "CudaStream", lambda device: fake.stream)
    models = {name: onnx_files()[f"{name}.onnx"] for name in SPECS}
    lines: list[str] = []

    def opened(**changes) -> TensorRTEngine:
        about = dict(checkpoint_sha256="m" * 64, dtype="fp32", folder=tmp_path, report=lines.append)
        return open_tensorrt("tensorrt", models, CONFIG, **{**about, **changes})

    given = inputs("denoiser", T=700)
    for _ in range(2):
        engine = opened()
        assert_equal(engine.run("denoiser", given), FakeEngine().run("denoiser", given))
    assert len(lines) == len(fake.built) == len(SPECS)
    opened(profiles=[Profile({"B": (1, 1, 1), "S": (1, 1, 1), "T": (9, 9, 9), "N": (1, 10, 1000)})])
    assert [line.split()[2] for line in lines[4:]] == ["encoder", "conditional", "denoiser"]
    assert "with the profile B 1-1 S 1-16 T 1-512" in lines[-1]
    opened(build=BuildOptions(version_compatible=True))
    assert fake.built[-1]["flags"] == ["VERSION_COMPATIBLE"]


def test_opening_without_a_gpu_says_so_before_anything_is_built(tmp_path, monkeypatch):
    fake = FakeTensorRT("tensorrt-rtx")
    monkeypatch.setattr(tensorrt_engine, "load_tensorrt", lambda package: fake.tensorrt)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA device"):
        open_tensorrt(
            "tensorrt-rtx", {}, CONFIG, checkpoint_sha256="m", dtype="fp32", folder=tmp_path
        )
    assert fake.built == []
