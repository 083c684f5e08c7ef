"""A video of a clip's listeners: its length, its sound, its mark, and clips that are not there."""

from __future__ import annotations

import av
import numpy as np
import pytest
from click.testing import CliRunner
from fakes.runs import waving, write_clip, write_run

from mreactor_runtime.view.command import main
from mreactor_runtime.view.video import HEIGHT, MARK, STRIP, WIDTH

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture
def run(tmp_path):
    write_clip(tmp_path / "clips", "deep/a", 0.2)
    write_run(tmp_path / "out", {"deep/a": waving(2, 5)}, source=tmp_path / "clips")
    (tmp_path / "clips" / "deep" / "a.srt").unlink()
    return tmp_path / "out"


def view(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_video_has_the_heads_the_sound_and_the_mark(run):
    result = view(run, "--video", "deep/a")
    assert result.exit_code == 0, result.output
    path = run / "view" / "videos" / "deep" / "a.mp4"
    assert f"video: {path}" in result.stdout
    with av.open(str(path)) as file:
        assert file.metadata["comment"] == MARK
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert [frame.shape for frame in frames] == [(HEIGHT + STRIP, 2 * WIDTH, 3)] * 5
    first, last = frames[0].astype(int), frames[-1].astype(int)
    for k in range(2):  # each head moves: it turns to its left
        head = np.s_[:HEIGHT, k * WIDTH : (k + 1) * WIDTH]
        assert np.abs(first[head] - last[head]).max() > 30
    strip = first[-STRIP + 2 :]
    assert strip.min() < 120 < 240 < strip.max()  # words on white
    with av.open(str(path)) as file:
        sound = np.concatenate([f.to_ndarray().ravel() for f in file.decode(audio=0)])
    assert 0.15 < len(sound) / 16000 < 0.4
    assert np.abs(sound).max() > 0.1


def test_a_clip_that_is_not_there_is_a_usage_error(run):
    result = view(run, "--video", "b")
    assert result.exit_code == 2
    assert "has no clip 'b' that is done" in result.stderr
