"""MAG, multiple appropriate facial reaction generation (C.3, D.1, D.2): one step of denoising.

Paper to code: c = {C, S} -> `Context`, made once a clip; P_L,d (noisy reaction at step d) ->
`noisy`; P_L hat -> the clean reaction that `Denoiser.denoise` returns (eq. 5). Each layer is
attention of the listener to itself, attention to the speaker's condition, and a feed-forward, all
modulated by the diffusion step (adaLN-zero).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mreactor_ref.attention import CrossAttention, SelfAttention
from mreactor_ref.cognition import TemporalContext
from mreactor_ref.config import ModelConfig
from mreactor_ref.signals import EMOTIONS, NO_EMOTION, REACTION

STEP_FREQUENCIES = 128
LONGEST_PERIOD = 10_000.0
MODULATIONS = 3  # shift, scale and gate of a sublayer

Sublayer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Context:
    """The tensors of a clip that the denoiser needs, the same at every step.

    Attributes:
        condition: C (B, T, D).
        keys: of every cross or subject attention, (B, L, T, D).
        values: the same, modulated by the prior of each reaction, (B, S, L, T, D).
        style: smoothness and listener of each reaction, embedded, (B, S, D).
    """

    condition: Tensor
    keys: Tensor
    values: Tensor
    style: Tensor


def guide(unconditional: Tensor, conditional: Tensor, scale: Tensor | float) -> Tensor:
    """Classifier-free guidance u + g (c - u): 0 is the unconditional sample, 1 the conditional."""
    return unconditional + scale * (conditional - unconditional)


class StepEmbedding(nn.Module):
    """Timesteps (...) -> shifts, scales and gates of all sublayers (..., M, D)."""

    rates: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        # A table and no computation: at timestep 1000 the sine of a rate that differs in its last
        # bit differs in its fourth digit, and engines differ in the last bit of an exponential.
        exponent = torch.arange(STEP_FREQUENCIES, dtype=torch.float64) / STEP_FREQUENCIES
        rates = torch.exp(-math.log(LONGEST_PERIOD) * exponent).float()
        self.register_buffer("rates", rates, persistent=False)
        self.hidden = nn.Linear(2 * STEP_FREQUENCIES, config.width)
        self.out = nn.Linear(config.width, config.modulations * config.width)
        self.modulations = config.modulations
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, timestep: Tensor) -> Tensor:
        angle = timestep[..., None] * self.rates
        waves = torch.cat((angle.sin(), angle.cos()), dim=-1)
        return self.out(F.silu(self.hidden(waves))).unflatten(-1, (self.modulations, -1))


class PriorEmbedding(nn.Module):
    """The subject prior S: emotion label, polarity and intensity (eq. 4) -> (..., D)."""

    def __init__(self, width: int):
        super().__init__()
        self.label = nn.Embedding(len(EMOTIONS), width)
        self.affect = nn.Linear(2, width)
        self.out = nn.Linear(width, width)

    def forward(self, emotion: Tensor, affect: Tensor) -> Tensor:
        """emotion (...) of indices into EMOTIONS, affect (..., 2): polarity and intensity."""
        return self.out(F.silu(self.label(emotion) + self.affect(affect)))


class StyleEmbedding(nn.Module):
    """Embeds what holds for a whole reaction: how smoothly it moves, and who the listener is."""

    def __init__(self, width: int, listeners: int):
        super().__init__()
        self.hidden, self.out = nn.Linear(1, width), nn.Linear(width, width)
        self.listener = nn.Embedding(1 + listeners, width)  # the first says nothing
        nn.init.normal_(self.listener.weight, std=0.1)

    def forward(self, smoothness: Tensor, listener: Tensor) -> Tensor:
        """Smoothness (B, S) in deviations from the data's mean, codes (B, S) -> (B, S, D)."""
        return self.out(F.silu(self.hidden(smoothness[..., None]))) + self.listener(listener)


