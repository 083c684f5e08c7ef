"""Tables of the tools that measure faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mreactor_ref.errors import ClipError
from mreactor_ref.features.action_units import (
    ARKIT_SHAPES,
    HINTS,
    PRESENT_SHAPE,
    TRUSTED,
    UNIT_SHAPES,
    sides,
    unit_levels,
    unit_shapes,
)
from mreactor_ref.features.face import Face, fit_face, read_face
from mreactor_ref.features.faces.tools import is_face
from mreactor_ref.signals import (
    ACTION_UNITS,
    AFFECT_SLICE,
    AU_SLICE,
    EXPRESSION_SLICE,
    EXPRESSIONS,
)

FRAMES, FPS = 250, 25.0
BEEPS = (1, 3, 5, 7, 9)
TIMES = np.arange(FRAMES) / FPS
SMILE = np.any([(b <= TIMES) & (b + 0.4 > TIMES) for b in BEEPS], axis=0).astype(float)
AU6, AU12 = ACTION_UNITS.index("AU6"), ACTION_UNITS.index("AU12")
PY_FEAT = [*map(str, (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28, 43))]


def write(
    path: Path, names: Sequence[str], rows: Sequence[Sequence[object]], delimiter: str = ","
) -> Face:
    """The face of a table. Numbers have six decimals."""
    cells = [[f"{c:.6f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    path.write_text("\n".join(delimiter.join(row) for row in ([*names], *cells)) + "\n")
    return read_face(path)


def smiles(face: Face) -> list[float]:
    """When AU12 begins on the clip's grid, in seconds."""
    fitted, _ = fit_face(face, FPS, FRAMES, FRAMES / FPS, "a.csv")
    unit = fitted.attributes[:, AU_SLICE.start + AU12]
    assert set(np.unique(unit)) <= {0.0, 1.0}
    return (np.flatnonzero(np.diff(unit, prepend=0) > 0) / FPS).tolist()


def py_feat(k: int, smile: float, **more: object) -> list[object]:
    units = [0.9 * smile if u in ("6", "12") else 0.1 for u in PY_FEAT]
    happy = 0.94 if smile else 0.01
    expressions = [0.01, 0.01, 0.01, happy, 0.01, 0.01, 0.95 - happy]
    return [k, 100.0, 100.0, 80.0, 90.0, 0.99, *units, *expressions, *more.values()]


