"""The face: npy, csv with 25 columns, OpenFace, and its place on the frame grid."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from mreactor_ref.errors import ClipError
from mreactor_ref.features.face import Face, fit_face, read_face
from mreactor_ref.signals import (
    ACTION_UNITS,
    AFFECT_SLICE,
    ATTRIBUTE_NAMES,
    AU_SLICE,
    EXPRESSION_SLICE,
)


@pytest.fixture
def track() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((40, 83)).astype(np.float32)


def write_csv(path: Path, names: list[str], rows: np.ndarray, end: str = "\n") -> Path:
    lines = [",".join(names), *(",".join(f"{v:.6g}" for v in row) for row in rows)]
    path.write_bytes((end.join(lines) + end).encode())
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_npy_by_width(tmp_path, track, dtype):
    path = tmp_path / "a.npy"
    track = track.astype(dtype).astype(np.float32)
    np.save(path, track[:, 25:].astype(dtype))
    face = read_face(path)
    np.testing.assert_array_equal(face.coefficients, track[:, 25:])
    assert face.attributes is None
    assert face.fps is None
    np.save(path, np.asfortranarray(track[:, :25].astype(dtype)))
    face = read_face(path)
    np.testing.assert_array_equal(face.attributes, track[:, :25])
    assert face.coefficients is None
    np.save(path, track.astype(dtype))
    face = read_face(path)
    np.testing.assert_array_equal(face.attributes, track[:, :25])
    np.testing.assert_array_equal(face.coefficients, track[:, 25:])
    assert face.coefficients.dtype == np.float32


def test_npy_with_an_axis_of_one(tmp_path, track):
    np.save(tmp_path / "a.npy", track[:, None, :58])
    np.testing.assert_array_equal(read_face(tmp_path / "a.npy").coefficients, track[:, :58])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((10, 7)), r"has shape \(10, 7\)"),
        (np.zeros(58), r"has shape \(58,\)"),
        (np.zeros((2, 3, 58)), r"has shape \(2, 3, 58\)"),
        (np.float32(3.0), r"has shape \(\)"),
        (np.zeros((0, 58)), "has no frames"),
        (np.zeros((5, 58), complex), "has dtype complex128"),
        (np.zeros((5, 58), "U3"), "has dtype <U3"),
        (np.zeros((5, 58), bool), "has dtype bool"),
        (np.full((5, 25), np.nan), "not finite, first in frame 0"),
        (np.full((5, 25), 1e300), "not finite, first in frame 0"),
    ],
)
def test_npy_faults(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ClipError, match=message) as caught:
        read_face(tmp_path / "a.npy")
    assert str(caught.value).startswith(str(tmp_path / "a.npy"))
    assert caught.value.fix


def test_the_first_bad_frame_is_named(tmp_path, track):
    track[17, 3] = np.inf
    np.save(tmp_path / "a.npy", track)
    with pytest.raises(ClipError, match="first in frame 17"):
        read_face(tmp_path / "a.npy")


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_pickles_are_never_opened(tmp_path):
    import pickle

    trap = Trap(str(tmp_path / "sprung"))
    np.save(tmp_path / "a.npy", np.array([trap], dtype=object), allow_pickle=True)
    with pytest.raises(ClipError, match="pickled Python objects, which are never opened"):
        read_face(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(pickle.dumps(trap))
    with pytest.raises(ClipError, match="pickled Python objects, which are never opened"):
        read_face(tmp_path / "a.npy")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "shape", ["(10**12, 58)", "(1000000000000, 58)", f"({2**70}, 58)", "(-5, 58)"]
)
def test_a_header_that_lies_about_the_shape(tmp_path, shape):
    """Nothing of that size is allocated."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode()
    header = header.ljust(117) + b"\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(58 * 4)
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(ClipError, match="is not a complete npy array"):
        read_face(tmp_path / "a.npy")


def test_an_npy_cut_short_empty_missing_or_an_archive(tmp_path, track):
    path = tmp_path / "a.npy"
    np.save(path, track)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ClipError, match="is not a complete npy array"):
        read_face(path)
    path.write_bytes(b"")
    with pytest.raises(ClipError, match="is not an npy array"):
        read_face(path)
    np.savez(tmp_path / "b.npz", track)
    (tmp_path / "b.npz").rename(path)
    with pytest.raises(ClipError, match="is an npz archive"):
        read_face(path)
    with pytest.raises(ClipError, match="cannot be read: No such file"):
        read_face(tmp_path / "none.npy")
    (tmp_path / "a.mat").write_bytes(b"x")
    with pytest.raises(ClipError, match=r"a face in \.mat format"):
        read_face(tmp_path / "a.mat")


