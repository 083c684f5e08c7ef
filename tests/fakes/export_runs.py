"""Runs of `mreactor-export` in tests: quick ones, of graphs that were traced before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from fakes.exported import exported_engine, exported_files, network
from mreactor_export import tracing
from mreactor_export.cli import main
from mreactor_export.parity import candidates, clips, proof
from mreactor_export.parity.candidates import Candidates
from mreactor_export.parity.cases import DDPM, Cases, Sizes, Trajectory
from mreactor_ref.model import MReactor
from mreactor_runtime.bundle import open_bundle
from mreactor_runtime.tensors import all_graph_specs

ONE_CASE = Cases(
    steps=(Sizes(2, 3, 9),),
    rows=(Sizes(2, 2, 3),),
    layers=(),
    padding=((5, 8),),
    trajectories=(Trajectory(Sizes(1, 2, 5), 3, DDPM, 7.5),),
    clips=(),
    real=(),
    dyads=(),
    others=(9,),
)


class OffBy:
    """The exported model, but what the denoiser gives is off by a part."""

    name, device, keeps_scores = "off", torch.device("cpu"), True

    def __init__(self, part: float):
        self.right, self.part = exported_engine(), part

    def run(self, graph: str, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found = self.right.run(graph, inputs)
        more = 1 + self.part * (graph == "denoiser")
        return {name: value * more for name, value in found.items()}


def few_figures(monkeypatch: pytest.MonkeyPatch, part: float = 0.0) -> None:
    """One case of parity, on one engine, which is off by a part."""
    monkeypatch.setattr(proof, "cases", lambda config, thorough: ONE_CASE)
    monkeypatch.setattr(proof, "metric_figures", lambda setup, note: ())
    for module in (clips, proof):
        monkeypatch.setattr(
            module, "example_clips", lambda *_: ([], "random features only: a test")
        )
    opened = Candidates({"onnx": OffBy(part)}, ())
    for module in (candidates, proof):
        monkeypatch.setattr(module, "open_candidates", lambda *_, **__: opened)


def traced_before(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """No tracing: the graphs of `exported`. Returns what each export asks for, as it comes."""
    seen: list[dict[str, Any]] = []

    def trace_graphs(
        model: MReactor, path: Path, opset: int, metadata: Mapping[str, str], **asked: Any
    ) -> dict[str, bytes]:
        for name, tensor in network().state_dict().items():
            assert torch.equal(model.state_dict()[name], tensor)
        del asked["report"]
        seen.append({"metadata": metadata, "opset": opset, **asked})
        return {name: exported_files()[f"{name}.onnx"] for name in all_graph_specs(model.config)}

    monkeypatch.setattr(tracing, "trace_graphs", trace_graphs)
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


def graph_files(folder: Path) -> dict[str, bytes]:
    """The ONNX files of a bundle."""
    bundle = open_bundle(folder)
    return {name: bundle.read(name) for name in bundle.files if name.endswith(".onnx")}


def made(folder: Path) -> list[str]:
    """All that is in a folder, hidden things too: nothing half-written may be left."""
    return sorted(path.name for path in folder.iterdir())
