"""Reactions of a clip, on any engine: the public interface of a notebook.

    reactor = Reactor.open("mini")
    reactions = reactor.generate(clip, samples=10)

A clip runs at its bucket's fixed shapes: encoder once a clip, modulations once a solver table,
denoiser once a step with reactions as an axis, of a small model on a GPU for several clips in fixed
slots. Noise comes from outside: engines agree to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mreactor_ref.config import ModelConfig
from mreactor_ref.emotion.priors import Priors, PriorSource, assign
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.errors import ClipError
from mreactor_ref.listeners import draw_codes
from mreactor_ref.model import to_reaction
from mreactor_ref.noise import INITIAL
from mreactor_ref.schedule import Solver, SolverTable
from mreactor_ref.signals import REACTION_ATTRIBUTES, REACTION_COEFFICIENTS, Reactions, SpeakerClip
from mreactor_runtime import tensors
from mreactor_runtime.batching import bucket, groups
from mreactor_runtime.clip_tensors import encoder_inputs
from mreactor_runtime.device_names import device_name
from mreactor_runtime.encoding import Encoder
from mreactor_runtime.engines.engine import Engine, SideBySide
from mreactor_runtime.engines.names import AUTO, CUDA
from mreactor_runtime.noise_ahead import Draw, NoiseAhead
from mreactor_runtime.opening import ModelFacts, open_model
from mreactor_runtime.provenance import Provenance
from mreactor_runtime.sampling import Sampler
from mreactor_runtime.sampling_options import Sampling, changed
from mreactor_runtime.slots import Encoded, Filled, fill
from mreactor_runtime.thread_pool import started_pool
from mreactor_runtime.transfer import HostCopy, to_device


@dataclass(frozen=True)
class ClipReactions(Reactions):
    """The reactions to one clip, what made them, and their priors: of each, one an utterance.

    `attributes` (S, T, 25) and `coefficients` (S, T, 58), float32, in natural units.
    """

    provenance: Provenance
    priors: Priors

    @property
    def clip_id(self) -> str:
        return self.provenance.clip


class Reactor:
    """A model on an engine. `Reactor.open` finds both; the constructor takes them as they are.

    Attributes:
        source: of the emotion priors; expressive recovery on this machine where left out.
        notes: lines for the user about what `open` chose.
        sampling: of calls that say nothing else; the model's own solver where left out.
        clock: how long its device has worked.
    """

    def __init__(
        self,
        model: ModelFacts,
        engine: Engine,
        source: PriorSource | None = None,
        notes: tuple[str, ...] = (),
        sampling: Sampling | None = None,
    ):
        self.model, self.engine, self.notes = model, engine, notes
        self.source = source or ExpressiveRecovery()
        self.sampling = sampling or Sampling(solver=model.defaults)
        self._specs = tensors.graph_specs(model.config)
        self._sampler = Sampler(engine, self._specs)
        channels = model.reaction_mean, model.reaction_std
        self._mean, self._std = (to_device(channel, engine.device) for channel in channels)
        self.clock = self._sampler.clock
        spec = self._specs[tensors.ENCODER]
        self._encoder = Encoder(engine, spec, self._sampler.stream, self.clock)
        self._threads = started_pool(os.cpu_count() or 1, "draws noise")
        self._tables: dict[Solver, tuple[SolverTable, Tensor]] = {}

    @classmethod
    def open(
        cls,
        model: str | Path = "mini",
        engine: str = AUTO,
        threads: int | None = None,
        device: str = AUTO,
        source: PriorSource | None = None,
        dtype: str = AUTO,
        **changes: Any,
    ) -> Reactor:
        """A model by name, checkpoint or bundle folder; arguments and errors of `open_model`.

        Args:
            changes: of how it samples, by name, such as `samples=3, steps=5`.
        """
        opened = open_model(model, engine, device, threads, dtype)
        sampling = changed(Sampling(solver=opened.model.defaults), **changes)
        return cls(opened.model, opened.engine, source, opened.notes, sampling)

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    @property
    def device_name(self) -> str:
        """The name of the device that the engine runs on, for people."""
        return device_name(self.engine.device)

    def generate(
        self, clip: SpeakerClip, sampling: Sampling | None = None, **changes: Any
    ) -> ClipReactions:
        """Reactions to one clip, from the priors that the reactor's source gives.

        Args:
            sampling: the reactor's own where left out.
            changes: of it, by name: a field of `Sampling` or of its `Solver`, such as
                `samples=3, steps=5`. None changes nothing.

        Raises:
            UsageError: an option out of range.
            TypeError: no option has this name.
            ClipError: the clip does not fit the model, or the result is not finite.
        """
        sampling = changed(sampling or self.sampling, **changes)
        self._table(sampling.solver)  # out of range is said before the source is asked
        priors = assign(clip.utterances, self.source, sampling.samples, sampling.seed, clip.id)
        [reactions] = self.generate_batch([clip], [priors], sampling)
        if isinstance(reactions, ClipError):
            raise reactions
        return reactions

    def generate_batch(
        self, clips: Sequence[SpeakerClip], priors: Sequence[Priors], sampling: Sampling
    ) -> list[ClipReactions | ClipError]:
        """Reactions to several clips whose tensors are on the device together.

        Each goes through the sampler alone, with its reactions as one batch, or in one of a fixed
        number of slots: a library may compute another batch in another order, so that the bytes of
        a clip would depend on its neighbours.

        Args:
            priors: of each clip, as `assign` gives them for `samples` reactions.

        Returns:
            For each clip its reactions, or the error that is its own.

        Raises:
            UsageError: an option out of range.
        """
        self._table(sampling.solver)
        results: dict[int, ClipReactions | ClipError] = {}
        ready: list[Encoded] = []
        for number, (clip, priors_of_clip) in enumerate(zip(clips, priors, strict=True)):
            try:
                encoded = self.encode(clip, priors_of_clip, sampling)
            except ClipError as error:
                results[number] = error
            else:
                ready.append(Encoded(number, clip, priors_of_clip, encoded))
        together = fill(ready, lambda length: self._slots(sampling.samples, length))
        draws = [draw for filled in together for draw in self._draws(filled, sampling)]
        noise = NoiseAhead(draws, self._threads, self.engine.device)
        # All are sampled before the first is waited for; a GPU works on meanwhile.
        sampled = [HostCopy(self._sample(filled, sampling, noise)) for filled in together]
        for filled, reactions in zip(together, sampled, strict=True):
            for one, x in zip(filled.clips, reactions.wait(), strict=True):
                made = Provenance.of(one.clip, sampling.seed, self.model.name, self.model.sha256)
                results[one.number] = _in_natural_units(one, x, made)
        return [results[number] for number in range(len(clips))]

    def prepare(
        self, frames: Sequence[int], sampling: Sampling | None = None, **changes: Any
    ) -> None:
        """Record encoder and sampler for some lengths, so that their first clips need not wait.

        The longest comes first, and the others share its memory. On a CPU it does nothing.

        Args:
            frames: the lengths.
            sampling, changes: those that `generate` will be given.

        Raises:
            UsageError: an option out of range.
            TypeError: no option has this name.
        """
        sampling = changed(sampling or self.sampling, **changes)
        table, _ = self._table(sampling.solver)
        lengths, samples = {bucket(count) for count in frames}, sampling.samples
        sizes = [
            tensors.sizes(self._slots(samples, length), group.stop - group.start, length)
            for length in lengths
            for group in self._groups(samples, length)
        ]
        self._encoder.prepare(tensors.sizes(1, samples, length) for length in lengths)
        self._sampler.prepare(sizes, table, sampling.solver.guidance_scale)

    def free_memory(self) -> None:
        """Give back what was kept for the next clip: recordings, and the device's cached memory."""
        for recorded in (self._encoder, self._sampler):
            recorded.close()
        if self.engine.device.type == CUDA:
            torch.cuda.empty_cache()

    def _table(self, solver: Solver) -> tuple[SolverTable, Tensor]:
        """The table and the modulation of each of its steps (N, M, D), made once."""
        key = replace(solver, guidance_scale=1.0)  # which changes neither
        if key not in self._tables:
            table = solver.table(self.config.train_steps)
            timestep = to_device(torch.tensor(table.timesteps), self.engine.device)
            outputs = self.engine.run(tensors.MODULATOR, {tensors.TIMESTEP: timestep})
            self._tables[key] = table, outputs[tensors.MODULATION]
        return self._tables[key]

    def encode(self, clip: SpeakerClip, priors: Priors, sampling: Sampling) -> dict[str, Tensor]:
        """The denoiser's inputs that depend on the clip, mask included, padded to its bucket."""
        spec, length = self._specs[tensors.ENCODER], bucket(clip.frames)
        shares = self.model.listener_shares
        codes = draw_codes(sampling.seed, clip.id, range(sampling.samples), shares)
        inputs = encoder_inputs(clip, priors, length, sampling.smoothness, codes, spec, self.config)
        inputs = {name: to_device(value, self.engine.device) for name, value in inputs.items()}
        return self._encoder.run(inputs) | {tensors.MASK: inputs[tensors.MASK]}

    def _draws(self, filled: Filled, sampling: Sampling) -> list[Draw]:
        """The noise that sampling some clips takes, in this order."""
        table, _ = self._table(sampling.solver)
        return [
            draw
            for group in self._groups(sampling.samples, filled.length)
            for step in (INITIAL, *table.noisy_steps)
            for draw in filled.draws(sampling.seed, group, step)
        ]

    def _sample(self, filled: Filled, sampling: Sampling, noise: NoiseAhead) -> Tensor:
        """The reactions of some clips, (B, S, T of the bucket, 83), in natural units."""
        parts = [
            self._group(filled, group, sampling, noise)
            for group in self._groups(sampling.samples, filled.length)
        ]
        reactions = torch.cat(parts, dim=1)[: len(filled.clips)]
        return to_reaction(reactions, self._mean, self._std)

    def _slots(self, samples: int, length: int) -> int:
        """Clips of a bucket that go through the sampler together."""
        return self.engine.slots(samples, length) if isinstance(self.engine, SideBySide) else 1

    def _groups(self, samples: int, length: int) -> list[slice]:
        """The reactions of a clip that go through the sampler together."""
        if self.engine.keeps_scores:
            return groups(samples, length, self.config.heads)
        return [slice(0, samples)]

    def _group(self, filled: Filled, group: slice, sampling: Sampling, noise: NoiseAhead) -> Tensor:
        """The standardised reactions of a group, (slots, S of the group, T of the bucket, 83)."""
        table, modulation = self._table(sampling.solver)
        inputs = filled.inputs(self._specs[tensors.DENOISER], group)

        def take(step: int) -> Tensor:
            draws = filled.draws(sampling.seed, group, step)
            return filled.join([noise.take(draw) for draw in draws])

        scale = sampling.solver.guidance_scale
        return self._sampler.run(inputs, take(INITIAL), table, modulation, scale, take)


def _in_natural_units(one: Encoded, x: Tensor, made: Provenance) -> ClipReactions | ClipError:
    """The result of a clip from its reactions (S, T of the bucket, 83), on the host."""
    reaction = x[:, : one.clip.frames]
    if not bool(reaction.isfinite().all()):
        return ClipError("the engine's result is not finite", one.clip.id, "try --engine torch")
    natural = reaction.numpy()
    return ClipReactions(
        attributes=np.ascontiguousarray(natural[..., REACTION_ATTRIBUTES]),
        coefficients=np.ascontiguousarray(natural[..., REACTION_COEFFICIENTS]),
        provenance=made,
        priors=one.priors,
    )