def test_a_damaged_header_is_never_a_traceback(tmp_path, track):
    """Bytes of the header changed, dropped and inserted: a face of the right width, or a line."""
    rng = np.random.default_rng(5)
    np.save(tmp_path / "a.npy", track[:5, :58])
    whole = (tmp_path / "a.npy").read_bytes()
    refused = 0
    for _ in range(400):
        data = bytearray(whole)
        place = int(rng.integers(6, 90))
        if rng.random() < 0.5:
            data[place] = rng.integers(256)
        else:
            data[place : place + int(rng.integers(3))] = bytes(rng.choice(list(b"0(){}[],'-:"), 2))
        (tmp_path / "a.npy").write_bytes(data)
        try:
            assert read_face(tmp_path / "a.npy").coefficients.shape[1] == 58
        except ClipError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_with_named_columns(tmp_path, track, end):
    rows = track[:, :25].astype(np.float64)
    face = read_face(write_csv(tmp_path / "a.csv", list(ATTRIBUTE_NAMES), rows, end))
    np.testing.assert_allclose(face.attributes, rows, rtol=1e-5)
    assert face.coefficients is None
    # any order, any case, spaces, a mark at the start of the file, other columns beside
    order = np.random.default_rng(1).permutation(25)
    names = ["frame", *(f" {ATTRIBUTE_NAMES[i].upper()} " for i in order)]
    names[0] = "\ufeffframe"
    path = write_csv(tmp_path / "b.csv", names, np.c_[np.arange(40), rows[:, order]])
    np.testing.assert_allclose(read_face(path).attributes, rows, rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (",".join(ATTRIBUTE_NAMES) + "\n", "a header but no frames"),
        (",".join(ATTRIBUTE_NAMES[9:]) + "\n" + "0," * 15 + "0\n", r"has no column au1 \(9 of 25"),
        ("0," * 24 + "0\n" + "0," * 24 + "0\n", r"has no column au1 \(25 of 25 are missing\)"),
        (",".join(ATTRIBUTE_NAMES) + "\n" + "0," * 20 + "0\n", "frame 0 has 21 cells"),
        (",".join(ATTRIBUTE_NAMES) + "\n" + "0," * 24 + "high\n", "frame 0 has a cell that is no"),
        (",".join(ATTRIBUTE_NAMES) + "\n" + "0," * 24 + "nan\n", "not finite, first in frame 0"),
    ],
)
def test_csv_faults(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ClipError, match=message):
        read_face(tmp_path / "a.csv")


def test_a_csv_in_another_encoding(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00a,b\n")
    with pytest.raises(ClipError, match="is not a csv file in UTF-8"):
        read_face(tmp_path / "a.csv")


OPENFACE_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)


def openface(path: Path, frames: int = 60, fps: float = 30.0, **columns: np.ndarray) -> np.ndarray:
    """Write a file with OpenFace's columns; return the occurrence of its units (frames, 18)."""
    rng = np.random.default_rng(3)
    units = (rng.random((frames, len(OPENFACE_UNITS))) > 0.5).astype(float)
    table = {
        "frame": np.arange(1, frames + 1),
        " face_id": np.zeros(frames),
        " timestamp": np.round(np.arange(frames) / fps, 3),
        " confidence": np.full(frames, 0.98),
        " success": np.ones(frames),
        " pose_Rx": rng.standard_normal(frames),
        **{f" AU{unit:02d}_r": 5 * rng.random(frames) for unit in OPENFACE_UNITS},
        **{f" AU{unit:02d}_c": units[:, i] for i, unit in enumerate(OPENFACE_UNITS)},
    }
    table |= {f" {name}": values for name, values in columns.items()}
    write_csv(path, list(table), np.stack(list(table.values()), 1))
    return units


def test_openface(tmp_path):
    units = openface(tmp_path / "a.csv")
    face = read_face(tmp_path / "a.csv")
    assert face.coefficients is None
    assert face.fps == pytest.approx(30.0, rel=1e-3)
    for i, name in enumerate(ACTION_UNITS):
        number = int(name[2:])
        wanted = units[:, OPENFACE_UNITS.index(number)] if number in OPENFACE_UNITS else 0
        np.testing.assert_array_equal(face.attributes[:, i], wanted)
    assert set(ACTION_UNITS) - {f"AU{u}" for u in OPENFACE_UNITS} == {"AU24"}
    assert not face.attributes[:, AFFECT_SLICE].any()
    np.testing.assert_array_equal(
        face.attributes[:, EXPRESSION_SLICE], np.tile([1, 0, 0, 0, 0, 0, 0, 0], (60, 1))
    )


def test_openface_frames_without_a_face_are_left_out(tmp_path):
    """With timestamps the clip fills them, without the nearest frame with a face does."""
    success = np.ones(60)
    success[10:14] = 0
    units = openface(tmp_path / "a.csv", success=success)
    face = read_face(tmp_path / "a.csv")
    assert face.frames == 56
    np.testing.assert_allclose(np.diff(face.times[8:12]), [1 / 30, 5 / 30, 1 / 30], atol=1e-3)
    fitted, line = fit_face(face, 30.0, 60, 2.0, "a.csv")
    assert line is None
    for frame, source in ((10, 9), (11, 9), (12, 14), (13, 14)):
        assert fitted.attributes[frame, 0] == units[source, 0]
    text = (tmp_path / "a.csv").read_text().replace(" timestamp", "seconds")
    (tmp_path / "b.csv").write_text(text)
    face = read_face(tmp_path / "b.csv")
    assert face.times is None
    np.testing.assert_array_equal(face.attributes, fitted.attributes)
    assert face.warnings == ("b.csv: 4 of its 60 frames have no face: taken from their neighbours",)
    openface(tmp_path / "c.csv", success=np.zeros(60))
    with pytest.raises(ClipError, match="found a face in none"):
        read_face(tmp_path / "c.csv")


