import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes.disk import fail_writing
from fakes.engines import CONFIG, onnx_files
from fakes.tensorrt import FakeTensorRT

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_runtime.engines.tensorrt import cache as tensorrt_cache
from mreactor_runtime.engines.tensorrt.cache import (
    StalePlanError,
    cached_plan,
    plan_files,
    read_plan,
)
from mreactor_runtime.engines.tensorrt.key import PlanKey, plan_key
from mreactor_runtime.engines.tensorrt.options import BuildOptions, bucket_profiles
from mreactor_runtime.engines.tensorrt.package import TensorRTError
from mreactor_runtime.tensors import graph_specs

SPEC = graph_specs(CONFIG)["modulator"]
MODEL = onnx_files()["modulator.onnx"]
DENOISER = onnx_files()["denoiser.onnx"]
PROFILES = bucket_profiles([60], CONFIG.heads, samples=10)
KEY = PlanKey(
    graph="denoiser",
    model="m" * 64,
    weights="a" * 64,
    dtype="fp32",
    package="tensorrt",
    version="11.0.0",
    target="GPU One (compute capability 9.0)",
    profiles=[{"B": [1, 1, 1], "T": [64, 64, 64]}],
    flags={"refit": False, "no_tf32": True},
)


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """A GPU by name, which is all that a key asks of it; a test may change it."""
    there = {"name": "GPU One", "capability": (9, 0)}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: there["name"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: there["capability"])
    return there


class Cache:
    """`cached_plan` of the modulator in one folder, with the lines that it reports."""

    def __init__(self, folder: Path):
        self.folder, self.lines = folder, []
        self.fake = FakeTensorRT()

    def get(self, options: BuildOptions | None = None, **changes) -> Path:
        about = dict(
            tensorrt=self.fake.tensorrt,
            spec=SPEC,
            onnx_model=MODEL,
            profiles=PROFILES,
            options=options,
            checkpoint_sha256="m" * 64,
            dtype="fp32",
            folder=self.folder,
            report=self.lines.append,
        )
        return cached_plan(**{**about, **changes})

    def key(self, **changes) -> PlanKey:
        return plan_key(
            self.fake.tensorrt,
            SPEC,
            MODEL,
            PROFILES,
            BuildOptions(),
            checkpoint_sha256="m" * 64,
            dtype="fp32",
        )


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "plans")


def test_a_plan_is_built_once_and_then_found(cache):
    path = cache.get()
    assert cache.get() == path
    assert len(cache.fake.built) == 1
    assert cache.lines == ["building the modulator with tensorrt 11.0.0: there is none yet"]
    assert json.loads(read_plan(path, cache.key()))["graph"] == "modulator"
    assert path.name == f"modulator-{cache.key().sha256[:16]}.plan"
    told = json.loads(path.with_suffix(".plan.json").read_text())
    assert told["key"]["target"] == "GPU One (compute capability 9.0)"
    assert told["key"]["profiles"] == [{"N": [1, 10, 1000]}]
    layers = json.loads((cache.folder / path.name.replace(".plan", ".layers.json")).read_text())
    assert layers["summary"] == told["layers"] == "0 layers, 0 of 0 attentions fused"


def test_plans_are_kept_in_the_users_cache(cache, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache.get(folder=None).parent == tmp_path / "engines"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"graph": "encoder"}, "another model's"),
        ({"weights": "b" * 64}, "from other weights (bbbbbbbbbbbb..., these are aaaaaaaaaaaa...)"),
        ({"dtype": "fp16"}, "in fp16, not fp32"),
        ({"version": "10.9.0"}, "by tensorrt 10.9.0, this is tensorrt 11.0.0"),
        (
            {"target": "GPU Two (compute capability 8.6)"},
            "for GPU Two (compute capability 8.6), this is GPU One (compute capability 9.0)",
        ),
        (
            {"profiles": [{"B": [1, 1, 2], "T": [1, 64, 512]}]},
            "with the profile B 1-2 T 1-512, not B 1-1 T 64-64",
        ),
        ({"flags": {"refit": True, "no_tf32": True}}, "with refit True, not False"),
    ],
)
def test_each_part_that_differs_is_said_in_words(changes, said):
    other = replace(KEY, **changes)
    assert KEY.differences(other) == [said]
    assert other.sha256 != KEY.sha256
    assert KEY.differences(replace(KEY)) == []


def test_a_plan_of_something_else_is_refused_in_one_line(cache):
    path = cache.get()
    wanted = replace(cache.key(), target="GPU Two (compute capability 8.6)", dtype="bf16")
    with pytest.raises(StalePlanError) as error:
        read_plan(path, wanted)
    assert error.value.exit_code == 2
    assert str(error.value) == (
        f"{path}: was built in fp32, not bf16; for GPU One (compute capability 9.0), "
        "this is GPU Two (compute capability 8.6) (build it again)"
    )


def test_a_rebuild_says_why(cache, gpu):
    cache.get()
    gpu["name"] = "GPU Two"
    cache.get()
    assert cache.lines[-1].endswith(
        "what is there was built for GPU One (compute capability 9.0), "
        "this is GPU Two (compute capability 9.0)"
    )
    cache.get(BuildOptions(builder_optimization_level=5))
    assert cache.lines[-1].endswith("with builder_optimization_level 3, not 5")
    cache.fake = FakeTensorRT(version="11.1.0")
    cache.get()
    assert cache.lines[-1].endswith("by tensorrt 11.0.0, this is tensorrt 11.1.0")
    cache.get(checkpoint_sha256="n" * 64)
    assert cache.lines[-1].endswith("there is none yet")
    assert len(cache.lines) == 5


