"""The fused sampler on a CUDA device: captures, one launch a clip, parity, and printed times.

The kernels' own tests are `test_step.py` and `test_gpu_attention.py`, which run on the GPU
where there is one. Times: `pytest tests/gpu/test_fused_sampler.py -s -k times`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from fakes.models import random_model, small_config
from torch import Tensor

from mreactor_ref.config import CONFIGS
from mreactor_ref.sampler import sample
from mreactor_ref.schedule import solver_table
from mreactor_runtime.engines.reference import ReferenceEngine
from mreactor_runtime.engines.torch_cuda import FUSED, KERNELS, TorchCudaEngine
from mreactor_runtime.kernels.cuda_graph import CapturedFunction, CudaStream
from mreactor_runtime.kernels.gpu_attention import decay_attention
from mreactor_runtime.sampling import Sampler
from mreactor_runtime.tensors import CLEAN, CONDITIONAL, DENOISER, example_inputs, graph_specs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

TRAJECTORY_BOUNDS = {"fp32": 1e-4, "bf16": 5e-2}  # relative L2 to the reference in fp32
REPEATS = 10


def error(found: Tensor, expected: Tensor) -> float:
    found, expected = found.cpu().double(), expected.cpu().double()
    return float((found - expected).norm() / expected.norm())


def milliseconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median, after one call to warm up."""
    call()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times)[repeats // 2]


class Clip:
    """Random inputs of a whole loop."""

    def __init__(self, config, steps: int, frames: int, seed: int = 0, device: str = "cuda"):
        spec = graph_specs(config)[CONDITIONAL]
        inputs = example_inputs(spec, {"B": 1, "S": 10, "T": frames}, seed)
        self.inputs = {name: x.to(device) for name, x in inputs.items()}
        self.start = self.inputs.pop("noisy")
        self.inputs.pop("modulation")
        generator = torch.Generator().manual_seed(seed)
        modulation = 0.1 * torch.randn(steps, config.modulations, config.width, generator=generator)
        self.modulation = modulation.to(device)
        drawn = torch.randn(steps, *self.start.shape, generator=generator)
        self.drawn = drawn.to(device)

    def run(self, sampler: Sampler, table, guidance: float) -> Tensor:
        given = (self.inputs, self.start, table, self.modulation, guidance)
        return sampler.run(*given, lambda i: self.drawn[i])

    def eager(self, engine, table, guidance: float) -> Tensor:
        """The reference loop, launched step by step."""
        graph = CONDITIONAL if guidance == 1 else DENOISER
        known = dict(self.inputs)
        if graph == DENOISER:
            known["guidance"] = torch.tensor(guidance, device=self.start.device)

        def denoise(x: Tensor, i: int) -> Tensor:
            return engine.run(graph, {**known, "noisy": x, "modulation": self.modulation[i]})[CLEAN]

        return sample(denoise, self.start, table, lambda i: self.drawn[i])


def test_a_replay_reads_what_the_buffers_hold_now():
    x, out = torch.ones(3, device="cuda"), torch.zeros(3, device="cuda")
    captured = CapturedFunction(lambda: out.copy_(x * 2 + 1), CudaStream(x.device))
    x.fill_(4)
    captured.replay()
    assert out.tolist() == [9, 9, 9]
    captured.release()


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", TRAJECTORY_BOUNDS)
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_recorded_loop_equals_the_reference_on_the_cpu(dtype, guidance, kernels):
    if (kernels, dtype) == (FUSED, "fp32"):
        pytest.skip("float32 is left to the library's products")
    config, table = small_config(), solver_table("ddpm", 8)
    engine = TorchCudaEngine(random_model(config), dtype, kernels)
    sampler = Sampler(engine, graph_specs(config))
    for seed, frames in enumerate((100, 64, 100)):
        clip = Clip(config, 8, frames, seed)
        found = clip.run(sampler, table, guidance)
        on_cpu = Clip(config, 8, frames, seed, "cpu")
        expected = on_cpu.eager(ReferenceEngine(random_model(config)), table, guidance)
        real = clip.inputs["mask"][:, None, :, None]
        assert error(found * real, expected * real.cpu()) < TRAJECTORY_BOUNDS[dtype]
        assert error(found, clip.eager(engine, table, guidance)) < 1e-6
        assert torch.equal(found, clip.run(sampler, table, guidance))
    sampler.close()


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_clip_is_one_launch_of_one_graph(guidance):
    config, table = small_config(), solver_table("ddpm", 8)
    sampler = Sampler(TorchCudaEngine(random_model(config)), graph_specs(config))
    clip = Clip(config, 8, 64)
    clip.run(sampler, table, guidance)
    torch.cuda.synchronize()
    with torch.profiler.profile(acc_events=True) as profile:
        clip.run(sampler, table, guidance)
        torch.cuda.synchronize()
    launches = [event for event in profile.events() or () if event.name == "cudaGraphLaunch"]
    assert len(launches) == 1
    sampler.close()


def test_graphs_of_many_lengths_share_their_memory():
    config, table = small_config(), solver_table("ddim", 4)
    sampler = Sampler(TorchCudaEngine(random_model(config)), graph_specs(config))
    sizes = [{"B": 1, "S": 10, "T": frames} for frames in (256, 1024, 512, 768)]
    sampler.prepare(sizes[1:2], table)
    largest = torch.cuda.memory_reserved()
    sampler.prepare(sizes, table)
    assert torch.cuda.memory_reserved() < 1.25 * largest
    sampler.close()


def test_a_clip_of_ten_minutes_keeps_no_scores():
    frames, heads, width = 15_000, 4, 64
    shape = (1, 2, frames, heads, width)
    q, k, v = (torch.randn(shape, device="cuda").bfloat16().transpose(2, 3) for _ in range(3))
    rates = torch.tensor([0.01, 0.04, 0.14, 0.5], device="cuda")
    lengths = torch.full((1,), frames, dtype=torch.int32, device="cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    found = decay_attention(q, k, v, rates, lengths)
    torch.cuda.synchronize()
    assert found.isfinite().all()
    assert torch.cuda.max_memory_allocated() - before < 4 * q.nbytes


@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores:UserWarning")  # by its compiler
def test_attention_times_beside_pytorchs_own():
    """FlexAttention has the decay, but not the keys that are skipped; sdpa has neither."""
    from torch.nn.attention.flex_attention import flex_attention

    shape = (1, 20, 768, 4, 64)
    q, k, v = (torch.randn(shape, device="cuda").bfloat16().transpose(2, 3) for _ in range(3))
    rates = torch.tensor([0.01, 0.04, 0.14, 0.5], device="cuda")
    lengths = torch.full((1,), 768, dtype=torch.int32, device="cuda")
    flat_q, flat_k, flat_v = (x.flatten(0, 1) for x in (q, k, v))

    def decay(score: Tensor, b: Tensor, h: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return score - rates[h] * (x - y).abs()

    flex = torch.compile(flex_attention)
    ours, theirs = (
        decay_attention(q, k, v, rates, lengths)[0],
        flex(flat_q, flat_k, flat_v, score_mod=decay),
    )
    assert error(theirs, ours) < 2e-2
    own = milliseconds(lambda: decay_attention(q, k, v, rates, lengths))
    flexed = milliseconds(lambda: flex(flat_q, flat_k, flat_v, score_mod=decay))
    plain = milliseconds(
        lambda: torch.nn.functional.scaled_dot_product_attention(flat_q, flat_k, flat_v)
    )
    print(
        f"\nattention, 20 x 768 frames, bf16: ours {own:.3f} ms, "
        f"flex {flexed:.3f}, sdpa {plain:.3f}"
    )


@pytest.mark.slow
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_times_of_base_in_bf16(guidance):
    """750 frames in their bucket of 768, 10 reactions, 50 steps: beside eager fp32."""
    config, table = CONFIGS["base"], solver_table("ddim", 50)
    clip = Clip(config, 50, 768)
    model = random_model(config, spread=0.02)
    eager = ReferenceEngine(random_model(config, spread=0.02).to("cuda"))
    eager._model.fuse_attention()
    sampler = Sampler(TorchCudaEngine(model), graph_specs(config))
    found, expected = clip.run(sampler, table, guidance), clip.eager(eager, table, guidance)
    fused = milliseconds(lambda: clip.run(sampler, table, guidance))
    slow = milliseconds(lambda: clip.eager(eager, table, guidance), repeats=3)
    print(
        f"\nbase, guidance {guidance:g}: {fused:.1f} ms a clip fused in bf16, {slow:.1f} eager in "
        f"fp32: {slow / fused:.1f} times; relative L2 {error(found, expected):.2g}; "
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    )
    assert found.isfinite().all()
    assert fused < slow
    sampler.close()
