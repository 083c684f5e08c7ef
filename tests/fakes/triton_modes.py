"""Where the tests run Triton kernels: on the GPU, or else on the CPU in Triton's interpreter.

The interpreter is chosen by an environment variable that Triton reads when it is first imported, so
`conftest.py` sets it before anything can import it.
"""

import importlib.util
import os

import pytest
import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _reason() -> str:
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if DEVICE.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        return "neither a GPU nor TRITON_INTERPRET=1"
    return ""


needs_kernels = pytest.mark.skipif(bool(_reason()), reason=_reason() or "kernels run")
