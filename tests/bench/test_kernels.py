"""`mreactor-bench kernels` on a CPU: all figures are there, and add up."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from mreactor_bench.bench_cli import main
from mreactor_bench.kernels import measure
from mreactor_bench.kernels.measure import HALF_TILES, SKIPPING, Timing, attention_times
from mreactor_ref.config import CONFIGS

CPU = torch.device("cpu")


def test_it_writes_attention_clips_and_kernels(tmp_path: Path):
    sizes = ["--config", "mini", "--frames", "16", "--samples", "1", "--steps", "2"]
    way = ["--device", "cpu", "--dtype", "bf16", "--repeats", "1"]
    way += ["--kernels", "fused", "--kernels", "eager", "--slots", "1", "--slots", "2"]
    output = tmp_path / "times.json"
    done = CliRunner().invoke(main, ["kernels", *sizes, *way, "--output", str(output)])
    assert done.exit_code == 0, done.output
    found = json.loads(output.read_text())
    assert [row["reactions"] for row in found["attention"]] == [1, 2]
    clips = [(row["kernels"], row["slots"], row["guidance"]) for row in found["clips"]]
    assert clips == list(product(("fused", "eager"), (1, 2), (1, 2)))
    for row in found["clips"]:
        assert row["milliseconds"] == pytest.approx(2 * row["milliseconds_a_step"])
    for kernels, slots, guidance in clips:
        of = "" if slots == 1 else ", 2 slots"
        rows = found[f"{kernels} kernels at guidance {guidance:g}{of}"]
        names = [row["name"] for row in rows]
        assert "mreactor::decay_attention" in names
        spent = [row["microseconds"] for row in rows]
        assert spent == sorted(spent, reverse=True)


def test_on_a_gpu_each_tile_is_timed_with_and_without_skipping(monkeypatch: pytest.MonkeyPatch):
    """With a device that says it is one, and a kernel that notes what it was asked for."""
    asked = []

    class OnGpu(Timing):
        def milliseconds(self, call):
            call()
            return 1.0

    monkeypatch.setattr(measure, "CUDA", "cpu")
    monkeypatch.setattr(measure, "launch_key_lengths", lambda keys, lengths: keys)
    monkeypatch.setattr(
        measure,
        "launch_tiled",
        lambda *tensors_tile_skipped: asked.append(tensors_tile_skipped[6:]),
    )
    rows = attention_times(CONFIGS["mini"], 16, 1, OnGpu(CPU, 1))
    timed = [(row["tile"], row["skipped"]) for row in rows if row["tile"] != "key lengths"]
    assert timed == asked
    assert set(asked) == {(tile, skipped) for tile in HALF_TILES for skipped in SKIPPING}
    assert len(asked) == 2 * len(HALF_TILES) * len(SKIPPING)


def test_the_median_of_the_calls_after_the_first_is_taken(monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 0.001, 0.0, 0.009, 0.0, 0.002])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    calls = []
    assert Timing(CPU, 3).milliseconds(lambda: calls.append(1)) == pytest.approx(2.0)
    assert len(calls) == 4
