"""What the runtime's tests share: a small config, clips, and engines whose answer is known.

The fake model is the same in Python and in ONNX. Its clean reaction, in every channel, is

    guidance * (polarity + sound[0] + smoothness + modulation)

at the frame, where polarity is the reaction's own prior's, sound[0] the speaker's first sound
feature, and modulation the step's timestep over 1000. It takes keys, values and style as the real
model does, and the noisy reaction not at all, so the end of any sampling is this at the last step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import torch
from torch import Tensor

from mreactor_ref.config import CONFIGS
from mreactor_ref.emotion.priors import Prior
from mreactor_ref.model import MReactor
from mreactor_ref.signals import (
    ATTRIBUTES,
    COEFFICIENTS,
    MFCC_WIDTH,
    MINILM_WIDTH,
    REACTION,
    SAMPLE_RATE,
    SpeakerClip,
    Utterance,
)
from mreactor_runtime.bundle import BundleInfo
from mreactor_runtime.opening import ModelFacts
from mreactor_runtime.tensors import graph_specs

WIDTH = 4
CONFIG = replace(CONFIGS["mini"], width=WIDTH, heads=2, layers=1, feedforward=1)
LAST_TIMESTEP_OF_4 = 125  # evenly spaced in log-SNR, which is the default
SAID = "I am so happy!"  # in the clips of `write_clips`
UTTERANCES = (Utterance(0.0, 1.0, "good"), Utterance(1.6, 2.0, "bad"))


class TwoSubjects:
    """A source of priors with two subjects an utterance, whose polarity tells them apart.

    It has a note once it was asked of a bad one.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []

    def priors(self, utterances: Sequence[str]) -> list[tuple[Prior, ...]]:
        if not self.notes and {"bad", "My dog died."}.intersection(utterances):
            self.notes.append("that is bad")
        signs = [-1.0 if utterance == "bad" else 1.0 for utterance in utterances]
        return [
            (Prior("first", "joy", sign * 0.5, 0.5), Prior("second", "hope", sign * 0.25, 0.5))
            for sign in signs
        ]


class FakeEngine:
    """The fake model in Python. `calls` holds the shapes of each graph's first input."""

    name = "fake"
    keeps_scores = True
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[int, ...]]] = []

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        first = graph_specs(CONFIG)[graph].inputs[0].name
        self.calls.append((graph, tuple(inputs[first].shape)))
        return getattr(self, graph)(**inputs)

    def encoder(self, sound: Tensor, affect: Tensor, smoothness: Tensor, **_: Tensor):
        condition = sound[..., :WIDTH]  # (B, T, D)
        polarity = affect[..., None, :, :1].expand(-1, -1, 1, -1, WIDTH)  # (B, S, 1, T, D)
        style = smoothness[..., None].expand(-1, -1, WIDTH)
        return {
            "condition": condition,
            "keys": condition[:, None],
            "values": polarity.contiguous(),
            "style": style.contiguous(),
        }

    def modulator(self, timestep: Tensor):
        row = (timestep / 1000)[:, None, None].expand(-1, CONFIG.modulations, WIDTH)
        return {"modulation": row.contiguous()}

    def conditional(self, **inputs: Tensor):
        return self.denoiser(guidance=torch.tensor(1.0), **inputs)

    def denoiser(self, noisy, style, modulation, keys, values, mask, guidance):
        told = values[:, :, 0, :, :1] + keys[:, :, :, :1]  # (B, S, T, 1)
        clean = guidance * (told + style[:, :, None, :1] + modulation[0, 0])
        return {"clean": clean.expand_as(noisy).contiguous()}


