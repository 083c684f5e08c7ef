"""A pytest plugin that hides what a machine lacks that has only what `setup.cfg` requires.

    python -m pytest -p fakes.bare_machine -m gpu        # with tests on the path

What is left can be imported: the packages of `install_requires`, pytest and Triton, and what these
require in turn. All other installed packages cannot be found, as if they were not there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SETUP = Path(__file__).parents[2] / "setup.cfg"
BESIDE = ("mreactor", "pytest", "triton")


def required() -> list[str]:
    """The lines of `install_requires`."""
    config = ConfigParser()
    config.read(SETUP, encoding="utf-8")
    return config["options"]["install_requires"].split()


def with_requirements(wanted: Iterable[str]) -> set[str]:
    """The names of packages, and of all that they require in turn."""
    names: set[str] = set()
    waiting = [Requirement(line) for line in wanted]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in names or not (requirement.marker is None or requirement.marker.evaluate()):
            continue
        names.add(name)
        if name == "mreactor":
            continue  # its extras are not here
        try:
            waiting += [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:
            continue
    return names


def hidden_modules() -> set[str]:
    """The top-level modules that only other packages bring."""
    kept = with_requirements([*BESIDE, *required()])
    return {
        module
        for module, packages in packages_distributions().items()
        if not kept.intersection(canonicalize_name(package) for package in packages)
    }


class Without:
    """A finder of modules that does not find some."""

    def __init__(self, finder: Any, hidden: set[str]) -> None:
        self._finder, self._hidden = finder, hidden

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] in self._hidden:
            return None
        return self._finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def pytest_configure() -> None:
    hidden = hidden_modules() - set(sys.modules)
    sys.meta_path[:] = [Without(finder, hidden) for finder in sys.meta_path]
