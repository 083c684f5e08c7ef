"""`mreactor-export`: from a checkpoint to a proved bundle, or to one line and nothing."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from exported import exported_files, network
from rich.console import Console

from mreactor_export import parity, to_onnx
from mreactor_export.cli import main, print_parity
from mreactor_export.parity import Figure
from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.checkpoint import checkpoint_hash, save_checkpoint
from mreactor_ref.model import MReactor
from mreactor_runtime.bundle import open_bundle, write_bundle
from mreactor_runtime.engines.onnxruntime_engine import OnnxRuntimeEngine
from mreactor_runtime.models import open_model

HEAVY = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "transformers")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(network(), path)
    return path


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Few cases of parity, and graphs that were exported before; the metadata of each export."""
    seen: list[dict[str, str]] = []

    def export_graphs(
        model: MReactor, opset: int, metadata: Mapping[str, str], report: Callable[[str], None]
    ) -> dict[str, bytes]:
        assert opset == 20
        for name, tensor in network().state_dict().items():
            assert torch.equal(model.state_dict()[name], tensor)
        seen.append(dict(metadata))
        return exported_files()

    monkeypatch.setattr(to_onnx, "export_graphs", export_graphs)
    monkeypatch.setattr(parity, "STEP_CASES", ((1, 2, 3), (2, 3, 9)))
    monkeypatch.setattr(parity, "TRAJECTORY_CASES", ((1, 2, 5), (1, 1, 6)))
    monkeypatch.setattr(parity, "TRAJECTORY_STEPS", 3)
    return seen


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(x) for x in arguments])


def one_line(result: Result, code: int) -> str:
    """The line of an expected failure: nothing else is printed, and no traceback."""
    assert result.exit_code == code
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("Error: ")
    return result.stderr


def test_a_checkpoint_becomes_a_bundle(checkpoint: Path, exports: list, tmp_path: Path):
    result = run("--model", checkpoint, "--output", tmp_path / "deep" / "bundle")
    assert (result.exit_code, result.stderr) == (0, "")
    bundle = open_bundle(tmp_path / "deep" / "bundle")
    assert {name: bundle.read(name) for name in bundle.files} == exported_files()
    info, model = bundle.info, network()
    assert info.checkpoint_sha256 == checkpoint_hash(checkpoint)
    assert info.config == model.config
    assert info.opset == 20
    assert info.reaction_mean == tuple(model.reaction.mean.tolist())
    assert info.reaction_std == tuple(model.reaction.std.tolist())
    assert {"mreactor", "torch", "onnx", "onnxscript"} <= set(info.created_by)
    (metadata,) = exports
    assert metadata["checkpoint_sha256"] == info.checkpoint_sha256
    assert json.loads(metadata["config"]) == model.config.to_dict()
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["bundle"]


def test_every_figure_is_in_the_table(checkpoint: Path, exports: list, tmp_path: Path):
    """Whole numbers in 80 columns, what a pipe or a log has."""
    output = run("--model", checkpoint, "--output", tmp_path / "bundle").stdout
    number = r"\d\.\de-\d\d"
    what = r"encoder|modulator|denoiser|padded in a batch|3 steps ddim|3 steps dpmsolver\+\+"
    row = rf"^ *({what}) +(\d+x\d+x\d+) +(|0|1|7\.5|2) +({number}) +({number}) +1e-0[45] +ok *$"
    rows = [match.groups()[:3] for match in re.finditer(row, output, re.MULTILINE)]
    step = [("encoder", ""), ("modulator", "")]
    step += [("denoiser", scale) for scale in ("0", "1", "7.5")]
    assert rows == [
        *((name, size, scale) for size in ("1x2x3", "2x3x9") for name, scale in step),
        ("padded in a batch", "2x2x37", "2"),
        ("3 steps ddim", "1x2x5", "7.5"),
        ("3 steps dpmsolver++", "1x1x6", "1"),
    ]
    assert f"all {len(rows)} parity figures are within their bounds" in output
    for name in exported_files():
        assert re.search(rf"{re.escape(name)}.*\d\.\d.*[0-9a-f]{{16}}\.\.\.", output)
    assert "…" not in output  # no cell is cut


