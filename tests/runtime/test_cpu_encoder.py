"""The encoder in pieces against the reference, and the memory that it takes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from subprocess import PIPE

import pytest
import torch
from fakes.models import random_batch, random_model, small_config
from torch import Tensor

from mreactor_ref.config import Attention
from mreactor_ref.denoiser import Context
from mreactor_ref.model import Batch
from mreactor_runtime.engines.reference import ReferenceEngine
from mreactor_runtime.engines.torch_fused import TorchFusedEngine
from mreactor_runtime.kernels import cpu_pieces
from mreactor_runtime.kernels.cpu_encoder import CpuEncoder
from mreactor_runtime.kernels.cpu_pieces import pieces
from mreactor_runtime.tensors import ENCODER, example_inputs, graph_specs

CONFIG = small_config()
FRAMES = 150
TESTS = Path(__file__).parents[1]


def batch(missing: tuple[int, ...] = ()) -> Batch:
    """Two clips of 150 and 90 frames, without some streams."""
    random = random_batch(CONFIG, clips=2, reactions=3, frames=FRAMES)
    random.present[:, list(missing)] = 0
    return replace(random, mask=torch.arange(FRAMES) < torch.tensor([FRAMES, 90])[:, None])


def real(context: Context, name: str, mask: Tensor) -> Tensor:
    """A tensor of a context, its real frames where it has frames."""
    x: Tensor = getattr(context, name)
    if name == "style":
        return x
    frames_last = x.movedim(-2, 1)  # (B, T, ...)
    return frames_last[mask]


@pytest.mark.parametrize("missing", [(), (0,), (1, 3), (2, 3)])
@pytest.mark.parametrize("piece", [16, 64, FRAMES])
def test_it_is_the_reference_s_in_every_real_frame(
    missing: tuple[int, ...], piece: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cpu_pieces, "PIECE", piece)
    model, inputs = random_model(CONFIG), batch(missing)
    expected, context = model.encode(inputs), CpuEncoder(model, threads=2)(inputs)
    for field in fields(Context):
        torch.testing.assert_close(
            real(context, field.name, inputs.mask),
            real(expected, field.name, inputs.mask),
            rtol=1e-4,
            atol=1e-5,
            msg=lambda text, name=field.name: f"{name}: {text}",
        )


def test_the_bytes_depend_on_no_thread():
    model, inputs = random_model(CONFIG), batch()
    one, three = (CpuEncoder(model, threads)(inputs) for threads in (1, 3))
    for field in fields(Context):
        assert torch.equal(getattr(one, field.name), getattr(three, field.name))


@pytest.mark.parametrize("attention", ["self", "cross", "self+cross"])
def test_it_serves_every_kind_of_attention(attention: Attention):
    config = small_config(attention)
    inputs = example_inputs(graph_specs(config)[ENCODER], {"B": 2, "S": 2, "T": 40})
    expected = ReferenceEngine(random_model(config)).run(ENCODER, inputs)
    outputs = TorchFusedEngine(random_model(config), threads=2).run(ENCODER, inputs)
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(outputs[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 100, 101, 150, 1000])
def test_pieces_are_the_clip_and_see_what_is_near(frames: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cpu_pieces, "PIECE", 100)
    clip, cut = torch.arange(frames), list(pieces(frames, margin=24))
    assert torch.equal(torch.cat([clip[piece.frames] for piece in cut]), clip)
    for piece in cut:
        assert torch.equal(clip[piece.seen][piece.inside], clip[piece.frames])
        assert piece.seen.start == max(0, piece.frames.start - 24)
        assert piece.seen.stop == min(frames, piece.frames.stop + 24)


MEMORY = """
import resource
import sys
import torch
from fakes.models import random_batch, random_model, small_config
from mreactor_runtime.kernels.cpu_encoder import CpuEncoder

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

config = small_config()
encoder = CpuEncoder(random_model(config), threads=1)
with torch.inference_mode():
    encoder(random_batch(config, clips=1, reactions=1, frames=512))
    inputs = random_batch(config, clips=1, reactions=1, frames=int(sys.argv[1]))
    before = peak()
    context = encoder(inputs)
held = sum(x.nbytes for x in vars(context).values())
print(peak() - before - held)
"""


def test_what_it_takes_beside_its_results_grows_with_the_length_alone():
    def taken(frames: int) -> int:
        command = [sys.executable, "-c", MEMORY, str(frames)]
        return int(subprocess.run(command, cwd=TESTS, stdout=PIPE, text=True, check=True).stdout)

    # Scores of all frames of 12,000 would be 5 GB, four times those of 6,000.
    short, long = taken(6_000), taken(12_000)
    assert long < 160 * 2**20
    assert long < 3 * max(short, 32 * 2**20)
