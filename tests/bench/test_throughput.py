"""`mreactor-bench throughput`: timing, ratios, checks, reports, and what cannot be."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fakes.bench_rows import CONFIG, OPENED, RATES, REACTIONS, SETTING, make_row
from fakes.models import random_model

from mreactor_bench.bench_cli import main
from mreactor_bench.throughput import measure, run
from mreactor_bench.throughput.compare import Comparison, in_turns
from mreactor_bench.throughput.measure import (
    DifferentReactions,
    References,
    percentile,
    relative_error,
    timed,
)
from mreactor_bench.throughput.peers import Unavailable
from mreactor_bench.throughput.setting import Setting, TimingPlan, change
from mreactor_bench.throughput.weights import Weights
from mreactor_bench.throughput.worker import Memory, OpeningTimes
from mreactor_ref.checkpoint import save_checkpoint
from mreactor_ref.errors import UsageError
from mreactor_ref.files import sha256_of


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(random_model(CONFIG), path)
    return Weights("tiny", sha256_of(path), CONFIG, path)


class Ticks:
    """A clock that stands still until a call moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def call(self, *seconds: float):
        """A function that takes so long, time after time."""
        left = list(seconds)

        def run() -> float:
            taken = left.pop(0)
            self.now += taken
            return taken

        return run


def test_calls_are_timed_until_both_number_and_time_are_reached():
    clock = Ticks()
    assert timed(clock.call(9, 2, 2, 2), TimingPlan(3, 1.0, warm_up=1), clock) == (2, 2, 2)
    assert timed(clock.call(2, 2, 2, 2), TimingPlan(1, 5.0, warm_up=0), clock) == (2, 2, 2)


def test_percentiles_are_values_that_were_measured():
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, p) for p in (1, 50, 90, 99)] == [1, 3, 5, 5]
    assert percentile(list(range(1, 101)), 90) == 90


def test_the_figures_of_a_row():
    row = make_row((0.4, 0.5, 9.0), batch_size=2)
    figures = row.figures()
    assert figures["clips_per_second"] == 4
    assert figures["reactions_per_second"] == 8
    assert figures["frames_per_second"] == 160
    assert figures["real_time_factor"] == pytest.approx(0.25 / 0.8)  # a clip is 20 / 25 s
    assert figures["latency_median"] == 0.5
    assert figures["latency_p90"] == figures["latency_p99"] == 9
    assert figures["time_to_first_result"] == 2.25
    assert figures["share_of_ceiling"] == pytest.approx(row.ceiling.seconds / 0.25)
    assert row.to_dict()["capture_or_compile_seconds"] == 0.25


def test_pairs_alternate_and_their_ratios_survive_a_machine_that_slows_down():
    clock, order = Ticks(), []

    def noted(name: str, run):
        return lambda: (order.append(name), run())[1]

    a = noted("A", clock.call(1, 2, 4, 8, 16))  # the machine gets slower from pair to pair
    b = noted("B", clock.call(1, 1, 2, 4, 8))
    pairs = in_turns(a, b, TimingPlan(4, 0.0, warm_up=1), rest=0, clock=clock)
    assert "".join(order) == "AB" + "ABBAABBA"
    found = Comparison(
        make_row(tuple(x for x, _ in pairs)), make_row(tuple(x for _, x in pairs), runner="eager")
    )
    assert found.ratios == (2, 2, 2, 2)
    assert (found.ratio, found.spread) == (2, (2, 2))
    assert "B is 2.00 times as fast as A: median of 4 pairs" in found.summary()


def test_a_ratio_is_of_seconds_a_clip():
    found = Comparison(make_row((1.0, 3.0, 2.0)), make_row((1.0, 1.0, 1.0), batch_size=4))
    assert found.ratios == (4, 12, 8)
    assert (found.ratio, found.spread) == (8, (4, 12))


def test_a_setting_is_changed_by_text():
    found = change(SETTING, "engine=onnx, steps=50,guidance-scale=2.5")
    solver = replace(SETTING.solver, steps=50, guidance_scale=2.5)
    assert found == replace(SETTING, runner="onnx", solver=solver)
    assert change(SETTING, "peer=published").is_peer


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("engine=warp", "engine is 'warp', not one of auto, torch"),
        ("engine", "'engine' is not one of engine=..."),
        ("colour=red", "'colour=red' is not one of"),
        ("steps=few", "steps is 'few', not a number"),
        ("steps=0", "steps is 0, not 1 to 1000"),
        ("guidance_scale=nan", "guidance_scale is nan, not 0 to 20"),
        ("engine=onnx,peer=eager", "sets runner twice"),
    ],
)
def test_a_text_that_is_no_setting_is_one_line(text: str, words: str):
    with pytest.raises(UsageError, match=re.escape(words)):
        change(SETTING, text)


OFF = {"torch": 0.0, "onnx": 1e-6, "openvino": 0.1, "eager": np.nan}


class FakeWorker:
    """Gives reactions that differ from the reference by what `OFF` says of its runner."""

    opened: ClassVar[list[str]] = []

    def __init__(self, _: Weights, setting: Setting):
        self.setting = setting

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def open(self) -> OpeningTimes:
        self.opened.append(self.setting.runner)
        if self.setting.runner == "compile":
            raise Unavailable("torch.compile does not work here: no compiler")
        if self.setting.frames > 1000:
            raise UsageError("no memory for one call")
        reactions = REACTIONS + np.float32(OFF[self.setting.runner])
        return replace(OPENED, name=self.setting.runner, reactions=reactions)

    def call(self) -> float:
        return 0.25

    def end(self) -> Memory:
        return Memory(2**20, 2**21, 2**22)


