"""The encoder on a CPU: what the reference computes, a piece of a long clip at a time.

Only the temporal correlation and the mean of the face see all frames of a clip. All else sees a
frame and those near it, so its intermediates are there for a piece only.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mreactor_ref.cognition import masked_mean
from mreactor_ref.denoiser import Context
from mreactor_ref.model import Batch, MReactor
from mreactor_runtime.kernels.cpu_correlation import CpuCorrelation
from mreactor_runtime.kernels.cpu_pieces import Piece, pieces


class CpuEncoder:
    """`MReactor.encode` for clips whose real frames come first.

    Args:
        model: in evaluation mode, on the CPU; read, and not changed.
        threads: cores to use for the correlation.
    """

    def __init__(self, model: MReactor, threads: int):
        self._model = model
        self._correlate = CpuCorrelation(model.perception.correlate, threads)
        self._margin = model.config.context - 1  # frames on each side that a condition depends on

    def __call__(self, batch: Batch) -> Context:
        model, (clips, reactions, frames) = self._model, batch.emotion.shape
        width, layers = model.config.width, len(model.denoiser.subject_attentions())
        cut = list(pieces(frames, self._margin))
        projected = torch.empty(clips, 3, frames, width)
        face = torch.empty_like(batch.coefficients), torch.empty_like(batch.attributes)
        for some in (piece.frames for piece in cut):
            streams = model.standardised(_part(batch, some))
            projected[:, :, some] = model.perception.project(streams, batch.present)
            face[0][:, some], face[1][:, some] = streams[2:]
        weights = self._correlate(projected, batch.mask)  # (B, 3, T)
        context = Context(
            condition=torch.empty(clips, frames, width),
            keys=torch.empty(clips, layers, frames, width),
            values=torch.empty(clips, reactions, layers, frames, width),
            style=model.denoiser.style(batch.smoothness, batch.listener),
        )
        standardised = replace(batch, coefficients=face[0], attributes=face[1])
        still = masked_mean(face[0], batch.mask)[:, None]  # (B, 1, 58)
        for piece in cut:
            condition = self._condition(standardised, still, projected, weights, piece)
            part = _part(batch, piece.frames)
            made = model.denoiser.make_context(
                condition, part.emotion, part.affect, part.smoothness, part.listener
            )
            context.condition[:, piece.frames] = condition
            if layers:  # else the condition is all that the steps need
                context.keys[:, :, piece.frames] = made.keys
                context.values[:, :, :, piece.frames] = made.values
        return context

    def _condition(
        self, batch: Batch, still: Tensor, projected: Tensor, weights: Tensor, piece: Piece
    ) -> Tensor:
        """The condition of a piece, (B, T of the piece, D); the face is standardised."""
        seen = _part(batch, piece.seen)
        perception = self._model.perception.weigh(
            projected[:, :, piece.seen], weights[:, :, piece.seen]
        )
        cognition = self._model.cognition.of_frames(
            *(perception, seen.coefficients, seen.attributes, seen.mask),
            still.expand_as(seen.coefficients),
        )
        return cognition.condition[:, piece.inside]


def _part(batch: Batch, frames: slice) -> Batch:
    """Some frames of a batch."""
    return replace(
        batch,
        sound=batch.sound[:, frames],
        words=batch.words[:, frames],
        coefficients=batch.coefficients[:, frames],
        attributes=batch.attributes[:, frames],
        mask=batch.mask[:, frames],
        emotion=batch.emotion[:, :, frames],
        affect=batch.affect[:, :, frames],
    )
