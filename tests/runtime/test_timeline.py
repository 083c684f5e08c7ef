import dataclasses
import io
import sys

import numpy as np
import pytest

from mreactor_ref.errors import UsageError
from mreactor_ref.signals import MFCC_WIDTH, Reactions, SpeakerClip, Utterance
from mreactor_runtime.report import timeline
from mreactor_runtime.report.timeline import plot_timeline

Image = pytest.importorskip("PIL.Image")

UTTERANCES = (
    Utterance(0.2, 1.0, "It costs $5 and $6, or a_b^c."),
    Utterance(1.2, 1.4, "Yes."),
    Utterance(1.5, 3.5, "\u4f60\u597d \N{GRINNING FACE}"),
)


def clip(frames: int = 100) -> SpeakerClip:
    generator = np.random.default_rng(0)
    return SpeakerClip(
        "odd $name_/clip",
        frames,
        25.0,
        sound=generator.normal(size=(frames, MFCC_WIDTH)).astype(np.float32),
        attributes=generator.random((frames, 25), dtype=np.float32),
        utterances=UTTERANCES,
    )


def reactions(samples: int = 10, frames: int = 100) -> Reactions:
    generator = np.random.default_rng(1)
    return Reactions(
        generator.random((samples, frames, 25), dtype=np.float32),
        generator.normal(0, 0.1, (samples, frames, 58)).astype(np.float32),
    )


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Fewer dots: the pictures are not looked at."""
    monkeypatch.setattr(timeline, "DPI", 40)


@pytest.fixture
def figures(monkeypatch):
    """The figures that were drawn, to look into."""
    drawn = []
    png = timeline._png

    def keep(figure, *description):
        drawn.append(figure)
        return png(figure, *description)

    monkeypatch.setattr(timeline, "_png", keep)
    return drawn


def titles(figure) -> list[str]:
    return [title for axes in figure.axes if (title := axes.get_title(loc="left"))]


def test_the_panels_are_named_in_seconds_and_hold_the_values(figures, tmp_path):
    made = reactions()
    plot_timeline(clip(), made, tmp_path / "clip.png")
    [figure] = figures
    names = [title.split("  (")[0] for title in titles(figure)]
    assert names == [
        *("Speaker: words", "Speaker: sound level", "Speaker: face"),
        *("Reactions: valence", "Reactions: arousal", "Reactions: smile (AU12)"),
        "Reactions: head pitch (degrees from its median)",
    ]
    panels = {axes.get_title(loc="left").split("  (")[0]: axes for axes in figure.axes}
    valence = panels["Reactions: valence"]
    assert len(valence.lines) == 11  # ten reactions and their mean
    np.testing.assert_allclose(valence.lines[3].get_ydata(), made.attributes[3, :, 15])
    np.testing.assert_allclose(valence.lines[3].get_xdata()[[0, -1]], [0.02, 3.98])
    [smile] = panels["Reactions: smile (AU12)"].images
    np.testing.assert_allclose(smile.get_array(), made.attributes[..., 7])
    [pitch] = panels[names[-1]].images
    degrees = np.degrees(made.coefficients[..., 52])
    expected = degrees - np.median(degrees, axis=1, keepdims=True)
    np.testing.assert_allclose(pitch.get_array(), expected, rtol=1e-5, atol=1e-5)
    low, high = pitch.get_clim()
    assert low == -high  # white is the median
    assert panels[names[-1]].get_xlabel() == "Time (seconds)"
    assert valence.get_xlim() == (0, 4)
    printed = [text.get_text() for text in panels["Speaker: words"].texts]
    assert printed[0].replace("\n", " ").startswith("It costs $5 and $6")


def test_the_picture_is_a_png_with_the_same_bytes_again(tmp_path):
    for name in ("one", "two"):
        plot_timeline(clip(), reactions(), tmp_path / "folder" / f"{name}.png")
    one, two = ((tmp_path / "folder" / f"{name}.png").read_bytes() for name in ("one", "two"))
    assert one == two
    with Image.open(io.BytesIO(one)) as image:
        assert image.format == "PNG"
        assert image.width == 14 * 40
        assert len(image.convert("RGB").getcolors(2**24) or []) > 100
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == ["one.png", "two.png"]


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (1, 40), (30, 1500)])
def test_any_size_is_drawn(tmp_path, samples, frames):
    plot_timeline(clip(frames), reactions(samples, frames), tmp_path / "clip.png")
    assert (tmp_path / "clip.png").stat().st_size > 5000


def test_what_the_speaker_lacks_has_no_panel(figures, tmp_path):
    bare = dataclasses.replace(clip(), sound=None, attributes=None, utterances=())
    plot_timeline(bare, reactions(), tmp_path / "clip.png")
    assert len(titles(figures[0])) == 4
    assert not any("Speaker" in title for title in titles(figures[0]))


def test_the_sound_level_is_the_first_mfcc_from_quiet_to_loud():
    sound = np.zeros((3, MFCC_WIDTH), np.float32)
    sound[:, 0] = (-300, -100, -200)
    sound[:, 1] = 1000  # another channel
    np.testing.assert_allclose(timeline._sound_level(sound), [0, 1, 0.5])
    assert not timeline._sound_level(np.zeros_like(sound)).any()  # silence


def test_the_sound_level_of_another_encoder_is_the_size_of_its_features():
    sound = np.array([[1.0, -1.0], [3.0, 3.0], [-2.0, 2.0]], np.float32)
    np.testing.assert_allclose(timeline._sound_level(sound), [0, 1, 0.5])


def test_no_pyplot_state_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    plot_timeline(clip(), reactions(), tmp_path / "clip.png")
    assert (tmp_path / "clip.png").is_file()


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r'pip install "mreactor\[plot\]"'):
        plot_timeline(clip(), reactions(), tmp_path / "clip.png")
