"""`mreactor-bench face`: what it counts, and that it holds itself to one core."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mreactor_bench.faces import turns
from mreactor_ref.features.video.frames import read_frames

pytest.importorskip("onnxruntime")

TALK = Path(__file__).parents[2] / "examples" / "clips" / "talk.mp4"


def test_turns_of_a_video_are_one_long_video():
    frames = list(read_frames(TALK))
    length = frames[-1].time + (frames[-1].time - frames[-2].time)
    long = list(turns(TALK, 2.5 * length))
    assert len(long) == 3 * len(frames)
    steps = np.diff([frame.time for frame in long])
    assert steps.min() == pytest.approx(steps.max(), rel=1e-3)
    np.testing.assert_array_equal(long[len(frames) + 5].pixels, frames[5].pixels)


def test_the_command_measures_in_a_process_of_its_own(tmp_path: Path):
    output = tmp_path / "face.json"
    arguments = ["face", "--input", str(TALK), "--minutes", "0.02", "--output", str(output)]
    script = "from mreactor_bench.bench_cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(output.read_text())
    assert figures["frames"] == len(list(read_frames(TALK)))
    assert figures["seen"] > 0.9
    assert figures["cores"] == (1 if sys.platform == "linux" else 0)
    assert figures["frames_per_core_second"] == figures["frames"] / figures["core_seconds"]
    assert [memory for _, memory in figures["memory"]] == sorted(m for _, m in figures["memory"])
