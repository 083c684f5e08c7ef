"""Capture and replay over static buffers: the order of calls, and what a replay computes."""

from __future__ import annotations

import pytest
import torch
from fakes.cuda_graph import FakeStream

from mreactor_runtime.kernels.cuda_graph import CapturedFunction


@pytest.fixture
def stream() -> FakeStream:
    return FakeStream()


def test_a_first_run_comes_before_the_capture_and_none_after(stream):
    runs = []
    captured = CapturedFunction(lambda: runs.append(len(stream.calls)), stream)
    assert stream.calls == ["turn begins", "turn ends", "wait", "capture"]
    assert runs == [1, 4]
    captured.replay()
    captured.replay()
    assert stream.calls[4:] == ["replay", "replay"]
    assert len(runs) == 2


def test_a_replay_reads_what_the_buffers_hold_now(stream):
    x, weight, out = torch.ones(3), torch.full((3,), 2.0), torch.zeros(3)
    captured = CapturedFunction(lambda: out.copy_((x * weight).relu() + 1), stream)
    x.copy_(torch.tensor([1.0, -5.0, 3.0]))
    captured.replay()
    assert out.tolist() == [3, 1, 7]


def test_what_is_kept_outside_of_static_memory_is_not_seen(stream):
    held = {"x": torch.ones(3)}
    out = torch.zeros(3)
    captured = CapturedFunction(lambda: out.copy_(held["x"] * 2), stream)
    held["x"] = torch.full((3,), 9.0)
    captured.replay()
    assert out.tolist() == [2, 2, 2]


def test_a_function_that_waits_for_the_device_is_refused(stream):
    x = torch.ones(3)
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        CapturedFunction(lambda: x.mul_(float(x.sum())), stream)


def test_it_is_released_once_and_only_when_nothing_is_queued(stream):
    captured = CapturedFunction(lambda: None, stream)
    del stream.calls[:]
    captured.release()
    captured.release()
    assert stream.calls == ["wait", "reset"]
    with pytest.raises(RuntimeError, match="released"):
        captured.replay()


def test_a_function_that_fails_is_not_captured(stream):
    def fail() -> None:
        raise ValueError("no memory")

    with pytest.raises(ValueError, match="no memory"):
        CapturedFunction(fail, stream)
    assert "capture" not in stream.calls
