"""The formulas of operations and bytes, against counted operations; and the machine's rates."""

import re
from itertools import count

import pytest
import torch
from fakes.models import random_batch, random_model, small_config
from torch.utils.flop_counter import FlopCounterMode

from mreactor_bench.throughput import machine
from mreactor_bench.throughput.ceiling import (
    Rates,
    ceiling,
    clip_bytes,
    clip_operations,
    encoder_operations,
    published_operations,
)
from mreactor_bench.throughput.peers import eager, published
from mreactor_ref.config import ATTENTIONS, CONFIGS, Attention
from mreactor_ref.errors import UsageError
from mreactor_ref.schedule import solver_table
from mreactor_ref.signals import REACTION

FRAMES, SAMPLES = 13, 3
GUIDANCE = {False: 1.0, True: 2.0}
BASE = CONFIGS["base"]


def counted(attention: Attention, guided: bool, write) -> FlopCounterMode:
    """The operations of one step of a peer."""
    model = random_model(small_config(attention))
    batch = random_batch(model.config, clips=1, reactions=SAMPLES, frames=FRAMES)
    with torch.no_grad():
        denoise = write(model)(batch, solver_table("ddim", 4), GUIDANCE[guided])
        model.fuse_attention(False)  # operations inside a fused kernel of a CPU are not counted
        with FlopCounterMode(display=False) as counter:
            denoise(torch.randn(1, SAMPLES, FRAMES, REACTION), 0)
    return counter


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_formula_is_what_the_layers_of_a_hoisted_step_count(attention: Attention, guided: bool):
    counts = counted(attention, guided, eager).get_flop_counts()
    layers = [sum(n.values()) for name, n in counts.items() if re.search(r"layers\.\d$", name)]
    config = small_config(attention)
    assert len(layers) == config.layers
    assert sum(layers) == clip_operations(config, SAMPLES, FRAMES, 1, guided)


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_formula_is_what_a_published_step_counts(attention: Attention, guided: bool):
    config = small_config(attention)
    formula = published_operations(config, SAMPLES, FRAMES, 1, guided)
    assert counted(attention, guided, published).get_total_flops() == formula


def test_the_formula_is_what_the_encoder_counts():
    model = random_model(small_config())
    batch = random_batch(model.config, clips=1, frames=FRAMES)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.understand(batch)
    assert counter.get_total_flops() == encoder_operations(model.config, FRAMES)


def test_operations_are_those_of_the_design():
    assert clip_operations(BASE, 10, 750, 50, guided=True) == pytest.approx(12.9e12, rel=0.005)
    guided, unguided = (clip_operations(BASE, 10, 750, 50, g) for g in (True, False))
    # 12 T D^2 + 2 T^2 D once more, a layer
    assert guided - unguided == 2 * 3000 * (12 * 750 * 256**2 + 2 * 750**2 * 256)
    assert clip_operations(BASE, 10, 750, 100, guided=True) == 2 * guided
    assert published_operations(BASE, 10, 750, 50, guided=True) > 1.8 * guided


def test_bytes_are_weights_keys_values_and_reactions_of_every_step():
    config = small_config(layers=2)  # D 16, f 2
    weights = 2 * (4 + 2 + 4) * 16**2
    given = 2 * 13 * 16 * (1 + 3)
    reactions = 6 * 3 * 13 * 83
    assert clip_bytes(config, 3, 13, 7, "fp32") == 4 * 7 * (weights + given + reactions)
    assert clip_bytes(config, 3, 13, 7, "bf16") * 2 == clip_bytes(config, 3, 13, 7, "fp32")
    shared = clip_bytes(config, 3, 13, 7, "fp32", clips=2)
    assert shared == 4 * 7 * (weights // 2 + given + reactions)


def test_the_floor_is_the_larger_of_both_times():
    sizes = {"samples": 10, "frames": 750, "steps": 50, "guided": True, "dtype": "fp32"}
    fast = ceiling(BASE, Rates("cpu", {"fp32": 1e12}, copy=1e6, threads=2), **sizes)
    slow = ceiling(BASE, Rates("cpu", {"fp32": 1e10}, copy=1e12, threads=2), **sizes)
    assert fast.seconds == fast.memory_seconds == fast.bytes / 1e6
    assert slow.seconds == slow.compute_seconds == slow.operations / 1e10
    assert slow.to_dict()["seconds"] == slow.seconds


def test_a_rate_is_the_least_of_several_medians():
    durations = iter([9.0, 4, 5, 6, 1, 7, 8, 50, 2, 3])  # the first call is not timed
    now = 0.0
    started = count()

    def clock() -> float:
        nonlocal now
        if next(started) % 2:
            now += next(durations)
        return now

    assert machine.best(lambda: None, rounds=3, tries=3, clock=clock) == 5  # of 9 4 5, 6 1 7, ...


def test_rates_of_this_machine_are_positive(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(machine.MATMUL_SIZES, "cpu", 64)
    monkeypatch.setitem(machine.COPY_BYTES, "cpu", 2**16)
    rates = machine.measure_rates("cpu", ["fp32", "bf16", "fp32"])
    assert set(rates.matmul) == {"fp32", "bf16"}
    assert min(*rates.matmul.values(), rates.copy, rates.threads) > 0
    assert machine.describe("cpu")["processor"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_device_that_is_not_there_is_one_line():
    with pytest.raises(UsageError, match="no CUDA device"):
        machine.measure_rates("cuda", ["fp32"])


def test_the_peak_of_memory_rises_with_what_is_held():
    before = machine.peak_memory()
    held = torch.ones(before // 4 + 2**24)  # as much again, and 64 MiB
    assert held.sum() > 0
    assert machine.peak_memory() > before
