"""A run in few large files: read back by the libraries that such files are for."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fakes.jobs import files_in, lines_of, reactor, results_of, run_options, write_faces

from mreactor_runtime.convert.command import main
from mreactor_runtime.pack import pack
from mreactor_runtime.pack.webdataset import key_of
from mreactor_runtime.run.job import run_job

CLIPS = ("a", "a.b", "deep/c%d", "deep/e")


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A run whose results are a few kilobytes; two of them are a "megabyte"."""
    monkeypatch.chdir(tmp_path)
    write_faces(tmp_path / "clips", {name: 20 for name in CLIPS})
    run_job(tmp_path / "clips", tmp_path / "run", reactor(), run_options(samples=2, steps=1))
    size = max(len(content) for content in results_of(tmp_path / "run").values())
    monkeypatch.setattr(pack, "MEGABYTE", 2 * size)
    return tmp_path / "run"


def packed(run: Path, form: str, *more: str) -> Result:
    return CliRunner().invoke(main, [str(run), "--to", form, "--shard-size", "1", *more])


def test_webdataset_reads_the_results_byte_for_byte(run):
    tariterators = pytest.importorskip("webdataset.tariterators")
    result = packed(run, "webdataset")
    assert result.exit_code == 0, result.output
    assert result.output == "4 results packed: 2 files in converted\n"
    samples: list[dict[str, Any]] = []
    for path in sorted(Path("converted").glob("*.tar")):
        with path.open("rb") as stream:  # the library leaves those that it opens to be collected
            files = tariterators.tar_file_expander([{"url": str(path), "stream": stream}])
            samples += tariterators.group_by_keys(files)
    assert [sample["__key__"] for sample in samples] == [key_of(clip) for clip in CLIPS]
    assert [sample["npz"] for sample in samples] == [results_of(run)[f"{c}.npz"] for c in CLIPS]
    about = [json.loads(sample["json"]) for sample in samples]
    lines = lines_of(run / "manifest.jsonl")
    assert [one["clip"] for one in about] == [*CLIPS]
    assert [one["reactions"] for one in about] == [line["reactions"] for line in lines]
    assert all(one["ai_generated"] and one["seed"] == 0 for one in about)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pyarrow")
def test_parquet_holds_a_row_a_reaction(run):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert packed(run, "parquet").exit_code == 0
    files = sorted(Path("converted").glob("*.parquet"))
    rows = [row for path in files for row in parquet.read_table(path).to_pylist()]
    assert [(row["clip"], row["reaction"]) for row in rows] == [
        (c, k) for c in CLIPS for k in (0, 1)
    ]
    for row in rows:
        with np.load(io.BytesIO(results_of(run)[f"{row['clip']}.npz"])) as arrays:
            for name in ("attributes", "coefficients"):
                values = np.array(row[name], np.float32)
                np.testing.assert_array_equal(values, arrays[name][row["reaction"]])
        assert row["frames"] == 20
        assert row["ai_generated"]
    assert rows[0]["subjects"] == lines_of(run / "manifest.jsonl")[0]["reactions"][0]["subjects"]


def test_what_is_there_is_kept_and_what_was_half_done_is_done(run):
    packed(run, "webdataset,parquet")
    before = {path: path.stat().st_mtime_ns for path in Path("converted").iterdir()}
    assert (
        "4 results packed: 4 files in converted, 4 of them before"
        in packed(run, "webdataset,parquet").output
    )
    assert {path: path.stat().st_mtime_ns for path in Path("converted").iterdir()} == before
    # killed after the first shard: the second is half there, and has no line
    second = Path("converted/reactions-000001.tar")
    whole = second.read_bytes()
    second.rename(f"converted/.{second.name}.1-1.partial")
    records = Path("converted/webdataset.jsonl")
    records.write_text(records.read_text().splitlines(keepends=True)[0] + '{"id": "rea')
    assert "2 files in converted, 1 of them before" in packed(run, "webdataset").output
    assert second.read_bytes() == whole
    assert not [name for name in files_in(Path("converted")) if "partial" in name]
    assert [line["results"] for line in lines_of(records)] == [2, 2]


def test_a_result_that_is_not_as_written_is_left_out_and_comes_when_it_is_mended(run):
    whole = (run / "a.npz").read_bytes()
    (run / "a.npz").write_bytes(whole[:-1] + b"x")
    result = packed(run, "webdataset")
    assert result.exit_code == 3
    assert "a.npz: is not as its run wrote it" in result.output
    assert "3 results packed, 1 left out: 2 files in converted\n" in result.output
    (run / "a.npz").write_bytes(whole)
    assert (
        "4 results packed: 2 files in converted, 1 of them before"
        in packed(run, "webdataset").output
    )


def test_shards_of_other_results_stay_unless_told(run, tmp_path):
    assert packed(run, "webdataset").exit_code == 0
    options = run_options(samples=2, steps=1, seed=1)
    run_job(tmp_path / "clips", run, reactor(), options)
    result = packed(run, "webdataset")
    assert result.exit_code == 2
    assert "is a shard of other results" in result.output
    assert packed(run, "webdataset", "--overwrite", "--shard-size", "9").exit_code == 0
    assert files_in(Path("converted")) == {"reactions-000000.tar", "webdataset.jsonl"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--to", "parquet,glb"], "'glb' is no form of a whole run"),
        (["--to", "parquet", "--fps", "30"], "hold results as they are"),
    ],
)
def test_what_cannot_be_packed_is_one_clear_line(run, options, words):
    result = CliRunner().invoke(main, [str(run), *options])
    assert result.exit_code == 2
    assert words in result.output


def test_a_run_that_has_not_ended_is_not_packed(run):
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"finished": False}))
    result = packed(run, "webdataset")
    assert result.exit_code == 2
    assert "its run has not ended (run it again to go on)" in result.output
