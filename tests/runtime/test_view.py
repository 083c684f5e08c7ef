"""The pages of a run, without a browser: what they hold, what they let in, and bad folders."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fakes.html_reader import Html
from fakes.runs import SAID, waving, write_clip, write_run

from mreactor_ref.data.clips import find_clips
from mreactor_ref.features.action_units import unit_shapes
from mreactor_ref.head.head import TARGETS, load_head
from mreactor_ref.signals import AU_SLICE
from mreactor_runtime.view.clip_data import MOST_SHOWN
from mreactor_runtime.view.command import main
from mreactor_runtime.view.frame import POLICY
from mreactor_runtime.view.pages import write_view

BAD = "<script>alert(1)</script>"


def data_of(path: Path):
    """The value that a data script hands to the page."""
    match = re.fullmatch(r"mreactor\.\w+\((.*)\);\n", path.read_text(encoding="ascii"), re.DOTALL)
    assert match
    return json.loads(match[1])


def numbers(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def view(*arguments: str | Path):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_clip(tmp_path / "clips", "a", 4)
    write_clip(tmp_path / "clips", "deep/b", 2)
    write_run(
        tmp_path / "out",
        {"a": waving(), "deep/b": waving(2, 50)},
        failed={"c": "clips/c.wav: cannot be read as sound (is it one?)"},
        source=tmp_path / "clips",
    )
    return tmp_path / "out"


def test_the_page_of_a_run_has_a_row_for_each_clip(run):
    result = view(run)
    assert result.exit_code == 0, result.output
    assert f"open {run / 'view' / 'index.html'}" in result.stdout
    a, c, b = data_of(run / "view" / "run_data.js")["rows"]
    assert (a["id"], a["page"], a["seconds"], a["reactions"]) == ("a", "clips/a.html", 4.0, 10)
    assert a["streams"] == ["sound", "words"]
    assert a["subjects"] == ["Sea"]
    assert a["frdiv"] > 0
    assert a["frvar"] > 0
    assert c == {
        "id": "c",
        "status": "failed",
        "problem": "clips/c.wav: cannot be read as sound",
        "remedy": "is it one?",
    }
    assert b["page"] == "clips/deep/b.html"


def test_the_data_of_a_clip_are_its_reactions(run):
    write_view(run)
    data = data_of(run / "view" / "clips" / "a.js")
    with np.load(run / "a.npz") as file:
        attributes, coefficients = file["attributes"], file["coefficients"]
    levels = numbers(data["attributes"]["data"], "<i1").reshape(10, 100, 25) / 127
    assert np.abs(levels - attributes).max() <= 0.5 / 127 + 1e-6
    shapes = np.zeros((10, 100, 52))
    places = data["shapes"]["places"]
    shapes[..., places] = numbers(data["shapes"]["data"], "<u1").reshape(10, 100, -1) / 255
    for shape, attribute in zip(shapes, attributes, strict=True):
        assert np.abs(shape - unit_shapes(attribute[:, AU_SLICE])).max() <= 0.5 / 255 + 1e-6
    angles = numbers(data["angles"]["data"], "<i2").reshape(10, 100, 3) * data["angles"]["step"]
    assert np.abs(angles - coefficients[..., 52:55]).max() <= 1e-4
    blinks = {TARGETS.index("eyeBlinkLeft"), TARGETS.index("eyeBlinkRight")}
    assert not blinks & set(places)
    said = [" ".join(word[2] for word in u["words"]) for u in data["utterances"]]
    assert said == list(SAID)
    assert data["priors"][3][1]["emotion"] == "joy"


def test_arkit_coefficients_move_the_head_themselves(run):
    write_view(run, meaning="arkit")
    assert data_of(run / "view" / "clips" / "a.js")["shapes"]["places"] == []  # all are zero


def test_the_mesh_is_the_head(run):
    write_view(run)
    mesh, head = data_of(run / "view" / "assets" / "mesh.js"), load_head()
    vertices = numbers(mesh["vertices"], "<i2").reshape(-1, 3) * mesh["step"]
    assert np.abs(vertices - head.vertices).max() <= mesh["step"]
    moved, added = numbers(mesh["moved"], "<u2"), numbers(mesh["added"], "<i2").reshape(-1, 3)
    starts = np.cumsum([0, *mesh["counts"]])
    smile = TARGETS.index("mouthSmileLeft")
    target = np.zeros_like(head.vertices)
    rows = slice(starts[smile], starts[smile + 1])
    target[moved[rows]] = added[rows] * mesh["step"]
    assert np.abs(target - head.targets[smile]).max() <= mesh["step"]
    coarse = numbers(mesh["coarse"], "<u2").reshape(-1, 3)
    assert 2000 < len(coarse) < 0.85 * len(head.triangles)


def test_sound_is_linked_copied_or_left_out(run, tmp_path):
    def media(*arguments: str):
        assert view(run, "--quiet", *arguments).exit_code == 0
        return data_of(run / "view" / "clips" / "deep" / "b.js")["media"]

    linked = media()
    assert linked == {"src": "../../../../clips/deep/b.wav", "video": False}
    assert (run / "view" / "clips" / "deep" / linked["src"]).resolve().is_file()
    assert media("--media", "copy")["src"] == "b.wav"
    copied = run / "view" / "clips" / "deep" / "b.wav"
    assert copied.read_bytes() == (tmp_path / "clips" / "deep" / "b.wav").read_bytes()
    assert media("--media", "none") is None


def test_pages_are_no_clips_of_another_run(run, tmp_path):
    assert view(run, "--quiet", "--media", "copy").exit_code == 0
    assert (run / "view" / "clips" / "a.wav").is_file()
    assert [clip.id for clip in find_clips([tmp_path]).clips] == ["clips/a", "clips/deep/b"]
    shutil.copytree(run / "view", tmp_path / "sent")
    assert [clip.id for clip in find_clips([tmp_path]).clips] == ["clips/a", "clips/deep/b"]


def test_missing_sound_is_said_and_the_page_is_there(run, tmp_path):
    moved = tmp_path / "elsewhere"
    (tmp_path / "clips").rename(moved)
    result = view(run)
    assert result.exit_code == 0
    assert "Note: The clips were not found" in result.stderr
    data = data_of(run / "view" / "clips" / "a.js")
    assert data["media"] is None
    assert any("silent clock" in note for note in data["notes"])
    assert len(data["utterances"]) == 3  # priors stay, without their words
    assert view(run, "--quiet", "--input", moved).output == ""
    assert data_of(run / "view" / "clips" / "a.js")["media"] is not None


def test_scripts_in_texts_are_never_html(tmp_path):
    name = "x<img src=x onerror=alert(1)>"
    write_clip(tmp_path / "clips", name, 4)
    words = tmp_path / "clips" / f"{name}.srt"
    words.write_text(f"1\n00:00:00,100 --> 00:00:00,900\n{BAD}</script>\n\n" * 3, encoding="utf-8")
    out = tmp_path / "out"
    write_run(
        out, {name: waving(1, 9)}, {"bad": f"{BAD} (</script>)"}, source=words.parent, subject=BAD
    )
    assert view(out, "--quiet").exit_code == 0
    for path in (out / "view").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<script>|<img|onerror=alert\(1\)>", text)
        assert Html(text).open == []
    for path in (out / "view").rglob("*.js"):
        path.read_text(encoding="ascii")


def test_a_page_lets_nothing_in(run):
    write_view(run)
    assert "'none'" in POLICY
    assert not re.search(r"unsafe|https?:|\*", POLICY)
    for path in (run / "view").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert f'http-equiv="Content-Security-Policy" content="{POLICY}"' in text
        assert re.findall(r"<script(?! defer src=)|<style| on\w+=| style=", text) == []
        for address in re.findall(r'(?:src|href)="([^"]*)"', text):
            if not address.startswith(("#", "data:,")):
                assert (path.parent / address).is_file(), address
    for path in (run / "view" / "assets").iterdir():
        if path.name != "mesh.js":
            assert not re.search(r"https?:|innerHTML|eval\(", path.read_text(encoding="utf-8"))


def test_an_id_that_leads_out_of_the_folder_is_not_followed(run, tmp_path):
    manifest = run / "manifest.jsonl"
    line = json.loads(manifest.read_text().splitlines()[0]) | {"id": "../../stray"}
    manifest.write_text(json.dumps(line) + "\n")
    result = view(run)
    assert result.exit_code == 3
    assert "leads out of the folder" in result.stderr
    assert not list(tmp_path.rglob("stray*"))


def test_results_without_a_manifest_are_shown(run):
    (run / "manifest.jsonl").unlink()
    (run / "run.json").unlink()
    result = view(run)
    assert result.exit_code == 0
    assert "There is no `manifest.jsonl`" in result.stderr
    data = data_of(run / "view" / "clips" / "a.js")
    assert any("frames a second are not known" in note for note in data["notes"])


def test_a_folder_without_results_is_a_usage_error(tmp_path):
    result = view(tmp_path)
    assert result.exit_code == 2
    assert "has neither a manifest.jsonl nor a result" in result.stderr
    assert view(tmp_path / "nowhere").exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_goes_on_is_said(tmp_path):
    write_run(tmp_path, {"a": waving(2, 5)}, finished=False)
    result = view(tmp_path)
    assert (result.exit_code, "The run has not ended" in result.stderr) == (0, True)


def test_a_run_of_another_version_is_said(run, monkeypatch):
    record = json.loads((run / "run.json").read_text())
    record["versions"] = {"mreactor": "0.0.1"}
    (run / "run.json").write_text(json.dumps(record))
    monkeypatch.setattr("mreactor_runtime.view.folder.version", lambda name: "0.2.0")
    assert "Made by mreactor 0.0.1, shown by 0.2.0" in view(run).stderr


@pytest.mark.parametrize(
    "odd",
    [
        {"reactions": [{"priors": [{"subject": "Sea"}]}]},
        {"reactions": "many"},
        {"reactions": [None], "warnings": "none", "fps": "fast"},
    ],
)
def test_a_line_of_another_version_is_shown_as_far_as_it_goes(run, odd):
    manifest = run / "manifest.jsonl"
    line = json.loads(manifest.read_text().splitlines()[0]) | odd
    manifest.write_text(json.dumps(line) + "\n")
    (run / "run.json").write_text('{"model": "mini", "seconds": "long", "arguments": []}')
    result = view(run)
    assert result.exit_code == 0, result.output
    data = data_of(run / "view" / "clips" / "a.js")
    assert data["priors"] == []
    assert "its priors are not as this version writes them" in data["notes"]
    assert data["reactions"] == 10


def test_a_damaged_run_file_is_said(run):
    (run / "run.json").write_text("{")
    assert "`run.json` is damaged" in view(run).stderr


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_a_result_that_cannot_be_read_ends_with_3_and_the_page_says_it(run, content):
    (run / "a.npz").write_bytes(content)
    result = view(run)
    assert result.exit_code == 3
    assert "Failed: " in result.stderr
    row = data_of(run / "view" / "run_data.js")["rows"][0]
    assert row["status"] == "unreadable"
    assert "npz" in row["problem"]
    assert row["remedy"]
    assert data_of(run / "view" / "clips" / "deep" / "b.js")["reactions"] == 2


def test_many_reactions_are_cut(tmp_path):
    write_run(tmp_path, {"a": waving(MOST_SHOWN + 5, 5)})
    write_view(tmp_path)
    data = data_of(tmp_path / "view" / "clips" / "a.js")
    assert data["reactions"] == MOST_SHOWN
    assert f"shown are the first {MOST_SHOWN} of {MOST_SHOWN + 5} reactions" in data["notes"]


def test_a_clip_of_30_seconds_is_under_4_megabytes(tmp_path):
    write_clip(tmp_path / "clips", "a", 30)
    write_run(tmp_path / "out", {"a": waving(10, 750)}, source=tmp_path / "clips")
    assert view(tmp_path / "out", "--quiet", "--media", "copy").exit_code == 0
    files = [path for path in (tmp_path / "out" / "view").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 4_000_000
