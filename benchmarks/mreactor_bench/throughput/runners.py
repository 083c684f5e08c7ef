"""Makes the call that is timed of a setting: features in memory to reactions in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mreactor_bench.throughput.peers import Peer, eager, onnx_arrays, published
from mreactor_bench.throughput.setting import COMPILE, ONNX_ARRAYS, PUBLISHED, Setting
from mreactor_bench.throughput.speakers import SEED, FixedPriors, make_batch, random_clips
from mreactor_bench.throughput.weights import Weights
from mreactor_ref.checkpoint import load_checkpoint
from mreactor_ref.config import ModelConfig
from mreactor_ref.emotion.priors import assign
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.model import MReactor, to_reaction
from mreactor_ref.noise import INITIAL, reaction_noise
from mreactor_ref.sampler import sample
from mreactor_ref.signals import REACTION, Array, SpeakerClip
from mreactor_runtime.bundle import open_bundle
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import AUTO, TORCH
from mreactor_runtime.reactor import ClipReactions, Reactor
from mreactor_runtime.sampling_options import Sampling
from mreactor_runtime.tensors import graph_specs


@dataclass(frozen=True)
class Runner:
    """A call to time, on its own clips.

    Attributes:
        call: () -> reactions (B, S, T, 83), float32, in natural units.
        name: an engine's own where "auto" chose it. notes: what opening it said.
    """

    call: Callable[[], Array]
    name: str
    notes: tuple[str, ...] = ()


def open_runner(weights: Weights, setting: Setting) -> Runner:
    """An engine or a peer that is ready to be called.

    Raises:
        UsageError: a device or package that is not there, or a dtype that a runner has not.
        Unavailable: a peer that this machine cannot run.
    """
    choose_device(setting.device)
    if setting.threads is not None:
        torch.set_num_threads(setting.threads)
    return _open_peer(weights, setting) if setting.is_peer else _open_engine(weights, setting)


def _open_engine(weights: Weights, setting: Setting) -> Runner:
    model: Path
    if setting.runner in (TORCH, AUTO) and weights.checkpoint is not None:
        model = weights.checkpoint
    elif setting.runner == TORCH:
        model = weights.checkpoint_for(TORCH)
    else:
        model = weights.graphs_of(setting.dtype)
    opened = Reactor.open(
        *(model, setting.runner, setting.threads, setting.device),
        source=FixedPriors(),
        dtype=setting.dtype,
    )
    clips = random_clips(opened.config, setting.frames, setting.batch_size)
    sampling = Sampling(setting.samples, SEED, solver=setting.solver)

    def call() -> Array:
        priors = [
            assign(clip.utterances, opened.source, sampling.samples, SEED, clip.id)
            for clip in clips
        ]
        reactions = list[ClipReactions]()
        for one in opened.generate_batch(clips, priors, sampling):
            if isinstance(one, ClipError):
                raise one
            reactions.append(one)
        attributes = np.stack([one.attributes for one in reactions])
        coefficients = np.stack([one.coefficients for one in reactions])
        return np.concatenate((attributes, coefficients), axis=-1)

    return Runner(call, opened.engine.name, opened.notes)


def _open_peer(weights: Weights, setting: Setting) -> Runner:
    if setting.dtype != "fp32":
        raise UsageError(f"the peer {setting.runner} runs in fp32, not {setting.dtype}")
    if setting.runner == ONNX_ARRAYS:
        bundle = open_bundle(weights.graphs_of("fp32"))
        config, info = bundle.info.config, bundle.info
        files = {name: bundle.graph(name) for name in graph_specs(config)}
        peer = onnx_arrays(files, config, setting.device, setting.threads)
        mean, std = torch.tensor(info.reaction_mean), torch.tensor(info.reaction_std)
        shares = np.array(info.listener_shares, np.float32)
        device = torch.device("cpu")  # of the arrays
    else:
        device = choose_device(setting.device)
        model = load_checkpoint(weights.checkpoint_for(setting.runner)).to(device)
        config, peer = model.config, _torch_peer(setting.runner, model)
        mean, std = model.reaction.mean, model.reaction.std
        shares = model.listener_shares.numpy(force=True)
    clips = random_clips(config, setting.frames, setting.batch_size)

    def call() -> Array:
        with torch.inference_mode():
            clean = run_peer(peer, clips, shares, setting, config, device)
            return to_reaction(clean, mean, std).cpu().numpy()

    return Runner(call, setting.runner)


def _torch_peer(name: str, model: MReactor) -> Peer:
    if name == PUBLISHED:
        return published(model)
    return eager(model, compiled=name == COMPILE)


def run_peer(
    peer: Peer,
    clips: list[SpeakerClip],
    shares: Array,
    setting: Setting,
    config: ModelConfig,
    device: torch.device,
) -> torch.Tensor:
    """Clips to standardised reactions (B, S, T, 83), with what the engines draw.

    Args: shares: of each listener's code.
    """
    table = setting.solver.table(config.train_steps)
    ids, samples = [clip.id for clip in clips], range(setting.samples)

    def noise(step: int) -> torch.Tensor:
        drawn = reaction_noise(SEED, ids, samples, step, setting.frames, REACTION)
        return torch.from_numpy(drawn).to(device)

    batch = make_batch(clips, setting.samples, shares, device)
    denoise = peer(batch, table, setting.solver.guidance_scale)
    return sample(denoise, noise(INITIAL), table, noise)
