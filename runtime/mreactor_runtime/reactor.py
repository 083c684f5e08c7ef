"""Reactions of a clip, on any engine: the public interface of a notebook.

    reactor = Reactor.open("mini")
    reactions = reactor.generate(clip, samples=10)

A clip runs at the fixed shapes of its length's bucket: the encoder once a clip, the step
modulations once a solver table, the denoiser once a step with reactions as an axis. Noise comes
from outside the engine, so every engine makes the same reactions, up to rounding.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mreactor_ref.config import ModelConfig
from mreactor_ref.emotion.priors import Prior, PriorSource, assign
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.model import to_reaction
from mreactor_ref.noise import INITIAL, reaction_noise
from mreactor_ref.schedule import SolverTable, solver_table
from mreactor_ref.signals import (
    REACTION,
    REACTION_ATTRIBUTES,
    REACTION_COEFFICIENTS,
    Reactions,
    SpeakerClip,
)
from mreactor_runtime import tensors
from mreactor_runtime.batching import bucket, groups
from mreactor_runtime.bundle import SolverDefaults
from mreactor_runtime.clip_tensors import encoder_inputs
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.engines.names import AUTO, CUDA
from mreactor_runtime.opening import Model, open_model
from mreactor_runtime.sampling import Sampler


@dataclass(frozen=True)
class ClipReactions(Reactions):
    """The reactions to one clip, and the priors they came from: of each reaction, one an utterance.

    `attributes` (S, T, 25) and `coefficients` (S, T, 58), float32, in natural units.
    """

    clip_id: str
    priors: tuple[tuple[Prior, ...], ...]


class Reactor:
    """A model on an engine. `Reactor.open` finds both; the constructor takes them as they are.

    Attributes:
        source: of the emotion priors; expressive recovery on this machine where left out.
        notes: lines for the user about what `open` chose.
    """

    def __init__(
        self,
        model: Model,
        engine: Engine,
        source: PriorSource | None = None,
        notes: tuple[str, ...] = (),
    ):
        self.model, self.engine, self.notes = model, engine, notes
        self.source = source or ExpressiveRecovery()
        self._specs = tensors.graph_specs(model.config)
        self._sampler = Sampler(engine, self._specs)
        # Several, so that a GPU waits less for the noise of a clip.
        self._threads = ThreadPoolExecutor(thread_name_prefix="draws noise")
        self._solvers: dict[tuple[str, int, str], tuple[SolverTable, Tensor]] = {}

    @classmethod
    def open(
        cls,
        model: str | Path = "mini",
        engine: str = AUTO,
        threads: int | None = None,
        device: str = AUTO,
        source: PriorSource | None = None,
        dtype: str = AUTO,
    ) -> Reactor:
        """A model by name, checkpoint or bundle folder; arguments and errors of `open_model`."""
        opened = open_model(model, engine, device, threads, dtype)
        return cls(opened.model, opened.engine, source, opened.notes)

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    @property
    def device_name(self) -> str:
        """What the engine runs on, for people."""
        if self.engine.device.type == CUDA:
            return torch.cuda.get_device_name(self.engine.device)
        return cpu_name()

    def solver(
        self,
        scheduler: str | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        timestep_spacing: str | None = None,
    ) -> SolverDefaults:
        """The model's own defaults, with what is given in their place. UsageError: out of range."""
        given = {
            "scheduler": scheduler,
            "steps": steps,
            "guidance_scale": guidance_scale,
            "timestep_spacing": timestep_spacing,
        }
        changed: dict[str, Any] = {name: x for name, x in given.items() if x is not None}
        solver = replace(self.model.defaults, **changed)
        self._table(solver)
        return solver

    def _table(self, solver: SolverDefaults) -> SolverTable:
        return solver_table(
            solver.scheduler,
            solver.steps,
            self.config.train_steps,
            timestep_spacing=solver.timestep_spacing,
        )

    def generate(
        self,
        clip: SpeakerClip,
        samples: int = 10,
        seed: int = 0,
        scheduler: str | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        smoothness: float = 0.0,
        timestep_spacing: str | None = None,
    ) -> ClipReactions:
        """`samples` reactions to one clip.

        Args:
            seed: with the clip's id it fixes noise and priors.
            scheduler: one of `schedule.SCHEDULERS`; None is the model's own, and so for `steps`,
                `timestep_spacing` (one of `schedule.SPACINGS`) and `guidance_scale` (0 ignores the
                speaker, 1 is no guidance).
            smoothness: of the motion, in deviations from the training data's mean.
        Raises:
            UsageError: an option out of range.
            ClipError: the clip does not fit the model, or the result is not finite.
        """
        options = (samples, seed, scheduler, steps, guidance_scale, smoothness, timestep_spacing)
        made = self.generate_batch([clip], *options)[0]
        if isinstance(made, ClipError):
            raise made
        return made

    def generate_batch(
        self,
        clips: Sequence[SpeakerClip],
        samples: int = 10,
        seed: int = 0,
        scheduler: str | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        smoothness: float = 0.0,
        timestep_spacing: str | None = None,
    ) -> list[ClipReactions | ClipError]:
        """`generate` of several clips whose tensors are on the device together.

        Each goes through the sampler alone, with its reactions as one batch: what fills a GPU are
        reactions times frames, and a library may compute another batch in another order, so that
        the bytes of a clip would depend on its neighbours.

        Returns: for each clip its reactions, or the error that is its own.
        Raises: UsageError: an option out of range.
        """
        if samples < 1:
            raise UsageError(f"samples is {samples}, not at least 1")
        solver = self.solver(scheduler, steps, guidance_scale, timestep_spacing)
        self._solver_table(solver)
        found: dict[int, ClipReactions | ClipError] = {}
        ready: list[_Ready] = []
        for number, clip in enumerate(clips):
            try:
                priors = assign(clip.utterances, self.source, samples, seed, clip.id)
                encoded = self._encode(clip, priors, bucket(clip.frames), smoothness)
            except ClipError as error:
                found[number] = error
            else:
                ready.append(_Ready(number, clip, priors, encoded))
        # All are sampled before the first is waited for; a GPU works on meanwhile.
        sampled = [self._sample(one, samples, seed, solver) for one in ready]
        for one, reaction in zip(ready, sampled, strict=True):
            found[one.number] = _in_natural_units(one, reaction)
        return [found[number] for number in range(len(clips))]

    def generate_all(self, clips: Iterable[SpeakerClip], **options: Any) -> Iterator[ClipReactions]:
        """`generate` of each clip, in order, one at a time."""
        for clip in clips:
            yield self.generate(clip, **options)

    def prepare(
        self,
        frames: Sequence[int],
        samples: int = 10,
        scheduler: str | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        timestep_spacing: str | None = None,
    ) -> None:
        """Record the sampler for clips of some lengths, so that their first ones need not wait.

        The longest comes first, and the others share its memory. Where nothing is recorded, as on a
        CPU, it does nothing.

        Args: frames: the lengths. The others are those that `generate` will be given.
        Raises: UsageError: an option out of range.
        """
        solver = self.solver(scheduler, steps, guidance_scale, timestep_spacing)
        table, _ = self._solver_table(solver)
        sizes = [
            {tensors.CLIPS: 1, tensors.REACTIONS: group.stop - group.start, tensors.FRAMES: length}
            for length in {bucket(count) for count in frames}
            for group in self._groups(samples, length)
        ]
        self._sampler.prepare(sizes, table, solver.guidance_scale)

    def free_memory(self) -> None:
        """Give back what was kept for the next clip: recordings, and the device's cached memory."""
        self._sampler.close()
        if self.engine.device.type == CUDA:
            torch.cuda.empty_cache()

    def _solver_table(self, solver: SolverDefaults) -> tuple[SolverTable, Tensor]:
        """The table and the modulation of each of its steps (N, M, D), made once."""
        key = (solver.scheduler, solver.steps, solver.timestep_spacing)
        if key not in self._solvers:
            table = self._table(solver)
            timestep = torch.tensor(table.timesteps, device=self.engine.device)
            made = self.engine.run(tensors.MODULATOR, {tensors.TIMESTEP: timestep})
            self._solvers[key] = table, made[tensors.MODULATION]
        return self._solvers[key]

    def _encode(
        self, clip: SpeakerClip, priors: Sequence[Sequence[Prior]], length: int, smoothness: float
    ) -> dict[str, Tensor]:
        """What the denoiser needs of a clip, the mask included, padded to `length` frames."""
        spec = self._specs[tensors.ENCODER]
        inputs = encoder_inputs(clip, priors, length, smoothness, spec, self.config)
        inputs = {name: value.to(self.engine.device) for name, value in inputs.items()}
        encoded = self.engine.run(tensors.ENCODER, inputs)
        return encoded | {tensors.MASK: inputs[tensors.MASK]}

    def _sample(self, one: _Ready, samples: int, seed: int, solver: SolverDefaults) -> Tensor:
        """The reactions of a clip, (S, T of the bucket, 83), in natural units."""
        made = [
            self._group(one.clip.id, group, seed, solver, one.encoded)
            for group in self._groups(samples, bucket(one.clip.frames))
        ]
        clean = torch.cat(made, dim=1)[0]
        mean, std = self.model.reaction_mean, self.model.reaction_std
        return to_reaction(clean, mean.to(clean.device), std.to(clean.device))

    def _groups(self, samples: int, length: int) -> list[slice]:
        """The reactions of a clip that go through the sampler together."""
        if self.engine.keeps_scores:
            return groups(samples, length, self.config.heads)
        return [slice(0, samples)]

    def _group(
        self,
        clip_id: str,
        group: slice,
        seed: int,
        solver: SolverDefaults,
        encoded: dict[str, Tensor],
    ) -> Tensor:
        """The standardised reactions of a group, (1, S of the group, T of the bucket, 83)."""
        table, modulation = self._solver_table(solver)
        inputs = {
            spec.name: _reactions(encoded[spec.name], spec, group)
            for spec in self._specs[tensors.DENOISER].inputs
            if spec.name in encoded
        }
        length, numbers = inputs[tensors.MASK].shape[1], range(group.start, group.stop)

        def noise(step: int) -> Tensor:
            places = seed, [clip_id], numbers, step, length, REACTION
            drawn = reaction_noise(*places, each=self._threads.map)
            return torch.from_numpy(drawn).to(self.engine.device)

        scale = solver.guidance_scale
        return self._sampler.run(inputs, noise(INITIAL), table, modulation, scale, noise)


