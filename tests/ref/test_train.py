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
from fakes.trees import mars_tree
from safetensors.torch import load_file
from torch import Tensor

pytest.importorskip("accelerate")

from mreactor_ref import objective, training_run
from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.checkpoint import load_checkpoint, read_metadata
from mreactor_ref.config import CONFIGS
from mreactor_ref.data.draws import statistics
from mreactor_ref.data.dyads import load_dyads
from mreactor_ref.data.simulated.dataset import write_dataset
from mreactor_ref.errors import UsageError
from mreactor_ref.files import sha256_of
from mreactor_ref.objective import learning_rate_factor
from mreactor_ref.sampled_validation import SampledValidation
from mreactor_ref.train import train
from mreactor_ref.train_cli import train as command
from mreactor_ref.train_options import TrainOptions, choose_config
from mreactor_ref.training_run import TrainingError, TrainingRun

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
        options, steps=80, batch_size=8, learning_rate=0.01, ema_decay=0.8, validate_every=10
    )
    seen: list[tuple[str, int, int]] = []
    path = train(CONFIG, options, report=lambda *call: seen.append(call))

    losses = column(options.output, "train/generation")
    assert len(losses) == 80
    assert sum(losses[-15:]) < 0.9 * sum(losses[:15])
    held_out = column(options.output, "val/generation")
    assert len(held_out) == 8
    assert held_out[-1] < 0.8 * held_out[0]  # on sentences that no training clip says

    assert path == options.output / "model.safetensors"
    assert list((options.output / "logs").glob("events.out.tfevents.*"))
    assert seen == [
        *(("read train", i, 3) for i in (1, 2, 3)),
        ("read val", 1, 1),
        *(("train", i, 80) for i in range(1, 81)),
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


def test_the_model_card_says_what_was_trained_on_what(options: TrainOptions):
    path = train(CONFIG, replace(options, steps=6), command="mreactor-train --data data")
    card = (options.output / "model_card.md").read_text()
    assert card.startswith("# Model card: run\n")
    assert "1 layers of relative+subject attention" in card
    assert "Simulated dyads: nothing was learned about real people" in card
    frames = load_dyads(options.data, "train", CONFIG).frames
    assert f"| train | MARS | 25 | 3 | {frames:,} | 6 | 0 |" in card
    assert "```sh\nmreactor-train --data data\n```" in card
    for name in ("model", "best"):
        notes = json.loads(read_metadata(path.with_stem(name))["training"])
        (row,) = [line for line in card.splitlines() if line.startswith(f"| {name}.safetensors")]
        assert f"| {notes['step']} | {notes['val/generation']:.4f} |" in row
        assert sha256_of(path.with_stem(name)) in row


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


@pytest.mark.parametrize("step", [2, 6])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_what_was_saved(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch, step: int
):
    forward, calls = objective.Objective.forward, [0]

    def broken(self: objective.Objective, item: dict, timestep: Tensor, noise: Tensor):
        losses = forward(self, item, timestep, noise)
        calls[0] += torch.is_grad_enabled()
        return replace(losses, total=losses.total * (math.nan if calls[0] == step else 1))

    monkeypatch.setattr(objective.Objective, "forward", broken)
    with pytest.raises(TrainingError) as caught:
        train(CONFIG, options)
    path = options.output / "model.safetensors"
    assert caught.value.exit_code == 1
    assert f"stopped at step {step}: the loss is nan" in str(caught.value)
    assert "the clips: train/session-000" in str(caught.value)
    if step == 2:
        assert "nothing was saved" in str(caught.value)
        assert not path.exists()
        return
    assert f"{path} is of step 4" in str(caught.value)
    assert all(x.isfinite().all() for x in load_file(path).values())
    monkeypatch.setattr(objective.Objective, "forward", forward)
    resumed = load_file(train(CONFIG, options, resume=True))
    whole = load_file(train(CONFIG, replace(options, output=options.output.parent / "whole")))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_run_that_diverges_stops_before_it_saves(options: TrainOptions, tmp_path: Path):
    """Its weights become infinite in the last step before it is validated."""
    wild = replace(options, learning_rate=1e30, steps=40, validate_every=20)
    with pytest.raises(TrainingError, match=r"stopped at step \d+: .*nothing was saved"):
        train(CONFIG, wild)
    assert not (options.output / "model.safetensors").exists()
    last = replace(wild, output=tmp_path / "last", steps=1, validate_every=1)
    with pytest.raises(TrainingError, match=r"step 1: the loss on held-out data is (nan|inf)"):
        train(CONFIG, last)
    assert not (last.output / "model.safetensors").exists()


def test_the_best_weights_are_kept_beside_the_last(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch
):
    values = iter((0.5, 0.3, 0.4, 0.2))
    monkeypatch.setattr(training_run, "validate", lambda *_: next(values))
    path = train(CONFIG, replace(options, steps=6, validate_every=2))
    best = options.output / "best.safetensors"
    notes = [json.loads(read_metadata(p)["training"]) for p in (best, path)]
    assert [(n["step"], n["val/generation"]) for n in notes] == [(4, 0.3), (6, 0.4)]
    train(CONFIG, replace(options, steps=8, validate_every=2), resume=True)
    assert json.loads(read_metadata(best)["training"])["step"] == 8


@pytest.mark.parametrize(("measure", "best"), [("frcorr", 2), ("frdist", 4)])
def test_the_best_weights_by_sampled_reactions(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch, measure: str, best: int
):
    """A high FRCorr is good, and a low FRDist."""
    scores = iter(({"frcorr": 0.5, "frdist": 9.0}, {"frcorr": 0.3, "frdist": 8.0}))
    monkeypatch.setattr(SampledValidation, "scores", lambda *_: next(scores))
    chosen = replace(options, steps=4, validate_every=2, best_by=measure)
    path = train(CONFIG, chosen)
    notes = json.loads(read_metadata(options.output / "best.safetensors")["training"])
    assert notes["step"] == best
    assert column(options.output, "val/frcorr") == [0.5, 0.3]
    card = (path.parent / "model_card.md").read_text()
    assert "| val/generation | val/frcorr | val/frdist |" in card
    assert json.loads(read_metadata(path)["training"])["val/frdist"] == 8.0


def test_gradients_add_up_to_those_of_one_batch(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch
):
    """Without the contrastive losses, which compare the clips of a batch, and with fixed noise."""

    def same_noise(item: dict[str, Tensor], train_steps: int) -> tuple[Tensor, Tensor]:
        target = item["target"]
        noise = target.new_ones(target.shape) * target.mean(dim=(2, 3), keepdim=True)
        return torch.full(target.shape[:2], train_steps // 2), noise

    monkeypatch.setattr(training_run, "random_step", same_noise)
    config = replace(CONFIG, fine_weight=0.0, coarse_weight=0.0, mask_weight=0.0)
    whole = replace(options, steps=2, validate_every=2, max_grad_norm=1e9)
    parts = replace(whole, batch_size=2, accumulate=2, output=options.output.parent / "parts")
    for chosen in (whole, parts):
        train(config, chosen)
    losses = [column(chosen.output, "train/generation") for chosen in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    moments = [
        torch.load(c.output / "state" / "optimizer.bin", weights_only=True)["state"]
        for c in (whole, parts)
    ]
    for name, state in moments[0].items():
        torch.testing.assert_close(
            state["exp_avg"], moments[1][name]["exp_avg"], rtol=2e-3, atol=1e-7
        )


def test_an_accumulating_run_resumes_bit_for_bit(options: TrainOptions, tmp_path: Path):
    options = replace(options, steps=4, batch_size=2, accumulate=2, validate_every=2, workers=1)
    broken = replace(options, output=tmp_path / "broken", workers=0)
    whole = load_file(train(CONFIG, options))
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, broken, report=stop_at(3))
    resumed = load_file(train(CONFIG, broken, resume=True))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_run_tells_what_its_data_lacks_and_how_fast_it_was(
    options: TrainOptions, folder: Path, tmp_path: Path
):
    mars = mars_tree(tmp_path / "mars", {"session0": [(90, 90), (90, 40)]}, fps=25.0)
    mars_tree(mars, {"session0": [(80, 80)]}, "val", fps=25.0)
    lines: list[str] = []
    train(CONFIG, replace(options, data=mars, steps=1, fps=25.0), say=lines.append)
    assert lines[0].startswith("train: left out 1 of 2")
    assert sum("no clip has words" in line for line in lines) == 1
    assert lines[-1].startswith("train: ")
    assert lines[-1].endswith(" frames a second")
    lines.clear()
    train(CONFIG, replace(options, output=tmp_path / "b", steps=1), say=lines.append)
    assert len(lines) == 1


def test_the_model_is_compiled_where_that_is_asked_for(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch
):
    compiled: list[objective.Objective] = []
    monkeypatch.setattr(objective.Objective, "compile", lambda self: compiled.append(self))
    train(CONFIG, replace(options, steps=1))
    assert not compiled
    train(CONFIG, replace(options, output=options.output.parent / "b", steps=1, compile=True))
    assert len(compiled) == 1


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
    assert result.exit_code == 0
    assert result.stderr.endswith(" frames a second\n")
    path = tmp_path / "run" / "model.safetensors"
    assert f"Wrote {path}" in result.stdout
    model = load_checkpoint(path)
    assert model.config == replace(CONFIGS["mini"], layers=1, attention="cross")
    refused = run(*given, "--max-train-steps", 1)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("Error: ")
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


def options_file(folder: Path, text: str) -> Path:
    path = folder / "options.yaml"
    path.write_text(text)
    return path


def test_options_come_from_a_file_and_flags_override_it(folder: Path, tmp_path: Path):
    text = f"""
data: {folder / "data"}
output: {tmp_path / "run"}
layers: 1
max-train-steps: 3
train_batch_size: 2
gradient-accumulation-steps: 2
reactions: 1
frames: 8
learning-rate: 5.0e-4
drop-prior: 0.4
roles: listener,speaker
log-every: 2
"""
    file = options_file(tmp_path, text)
    result = run("--options", file, "--max-train-steps", 1, "--drop-face", 0)
    assert result.exit_code == 0, result.output
    notes = json.loads(read_metadata(tmp_path / "run" / "model.safetensors")["training"])
    assert (notes["step"], notes["batch_size"], notes["accumulate"]) == (1, 2, 2)
    assert (notes["learning_rate"], notes["log_every"]) == (5e-4, 2)
    drop = notes["drop"]
    assert (drop["prior"], drop["face"], drop["stream"]) == (0.4, 0, 0.15)
    assert notes["roles"] == ["listener", "speaker"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layres: 2", "unknown options: layres"),
        ("layers: 12", "12 is not in the range"),
        ("frames: [8, 9]", "frames is [8, 9], no single value"),
        ("- a\n- b", "holds no options"),
        ("a: b: c", "cannot be read as YAML"),
        ("roles: audience", "audience"),
        ("options: other.yaml", "unknown options: options"),
    ],
)
def test_a_file_of_options_that_is_none(folder: Path, tmp_path: Path, text: str, message: str):
    file = options_file(tmp_path, text)
    given = ("--data", folder / "data", "--output", tmp_path / "run")
    result = run("--options", file, *given)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
