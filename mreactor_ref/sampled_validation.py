"""Reactions to held-out clips, sampled in training as a run samples them, and scored."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from mreactor_ref.data.dyads import Dyad, stream
from mreactor_ref.emotion.priors import PriorSource, assign, frame_priors
from mreactor_ref.listeners import draw_codes
from mreactor_ref.metrics.appropriateness import frcorr, frdist
from mreactor_ref.model import Batch, MReactor, to_reaction
from mreactor_ref.noise import INITIAL, reaction_noise
from mreactor_ref.sampler import sample
from mreactor_ref.schedule import Solver
from mreactor_ref.signals import REACTION, REACTION_ATTRIBUTES, STREAMS, Array

FRCORR, FRDIST = "frcorr", "frdist"  # measures
CLIPS, SAMPLES = 8, 4
MOST_FRAMES = 750  # of a clip, from its start
REAL = 20  # appropriate reactions of a clip that count, the first ones


class SampledValidation:
    """Held-out clips, what a run would tell the model of them, and their real reactions.

    Args:
        dyads: of the held-out split; the first CLIPS of them are taken, and MOST_FRAMES of each.
        source: of the priors.
        seed: of noise, priors and listeners.
    """

    def __init__(self, dyads: Sequence[Dyad], source: PriorSource, seed: int):
        self._dyads = list(islice(dyads, CLIPS))
        self._seed, self._solver = seed, Solver()
        self._priors = [
            assign(dyad.clip.utterances, source, SAMPLES, seed, dyad.clip.id)
            for dyad in self._dyads
        ]
        self._real = [
            [
                np.array(r[:, REACTION_ATTRIBUTES])
                for r in islice(d.appropriate or d.reactions, REAL)
            ]
            for d in self._dyads
        ]

    @torch.no_grad()
    def scores(self, model: MReactor) -> dict[str, float]:
        """FRCorr and FRDist of the model's reactions, by FRCORR and FRDIST."""
        predictions = [self._react(model, number) for number in range(len(self._dyads))]
        return {
            FRCORR: frcorr(predictions, self._real),
            FRDIST: frdist(predictions, self._real),
        }

    def _react(self, model: MReactor, number: int) -> Array:
        """The attributes (S, T, 25) of the reactions to a clip."""
        clip, device = self._dyads[number].clip, model.reaction.mean.device
        batch = self._batch(model, number, device)
        frames = batch.mask.shape[1]
        table = self._solver.table(model.config.train_steps)
        modulation = model.modulate(torch.tensor(table.timesteps, device=device))
        context = model.encode(batch)

        def denoise(x: Tensor, step: int) -> Tensor:
            return model.denoiser.conditional(x, modulation[step], context, batch.mask)

        drawn = reaction_noise(self._seed, [clip.id], range(SAMPLES), INITIAL, frames, REACTION)
        clean = sample(denoise, torch.from_numpy(drawn).to(device), table)[0]
        natural = to_reaction(clean, model.reaction.mean, model.reaction.std)
        return natural[..., REACTION_ATTRIBUTES].float().cpu().numpy()

    def _batch(self, model: MReactor, number: int, device: torch.device) -> Batch:
        """A clip, alone, with its priors."""
        dyad = self._dyads[number]
        clip, frames = dyad.clip, min(dyad.clip.frames, MOST_FRAMES)
        emotion, affect = frame_priors(self._priors[number], clip.utterances, frames, clip.fps)
        codes = draw_codes(
            *(self._seed, clip.id, range(SAMPLES)), model.listener_shares.cpu().numpy()
        )
        streams: dict[str, Tensor] = {}
        for name in STREAMS:
            values = stream(clip, name)
            width = len(model.standard(name).mean)
            cut = np.zeros((frames, width)) if values is None else values[:frames]
            streams[name] = torch.tensor(np.asarray(cut, np.float32), device=device)[None]
        present = [[float(stream(clip, name) is not None) for name in STREAMS]]
        return Batch(
            **streams,
            present=torch.tensor(present, device=device),
            mask=torch.ones(1, frames, dtype=torch.bool, device=device),
            emotion=torch.from_numpy(emotion).to(device)[None],
            affect=torch.from_numpy(affect).to(device)[None],
            smoothness=torch.zeros(1, SAMPLES, device=device),
            listener=torch.from_numpy(codes).to(device)[None],
        )
