"""Print what a step of `GpuDenoiser` would launch on an H100, by the code that Inductor generates.

No GPU is needed: PyTorch traces for the CPU, the graph is moved to a device that is not there, and
Inductor schedules and writes its code, which is counted and not run. A process of its own, since it
replaces parts of PyTorch. Arguments: a model, and a scale of guidance, 1 or 2. Prints a line of
JSON, kind of launch -> how many.
"""

import json
import re
import sys
from collections import Counter
from contextlib import ExitStack
from types import SimpleNamespace
from unittest.mock import patch

import torch
import torch._inductor.config
import torch._inductor.scheduler
import torch.utils._triton
from torch import Tensor
from torch._dynamo.device_interface import CudaInterface
from torch._inductor import ir
from torch._inductor.compile_fx import compile_fx
from torch._inductor.graph import GraphLowering
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_leaves, tree_map

from mreactor_bench.throughput.weights import random_model
from mreactor_ref.config import CONFIGS
from mreactor_ref.denoiser import Context
from mreactor_runtime.kernels import compiling, gpu_denoiser

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
CAPABILITY = 9, 0
H100 = SimpleNamespace(
    name="NVIDIA H100",
    major=CAPABILITY[0],
    minor=CAPABILITY[1],
    multi_processor_count=132,
    regs_per_multiprocessor=65536,
    max_threads_per_multi_processor=2048,
    max_threads_per_block=1024,
    warp_size=32,
    total_memory=80 * 2**30,
    shared_memory_per_block=48 * 1024,
    shared_memory_per_block_optin=227 * 1024,
    L2_cache_size=50 * 2**20,
    gcnArchName="",
)
REACTIONS, FRAMES = 10, 768
LAUNCHES = re.compile(
    r"triton_(?P<kind>poi|per|red|tem)_\w+\.run\("
    r"|extern_kernels\.(?P<library>\w+)\("
    r"|= torch\.ops\.(?P<ours>mreactor\.\w+)\."
    r"|= torch\.ops\.(?P<other>\w+\.\w+)\."
    r"|(?P<copy>\.copy_)\("
)


class Written(Exception):
    """The code, in place of a module that is compiled of it."""

    def __init__(self, code: str):
        super().__init__()
        self.code = code


def write(graph: GraphLowering) -> None:
    code, _ = graph.codegen()
    raise Written(code.value)


def move(graph: torch.fx.GraphModule, inputs) -> None:
    """Say of all that is in the graph that it is on CUDA."""
    for node in graph.graph.nodes:
        for x in tree_leaves(node.meta.get("val")):
            put(x, CUDA)
        given = tree_map(lambda x: CUDA if x == CPU else x, (node.args, dict(node.kwargs)))
        node.args, node.kwargs = given
    for x in inputs:
        put(x, CUDA)


def put(x, device: torch.device):
    if isinstance(x, FakeTensor):
        x.fake_device = device
    return x


def stand_in() -> ExitStack:
    """An H100 for Inductor."""
    begin, as_tensor = GraphLowering.__init__, ir.ir_node_to_tensor

    def moved(self, graph, example_inputs=None, **others):
        move(graph, example_inputs or ())
        begin(self, graph, example_inputs, **others)

    def on_cpu(*args, **kwargs):
        # Only to find the strides of a result, and this PyTorch has no operators of CUDA.
        return put(as_tensor(*args, **kwargs), CPU)

    stack = ExitStack()
    for owner in (CudaInterface, CudaInterface.Worker):
        for name, value in {"get_device_properties": H100, "current_device": 0}.items():
            answer = staticmethod(lambda *_, value=value: value)
            stack.enter_context(patch.object(owner, name, answer))
    for owner, name, answer in (
        (CudaInterface, "is_available", lambda: True),
        (CudaInterface, "get_compute_capability", lambda *_: 10 * CAPABILITY[0] + CAPABILITY[1]),
        (torch.cuda, "is_available", lambda: True),
        (torch.cuda, "device_count", lambda: 1),
        (torch.cuda, "current_device", lambda: 0),
        (torch.cuda, "get_device_properties", lambda *_: H100),
        (torch.cuda, "get_device_capability", lambda *_: CAPABILITY),
        (torch.cuda, "get_rng_state", lambda *_: torch.empty(0)),
        (torch.cuda, "set_rng_state", lambda *_: None),
        (torch._inductor.scheduler, "has_triton", lambda *_: True),
        (torch.utils._triton, "triton_hash_with_backend", lambda: "of no driver"),
        (ir, "ir_node_to_tensor", on_cpu),
        (GraphLowering, "__init__", moved),
        (GraphLowering, "compile_to_module", write),
    ):
        of_class = isinstance(owner, type) and owner is CudaInterface
        stack.enter_context(patch.object(owner, name, staticmethod(answer) if of_class else answer))
    return stack


def inner(graph: torch.fx.GraphModule, inputs, **others):
    """Inductor's part that is after tracing, on the device that is not there."""
    from torch._inductor.compile_fx import compile_fx_inner

    with stand_in():
        return compile_fx_inner(graph, inputs, **others)


def compiled(function):
    """In place of `compiling.compiled`."""

    def backend(graph, inputs):
        return compile_fx(graph, inputs, inner_compile=inner, config_patches=compiling.OPTIONS)

    return torch.compile(function, fullgraph=True, backend=backend)


def code_of(model: str, guided: bool) -> str:
    """What Inductor writes for a step of a model."""
    config = CONFIGS[model]
    with patch.object(compiling, "compiled", compiled):
        denoiser = gpu_denoiser.GpuDenoiser(random_model(config).denoiser)

    def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, dtype=dtype)

    context = Context(
        condition=zeros(1, FRAMES, config.width),
        keys=zeros(1, config.layers, FRAMES, config.width, dtype=torch.bfloat16),
        values=zeros(1, REACTIONS, config.layers, FRAMES, config.width, dtype=torch.bfloat16),
        style=zeros(1, REACTIONS, config.width),
    )
    noisy, mask = zeros(1, REACTIONS, FRAMES, 83), zeros(1, FRAMES, dtype=torch.bool)
    step = denoiser.branches if guided else denoiser.conditional
    try:
        with torch.inference_mode():
            step(noisy, zeros(config.modulations, config.width), context, mask)
    except Exception as error:
        return written(error)
    raise RuntimeError("Inductor was not asked for its code")


def written(error: BaseException) -> str:
    """The code in what Inductor has made of `Written`. Raises the error where there is none."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Written):
            return cause.code
        cause = getattr(cause, "inner_exception", None) or cause.__cause__ or cause.__context__
    raise error


def launches(code: str) -> Counter[str]:
    """Kind -> how many are launched by the function that the code defines."""
    calls = LAUNCHES.finditer(code, code.index("def call("))
    return Counter(next(name for name in call.groups() if name) for call in calls)


if __name__ == "__main__":
    torch._inductor.config.force_disable_caches = True
    print(json.dumps(launches(code_of(sys.argv[1], guided=sys.argv[2] == "2"))))
