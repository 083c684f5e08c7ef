"""`mreactor-bench attention`: figures of maps with a known answer, and the whole command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fakes.engines import speaker_clip
from fakes.models import random_model, small_config

pytest.importorskip("accelerate")

from mreactor_bench import variants
from mreactor_bench.attention.maps import (
    attention_maps,
    entropy,
    mean_distance,
    on_frames,
    spoken_frames,
)
from mreactor_bench.bench_cli import main
from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.checkpoint import find_checkpoint, save_checkpoint
from mreactor_ref.config import ATTENTIONS, Attention
from mreactor_ref.emotion.priors import Prior
from mreactor_ref.files import sha256_of
from mreactor_ref.schedule import Solver

ROOT = Path(__file__).parents[2]
FRAMES = 30
PRIORS = ((Prior("a", "joy", 0.5, 0.5),) * 2, (Prior("b", "fear", -0.5, 0.5),) * 2)


def test_an_even_map_has_the_largest_entropy_and_a_third_of_the_length_as_distance():
    even = torch.full((2, FRAMES, FRAMES), 1 / FRAMES)
    torch.testing.assert_close(entropy(even), torch.full((2,), math.log(FRAMES)))
    expected = (FRAMES**2 - 1) / (3 * FRAMES)
    torch.testing.assert_close(mean_distance(even), torch.full((2,), expected))


def test_a_map_that_looks_at_one_frame_has_no_entropy_and_the_distance_of_that_frame():
    late = torch.roll(torch.eye(FRAMES), 3, dims=1)[:-3]  # each frame looks 3 ahead
    assert entropy(late).item() == 0
    here = torch.eye(FRAMES)
    assert mean_distance(here).item() == 0
    first = torch.zeros(FRAMES, FRAMES)
    first[:, 0] = 1
    assert mean_distance(first).item() == pytest.approx((FRAMES - 1) / 2)


def test_indifference_to_speech_is_one():
    spoken = torch.arange(FRAMES) < 10
    even = torch.full((FRAMES, FRAMES), 1 / FRAMES)
    assert on_frames(even, spoken).item() == pytest.approx(1)
    attentive = torch.where(spoken, 0.1, 0.0).expand(FRAMES, FRAMES)
    assert on_frames(attentive, spoken).item() == pytest.approx(3)


def test_spoken_frames_are_those_of_the_utterances():
    spoken = spoken_frames(speaker_clip(FRAMES))  # 0 to 1 s at 25 frames a second, 1.6 to 2 s
    assert spoken.tolist() == [True] * 25 + [False] * 5


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("self", ["self"]),
        ("cross", ["cross"]),
        ("self+cross", ["self", "cross"]),
        ("relative+subject", ["relative", "subject"]),
    ],
)
def test_every_kind_has_its_maps_with_their_names(kind: Attention, names: list[str]):
    config = small_config(kind)
    maps = attention_maps(random_model(config), speaker_clip(FRAMES), PRIORS, 0, Solver(steps=3))
    assert [(x.layer, x.name) for x in maps] == [(n, name) for n in (1, 2) for name in names]
    for x in maps:
        assert x.entropy.shape == x.distance.shape == (config.heads,)
        assert x.on_speech is not None
        assert (x.entropy <= math.log(FRAMES) + 1e-5).all()
        np.testing.assert_allclose(x.picture.sum(axis=1), 1, rtol=1e-5)


def test_without_decay_the_bias_alone_is_an_even_map():
    [first, *_] = attention_maps(
        random_model(small_config("cross")), speaker_clip(FRAMES), PRIORS, 0, Solver(steps=1)
    )
    assert first.start == pytest.approx((math.log(FRAMES), (FRAMES**2 - 1) / (3 * FRAMES)))
    assert first.entropy.max() < first.start[0]


def test_a_fast_decay_looks_near():
    model = random_model(small_config())
    clip = speaker_clip(FRAMES)
    before = attention_maps(model, clip, PRIORS, 0, Solver(steps=2))
    with torch.no_grad():
        for layer in model.denoiser.layers:
            layer.relative.decay.log_rate.fill_(math.log(20))
    after = attention_maps(model, clip, PRIORS, 0, Solver(steps=2))
    assert before[0].distance.min() > 0.5
    assert after[0].distance.max() < 0.01
    assert after[0].start[1] < 0.01 < 0.5 < before[0].start[1]
    assert after[1].distance.max() > 0.5  # the subject attention of the layer is as it was


@pytest.mark.usefixtures("quick_priors")
def test_the_command_trains_each_kind_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(variants, "SESSIONS", {"train": 1, "val": 1, "test": 1})
    model, output = tmp_path / "small.safetensors", tmp_path / "study"
    save_checkpoint(random_model(small_config()), model)
    arguments = ["attention", "--model", str(model), "--steps", "1", "--frames", "16"]
    arguments += ["--batch-size", "2", "--samples", "1", "--output", str(output)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    report = json.loads((output / "attention.json").read_text())
    assert [row["kind"] for row in report["models"]] == ["relative+subject", *ATTENTIONS]
    assert [len(row["maps"]) for row in report["models"]] == [4, 2, 2, 4, 4]
    frames = report["setting"]["clip_frames"]
    assert report["even"]["entropy"] == pytest.approx(math.log(frames))
    assert (output / "attention.png").read_bytes().startswith(b"\x89PNG")
    assert [row["loss"] is None for row in report["models"]] == [True, *[False] * 4]
    assert "| small | relative | 1 |" in (output / "attention.md").read_text()

    again = CliRunner().invoke(main, [*arguments, "--clip", "7"])
    assert again.exit_code == 2
    assert "none of number 7" in again.stderr


def test_the_report_is_the_shipped_models_and_says_its_command():
    report = json.loads((ROOT / "benchmarks" / "results" / "attention-mini-cpu.json").read_text())
    assert report["setting"]["checkpoint_sha256"] == sha256_of(find_checkpoint("mini"))
    assert report["command"] in (ROOT / "docs" / "studies.md").read_text()
    subject = [x for x in report["models"][0]["maps"] if x["attention"] == "subject"]
    assert all(np.mean(x["entropy"]) < x["bias_alone"]["entropy"] for x in subject)
    assert all(np.mean(x["on_speech"]) < 1 for x in subject)  # it looks at the pauses
