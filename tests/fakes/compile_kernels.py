"""Compile the Triton kernels for GPUs that are not here, and print what each takes, as JSON lines.

A process of its own, since the interpreter is chosen for a process. Arguments: a model's sizes and
compute capabilities, as in `base 80 90 100`.
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

from mreactor_ref.config import CONFIGS
from mreactor_runtime.kernels import gpu_feedforward, gpu_projection, gpu_queries, gpu_tokens
from mreactor_runtime.kernels.gpu_attention import NORMED, TILES
from mreactor_runtime.kernels.gpu_rows import FED_GATE, RELATIVE_GATE, SUBJECT_GATE
from mreactor_runtime.kernels.triton.attention import attention_kernel, key_lengths_kernel
from mreactor_runtime.kernels.triton.feedforward import feedforward_kernel
from mreactor_runtime.kernels.triton.projection import projection_kernel
from mreactor_runtime.kernels.triton.queries import queries_kernel
from mreactor_runtime.kernels.triton.step import step_kernel
from mreactor_runtime.kernels.triton.tokens import tokens_kernel

CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
WARP = 32
FLOATS = ("a", "b", "c", "n", "scale", "skipped")
# Sizes and strides that are multiples of 16 wherever a width of a model is.
ALIGNED = re.compile(r"_(clip|reaction|head|frame)$")


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


def typed(kind, names):
    return dict.fromkeys(names.split(), kind)


def step(capability, config):
    pointers = typed("*fp32", "x clean previous noise guidance")
    constants = {"GUIDED": True, "NOISY": True, "BLOCK": 1024}
    yield resources(step_kernel, pointers, constants, capability, enable_fp_fusion=False)


def attention(capability, config):
    width = config.width // config.heads
    for dtype, size in (("bf16", 2), ("fp16", 2), ("fp32", 4)):
        queries, keys, warps, stages = TILES[size]
        pointers = typed(f"*{dtype}", "queries keys values out")
        pointers |= {"rates": "*fp32", "lengths": "*i32", "longest": "*fp32"}
        constants = {"WIDTH": width, "PADDED_WIDTH": width, "QUERIES": queries, "KEYS": keys}
        constants |= {"WIDEN": False}
        options = {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}
        used = resources(attention_kernel, pointers, constants, capability, **options)
        yield used | {"dtype": dtype}
    pointers = {"keys": "*bf16", "lengths": "*i32", "out": "*fp32"}
    constants = {"WIDTH": width, "PADDED_WIDTH": width, "FRAMES": NORMED}
    yield resources(key_lengths_kernel, pointers, constants, capability)


def tokens(capability, config):
    pointers = typed("*fp32", "noisy style weight bias taps taps_bias modulation scratch x")
    pointers |= {"lengths": "*i32", "y": "*bf16"}
    constants = {"CHANNELS": 83, "DEEP": gpu_tokens.DEEP, "WIDTH": config.width}
    constants |= {"COLUMNS": gpu_tokens.COLUMNS}
    constants |= {"TAPS": config.context, "FRAMES": gpu_tokens.FRAMES}
    constants |= {"SPAN": gpu_tokens.span_of(config.context)}
    options = {"num_warps": gpu_tokens.WARPS, "enable_fp_fusion": True}
    yield resources(tokens_kernel, pointers, constants, capability, **options)


def queries(capability, config):
    pointers = typed("*bf16", "y weight bias out") | {"lengths": "*i32", "longest": "*fp32"}
    constants = {"WIDTH": config.width, "HEADS": config.heads, "FRAMES": NORMED, "WIDEN": False}
    options = {"num_warps": gpu_queries.WARPS, "num_stages": gpu_queries.STAGES}
    yield resources(queries_kernel, pointers, constants, capability, **options)


def projections(capability, config):
    pointers = typed("*bf16", "attended weight bias y query_weight query_bias queries")
    pointers |= typed("*fp32", "x modulation null")
    options = {"num_warps": gpu_projection.WARPS, "num_stages": gpu_projection.STAGES}
    for gate, shared in ((RELATIVE_GATE, True), (RELATIVE_GATE, False), (SUBJECT_GATE, False)):
        constants = {"GATE": gate, "RELATIVE": gate == RELATIVE_GATE, "SHARED": shared}
        constants |= {"WIDTH": config.width, "ROWS": gpu_projection.ROWS, "WIDEN": False}
        yield resources(projection_kernel, pointers, constants, capability, **options)


def feedforward(capability, config):
    pointers = typed("*bf16", "y up up_bias down down_bias") | typed("*fp32", "x modulation")
    warps = gpu_feedforward.warps_of(config.width)
    options = {"num_warps": warps, "num_stages": gpu_feedforward.STAGES}
    for out in ("*bf16", "*fp32"):
        constants = {"GATE": FED_GATE, "WIDTH": config.width, "WIDEN": False}
        hidden = config.feedforward * config.width
        constants |= {"HIDDEN": hidden, "CHUNK": gpu_feedforward.chunk_of(config.width, hidden)}
        constants |= {"ROWS": gpu_feedforward.ROWS}
        given = pointers | {"out": out}
        yield resources(feedforward_kernel, given, constants, capability, **options)


KERNELS = (step, attention, tokens, queries, projections, feedforward)

if __name__ == "__main__":
    name, *capabilities = sys.argv[1:]
    for capability in map(int, capabilities):
        for kernels in KERNELS:
            for row in kernels(capability, CONFIGS[name]):
                print(json.dumps(row), flush=True)
