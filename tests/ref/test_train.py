"""Training: it learns, what it writes, and that a resumed run is the unbroken one."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from fakes.models import small_config
from safetensors.torch import load_file
from torch import Tensor

from mreactor_ref import objective, training_run
from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.checkpoint import load_checkpoint, read_metadata
from mreactor_ref.cli import train as command
from mreactor_ref.config import CONFIGS
from mreactor_ref.data.draws import statistics
from mreactor_ref.data.dyads import load_dyads
from mreactor_ref.data.simulated.dataset import write_dataset
from mreactor_ref.errors import UsageError
from mreactor_ref.objective import learning_rate_factor
from mreactor_ref.train import train
from mreactor_ref.train_options import TrainOptions, choose_config
from mreactor_ref.training_run import TrainingRun

CONFIG = small_config(layers=1)

pytestmark = pytest.mark.usefixtures("quick_priors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the data, and the cache of its features."""
    folder = tmp_path_factory.mktemp("train")
    write_dataset(folder / "data", {"train": 3, "val": 1}, listeners=2)
    return folder


@pytest.fixture(autouse=True)
def quick(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(folder / "cache"))
    monkeypatch.setattr(objective, "WARMUP_STEPS", 2)


@pytest.fixture
def options(folder: Path, tmp_path: Path) -> TrainOptions:
    return TrainOptions(
        data=folder / "data",
        output=tmp_path / "run",
        steps=8,
        batch_size=4,
        reactions=2,
        frames=16,
        ema_decay=0.5,
        log_every=1,
        validate_every=4,
    )


def history(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]


def column(output: Path, name: str) -> list[float]:
    return [line[name] for line in history(output) if name in line]


def test_a_run_learns_and_writes_what_it_says(options: TrainOptions):
    options = replace(
        options, steps=60, batch_size=8, learning_rate=0.01, ema_decay=0.8, validate_every=10
    )
    seen: list[tuple[str, int, int]] = []
    path = train(CONFIG, options, report=lambda *call: seen.append(call))

    losses = column(options.output, "train/generation")
    assert len(losses) == 60
    assert sum(losses[-15:]) < 0.9 * sum(losses[:15])
    held_out = column(options.output, "val/generation")
    assert len(held_out) == 6
    assert held_out[-1] < 0.8 * held_out[0]  # on sentences that no training clip says

    assert path == options.output / "model.safetensors"
    assert list((options.output / "logs").glob("events.out.tfevents.*"))
    assert seen == [
        *(("read train", i, 3) for i in (1, 2, 3)),
        ("read val", 1, 1),
        *(("train", i, 60) for i in range(1, 61)),
    ]
    first = history(options.output)[0]
    assert list(first) == [
        *("step", "train/total", "train/generation", "train/mask", "train/fine", "train/coarse"),
    ]
    weighted = (
        first["train/generation"]
        + CONFIG.mask_weight * first["train/mask"]
        + CONFIG.fine_weight * first["train/fine"]
        + CONFIG.coarse_weight * first["train/coarse"]
    )
    assert first["train/total"] == pytest.approx(weighted, abs=1e-5)


def test_the_checkpoint_holds_config_statistics_and_how_it_was_trained(options: TrainOptions):
    path = train(CONFIG, replace(options, steps=2))
    model = load_checkpoint(path)
    assert model.config == CONFIG
    notes = json.loads(read_metadata(path)["training"])
    assert (notes["step"], notes["batch_size"], notes["seed"]) == (2, 4, 0)
    stats = statistics(load_dyads(options.data, "train", CONFIG), CONFIG)
    for name, (mean, deviation) in stats.streams.items():
        assert torch.equal(model.standard(name).mean, torch.from_numpy(mean))
        assert torch.equal(model.standard(name).std, torch.from_numpy(deviation))
    assert torch.equal(model.reaction.mean, torch.from_numpy(stats.reaction[0]))
    assert torch.equal(model.reaction.std, torch.from_numpy(stats.reaction[1]))
    kept = (model.smoothness_mean.item(), model.smoothness_std.item())
    assert kept == pytest.approx(stats.smoothness)


def test_what_is_saved_is_the_moving_average(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch
):
    weights: list[dict[str, Tensor]] = []
    step = TrainingRun.step

    def recorded(run: TrainingRun, number: int, parts: list[training_run.Part]):
        losses = step(run, number, parts)
        model = run.accelerator.unwrap_model(run.objective).model
        weights.append({name: x.detach().clone() for name, x in model.named_parameters()})
        return losses

    monkeypatch.setattr(TrainingRun, "step", recorded)
    path = train(CONFIG, replace(options, steps=5, ema_decay=0.7, learning_rate=0.02))
    saved = load_file(path)
    assert len(weights) == 5
    for name in weights[0]:
        average = weights[0][name]
        for later in weights[1:]:
            average = 0.7 * average + 0.3 * later[name]
        torch.testing.assert_close(saved[name], average, rtol=1e-5, atol=1e-6)
    raw = load_file(options.output / "state" / "model.safetensors")
    name = "denoiser.layers.0.feedforward.up.weight"
    assert torch.equal(raw[f"model.{name}"], weights[-1][name])
    assert (saved[name] - weights[-1][name]).abs().max() > 1e-3


def stop_at(step: int):
    """A report that ends a run as Ctrl-C does."""

    def report(what: str, done: int, of: int) -> None:
        if what == "train" and done == step:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("stopped", [4, 6])
