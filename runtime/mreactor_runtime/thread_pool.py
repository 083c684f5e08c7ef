"""A pool of threads that all run before it is used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def started_pool(
    threads: int, name: str, initializer: Callable[[], None] | None = None
) -> ThreadPoolExecutor:
    """A pool that starts no thread later.

    A pool knows a thread a moment after it has started it. Ctrl-C in that moment would leave the
    thread waiting for work for ever, and Python waiting for the thread when it ends. So another
    thread starts them: a signal is raised in the main one.

    Args: name, initializer: as of `ThreadPoolExecutor`.
    """
    pool = ThreadPoolExecutor(threads, name, initializer)
    all_started = threading.Event()

    def start() -> None:
        try:
            for _ in range(threads):  # each keeps a thread, so that the next needs another
                pool.submit(all_started.wait)
        finally:
            all_started.set()

    starter = threading.Thread(target=start, name=f"starts {name}", daemon=True)
    starter.start()
    starter.join()
    return pool
