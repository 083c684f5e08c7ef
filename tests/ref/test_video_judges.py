"""Judges of expressions: the optional one loads a local file, and says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.drawn_videos import frames, head
from fakes.judges import write_judge

from mreactor_ref.errors import UsageError
from mreactor_ref.features.video import emotieffnet
from mreactor_ref.features.video.channels import TRUSTED
from mreactor_ref.features.video.description import describe
from mreactor_ref.features.video.emotieffnet import FILE, EmotiEffNet
from mreactor_ref.features.video.reader import MeshReader
from mreactor_ref.features.video.track import follow_face
from mreactor_ref.signals import EXPRESSIONS, VALENCE

pytest.importorskip("onnxruntime")


def test_a_local_network_judges_the_face(tmp_path: Path) -> None:
    judge = EmotiEffNet(write_judge(tmp_path))
    face = describe(follow_face(frames([(8, head())]), judge), (*TRUSTED, *judge.trusted))
    assert face.face is not None
    assert face.face.attributes is not None
    row = face.face.attributes[-1]
    assert row[17 + EXPRESSIONS.index("Contempt")] > 0.99
    assert row[VALENCE : VALENCE + 2] == pytest.approx([-0.5, 1.0])  # cut to its range
    assert "valence" in face.trusted
    assert "always 0" not in face.warnings[0]
    assert MeshReader(judge).name != MeshReader().name


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"it gives \(1, 7\), not \(1, 10\)"):
        EmotiEffNet(write_judge(tmp_path, outputs=7))
    (tmp_path / FILE).write_bytes(b"nothing")
    with pytest.raises(UsageError, match="is no ONNX file that can be run"):
        EmotiEffNet(tmp_path)


def test_a_missing_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=f"has no {FILE}"):
        EmotiEffNet(tmp_path)
    monkeypatch.setattr(emotieffnet, "DOWNLOADED", tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "emotiefflib", None)
    with pytest.raises(UsageError, match="pip install emotiefflib"):
        EmotiEffNet()