def test_a_changed_plan_is_an_integrity_error_and_built_again(cache):
    path = cache.get()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"modulator-.*\.plan: its SHA-256 is") as error:
        read_plan(path, cache.key())
    assert error.value.exit_code == 5
    cache.get()
    assert f"{path.name} its SHA-256 is" in cache.lines[-1]
    assert read_plan(path, cache.key())


def test_every_flipped_bit_of_a_manifest_is_found(cache):
    path = cache.get()
    manifest = path.with_suffix(".plan.json")
    whole = manifest.read_bytes()
    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        manifest.write_bytes(damaged)
        with pytest.raises(IntegrityError, match=r"\.plan\.json"):
            read_plan(path, cache.key())
    manifest.write_bytes(whole[:-30])
    with pytest.raises(IntegrityError, match=r"\.plan\.json"):
        read_plan(path, cache.key())


@pytest.mark.parametrize("missing", [".plan", ".plan.json"])
def test_a_plan_without_one_of_its_files_is_built_again(cache, missing):
    path = cache.get()
    path.with_suffix(missing).unlink()
    with pytest.raises(IntegrityError, match="No such file"):
        read_plan(path, cache.key())
    assert cache.get() == path
    assert "No such file" in cache.lines[-1]
    assert read_plan(path, cache.key())


def test_a_plan_that_came_with_the_model_is_used_or_said_to_differ(cache, tmp_path, gpu):
    shipped, built = tmp_path / "bundle", cache.get()
    shipped.mkdir()
    for path in cache.folder.glob("modulator-*"):
        path.rename(shipped / path.name)
    assert cache.get(shipped=shipped) == shipped / built.name
    gpu["name"] = "GPU Two"
    assert cache.get(shipped=shipped).parent == cache.folder
    assert "was built for GPU One" in cache.lines[-1]
    gpu["name"] = "GPU One"
    (shipped / built.name).write_bytes(b"other")
    with pytest.raises(IntegrityError, match="its SHA-256 is"):
        cache.get(shipped=shipped)


def test_the_files_of_a_plan_are_those_that_are_written(cache):
    path = cache.get()
    plan = tensorrt_cache.build_plan(cache.fake.tensorrt, SPEC, MODEL, PROFILES)
    files = plan_files(cache.key(), plan)
    assert sorted(files) == sorted(p.name for p in cache.folder.glob(f"{path.stem}.*[!k]"))
    assert files[path.name] == path.read_bytes()


def test_a_build_that_fails_leaves_no_plan(cache):
    cache.fake.error = "Error Code 4:\n no kernel"
    with pytest.raises(TensorRTError, match="cannot build the modulator: Error Code 4: no kernel"):
        cache.get()
    assert not [path for path in cache.folder.iterdir() if path.suffix != ".lock"]


def test_a_disk_that_is_full_leaves_no_half_plan(cache, monkeypatch):
    fail_writing(monkeypatch)
    with pytest.raises(UsageError, match="cannot be written: No space left on device"):
        cache.get()
    assert not [path for path in cache.folder.iterdir() if path.suffix != ".lock"]


def test_a_folder_that_cannot_be_made_is_a_usage_error(cache, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        cache.get(folder=tmp_path / "file" / "plans")


def test_two_that_want_the_same_plan_build_it_once(cache):
    threads = [threading.Thread(target=cache.get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache.fake.built) == 1


def timing_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("timing-*.cache"))


def test_measured_kernels_are_shared_by_builds_on_one_gpu(cache, gpu):
    cache.get()
    (path,) = timing_files(cache.folder)
    assert json.loads(path.read_text()) == ["modulator"]
    cache.get(spec=graph_specs(CONFIG)["denoiser"], onnx_model=DENOISER)
    assert json.loads(path.read_text()) == ["modulator", "denoiser"]
    gpu["name"] = "GPU Two"
    cache.get()
    assert len(timing_files(cache.folder)) == 2


def test_what_another_process_measured_in_the_meantime_is_kept(cache, monkeypatch):
    own = cache.folder / "own.cache"
    build = tensorrt_cache.build_plan

    def slow(*args):
        plan = build(*args)
        own.write_text('["another"]')
        return plan

    monkeypatch.setattr(tensorrt_cache, "build_plan", slow)
    cache.get(BuildOptions(timing_cache_file=own))
    assert json.loads(own.read_text()) == ["modulator", "another"]
    assert timing_files(cache.folder) == []


def test_a_broken_timing_cache_is_replaced(cache):
    own = cache.folder / "own.cache"
    own.parent.mkdir()
    own.write_bytes(b"\x00garbage")
    cache.get(BuildOptions(timing_cache_file=own))
    assert json.loads(own.read_text()) == ["modulator"]


def test_tensorrt_rtx_keeps_no_timing_cache_and_needs_no_gpu(cache, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cache.fake = FakeTensorRT("tensorrt-rtx", "1.7.1")
    path = cache.get()
    assert timing_files(cache.folder) == []
    told = json.loads(path.with_suffix(".plan.json").read_text())
    assert told["key"]["target"] == "every GPU that its builder knows"
    cache.fake = FakeTensorRT()
    with pytest.raises(UsageError, match="no CUDA device"):
        cache.get()
