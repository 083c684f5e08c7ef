"""Data of other packages: what is not the file that was tested is refused by name."""

from __future__ import annotations

import hashlib

import pytest

from mreactor_ref.errors import IntegrityError
from mreactor_ref.packaged import check_files, minilm_folder, vader_folder


def test_what_is_installed_is_what_was_tested():
    assert (minilm_folder() / "model.safetensors").stat().st_size == 90_868_376
    assert (vader_folder() / "vader_lexicon.txt").is_file()


def test_a_changed_and_a_missing_file_are_refused(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"as tested")
    hashes = {"weights": hashlib.sha256(b"as tested").hexdigest()}
    check_files(tmp_path, hashes)
    path.write_bytes(b"As tested")
    with pytest.raises(IntegrityError, match=r"weights: is not the file that was tested"):
        check_files(tmp_path, hashes)
    path.unlink()
    with pytest.raises(IntegrityError, match=r"weights: .*No such file"):
        check_files(tmp_path, hashes)
