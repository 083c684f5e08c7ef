import errno
import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fakes.engines import FakeEngine, TwoSubjects, fake_model, write_clips
from fakes.jobs import files_in, lines_of, run_options, write_faces

from mreactor_ref.errors import MReactorError, UsageError
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run import results
from mreactor_runtime.run.extras import picture
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.summary import Outcome

NAMES = ("a", "deep/er/b", "c")


class Heard:
    """A progress that keeps what it was told."""

    def __init__(self) -> None:
        self.clips, self.said, self.outcomes = 0, [], []

    def begin(self, clips: int) -> None:
        self.clips = clips

    def say(self, text: str) -> None:
        self.said.append(text)

    def reached(self, *_): ...

    def finished(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def reactor(engine: FakeEngine | None = None) -> Reactor:
    return Reactor(fake_model(), engine or FakeEngine(), source=TwoSubjects(), notes=("a note",))


def manifest(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "manifest.jsonl").read_text().splitlines()]


def files_of(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    return {name: content for name, content in found.items() if name.endswith(".npz")}


@pytest.fixture
def clips(tmp_path) -> Path:
    write_clips(tmp_path / "clips", NAMES)
    return tmp_path / "clips"


def test_every_clip_has_its_result_and_its_line(clips, tmp_path):
    output, heard = tmp_path / "new" / "out", Heard()
    options = run_options(samples=3, steps=2, seed=7, guidance_scale=1.0)
    summary = run_job(clips, output, reactor(), options, heard)
    assert (summary.clips, summary.done, summary.reactions) == (3, 3, 9)
    assert not summary.failed
    assert not summary.stopped
    lines = manifest(output)
    assert [line["id"] for line in lines] == ["a", "c", "deep/er/b"]
    for line in lines:
        path = output / f"{line['id']}.npz"
        assert line["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (line["status"], line["seed"], line["frames"], line["error"]) == (
            "done",
            7,
            50,
            None,
        )
        assert line["milliseconds"] > 0
        with np.load(path) as result:
            assert set(result) == {"attributes", "coefficients", "provenance"}
            assert result["attributes"].shape == (3, 50, 25)
            assert result["coefficients"].shape == (3, 50, 58)
            assert result["attributes"].dtype == result["coefficients"].dtype == np.float32
        assert len(line["reactions"]) == 3
        for reaction in line["reactions"]:
            assert reaction["subjects"] == [prior["subject"] for prior in reaction["priors"]]
            assert len(reaction["priors"]) == 2  # one an utterance
            assert set(reaction["priors"][0]) == {"subject", "emotion", "polarity", "intensity"}
    assert heard.clips == 3
    assert [outcome.clip_id for outcome in heard.outcomes] == ["a", "c", "deep/er/b"]
    assert all(outcome.error is None and outcome.reactions == 3 for outcome in heard.outcomes)


def test_run_json_says_what_the_run_was(clips, tmp_path):
    run_job(clips, tmp_path / "out", reactor(), run_options(samples=2, steps=2))
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["ai_generated"] is True
    assert run["finished"] is True
    assert run["engine"] == "fake"
    assert run["device"]["type"] == "cpu"
    assert run["device"]["name"]
    assert run["model"] == {"name": "fake", "sha256": "0" * 64, "graphs": None}
    assert run["dtype"] == "fp32"
    assert {"python", "mreactor", "numpy", "torch"} <= set(run["versions"])
    assert (
        run["arguments"]
        | {
            "samples": 2,
            "seed": 0,
            "scheduler": "dpmsolver++",  # the model's own, by name
            "steps": 2,
            "guidance_scale": 1.0,
            "timestep_spacing": "logsnr",
        }
        == run["arguments"]
    )
    assert (run["clips"], run["done"], run["failed"], run["reactions"]) == (3, 3, 0, 6)


def test_a_second_run_gives_the_same_bytes_and_no_dates(clips, tmp_path):
    for name in ("one", "two"):
        run_job(clips, tmp_path / name, reactor(), run_options(samples=2, steps=2))
    one = files_of(tmp_path / "one")
    assert len(one) == 3
    assert one == files_of(tmp_path / "two")
    with zipfile.ZipFile(tmp_path / "one" / "a.npz") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    run_job(
        clips, tmp_path / "one", reactor(), run_options(samples=2, steps=2)
    )  # in the same place
    assert files_of(tmp_path / "one") == one


def test_a_result_does_not_depend_on_the_other_clips(clips, tmp_path):
    run_job(clips, tmp_path / "all", reactor(), run_options(samples=2, steps=2))
    (clips / "a.wav").unlink()
    (clips / "a.srt").unlink()
    run_job(clips, tmp_path / "some", reactor(), run_options(samples=2, steps=2))
    some = files_of(tmp_path / "some")
    assert set(some) == {"c.npz", "deep/er/b.npz"}
    assert some.items() <= files_of(tmp_path / "all").items()


def test_bad_clips_are_named_and_the_rest_done(clips, tmp_path):
    (clips / "broken.wav").write_bytes(b"RIFF, but not a sound")
    write_clips(clips, ("twice",))
    (clips / "twice.vtt").write_text("WEBVTT\n")  # words twice: the better file is taken
    heard = Heard()
    summary = run_job(clips, tmp_path / "out", reactor(), run_options(samples=1, steps=1), heard)
    assert summary.done == 4
    assert set(summary.failed) == {"broken"}
    assert "cannot be read as sound" in summary.failed["broken"]
    lines = {line["id"]: line for line in manifest(tmp_path / "out")}
    assert len(lines) == 5
    assert lines["broken"]["status"] == "failed"
    assert "broken" in lines["broken"]["error"]
    assert not (tmp_path / "out" / "broken.npz").exists()
    assert [o.clip_id for o in heard.outcomes if o.error] == ["broken"]


def test_a_clip_that_fails_now_leaves_no_older_result(clips, tmp_path):
    options = run_options(samples=1, steps=1)
    run_job(clips, tmp_path / "out", reactor(), options)
    (clips / "a.wav").write_bytes(b"overwritten")
    (clips / "a.srt").unlink()
    run_job(clips, tmp_path / "out", reactor(), options)
    assert set(files_of(tmp_path / "out")) == {"c.npz", "deep/er/b.npz"}


def test_the_run_stops_after_max_errors(clips, tmp_path):
    for name in ("0", "1", "2", "3"):
        (clips / f"{name}.wav").write_bytes(b"bad")
    stopped = run_job(
        clips, tmp_path / "out", reactor(), run_options(samples=1, steps=1, max_errors=2)
    )
    assert stopped.stopped
    assert (len(stopped.failed), stopped.done) == (3, 0)
    assert len(manifest(tmp_path / "out")) == 3
    allowed = run_job(
        clips, tmp_path / "out", reactor(), run_options(samples=1, steps=1, max_errors=4)
    )
    assert not allowed.stopped
    assert (len(allowed.failed), allowed.done) == (4, 3)


class Broken(FakeEngine):
    """An engine that raises at the second clip's first step."""

    def __init__(self, error: BaseException):
        super().__init__()
        self.error, self.clips = error, 0

    def encoder(self, **inputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        self.clips += 1
        return super().encoder(**inputs)

    def denoiser(self, **inputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.clips == 2:
            raise self.error
        return super().denoiser(**inputs)


def test_an_error_nobody_foresaw_fails_its_clip_only(clips, tmp_path):
    engine = Broken(RuntimeError("out of luck"))
    summary = run_job(clips, tmp_path / "out", reactor(engine), run_options(samples=1, steps=1))
    assert summary.failed == {"c": "c: unexpected RuntimeError: out of luck"}
    assert summary.done == 2
    engine = Broken(RuntimeError("out of luck"))
    with pytest.raises(RuntimeError, match="out of luck"):
        run_job(
            clips, tmp_path / "new", reactor(engine), run_options(samples=1, steps=1, debug=True)
        )


def test_an_error_of_the_whole_run_ends_it(clips, tmp_path):
    engine = Broken(UsageError("the encoder is of another width"))
    with pytest.raises(UsageError, match="another width"):
        run_job(clips, tmp_path / "out", reactor(engine), run_options(samples=1, steps=1))


def test_ctrl_c_keeps_what_is_done_and_leaves_nothing_half_written(clips, tmp_path):
    engine = Broken(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_job(clips, tmp_path / "out", reactor(engine), run_options(samples=1, steps=1))
    assert [line["id"] for line in manifest(tmp_path / "out")] == ["a"]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["finished"] is False
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["a.npz", "manifest.jsonl", "run.json"]


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_an_output_that_cannot_be_written_is_found_before_any_work(clips, tmp_path, place):
    (tmp_path / "file").write_text("in the way")
    engine = FakeEngine()
    with pytest.raises(UsageError, match=r"cannot be written.*--output"):
        run_job(clips, tmp_path / place, reactor(engine), run_options(samples=1))
    assert engine.calls == []


def test_options_and_input_are_checked_before_any_work(clips, tmp_path):
    output = tmp_path / "out"
    with pytest.raises(UsageError, match="steps is 0"):
        run_job(clips, output, reactor(), run_options(steps=0))
    with pytest.raises(UsageError, match="samples is 0"):
        run_options(samples=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no clips found"):
        run_job(tmp_path / "empty", output, reactor())
    assert not output.exists()


def test_missing_streams_are_said_once_and_counted(clips, tmp_path):
    (clips / "c.srt").unlink()
    np.save(clips / "c.npy", np.zeros((50, 25), np.float32))
    heard = Heard()
    summary = run_job(clips, tmp_path / "out", reactor(), run_options(samples=1, steps=1), heard)
    assert summary.missing == {"face": 2, "words": 1, "face coefficients": 1}
    assert heard.said == [
        "a note",
        "1 clip has sound but no words, so its reactions come from no subject of what is said: "
        "--transcribe small finds the words",
        "a has no face: the model does without (said once a run)",
        "that is bad",
        "c has no words: the model does without (said once a run)",
        "c has no face coefficients: the model does without (said once a run)",
    ]
    assert summary.notes == heard.said


def test_warnings_of_the_reader_are_kept_and_the_same_one_is_said_once(tmp_path):
    for name in ("a", "b"):
        path = tmp_path / "clips" / f"{name}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.zeros((20, 58), np.float32))
    heard = Heard()
    run_job(tmp_path / "clips", tmp_path / "out", reactor(), run_options(samples=1, steps=1), heard)
    said = [text for text in heard.said if "no sound to time the face by" in text]
    assert [text[:3] for text in said] == ["a: "]
    assert all(len(line["warnings"]) == 1 for line in manifest(tmp_path / "out"))


def test_a_picture_is_drawn_beside_each_result_and_may_fail(clips, tmp_path):
    drawn = []

    def draw(clip, reactions, path):
        drawn.append((clip.id, reactions.clip_id, path))
        raise ValueError("no ink")

    output = tmp_path / "out"
    summary = run_job(
        clips, output, reactor(), run_options(samples=1, steps=1), extras=[picture(draw)]
    )
    assert summary.done == 3
    assert drawn[2] == ("deep/er/b", "deep/er/b", output / "deep" / "er" / "b.png")
    assert "a: no picture of it: ValueError: no ink" in summary.notes


def test_explanations_are_written_beside_each_result(clips, tmp_path):
    output = tmp_path / "out"
    options = run_options(samples=1, steps=1)
    run_job(clips, output, reactor(), options, explain=lambda clip: [clip.id, len(clip.utterances)])
    found = {p.name: json.loads(p.read_text()) for p in output.rglob("*.priors.json")}
    assert found == {
        "a.priors.json": ["a", 2],
        "b.priors.json": ["deep/er/b", 2],
        "c.priors.json": ["c", 2],
    }
    (clips / "c.wav").write_bytes(b"no sound")  # now c fails
    (clips / "c.srt").unlink()
    run_job(clips, output, reactor(), options)
    assert not (output / "c.priors.json").exists()
    assert (output / "a.priors.json").exists()


def test_a_full_disk_ends_the_run_at_its_first_clip(tmp_path, monkeypatch):
    write_faces(tmp_path / "clips", {"a": 50, "b": 50, "c": 50})
    tried = []

    def full(path, *_):
        tried.append(path.name)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(results, "write_npz", full)
    with pytest.raises(MReactorError, match=r"out: the disk is full .*what is done is kept"):
        run_job(tmp_path / "clips", tmp_path / "out", reactor(), run_options(samples=1, steps=1))
    assert len(tried) < 3
    assert lines_of(tmp_path / "out" / "manifest.jsonl") == []
    assert files_in(tmp_path / "out") == {"manifest.jsonl", "run.json"}