def test_openface_faults(tmp_path):
    openface(tmp_path / "b.csv", timestamp=np.zeros(60))
    with pytest.raises(ClipError, match="timestamps do not rise"):
        read_face(tmp_path / "b.csv")


def test_a_unit_in_percent_is_scaled(tmp_path, track):
    """Whatever the file; each group of attributes by itself."""
    wanted = np.abs(np.tanh(track[:, :25]))
    percent = wanted.copy()
    percent[:, AU_SLICE] *= 100
    percent[:, EXPRESSION_SLICE] *= 100
    np.save(tmp_path / "a.npy", percent)
    write_csv(tmp_path / "a.csv", list(ATTRIBUTE_NAMES), percent)
    for name in ("a.npy", "a.csv"):
        face = read_face(tmp_path / name)
        np.testing.assert_allclose(face.attributes, wanted, rtol=1e-4)
        assert [line.split(" reach")[0] for line in face.warnings] == [
            f"{name}: its action units",
            f"{name}: its expressions",
        ]
    percent[:, EXPRESSION_SLICE] *= 3
    np.save(tmp_path / "b.npy", percent)
    with pytest.raises(ClipError, match=r"its expressions reach .*: no probabilities"):
        read_face(tmp_path / "b.npy")


def both(frames: int, rate: float) -> Face:
    """A face whose coefficients are the time of each frame in seconds; a unit that switches."""
    times = ((np.arange(frames) + 0.5) / rate).astype(np.float32)
    attributes = np.zeros((frames, 25), np.float32)
    attributes[:, AU_SLICE] = (times > 5.0)[:, None]
    attributes[:, EXPRESSION_SLICE.start] = times / 10
    attributes[:, EXPRESSION_SLICE.start + 1] = 1 - times / 10
    return Face(np.repeat(times[:, None], 58, 1), attributes)


@pytest.mark.parametrize("rate", [10, 24, 30, 60, 120])
def test_another_frame_rate_is_resampled_in_time(rate):
    face, line = fit_face(both(10 * rate, rate), 25.0, 250, 10.0, "a.npy")
    assert line is not None
    assert line.endswith(f"taken as {rate} fps and resampled to 25")
    centres = (np.arange(250) + 0.5) / 25
    inside = slice(2, -2)
    np.testing.assert_allclose(face.coefficients[inside, 7], centres[inside], atol=1e-5)
    assert set(np.unique(face.attributes[:, AU_SLICE])) == {0.0, 1.0}  # never half an action unit
    switch = np.argmax(face.attributes[:, 0]) / 25
    assert abs(switch - 5.0) <= 0.5 / rate + 0.04
    np.testing.assert_allclose(face.attributes[:, EXPRESSION_SLICE].sum(1), 1.0, atol=1e-5)


def test_a_few_frames_more_or_less_are_cut_or_repeated():
    for frames in (247, 250, 251, 253):
        source = both(frames, 25)
        face, line = fit_face(source, 25.0, 250, 10.0, "a.npy")
        assert line is None
        assert face.frames == 250
        common = min(frames, 250)
        np.testing.assert_array_equal(face.coefficients[:common], source.coefficients[:common])
        assert (face.coefficients[common:] == source.coefficients[-1]).all()


@pytest.mark.parametrize("frames", [3, 90, 1300])
def test_a_length_of_no_camera(frames):
    with pytest.raises(ClipError, match=f"the face has {frames} frames, the clip lasts 10.0 s"):
        fit_face(both(frames, frames / 10), 25.0, 250, 10.0, "a.npy")


def test_a_rate_that_the_file_tells_is_believed():
    told = Face(**{**vars(both(300, 30)), "fps": 30.0})
    face, line = fit_face(told, 25.0, 250, 10.0, "a.csv")
    assert line == "face has 300 frames for 10.0 s: taken as 30 fps and resampled to 25"
    assert face.frames == 250
    for frames in (150, 250, 400):  # 250 frames would fit by count, but last only 8.3 s
        part = Face(**{**vars(both(frames, 30)), "fps": 30.0})
        with pytest.raises(ClipError, match=r"at 30 fps, the clip lasts 10\.0 s"):
            fit_face(part, 25.0, 250, 10.0, "a.csv")


def test_one_frame_of_face_for_a_very_short_clip():
    face, line = fit_face(both(1, 25), 25.0, 2, 0.08, "a.npy")
    assert line is None
    assert face.frames == 2
