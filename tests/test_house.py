"""The rules of size, files of at most 300 lines and functions of at most 60; names; packages."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = (
    *("mreactor_ref", "runtime/mreactor", "runtime/mreactor_runtime"),
    *("export/mreactor_export", "benchmarks/mreactor_bench"),
)
LONGEST_FILE, LONGEST_FUNCTION = 300, 60  # lines; a function's without its decorators

TRITON = "runtime/mreactor_runtime/kernels/triton"

# What may be longer, and why. One that is no longer needed fails, too.
LONG_FILES = {
    "mreactor_ref/emotion/lexicon_files.py": "seven formats of one kind, and the table of them",
    "mreactor_ref/data/dyads.py": "a dyad, its sequence and how both are prepared",
    "runtime/mreactor_runtime/report/timeline.py": "one picture, a function for each panel",
    "runtime/mreactor_runtime/bundle.py": "one folder: what it holds, writing it, opening it",
}
LONG_FUNCTIONS = {
    "mreactor_ref/data/simulated/dataset.py:write_dataset": "20 lines of it are its docstring",
    "runtime/mreactor_runtime/cli.py:main": "click passes each option as an argument of its own",
    f"{TRITON}/attention.py:attention_kernel": "a Triton kernel is one",
    f"{TRITON}/projection.py:projection_kernel": "a Triton kernel is one",
    f"{TRITON}/tokens.py:tokens_kernel": "a Triton kernel is one",
    "export/mreactor_export/parity/proof.py:verify": "17 lines of it are its docstring",
}


def sources() -> Iterator[tuple[str, str]]:
    """The path and the text of each file of the packages."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def functions(text: str) -> Iterator[tuple[str, int]]:
    """The name and the number of lines of each function, also of those inside others."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_files_are_short():
    long = {path for path, text in sources() if len(text.splitlines()) > LONGEST_FILE}
    assert long == LONG_FILES.keys()


def test_functions_are_short():
    long = {
        f"{path}:{name}"
        for path, text in sources()
        for name, count in functions(text)
        if count > LONGEST_FUNCTION
    }
    assert long == LONG_FUNCTIONS.keys()


def test_every_package_is_installed():
    """A checkout finds packages that setup.cfg forgets; what is installed from a wheel does not."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["packages"].split()
    folders = [
        path.parent.relative_to((ROOT / package).parent).as_posix().replace("/", ".")
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    ]
    assert sorted(listed) == sorted(folders)


def test_names_of_test_files_are_unique():
    """Pytest imports each test file by its bare name; of two it refuses one."""
    count = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, times in count.items() if times > 1] == []