PY_FEAT_NAMES = (
    *("frame", "FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore"),
    *(f"AU{int(u):02d}" for u in PY_FEAT),
    *("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
)


def test_py_feat(tmp_path):
    face = write(tmp_path / "a.csv", PY_FEAT_NAMES, [py_feat(k, s) for k, s in enumerate(SMILE)])
    assert face.warnings == ()
    assert smiles(face) == [1.0, 3.0, 5.0, 7.0, 9.0]
    np.testing.assert_array_equal(face.attributes[:, AU6], SMILE)
    names = dict(zip(EXPRESSIONS, face.attributes[:, EXPRESSION_SLICE].T, strict=True))
    np.testing.assert_allclose(names["Happy"], np.where(SMILE, 0.94, 0.01), atol=1e-5)
    assert not names["Contempt"].any()  # it does not know it
    np.testing.assert_allclose(face.attributes[:, EXPRESSION_SLICE].sum(axis=1), 1, atol=1e-5)
    valence = face.attributes[:, AFFECT_SLICE.start]  # read off the expressions
    assert valence[SMILE > 0].min() > 0.6
    assert np.abs(valence[SMILE == 0]).max() < 0.1


def test_py_feat_2_tells_valence_and_arousal(tmp_path):
    names = (*PY_FEAT_NAMES, "valence", "arousal")
    rows = [py_feat(k, s, valence=0.5 * s, arousal=-0.25) for k, s in enumerate(SMILE)]
    face = write(tmp_path / "a.csv", names, rows)
    np.testing.assert_allclose(face.attributes[:, AFFECT_SLICE.start], 0.5 * SMILE)
    np.testing.assert_allclose(face.attributes[:, AFFECT_SLICE.start + 1], -0.25)


def test_py_feat_that_skipped_frames_or_saw_no_face(tmp_path):
    """Frame numbers tell where the rows belong; a frame without a face has empty cells."""
    rows = [py_feat(k, SMILE[k]) for k in range(0, FRAMES, 5)]
    rows[3][6:] = [""] * len(rows[3][6:])
    face = write(tmp_path / "a.csv", PY_FEAT_NAMES, rows)
    assert face.frames == FRAMES - 4
    assert np.abs(np.array(smiles(face)) - BEEPS).max() <= 0.12
    assert "of its 246 frames have no face: taken from their neighbours" in face.warnings[0]


def test_an_expression_without_end_is_refused(tmp_path):
    row = py_feat(0, 1.0)
    row[PY_FEAT_NAMES.index("anger")] = "1e999"
    with pytest.raises(ClipError, match="not finite, first in frame 1 "):
        write(tmp_path / "a.csv", PY_FEAT_NAMES, [py_feat(0, 1.0), row])


def test_several_faces_in_a_frame(tmp_path):
    rows = []
    for k, smile in enumerate(SMILE):
        other = py_feat(k, 1 - smile)
        other[3:5] = 40.0, 45.0
        rows += [other, py_feat(k, smile)] if k % 3 else [py_feat(k, smile)]
    face = write(tmp_path / "a.csv", PY_FEAT_NAMES, rows)
    assert smiles(face) == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert face.warnings == ("a.csv: has frames with several faces: the largest is taken in each",)


LIBREFACE_FOUND = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
LIBREFACE_MEASURED = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)


@pytest.mark.parametrize("unit", [1000, 1])  # it writes seconds there where ffmpeg cut the frames
def test_libreface(tmp_path, unit):
    names = ["frame_idx", "frame_time_in_ms", "pitch"]
    names += [f"au_{u}" for u in LIBREFACE_FOUND]
    names += [f"au_{u}_intensity" for u in LIBREFACE_MEASURED] + ["facial_expression"]
    rows = []
    for k, smile in enumerate(SMILE):
        found = [int(smile) if u == 12 else 0 for u in LIBREFACE_FOUND]
        measured = [2.5 * smile if u in (12, 25) else 0.2 for u in LIBREFACE_MEASURED]
        expression = "Happiness" if smile else "Neutral"
        rows.append([k, unit * TIMES[k], 3.0, *found, *measured, expression])
    face = write(tmp_path / "a.csv", names, rows)
    assert face.fps == pytest.approx(FPS)
    np.testing.assert_allclose(face.times, TIMES + 0.02, atol=1e-5)
    assert smiles(face) == [1.0, 3.0, 5.0, 7.0, 9.0]
    np.testing.assert_array_equal(face.attributes[:, ACTION_UNITS.index("AU25")], SMILE)
    np.testing.assert_array_equal(
        face.attributes[:, EXPRESSION_SLICE.start + EXPRESSIONS.index("Happy")], SMILE
    )
    assert face.warnings == ()


def test_openface_3(tmp_path):
    """Its action units have no names; a frame without a face has empty cells."""
    names = ["timestamp", "video_path", "frame_index", "face_id", "face_detection", "landmarks"]
    names += ["emotion", "gaze_yaw", "gaze_pitch", "action_units"]
    happy = EXPRESSIONS.index("Happy")
    rows = []
    for k, smile in enumerate(SMILE):
        face = [0, '"[1, 2]"', '"[[3, 4]]"', happy if smile else 0, 0.1, 0.1, '"[[0.1, 0.2]]"']
        rows.append(["2026-11-27 10:00:00", "a.mp4", k, *(face if k != 20 else [""] * 7)])
    face = write(tmp_path / "a.csv", names, rows)
    expressions = face.attributes[:, EXPRESSION_SLICE]
    np.testing.assert_array_equal(expressions[:, happy], SMILE)
    assert not face.attributes[:, AU_SLICE].any()
    assert "does not name its action units" in face.warnings[0]
    assert "1 of its 250 frames have no face" in face.warnings[1]


