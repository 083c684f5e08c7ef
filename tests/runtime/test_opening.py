"""Which engine `auto` takes, and what it says where the best one fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes.engines import bundle_info, onnx_files, tiny_network

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.checkpoint import save_checkpoint
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_ref.files import sha256_of
from mreactor_runtime import opening
from mreactor_runtime.bundle import bundle_for, write_bundle
from mreactor_runtime.engines import torch_cuda
from mreactor_runtime.engines.torch_cpu import TorchCpuEngine
from mreactor_runtime.opening import open_model


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint with a bundle in the cache, of the fakes' sizes."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(tiny_network(), path)
    sha256 = sha256_of(path)
    write_bundle(bundle_for(sha256), bundle_info(sha256), onnx_files())
    return path


def broken(error: Exception):
    def engine(*_args, **_options):
        raise error

    return engine


def test_auto_takes_torch_on_a_cpu_and_says_nothing(checkpoint: Path):
    opened = open_model(checkpoint, device="cpu")
    assert isinstance(opened.engine, TorchCpuEngine)
    assert opened.notes == ()


def test_auto_takes_the_next_engine_and_says_why(checkpoint: Path, monkeypatch):
    monkeypatch.setattr(opening, "TorchCpuEngine", broken(UsageError("no room", fix="buy some")))
    opened = open_model(checkpoint, device="cpu")
    assert opened.engine.name == "onnx"
    assert opened.notes == ("torch cannot run on cpu: no room; onnx on cpu instead",)


def test_a_gpu_that_fails_gives_way_to_the_cpu(checkpoint: Path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(opening, "has_provider", lambda _: False)
    real = opening._open_torch

    def on_cuda(source, device, threads, dtype):
        if device == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore lines")
        return real(source, device, threads, dtype)

    monkeypatch.setattr(opening, "_open_torch", on_cuda)
    opened = open_model(checkpoint)
    assert opened.engine.name == "torch"
    assert opened.engine.device.type == "cpu"
    (note,) = opened.notes
    assert note.startswith("torch cannot run on cuda: CUDA out of memory. Tried to allocate; torch")


def test_an_engine_by_name_is_never_replaced(checkpoint: Path, monkeypatch):
    monkeypatch.setattr(opening, "TorchCpuEngine", broken(UsageError("no room")))
    with pytest.raises(UsageError, match="no room"):
        open_model(checkpoint, engine="torch", device="cpu")


def test_the_last_failure_is_the_error(checkpoint: Path, monkeypatch):
    for name in ("TorchCpuEngine", "open_onnxruntime", "OpenVinoEngine"):
        monkeypatch.setattr(opening, name, broken(UsageError(f"no {name}")))
    with pytest.raises(UsageError, match="no OpenVinoEngine"):
        open_model(checkpoint, device="cpu")


def test_what_is_damaged_is_not_passed_over(checkpoint: Path, monkeypatch):
    monkeypatch.setattr(opening, "TorchCpuEngine", broken(UsageError("no room")))
    (bundle_for(sha256_of(checkpoint)) / "denoiser.onnx").write_bytes(b"other")
    with pytest.raises(IntegrityError, match=r"denoiser\.onnx"):
        open_model(checkpoint, device="cpu")


def test_a_dtype_is_the_bundles_or_the_devices(checkpoint: Path):
    assert open_model(checkpoint, "torch", "cpu").model.dtype == "fp32"
    assert open_model(checkpoint, "torch", "cpu", dtype="fp32").model.dtype == "fp32"
    assert open_model(checkpoint, "onnx", "cpu", dtype="fp32").model.dtype == "fp32"


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("torch", r"the torch engine computes in fp32 on cpu here, not in bf16 .*--dtype bf16"),
        ("onnx", r"was exported in fp32, not in bf16 .*mreactor-export --model .* --dtype bf16"),
        ("auto", r"was exported in fp32, not in bf16"),
    ],
)
def test_a_dtype_that_an_engine_does_not_have(checkpoint: Path, engine: str, message: str):
    with pytest.raises(UsageError, match=message):
        open_model(checkpoint, engine, "cpu", dtype="bf16")


def test_an_unknown_dtype(checkpoint: Path):
    with pytest.raises(UsageError, match="dtype is 'int8', not one of auto, fp32, mixed"):
        open_model(checkpoint, dtype="int8")


@pytest.mark.parametrize(("asked", "taken"), [("auto", "bf16"), ("fp16", "fp16"), ("fp32", "fp32")])
def test_on_cuda_a_checkpoint_runs_in_bf16_unless_told(checkpoint: Path, monkeypatch, asked, taken):
    opened = []

    def engine(network, dtype):
        opened.append(dtype)
        return TorchCpuEngine(network)

    monkeypatch.setattr(opening, "HAS_TRITON", True)
    monkeypatch.setattr(torch_cuda, "TorchCudaEngine", engine)
    assert open_model(checkpoint, "torch", "cuda", dtype=asked).model.dtype == taken
    assert opened == [taken]


def test_without_an_export_the_checkpoint_runs_and_a_line_says_how_to_have_one(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(tiny_network(), path)
    opened = open_model(path, device="cpu")
    assert opened.notes == (
        f"torch runs the checkpoint: no export yet (mreactor-export --model {path})",
    )