@dataclass(frozen=True)
class _Ready:
    """A clip of a batch, its place there, and what the denoiser needs of it (B = 1)."""

    number: int
    clip: SpeakerClip
    priors: tuple[tuple[Prior, ...], ...]
    encoded: dict[str, Tensor]


def _in_natural_units(one: _Ready, reaction: Tensor) -> ClipReactions | ClipError:
    """The result of a clip from its reactions (S, T of the bucket, 83)."""
    reaction = reaction[:, : one.clip.frames]
    if not bool(reaction.isfinite().all()):
        return ClipError("the engine's result is not finite", one.clip.id, "try --engine torch")
    natural = reaction.cpu().numpy()
    return ClipReactions(
        attributes=np.ascontiguousarray(natural[..., REACTION_ATTRIBUTES]),
        coefficients=np.ascontiguousarray(natural[..., REACTION_COEFFICIENTS]),
        clip_id=one.clip.id,
        priors=one.priors,
    )


def cpu_name() -> str:
    """The processor's name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _reactions(x: Tensor, spec: tensors.TensorSpec, group: slice) -> Tensor:
    """The part of a tensor that belongs to some reactions; all of it where it has no such axis."""
    if tensors.REACTIONS not in spec.axes:
        return x
    return x.narrow(spec.axes.index(tensors.REACTIONS), group.start, group.stop - group.start)
