"""Names of files that would make a terminal do something are written out; records keep them."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from fakes.jobs import lines_of, reactor, run_options, write_faces

from mreactor_ref.command import one_line_errors
from mreactor_ref.errors import UsageError
from mreactor_ref.printable import printable
from mreactor_runtime.cli import main
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.summary import Outcome, Summary
from mreactor_runtime.run.terminal import last_line, shown_progress, stage_text

FORGED, CLEARS = "b\nFailed: forged", "c\x1b[2J\x1b[31mred\u202e"
NOT_UTF8 = os.fsdecode(b"d\xff")
SHOWN = {FORGED: r"b\nFailed: forged", CLEARS: r"c\x1b[2J\x1b[31mred\u202e", NOT_UTF8: r"d\xff"}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A good clip, and beside it files with such names, some of clips and some of nothing."""
    write_faces(tmp_path / "clips", {"good": 20, **dict.fromkeys(SHOWN, 20)})
    for name in SHOWN:
        (tmp_path / "clips" / f"{name}.pdf").write_bytes(b"")
    return tmp_path / "clips"


@pytest.mark.parametrize(("name", "shown"), [*SHOWN.items(), ("d\xe9j\xe0 vu \u65e5", None)])
def test_what_is_not_to_be_seen_is_written_out(name, shown):
    assert printable(name) == (shown or name)


def test_a_dry_run_shows_no_name_as_it_is(clips, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    done = CliRunner().invoke(main, ["-i", str(clips), "--dry-run"])
    assert done.exit_code == 0, done.output
    for shown in SHOWN.values():
        assert shown in done.output
    assert not any(line.startswith("Failed") for line in done.output.splitlines())
    assert done.output.replace("\n", "").isprintable()


def test_a_run_shows_no_name_as_it_is_and_keeps_it_in_the_manifest(clips, tmp_path, capsys):
    with shown_progress(quiet=False) as progress:
        summary = run_job(
            clips, tmp_path / "out", reactor(), run_options(samples=1, steps=1), progress
        )
    said = capsys.readouterr().err
    assert said.replace("\n", "").isprintable()
    assert "Failed: forged" not in said.splitlines()
    assert r"Failed: d\xff: its name is not in UTF-8 (rename it)" in said
    assert set(summary.failed) == set(SHOWN)
    for records in ("manifest.jsonl", "errors.jsonl"):
        assert {line["id"] for line in lines_of(tmp_path / "out" / records)} >= set(SHOWN)


def test_the_bar_the_last_line_and_errors_show_none(capsys):
    with pytest.raises(BaseException, match="2"), one_line_errors():
        raise UsageError("is wrong", CLEARS)
    lines = [stage_text(FORGED, "sound", 0.5, 9.0), last_line(Summary(Path(CLEARS), 3))]
    assert "".join([*lines, capsys.readouterr().err.rstrip("\n")]).isprintable()
    with shown_progress(quiet=False) as progress:
        progress.begin(1)
        progress.finished(Outcome(FORGED, 0, 1.0, FORGED))
    assert capsys.readouterr().err == f"Failed: {SHOWN[FORGED]}\n"
