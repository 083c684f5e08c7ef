"""Capture and replay over static buffers: the order of calls, and what a replay computes."""

from __future__ import annotations

import pytest
import torch
from fakes.cuda_graph import FakeCaptures, FakeStream

from mreactor_runtime.kernels.cuda_graph import CapturedFunction, CudaStream


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


def wait_for_the_device() -> None:
    raise RuntimeError("operation not permitted when stream is capturing")


def test_after_a_failed_capture_the_device_is_as_it_was(monkeypatch):
    """With the state of PyTorch 2.11, which a capture that fails leaves as it is."""
    state = FakeCaptures(monkeypatch)
    stream = CudaStream(torch.device("cpu"))
    caller = state.current
    for _ in range(2):
        with pytest.raises(RuntimeError, match="captur"):
            stream.capture(wait_for_the_device)
        assert state.current is caller
        assert state.allocates_to == []
        assert not state.generator_is_captured
    runs = []
    stream.capture(lambda: runs.append(state.current))
    assert runs == [stream._stream]


def test_a_capture_that_fails_before_pytorch_notices_is_cleaned_up_once(monkeypatch):
    """PyTorch 2.12 and later end the pool by themselves, and say so where it is ended again."""
    state = FakeCaptures(monkeypatch, ends_by_itself=True)
    stream = CudaStream(torch.device("cpu"))
    with pytest.raises(RuntimeError, match="captur"):
        stream.capture(wait_for_the_device)
    assert state.allocates_to == []
    assert state.refused == 1
    stream.capture(lambda: None)
