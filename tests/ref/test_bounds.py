"""Inputs that declare or hold far more than a clip does are refused in bounded memory and time."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.format import write_array_header_1_0

from mreactor_ref.config import CONFIGS
from mreactor_ref.data.clips import FeatureReader, find_clips
from mreactor_ref.data.contents import why_no_clip
from mreactor_ref.errors import ClipError
from mreactor_ref.features.face import read_face
from mreactor_ref.features.faces.track import MAX_ROWS
from mreactor_ref.features.transcripts.text_file import MAX_BYTES
from mreactor_ref.features.words import MAX_WORDS, read_words
from mreactor_ref.signals import ATTRIBUTE_NAMES, COEFFICIENTS

GIB = 1 << 30


def write_table(path: Path, rows: int) -> Path:
    row = ",".join(["0"] * len(ATTRIBUTE_NAMES)) + "\n"
    path.write_text(",".join(ATTRIBUTE_NAMES) + "\n" + row * rows)
    return path


def declare(path: Path, rows: int, size: int, dtype: str = "<f4") -> Path:
    """An npy with a header that declares so many rows, in a sparse file of some size."""
    with path.open("wb") as file:
        head = {"descr": dtype, "fortran_order": False, "shape": (rows, COEFFICIENTS)}
        write_array_header_1_0(file, head)
        file.truncate(size)
    return path


@pytest.mark.parametrize(("size", "problem"), [(3 * GIB, "rows, more than"), (200, "complete")])
def test_an_array_that_declares_3_gib(tmp_path, size, problem):
    rows = (3 * GIB - 1000) // (4 * COEFFICIENTS)
    with pytest.raises(ClipError, match=problem):
        read_face(declare(tmp_path / "a.npy", rows, size))


def test_a_small_array_that_would_be_large_as_float(tmp_path):
    with pytest.raises(ClipError, match="rows, more than"):
        read_face(declare(tmp_path / "a.npy", MAX_ROWS + 1, GIB, "|i1"))


def test_a_sparse_array_and_a_sparse_table(tmp_path):
    for name in ("a.npy", "a.csv"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 3 * GIB)
        with pytest.raises(ClipError):
            read_face(tmp_path / name)
    assert why_no_clip(tmp_path / "a.csv") is None  # a clip that fails by name
    write_table(tmp_path / "b.csv", 100)
    os.truncate(tmp_path / "b.csv", 3 * GIB)
    with pytest.raises(ClipError, match="a line that never ends"):
        read_face(tmp_path / "b.csv")


def test_a_table_is_read_no_further_than_its_clip_lasts(tmp_path):
    path = write_table(tmp_path / "a.csv", 200_000)
    started = time.monotonic()
    with pytest.raises(ClipError, match="has more than 1480 rows"):
        read_face(path, 1.0)
    assert time.monotonic() - started < 1.0
    assert read_face(write_table(tmp_path / "b.csv", 1480), 1.0).frames == 1480


def test_a_face_alone_of_more_than_two_hours(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((200_000, COEFFICIENTS), np.int8))
    [clip] = find_clips(tmp_path).clips
    with pytest.raises(ClipError, match=r"lasts 2.2 hours, more than the 2 hours"):
        FeatureReader(CONFIGS["mini"]).read(clip)  # pyright: ignore


def test_more_words_than_can_be_said(tmp_path):
    (tmp_path / "a.txt").write_text("one two three. " * 5000)
    with pytest.raises(ClipError, match=r"holds 15000 words, and the clip lasts 1.0 s"):
        read_words(tmp_path / "a.txt", 1.0)
    assert read_words(tmp_path / "a.txt", 1200.0).words


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("one two three. " * 40_000, f"more than {MAX_WORDS} words"),
        ("a" * 2_000_000, "more than 1000000 letters"),
        ("a" * (MAX_BYTES + 1), "is larger than 32 MiB"),
    ],
)
def test_more_text_than_two_hours_hold_is_refused_at_once(tmp_path, text, problem):
    (tmp_path / "a.txt").write_text(text)
    started = time.monotonic()
    with pytest.raises(ClipError, match=problem):
        read_words(tmp_path / "a.txt", 7200.0)
    assert time.monotonic() - started < 5.0


def test_cues_take_time_in_proportion_to_their_number(tmp_path):
    def seconds(cues: int) -> float:
        words = [{"word": "hello", "start": i * 0.2, "end": i * 0.2 + 0.1} for i in range(cues)]
        (tmp_path / "a.json").write_text(json.dumps(words))
        started = time.process_time()
        read_words(tmp_path / "a.json", 1e5)
        return time.process_time() - started

    seconds(100)
    assert seconds(32_000) < 32 * max(seconds(4_000), 0.02)  # 64 where it grows with the square


@pytest.mark.parametrize("name", ["/proc", "/sys", "/dev", "..", "/"])
def test_links_that_lead_to_the_system_or_upwards_are_not_followed(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.npy").write_bytes(b"")
    (tmp_path / "b.npy").write_bytes(b"")
    (tmp_path / "in" / "link").symlink_to(name)
    found = find_clips(tmp_path / "in")
    assert [clip.id for clip in found.clips] == ["a"]
    [note] = found.notes
    assert note.startswith("link is not read: it leads to ")


def test_a_link_to_a_file_elsewhere_is_read_and_one_to_the_system_is_not(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "b.npy").write_bytes(b"")
    (tmp_path / "in" / "a.npy").symlink_to(tmp_path / "b.npy")
    (tmp_path / "in" / "z.srt").symlink_to("/proc/kmsg")
    (tmp_path / "in" / "y.wav").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "in" / "x.wav")
    found = find_clips(tmp_path / "in")
    assert [clip.id for clip in found.clips] == ["a"]
    assert {entry.path.name for entry in found.ignored} == {"x.wav", "y.wav", "z.srt"}
