"""Pools of threads: whatever interrupts the start of one, Python ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from mreactor_runtime.thread_pool import started_pool

# Ctrl-C when a thread runs that its pool does not know yet.
INTERRUPTED = """
import sys, threading
import torch
from fakes.jobs import reactor
from mreactor_runtime.kernels.cpu_threads import Cores

start = threading.Thread.start

def interrupted(thread):
    start(thread)
    if threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt

threading.Thread.start = interrupted
kept = []  # what is alive when Python ends
try:
    {work}
except KeyboardInterrupt:
    sys.exit(130)
"""
WORK = {
    "noise": "kept.append(reactor()); kept[0]._threads.submit(print)",
    "cores": "kept.append(Cores(2)); list(kept[0].results([print, print]))",
}


@pytest.mark.slow
@pytest.mark.parametrize("work", WORK)
def test_a_process_ends_that_is_interrupted_where_a_thread_starts(work):
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(work=WORK[work])],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (130, "")


def test_all_threads_run_and_have_begun_as_asked():
    begun: list[str] = []
    with started_pool(3, "works", lambda: begun.append("so")) as pool:
        assert begun == ["so"] * 3
        before = threading.active_count()
        assert [future.result() for future in [pool.submit(len, "ab") for _ in range(20)]] == [
            2
        ] * 20
        assert threading.active_count() == before
