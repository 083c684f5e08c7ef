"""Batches that do not fit, and the memory of long runs."""

import gc
import multiprocessing
import os
import random
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes.engines import FakeEngine, speaker_clip
from fakes.jobs import BatchReactor, Heard, lines_of, reactor, results_of, run_options, write_faces

from mreactor_ref.data.clips import ClipFiles
from mreactor_ref.errors import ClipError, UsageError
from mreactor_runtime.run.batches import Batches, is_out_of_memory
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.reading import Read
from mreactor_runtime.run.summary import Silent

EIGHT = dict.fromkeys("abcdefgh", 50)
QUICK: dict[str, Any] = {"samples": 1, "steps": 1}
OUT_OF_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
    Exception(
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running "
        "MatMul node. BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer"
    ),
    RuntimeError("Exception from src/plugins: Failed to allocate 4096 bytes"),
    RuntimeError("std::bad_alloc"),
    MemoryError(),
)


@pytest.fixture
def clips(tmp_path) -> Path:
    write_faces(tmp_path / "clips", EIGHT)
    return tmp_path / "clips"


def read(frames: int = 60) -> Read:
    """A clip as a thread has read it."""
    clip = speaker_clip(frames)
    return Read(ClipFiles(clip.id), 0.0, None, clip, (), (), (), None)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: str(error)[:20])
def test_every_engine_s_words_for_it_are_known(error):
    assert is_out_of_memory(error)


def test_pytorch_s_own_error_on_a_cpu_is_known():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50)
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize("text", ["out of luck", "CUDA error: an illegal memory access", ""])
def test_other_errors_are_not_taken_for_it(text):
    assert not is_out_of_memory(RuntimeError(text))


def test_batches_have_the_size_that_is_asked_for_and_the_same_bytes(clips, tmp_path):
    run_job(clips, tmp_path / "one", reactor(), run_options(**QUICK))
    for size, batches in ((1, [1] * 8), (3, [1, 2, 3, 1, 1]), (16, [1, 2, 4, 1])):
        several = BatchReactor()
        run_job(clips, tmp_path / str(size), several, run_options(**QUICK, batch_size=size))
        assert several.batches == batches
        assert results_of(tmp_path / str(size)) == results_of(tmp_path / "one")


def test_a_batch_that_does_not_fit_is_halved_once_said_with_the_same_bytes(clips, tmp_path):
    run_job(clips, tmp_path / "one", reactor(), run_options(**QUICK))
    tight, heard = BatchReactor(room=1), Heard()
    summary = run_job(clips, tmp_path / "out", tight, run_options(**QUICK, batch_size=16), heard)
    assert summary.done == 8
    assert tight.batches == [1, 2, 1, 1, 1, 1, 1, 1, 1]  # tried once, never again
    [said] = [text for text in heard.said if "memory" in text]
    assert "batches are halved" in said
    assert "--batch-size" in said
    assert results_of(tmp_path / "out") == results_of(tmp_path / "one")


class Starved(FakeEngine):
    """Memory that is short once, at one of its calls."""

    def __init__(self, at: int | None) -> None:
        super().__init__()
        self._at = at

    def run(self, graph, inputs):
        outputs = super().run(graph, inputs)
        if len(self.calls) == self._at:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return outputs


def test_memory_that_is_short_at_any_one_call_changes_no_byte(clips, tmp_path):
    options = run_options(**QUICK, batch_size=4)
    whole = Starved(None)
    run_job(clips, tmp_path / "whole", reactor(whole), options)
    results = results_of(tmp_path / "whole")
    for at in range(1, len(whole.calls) + 1):
        output = tmp_path / str(at)
        summary = run_job(clips, output, reactor(Starved(at)), options)
        if summary.failed:  # it was short for one clip alone, which the next run does again
            assert len(summary.failed) == 1
            assert run_job(clips, output, reactor(), options).done == 1
        assert results_of(output) == results


def test_a_clip_too_large_for_the_memory_alone_fails_and_the_others_are_done(tmp_path):
    write_faces(tmp_path / "clips", {"a": 50, "b": 500, "c": 50})

    class Tight(BatchReactor):
        def generate_batch(self, clips, priors, sampling):
            if clips[0].frames > 100:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().generate_batch(clips, priors, sampling)

    summary = run_job(tmp_path / "clips", tmp_path / "out", Tight(), run_options(**QUICK))
    assert summary.done == 2
    assert summary.failed == {
        "b": "b: no memory for 1 reactions to this clip alone (500 frames) "
        "(give fewer --samples, cut the clip)"
    }


def test_one_bad_clip_of_a_batch_is_found_and_the_others_are_done(clips, tmp_path):
    class Breaks(BatchReactor):
        def generate_batch(self, clips, priors, sampling):
            if "c" in {clip.id for clip in clips}:
                raise RuntimeError("device-side assert")
            return super().generate_batch(clips, priors, sampling)

    broken = Breaks()
    summary = run_job(clips, tmp_path / "out", broken, run_options(**QUICK, batch_size=4))
    assert summary.failed == {"c": "c: unexpected RuntimeError: device-side assert"}
    assert summary.done == 7