@pytest.fixture
def fake_workers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runners that were opened, in order; none is a real one."""
    monkeypatch.setattr(measure, "RunnerProcess", FakeWorker)
    monkeypatch.setattr(FakeWorker, "opened", opened := [])
    monkeypatch.setattr(run, "in_process", lambda *_: RATES)
    return opened


def test_reactions_are_checked_against_the_torch_engine_made_once(
    weights: Weights, fake_workers: list[str]
):
    references = References(weights, lambda _: None)
    for runner in ("onnx", "torch", "onnx"):
        opened = FakeWorker(weights, setting := replace(SETTING, runner=runner)).open()
        relative, bound = references.check(setting, opened)
        assert relative == pytest.approx(OFF[runner], rel=0.1)
        assert bound == 1e-4
    assert fake_workers == ["onnx", "torch", "torch", "onnx"]
    for runner in ("openvino", "eager"):
        setting = replace(SETTING, runner=runner)
        with pytest.raises(DifferentReactions, match="are not those of the torch engine"):
            references.check(setting, FakeWorker(weights, setting).open())


def test_without_a_checkpoint_nothing_is_checked(weights: Weights, fake_workers: list[str]):
    references = References(replace(weights, checkpoint=None), lambda _: None)
    opened = replace(OPENED, name="onnx")
    assert references.check(replace(SETTING, runner="onnx"), opened) == (None, 1e-4)
    assert fake_workers == []


def test_other_shapes_are_other_reactions():
    assert np.isnan(relative_error(REACTIONS[:, :1], REACTIONS))
    assert relative_error(REACTIONS * 1.5, REACTIONS) == pytest.approx(0.5)


def invoke(*arguments: str):
    return CliRunner().invoke(main, ["throughput", *arguments])


def test_a_failure_ends_its_own_setting_alone(
    weights: Weights, fake_workers: list[str], tmp_path: Path
):
    arguments = ["--model", str(weights.checkpoint), "--engine", "torch", "--peer", "compile"]
    sizes = ["--samples", "2", "--frames", "2000", "--frames", "20", "--repeats", "1"]
    folder = tmp_path / "out"
    done = invoke(*arguments, *sizes, "--duration", "0", "--output", str(folder))
    assert done.exit_code == 2
    assert done.stderr.strip().endswith("Error: no memory for one call")
    record = json.loads((folder / "throughput.json").read_text())
    assert [row["setting"]["frames"] for row in record["rows"]] == [20]
    assert len(record["failures"]) == 3
    assert "## Not measured" in done.stdout


def test_a_peer_that_the_machine_cannot_run_is_a_line_of_the_report(
    weights: Weights, fake_workers: list[str]
):
    done = invoke("--model", str(weights.checkpoint), "--peer", "compile", "--frames", "20")
    assert done.exit_code == 0
    assert "- torch.compile does not work here: no compiler" in done.stdout


def test_a_run_measures_and_compares_for_real(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run, "in_process", lambda *_: RATES)
    common = ["--model", str(weights.checkpoint), "--frames", "20", "--samples", "2"]
    common += ["--steps", "2", "--repeats", "3", "--duration", "0", "--threads", "1"]
    pair = ["--compare", "peer=published,guidance_scale=2", "engine=torch,guidance_scale=2"]
    done = invoke(*common, *pair, "--output", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert "times as fast as A: median of 3 pairs" in done.stdout
    record = json.loads((tmp_path / "throughput.json").read_text())
    (comparison,) = record["comparisons"]
    assert record["rows"] == []
    assert [comparison[x]["runner"] for x in "ab"] == ["published", "torch"]
    assert comparison["a"]["relative_to_torch"] <= comparison["a"]["relative_bound"]
    for x in "ab":
        row = comparison[x]
        assert len(row["seconds"]) == 3
        assert min(row["seconds"]) > 0
        assert min(row["import_seconds"], row["load_seconds"], row["first_call_seconds"]) > 0
        assert row["threads"] == 1
        assert 50 * 2**20 < row["host_peak_bytes"] < 4 * 2**30
        assert row["device_peak_bytes"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "maxi"], "no model 'maxi'"),
        (["--engine", "warp"], "warp"),
        (["--compare", "engine=warp", "engine=torch"], "engine is 'warp'"),
        (["--guidance-scale", "-1"], "--guidance-scale"),
        (["--steps", "0"], "--steps"),
        (["--frames", "0"], "--frames"),
    ],
)
def test_what_cannot_be_ends_with_code_2_and_a_line(
    arguments: list[str], words: str, fake_workers: list[str]
):
    done = invoke(*arguments)
    assert (done.exit_code, fake_workers) == (2, [])
    assert words in done.stderr
    assert "Traceback" not in done.output


def test_settings_on_two_devices_are_not_compared(
    fake_workers: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run, "choose_device", torch.device)  # every device is there
    done = invoke("--device", "cpu", "--compare", "engine=torch", "device=cuda")
    assert (done.exit_code, fake_workers) == (2, [])
    assert "the two settings are on different devices" in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_device_that_is_not_there_ends_with_code_2_and_a_line(fake_workers: list[str]):
    done = invoke("--device", "cuda")
    assert (done.exit_code, fake_workers) == (2, [])
    assert (
        done.stderr == "Error: this machine has no CUDA device that torch sees (use --device cpu)\n"
    )
