"""Every output says that it is generated, by which model, seed and version; readers find it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes.jobs import reactor, run_options, write_faces
from fakes.results import older_result, write_run

from mreactor_ref.errors import ClipError
from mreactor_runtime.convert.convert import convert
from mreactor_runtime.convert.result import read_result
from mreactor_runtime.provenance import Provenance, installed_version
from mreactor_runtime.run.extras import timelines
from mreactor_runtime.run.job import run_job
from mreactor_runtime.view.pages import write_view

WHOLE = Provenance("deep/ü\n", 25.0, 7, "mini", "ab" * 32, "0.1.0")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_run(tmp_path / "run", {"deep/c": 30})
    return tmp_path / "run"


@pytest.mark.parametrize("provenance", [WHOLE, Provenance("a")])
def test_it_comes_back_from_its_text(provenance: Provenance):
    text = provenance.to_json()
    assert text.isascii()
    assert Provenance.from_json(text) == provenance
    assert json.loads(text)["ai_generated"] is True


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"clip": 1}', "[" * 60_000, " " * 100_000, '{"clip": "a"']
)
def test_another_text_is_refused(text: str):
    with pytest.raises(ValueError, match=r".+"):
        Provenance.from_json(text)


def test_a_line_for_people_names_what_is_known():
    assert WHOLE.line == (
        "AI-generated reactions: mreactor 0.1.0, model mini (abababababab...), seed 7"
    )
    assert Provenance("a").line == "AI-generated reactions: mreactor"


def test_a_run_writes_it_into_each_npz_and_the_bytes_stay_the_same(tmp_path: Path):
    write_faces(tmp_path / "clips", {"a": 20, "deep/b": 9})
    contents: list[dict[str, bytes]] = []
    for name in ("one", "two"):
        run_job(tmp_path / "clips", tmp_path / name, reactor(), run_options(seed=3, steps=2))
        files = ("a.npz", "deep/b.npz")
        contents.append({file: (tmp_path / name / file).read_bytes() for file in files})
    assert contents[0] == contents[1]
    with np.load(tmp_path / "one/deep/b.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["attributes", "coefficients", "provenance"]
        told = json.loads(str(arrays["provenance"]))
    record = json.loads((tmp_path / "one/run.json").read_text())
    assert told["ai_generated"] is True
    assert told["clip"] == "deep/b"
    assert told["seed"] == record["arguments"]["seed"] == 3
    assert told["model"] == record["model"]["name"]
    assert told["model_sha256"] == record["model"]["sha256"]
    assert told["version"] == installed_version() == record["versions"].get("mreactor")


def test_a_result_that_was_moved_still_tells_its_seed_and_rate(run: Path, tmp_path: Path):
    shutil.copy(run / "deep/c.npz", tmp_path / "other.npz")
    [path] = convert(tmp_path / "other.npz", ["a2f-json"], tmp_path / "out", reaction=1)
    about = json.loads(path.read_text())["about"]
    told = [about[name] for name in ("clip", "seed", "fps", "model", "generator")]
    assert told == ["deep/c", 7, 25.0, "tiny", "mreactor 0.0.9"]


def test_of_an_older_result_its_run_tells_it(run: Path):
    own = read_result(run / "deep/c.npz").provenance
    older_result(run / "deep/c.npz", run / "deep/c.npz")
    lines = (run / "manifest.jsonl").read_text()
    (run / "manifest.jsonl").write_text(re.sub('"sha256": "[0-9a-f]+"', '"sha256": null', lines))
    assert read_result(run / "deep/c.npz").provenance == own


def test_one_that_makes_no_sense_is_no_result(tmp_path: Path, run: Path):
    with np.load(run / "deep/c.npz") as arrays:
        np.savez(tmp_path / "x.npz", **(dict(arrays) | {"provenance": np.array("?")}))
    with pytest.raises(ClipError, match="is not a complete npz archive"):
        read_result(tmp_path / "x.npz")


def test_the_pages_name_model_and_seed(run: Path):
    write_view(run)
    page = (run / "view/clips/deep/c.html").read_text()
    line = "AI-generated reactions: mreactor 0.0.9, model tiny (abababababab...), seed 7"
    assert f'<p class="mark-ai">{line}</p>' in page
    assert "AI-generated reactions" in (run / "view/index.html").read_text()
    assert '"sha256":"abababababab..."' in (run / "view/run_data.js").read_text().replace(": ", ":")


def test_a_video_has_it_in_its_metadata(run: Path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    import av

    from mreactor_runtime.view.video import write_video

    write_video(run / "deep/c.npz", None, run / "c.mp4", "faceverse")
    with av.open(str(run / "c.mp4")) as file:
        described = Provenance.from_json(file.metadata["description"])
    assert described == read_result(run / "deep/c.npz").provenance


def test_a_timeline_has_it_in_its_text(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    write_faces(tmp_path / "clips", {"a": 20})
    options = run_options(seed=3, steps=2)
    run_job(tmp_path / "clips", tmp_path / "out", reactor(), options, extras=[timelines()])
    with pytest.importorskip("PIL.Image").open(tmp_path / "out/a.png") as picture:
        described = Provenance.from_json(picture.info["Description"])
    assert described == read_result(tmp_path / "out/a.npz").provenance
