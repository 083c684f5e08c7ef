"""Threads that read ask for priors at once, and get what one alone gets."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from fakes.engines import CONFIG, TwoSubjects
from fakes.jobs import write_faces

from mreactor_ref.data.clips import find_clips
from mreactor_ref.emotion import semantics
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.emotion.semantics import SentenceEncoders, Similarity
from mreactor_runtime.run.reading import ClipReader, Read
from mreactor_runtime.sampling_options import Sampling

SAID = ["I have won the prize.", "My dog died.", "It rains.", "We are moving.", "She said yes!"]
THREADS = 3


@pytest.mark.slow
def test_priors_of_several_threads_are_those_of_one(loaded_similarity: Similarity):
    recovery = ExpressiveRecovery(similarity=loaded_similarity)
    expected = [ExpressiveRecovery(similarity=loaded_similarity).priors([text]) for text in SAID]
    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(lambda text: recovery.priors([text]), SAID * 4))
    assert found == expected * 4


def test_an_encoder_serves_one_thread_at_a_time(monkeypatch):
    """As many are made as ask at once, and they are used again."""
    made = []

    class Slow:
        def __init__(self, name: str):
            made.append(self)
            self.at_work = threading.Lock()

        def __call__(self, texts):
            assert self.at_work.acquire(blocking=False)
            time.sleep(0.02)
            self.at_work.release()
            return texts

    monkeypatch.setattr(semantics, "SentenceEncoder", Slow)
    encoders = SentenceEncoders("any")
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda i: encoders([str(i)]), range(12)))
    assert 1 <= len(made) <= THREADS


class Together(ExpressiveRecovery):
    """Answers once so many ask at the same time; else gives up."""

    def __init__(self, count: int):
        super().__init__()
        self.all_there = threading.Barrier(count, timeout=5)

    def priors(self, utterances):
        self.all_there.wait()
        return TwoSubjects().priors(utterances)


def reads_of(source, folder: Path) -> list:
    write_faces(folder, {f"clip{i}": 30 for i in range(2)})
    for i in range(2):
        (folder / f"clip{i}.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello.\n")
    reader = ClipReader(CONFIG, source, Sampling(samples=1), None, True, torch.device("cpu"))
    threads_before = torch.get_num_threads()
    with reader, ThreadPoolExecutor(2) as threads:
        reads = list(threads.map(reader, find_clips(folder).clips))
    torch.set_num_threads(threads_before)
    return reads


@pytest.mark.slow
def test_readers_ask_a_source_that_takes_threads_at_once(tmp_path: Path):
    assert all(isinstance(read, Read) for read in reads_of(Together(2), tmp_path))


@pytest.mark.slow
def test_other_sources_are_asked_by_one_at_a_time(tmp_path: Path):
    class OneAtATime(TwoSubjects):
        def __init__(self):
            super().__init__()
            self.at_work = threading.Lock()

        def priors(self, utterances):
            assert self.at_work.acquire(blocking=False)
            time.sleep(0.05)
            self.at_work.release()
            return super().priors(utterances)

    assert all(isinstance(read, Read) for read in reads_of(OneAtATime(), tmp_path))