def arkit(smile: float, scale: float = 1.0) -> list[float]:
    shapes = {"mouthSmileLeft": 0.7 * smile, "mouthSmileRight": 0.5 * smile, "jawOpen": 0.05}
    return [scale * shapes.get(name, 0.02) for name in ARKIT_SHAPES]


def test_live_link_face(tmp_path):
    names = ["Timecode", "BlendShapeCount", *(n[0].upper() + n[1:] for n in ARKIT_SHAPES)]
    names += ["HeadYaw", "HeadPitch", "HeadRoll"]
    rows = []
    for k in range(600):  # 60 rows a second from half past two on
        second, frame = divmod(k + 30, 60)
        smile = float(any(b <= k / 60 < b + 0.4 for b in BEEPS))
        minute, second = divmod(57 + second, 60)
        timecode = f"14:{29 + minute}:{second:02d}:{frame:02d}.207"
        rows.append([timecode, 61, *arkit(smile), 0.0, 0.0, 0.0])
    face = write(tmp_path / "a.csv", names, rows)
    assert face.fps == pytest.approx(60.0)
    assert face.times[0] == pytest.approx(0.5 / 60, abs=1e-6)  # the first row is the clip's start
    assert np.abs(np.array(smiles(face)) - BEEPS).max() <= 0.04
    for name in (*TRUSTED, *HINTS):
        assert name in face.warnings[0]


@pytest.mark.parametrize(("column", "unit"), [("timestamp_ms", 1e3), ("timestamp", 1.0),
                                              ("timestamp", 1e6)])  # fmt: skip
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_blendshapes_of_mediapipe(tmp_path, column, unit, scale):
    names = ["frame", column, "_neutral", *ARKIT_SHAPES]
    rows = [[k, unit * TIMES[k], 0.0, *arkit(s, scale)] for k, s in enumerate(SMILE)]
    face = write(tmp_path / "a.csv", names, rows)
    assert smiles(face) == [1.0, 3.0, 5.0, 7.0, 9.0]


def openface(k: int, smile: float, face_id: int = 0, distance: float = 600.0) -> list[object]:
    units = [int(smile) if u == 12 else 0 for u in (1, 2, 4, 6, 7, 9, 10, 12)]
    return [k + 1, face_id, f"{TIMES[k]:.3f}", 0.98, 1, distance, *units]


OPENFACE_NAMES = [
    *("frame", "face_id", "timestamp", "confidence", "success", "pose_Tz"),
    *(f"AU{u:02d}_c" for u in (1, 2, 4, 6, 7, 9, 10, 12)),
]


