"""The face of drawn videos, in which expressions and pose are known."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.drawn_videos import both, frames, head, wall

from mreactor_ref.features.video.description import VideoFace, describe
from mreactor_ref.features.video.frames import Frame
from mreactor_ref.features.video.track import follow_face
from mreactor_ref.signals import ACTION_UNITS, EXPRESSIONS

pytest.importorskip("onnxruntime")

# What a turn of the head may be off by, radians, beside the picture of the head at rest. The
# network sees less of a nod than there is: 0.18 of a pitch of 0.25.
ERRORS = {"yaw": 0.06, "pitch": 0.08, "roll": 0.03}


def read(*parts: tuple[int, np.ndarray]) -> VideoFace:
    return describe(follow_face(frames(parts)))


def units(face: VideoFace, frame: int) -> set[str]:
    assert face.face is not None
    assert face.face.attributes is not None
    row = face.face.attributes[frame]
    return {name for name, there in zip(ACTION_UNITS, row, strict=False) if there}


SHOWN = {
    "smile": (both("mouthSmile", 0.9) | both("cheekSquint", 0.8), {"AU12"}, {"AU15", "AU26"}),
    "frown": (both("mouthFrown", 1.0), {"AU15"}, {"AU12", "AU1", "AU26"}),
    "raised brows": ({"browInnerUp": 1.0} | both("browOuterUp", 1.0), {"AU1"}, {"AU4", "AU12"}),
    "lowered brows": (both("browDown", 1.0), {"AU4"}, {"AU1", "AU2", "AU12"}),
    "open mouth": ({"jawOpen": 0.6}, {"AU25", "AU26"}, {"AU12", "AU4"}),
}


@pytest.mark.parametrize("name", SHOWN)
def test_an_expression_drives_its_units(name: str) -> None:
    levels, there, absent = SHOWN[name]
    face = read((20, head()), (10, head(**levels)))
    assert face.seen.all()
    assert not units(face, 19)
    assert there <= units(face, 29)
    assert not absent & units(face, 29)


@pytest.mark.parametrize(
    "turn", [{"yaw": 0.3}, {"yaw": -0.3}, {"pitch": 0.25}, {"pitch": -0.15}, {"roll": 0.2}]
)
def test_a_turn_of_the_head(turn: dict[str, float]) -> None:
    half = {name: angle / 2 for name, angle in turn.items()}
    face = read((5, head()), (2, head(**half)), (5, head(**turn)))
    (name,) = turn
    wanted = [turn.get(name, 0.0) for name in ("pitch", "yaw", "roll")]
    assert face.pose[-1, :3] - face.pose[4, :3] == pytest.approx(wanted, abs=ERRORS[name])


def test_the_place_of_the_head() -> None:
    face = read((6, head()))
    right, up, towards = face.pose[-1, 3:]
    assert abs(right) < 1
    assert abs(up) < 3
    assert towards < -20  # before the camera


def test_a_short_gap_is_filled_and_a_long_one_is_rest() -> None:
    smile = head(**both("mouthSmile", 0.9), **both("cheekSquint", 0.8))
    parts = ((20, head()), (5, smile), (5, wall()), (5, smile), (20, wall()), (5, head()))
    face = read(*parts)
    expected = np.repeat([True, True, False, True, False, True], [count for count, _ in parts])
    np.testing.assert_array_equal(face.seen, expected)
    assert np.isnan(face.pose[~face.seen]).all()
    assert all("AU12" in units(face, frame) for frame in range(25, 30))
    assert face.face is not None
    assert face.face.attributes is not None
    away = face.face.attributes[36:55]
    assert (away[:, 17 + EXPRESSIONS.index("Neutral")] == 1).all()
    assert not away[:, :15].any()
    assert any("away for 2.0 s" in line for line in face.warnings)


def test_times_are_the_middles_of_frames() -> None:
    shown = np.cumsum([0, 0.1, 0.1, 0.2, 0.1, 0.3, 0.1, 0.1])
    face = describe(follow_face(Frame(float(time), head()) for time in shown))
    assert face.face is not None
    assert face.face.times is not None
    assert face.face.times[:4] == pytest.approx([0.05, 0.15, 0.3, 0.45])


def test_no_face() -> None:
    face = read((20, wall()))
    assert face.face is None
    assert face.warnings == ("no face is seen in the video",)
    assert describe(follow_face(iter(()))).face is None


def test_a_face_for_a_moment_is_a_mistake() -> None:
    assert read((10, wall()), (1, head()), (10, wall())).face is None


def test_the_largest_face_is_followed() -> None:
    small, large = head()[::2, ::2], head()
    picture = np.full((240, 520, 3), 128, np.uint8)
    picture[60:180, 20:180], picture[:, 200:] = small, large
    face = read((30, picture))
    assert face.pose[-1, 3] > 0  # right of the middle
    assert any(line.startswith("2 faces are seen") for line in face.warnings)


def test_what_to_trust_is_said() -> None:
    face = read((8, head()))
    assert "trusted are AU1 AU2 AU4 AU6 AU12 AU25 AU26" in face.warnings[0]
    assert "valence" not in face.trusted


def test_a_frame_is_held_only_while_it_is_looked_at() -> None:
    """An hour of video takes no more pictures in memory than a second."""
    import weakref

    alive: list[weakref.ref[np.ndarray]] = []

    def passing():
        for number in range(12):
            pixels = head().copy()
            alive.append(weakref.ref(pixels))
            frame = Frame(number / 10, pixels)
            del pixels
            yield frame
            del frame
            assert sum(ref() is not None for ref in alive) <= 2

    track = follow_face(passing())
    assert track.rows.nbytes / len(track.times) < 400  # bytes that stay of a frame
