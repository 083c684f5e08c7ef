"""The contract of each graph: the only place that spells names, axes, types and ranges.

`encoder` runs once a clip, `modulator` once a model and solver table, and once a step `denoiser`,
or `conditional` where the guidance is 1: that has no unconditional branch to pay for. Symbols of an
axis: B clips, S reactions, T frames, N timesteps; every other axis is fixed by the model's config.
The exporter takes names, dynamic axes and example inputs from here, the engines their inputs and
outputs, a builder its profiles. A mask's true frames, the real ones, come before its false ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mreactor_ref.config import ModelConfig
from mreactor_ref.signals import ATTRIBUTES, COEFFICIENTS, EMOTIONS, REACTION, STREAMS

if TYPE_CHECKING:
    import torch

ENCODER, MODULATOR = "encoder", "modulator"
CONDITIONAL, DENOISER = STEPPING = ("conditional", "denoiser")  # one step of sampling
ATTENTION = "attention"  # of one layer, for parity and kernel work; no run needs it

# Names of tensors; those of the speaker's streams are `signals.STREAMS`.
PRESENT, MASK, EMOTION, AFFECT, SMOOTHNESS = "present", "mask", "emotion", "affect", "smoothness"
LISTENER = "listener"
CONDITION, KEYS, VALUES, STYLE = "condition", "keys", "values", "style"
TIMESTEP, MODULATION = "timestep", "modulation"
NOISY, GUIDANCE, CLEAN = "noisy", "guidance", "clean"
TOKENS, RELATIVE, SUBJECT = "tokens", "relative", "subject"

CLIPS, REACTIONS, FRAMES, STEPS = SYMBOLS = ("B", "S", "T", "N")
AFFECT_WIDTH = 2  # polarity, intensity
WIDE = 10.0  # raw features and hidden values have no bound: what examples and profiles draw from
LARGEST_GUIDANCE = 10.0
LARGEST_SMOOTHNESS = 3.0  # deviations from the training data's mean


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a graph.

    Attributes:
        axes: a symbol of `SYMBOLS`, or a fixed size, per axis.
        dtype: "float32", "int64" or "bool", as torch names it.
        low, high: the range of its values, both included; for float features without a bound,
            the range that examples are drawn from.
    """

    name: str
    axes: tuple[str | int, ...]
    dtype: str
    low: float
    high: float

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The axes with `sizes` in place of the symbols. Raises KeyError for a missing one."""
        return tuple(sizes[axis] if isinstance(axis, str) else axis for axis in self.axes)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "axes": list(self.axes),
            "dtype": self.dtype,
            "range": [self.low, self.high],
        }


@dataclass(frozen=True)
class GraphSpec:
    """One graph: its inputs and outputs, in order."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of its inputs, in the order of `SYMBOLS`."""
        used = {axis for tensor in self.inputs for axis in tensor.axes}
        return tuple(symbol for symbol in SYMBOLS if symbol in used)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "inputs": [tensor.to_dict() for tensor in self.inputs],
            "outputs": [tensor.to_dict() for tensor in self.outputs],
        }


def _float(name: str, *axes: str | int, low: float = -WIDE, high: float = WIDE) -> TensorSpec:
    return TensorSpec(name, axes, "float32", low, high)


