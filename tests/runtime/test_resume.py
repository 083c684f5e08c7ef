"""Runs that were killed, changed or cut into shards end as one unbroken run does."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.jobs import Heard, files_in, lines_of, reactor, results_of, run_options, write_faces

from mreactor_ref.emotion.options import RecoveryOptions
from mreactor_ref.errors import UsageError
from mreactor_runtime.engines.names import AUTO, ENGINES, ONNX, OPENVINO
from mreactor_runtime.run.extras import picture
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.run_json import ENGINE_PACKAGES, describe
from mreactor_runtime.run.shard import Shard

LENGTHS = {"a": 40, "deep/b": 200, "c.d": 70, "e": 30}
QUICK: dict[str, Any] = {"samples": 2, "steps": 1}


@pytest.fixture
def clips(tmp_path) -> Path:
    write_faces(tmp_path / "clips", LENGTHS)
    return tmp_path / "clips"


def again(clips: Path, output: Path, **changed) -> tuple[list[str], list[str]]:
    """Run; the clips that were done, and what was said of why."""
    heard = Heard()
    summary = run_job(clips, output, reactor(), run_options(**(QUICK | changed)), heard)
    assert summary.kept + summary.done == len(LENGTHS)
    assert heard.clips == summary.done
    assert [line["id"] for line in lines_of(output / "manifest.jsonl")] == sorted(LENGTHS)
    return sorted(heard.ids), [text for text in heard.said if "done again" in text]


def test_a_second_run_does_nothing(clips, tmp_path):
    assert again(clips, tmp_path / "out") == (sorted(LENGTHS), [])
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in (tmp_path / "out").rglob("*")}
    run = (tmp_path / "out" / "run.json").read_bytes()
    assert again(clips, tmp_path / "out", max_errors=3, overlap=False) == ([], [])
    after = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in (tmp_path / "out").rglob("*")}
    assert after == before
    assert (tmp_path / "out" / "run.json").read_bytes() == run
    assert json.loads(run)["finished"] is True


def test_all_is_done_again_where_that_is_asked_for(clips, tmp_path):
    again(clips, tmp_path / "out")
    assert again(clips, tmp_path / "out", resume=False) == (sorted(LENGTHS), [])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"steps": 2}, "steps was 1, now 2"),
        ({"seed": 3}, "seed was 0, now 3"),
        ({"samples": 1}, "samples was 2, now 1"),
        ({"scheduler": "ddim"}, "scheduler was dpmsolver++, now ddim"),
        ({"smoothness": 0.5}, "smoothness was 0.0, now 0.5"),
        ({"recovery": RecoveryOptions()}, "recovery was None, now None"),
    ],
)
def test_what_was_made_otherwise_is_done_again_with_the_reason(clips, tmp_path, changed, why):
    again(clips, tmp_path / "out")
    done, [said] = again(clips, tmp_path / "out", **changed)
    assert done == sorted(LENGTHS)
    if "recovery" in changed:  # by each of its values
        assert "recovery" in said
        assert "more" in said
    else:
        assert said.endswith(f"made otherwise: {why}")
    fresh = tmp_path / "fresh"
    again(clips, fresh, **changed)
    assert results_of(tmp_path / "out") == results_of(fresh)


def test_another_model_or_engine_is_a_reason_too(clips, tmp_path):
    again(clips, tmp_path / "out")
    other = reactor()
    other.engine.name = "other"  # pyright: ignore
    heard = Heard()
    summary = run_job(clips, tmp_path / "out", other, run_options(**QUICK), heard)
    assert summary.done == 4
    assert heard.said[0].endswith("made otherwise: engine was fake, now other")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"dtype": "fp16"}, "dtype was fp32, now fp16"),
        ({"graphs_sha256": "ab" * 32}, "graphs was None, now abababababab..."),
    ],
)
def test_another_export_of_the_same_model_is_a_reason_too(clips, tmp_path, changed, why):
    again(clips, tmp_path / "out")
    other, heard = reactor(), Heard()
    other.model = replace(other.model, **changed)
    assert run_job(clips, tmp_path / "out", other, run_options(**QUICK), heard).done == 4
    assert heard.said[0].endswith(f"made otherwise: {why}")


def test_only_the_packages_of_its_engine_count(clips, tmp_path):
    """Another one that is installed meanwhile changes nothing."""
    assert set(ENGINE_PACKAGES) == set(ENGINES) - {AUTO}
    own = reactor()
    for engine, package in ((ONNX, "onnxruntime"), (OPENVINO, "openvino")):
        own.engine.name = engine  # pyright: ignore
        known = describe(clips, own, own.sampling, run_options(**QUICK))["versions"]
        assert {"onnxruntime", "openvino"} & set(known) == {package}


def test_the_user_s_own_file_of_subjects_counts_by_its_content(clips, tmp_path):
    path = tmp_path / "subjects.json"
    options = {"recovery": RecoveryOptions(subject_source=str(path))}
    path.write_text("{}")
    again(clips, tmp_path / "out", **options)
    assert again(clips, tmp_path / "out", **options) == ([], [])
    path.write_text('{"I won!": []}')
    done, [said] = again(clips, tmp_path / "out", **options)
    assert len(done) == 4
    assert "subjects.json was" in said


def test_only_what_has_changed_is_done_again(clips, tmp_path):
    output = tmp_path / "out"
    again(clips, output)
    first = results_of(output)
    (output / "a.npz").write_bytes(b"damaged")
    (output / "e.npz").unlink()
    done, [said] = again(clips, output)
    assert done == ["a", "e"]
    assert said == "results that are missing, or not as they were written, are done again"
    assert results_of(output) == first
    np.save(clips / "c.d.npy", np.ones((70, 58), np.float32))
    done, [said] = again(clips, output)
    assert done == ["c.d"]
    assert said == "clips whose files have changed are done again"


def test_a_clip_that_failed_is_tried_again(clips, tmp_path):
    good = (clips / "a.npy").read_bytes()
    (clips / "a.npy").write_bytes(b"broken")
    summary = run_job(clips, tmp_path / "out", reactor(), run_options(**QUICK))
    assert list(summary.failed) == ["a"]
    (clips / "a.npy").write_bytes(good)
    assert again(clips, tmp_path / "out") == (["a"], [])


def test_pictures_and_explanations_that_are_not_there_yet_are_made(clips, tmp_path):
    output = tmp_path / "out"
    again(clips, output)
    heard, drawn = Heard(), []

    def draw(clip, reactions, path):
        drawn.append(clip.id)
        path.write_bytes(b"")

    run_job(clips, output, reactor(), run_options(**QUICK), heard, [picture(draw)])
    assert sorted(drawn) == sorted(LENGTHS)
    assert "clips that have no .png yet are done again" in heard.said
    run_job(clips, output, reactor(), run_options(**QUICK), None, [picture(draw)])
    assert len(drawn) == 4


def test_clips_that_are_gone_leave_the_manifest(clips, tmp_path):
    again(clips, tmp_path / "out")
    (clips / "a.npy").unlink()
    run_job(clips, tmp_path / "out", reactor(), run_options(**QUICK))
    ids = [line["id"] for line in lines_of(tmp_path / "out" / "manifest.jsonl")]
    assert ids == ["c.d", "deep/b", "e"]


def test_a_torn_manifest_is_read_as_far_as_it_is_whole(clips, tmp_path):
    output = tmp_path / "out"
    again(clips, output)
    first, manifest = results_of(output), output / "manifest.jsonl"
    whole = manifest.read_bytes()
    for torn in (whole[:-30], b'{"id": 3}\n[]\nnull\n\xff\xfe\n' + whole[:-1], b"", b"\x00" * 50):
        manifest.write_bytes(torn)
        again(clips, output)
        assert results_of(output) == first
    (output / "run.json").write_bytes(b"{")
    assert again(clips, output) == ([], [])  # each line knows its run
    (output / "run.json").write_bytes(b"{")
    _, [said] = again(clips, output, seed=1)
    assert said.endswith("made otherwise: it is not known how")


def test_what_a_killed_process_left_half_written_goes(clips, tmp_path):
    output = tmp_path / "out"
    again(clips, output)
    first = files_in(output)
    (output / "a.npz").unlink()
    for name in (".a.npz.1-2.partial", "deep/.b.npz.1-2.partial", ".other.npz.1-2.partial"):
        (output / name).write_bytes(b"half")
    for name in (".run.json.1-2.partial", ".manifest.jsonl.1-2.partial", ".run.lock"):
        (output / name).write_bytes(b"half")
    again(clips, output)
    # those of others are nobody's business here
    assert files_in(output) == first | {".other.npz.1-2.partial"}


def test_shards_together_are_the_whole_run(clips, tmp_path):
    again(clips, tmp_path / "whole")
    output = tmp_path / "shards"
    for i in (3, 1, 2):  # in any order
        summary = run_job(clips, output, reactor(), run_options(**QUICK, shard=Shard(i, 3)))
        assert summary.done == summary.clips == (2 if i == 1 else 1)
        ids = [line["id"] for line in lines_of(output / f"manifest-{i}-of-3.jsonl")]
        assert ids == sorted(LENGTHS)[i - 1 :: 3]
        run = json.loads((output / f"run-{i}-of-3.json").read_text())
        assert run["arguments"]["shard"] == f"{i}/3"
    assert not (output / "manifest.jsonl").exists()
    assert results_of(output) == results_of(tmp_path / "whole")
    assert again(clips, output) == ([], [])  # puts them together
    assert files_in(output) == files_in(tmp_path / "whole")
    assert run_job(clips, output, reactor(), run_options(**QUICK, shard=Shard(1, 2))).kept == 2


def test_an_empty_shard_is_no_error(clips, tmp_path):
    summary = run_job(clips, tmp_path / "out", reactor(), run_options(**QUICK, shard=Shard(6, 6)))
    assert (summary.clips, summary.done, summary.failed) == (0, 0, {})


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0", "3", "1/2/3", "-1/3", "a/b", "", "1/ 3"])
def test_a_shard_that_cannot_be_is_refused(text):
    with pytest.raises(UsageError, match="shard"):
        Shard.parse(text)


def test_parts_of_a_part_are_the_part():
    items = list(range(47))
    for i in (1, 2, 3):
        part = Shard(i, 3)
        found = [item for piece in part.split(4) for item in piece.of(items)]
        assert sorted(found) == list(part.of(items))


KILLED = """
import sys
from pathlib import Path
from fakes.jobs import SlowEngine, reactor, run_options
from mreactor_runtime.engines.names import AUTO, ENGINES, ONNX, OPENVINO
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.run_json import ENGINE_PACKAGES, describe
from mreactor_runtime.run.summary import Silent

