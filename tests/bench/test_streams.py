"""What removing and shifting a stream does, on a model whose answer is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.engines import FakeEngine, TwoSubjects, fake_model, speaker_clip

from mreactor_bench.report import markdown
from mreactor_bench.streams import LEAST, _shares, shifted, without
from mreactor_ref.checkpoint import find_checkpoint
from mreactor_ref.files import sha256_of
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.sampling_options import Sampling

ROOT = Path(__file__).parents[2]


def test_a_shifted_stream_comes_two_seconds_late():
    clip = speaker_clip(100)
    late = shifted(clip, "sound")
    assert (late.sound[50:] == clip.sound[:50]).all()
    assert (late.attributes == clip.attributes).all()


def test_a_removed_stream_is_gone_and_the_others_stay():
    clip = without(speaker_clip(), ["sound"])
    assert clip.sound is None
    assert clip.attributes is not None


def test_what_the_model_listens_to_moves_it_and_the_rest_does_not():
    reactor = Reactor(fake_model(), FakeEngine(), source=TwoSubjects())  # it hears sound alone
    clip = speaker_clip(100)
    quiet = replace(clip, sound=clip.sound * 0 + 0.5 * np.float32(clip.sound > 0))
    figures = _shares(reactor, quiet, Sampling(samples=2))
    assert set(figures) == {"sound", "attributes"}
    assert figures["sound"]["removed"] * LEAST > 0.01
    assert figures["sound"]["shifted"] * LEAST > 0.01
    assert figures["attributes"] == pytest.approx(dict.fromkeys(figures["attributes"], 0))


def test_the_report_is_the_shipped_models_and_its_table_is_in_the_card():
    path = ROOT / "benchmarks" / "results" / "streams-mini-cpu.json"
    report = json.loads(path.read_text())
    checkpoint = find_checkpoint("mini")
    assert report["setting"]["checkpoint_sha256"] == sha256_of(checkpoint)
    assert report["command"].startswith("mreactor-eval streams --data data/simulated")
    table = markdown(report["rows"], "stream")
    assert table in checkpoint.with_suffix(".md").read_text()
    assert report["rows"]["coefficients"]["shifted"] > report["rows"]["sound"]["shifted"]
