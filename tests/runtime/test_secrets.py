"""A key and what is said are in no message, log or record of a run."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner
from fakes.engines import tiny_network, write_clips
from fakes.llm_server import Asked, LLMServer, Reply, error, says, subjects

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.checkpoint import save_checkpoint
from mreactor_runtime.cli import main

pytestmark = pytest.mark.usefixtures("quick_priors")

KEY, WORD = "sk-canary-5f1d", "zyzzyva"
SAID = f"My {WORD} has won the prize"
SRT = f"1\n00:00:00,100 --> 00:00:01,500\n{SAID}\n"


class Talkative:
    """A server that tells all it knows: in errors, in nonsense, and now and then in an answer."""

    def __init__(self) -> None:
        self._turn = 0

    def __call__(self, asked: Asked) -> Reply:
        told = f"{asked.headers['authorization']} {asked.text}"
        turns = (error(400, told), error(500, told), says(told), subjects("Prize", told))
        self._turn += 1
        return turns[self._turn % len(turns)]


def damaged_words(folder: Path) -> None:
    """Words that cannot be read, of each form."""
    forms = {
        "no_times.json": json.dumps({"segments": [{"text": SAID, "start": None}]}),
        "cut.json": json.dumps({"text": SAID})[:-1],
        "late.srt": SRT.replace("00:00:00,100 --> 00:00:01,500", "01:00:00,000 --> 01:00:01,000"),
        "no_cue.vtt": f"WEBVTT\n\n00:99:99.000 --> {SAID}\n",
        "tier.TextGrid": f'"ooTextFile" "TextGrid" 0 1 <exists> 1 "{SAID}" "a" 0 1 1',
        "nul.txt": f"\0{SAID}",
        "table.csv": f"frame,{WORD}\n0,{WORD}\n",
    }
    for name, text in forms.items():
        write_clips(folder, (Path(name).stem,))
        for words in folder.glob(f"{Path(name).stem}.srt"):
            words.unlink()
        (folder / name).write_text(text)


@pytest.mark.parametrize("debug", [False, True])
def test_a_key_and_what_is_said_are_not_told(tmp_path, monkeypatch, caplog, debug):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    save_checkpoint(tiny_network(), Path("tiny.safetensors"))
    clips = tmp_path / "clips"
    write_clips(clips, ("a", "b", "c", "d"))
    for name in "abcd":
        (clips / f"{name}.srt").write_text(SRT.replace("prize", f"{name} prize"))
    damaged_words(clips)
    caplog.set_level(logging.DEBUG)
    with LLMServer(Talkative()) as server:
        llm = ("--subject-source", "llm", "--llm-model", "m", "--llm-base-url", server.url)
        result = CliRunner().invoke(
            main,
            [
                *("--input", "clips", "--model", "tiny.safetensors", "--samples", "1"),
                *("--steps", "1", *llm, "--allow-upload", *(["--debug"] if debug else [])),
            ],
        )
        assert server.asked, result.output
        assert WORD in server.asked[0].text
        assert KEY in server.asked[0].headers["authorization"]
    assert "11 of 11 clips done" in result.stdout, result.output
    assert caplog.records
    told = {"output": result.output, "log": caplog.text} | {
        path.name: path.read_bytes().decode("utf-8", "replace")
        for path in (tmp_path / "reactions").rglob("*")
        if path.is_file()
    }
    for secret in (KEY, WORD):
        assert [name for name, text in told.items() if secret in text] == []
