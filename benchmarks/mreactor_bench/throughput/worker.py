"""One setting in a process of its own, so that its memory and its loading are its own.

The process opens a runner, makes a first call, and then waits to be told to make another. Two of
them can so be timed in turns.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, TypeVar

from mreactor_bench.throughput.setting import Setting
from mreactor_ref.errors import MReactorError, UsageError

if TYPE_CHECKING:
    from mreactor_bench.throughput.runners import Runner
    from mreactor_bench.throughput.weights import Weights
    from mreactor_ref.signals import Array

CALL, END = "call", "end"
LEAST = "use fewer --samples, a smaller --batch-size or shorter --frames"

T = TypeVar("T")


@dataclass(frozen=True)
class OpeningTimes:
    """The time and memory until a runner could be called again and again.

    Attributes:
        name: of the runner. notes: what it said when it was opened.
        import_seconds: of the packages. load_seconds: of the model.
        first_seconds: of the first call, with what it compiles, captures and allocates.
        reactions: (B, S, T, 83), what the first call gave.
        threads: PyTorch's in this process.
    """

    name: str
    notes: tuple[str, ...]
    import_seconds: float
    load_seconds: float
    first_seconds: float
    reactions: Array
    threads: int


@dataclass(frozen=True)
class Memory:
    """The most memory that was held, in bytes.

    Attributes:
        host: of the whole process.
        device: of PyTorch's allocator on the GPU; None on a CPU.
        device_taken: by how much the GPU's free memory had shrunk at the end, whoever allocated
            it; other programs on that GPU disturb it.
    """

    host: int
    device: int | None = None
    device_taken: int | None = None


class RunnerProcess:
    """A setting in a process of its own. A context: leaving it ends the process."""

    def __init__(self, weights: Weights, setting: Setting):
        self.setting = setting
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, weights, setting), daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    def __enter__(self) -> RunnerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def open(self) -> OpeningTimes:
        """Wait until the first call is done.

        Raises: what opening or calling the runner raised; UsageError for want of memory.
        """
        return self._receive()

    def call(self) -> float:
        """Seconds of one more call."""
        self._connection.send(CALL)
        return self._receive()

    def end(self) -> Memory:
        """The most memory that it held; nothing can be called any more."""
        self._connection.send(END)
        return self._receive()

    def _receive(self) -> Any:
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode
            raise UsageError(
                f"the process of {self.setting.describe()} was ended from outside (exit {code}), "
                "most often for want of memory",
                fix=LEAST,
            ) from None
        if isinstance(answer, Failure):
            answer.throw()
        return answer


@dataclass(frozen=True)
class Failure:
    """An exception as it crosses from one process to another."""

    error: MReactorError
    trace: str

    def throw(self) -> None:
        """Raise it, with where it came from as its cause."""
        raise self.error from RuntimeError(self.trace)


def serve(connection: Connection, weights: Weights, setting: Setting) -> None:
    """The whole life of the process."""
    try:
        started = time.perf_counter()
        import torch

        from mreactor_bench.throughput.machine import peak_memory
        from mreactor_bench.throughput.runners import open_runner

        imported = time.perf_counter()
        cuda = setting.device == "cuda" and torch.cuda.is_available()
        free = torch.cuda.mem_get_info()[0] if cuda else 0
        runner = open_runner(weights, setting)
        loaded = time.perf_counter()
        reactions = runner.call()
        first = time.perf_counter()
        connection.send(
            OpeningTimes(
                name=runner.name,
                notes=runner.notes,
                import_seconds=imported - started,
                load_seconds=loaded - imported,
                first_seconds=first - loaded,
                reactions=reactions,
                threads=torch.get_num_threads(),
            )
        )
        while connection.recv() == CALL:
            connection.send(_seconds(runner))
        memory = Memory(peak_memory())
        if cuda:
            taken = free - torch.cuda.mem_get_info()[0]
            memory = Memory(memory.host, torch.cuda.max_memory_allocated(), taken)
        connection.send(memory)
    except EOFError:  # the other side is gone
        return
    except Exception as error:  # all of them cross over, in a line
        connection.send(Failure(_for_people(error, setting), traceback.format_exc()))


def _seconds(runner: Runner) -> float:
    started = time.perf_counter()
    runner.call()
    return time.perf_counter() - started


def _for_people(error: Exception, setting: Setting) -> MReactorError:
    """The error as one that people can read; our own are as they are."""
    if isinstance(error, MReactorError):
        return error
    from mreactor_runtime.run.batches import is_out_of_memory

    if is_out_of_memory(error):
        return UsageError(f"no memory for one call: {setting.describe()}", fix=LEAST)
    text = " ".join(str(error).split())
    return MReactorError(f"{setting.describe()}: {type(error).__name__}: {text}")


def in_process(function: Callable[..., T], *arguments: Any) -> T:
    """The value of a function, from a process of its own, which then ends."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()
