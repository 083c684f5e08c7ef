"""The GPU's tests on a machine that has only what `setup.cfg` requires, pytest and Triton."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MARKED = (
    *("gpu/test_engines.py", "gpu/test_failed_capture.py", "gpu/test_fused_sampler.py"),
    *(
        "runtime/test_step.py",
        "runtime/test_gpu_attention.py",
        "runtime/test_gpu_fused.py",
        "runtime/test_gpu_denoiser.py",
    ),
)

pytestmark = pytest.mark.slow


def run(*arguments: str) -> str:
    """What pytest says there of the tests marked `gpu`."""
    path = os.pathsep.join([str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "fakes.bare_machine", "-m", "gpu"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_test_files_can_be_read_and_the_kernels_are_selected():
    pytest.importorskip("triton")
    told = run("--collect-only")
    for name in MARKED:
        assert f"tests/{name}::" in told


def test_the_step_kernel_is_tested_there():
    pytest.importorskip("triton")
    assert " passed" in run("tests/runtime/test_step.py", "tests/gpu", "-vv", "--no-header")


def test_packages_of_the_extras_are_hidden():
    """Or else this file would prove nothing."""
    pytest.importorskip("soundfile")
    script = "import pytest, fakes.bare_machine as m; m.pytest_configure(); import soundfile"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ModuleNotFoundError: No module named 'soundfile'" in done.stderr
