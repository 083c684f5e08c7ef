"""`mreactor`: one import for a notebook, that takes no time until something is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes.engines import FakeEngine, fake_model
from fakes.jobs import reactor, write_faces

import mreactor
from mreactor_ref.errors import ClipError, ClipWarning, UsageError
from mreactor_runtime import notebook
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.options import Options

QUICK = {"samples": 2, "steps": 1}
LENGTHS = {"a": 40, "deep/b": 70, "c": 30}
IMPORT = """
import sys, time
before = set(sys.modules)
started = time.process_time()
import mreactor
seconds = time.process_time() - started
import json
print(json.dumps([seconds, sorted(set(sys.modules) - before), dir(mreactor)]))
"""


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    write_faces(tmp_path / "clips", LENGTHS)
    return tmp_path / "clips"


def test_the_import_takes_no_time():
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True)
    seconds, modules, names = json.loads(done.stdout)
    assert seconds < 0.05
    assert not {"torch", "numpy", "click", "mreactor_runtime", "mreactor_ref"} & set(modules)
    assert set(mreactor.__all__) <= set(names)


def test_every_name_is_what_it_says():
    assert mreactor.Reactor is Reactor
    assert mreactor.run_job is run_job
    assert mreactor.read_clips is notebook.read_clips
    assert mreactor.react is notebook.react
    assert mreactor.Sampling(samples=3).samples == 3
    assert mreactor.__version__[0].isdigit()
    assert set(mreactor.__all__) == {*mreactor.HOMES, "__version__"}
    with pytest.raises(AttributeError, match="module 'mreactor' has no attribute 'reakt'"):
        mreactor.reakt  # noqa: B018  # pyright: ignore


def test_a_folder_is_read_in_order_and_a_bad_clip_is_a_warning(clips: Path):
    (clips / "bad.npy").write_bytes(b"no array")
    with pytest.warns(ClipWarning) as warned:
        read = list(notebook.read_clips(clips, fake_model().config))
    assert [(clip.id, clip.frames) for clip in read] == [("a", 40), ("c", 30), ("deep/b", 70)]
    texts = [str(one.message) for one in warned]
    assert any("bad.npy" in text for text in texts)
    assert any(text.startswith("a: no sound to time the face by") for text in texts)


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path: Path):
    with pytest.raises(UsageError, match="no such file or folder"):
        notebook.read_clips(tmp_path / "none", fake_model().config)


@pytest.mark.filterwarnings("ignore::mreactor_ref.errors.ClipWarning")
def test_a_file_has_the_reactions_that_a_run_gives_it(clips: Path, tmp_path: Path):
    changed = mreactor.Sampling(samples=2, seed=5)
    run_job(clips, tmp_path / "out", reactor(), Options(sampling=changed))
    reactions = notebook.react(clips / "a.npy", reactor(), samples=2, seed=5)
    assert not isinstance(reactions, list)
    assert reactions.clip_id == "a"
    with np.load(tmp_path / "out" / "a.npz") as stored:
        np.testing.assert_array_equal(stored["attributes"], reactions.attributes)
        np.testing.assert_array_equal(stored["coefficients"], reactions.coefficients)


@pytest.mark.filterwarnings("ignore::mreactor_ref.errors.ClipWarning")
def test_the_words_beside_a_file_are_used(clips: Path):
    (clips / "a.txt").write_text("I won the race! My dog died.")
    (clips / "abc.txt").write_text("Not of this clip.")
    for name in ("a.npy", "a.txt"):
        reactions = notebook.react(clips / name, reactor(), **QUICK)
        assert not isinstance(reactions, list)
        assert [len(row) for row in reactions.priors] == [2, 2]


def test_a_folder_has_reactions_to_each_clip_that_can_be_done(clips: Path):
    (clips / "bad.npy").write_bytes(b"no array")

    class Refusing(Reactor):
        def generate(self, clip, sampling=None, **changes):
            if clip.id == "c":
                raise ClipError("does not fit", clip.id)
            return super().generate(clip, sampling, **changes)

    refusing = Refusing(fake_model(), FakeEngine(), reactor().source)
    with pytest.warns(ClipWarning) as warned:
        reactions = notebook.react(str(clips), refusing, **QUICK)
    assert isinstance(reactions, list)
    assert [one.clip_id for one in reactions] == ["a", "deep/b"]
    assert "c: does not fit" in [str(one.message) for one in warned]


def test_a_file_that_cannot_be_done_is_an_error(clips: Path):
    (clips / "bad.npy").write_bytes(b"no array")
    with pytest.raises(ClipError, match=r"bad\.npy"):
        notebook.react(clips / "bad.npy", reactor(), **QUICK)
    for suffix in ("wav", "ogg"):
        (clips / f"two.{suffix}").touch()
    with pytest.raises(ClipError, match=r"two\.(wav|ogg): cannot be read as sound"):
        notebook.react(clips / "two.wav", reactor(), **QUICK)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.wav", "there is no such file"),
        ("lone.txt", "is no file of a clip"),
        ("a.md", "is no file of a clip"),
    ],
)
def test_what_is_no_clip_is_said(clips: Path, name: str, message: str):
    for other in ("lone.txt", "a.md"):
        (clips / other).write_text("words")
    with pytest.raises(UsageError, match=message):
        notebook.react(clips / name, reactor(), **QUICK)
