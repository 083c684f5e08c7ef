"""The page on the service: its lines run as they stand, and its numbers are those of the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mreactor_runtime.reactor import Reactor
from mreactor_runtime.serve.limits import OPTIONS, Limits

fake = pytest.importorskip("fakes.served", reason="the extra serve is not installed")
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
HERE = "http://127.0.0.1:8000"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.usefixtures("quick_priors")
def test_the_lines_of_the_page_run(checkpoint: Path, tmp_path: Path):
    blocks = [b for b in re.findall(r"```sh\n(.*?)```", PAGE, re.S) if HERE in b]
    assert len(blocks) == 3
    clips = tmp_path / "clips"
    shutil.copytree(ROOT / "examples" / "clips", clips)
    reactor = Reactor.open(checkpoint, engine="torch", steps=2)
    with fake.served(reactor) as site:
        for block in blocks:
            script = "set -e\n" + block.replace(HERE, site.address)
            done = subprocess.run(
                ["bash", "-c", script], cwd=clips, capture_output=True, text=True, timeout=300,
                env=os.environ | {"no_proxy": "*"},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr + done.stdout
        assert site.client.get("/v1/jobs/none").status_code == 404
        assert site.service.jobs.kept == 0  # the page forgets its job
    for name, count in (("good_news", 10), ("features", 2), ("only_sound", 10)):
        with np.load(clips / f"{name}.npz") as arrays:
            assert len(arrays["attributes"]) == count
    assert (clips / "talk.glb").read_bytes().startswith(b"glTF")
    assert (clips / "only_sound.zip").read_bytes().startswith(b"PK")


def test_the_defaults_that_the_page_names_are_those_of_the_code():
    shown = dict(re.findall(r"`(--[a-z-]+)` \((\d+)\)", PAGE))
    assert len(shown) == 7
    for field, (flag, *_) in OPTIONS.items():
        if flag in shown:
            assert float(shown.pop(flag)) == getattr(Limits(), field)
    assert shown == {}


def test_limits_below_what_makes_sense_are_refused():
    from mreactor_ref.errors import UsageError

    for name, value in (("queue", 0), ("kept_jobs", -1), ("clip_seconds", 0.0)):
        with pytest.raises(UsageError, match=name):
            replace(Limits(), **{name: value})
