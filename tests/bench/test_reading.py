"""`mreactor-bench reading`: how fast prepared features are read, and in how much memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from mreactor_bench.bench_cli import main
from mreactor_bench.reading.long_tree import SPLIT, TreeSize, write_long_tree
from mreactor_bench.reading.measure import Pass, measure_reading, own_memory
from mreactor_ref.data.draws import Draws, DropRates, statistics
from mreactor_ref.data.dyads import load_dyads

TARGET = 10_000  # frames a second a core, of an epoch from prepared features


RECORD = 16 * 2**10  # bytes that a clip may add to the memory


def silent(text: str) -> None:
    pass


def test_an_epoch_is_read_as_fast_as_it_must_be(tmp_path: Path):
    """By the seconds of the thread: others may use the machine, too."""
    size = TreeSize(clips=40, frames=400, width=768)
    write_long_tree(tmp_path / "tree", size)
    reading = measure_reading(tmp_path / "tree", size, tmp_path / "features", say=silent)
    assert list(reading.passes) == ["prepare", "open", "statistics", "epoch 1", "epoch 2"]
    for name in ("epoch 1", "epoch 2"):
        epoch = reading.passes[name]
        assert epoch.frames == 40 * 128
        assert epoch.frames / epoch.core_seconds > TARGET
    assert reading.features > 40 * 400 * (768 + 2 * 83) * 4


def test_the_tree_is_read_as_what_it_holds(tmp_path: Path):
    size = TreeSize(clips=80, frames=30, width=16)
    write_long_tree(tmp_path / "tree", size)
    dyads = load_dyads(tmp_path / "tree", SPLIT, size.config(), features=tmp_path / "features")
    assert (len(dyads), dyads.frames, dyads.left_out) == (80, 80 * 30, ())
    sound = np.load(tmp_path / "tree/originals/audio-features.npy")
    assert dyads[79].clip.sound is not None
    np.testing.assert_array_equal(dyads[79].clip.sound, sound)


def peak_of_reading(folder: Path, size: TreeSize) -> int:
    """Bytes that opening a prepared tree and an epoch of it hold at most, beyond the start."""
    write_long_tree(folder / "tree", size)
    config, features = size.config(), folder / "features"
    load_dyads(folder / "tree", SPLIT, config, features=features)
    tracemalloc.start()
    try:
        dyads = load_dyads(folder / "tree", SPLIT, config, features=features)
        draws = Draws(
            *(dyads, statistics(dyads, config)),
            **{"first": 0, "last": size.clips, "frames": 64, "reactions": 1},
            drop=DropRates(),
            seed=0,
        )
        for i in range(size.clips):
            draws[i]
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_clips(tmp_path: Path):
    """What each clip adds is its record of paths and numbers, and not its 460 kB of arrays."""
    few, many = (
        peak_of_reading(tmp_path / str(clips), TreeSize(clips, 500, 64)) for clips in (20, 160)
    )
    assert (many - few) / 140 < RECORD, (few, many)


def test_memory_hardly_grows_with_the_length_of_a_clip(tmp_path: Path):
    """Blocks and windows are in memory; what grows is the motion of one listener at a time."""
    short, long = (
        peak_of_reading(tmp_path / str(frames), TreeSize(3, frames, 64))
        for frames in (6_000, 30_000)
    )
    motion = 24_000 * 83 * 4
    assert long - short < 2 * motion, (short, long)


def test_the_command_says_and_writes_what_it_measured(tmp_path: Path):
    arguments = ["reading", "--clips", 4, "--frames", 200, "--width", 8, "--dtype", "float16"]
    given = [*arguments, "--work", tmp_path, "--output", tmp_path / "reading.json"]
    done = CliRunner().invoke(main, [str(x) for x in given])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("4 clips of 200 frames, 1 MiB")
    assert "| epoch 2 |" in done.stdout
    report = json.loads((tmp_path / "reading.json").read_text())
    assert (report["kind"], report["clips"], report["dtype"]) == ("reading", 4, "float16")
    assert report["passes"]["epoch 1"]["frames"] == 4 * 128
    assert [path.name for path in tmp_path.iterdir()] == ["reading.json"]


def test_figures_of_a_pass():
    assert Pass(300, 2.0, 1.0).frames_per_second == 150
    memory = own_memory()
    assert memory is None or memory > 2**20
