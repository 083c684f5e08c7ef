"""The manifests of shards put together: as one run would have written them, or what they lack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from fakes.jobs import files_in, lines_of, reactor, results_of, run_options, write_faces

from mreactor_ref.errors import UsageError
from mreactor_runtime.cli import main
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.merge import merge_shards
from mreactor_runtime.run.shard import Shard


@pytest.fixture
def clips(tmp_path) -> Path:
    write_faces(tmp_path / "clips", {name: 20 for name in "abcdefg"})
    (tmp_path / "clips" / "bad.npy").write_bytes(b"no array")
    return tmp_path / "clips"


def run(clips: Path, output: Path, shard: str | None = None, seed: int = 0):
    options = run_options(
        samples=2, steps=1, seed=seed, shard=Shard.parse(shard) if shard else None
    )
    return run_job(clips, output, reactor(), options)


def untimed(path: Path):
    return [line | {"milliseconds": 0} for line in lines_of(path)]


def merge(output: Path):
    return CliRunner().invoke(main, ["merge", str(output)], prog_name="mreactor-infer")


def test_merged_shards_are_what_one_run_leaves(clips, tmp_path):
    one, out = tmp_path / "one", tmp_path / "out"
    run(clips, one)
    for index in (2, 3, 1):
        run(clips, out, f"{index}/3")
    of_shards = [json.loads(path.read_text()) for path in out.glob("run-*.json")]
    result = merge(out)
    assert result.exit_code == 3  # as of one run: a clip has failed
    assert result.stdout == (
        f"3 shards merged: 8 clips, 1 of them failed; see {out / 'manifest.jsonl'}\n"
    )
    assert files_in(out) == files_in(one)
    assert results_of(out) == results_of(one)
    assert untimed(out / "manifest.jsonl") == untimed(one / "manifest.jsonl")
    assert lines_of(out / "errors.jsonl") == lines_of(one / "errors.jsonl")
    assert len(of_shards) == 3
    worked = sum(shard["device_seconds"] for shard in of_shards)
    merged = json.loads((out / "run.json").read_text())
    working = merged["seconds"] - merged["stages"]["prepare"]
    assert merged["device_seconds"] == pytest.approx(worked, abs=1e-3)
    assert merged["sampler_busy"] == pytest.approx(worked / working, abs=1e-3)
    told = [json.loads((folder / "run.json").read_text()) for folder in (one, out)]
    for record in told:
        for changing in ("started", "seconds", "stages", "device_seconds", "sampler_busy", "notes"):
            del record[changing]
    assert told[0] == told[1]


def test_a_whole_run_has_nothing_to_do_after_a_merge(clips, tmp_path):
    (clips / "bad.npy").unlink()
    out = tmp_path / "out"
    for index in (1, 2):
        run(clips, out, f"{index}/2")
    assert merge(out).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert run(clips, out).kept == 7
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_missing_and_unfinished_shards_are_named_and_can_come_later(clips, tmp_path):
    out = tmp_path / "out"
    for index in (1, 2, 4):
        run(clips, out, f"{index}/4")
    record = json.loads((out / "run-2-of-4.json").read_text())
    (out / "run-2-of-4.json").write_text(json.dumps(record | {"finished": False}))
    result = merge(out)
    assert result.exit_code == 3
    assert result.stderr == "Missing: shard 3/4\nUnfinished: shard 2/4\n"
    assert "3 shards merged, not all: 6 clips" in result.stdout
    assert json.loads((out / "run.json").read_text())["finished"] is False
    assert len(lines_of(out / "manifest.jsonl")) == 6
    for index in (2, 3):
        run(clips, out, f"{index}/4")
    assert merge(out).stderr == ""
    assert json.loads((out / "run.json").read_text())["finished"] is True
    assert len(lines_of(out / "manifest.jsonl")) == 8
    assert not [name for name in files_in(out) if "-of-" in name]


def test_clips_of_several_shards_are_there_once(clips, tmp_path):
    out = tmp_path / "out"
    for shard in ("1/2", "2/2", "3/4"):
        run(clips, out, shard)
    merged = merge_shards(out)
    assert merged.duplicate == (Shard(1, 2), Shard(3, 4))
    assert merged.is_whole
    assert [line["id"] for line in lines_of(out / "manifest.jsonl")] == sorted([*"abcdefg", "bad"])


def test_shards_of_two_ways_are_not_merged(clips, tmp_path):
    out = tmp_path / "out"
    run(clips, out, "1/2")
    run(clips, out, "2/2", seed=1)
    with pytest.raises(UsageError, match=r"shard 2/2 was made otherwise .* seed was 0, now 1"):
        merge_shards(out)
    assert not (out / "manifest.jsonl").exists()


def test_a_folder_without_shards_is_one_clear_line(tmp_path):
    result = merge(tmp_path)
    assert result.exit_code == 2
    assert "has no manifests of shards" in result.stderr
