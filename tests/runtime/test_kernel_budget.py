"""How much the compiler's kernels launch a step on a GPU, by the code that it would run there.

Our own kernels' budget, which is half of it, is counted in `test_gpu_fused.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fakes.triton_modes import needs_kernels

from mreactor_ref.config import CONFIGS

SCRIPT = Path(__file__).parents[1] / "fakes/inductor_code.py"
KNOWN = "2.13"  # the version of PyTorch whose parts the script replaces
# A step that PyTorch 2.13 writes for lengths of any size, with one launch of ours an attention.
BUDGET = {("mini", 1): 43, ("mini", 2): 45, ("base", 1): 82, ("base", 2): 87}
# A layer: queries with keys and values, the subject's queries, each attention's projection, two of
# the feed-forward. And the two ends.
PRODUCTS_A_LAYER, ENDS = 6, 2

pytestmark = [
    needs_kernels,  # whose generated code is in Triton's language
    pytest.mark.skipif(not torch.__version__.startswith(KNOWN), reason=f"needs PyTorch {KNOWN}"),
]


@pytest.mark.parametrize(
    ("model", "guidance"),
    [
        case if case == ("mini", 2) else pytest.param(*case, marks=pytest.mark.slow)
        for case in BUDGET
    ],
)
def test_a_compiled_step_keeps_its_budget(model: str, guidance: int):
    command = [sys.executable, SCRIPT, model, str(guidance)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    launched = json.loads(done.stdout.splitlines()[-1])
    print(launched)
    layers = CONFIGS[model].layers
    assert launched.pop("addmm") == PRODUCTS_A_LAYER * layers + ENDS
    assert launched.pop("mreactor.decay_attention") == 2 * layers
    assert launched.pop("convolution") == 1
    assert set(launched) == {"poi", "per", "red"}, "what Inductor writes itself, and no copy"
    products = PRODUCTS_A_LAYER * layers + ENDS + 2 * layers + 1
    assert sum(launched.values()) <= BUDGET[model, guidance] - products
