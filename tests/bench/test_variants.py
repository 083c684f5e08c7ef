"""Trainings of a study: what is kept of a stopped one, and how short ones average."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("accelerate")

from mreactor_bench import variants
from mreactor_bench.variants import study_data, take_up, train_variant, training_options
from mreactor_ref.config import CONFIGS
from mreactor_ref.errors import UsageError


def silent(what: str, done: int, of: int) -> None:
    pass


def test_dyads_are_simulated_once_and_again_where_that_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(variants, "SESSIONS", {"train": 1})
    assert study_data(tmp_path, Path("mars"), 0, silent) == Path("mars")
    tree = study_data(tmp_path, None, 0, silent)
    record = tree / "dataset.json"
    written = record.stat().st_mtime_ns
    study_data(tmp_path, None, 0, silent)
    assert record.stat().st_mtime_ns == written
    record.unlink()
    study_data(tmp_path, None, 0, silent)
    assert record.is_file()


def test_a_folder_is_of_one_setting(tmp_path: Path):
    take_up(tmp_path / "a", {"steps": 3, "roles": ("speaker",), "data": Path("x")})
    take_up(tmp_path / "a", {"steps": 3, "roles": ("speaker",), "data": Path("x")})
    with pytest.raises(UsageError, match="another setting: data, steps differ"):
        take_up(tmp_path / "a", {"steps": 4, "roles": ("speaker",)})


@pytest.mark.parametrize(("steps", "decay"), [(1, 0), (100, 0.95), (10_000, 0.998)])
def test_a_short_training_averages_its_last_steps(tmp_path: Path, steps: int, decay: float):
    options = training_options(tmp_path, tmp_path, steps, 0)
    assert options.ema_decay == pytest.approx(decay)
    assert options.validate_every == min(steps, 500)


@pytest.mark.parametrize(
    ("saved", "resumed"), [(None, False), (3, True), (10, None)], ids=["lost", "half", "whole"]
)
def test_a_training_starts_anew_goes_on_or_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: int | None, resumed: bool | None
):
    calls: list[bool] = []

    def train(config, options, *, resume, report, command):
        calls.append(resume)
        return options.output / "model.safetensors"

    monkeypatch.setattr(variants, "train", train)
    run = tmp_path / "runs"
    (run / "state").mkdir(parents=True)
    (run / "history.jsonl").write_text("")
    if saved is not None:
        (run / "state" / "progress.json").write_text(json.dumps({"step": saved}))
    options = training_options(tmp_path, tmp_path, 10, 0)
    path = train_variant(CONFIGS["mini"], options, "", silent)
    assert path == run / "model.safetensors"
    assert calls == ([] if resumed is None else [resumed])
    assert (run / "history.jsonl").exists() == (saved is not None)
