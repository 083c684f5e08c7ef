"""`--dry-run` says what would be read of each clip, and does nothing."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mreactor_runtime.cli import main


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with names only: a dry run looks at no sound and no video."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    for name in ("a.wav", "a.srt", "a.tsv", "b/talk.mp4", "c.wav", "c[red].csv", "thesis.pdf"):
        path = tmp_path / "clips" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("")
    return tmp_path


def dry(*arguments: str) -> Result:
    done = CliRunner().invoke(main, ["-i", "clips", "--dry-run", *arguments])
    assert done.exit_code == 0, done.output
    return done


def rows(done: Result) -> dict[str, list[str]]:
    """clip -> its cells."""
    lines = [line.split("  ") for line in done.output.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    return {row[0]: row[1:] for row in cells if row}


def test_each_stream_has_its_file(place: Path):
    done = dry()
    assert rows(done)["a"] == [
        *("a.wav", "a.srt", "-", "a.tsv: it is neither sound nor words nor a face"),
    ]
    assert rows(done)["b/talk"] == ["talk.mp4", "-", "out of talk.mp4", "-"]
    assert rows(done)["c[red]"] == ["-", "-", "c[red].csv", "-"]
    assert "Note: thesis.pdf is not read" in done.output
    assert "4 clips; 4 without a stream, 0 cannot be done. Nothing was read" in done.output
    assert sorted(path.name for path in place.iterdir()) == ["clips"]


def test_options_change_what_would_be_read(place: Path):
    done = dry("--transcribe", "small", "--no-video-faces")
    assert rows(done)["b/talk"] == ["talk.mp4", "heard by small", "-", "-"]
