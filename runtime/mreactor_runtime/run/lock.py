"""One run at a time in an output folder; shards of it side by side.

The lock is the kernel's, on a hidden file that goes when the run ends. A process that is killed
lets go of it, so a file that stays behind stops nobody.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mreactor_ref.errors import UsageError
from mreactor_ref.files import unwritable
from mreactor_runtime.run.shard import WHOLE, Shard

WHOLE_LOCK, SHARD_LOCK = ".run.lock", re.compile(r"\.run-[0-9]+-of-[0-9]+\.lock")
HELD = (errno.EWOULDBLOCK, errno.EACCES)
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # of a file system that has none


@contextmanager
def only_run(output: Path, shard: Shard) -> Generator[None]:
    """Within the block no other run writes into the output, but other shards may.

    Args: output: made if need be.
    Raises: UsageError where another run is at it, with its process.
    """
    with unwritable(output, "give another --output"):
        output.mkdir(parents=True, exist_ok=True)
    own = WHOLE_LOCK if shard == WHOLE else f".run-{shard.index}-of-{shard.count}.lock"
    with _held(output / own):
        with ExitStack() as looks:  # whoever comes second, whichever it is, sees the other
            for name in _rivals(output, shard):
                looks.enter_context(_held(output / name))
        yield


def _rivals(output: Path, shard: Shard) -> list[str]:
    """The locks of runs that may not go on beside this one."""
    names = os.listdir(output)
    if shard == WHOLE:
        return [name for name in names if SHARD_LOCK.fullmatch(name)]
    return [name for name in names if name == WHOLE_LOCK]


@contextmanager
def _held(path: Path) -> Generator[None]:
    while True:
        with path.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in HELD:
                    file.seek(0)
                    raise _taken(path.parent, file.read(200)) from None
                if error.errno not in NO_LOCKS:
                    raise
            if not os.fstat(file.fileno()).st_nlink:
                continue  # its holder has just ended, and removed it
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
            file.flush()
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _taken(output: Path, holder: bytes) -> UsageError:
    who = holder.decode(errors="replace")
    return UsageError(
        f"another run is writing there{f' ({who})' if who else ''}",
        output,
        "wait until it has ended, or give another --output",
    )
