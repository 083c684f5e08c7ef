"""Reading, sampling and writing at once: order, bounds, ends, and that it changes nothing."""

import json
import threading
import time
from typing import Any

import pytest
from fakes.jobs import Heard, SlowEngine, lines_of, reactor, results_of, run_options, write_faces

from mreactor_ref.data.clips import FeatureReader
from mreactor_runtime.run import loop
from mreactor_runtime.run.extras import picture
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.pipeline import ReadAhead, Writer, windows

QUICK: dict[str, Any] = {"samples": 1, "steps": 1}


def read_ahead(items, read, threads=2, most=3, most_size=100, size=lambda result: 1):
    return ReadAhead(items, read, size, threads, most, most_size)


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_the_order_of_the_items(threads):
    def read(i: int) -> int:
        time.sleep(0.002 * (i % 3))  # later ones are often ready before
        return i * i

    with read_ahead(range(40), read, threads) as reads:
        assert list(reads) == [i * i for i in range(40)]


def test_no_more_is_read_ahead_than_fits():
    started = []
    with read_ahead(range(100), lambda i: started.append(i) or i, threads=4, most=3) as reads:
        for i, _ in enumerate(reads):
            time.sleep(0.001)
            assert len(started) <= i + 1 + 3
    assert len(started) == 100


def test_no_more_is_read_ahead_than_memory_is_given():
    started = []
    reads = read_ahead(
        range(30), lambda i: started.append(i) or i, threads=1, most=50, most_size=10,
        size=lambda result: 5,
    )  # fmt: skip
    with reads:
        for i, _ in enumerate(reads):
            time.sleep(0.002)
            assert len(started) <= i + 1 + 2
    assert len(started) == 30


def test_an_item_larger_than_all_memory_passes():
    with read_ahead(range(5), lambda i: i, most_size=1, size=lambda result: 100) as reads:
        assert list(reads) == [0, 1, 2, 3, 4]


def test_what_a_reading_thread_raises_reaches_the_one_who_waits():
    def read(i: int) -> int:
        if i == 2:
            raise MemoryError("no more")
        return i

    with read_ahead(range(5), read, threads=1) as reads, pytest.raises(MemoryError, match="more"):
        list(reads)


def test_leaving_early_ends_the_threads():
    with read_ahead(range(1000), lambda i: i, threads=2) as reads:
        assert next(iter(reads)) == 0
    assert not [t for t in threading.enumerate() if t.name.startswith("reads clips")]


def test_windows_grow_to_their_bound():
    sizes = [len(window) for window in windows(range(40), lambda i: 1, 8, 1000)]
    assert sizes == [1, 2, 4, 8, 8, 8, 8, 1]
    by_size = list(windows([5, 6, 5, 1, 1], lambda i: i, 8, 10))
    assert by_size == [[5], [6, 5], [1, 1]]


@pytest.mark.parametrize("beside", [True, False])
def test_a_writer_works_in_order_and_passes_on_errors(beside):
    done = []
    with Writer(beside) as writer:
        for i in range(20):
            writer.do(lambda i=i: done.append(i))
    assert done == list(range(20))

    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Writer(beside) as writer:
        writer.do(fail)


def test_a_writer_ends_its_work_after_an_error_elsewhere():
    done = []

    def slowly() -> None:
        time.sleep(0.05)
        done.append(1)

    def interrupted() -> None:
        with Writer(True) as writer:
            writer.do(slowly)
            writer.do(lambda: done.append(2))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [1, 2]


LENGTHS = {"a": 40, "b": 200, "c": 70, "d": 90, "e": 300, "f": 65, "g": 10, "h": 64}


