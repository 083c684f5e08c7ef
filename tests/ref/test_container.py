"""Media files that are too long are refused, and none opens anything but itself."""

import time
from pathlib import Path

import numpy as np
import pytest

from mreactor_ref.errors import ClipError
from mreactor_ref.features.container import open_container
from mreactor_ref.features.sound import read_sound
from mreactor_ref.features.video.frames import read_frames
from mreactor_ref.signals import SAMPLE_RATE

soundfile = pytest.importorskip("soundfile")


def test_a_sound_of_more_than_two_hours_is_refused_before_it_is_decoded(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 4000, 1) as file:
        for _ in range(121):
            file.write(np.zeros(4000 * 60))
    started = time.monotonic()
    with pytest.raises(ClipError, match=r"a sound of more than 2 hours.*cut it into several clips"):
        read_sound(tmp_path / "a.flac")
    assert time.monotonic() - started < 2.0


def test_a_long_sound_without_a_declared_length_is_refused_while_it_is_decoded(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("mreactor_ref.features.sound_track.LONGEST_SECONDS", 3.0)
    soundfile.write(tmp_path / "a.wav", np.zeros(10 * SAMPLE_RATE), SAMPLE_RATE)
    monkeypatch.setattr("mreactor_ref.features.sound.declared_seconds", lambda *_: None)
    with pytest.raises(ClipError, match="a sound of more than 2 hours"):
        read_sound(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "script",
    [
        "ffconcat version 1.0\nfile secret.wav\n",
        "#EXTM3U\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
    ],
    ids=["concat", "playlist", "sdp"],
)
@pytest.mark.parametrize("suffix", [".wav", ".mp4"])
def test_a_script_reads_no_other_file(tmp_path, script, suffix):
    soundfile.write(tmp_path / "secret.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    (tmp_path / f"a{suffix}").write_text(script)
    with pytest.raises(ClipError, match="cannot be read as sound"):
        read_sound(tmp_path / f"a{suffix}")
    with pytest.raises(ClipError, match="cannot be read as a video"):
        next(read_frames(tmp_path / f"a{suffix}"))


def test_a_media_file_opens_no_other_protocol(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    with pytest.raises(OSError, match="No such file"):
        open_container(Path(f"subfile,,start,0,end,0,,:{tmp_path}/a.wav"), "wav")
    with open_container(tmp_path / "a.wav", "wav") as container:
        assert container.options["protocol_whitelist"] == "file"
