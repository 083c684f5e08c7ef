"""On a CUDA device each thread that reads has a stream of its own, ahead of the sampler's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, local

import pytest
import torch
from fakes.engines import CONFIG, TwoSubjects

from mreactor_ref.data.clips import ClipFiles
from mreactor_ref.errors import ClipError
from mreactor_ref.schedule import Solver
from mreactor_runtime.run import reading
from mreactor_runtime.run.reading import ClipReader
from mreactor_runtime.sampling_options import Sampling

THREADS = 2
CUDA = torch.device("cuda", 0)


class Streams:
    """Stands in for the streams of `torch.cuda`. used: the one that each read was queued on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.used: list[object | None] = []
        self._current = local()
        monkeypatch.setattr(torch.cuda, "Stream", self.Stream)
        monkeypatch.setattr(torch.cuda, "stream", self._enter)
        monkeypatch.setattr(reading, "open_reader", lambda *_: self)
        monkeypatch.setattr(torch, "set_num_threads", lambda count: None)

    class Stream:
        def __init__(self, device: torch.device, priority: int = 0) -> None:
            self.device, self.priority = device, priority

    @contextmanager
    def _enter(self, stream: object):
        self._current.stream = stream
        yield
        self._current.stream = None

    def read(self, files: ClipFiles):
        self.used.append(getattr(self._current, "stream", None))
        raise ClipError("is not read any further", files.id)


def reader(device: torch.device, beside: bool) -> ClipReader:
    return ClipReader(
        CONFIG, TwoSubjects(), Sampling(1, 0, 0.0, Solver()), None, beside, device=device
    )


def test_each_thread_has_one(monkeypatch):
    streams, together = Streams(monkeypatch), Barrier(THREADS)
    read = reader(CUDA, beside=True)

    def twice(_: int) -> None:
        together.wait(timeout=60)  # so that each thread does one of them
        read(ClipFiles("a"))
        read(ClipFiles("b"))

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(twice, range(THREADS)))
    assert len(streams.used) == 2 * THREADS
    assert len(set(streams.used)) == THREADS
    for stream in streams.used:
        assert (stream.device, stream.priority) == (CUDA, -1)


@pytest.mark.parametrize(
    ("device", "beside"), [(torch.device("cpu"), True), (CUDA, False)], ids=["cpu", "alone"]
)
def test_there_is_none_where_nobody_would_wait(monkeypatch, device, beside):
    streams = Streams(monkeypatch)
    reader(device, beside)(ClipFiles("a"))
    assert streams.used == [None]
