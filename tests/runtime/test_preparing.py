"""A run makes the device ready for clips before it samples them, and says how long that took."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes.cuda_graph import FakeStream
from fakes.engines import CONFIG, FakeEngine
from fakes.jobs import Heard, reactor, results_of, run_options, write_faces

from mreactor_ref.errors import UsageError
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.summary import PREPARE, Summary
from mreactor_runtime.run.terminal import last_line
from mreactor_runtime.sampling import Sampler
from mreactor_runtime.tensors import graph_specs

LENGTHS = {"a": 50, "b": 100, "c": 40, "d": 200, "e": 100, "f": 60}  # buckets 64, 128, 256
QUICK = {"samples": 1, "steps": 1}


@pytest.fixture
def clips(tmp_path) -> Path:
    write_faces(tmp_path / "clips", LENGTHS)
    return tmp_path / "clips"


def recording() -> tuple[Reactor, FakeStream]:
    stream, recorded = FakeStream(), reactor(FakeEngine())
    recorded._sampler = Sampler(recorded.engine, graph_specs(CONFIG), stream=stream)
    return recorded, stream


def test_a_run_records_each_bucket_before_its_clips_are_sampled(clips, tmp_path):
    recorded, stream = recording()
    summary = run_job(clips, tmp_path / "out", recorded, run_options(**QUICK))
    run_job(clips, tmp_path / "plain", reactor(FakeEngine()), run_options(**QUICK))
    assert results_of(tmp_path / "out") == results_of(tmp_path / "plain")
    assert stream.calls.count("capture") == 4, "a usual clip's while the first is read, 3 buckets'"
    assert "reset" not in stream.calls
    last = len(stream.calls) - stream.calls[::-1].index("capture")
    assert stream.calls[last:].count("replay") >= 2, "what comes again is not recorded again"
    assert 0 < summary.stages[PREPARE] < summary.seconds
    assert summary.working_seconds == summary.seconds - summary.stages[PREPARE]
    del stream.calls[:]
    run_job(clips, tmp_path / "again", recorded, run_options(**QUICK))
    assert "capture" not in stream.calls


def test_what_cannot_be_prepared_is_said_and_left_to_the_clips(clips, tmp_path):
    class NoRoom(Reactor):
        freed = 0

        def prepare(self, frames, sampling=None, **changes):
            raise torch.OutOfMemoryError("CUDA out of memory.")

        def free_memory(self):
            self.freed += 1

    plain, heard = reactor(FakeEngine()), Heard()
    full = NoRoom(plain.model, plain.engine, plain.source)
    summary = run_job(clips, tmp_path / "out", full, run_options(**QUICK), heard)
    assert summary.done == len(LENGTHS)
    said = [text for text in heard.said if "could not be prepared" in text]
    assert said[0] == (
        "clips of 750 frames and less could not be prepared: OutOfMemoryError: CUDA out of memory."
    )
    assert full.freed == len(said)


def test_an_error_for_all_clips_ends_the_run(clips, tmp_path):
    class Refuses(Reactor):
        def prepare(self, frames, sampling=None, **changes):
            raise UsageError("no such kernels")

    plain = reactor(FakeEngine())
    with pytest.raises(UsageError, match="no such kernels"):
        run_job(
            clips, tmp_path / "out", Refuses(plain.model, plain.engine, plain.source),
            run_options(**QUICK),
        )  # fmt: skip


def test_neither_busy_share_nor_rate_counts_preparing():
    summary = Summary("out", 2, done=2, reactions=20, seconds=70.0, device_seconds=5.0)
    summary.stages[PREPARE] = 60.0
    assert summary.sampler_busy == 0.5
    assert "20 reactions in 70.0 s (2.00 a second after 60.0 s of preparing)" in last_line(summary)
    summary.devices = [{"sampler_busy": 0.5}, {"sampler_busy": 0.7}]
    assert summary.working_seconds == 40.0, "each of two prepared 30 s"
    assert summary.sampler_busy == 0.6
