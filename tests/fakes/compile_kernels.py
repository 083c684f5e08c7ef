"""Compile the Triton kernels for GPUs that are not here, and print what each takes, as JSON lines.

A process of its own, since the interpreter is chosen for a process. Arguments: compute
capabilities, as in `80 90 100`.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.pop("TRITON_INTERPRET", None)

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mreactor_runtime.kernels.gpu_attention import NORMED, TILES
from mreactor_runtime.kernels.triton.attention import attention_kernel, key_lengths_kernel
from mreactor_runtime.kernels.triton.step import step_kernel

CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
WIDTH = 64  # channels of a head in `base`
WARP = 32
FLOATS = ("a", "b", "c", "n", "scale", "skipped")
# Sizes and strides that are multiples of 16 wherever a width of a model is.
ALIGNED = re.compile(r"_(clip|reaction|head|frame)$|^width$")


def resources(kernel, pointers, constants, capability, **options) -> dict[str, Any]:
    """Registers and stack by the disassembler; threads, shared memory by the compiler."""
    known = dict.fromkeys(FLOATS, "fp32") | pointers | dict.fromkeys(constants, "constexpr")
    signature = {name: known.get(name, "i32") for name in kernel.arg_names}
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, name in enumerate(kernel.arg_names)
        if name in pointers or (ALIGNED.search(name) and name not in constants)
    }
    source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
    built = triton.compile(source, target=GPUTarget("cuda", capability, WARP), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(built.asm["cubin"])
        file.flush()
        command = [CUOBJDUMP, "-res-usage", file.name]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack = (int(re.findall(rf"{name}:(\d+)", told)[-1]) for name in ("REG", "STACK"))
    threads = built.metadata.num_warps * WARP
    return {
        "kernel": kernel.__name__,
        "capability": capability,
        "registers": registers,
        "stack": stack,
        "threads": threads,
        "shared": built.metadata.shared,
    }


def step(capability):
    pointers = dict.fromkeys(("x", "clean", "previous", "noise", "guidance"), "*fp32")
    constants = {"GUIDED": True, "NOISY": True, "BLOCK": 1024}
    yield resources(step_kernel, pointers, constants, capability, enable_fp_fusion=False)


def attention(capability):
    for dtype, size in (("bf16", 2), ("fp16", 2), ("fp32", 4)):
        queries, keys, warps, stages = TILES[size]
        pointers = dict.fromkeys(("queries", "keys", "values", "out"), f"*{dtype}")
        pointers |= {"rates": "*fp32", "lengths": "*i32", "longest": "*fp32"}
        constants = {"WIDTH": WIDTH, "PADDED_WIDTH": WIDTH, "QUERIES": queries, "KEYS": keys}
        constants |= {"WIDEN": False}
        options = {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}
        yield resources(attention_kernel, pointers, constants, capability, **options) | {
            "dtype": dtype
        }
    pointers = {"keys": "*bf16", "lengths": "*i32", "out": "*fp32"}
    constants = {"WIDTH": WIDTH, "PADDED_WIDTH": WIDTH, "FRAMES": NORMED}
    yield resources(key_lengths_kernel, pointers, constants, capability)


if __name__ == "__main__":
    for capability in map(int, sys.argv[1:]):
        for kernels in (step, attention):
            for row in kernels(capability):
                print(json.dumps(row), flush=True)
