"""`mreactor-convert`: which results it converts, under what names, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fakes.jobs import files_in, lines_of, reactor, run_options, write_faces
from fakes.results import older_result, write_run

import mreactor
from mreactor_ref.data.layout import is_result
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.action_units import TRUSTED, UNIT_SHAPES
from mreactor_runtime.convert import during_run
from mreactor_runtime.convert.command import main
from mreactor_runtime.convert.convert import convert
from mreactor_runtime.convert.during_run import other_forms
from mreactor_runtime.convert.livelink import timecode
from mreactor_runtime.forms import SUFFIXES, all_suffixes
from mreactor_runtime.run.job import run_job


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run", {"a.b": 20, "deep/c": 30}, failed=("bad",))
    return tmp_path / "run"


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_all_reactions_of_a_run_in_every_form(run):
    done = command(run, "--to", ",".join(SUFFIXES))
    assert done.exit_code == 0, done.output
    assert done.stdout == "2 of 2 results converted: 4 reactions, 36 files in converted\n"
    names = {clip + suffix for clip in ("a.b", "deep/c") for suffix in all_suffixes(SUFFIXES, 2)}
    assert files_in(Path("converted")) == names
    assert "deep/c.reaction1.livelink.csv.about.json" in names


def test_one_reaction_of_one_result(run):
    done = command(run / "deep/c.npz", "--to", "glb", "--reaction", 1, "--output", "out")
    assert done.exit_code == 0, done.output
    assert files_in(Path("out")) == {"c.reaction1.glb"}


def test_a_file_that_is_there_is_kept_until_overwrite(run):
    command(run, "--to", "csv", "--reaction", 0)
    place = Path("converted/a.b.reaction0.csv")
    place.write_text("mine")
    done = command(run, "--to", "csv,vrma")
    assert done.exit_code == 3
    assert "a.b.reaction0.csv: is there already (give --overwrite" in done.stderr
    assert place.read_text() == "mine"
    assert not Path("converted/a.b.reaction0.vrma").exists()  # none of that result
    assert command(run, "--to", "csv", "--overwrite").exit_code == 0
    assert place.read_text().startswith("time,AU1,")


def spoil_shape(path: Path) -> None:
    np.savez(path, attributes=np.zeros((2, 9, 24)), coefficients=np.zeros((2, 9, 58)))


def spoil_value(path: Path) -> None:
    with np.load(path) as arrays:
        attributes, coefficients = arrays["attributes"], arrays["coefficients"]
    attributes[0, 0, 0] = np.nan
    np.savez(path, attributes=attributes, coefficients=coefficients)


def spoil_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def spoil_kind(path: Path) -> None:
    np.savez(path, poses=np.zeros(3))


def spoil_origin(path: Path) -> None:
    shutil.copy(path.parent / "deep/c.npz", path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (Path.unlink, "cannot be read: No such file or directory"),
        (spoil_shape, "its attributes have shape (2, 9, 24), not (reactions, frames, 25)"),
        (spoil_value, "its attributes have values that are no finite numbers"),
        (spoil_end, "is not a complete npz archive"),
        (spoil_kind, "has no attributes, but poses"),
        (spoil_origin, "is not as its run wrote it"),
    ],
)
def test_a_bad_result_does_not_stop_the_others(spoil, words, run):
    spoil(run / "a.b.npz")
    done = command(run, "--to", "vrma", "--reaction", 0)
    assert done.exit_code == 3
    [line] = done.stderr.splitlines()
    assert line.startswith(f"Failed: {run / 'a.b.npz'}: {words}")
    assert done.stdout.startswith("1 of 2 results converted, 1 failed: 1 reactions, 1 files in")
    assert files_in(Path("converted")) == {"deep/c.reaction0.vrma"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "--to", "fbx"], 2, "there is no format 'fbx' (there are csv, openface-csv"),
        (["run", "--to", ","], 2, "no format is given"),
        (["run", "--to", "glb", "--reaction", "-1"], 2, "reaction is -1, not from 0"),
        (["run", "--to", "glb", "--fps", "nan"], 2, "fps is nan, not 1 to 240"),
        (["run", "--to", "glb", "--smooth", "-1"], 2, "smooth is -1, not 0 to 10 seconds"),
        (["run/deep", "--to", "glb"], 2, "run/deep: is no run's folder: it has no manifest"),
        (["none", "--to", "glb"], 2, "'none' does not exist"),
        (["run/run.json", "--to", "glb"], 3, "is not a complete npz archive"),
        (["run/a.b.npz", "--to", "glb", "--reaction", "2"], 3, "has no reaction 2 (it has"),
        (["alone.npz", "--to", "glb"], 3, "tells its frames a second (give --source-fps"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(arguments, code, words, run):
    older_result(run / "a.b.npz", Path("alone.npz"))
    done = command(*arguments)
    assert done.exit_code == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("converted").exists()


def test_an_older_result_without_its_run_needs_its_rate(run):
    older_result(run / "a.b.npz", Path("alone.npz"))
    [path] = convert("alone.npz", ["a2f-json"], "out", reaction=0, source_fps=30)
    about = json.loads(path.read_text())["about"]
    assert (about["fps"], about["model"], about["seed"]) == (30, None, None)


def test_the_results_of_shards_are_found(run):
    lines = (run / "manifest.jsonl").read_text().splitlines(keepends=True)
    (run / "manifest.jsonl").unlink()
    for part in (1, 2):
        (run / f"manifest-{part}-of-2.jsonl").write_text(lines[part - 1])
    assert command(run, "--to", "vrma").exit_code == 0
    assert len(files_in(Path("converted"))) == 4


def test_a_run_without_results(run):
    write_run(run, {}, failed=("bad",))
    done = command(run, "--to", "glb")
    assert (done.exit_code, "its run has no clip that is done" in done.stderr) == (2, True)


def test_the_front_door(run):
    assert mreactor.convert is convert
    with pytest.raises(UsageError, match="coefficients is 'flame'"):
        mreactor.convert(run / "a.b.npz", ["glb"], coefficients="flame")
    with pytest.raises(ClipError, match="has no reaction 5"):
        mreactor.convert(run / "a.b.npz", ["glb"], reaction=5)


def test_no_later_run_takes_a_converted_table_for_a_clip():
    for suffix in all_suffixes(SUFFIXES, 2):
        assert is_result(f"a{suffix}") or suffix.endswith((".glb", ".vrma"))
    assert not is_result("a.csv")
    assert not is_result("a.openface.csv")


def test_the_page_of_avatars_has_the_table_and_the_forms():
    text = (Path(__file__).parents[2] / "docs/avatars.md").read_text()
    for unit, shapes in UNIT_SHAPES.items():
        trust = "trusted" if unit in TRUSTED else "hint"
        assert f"| {unit} | {', '.join(shapes)} | {trust} |" in text
    assert all(f"| `{form}` | `{suffix}` |" in text for form, suffix in SUFFIXES.items())


@pytest.mark.parametrize(
    ("frame", "fps", "text"),
    [
        (0, 25, "00:00:00:00.000"),
        (90_061, 25, "01:00:02:11.000"),
        (30, 29.97, "00:00:01:00.030"),
        (59, 60, "00:00:00:59.000"),
    ],
)
def test_timecodes(frame, fps, text):
    assert timecode(frame, fps) == text


def converted_run(output: Path, formats: tuple[str, ...], seed: int = 0) -> None:
    options = run_options(samples=2, steps=1, seed=seed)
    listener = reactor()
    listener.sampling = options.sampling
    extras = [other_forms(formats, listener)] if formats else []
    run_job(Path("clips"), output, listener, options, extras=extras)


def test_a_run_writes_what_the_command_would_write(run):
    write_faces(Path("clips"), {"x": 20, "deep/y": 30})
    converted_run(Path("out"), ("vrma", "csv"))
    assert command("out", "--to", "vrma,csv", "--output", "again").exit_code == 0
    files = files_in(Path("again"))
    assert len(files) == 12
    for name in files:
        assert Path("out", name).read_bytes() == Path("again", name).read_bytes()


def test_a_form_that_is_missing_is_made_by_the_next_run(run):
    write_faces(Path("clips"), {"x": 20, "y": 30})
    converted_run(Path("out"), ("vrma",))
    before = {name: (Path("out") / name).stat().st_mtime_ns for name in files_in(Path("out"))}
    Path("out/x.reaction1.vrma").unlink()
    converted_run(Path("out"), ("vrma",))
    assert files_in(Path("out")) == before.keys()
    assert Path("out/y.npz").stat().st_mtime_ns == before["y.npz"]  # kept


def test_forms_of_an_older_result_do_not_stay(run):
    write_faces(Path("clips"), {"x": 20})
    converted_run(Path("out"), ("vrma", "csv"))
    Path("out/x.reaction0.livelink.csv").write_text("mine")  # nothing is about it
    converted_run(Path("out"), (), seed=1)
    assert files_in(Path("out")) == {
        *("manifest.jsonl", "run.json", "x.npz", "x.reaction0.livelink.csv"),
    }
    converted_run(Path("out"), ("vrma",), seed=1)
    Path("clips/x.npy").write_bytes(b"broken")
    converted_run(Path("out"), (), seed=1)
    assert "x.reaction0.vrma" not in files_in(Path("out"))


def test_a_form_that_cannot_be_written_fails_no_clip(run, monkeypatch):
    def fails(*_, **__):
        raise ValueError("no room")

    monkeypatch.setattr(during_run, "write_result", fails)
    write_faces(Path("clips"), {"x": 20})
    converted_run(Path("out"), ("vrma",))
    [line] = lines_of(Path("out/manifest.jsonl"))
    assert line["status"] == "done"
