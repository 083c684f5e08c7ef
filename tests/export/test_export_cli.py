"""`mreactor-export`: from a checkpoint to a proved bundle, or to one line and nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.export_runs import few_figures, graph_files, made, run
from fakes.exported import exported_files, network

from mreactor_export.export import PARITY_HTML, PARITY_JSON
from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.files import sha256_of
from mreactor_runtime.bundle import EXPORT_RECORD, open_bundle, write_bundle
from mreactor_runtime.engines.onnxruntime_engine import OnnxRuntimeEngine
from mreactor_runtime.opening import open_model
from mreactor_runtime.tensors import graph_specs

HEAVY = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "transformers")


def test_a_checkpoint_becomes_a_bundle(checkpoint: Path, exports: list, tmp_path: Path):
    result = run("--model", checkpoint, "--output", tmp_path / "deep" / "bundle")
    assert (result.exit_code, result.stderr) == (0, "")
    bundle = open_bundle(tmp_path / "deep" / "bundle")
    assert graph_files(bundle.folder) == exported_files()
    assert bundle.files.keys() == exported_files().keys() | {
        EXPORT_RECORD,
        PARITY_JSON,
        PARITY_HTML,
    }
    info, model = bundle.info, network()
    assert info.checkpoint_sha256 == sha256_of(checkpoint)
    assert info.config == model.config
    assert (info.opset, info.dtype) == (20, "fp32")
    assert info.reaction_mean == tuple(model.reaction.mean.tolist())
    assert info.reaction_std == tuple(model.reaction.std.tolist())
    assert {"mreactor", "torch", "onnx", "onnxscript", "openvino"} <= set(info.created_by)
    (asked,) = exports
    metadata = asked["metadata"]
    assert metadata["checkpoint_sha256"] == info.checkpoint_sha256
    assert json.loads(metadata["config"]) == model.config.to_dict()
    assert "openvino" not in json.loads(metadata["created_by"])
    assert made(tmp_path / "deep") == ["bundle"]


def test_it_ends_with_the_figures_and_what_reproduces_them(
    checkpoint: Path, exports: list, tmp_path: Path
):
    folder = tmp_path / "a bundle"
    output = run("--model", checkpoint, "--output", folder).stdout
    bundle = open_bundle(folder)
    report = json.loads(bundle.read(PARITY_JSON))
    command = f"mreactor-export --verify '{folder}'"
    assert report["command"] == command
    assert f"Reproduce: {command}\n" in output
    assert report["passed"]
    assert len(report["figures"]) > 10
    assert f"all {len(report['figures'])} parity figures are within their bounds" in output
    assert "Parity of onnx with the PyTorch reference, fp32" in output
    page = bundle.read(PARITY_HTML).decode()
    assert f"All {len(report['figures'])} figures are within their bounds" in page
    for name, sha256 in bundle.files.items():
        assert re.search(rf"{re.escape(name)}.*\d\.\d.*{sha256[:12]}\.\.\.", output)
    assert "…" not in output  # no cell is cut


def test_verify_takes_the_same_figures(checkpoint: Path, exports: list, tmp_path: Path):
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    written = json.loads(open_bundle(tmp_path / "b").read(PARITY_JSON))
    result = run("--verify", tmp_path / "b", "--output", tmp_path / "report")
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"All {len(written['figures'])} parity figures of {tmp_path / 'b'}" in result.stdout
    assert made(tmp_path / "report") == [PARITY_HTML, PARITY_JSON]
    again = json.loads((tmp_path / "report" / PARITY_JSON).read_text())
    assert again["figures"] == written["figures"]
    assert again["command"] == written["command"]


def test_verify_names_the_model_and_the_cases_in_its_command(
    checkpoint: Path, exports: list, tmp_path: Path
):
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    result = run("--verify", tmp_path / "b", "--model", checkpoint, "--thorough")
    command = f"mreactor-export --verify {tmp_path / 'b'} --model {checkpoint} --thorough"
    assert f"Reproduce: {command}\n" in result.stdout


def test_verify_fails_with_the_table_and_a_line(
    checkpoint: Path, exports: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    few_figures(monkeypatch, part=1e-3)
    result = run("--verify", tmp_path / "b", "--output", tmp_path / "report")
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert re.fullmatch(r"Error: \d+ of \d+ figures are over their bound; .*\n", result.stderr)
    assert not json.loads((tmp_path / "report" / PARITY_JSON).read_text())["passed"]


def test_the_default_place_is_where_a_run_looks(
    checkpoint: Path, exports: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    assert run("--model", checkpoint).exit_code == 0
    opened = open_model(checkpoint, engine="onnx", device="cpu")
    assert isinstance(opened.engine, OnnxRuntimeEngine)
    assert len(exports) == 1
    again = run("--model", checkpoint)
    assert (again.exit_code, len(exports)) == (0, 1)
    assert again.stdout.startswith("Nothing to do: ")
    assert run("--model", checkpoint, "--force").exit_code == 0
    assert len(exports) == 2


def test_another_precision_or_opset_is_another_export(
    checkpoint: Path, exports: list, tmp_path: Path
):
    for i, options in enumerate(([], ["--dtype", "fp16"], ["--dtype", "fp16", "--opset", "23"])):
        for output in ("Exported", "Nothing to do"):
            result = run("--model", checkpoint, "--output", tmp_path / "b", *options)
            assert result.exit_code == 0, result.stderr
            assert output in result.stdout
        assert len(exports) == i + 1
    asked = [(one["dtype"], one["opset"], one["form"]) for one in exports]
    assert asked == [(d, o, "decomposed") for d, o in (("fp32", 20), ("fp16", 20), ("fp16", 23))]
    info = open_bundle(tmp_path / "b").info
    assert (info.dtype, info.opset) == ("fp16", 23)


def test_another_version_of_a_package_is_another_export(
    checkpoint: Path, exports: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    monkeypatch.setattr("mreactor_export.export.versions", lambda *_: {"openvino": "2030.1"})
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    assert len(exports) == 2


def test_a_damaged_bundle_is_written_again(checkpoint: Path, exports: list, tmp_path: Path):
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    (tmp_path / "b" / "encoder.onnx").write_bytes(b"")
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    assert len(exports) == 2
    assert graph_files(tmp_path / "b") == exported_files()


def test_a_folder_of_another_bundle_is_replaced(checkpoint: Path, exports: list, tmp_path: Path):
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    info = open_bundle(tmp_path / "b").info
    other = {**exported_files(), "extra.bin": b"1"}
    write_bundle(tmp_path / "b", type(info)(**{**vars(info), "checkpoint_sha256": "1"}), other)
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    assert open_bundle(tmp_path / "b").info == info
    assert "extra.bin" not in made(tmp_path / "b")


def test_a_model_repository_is_written_from_the_bundle(
    checkpoint: Path, exports: list, tmp_path: Path
):
    repository = tmp_path / "models"
    asked = ("--model", checkpoint, "--output", tmp_path / "b", "--format", "triton")
    result = run(*asked, "--model-repository", repository)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"tritonserver --model-repository={repository}" in result.stdout
    models = {f"mreactor_{name}": name for name in graph_specs(network().config)}
    assert {folder.name for folder in repository.iterdir()} == {*models, "mreactor_reactions"}
    for model, name in models.items():
        folder = repository / model
        assert (folder / "1" / "model.onnx").read_bytes() == exported_files()[f"{name}.onnx"]
        assert "KIND_CPU" in (folder / "config.pbtxt").read_text()
    again = run(*asked, "--model-repository", repository, "--device", "cuda")
    assert again.stdout.startswith("Nothing to do: ")
    assert "KIND_GPU" in (repository / "mreactor_denoiser" / "config.pbtxt").read_text()
    assert len(exports) == 1


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["--model", "no-such-model"], 2)]
)
def test_help_and_a_wrong_name_import_nothing_heavy(
    arguments: list[str], code: int, tmp_path: Path
):
    """What makes them answer at once, whatever the machine."""
    program = f"""
import sys
sys.argv[0] = "mreactor-export"
from mreactor_export.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    code = end.code
print([name for name in {HEAVY!r} if name in sys.modules], code)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    heavy = done.stdout.splitlines()[-1]
    if code == 0:
        assert "Usage: mreactor-export" in done.stdout
        assert heavy == "[] 0"
    else:
        assert "torch" not in heavy
        assert heavy.endswith(f"] {code}")
