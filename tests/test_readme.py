"""The README's python blocks run as they stand, after the command that they follow."""

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from mreactor_runtime.cli import main

ROOT = Path(__file__).parent.parent


def test_the_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MREACTOR_CACHE", str(tmp_path / "cache"))
    clips = tmp_path / "examples" / "clips"
    clips.mkdir(parents=True)
    for path in (ROOT / "examples" / "clips").glob("good_news.*"):
        shutil.copy(path, clips)
    done = CliRunner().invoke(main, ["--input", str(clips), "--steps", "2"])
    assert done.exit_code == 0, done.output
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert names["smile"].shape[0] == 10  # pyright: ignore
    assert names["reactions"].attributes.shape[::2] == (3, 25)  # pyright: ignore


def test_what_the_readme_names_is_there():
    text = (ROOT / "README.md").read_text()
    for link in re.findall(r"\]\((?!http)([^)]+)\)", text):
        assert (ROOT / link).exists(), link
