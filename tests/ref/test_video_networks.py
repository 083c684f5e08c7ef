"""The networks that come with the package: the right files, or a clear word."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mreactor_ref.errors import IntegrityError
from mreactor_ref.features.video import networks, read_video_face
from mreactor_ref.features.video.networks import FOLDER, SHA256, open_network


@pytest.mark.parametrize("name", SHA256)
def test_files_are_those_of_the_table(name: str) -> None:
    digest = hashlib.sha256((FOLDER / f"{name}.onnx").read_bytes()).hexdigest()
    assert digest == SHA256[name]
    assert digest in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    name = networks.EXPRESSION
    data = bytearray((FOLDER / f"{name}.onnx").read_bytes())
    data[-1] ^= 1
    (tmp_path / f"{name}.onnx").write_bytes(data)
    monkeypatch.setattr(networks, "FOLDER", tmp_path)
    with pytest.raises(IntegrityError, match=r"face_expression\.onnx: is not the network"):
        open_network(name)


def test_without_onnxruntime_there_is_no_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MREACTOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(networks, "find_spec", lambda name: None)
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"never opened")
    face = read_video_face(video)
    assert face.face is None
    assert "pip install 'mreactor[onnxruntime]'" in face.warnings[0]
    assert not (tmp_path / "cache").exists()