class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Layer(nn.Module):
    """The sublayers of one layer, each around `x + gate * f(norm(x) * (1 + scale) + shift)`.

    Tokens x are (B, S, T, D), the modulation of all sublayers (..., 3 a sublayer, 1, D).
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        kind, width, heads = config.attention, config.width, config.heads
        relative = kind == "relative+subject"
        has_self, has_cross = kind != "cross", kind != "self"
        self.relative = SelfAttention(width, heads, decay=relative) if has_self else None
        self.subject = CrossAttention(width, heads, subject=relative) if has_cross else None
        self.feedforward = FeedForward(width, config.feedforward * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, x: Tensor, modulation: Tensor, mask: Tensor, attention: Sublayer) -> Tensor:
        """All sublayers: mask (B, T), and the attention to the speaker, or what stands for it."""
        x = self.attend_relative(x, modulation, mask)
        x = self.attend_subject(x, modulation, attention)
        return self.feed_forward(x, modulation)

    def attend_relative(self, x: Tensor, modulation: Tensor, mask: Tensor) -> Tensor:
        """The attention of the frames to each other; x itself where the model has none."""
        relative = self.relative
        if relative is None:
            return x
        return self._around(lambda y: relative(y, mask), x, modulation, 0)

    def attend_subject(self, x: Tensor, modulation: Tensor, attention: Sublayer) -> Tensor:
        """The attention to the speaker, which has two branches; x itself where there is none.

        Args:
            attention: queries -> output: `subject` with the speaker's keys and values, or the known
                output of the attention to the dropped condition.
        """
        if self.subject is None:
            return x
        return self._around(attention, x, modulation, 0 if self.relative is None else 1)

    def feed_forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """The last sublayer, frame by frame."""
        attentions = (self.relative is not None) + (self.subject is not None)
        return self._around(self.feedforward, x, modulation, attentions)

    def _around(self, sublayer: Sublayer, x: Tensor, modulation: Tensor, place: int) -> Tensor:
        first = MODULATIONS * place
        shift, scale, gate = (modulation[..., first + j, :, :] for j in range(MODULATIONS))
        return x + gate * sublayer(self.norm(x) * (1 + scale) + shift)


class Denoiser(nn.Module):
    """(noisy reaction, step, condition) -> clean reaction, in standardised channels."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        width = config.width
        self.kind = config.attention
        self.null_token = nn.Parameter(torch.randn(width))
        self.prior = PriorEmbedding(width)
        self.style = StyleEmbedding(width, config.listeners)
        self.step = StepEmbedding(config)
        self.embed = nn.Linear(REACTION, width)
        self.context = TemporalContext(width, config.context)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.out = nn.Linear(width, REACTION)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def subject_attentions(self) -> list[CrossAttention]:
        """The attention to the speaker of each layer; none where the kind is "self"."""
        layers = (layer for layer in self.layers if isinstance(layer, Layer))
        return [layer.subject for layer in layers if layer.subject is not None]

    def make_context(
        self,
        condition: Tensor,
        emotion: Tensor,
        affect: Tensor,
        smoothness: Tensor,
        listener: Tensor,
    ) -> Context:
        """Everything of a clip that no step changes.

        Args: condition (B, T, D), emotion (B, S, T), affect (B, S, T, 2), smoothness and listener
            (B, S).
        """
        prior = self.prior(emotion, affect)  # (B, S, T, D)
        attentions = self.subject_attentions()
        if attentions:
            keys = torch.stack([a.keys(condition) for a in attentions], dim=1)
            values = torch.stack([a.values(condition, prior) for a in attentions], dim=2)
        else:  # self-attention only: the condition is added to the tokens instead
            keys, values = condition[:, None, :0], prior[:, :, None, :0]
        return Context(condition, keys, values, self.style(smoothness, listener))

    def null_outputs(self) -> list[Tensor]:
        """Each layer's attention to the dropped condition, (D) each, whatever the queries.

        The dropped condition is one token, repeated: the weights of an attention sum to one, so
        its output is that token's value. The dropped prior is "none" with polarity and intensity 0.
        """
        device = self.null_token.device
        none = torch.full((), NO_EMOTION, dtype=torch.long, device=device)
        affect = torch.zeros(2, device=device, dtype=self.null_token.dtype)
        prior = self.prior(none, affect)  # (D)
        return [attention.null(self.null_token, prior) for attention in self.subject_attentions()]

    def forward(
        self,
        tokens: Tensor,
        modulation: Tensor,
        mask: Tensor,
        attend: Callable[[int, Tensor], Tensor],
    ) -> Tensor:
        """One branch of guidance: tokens (B, S, T, D) -> clean (B, S, T, 83).

        `modulation` is (M, D), or (B, S, M, D) where every reaction has its own step, as in
        training. `attend(layer, queries)` is the attention to the speaker.
        """
        x = tokens
        for i, layer in enumerate(self.layers):
            x = layer(x, self.rows(modulation, i), mask, lambda y, i=i: attend(i, y))
        return self.finish(x, modulation)

    def rows(self, modulation: Tensor, i: int) -> Tensor:
        """The modulations of layer i, (..., M, D) -> (..., 3 sublayers, 1, D)."""
        size = (modulation.shape[-2] - 2) // len(self.layers)
        return modulation[..., i * size : (i + 1) * size, None, :]

    def finish(self, x: Tensor, modulation: Tensor) -> Tensor:
        """After the last layer: tokens (B, S, T, D) -> clean (B, S, T, 83)."""
        shift, scale = modulation[..., -2, None, :], modulation[..., -1, None, :]
        return self.out(self.norm(x) * (1 + scale) + shift)

    def tokens(self, noisy: Tensor, style: Tensor, mask: Tensor) -> Tensor:
        """Noisy reactions (B, S, T, 83) and style (B, S, D) -> tokens (B, S, T, D)."""
        x = self.embed(noisy) + style[:, :, None]  # (B, S, T, D)
        reactions = x.shape[1]
        each = mask[:, None].expand(-1, reactions, -1).flatten(0, 1)  # (B S, T)
        return self.context(x.flatten(0, 1), each).unflatten(0, (-1, reactions))

    def conditional(
        self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor
    ) -> Tensor:
        """The branch with the speaker: (B, S, T, 83) -> (B, S, T, 83)."""
        tokens = self.tokens(noisy, context.style, mask)
        if self.kind == "self":
            tokens = tokens + context.condition[:, None]

        attentions = self.subject_attentions()

        def attend(i: int, queries: Tensor) -> Tensor:
            return attentions[i](queries, context.keys[:, i], context.values[:, :, i], mask)

        return self(tokens, modulation, mask, attend)

    def unconditional(
        self, noisy: Tensor, modulation: Tensor, style: Tensor, mask: Tensor
    ) -> Tensor:
        """The branch without: no cross-attention, since its output is known (`null_outputs`)."""
        tokens = self.tokens(noisy, style, mask)
        if self.kind == "self":
            tokens = tokens + self.null_token
        null = self.null_outputs()
        return self(tokens, modulation, mask, lambda i, queries: null[i].expand_as(queries))

    def denoise(
        self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor, guidance: Tensor
    ) -> Tensor:
        """Both branches of guidance: (B, S, T, 83) -> (B, S, T, 83)."""
        conditional = self.conditional(noisy, modulation, context, mask)
        unconditional = self.unconditional(noisy, modulation, context.style, mask)
        return guide(unconditional, conditional, guidance)