@pytest.mark.parametrize("delimiter", [",", ", ", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff", "sep=;\n"])
def test_every_delimiter(tmp_path, delimiter, mark):
    """With a semicolon or a tab numbers may have a decimal comma, as a spreadsheet writes them."""
    rows = [openface(k, s) for k, s in enumerate(SMILE)]
    write(tmp_path / "a.csv", OPENFACE_NAMES, rows, delimiter)
    text = (tmp_path / "a.csv").read_text()
    if "," not in delimiter:
        text = text.replace(".", ",")
    (tmp_path / "a.csv").write_text(mark + text)
    face = read_face(tmp_path / "a.csv")
    assert smiles(face) == [1.0, 3.0, 5.0, 7.0, 9.0]


def test_openface_rows_that_are_left_out(tmp_path):
    rows = [openface(k, s) for k, s in enumerate(SMILE) if not 3.5 <= TIMES[k] < 6.0]
    face = write(tmp_path / "a.csv", OPENFACE_NAMES, rows)
    assert smiles(face) == [1.0, 3.0, 7.0, 9.0]


def test_of_several_faces_the_steady_one_that_is_nearest(tmp_path):
    rows = []
    for k, smile in enumerate(SMILE):
        rows.append(openface(k, 1 - smile, 0, 900.0))
        if k < 240:
            rows.append(openface(k, smile, 1, 500.0))
        if k < 30:
            rows.append(openface(k, 0, 2, 100.0))
    face = write(tmp_path / "a.csv", OPENFACE_NAMES, rows)
    assert smiles(face) == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert face.warnings[0] == ("a.csv: has 3 faces: face 1 is taken, which is seen 240 times")


def test_a_last_line_that_was_cut_off(tmp_path):
    rows = [openface(k, s) for k, s in enumerate(SMILE)]
    face = write(tmp_path / "a.csv", OPENFACE_NAMES, [*rows, rows[0][:4]])
    assert face.frames == FRAMES
    assert face.warnings[0] == "a.csv: its last line is cut off after 4 cells: left out"
    with pytest.raises(ClipError, match="frame 250 has 4 cells"):
        write(tmp_path / "a.csv", OPENFACE_NAMES, [*rows, rows[0][:4], rows[0]])


@pytest.mark.parametrize(
    "names", [("file", "label"), ("frame", "x", "y"), ("emotion", "file"), ("happy", "sad"), ()]
)
def test_tables_that_are_no_face(names):
    assert not is_face(names)


def test_the_table_of_units_and_shapes():
    assert len(ARKIT_SHAPES) == len(set(ARKIT_SHAPES)) == 52
    assert list(UNIT_SHAPES) == list(ACTION_UNITS)
    assert set(TRUSTED) | set(HINTS) == set(ACTION_UNITS)
    assert {shape for parts in UNIT_SHAPES.values() for n in parts for shape in sides(n)} <= set(
        ARKIT_SHAPES
    )
    shapes = np.zeros((3, 52), np.float32)
    shapes[0, ARKIT_SHAPES.index("browInnerUp")] = 0.8
    shapes[1, ARKIT_SHAPES.index("mouthSmileLeft")] = 0.8
    shapes[2, [ARKIT_SHAPES.index("jawOpen"), ARKIT_SHAPES.index("mouthClose")]] = 0.6
    levels = unit_levels(shapes)
    assert levels[0].tolist() == pytest.approx([0.8] + [0.0] * 14)
    assert levels[1, AU12] == pytest.approx(0.4)  # one side of it
    assert levels[2, ACTION_UNITS.index("AU25")] == 0  # the lips stay closed
    assert levels[2, ACTION_UNITS.index("AU26")] == pytest.approx(0.6)


def test_shapes_of_units_show_the_same_units_again():
    units = (np.random.default_rng(0).random((500, 15)) < 0.3).astype(np.float32)
    lips, upper_lip = ACTION_UNITS.index("AU25"), ACTION_UNITS.index("AU10")
    shapes = unit_shapes(units)
    assert shapes.min() >= 0
    assert shapes.max() == pytest.approx(0.6)  # an occurrence tells no strength
    again = unit_levels(shapes) >= PRESENT_SHAPE
    units[:, lips] = np.maximum(units[:, lips], units[:, upper_lip])  # which parts them
    np.testing.assert_array_equal(again, units > 0)


def test_a_jaw_that_opens_behind_closed_lips():
    units = np.zeros((2, 15), np.float32)
    units[:, ACTION_UNITS.index("AU26")] = 1
    units[1, ACTION_UNITS.index("AU25")] = 1
    shapes = unit_shapes(units)
    assert shapes[:, ARKIT_SHAPES.index("jawOpen")] == pytest.approx([0.6, 0.6])
    assert shapes[:, ARKIT_SHAPES.index("mouthClose")] == pytest.approx([0.6, 0])