def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(
    options: TrainOptions, tmp_path: Path, stopped: int
):
    """Examples, noise, optimiser, learning rate, average and history go on where they were."""
    broken = replace(options, output=tmp_path / "broken")
    whole = load_file(train(CONFIG, options))
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, broken, report=stop_at(stopped))
    assert column(broken.output, "step")[-1] == stopped
    torch.rand(13)  # what happens between has no say
    resumed = load_file(train(CONFIG, broken, resume=True))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert history(broken.output) == history(options.output)
    assert (whole["denoiser.out.weight"] != 0).any()


def test_the_same_seed_is_the_same_run_and_another_is_not(options: TrainOptions, tmp_path: Path):
    short = replace(options, steps=2)
    runs = [
        load_file(train(CONFIG, replace(short, output=tmp_path / f"{i}", seed=seed)))
        for i, seed in enumerate((0, 0, 1))
    ]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not torch.equal(runs[0]["denoiser.embed.weight"], runs[2]["denoiser.embed.weight"])


def test_a_finished_run_can_be_resumed_for_more_steps_only(options: TrainOptions):
    path = train(CONFIG, replace(options, steps=4))
    before = path.read_bytes()
    assert train(CONFIG, replace(options, steps=4), resume=True) == path
    assert path.read_bytes() == before  # nothing to do
    with pytest.raises(UsageError, match="at step 4 already, past 3"):
        train(CONFIG, replace(options, steps=3), resume=True)
    train(CONFIG, replace(options, steps=6), resume=True)
    assert column(options.output, "step")[-1] == 6
    assert json.loads(read_metadata(path)["training"])["step"] == 6


def test_a_folder_that_holds_a_run_is_kept(options: TrainOptions):
    path = train(CONFIG, replace(options, steps=1))
    before = (path.read_bytes(), history(options.output))
    with pytest.raises(UsageError, match=r"holds a training run already.*--resume"):
        train(CONFIG, options)
    with pytest.raises(UsageError, match="of another model: layers, attention differ"):
        train(replace(CONFIG, layers=2, attention="cross"), options, resume=True)
    assert (path.read_bytes(), history(options.output)) == before


def test_nothing_to_resume(options: TrainOptions):
    with pytest.raises(UsageError, match=r"nothing to resume.*without --resume"):
        train(CONFIG, options, resume=True)
    assert not options.output.exists()


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_was_stopped_before_it_was_saved(options: TrainOptions, resume: bool):
    """It can be neither resumed nor mixed with another: the message says what is left."""
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, options, report=stop_at(2))
    with pytest.raises(UsageError, match=r"before it was first saved .*remove the folder"):
        train(CONFIG, options, resume=resume)


def test_an_output_below_a_file(options: TrainOptions, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        train(CONFIG, replace(options, output=tmp_path / "file" / "run"))


def test_configs_are_chosen_by_name_and_changed():
    assert choose_config("mini") == CONFIGS["mini"]
    assert choose_config("base", layers=None, attention=None) == CONFIGS["base"]
    assert choose_config("mini", layers=9, attention="self").layers == 9
    for name, changes, message in (
        ("maxi", {}, "no config 'maxi'.*one of: mini, base"),
        ("mini", {"layers": 10}, "layers is 10, not 1 to 9"),
        ("mini", {"attention": "some"}, "attention is 'some', not one of self, cross"),
        ("mini", {"depth": 3}, "depth"),
    ):
        with pytest.raises(UsageError, match=message):
            choose_config(name, **changes)


def test_the_learning_rate_warms_up_and_falls_to_a_hundredth(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(objective, "WARMUP_STEPS", 10)
    rates = [learning_rate_factor(step, 1000) for step in range(1001)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3], rel=1e-3)
    assert rates[500] == pytest.approx((1 + 0.01) / 2)
    assert rates[1000] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(1, rel=1e-3)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert learning_rate_factor(2000, 1000) == pytest.approx(0.01)
    assert math.isfinite(learning_rate_factor(0, 1))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(x) for x in arguments])


def test_the_command_trains_and_resumes(folder: Path, tmp_path: Path):
    sizes = ("--layers", 1, "--train-batch-size", 2, "--reactions", 1, "--frames", 8)
    given = ("--data", folder / "data", "--output", tmp_path / "run", *sizes)
    result = run(*given, "--max-train-steps", 1, "--attention", "cross", "--seed", 3)
    assert (result.exit_code, result.stderr) == (0, "")
    path = tmp_path / "run" / "model.safetensors"
    assert f"Wrote {path}" in result.stdout
    model = load_checkpoint(path)
    assert model.config == replace(CONFIGS["mini"], layers=1, attention="cross")
    refused = run(*given, "--max-train-steps", 1)
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert "add --resume, or another --output" in refused.stderr
    resumed = run(*given, "--max-train-steps", 2, "--attention", "cross", "--resume")
    assert resumed.exit_code == 0
    notes = json.loads(read_metadata(path)["training"])
    assert (notes["step"], notes["frames"], notes["seed"]) == (2, 8, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--config", "maxi"), "no config 'maxi'"),
        (("--attention", "some"), "attention is 'some'"),
        (("--layers", "10"), "Invalid value for '--layers'"),
        (("--mixed-precision", "fp16"), "Invalid value for '--mixed-precision'"),
        (("--resume",), "nothing to resume"),
        (("--data", "no-such-folder"), "no such folder"),
    ],
)
def test_what_the_command_refuses(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
):
    given = ("--data", folder / "data", "--output", tmp_path / "run")
    result = run(*given, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "run" / "history.jsonl").exists()
