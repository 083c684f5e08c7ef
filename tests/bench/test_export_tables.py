"""`mreactor-bench precision` and `forms`: the tables behind the exporter's choices."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from fakes.engines import onnx_files
from fakes.exported import network

from mreactor_bench.bench_cli import main
from mreactor_bench.precision import export_tables
from mreactor_bench.precision.forms import Ratio
from mreactor_bench.precision.sensitivity import Case, Sensitivity
from mreactor_ref.model import MReactor


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Measurements that take no time; they are tested where they are. Dtype, cases and frames."""
    asked = []

    def find(proto: onnx.ModelProto, dtype: str, cases: Sequence[Case]):
        assert proto.graph.name == "denoiser"
        asked.append((dtype, len(cases), cases[0]["noisy"].shape[2]))
        return iter([("", 0.5), ("norm", 0.25), ("softmax", 0.125)])

    monkeypatch.setattr(
        export_tables, "export_graph", lambda _, spec, *__, **___: onnx_files()[f"{spec.name}.onnx"]
    )
    monkeypatch.setattr(export_tables, "find_kept", find)
    monkeypatch.setattr(export_tables, "measure_precision", lambda *_: (0.0625, 0.5))
    monkeypatch.setattr(
        export_tables,
        "measure_sensitivity",
        lambda *_: iter([Sensitivity("matmul", 12, 0.375, 0.1875)]),
    )
    return asked


def test_the_tables_of_a_precision(checkpoint: Path, tmp_path: Path, asked: list):
    output = tmp_path / "reports" / "precision.json"
    arguments = ["precision", "--model", str(checkpoint), "--frames", "24", "--dtype", "bf16"]
    done = CliRunner().invoke(main, [*arguments, "--output", str(output)])
    assert done.exit_code == 0, done.output
    assert asked == [("bf16", 3, 24)]
    record = json.loads(output.read_text())
    assert (record["kind"], record["frames"], list(record["dtypes"])) == ("precision", 24, ["bf16"])
    found = record["dtypes"]["bf16"]
    assert (found["table"], found["nothing_kept"]) == (0.0625, 0.5)
    assert found["kept"][1] == {"operators": "norm", "error": 0.25}
    assert found["sensitivity"][0]["spared"] == 0.1875
    lines = done.stdout.splitlines()
    for line in ("| nothing | 0.5 |  |", "| norm | 0.25 | yes |", "| softmax | 0.12 | no |"):
        assert line in lines
    assert "| matmul | 12 | 0.38 | 0.19 | products of matrices |" in lines
    assert "With the table KEEP_FP32 0.062, without 0.5." in lines


def test_both_half_types_are_the_default(checkpoint: Path, asked: list):
    done = CliRunner().invoke(main, ["precision", "--model", str(checkpoint), "--no-sensitivity"])
    assert done.exit_code == 0, done.output
    assert asked == [("fp16", 3, 750), ("bf16", 3, 750)]
    assert "matmul" not in done.stdout


def test_the_table_of_forms(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def measure(model: MReactor, sizes: list[dict[str, int]], pairs: int) -> Iterator[Ratio]:
        asked.append((model.config, pairs))
        for size in sizes:
            yield Ratio("bias as an input", size, 1.25, 0.5)

    monkeypatch.setattr(export_tables, "measure_forms", measure)
    output = tmp_path / "forms.json"
    arguments = ["forms", "--model", str(checkpoint), "--frames", "8", "--frames", "9"]
    arguments += ["--samples", "2", "--pairs", "4", "--output", str(output)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert asked == [(network().config, 4)]
    rows = json.loads(output.read_text())["forms"]
    assert [row["sizes"] for row in rows] == [{"B": 1, "S": 2, "T": frames} for frames in (8, 9)]
    assert {(row["ratio"], row["seconds"]) for row in rows} == {(1.25, 0.5)}
    assert "| bias as an input | 2 | 9 | 1.250 | 0.5 |" in done.stdout


@pytest.mark.parametrize("command", ["precision", "forms"])
def test_an_unknown_model_ends_with_code_2_and_a_line(command: str):
    done = CliRunner().invoke(main, [command, "--model", "maxi"])
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: no model 'maxi'")
