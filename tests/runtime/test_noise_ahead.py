"""Noise that is drawn ahead: the same numbers, in order, and not much of it at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from mreactor_ref.noise import INITIAL, reaction_noise
from mreactor_ref.signals import REACTION
from mreactor_runtime.noise_ahead import AHEAD, Draw, NoiseAhead

CPU = torch.device("cpu")


def draws(count: int) -> list[Draw]:
    return [Draw(3, "a", range(1, 4), step, 10) for step in range(INITIAL, INITIAL + count)]


class Threads(ThreadPoolExecutor):
    """Counts what it was given to do."""

    started = 0

    def submit(self, *args, **kwargs):
        self.started += 1
        return super().submit(*args, **kwargs)


def test_threads_draw_the_noise_of_the_recipe():
    with Threads(4) as threads:
        noise = NoiseAhead(draws(4), threads, CPU)
        for draw in draws(4):
            expected = reaction_noise(3, ["a"], [1, 2, 3], draw.step, 10, REACTION)
            assert np.array_equal(noise.take(draw).numpy(), expected)


def test_only_a_few_are_drawn_before_they_are_asked_for():
    wanted = draws(AHEAD + 3)
    with Threads(1) as threads:
        noise = NoiseAhead(wanted, threads, CPU)
        noise.take(wanted[0])
        assert threads.started == (1 + AHEAD) * 3
        noise.take(wanted[1])
        assert threads.started == (2 + AHEAD) * 3


def test_another_order_than_was_announced_is_refused():
    first, second, third = draws(3)
    with Threads(1) as threads:
        noise = NoiseAhead([first, second], threads, CPU)
        with pytest.raises(ValueError, match="announced"):
            noise.take(second)
        noise.take(first), noise.take(second)
        with pytest.raises(ValueError, match="announced"):
            noise.take(third)


def test_what_a_thread_raises_reaches_the_one_who_takes():
    draw = Draw(3, "a", range(1), -7, 10)
    with Threads(1) as threads, pytest.raises(Exception, match="step is -7"):
        NoiseAhead([draw], threads, CPU).take(draw)
