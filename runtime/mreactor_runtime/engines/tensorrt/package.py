"""Finding TensorRT and TensorRT-RTX: two packages, nearly one Python interface, one code path.

Both are optional, and TensorRT may be installed without its libraries, which its package index
entry only fetches from the vendor: each case is one line that says what to install.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from mreactor_ref.errors import MReactorError, UsageError
from mreactor_runtime.engines.names import TENSORRT, TENSORRT_RTX

# Where the interface is: the package itself, or what it is a front of.
MODULES = {
    TENSORRT: ("tensorrt", "tensorrt_bindings"),
    TENSORRT_RTX: ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
INSTALL = {
    TENSORRT: 'pip install "mreactor[tensorrt]" where the vendor\'s index can be reached',
    TENSORRT_RTX: 'pip install "mreactor[tensorrt-rtx]"',
}
OLDEST = {TENSORRT: (10, 9), TENSORRT_RTX: (1, 2)}
KEPT_ERRORS = 20  # of the library's messages, the last ones
SHOWN_ERRORS = 3


class TensorRTError(MReactorError):
    """The library refused: a graph that it cannot build, a plan that it cannot open or run."""


@dataclass(frozen=True)
class TensorRT:
    """One of the two packages, imported.

    Attributes:
        package: "tensorrt" or "tensorrt-rtx". version: as the package says.
        module: its Python interface. log: the logger of this process, for its objects.
    """

    package: str
    version: str
    module: ModuleType
    log: Any  # of `process_log`

    @property
    def is_rtx(self) -> bool:
        return self.package == TENSORRT_RTX

    def __str__(self) -> str:
        return f"{self.package} {self.version}"

    @contextmanager
    def listening(self) -> Generator[list[str]]:
        """All messages of the library while it works; one user of it at a time."""
        with _working:
            self.log.errors.clear()
            try:
                yield self.log.start()
            finally:
                self.log.stop()

    def refusal(self, what: str, fix: str | None = None) -> TensorRTError:
        """An error that ends with the library's own last errors."""
        said = [" ".join(message.split()) for message in list(self.log.errors)[-SHOWN_ERRORS:]]
        because = "; ".join(dict.fromkeys(said)) or "it does not say why"
        return TensorRTError(f"{self} {what}: {because}", fix=fix)


_working = threading.Lock()  # the library has one logger a process, so its messages have one owner


def is_installed(package: str) -> bool:
    """Whether a package is there to be imported, without importing it."""
    return any(importlib.util.find_spec(name) is not None for name in MODULES[package])


def load_tensorrt(package: str) -> TensorRT:
    """Import "tensorrt" or "tensorrt-rtx".

    Raises: UsageError where it is not installed, has no libraries, or is too old.
    """
    if package not in MODULES:
        raise UsageError(f"{package!r} is not one of {', '.join(MODULES)}")
    if not is_installed(package):
        raise UsageError(f"{package} is not installed", fix=INSTALL[package])
    module = _import(package)
    version = str(getattr(module, "__version__", "0"))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST[package]:
        oldest = ".".join(str(number) for number in OLDEST[package])
        raise UsageError(f"{package} is {version}, older than {oldest}", fix=INSTALL[package])
    return TensorRT(package, version, module, process_log(module))


def _import(package: str) -> ModuleType:
    problem = "it has no Builder"
    for name in MODULES[package]:
        if importlib.util.find_spec(name) is None:
            continue
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError) as error:  # OSError: a shared library that does not load
            problem = " ".join(str(error).split())
            continue
        if hasattr(module, "Builder"):
            return module
    raise UsageError(
        f"{package} is installed without its libraries: {problem}", fix=INSTALL[package]
    )


@cache
def process_log(module: ModuleType) -> Any:
    """The logger of this process. The library holds the first one it is given, for good.

    A second is ignored, and one that Python has freed crashes the process.
    """

    class Logger(module.ILogger):
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=KEPT_ERRORS)
            self._messages: list[str] | None = None

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(module.ILogger.ERROR):
                self.errors.append(message)
            if self._messages is not None:
                self._messages.append(message)

        def start(self) -> list[str]:
            self._messages = []
            return self._messages

        def stop(self) -> None:
            self._messages = None

    return Logger()