def graph_specs(config: ModelConfig) -> dict[str, GraphSpec]:
    """The graphs of a model. Without cross-attention the denoiser adds the condition."""
    width, layers = config.width, config.layers
    mask = TensorSpec(MASK, ("B", "T"), "bool", 0, 1)
    style = _float(STYLE, "B", "S", width)
    condition = _float(CONDITION, "B", "T", width)
    if config.attention == "self":
        speaker: tuple[TensorSpec, ...] = (condition,)
        encoded = speaker
    else:
        keys = _float(KEYS, "B", layers, "T", width)
        values = _float(VALUES, "B", "S", layers, "T", width)
        speaker = (keys, values)
        encoded = (condition, keys, values)
    encoder = GraphSpec(
        ENCODER,
        inputs=(
            _float("sound", "B", "T", config.sound),
            _float("words", "B", "T", config.words),
            _float("coefficients", "B", "T", COEFFICIENTS),
            _float("attributes", "B", "T", ATTRIBUTES, low=-1, high=1),
            _float(PRESENT, "B", len(STREAMS), low=0, high=1),
            mask,
            TensorSpec(EMOTION, ("B", "S", "T"), "int64", 0, len(EMOTIONS) - 1),
            _float(AFFECT, "B", "S", "T", AFFECT_WIDTH, low=-1, high=1),
            _float(SMOOTHNESS, "B", "S", low=-LARGEST_SMOOTHNESS, high=LARGEST_SMOOTHNESS),
            TensorSpec(LISTENER, ("B", "S"), "int64", 0, config.listeners),
        ),
        outputs=(*encoded, style),
    )
    timestep = TensorSpec(TIMESTEP, ("N",), "int64", 0, config.train_steps - 1)
    modulator = GraphSpec(
        MODULATOR,
        inputs=(timestep,),
        outputs=(_float(MODULATION, "N", config.modulations, width),),
    )
    step = (
        _float(NOISY, "B", "S", "T", REACTION),
        style,
        _float(MODULATION, config.modulations, width),  # the row of this step
        *speaker,
        mask,
    )
    clean = (_float(CLEAN, "B", "S", "T", REACTION),)
    conditional = GraphSpec(CONDITIONAL, step, clean)
    guidance = _float(GUIDANCE, low=0, high=LARGEST_GUIDANCE)
    denoiser = GraphSpec(DENOISER, (*step, guidance), clean)
    return {graph.name: graph for graph in (encoder, modulator, conditional, denoiser)}


def kernel_graph_specs(config: ModelConfig) -> dict[str, GraphSpec]:
    """The graphs that no run needs: `attention`, the attentions of one layer alone.

    `relative` is the attention of the tokens to each other, `subject` that of the same tokens to
    the speaker. Each is there where the model's kind of attention has it.
    """
    width, kind = config.width, config.attention
    inputs = [_float(TOKENS, "B", "S", "T", width)]
    outputs = []
    if kind != "cross":
        outputs.append(_float(RELATIVE, "B", "S", "T", width))
    if kind != "self":
        inputs += [_float(KEYS, "B", "T", width), _float(VALUES, "B", "S", "T", width)]
        outputs.append(_float(SUBJECT, "B", "S", "T", width))
    mask = TensorSpec(MASK, ("B", "T"), "bool", 0, 1)
    return {ATTENTION: GraphSpec(ATTENTION, (*inputs, mask), tuple(outputs))}


def all_graph_specs(config: ModelConfig) -> dict[str, GraphSpec]:
    """The graphs that an export makes: those of a run, and those for kernel work."""
    return graph_specs(config) | kernel_graph_specs(config)


def sizes(clips: int, reactions: int, frames: int) -> dict[str, int]:
    """Symbol -> size of what a clip or several have."""
    return {CLIPS: clips, REACTIONS: reactions, FRAMES: frames}


def example_inputs(
    spec: GraphSpec, sizes: Mapping[str, int], seed: int = 0
) -> dict[str, torch.Tensor]:
    """Random inputs of a graph at `sizes` (symbol -> size), each within its range.

    Float features are normal with deviation one, cut to the range. The mask's rows end in padded
    frames, a different number in each, and the first row has none. `present` is 0 or 1, with no
    row of zeros. The same seed gives the same values.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    examples: dict[str, torch.Tensor] = {}
    for tensor in spec.inputs:
        shape, low, high = tensor.shape(sizes), tensor.low, tensor.high
        if tensor.name == MASK:
            clips, frames = shape
            real = frames - (torch.arange(clips) * max(frames // 5, 1)) % frames
            value = torch.arange(frames)[None] < real[:, None]
        elif tensor.name == PRESENT:
            value = torch.randint(0, 2, shape, generator=generator).to(torch.float32)
            value[:, 0] = 1
        elif tensor.dtype == "int64":
            value = torch.randint(int(low), int(high) + 1, shape, generator=generator)
        elif tensor.axes == ():
            value = torch.rand(shape, generator=generator) * (high - low) / 2 + low
        else:
            value = torch.randn(shape, generator=generator).clamp(low, high)
        examples[tensor.name] = value
    return examples


def dynamic_shapes(spec: GraphSpec) -> dict[str, dict[int, Any]]:
    """For `torch.export`: name -> {axis: Dim}, one Dim a symbol, so that equal axes stay equal."""
    from torch.export import Dim

    dims = {symbol: Dim(symbol, min=1) for symbol in spec.symbols}
    return {
        tensor.name: {i: dims[axis] for i, axis in enumerate(tensor.axes) if isinstance(axis, str)}
        for tensor in spec.inputs
    }
