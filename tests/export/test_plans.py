"""Plans in a bundle: which graphs they are built from, how, and that a run finds them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from fakes.export_runs import made, one_line, run
from fakes.exported import METADATA, OPSET, exported_files, network
from fakes.tensorrt import FakeTensorRT

from mreactor_export import plans, tracing
from mreactor_export.options import ExportOptions
from mreactor_ref.errors import UsageError
from mreactor_runtime.bundle import EXPORT_RECORD, Bundle, open_bundle
from mreactor_runtime.engines.tensorrt import package as tensorrt_package
from mreactor_runtime.engines.tensorrt.cache import cached_plan
from mreactor_runtime.engines.tensorrt.options import BuildOptions, plan_options
from mreactor_runtime.engines.tensorrt.package import TENSORRT_RTX, TensorRT, is_installed
from mreactor_runtime.tensors import graph_specs

RUN = ("encoder", "modulator", "conditional", "denoiser")
GRAPHS = (*RUN, "attention")  # of an export
PLAN_FILES = (".plan", ".plan.json", ".layers.json")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A GPU by name, which is all that a key asks of it; a test may change it."""
    there = {"name": "GPU One"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: there["name"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    return there


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeTensorRT]:
    """Both packages, as the fake that builds JSON."""
    both = {name: FakeTensorRT(name) for name in ("tensorrt", "tensorrt-rtx")}
    monkeypatch.setattr(plans, "load_tensorrt", lambda name: both[name].tensorrt)
    return both


def find_as_a_run_does(bundle: Bundle, tensorrt: TensorRT, folder: Path) -> list[str]:
    """The plans that `open_tensorrt` takes; AssertionError where it would build one."""

    def build(line: str) -> None:
        raise AssertionError(line)

    info, (options, profiles) = bundle.info, plan_options(bundle)
    found = [
        cached_plan(
            *(tensorrt, spec, bundle.graph(name), profiles, options),
            checkpoint_sha256=info.checkpoint_sha256,
            dtype=info.dtype,
            folder=folder,
            shipped=bundle.folder,
            report=build,
        )
        for name, spec in graph_specs(info.config).items()
    ]
    assert all(path.parent == bundle.folder for path in found)
    return [path.name for path in found]


def test_plans_are_shipped_and_found_by_a_run(
    checkpoint: Path, exports: list, fakes: dict[str, FakeTensorRT], gpu: dict, tmp_path: Path
):
    asked = ("--model", checkpoint, "--output", tmp_path / "b", "--dtype", "fp16")
    asked = (*asked, "--format", "tensorrt,tensorrt-rtx")
    result = run(*asked)
    assert (result.exit_code, result.stderr) == (0, "")
    bundle = open_bundle(tmp_path / "b")
    for name, fake in fakes.items():
        found = find_as_a_run_does(bundle, fake.tensorrt, tmp_path / "empty")
        assert [file.split("-")[0] for file in found] == list(RUN)
        for file in found:
            parts = (file, f"{file}.json", file.replace(".plan", ".layers.json"))
            assert bundle.files.keys() >= set(parts)
        assert result.stdout.count(f" {name} ") >= len(GRAPHS)
    assert "0 layers, 0 of " in result.stdout
    assert exports[0]["form"] == "operator"
    assert exports[0]["opset"] == 23
    assert run(*asked).stdout.startswith("Nothing to do: ")
    gpu["name"] = "GPU Two"
    assert "Exported" in run(*asked).stdout
    assert len(exports) == 2
    find_as_a_run_does(open_bundle(tmp_path / "b"), fakes["tensorrt"].tensorrt, tmp_path / "empty")


@pytest.mark.tensorrt
@pytest.mark.skipif(not is_installed(TENSORRT_RTX), reason="tensorrt-rtx is not installed")
def test_a_real_plan_is_shipped_and_found_by_a_run(checkpoint: Path, exports: list, tmp_path: Path):
    asked = ("--model", checkpoint, "--output", tmp_path / "b", "--format", "tensorrt-rtx")
    result = run(*asked)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "of 2 attentions fused" in " ".join(result.stdout.split())
    rtx = tensorrt_package.load_tensorrt(TENSORRT_RTX)
    bundle = open_bundle(tmp_path / "b")
    found = find_as_a_run_does(bundle, rtx, tmp_path / "empty")
    assert len(found) == len(RUN)
    assert sum(name.startswith("attention-") for name in bundle.files) == len(PLAN_FILES)
    assert run(*asked).stdout.startswith("Nothing to do: ")


def test_options_of_plans_reach_the_builder_and_the_record(
    checkpoint: Path, exports: list, fakes: dict[str, FakeTensorRT], gpu: dict, tmp_path: Path
):
    asked = ("--model", checkpoint, "--output", tmp_path / "b", "--format", "onnx,tensorrt")
    assert run(*asked).exit_code == 0
    flags = (
        *("--builderOptimizationLevel", "5", "--hardwareCompatibilityLevel", "ampere+"),
        *("--versionCompatible", "--refit", "--TF32", "--profilingVerbosity", "none"),
        *("--timingCacheFile", tmp_path / "own.cache", "--buckets", "60,700"),
    )
    result = run(*asked, *flags)
    assert (result.exit_code, result.stderr) == (0, "")
    told = fakes["tensorrt"].built[-1]
    assert told["flags"] == ["REFIT", "TF32", "VERSION_COMPATIBLE"]
    assert (told["level"], told["hardware"]) == (5, "AMPERE_PLUS")
    assert [profile["mask"][1][1] for profile in told["profiles"]] == [768, 64]
    assert (tmp_path / "own.cache").is_file()
    bundle = open_bundle(tmp_path / "b")
    record = json.loads(bundle.read(EXPORT_RECORD))
    assert record["plans"]["build"]["builder_optimization_level"] == 5
    assert [profile["T"] for profile in record["plans"]["profiles"]] == [[768] * 3, [64] * 3]
    assert len([name for name in bundle.files if name.endswith(".plan")]) == len(GRAPHS)
    find_as_a_run_does(bundle, fakes["tensorrt"].tensorrt, tmp_path / "empty")
    assert run(*asked, *flags).stdout.startswith("Nothing to do: ")


def test_the_compute_capabilities_of_rtx(
    checkpoint: Path, exports: list, fakes: dict[str, FakeTensorRT], tmp_path: Path
):
    asked = ("--model", checkpoint, "--output", tmp_path / "b", "--computeCapabilities", "89, 120")
    line = one_line(run(*asked, "--format", "tensorrt-rtx", "--versionCompatible"), 2)
    assert "tensorrt-rtx 11.0.0 has no --versionCompatible" in line
    named = ExportOptions(("tensorrt-rtx",), build=BuildOptions(compute_capabilities=("89",)))
    assert not named.bound_to_gpu
    current = BuildOptions(compute_capabilities=("current",))
    assert ExportOptions(("tensorrt-rtx",), build=current).bound_to_gpu


def test_tensorrt_needs_a_gpu_and_says_so_before_the_work(
    checkpoint: Path, exports: list, fakes: dict[str, FakeTensorRT], tmp_path: Path
):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    asked = ("--model", checkpoint, "--output", tmp_path / "b", "--format", "tensorrt")
    assert "needs a GPU to build" in one_line(run(*asked), 2)
    assert exports == []


def test_a_plan_that_cannot_be_built_leaves_no_bundle(
    checkpoint: Path, exports: list, fakes: dict[str, FakeTensorRT], gpu: dict, tmp_path: Path
):
    fakes["tensorrt"].error = "no kernel"
    asked = ("--model", checkpoint, "--output", tmp_path / "b", "--format", "tensorrt")
    assert "cannot build the encoder: no kernel" in one_line(run(*asked), 1)
    assert made(tmp_path) == ["cache"]


@pytest.mark.parametrize(
    ("formats", "dtype", "opset", "expected"),
    [
        (("onnx",), "fp16", None, (20, "decomposed")),
        (("onnx", "triton"), "bf16", 24, (24, "decomposed")),
        (("tensorrt-rtx",), "fp32", None, (20, "decomposed")),
        (("tensorrt-rtx",), "mixed", None, (20, "decomposed")),
        (("tensorrt-rtx",), "fp16", None, (23, "operator")),
        (("tensorrt",), "bf16", 25, (25, "operator")),
        (("tensorrt",), "bf16", 22, (22, "decomposed")),
    ],
)
def test_one_form_of_attention_for_all_engines_of_a_bundle(formats, dtype, opset, expected):
    options = ExportOptions(formats, dtype, opset)
    assert (options.graph_opset, options.form) == expected


@pytest.mark.parametrize("package", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("libraries", [False, True])
def test_a_tensorrt_that_is_missing_or_without_its_libraries(
    checkpoint: Path,
    exports: list,
    tmp_path: Path,
    package: str,
    libraries: bool,
    monkeypatch: pytest.MonkeyPatch,
):
    name = package.replace("-", "_")
    (tmp_path / "site").mkdir()
    if libraries:  # the front is there, what it loads is not
        (tmp_path / "site" / "fronts.py").write_text("raise OSError('libnvinfer.so: no such file')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    found = ("fronts",) if libraries else ("no_such_front",)
    monkeypatch.setitem(tensorrt_package.MODULES, package, found)
    asked = ("--model", checkpoint, "--output", tmp_path / "b", "--format", package)
    line = one_line(run(*asked), 2)
    said = "is installed without its libraries: libnvinfer.so" if libraries else "is not installed"
    assert f"{package} {said}" in line
    assert f"mreactor[{name.replace('_', '-')}]" in line
    assert exports == []
    assert made(tmp_path) == ["site"]


@pytest.mark.tensorrt
@pytest.mark.skipif(not is_installed(TENSORRT_RTX), reason="tensorrt-rtx is not installed")
def test_an_unknown_compute_capability_is_said_before_any_work(
    checkpoint: Path, exports: list, tmp_path: Path
):
    asked = ("--model", checkpoint, "--output", tmp_path / "b", "--format", "tensorrt-rtx")
    line = one_line(run(*asked, "--computeCapabilities", "1000"), 2)
    assert "does not know compute capability '1000' (it knows " in line
    assert exports == []
    assert made(tmp_path) == []


@pytest.mark.slow
def test_graphs_that_are_traced_in_other_processes_are_the_same_bytes(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tracing, "LEAST_LAYERS", 1)
    said: list[str] = []
    made = tracing.trace_graphs(
        network(), checkpoint, OPSET, METADATA, workers=2, report=said.append
    )
    assert list(made) == list(GRAPHS)
    assert {f"{name}.onnx": content for name, content in made.items()} == exported_files()
    assert said[0] == "exporting denoiser, conditional, encoder, attention, modulator"
    assert len(said) == 1 + len(GRAPHS)


@pytest.mark.slow
def test_what_another_process_refuses_is_said_here(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tracing, "LEAST_LAYERS", 1)
    with pytest.raises(UsageError, match="--opset is 99, not 18 to 25"):
        tracing.trace_graphs(network(), checkpoint, 99, {}, workers=2)