@pytest.mark.parametrize("readers", [1, 3])
def test_a_run_at_once_leaves_what_one_after_the_other_leaves(tmp_path, monkeypatch, readers):
    monkeypatch.setattr(loop, "READERS_BESIDE_CPU", readers)
    write_faces(tmp_path / "clips", LENGTHS)
    (tmp_path / "clips" / "bad.npy").write_bytes(b"no array")
    heard = {}
    for overlap in (True, False):
        heard[overlap] = Heard()
        options = run_options(**QUICK, overlap=overlap)
        run_job(tmp_path / "clips", tmp_path / str(overlap), reactor(), options, heard[overlap])
    one, other = tmp_path / "True", tmp_path / "False"
    assert results_of(one) == results_of(other)
    assert len(results_of(one)) == len(LENGTHS)
    assert heard[True].said == heard[False].said
    order = [[clip_id for clip_id in h.ids if clip_id != "bad"] for h in heard.values()]
    assert order[0] == order[1]  # of the sampler's work, which is fixed
    changing = {"milliseconds": 0}
    assert [line | changing for line in lines_of(one / "manifest.jsonl")] == [
        line | changing for line in lines_of(other / "manifest.jsonl")
    ]


def test_clips_of_a_window_go_longest_first_and_the_manifest_ends_in_order(tmp_path):
    write_faces(tmp_path / "clips", LENGTHS)
    heard = Heard()
    run_job(tmp_path / "clips", tmp_path / "out", reactor(), run_options(**QUICK), heard)
    # windows a | b c | d e f g | h, buckets of 64 frames
    assert heard.ids == ["a", "b", "c", "e", "d", "f", "g", "h"]
    assert [line["id"] for line in lines_of(tmp_path / "out" / "manifest.jsonl")] == [*LENGTHS]


def test_the_manifest_has_each_line_as_soon_as_its_clip_is_done(tmp_path):
    write_faces(tmp_path / "clips", LENGTHS)
    seen = []

    class Looks(Heard):
        def reached(self, *_): ...

        def finished(self, outcome):
            super().finished(outcome)
            lines = lines_of(tmp_path / "out" / "manifest.jsonl")
            seen.append([line["id"] for line in lines])
            assert (tmp_path / "out" / f"{outcome.clip_id}.npz").is_file()

    heard = Looks()
    run_job(tmp_path / "clips", tmp_path / "out", reactor(), run_options(**QUICK), heard)
    assert seen == [heard.ids[: i + 1] for i in range(len(LENGTHS))]


def test_reading_and_writing_are_hidden_behind_the_sampler(tmp_path, monkeypatch):
    write_faces(tmp_path / "clips", dict.fromkeys("abcdefghij", 50))
    read = FeatureReader.read

    def slowly(self, files):
        time.sleep(0.04)
        return read(self, files)

    monkeypatch.setattr(FeatureReader, "read", slowly)
    seconds, busy = {}, {}
    for overlap in (True, False):
        output = tmp_path / str(overlap)
        run_job(
            tmp_path / "clips", output, reactor(SlowEngine(0.05)),
            run_options(**QUICK, overlap=overlap), extras=[picture(lambda *_: time.sleep(0.04))],
        )  # fmt: skip
        run = json.loads((output / "run.json").read_text())
        seconds[overlap], busy[overlap] = run["seconds"], run["sampler_busy"]
        prepared = run["stages"].pop("prepare")
        assert 0 <= prepared < 0.1, "there is nothing to record on a CPU"
        assert set(run["stages"]) == {"decode", "sample", "write"}
        assert min(run["stages"].values()) >= 0.4
        assert 10 * 0.05 <= run["device_seconds"] <= run["stages"]["sample"] + 1e-3
        share = run["device_seconds"] / (run["seconds"] - prepared)
        rounding = 0.001 / run["seconds"] + 0.0001  # both times are told to a millisecond
        assert run["sampler_busy"] == pytest.approx(share, abs=rounding)
    assert seconds[True] < 0.75 * seconds[False]
    assert busy[True] > 1.3 * busy[False]


def test_many_pictures_that_fail_are_not_all_said(tmp_path):
    write_faces(tmp_path / "clips", {f"{i:02}": 5 for i in range(25)})

    def draw(*_):
        raise ValueError("no ink")

    heard = Heard()
    run_job(
        tmp_path / "clips",
        tmp_path / "out",
        reactor(),
        run_options(**QUICK),
        heard,
        [picture(draw)],
    )
    said = [text for text in heard.said if "no ink" in text]
    assert len(said) == 20
    assert said[-1].endswith("(no more are said)")
