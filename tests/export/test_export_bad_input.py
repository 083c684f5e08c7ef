"""What `mreactor-export` refuses: each with one line and its exit code, and nothing left behind."""

from __future__ import annotations

import itertools
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from fakes.disk import fail_writing
from fakes.export_runs import few_figures, made, one_line, run
from fakes.exported import exported_files, network
from safetensors.torch import load_file, save_file

from mreactor_export import tracing
from mreactor_export.to_onnx import ExportError
from mreactor_ref.checkpoint import read_metadata
from mreactor_ref.files import sha256_of
from mreactor_runtime.bundle import BundleInfo, open_bundle, write_bundle


def test_no_bundle_is_left_when_parity_fails(
    checkpoint: Path, exports: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    few_figures(monkeypatch, part=1e-3)
    result = run("--model", checkpoint, "--output", tmp_path / "bundle")
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert "figures are over their bound; the worst is onnx's" in result.stderr
    assert result.stderr.count("\n") == 1
    assert made(tmp_path) == []


def test_an_older_bundle_stays_when_parity_fails(
    checkpoint: Path, exports: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    older = (tmp_path / "b" / "bundle.json").read_bytes()
    few_figures(monkeypatch, part=1e-3)
    assert run("--model", checkpoint, "--output", tmp_path / "b", "--force").exit_code == 1
    assert (tmp_path / "b" / "bundle.json").read_bytes() == older


def test_a_refused_graph_leaves_nothing(
    checkpoint: Path, exports: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object) -> dict[str, bytes]:
        raise ExportError("graph encoder: an axis")

    monkeypatch.setattr(tracing, "trace_graphs", refuse)
    line = one_line(run("--model", checkpoint, "--output", tmp_path / "b"), 1)
    assert line == "Error: graph encoder: an axis\n"
    assert made(tmp_path) == []


def test_an_unknown_model(exports: list, tmp_path: Path):
    line = one_line(run("--model", "mimi", "--output", tmp_path / "bundle"), 2)
    assert "no model 'mimi'" in line
    assert made(tmp_path) == []


@pytest.mark.parametrize("place", ["full", "file/bundle", "file/deep/bundle"])
def test_an_output_that_cannot_be_is_refused_before_the_work(
    checkpoint: Path, exports: list, tmp_path: Path, place: str
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    line = one_line(run("--model", checkpoint, "--output", tmp_path / place), 2)
    assert str(tmp_path / place) in line
    assert "give another --output" in line
    assert exports == []
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"
    assert made(tmp_path) == ["file", "full"]


@pytest.mark.parametrize("kept", [0, 100, -8])
def test_a_damaged_checkpoint(checkpoint: Path, exports: list, tmp_path: Path, kept: int):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(checkpoint.read_bytes()[:kept])
    line = one_line(run("--model", damaged, "--output", tmp_path / "bundle"), 5)
    assert str(damaged) in line
    assert exports == []
    assert made(tmp_path) == ["damaged.safetensors"]


class Trap:
    """What a pickle may do when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (os.environ["TRAP"],))


@pytest.mark.parametrize("kind", ["torch", "pickle"])
def test_a_pickle_is_refused_and_never_read(
    exports: list, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    path = tmp_path / "model.pt"
    if kind == "torch":
        torch.save({"weights": Trap()}, path)
    else:
        path.write_bytes(pickle.dumps(Trap()))
    line = one_line(run("--model", path, "--output", tmp_path / "b"), 5)
    assert "no checkpoint but a pickle" in line
    assert made(tmp_path) == ["model.pt"]


def test_an_onnx_file_or_another_format_is_no_checkpoint(
    checkpoint: Path, exports: list, tmp_path: Path
):
    graph = tmp_path / "denoiser.onnx"
    graph.write_bytes(exported_files()["denoiser.onnx"])
    assert "an ONNX graph" in one_line(run("--model", graph, "--output", tmp_path / "b"), 5)
    other = tmp_path / "other.safetensors"
    save_file(load_file(checkpoint), other, {"format": "pt"})
    line = one_line(run("--model", other, "--output", tmp_path / "b"), 5)
    assert "its format is 'pt', not 'mreactor-1'" in line
    assert made(tmp_path) == ["denoiser.onnx", "other.safetensors"]


@pytest.mark.parametrize("change", ["missing", "extra"])
def test_missing_and_extra_tensors(checkpoint: Path, exports: list, tmp_path: Path, change: str):
    tensors, path = load_file(checkpoint), tmp_path / "changed.safetensors"
    if change == "missing":
        del tensors["denoiser.null_token"]
        problem = "missing denoiser.null_token"
    else:
        tensors["thesis"] = torch.zeros(2)
        problem = "unknown thesis"
    save_file(tensors, path, read_metadata(checkpoint))
    line = one_line(run("--model", path, "--output", tmp_path / "b"), 5)
    assert f"tensors do not fit the config: {problem}" in line
    assert made(tmp_path) == ["changed.safetensors"]


def test_a_full_disk(
    checkpoint: Path, exports: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It fills up in the middle, and what was there before is still there."""
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    older, written = made(tmp_path / "b"), itertools.count(1)
    fail_writing(monkeypatch, lambda path: next(written) > 3)
    line = one_line(run("--model", checkpoint, "--output", tmp_path / "b", "--force"), 2)
    assert f"{tmp_path / 'b'}: cannot be written: No space left on device" in line
    assert made(tmp_path) == ["b"]
    assert made(tmp_path / "b") == older
    assert open_bundle(tmp_path / "b")


def changed_graph(change: str) -> bytes:
    """An encoder as someone else would write it."""
    model = onnx.load_from_string(exported_files()["encoder.onnx"])
    if change == "external":
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
    else:
        model.metadata_props.add(key="checkpoint_sha256", value="f" * 64)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("external", "keeps data of 1 tensors in other files"),
        ("foreign", "is of the checkpoint ffffffffffff..."),
        ("damaged", "its SHA-256 is"),
        ("unlisted", "is not listed in bundle.json"),
    ],
)
def test_a_bundle_that_is_not_what_was_exported(
    checkpoint: Path, tmp_path: Path, change: str, problem: str
):
    model, folder = network(), tmp_path / "b"
    mean, std = (tuple(x.tolist()) for x in (model.reaction.mean, model.reaction.std))
    shares = tuple(model.listener_shares.tolist())
    sha256 = sha256_of(checkpoint)
    info = BundleInfo(str(checkpoint), model.config, sha256, mean, std, shares, opset=20)
    files = exported_files()
    if change in ("external", "foreign"):
        files["encoder.onnx"] = changed_graph(change)
    write_bundle(folder, info, files)
    if change == "damaged":
        (folder / "encoder.onnx").write_bytes(b"onnx")
    if change == "unlisted":
        (folder / "thesis.txt").write_text("mine")
    line = one_line(run("--verify", folder), 5)
    assert problem in line
    assert str(folder) in line


def test_verify_needs_a_bundle_and_its_checkpoint(checkpoint: Path, exports: list, tmp_path: Path):
    assert "no bundle" in one_line(run("--verify", tmp_path), 2)
    own = tmp_path / "own.safetensors"
    own.write_bytes(checkpoint.read_bytes())
    assert run("--model", own, "--output", tmp_path / "b").exit_code == 0
    own.unlink()
    assert "give it with --model" in one_line(run("--verify", tmp_path / "b"), 2)
    line = one_line(run("--verify", tmp_path / "b", "--model", "mini"), 2)
    assert "is not the checkpoint that the bundle came from" in line


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--opset", "17"], "--opset is 17, not 18 to 25"),
        (["--opset", "26"], "--opset is 26, not 18 to 25"),
        (["--format", "coreml"], "format is 'coreml', not one of onnx, tensorrt, tensorrt-rtx"),
        (["--format", "onnx,"], "format is ''"),
        (["--format", "tensorrt-rtx", "--buckets", "64,long"], "buckets are '64,long'"),
        (["--format", "tensorrt-rtx", "--buckets", "0"], "a bucket is 0 frames"),
        (["--refit"], "options of plans are given, but no format of tensorrt, tensorrt-rtx"),
        (["--device", "cuda"], "only --format triton takes --device"),
        (["--thorough"], "without --verify there is no --thorough"),
        (["--verify", "b", "--dtype", "fp16", "--noTF32"], "--verify takes no --dtype, --noTF32"),
        (["--format", "triton", "--dtype", "bf16"], "ONNX Runtime has no bf16 on a CPU"),
        (["--format", "triton", "--model-repository", "b/in"], "is in the bundle's folder"),
    ],
)
def test_what_cannot_be_asked_for(
    exports: list,
    tmp_path: Path,
    arguments: list[str],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    output = [] if "--verify" in arguments else ["--output", "b"]
    assert problem in one_line(run(*arguments, *output), 2)
    assert exports == []
    assert made(tmp_path) == []


@pytest.mark.parametrize(
    "arguments", [("--dtype", "int8"), ("--output", __file__), ("--workers", "0")]
)
def test_what_click_refuses(exports: list, arguments: tuple[str, str]):
    result = run(*arguments)
    assert result.exit_code == 2
    assert f"Invalid value for '{arguments[0]}'" in result.stderr
    assert exports == []


def test_a_repository_of_others_is_refused_before_the_work(
    checkpoint: Path, exports: list, tmp_path: Path
):
    (tmp_path / "models" / "resnet").mkdir(parents=True)
    asked = ("--model", checkpoint, "--output", tmp_path / "b", "--format", "triton")
    line = one_line(run(*asked, "--model-repository", tmp_path / "models"), 2)
    assert str(tmp_path / "models") in line
    assert exports == []
    assert made(tmp_path) == ["models"]


def test_onnxruntime_is_missing(
    checkpoint: Path, exports: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    line = one_line(run("--model", checkpoint, "--output", tmp_path / "b"), 2)
    assert 'onnxruntime is not installed (pip install "mreactor[onnxruntime]")' in line
    assert exports == []
    assert made(tmp_path) == []


def test_debug_shows_the_traceback(tmp_path: Path):
    result = run("--model", "mimi", "--output", tmp_path / "bundle", "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("\n")
