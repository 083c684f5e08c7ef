"""The clock of a device: spans are added up, and on CUDA nobody waits before they are asked for."""

from __future__ import annotations

import time

import pytest
import torch

from mreactor_runtime import device_clock
from mreactor_runtime.device_clock import OPEN, DeviceClock


def test_on_a_cpu_it_is_the_wall():
    clock = DeviceClock(torch.device("cpu"))
    for _ in range(2):
        with clock.span():
            time.sleep(0.01)
    assert 0.02 <= clock.seconds < 2


class Event:
    """Of a device on which each event comes a second after the one before."""

    count = waits = 0

    def __init__(self, enable_timing: bool):
        assert enable_timing

    def record(self, stream):
        Event.count += 1
        self.at = Event.count

    def synchronize(self):
        Event.waits += 1

    def elapsed_time(self, end) -> float:
        return 1000.0 * (end.at - self.at)


def test_on_cuda_it_is_between_events_that_are_read_late(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Event, "waits", 0)
    monkeypatch.setattr(device_clock.torch.cuda, "Event", Event)
    monkeypatch.setattr(device_clock.torch.cuda, "current_stream", lambda device: None)
    clock = DeviceClock(torch.device("cuda"))
    for _ in range(OPEN):
        with clock.span():
            pass
    assert Event.waits == 0
    with clock.span():
        pass
    assert Event.waits == 1, "what is kept is bounded"
    assert clock.seconds == OPEN + 1
