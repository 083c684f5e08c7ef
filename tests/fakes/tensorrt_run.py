"""A stand-in for what runs a TensorRT plan, without a GPU.

Every call that an engine must make in the right order is written into one list. A context reads
its inputs from the addresses it was given and writes its outputs there, with the fake model of
`fakes.engines`.
"""

from __future__ import annotations

import ctypes
import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fakes.cuda_graph import HANDLE
from fakes.engines import CONFIG, FakeEngine
from mreactor_runtime.tensors import GraphSpec, graph_specs

TYPES = {"float32": "FLOAT", "int64": "INT64", "bool": "BOOL"}
SCRATCH = {"encoder": 100, "modulator": 0, "conditional": 2000, "denoiser": 3000}


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class FakeContext:
    """Runs one graph of the fake model at the shapes and addresses that it is given."""

    def __init__(self, engine: FakePlan):
        self.engine, self.calls = engine, engine.calls
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.profile: int | None = None
        self.fails = False

    def set_optimization_profile_async(self, index: int, handle: int) -> bool:
        assert handle == HANDLE
        self.calls.append(f"profile {index}")
        self.profile = index
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self.profile is not None
        self.calls.append(f"shape {name} {shape}")
        self.shapes[name] = shape
        return self._is_in_profile(name, shape)

    def set_device_memory(self, address: int, size: int) -> None:
        assert address
        assert size >= SCRATCH[self.engine.spec.name]
        self.calls.append("scratch")

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.calls.append(f"address {name}")
        self.addresses[name] = address
        return True

    def infer_shapes(self) -> list[str]:
        return [t.name for t in self.engine.spec.inputs if t.name not in self.shapes]

    def execute_async_v3(self, handle: int) -> bool:
        assert handle == HANDLE
        if self.fails:
            self.engine.log(ILogger.ERROR, "out of memory")
            return False
        self.calls.append("execute")
        self._compute()
        return True

    def __del__(self) -> None:
        self.calls.append("release context")

    def _is_in_profile(self, name: str, shape: tuple[int, ...]) -> bool:
        least, _, most = self.engine.get_tensor_profile_shape(name, self.profile)
        return all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True))

    def _compute(self) -> None:
        spec = self.engine.spec
        inputs = {
            t.name: _read(self.addresses[t.name], self.shapes[t.name], t.dtype) for t in spec.inputs
        }
        for name, value in FakeEngine().run(spec.name, inputs).items():
            _write(self.addresses[name], value)


class FakePlan:
    """A deserialised plan."""

    def __init__(self, told: dict[str, Any], fake: Any):
        self.spec: GraphSpec = graph_specs(CONFIG)[told["graph"]]
        self.profiles = told["profiles"]
        self.calls, self.log = fake.calls, fake.logged
        self.num_optimization_profiles = len(self.profiles)
        self.device_memory_size_v2 = SCRATCH[self.spec.name]
        self._tensors = {t.name: t for t in (*self.spec.inputs, *self.spec.outputs)}
        self._names = list(self._tensors)
        self.num_io_tensors = len(self._names)
        self.wrong_types: dict[str, str] = fake.wrong_types

    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    def get_tensor_mode(self, name: str) -> str:
        return "INPUT" if name in {t.name for t in self.spec.inputs} else "OUTPUT"

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=self.wrong_types.get(name, TYPES[self._tensors[name].dtype]))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(-1 if isinstance(a, str) else a for a in self._tensors[name].axes)

    def get_tensor_profile_shape(self, name: str, index: int | None) -> Any:
        assert index is not None
        shapes = self.profiles[index].get(name)
        return shapes or [self._tensors[name].axes] * 3

    def create_execution_context(self, how: Any) -> FakeContext | None:
        self.calls.append(f"context {self.spec.name}")
        assert how == "USER_MANAGED" or how.strategy == "USER_MANAGED"
        return FakeContext(self)

    def create_runtime_config(self) -> FakeRuntimeConfig:
        return FakeRuntimeConfig(self.calls)

    def __del__(self) -> None:
        self.calls.append("release plan")


class FakeRuntimeConfig:
    def __init__(self, calls: list[str]):
        self.calls, self.strategy = calls, ""

    def set_execution_context_allocation_strategy(self, strategy: str) -> None:
        self.strategy = strategy

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("cuda_graph_strategy", "dynamic_shapes_kernel_specialization_strategy"):
            self.calls.append(f"{name} {value}")
        object.__setattr__(self, name, value)


def _read(address: int, shape: tuple[int, ...], dtype: str) -> Tensor:
    kind = getattr(torch, dtype)
    size = math.prod(shape) * kind.itemsize
    content = bytearray(ctypes.string_at(address, size))
    return torch.frombuffer(content, dtype=kind).reshape(shape)


def _write(address: int, value: Tensor) -> None:
    content = value.contiguous()
    ctypes.memmove(address, content.data_ptr(), content.nbytes)