ONNX_GRAPHS = {
    "encoder": f"""<ir_version: 8, opset_import: ["" : 20]>
encoder (float[B,T,{MFCC_WIDTH}] sound, float[B,T,{MINILM_WIDTH}] words,
    float[B,T,{COEFFICIENTS}] coefficients, float[B,T,{ATTRIBUTES}] attributes,
    float[B,4] present, bool[B,T] mask, int64[B,S,T] emotion, float[B,S,T,2] affect,
    float[B,S] smoothness, int64[B,S] listener) => (float[B,T,{WIDTH}] condition,
    float[B,1,T,{WIDTH}] keys, float[B,S,1,T,{WIDTH}] values, float[B,S,{WIDTH}] style)
<int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] two = {{2}}, int64[1] width = {{{WIDTH}}},
    int64[1] last = {{-1}}, float[{WIDTH}] ones = {{{", ".join(["1"] * WIDTH)}}}>
{{
    condition = Slice(sound, zero, width, last)
    keys = Unsqueeze(condition, one)
    polarity = Slice(affect, zero, one, last)
    layered = Unsqueeze(polarity, two)
    values = Mul(layered, ones)
    column = Unsqueeze(smoothness, two)
    style = Mul(column, ones)
}}""",
    "modulator": f"""<ir_version: 8, opset_import: ["" : 20]>
modulator (int64[N] timestep) => (float[N,{CONFIG.modulations},{WIDTH}] modulation)
<int64[2] axes = {{1, 2}}, int64[3] shape = {{1, {CONFIG.modulations}, {WIDTH}}},
    float thousand = {{1000}}>
{{
    number = Cast<to = 1>(timestep)
    share = Div(number, thousand)
    cell = Unsqueeze(share, axes)
    modulation = Expand(cell, shape)
}}""",
    "denoiser": f"""<ir_version: 8, opset_import: ["" : 20]>
denoiser (float[B,S,T,{REACTION}] noisy, float[B,S,{WIDTH}] style,
    float[{CONFIG.modulations},{WIDTH}] modulation, float[B,1,T,{WIDTH}] keys,
    float[B,S,1,T,{WIDTH}] values, bool[B,T] mask, float guidance)
    => (float[B,S,T,{REACTION}] clean)
<int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] two = {{2}}, int64[1] last = {{-1}},
    int64 first = {{0}}>
{{
    told = Squeeze(values, two)
    polarity = Slice(told, zero, one, last)
    heard = Slice(keys, zero, one, last)
    both = Add(polarity, heard)
    styled = Slice(style, zero, one, last)
    still = Unsqueeze(styled, two)
    row = Gather<axis = 0>(modulation, first)
    step = Slice(row, zero, one, last)
    moved = Add(both, still)
    stepped = Add(moved, step)
    guided = Mul(stepped, guidance)
    shape = Shape(noisy)
    clean = Expand(guided, shape)
}}""",
}
ONNX_GRAPHS["conditional"] = (
    ONNX_GRAPHS["denoiser"]
    .replace("denoiser (", "conditional (")
    .replace(", float guidance", "")
    .replace("Mul(stepped, guidance)", "Identity(stepped)")
)


def onnx_files() -> dict[str, bytes]:
    """The fake model as the ONNX files of a bundle."""
    files = {}
    for name, text in ONNX_GRAPHS.items():
        graph = onnx.parser.parse_model(text)
        onnx.checker.check_model(graph, full_check=True)
        files[f"{name}.onnx"] = graph.SerializeToString()
    return files


def bundle_info(sha256: str = "0" * 64) -> BundleInfo:
    return BundleInfo(
        model_name="fake",
        config=CONFIG,
        checkpoint_sha256=sha256,
        reaction_mean=(0.0,) * REACTION,
        reaction_std=(1.0,) * REACTION,
        listener_shares=(1 / CONFIG.listeners,) * CONFIG.listeners,
        opset=20,
    )


def fake_model() -> ModelFacts:
    shares = np.full(CONFIG.listeners, 1 / CONFIG.listeners, np.float32)
    channels = torch.zeros(REACTION), torch.ones(REACTION)
    return ModelFacts("fake", "0" * 64, CONFIG, *channels, shares)


def tiny_network(seed: int = 0) -> MReactor:
    """A real model, small, whose output is not zero as that of a new one is."""
    torch.manual_seed(seed)
    network = MReactor(replace(CONFIGS["mini"], width=16, heads=2, layers=2, feedforward=2))
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and ("out" in name or "prior" in name):
            torch.nn.init.normal_(parameter, std=0.2)
    network.reaction.mean.normal_()
    network.reaction.std.uniform_(0.5, 1.5)
    return network.eval()


def speaker_clip(frames: int = 60, clip_id: str = "one/clip", seed: int = 0) -> SpeakerClip:
    """A clip with sound, attributes and words as text; no words' features, no coefficients."""
    generator = np.random.default_rng(seed)
    sound = generator.normal(0, 0.1, (frames, MFCC_WIDTH)).astype(np.float32)
    attributes = generator.random((frames, ATTRIBUTES), dtype=np.float32)
    return SpeakerClip(
        clip_id, frames, CONFIG.fps, sound, attributes=attributes, utterances=UTTERANCES
    )


def write_clips(folder: Path, names: tuple[str, ...], seconds: float = 2.0) -> None:
    """A folder of clips on disk: noise as sound, and two cues of words."""
    import soundfile

    for seed, name in enumerate(names):
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = np.random.default_rng(seed).normal(0, 0.1, int(seconds * SAMPLE_RATE))
        soundfile.write(path, wave, SAMPLE_RATE)
        path.with_suffix(".srt").write_text(
            f"1\n00:00:00,000 --> 00:00:00,900\n{SAID}\n\n"
            "2\n00:00:01,000 --> 00:00:01,900\nMy dog died.\n"
        )