class Told(Silent):
    def reached(self, *_): ...

    def finished(self, outcome):
        print(outcome.clip_id, flush=True)

run_job(Path(sys.argv[1]), Path(sys.argv[2]), reactor(SlowEngine(0.02)),
        run_options(samples=2, steps=1), Told())
"""


def start(clips: Path, output: Path) -> subprocess.Popen:
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(clips), str(output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )


@pytest.mark.parametrize(("after", "delay"), [(1, 0.0), (5, 0.013), (9, 0.007)])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(tmp_path, after, delay):
    lengths = {f"{i:02}": 20 + 37 * i % 300 for i in range(20)}
    write_faces(tmp_path / "clips", lengths)
    output = tmp_path / "out"
    process = start(tmp_path / "clips", output)
    assert process.stdout
    for _ in range(after):
        assert process.stdout.readline()
    time.sleep(delay)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = (output / "manifest.jsonl").read_text().count("\n")
    assert after <= done < 20
    heard = Heard()
    summary = run_job(tmp_path / "clips", output, reactor(), run_options(**QUICK), heard)
    assert (summary.kept, summary.done) == (done, 20 - done)
    assert not [text for text in heard.said if "done again" in text]
    run_job(tmp_path / "clips", tmp_path / "whole", reactor(), run_options(**QUICK))
    assert results_of(output) == results_of(tmp_path / "whole")
    assert files_in(output) == files_in(tmp_path / "whole")


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_at_once_with_whole_files(tmp_path):
    write_faces(tmp_path / "clips", {f"{i:03}": 20 for i in range(300)})
    process = start(tmp_path / "clips", tmp_path / "out")
    assert process.stdout
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    lines = lines_of(tmp_path / "out" / "manifest.jsonl")
    assert 3 <= len(lines) < 300
    assert set(results_of(tmp_path / "out")) == {f"{line['id']}.npz" for line in lines}
    assert not [name for name in files_in(tmp_path / "out") if "partial" in name]