def test_the_longest_figures_fit(capsys: pytest.CaptureFixture[str]):
    longest = Figure("50 steps dpmsolver++", 3, 16, 1000, 7.5, math.nan, 1.2e-5, 1e-5)
    print_parity(Console(width=80), [longest])
    assert "50 steps dpmsolver++  3x16x1000       7.5      nan   1.2e-05  1e-05  FAILED" in (
        capsys.readouterr().out
    )


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


def test_a_damaged_bundle_is_written_again(checkpoint: Path, exports: list, tmp_path: Path):
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    (tmp_path / "b" / "encoder.onnx").write_bytes(b"")
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    assert len(exports) == 2
    assert open_bundle(tmp_path / "b").read("encoder.onnx") == exported_files()["encoder.onnx"]


def test_no_bundle_is_left_when_parity_fails(
    checkpoint: Path, exports: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(parity, "STEP_BOUND", 1e-12)
    line = one_line(run("--model", checkpoint, "--output", tmp_path / "bundle"), 1)
    assert re.search(r"11 of 13 figures are over their bound; the worst is .*bound 1e-12", line)
    assert list(tmp_path.iterdir()) == []


def test_an_older_bundle_stays_when_parity_fails(
    checkpoint: Path, exports: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    older = (tmp_path / "b" / "bundle.json").read_bytes()
    monkeypatch.setattr(parity, "STEP_BOUND", 1e-12)
    one_line(run("--model", checkpoint, "--output", tmp_path / "b", "--force"), 1)
    assert (tmp_path / "b" / "bundle.json").read_bytes() == older


def test_a_refused_graph_leaves_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object) -> dict[str, bytes]:
        raise to_onnx.ExportError("graph encoder: an axis")

    monkeypatch.setattr(to_onnx, "export_graphs", refuse)
    line = one_line(run("--model", checkpoint, "--output", tmp_path / "b"), 1)
    assert line == "Error: graph encoder: an axis\n"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model(exports: list, tmp_path: Path):
    line = one_line(run("--model", "mimi", "--output", tmp_path / "bundle"), 2)
    assert "no model 'mimi'" in line
    assert list(tmp_path.iterdir()) == []


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
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "full"]


def test_a_folder_of_another_bundle_is_replaced(checkpoint: Path, exports: list, tmp_path: Path):
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    info = open_bundle(tmp_path / "b").info
    other = {**exported_files(), "extra.bin": b"1"}
    write_bundle(tmp_path / "b", type(info)(**{**vars(info), "checkpoint_sha256": "1"}), other)
    assert run("--model", checkpoint, "--output", tmp_path / "b").exit_code == 0
    assert open_bundle(tmp_path / "b").info == info
    assert "extra.bin" not in {p.name for p in (tmp_path / "b").iterdir()}


@pytest.mark.parametrize("kept", [0, 100, -8])
def test_a_damaged_checkpoint(checkpoint: Path, exports: list, tmp_path: Path, kept: int):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(checkpoint.read_bytes()[:kept])
    line = one_line(run("--model", damaged, "--output", tmp_path / "bundle"), 5)
    assert str(damaged) in line
    assert exports == []
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    "arguments", [("--opset", "17"), ("--format", "coreml"), ("--output", __file__)]
)
def test_what_cannot_be_asked_for(checkpoint: Path, exports: list, arguments: tuple[str, str]):
    result = run("--model", checkpoint, *arguments)
    assert result.exit_code == 2
    assert f"Invalid value for '{arguments[0]}'" in result.stderr
    assert exports == []


def test_debug_shows_the_traceback(tmp_path: Path):
    result = run("--model", "mimi", "--output", tmp_path / "bundle", "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("\n")


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