def test_an_error_for_all_clips_ends_the_run_from_a_batch_too(clips, tmp_path):
    engine = BatchReactor(room=1, error=UsageError("no such solver"))
    with pytest.raises(UsageError, match="no such solver"):
        run_job(clips, tmp_path / "out", engine, run_options(**QUICK, batch_size=4))


@pytest.mark.parametrize(
    ("device", "size", "frames", "samples", "expected"),
    [
        ("cpu", None, 750, 10, 1),
        ("cpu", 3, 750, 10, 3),
        ("cuda", None, 750, 10, 16),
        ("cuda", None, 15_000, 10, 1),
        ("cuda", None, 3_000, 10, 4),
        ("cuda", None, 50, 1, 16),
        ("cuda", None, 750, 1000, 1),
        ("cuda", 64, 15_000, 10, 64),
    ],
)
def test_auto_takes_what_keeps_a_gpu_busy(device, size, frames, samples, expected):
    taken = []

    def generate(reads):
        taken.append(len(reads))
        return [ClipError("no", read.clip.id) for read in reads]

    batches = Batches(
        generate,
        device,
        samples,
        size,
        lambda text: None,
        lambda: None,
    )
    list(batches.run([read(frames)] * 64))
    assert taken[0] == expected
    assert sum(taken) == 64


def test_what_a_failed_batch_held_is_freed_before_the_next_try():
    class Held:
        alive = 0

        def __init__(self) -> None:
            Held.alive += 1

        def __del__(self) -> None:
            Held.alive -= 1

    def generate(reads):
        assert Held.alive == 0
        held = Held()
        if len(reads) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        del held
        return [ClipError("no", "a")]

    gc.disable()  # what frees it must not be luck
    try:
        freed: list[int] = []
        batches = Batches(
            *(generate, "cpu", 1, 8, lambda text: None),
            free=lambda: freed.append(Held.alive),
        )
        assert len(list(batches.run([read()] * 8))) == 8
        assert freed == [0, 0, 0]  # 8, 4 and 2 clips; what the sampler keeps goes, too
    finally:
        gc.enable()


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cost:
    """What runs took: core seconds of a tiny clip; of a long run, bytes in memory at the end of
    each clip, and how many files were open before and after."""

    core_seconds: float
    bytes: list[int]
    files: tuple[int, int]


class Watched(Silent):
    """Notes the memory at the end of each clip."""

    def __init__(self) -> None:
        self.bytes: list[int] = []

    def reached(self, *_): ...

    def finished(self, outcome) -> None:
        assert outcome.error is None
        self.bytes.append(resident())


def cost_of_a_run(clips: Path, output: Path) -> Cost:
    """Run over the tiny clips beside these, and over these. The sampler is a fake, so that nearly
    all of it is what is done beside a sampler."""
    tiny, watched, opened = Watched(), Watched(), reactor()
    run_job(clips / "00", output.parent / "first", opened, run_options(**QUICK))  # loads
    started = time.process_time()
    run_job(clips.parent / "tiny", output.parent / "second", opened, run_options(**QUICK), tiny)
    core_seconds = (time.process_time() - started) / len(tiny.bytes)
    files = len(os.listdir("/proc/self/fd"))
    run_job(clips, output, opened, run_options(**QUICK), watched)
    return Cost(core_seconds, watched.bytes, (files, len(os.listdir("/proc/self/fd"))))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read memory from")
def test_two_thousand_clips_take_the_memory_of_a_few_and_a_tiny_one_20_ms(tmp_path):
    lengths = random.Random(0)
    frames = {f"{i // 100:02}/{i:04}": lengths.randint(1, 400) for i in range(2000)}
    write_faces(tmp_path / "clips", frames)
    write_faces(tmp_path / "tiny", {f"{i:03}": 5 for i in range(300)})
    # In a process of its own, as a run is: this one's heap has the holes of all tests before.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        cost = process.submit(cost_of_a_run, tmp_path / "clips", tmp_path / "out").result()
    assert len(cost.bytes) == 2000
    # After a warm-up of 500, a line through the least of each 50: what is held raises that, while
    # how many clips are in work at once, which the machine's load decides, makes peaks.
    least = np.array(cost.bytes[500:], float).reshape(-1, 50).min(axis=1)
    slope = np.polyfit(50.0 * np.arange(len(least)), least, 1)[0]
    assert slope < 1024, f"{slope:.0f} bytes a clip"
    assert cost.files[0] == cost.files[1]
    assert cost.core_seconds < 0.020, f"{1000 * cost.core_seconds:.1f} core ms a clip"
    assert len(lines_of(tmp_path / "out" / "manifest.jsonl")) == 2000
