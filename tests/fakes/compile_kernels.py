"""Compile the Triton kernels for GPUs that are not here, and print what registers each takes.

A process of its own, since the interpreter is chosen for a process.
"""

import os
import subprocess
import tempfile
from pathlib import Path

os.environ.pop("TRITON_INTERPRET", None)

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mreactor_runtime.kernels.gpu_attention import TILES
from mreactor_runtime.kernels.triton import attention_kernel, step_kernel

CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
WIDTH = 64  # channels of a head in `base`
WARP = 32
NUMBERS = {"scale": "fp32", "bound": "fp32", **dict.fromkeys(("a", "b", "c", "n"), "fp32")}


def resources(kernel, pointers, constants, capability, **options) -> str:
    """The line of the disassembler that names registers and stack."""
    known = NUMBERS | pointers | dict.fromkeys(constants, "constexpr")
    signature = {name: known.get(name, "i32") for name in kernel.arg_names}
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, name in enumerate(kernel.arg_names)
        if name in pointers or name.endswith(("_clip", "_reaction", "_head", "_frame"))
    }
    source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
    made = triton.compile(source, target=GPUTarget("cuda", capability, WARP), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        told = subprocess.run(
            [CUOBJDUMP, "-res-usage", file.name], capture_output=True, text=True, check=True
        )
    return next(line.strip() for line in told.stdout.splitlines() if "REG" in line)


for capability in (80, 90):
    for dtype, size in (("bf16", 2), ("fp32", 4)):
        queries, keys, warps, stages = TILES[size]
        pointers = dict.fromkeys(("queries", "keys", "values", "out"), f"*{dtype}")
        pointers |= {"rates": "*fp32", "mask": "*u8"}
        constants = {"WIDTH": WIDTH, "PADDED_WIDTH": WIDTH, "QUERIES": queries, "KEYS": keys}
        constants |= {"WIDEN": False}
        options = {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}
        used = resources(attention_kernel, pointers, constants, capability, **options)
        print(capability, dtype, used)
    pointers = dict.fromkeys(("x", "clean", "previous", "noise", "guidance"), "*fp32")
    constants = {"GUIDED": True, "NOISY": True, "BLOCK": 1024}
    print(
        capability, resources(step_kernel, pointers, constants, capability, enable_fp_fusion=False)
    )
