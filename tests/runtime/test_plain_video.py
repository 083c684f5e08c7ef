"""A plain video with a moving face, through a whole run: its face is seen, used, kept and said."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fakes.engines import FakeEngine, TwoSubjects, bundle_info, fake_model, onnx_files
from fakes.judges import write_judge

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.features.face import read_face
from mreactor_ref.features.video.store import read_video_face
from mreactor_ref.schedule import Solver
from mreactor_ref.signals import ATTRIBUTE_NAMES
from mreactor_ref.stages import FACE, SAMPLING
from mreactor_runtime.bundle import write_bundle
from mreactor_runtime.cli import main
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run.job import run_job
from mreactor_runtime.sampling_options import Sampling

TALK = Path(__file__).parents[2] / "examples" / "clips" / "talk.mp4"

pytestmark = pytest.mark.usefixtures("quick_priors")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The face is read once for all tests here."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def place(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    Path("videos").mkdir()
    shutil.copy(TALK, "videos/talk.mp4")
    write_bundle(Path("bundle"), bundle_info(), onnx_files())
    return tmp_path


class Listener:
    """A progress that keeps what it hears."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, str, float]] = []
        self.said: list[str] = []

    def begin(self, clips: int) -> None: ...

    def say(self, text: str) -> None:
        self.said.append(text)

    def reached(self, clip_id: str, stage: str, part: float) -> None:
        self.stages.append((clip_id, stage, part))

    def finished(self, outcome) -> None: ...


def infer(*arguments: str) -> Result:
    given = ("-m", "bundle", "--num-samples", "2", "--num-inference-steps", "2", *arguments)
    return CliRunner().invoke(main, given)


def test_the_face_is_used_and_a_table_of_it_lies_beside_the_result(place: Path):
    done = infer("-i", "videos/talk.mp4", "-o", "out")
    assert done.exit_code == 0, done.output
    assert "the face is read from the video: trusted are AU1 AU2" in done.output
    [line] = map(json.loads, (place / "out/manifest.jsonl").read_text().splitlines())
    assert any("the face is read from the video" in warning for warning in line["warnings"])
    table = read_face(place / "out/talk.face.csv")
    seen = read_video_face(place / "videos/talk.mp4").face
    assert seen is not None
    np.testing.assert_allclose(table.attributes, seen.attributes, atol=1e-4)
    assert np.ptp(table.attributes[:, ATTRIBUTE_NAMES.index("AU26")]) > 0.5  # it speaks


def test_the_stages_are_told_with_their_parts(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(place / "fresh"))
    heard = Listener()
    sampling = Sampling(samples=2, solver=Solver(steps=2))
    reactor = Reactor(fake_model(), FakeEngine(), TwoSubjects(), sampling=sampling)
    run_job("videos", Path("out"), reactor, progress=heard)
    parts = {stage: [p for _, s, p in heard.stages if s == stage] for stage in (FACE, SAMPLING)}
    assert {clip_id for clip_id, _, _ in heard.stages} == {"talk"}
    assert parts[FACE] == sorted(parts[FACE])
    assert parts[FACE][-1] > 0.95
    assert parts[SAMPLING] == [0, 0.5]


def test_a_table_is_not_laid_beside_the_video_where_it_would_be_read_next_time(place: Path):
    first = infer("-i", "videos", "-o", "videos")
    assert first.exit_code == 0, first.output
    assert sorted(path.name for path in (place / "videos").iterdir()) == [
        *("manifest.jsonl", "run.json", "talk.mp4", "talk.npz"),
    ]
    again = infer("-i", "videos", "-o", "videos")
    assert "All 1 clips were done before" in again.output


def test_without_faces_of_videos_there_is_none(place: Path):
    done = infer("-i", "videos", "-o", "out", "--no-video-faces")
    assert done.exit_code == 0, done.output
    assert "1 without face" in done.output
    assert not (place / "out/talk.face.csv").exists()


def test_another_judge_of_expressions_is_used_and_named_by_what_it_knows(place: Path):
    write_judge(place)
    done = infer("-i", "videos", "-o", "out", "--expression-model", str(place))
    assert done.exit_code == 0, done.output
    assert "Neutral Happy Sad Surprise Contempt valence arousal; hints are" in done.output
    table = read_face(place / "out/talk.face.csv")
    assert table.attributes[:, ATTRIBUTE_NAMES.index("Contempt")].min() > 0.99


def test_a_judge_that_is_not_there_is_said_before_any_work(place: Path):
    done = infer("-i", "videos", "-o", "out", "--expression-model", str(place / "bundle"))
    assert done.exit_code == 2
    assert "has no enet_b0_8_va_mtl.onnx" in done.output
    assert not list(place.glob("out/*"))
