"""Sound and video decoded in a process of its own are the same; a file that breaks it, is named."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from fakes.drawn_videos import head, wall, write_video

from mreactor_ref.errors import ClipError, MReactorError
from mreactor_ref.features import decoder as module
from mreactor_ref.features.decoder import Decoder
from mreactor_ref.features.sound import read_sound
from mreactor_ref.features.video.frames import read_frames
from mreactor_ref.signals import SAMPLE_RATE
from mreactor_ref.stages import SOUND, listening

soundfile = pytest.importorskip("soundfile")


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    wave = np.random.default_rng(0).normal(0, 0.1, round(seconds * SAMPLE_RATE))
    soundfile.write(path, wave, SAMPLE_RATE)
    return path


def children() -> set[int]:
    """The processes of this one."""
    return {int(i) for i in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files named crash, hang, eat and babble break the process that decodes."""
    monkeypatch.setattr(module, "MODULE", "fakes.broken_decoder")


def test_a_sound_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    path, heard = write_sound(tmp_path / "a\nb.wav", 20.0), []
    expected = read_sound(path)
    with Decoder() as decoder, listening(lambda *said: heard.append(said)):
        for _ in range(2):
            sound = decoder.read_sound(path)
            np.testing.assert_array_equal(sound.wave, expected.wave)
            assert sound.warnings == expected.warnings
    assert all(stage == SOUND and 0 <= part <= 1 for stage, part in heard)


def test_a_video_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [wall(), head(), wall()], [0, 40, 80])
    parts: dict[str, list[float]] = {"apart": [], "here": []}
    with Decoder() as decoder, listening(lambda _, part: parts["apart"].append(part)):
        frames = list(decoder.read_frames(path))
    with listening(lambda _, part: parts["here"].append(part)):
        expected = list(read_frames(path))
    assert sorted(set(parts["apart"])) == parts["here"]  # how far it is, is told frame by frame
    assert [frame.time for frame in frames] == [frame.time for frame in expected]
    for frame, other in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame.pixels, other.pixels)


def test_an_error_is_the_same_and_costs_no_process(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")
    good = write_sound(tmp_path / "b.wav")
    with pytest.raises(ClipError) as here:
        read_sound(tmp_path / "a.wav")
    with Decoder() as decoder:
        decoder.read_sound(good)
        before = children()
        with pytest.raises(ClipError) as apart:
            decoder.read_sound(tmp_path / "a.wav")
        decoder.read_sound(good)
        assert children() == before
    assert str(apart.value) == str(here.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("crash", "its decoder crashed: it was ended by SIGSEGV"),
        ("hang", "its decoder hangs: no sign of life for 3 s"),
        ("eat", "needs more memory than a decoder has"),
        ("babble", "its decoder went wrong: "),
    ],
)
def test_a_decoder_that_breaks_costs_one_clip(
    breaks: None, tmp_path: Path, name: str, problem: str
) -> None:
    bad, good = write_sound(tmp_path / f"{name}.wav"), write_sound(tmp_path / "good.wav")
    with Decoder(patience=3.0) as decoder:
        for _ in range(2):
            with pytest.raises(ClipError) as raised:
                decoder.read_sound(bad)
            assert raised.value.problem.startswith(problem)
            assert raised.value.path == bad
            np.testing.assert_array_equal(decoder.read_sound(good).wave, read_sound(good).wave)


def test_a_process_that_was_killed_between_clips_is_started_anew(tmp_path: Path) -> None:
    path, before = write_sound(tmp_path / "a.wav"), children()
    with Decoder() as decoder:
        decoder.read_sound(path)
        [process] = children() - before
        os.kill(process, signal.SIGKILL)
        time.sleep(0.2)
        assert decoder.read_sound(path).wave.size


def test_a_video_that_is_left_half_way_leaves_no_process(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [wall()] * 3, [0, 40, 80])
    before = children()
    with Decoder() as decoder:
        frames = decoder.read_frames(path)
        next(frames)
        frames.close()
        assert children() == before
        assert len(list(decoder.read_frames(path))) == 3
    assert children() == before


def test_a_process_that_does_not_start_is_wrong_for_every_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MODULE", "fakes.no_such_module")
    with pytest.raises(MReactorError, match="does not start: it ended with 1") as raised:
        Decoder().read_sound(write_sound(tmp_path / "a.wav"))
    assert not isinstance(raised.value, ClipError)
