"""Counter-based noise: each number is a function of (seed, clip id, reaction, step) and its place.

Nothing is drawn in sequence, so a reaction is the same on every engine, in any batch, order, shard
or resumed run. The recipe, for whoever needs it in another language:

    key      the first 16 bytes of SHA-256("mreactor noise 1\\0SEED\\0REACTION\\0CLIP ID"), UTF-8,
             the numbers in decimal, as two little-endian 64-bit words
    bits     Philox 4x64-10 from the counter (0, step + 1, 0, 0), lowest word first; the counter is
             raised by one before each block of four words
    uniforms u = (word >> 11) / 2^53, in [0, 1)
    normals  each two words give two: r cos(2 pi u_2), r sin(2 pi u_2) with
             r = sqrt(-2 log(1 - u_1)), in float64, then rounded to float32
    places   frame after frame, and in a frame channel after channel

Philox's raw stream is stable across versions of numpy, by its promise (NEP 19); that of
`Generator.standard_normal` is not, so the normals are made here. Sources: Salmon et al. 2011;
Box and Muller 1958.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import UsageError
from mreactor_ref.signals import Array

INITIAL = -1  # the step of the noise that sampling starts from

_DOMAIN = "mreactor noise 1"  # a change of the recipe changes the number


def normal(seed: int, clip_id: str, reaction: int, step: int, frames: int, channels: int) -> Array:
    """Standard normal noise of one reaction at one step, (frames, channels) float32.

    The first frames are the same whatever `frames` is, so padding a clip does not change it.

    Args:
        seed: any integer, negative or as large as you like.
        reaction: 0 or more.
        step: 0 or more, or INITIAL.

    Raises:
        UsageError: reaction or step out of range.
    """
    if step < INITIAL:
        raise UsageError(f"step is {step}, not at least {INITIAL}")
    count = frames * channels
    pairs = (count + 1) // 2
    # A step owns 2^64 blocks, so no step's stream can reach the next one's.
    counter = np.array([0, step - INITIAL, 0, 0], np.uint64)
    philox = np.random.Philox(key=_key(seed, clip_id, reaction), counter=counter)
    words = philox.random_raw(2 * pairs).reshape(pairs, 2) >> np.uint64(11)
    # Contiguous, so that numpy takes the same code path for every length.
    first, second = np.multiply(words.T, 2.0**-53, order="C")
    radius, angle = np.sqrt(-2 * np.log(1 - first)), 2 * np.pi * second
    normals = np.empty((pairs, 2), np.float32)
    normals[:, 0] = radius * np.cos(angle)
    normals[:, 1] = radius * np.sin(angle)
    return normals.reshape(-1)[:count].reshape(frames, channels)


def reaction_noise(
    seed: int,
    clip_ids: Sequence[str],
    reactions: Sequence[int],
    step: int,
    frames: int,
    channels: int,
) -> Array:
    """`normal` of each clip and reaction, (B, S, T, C) float32; `reactions` may be a range."""
    noise = np.empty((len(clip_ids), len(reactions), frames, channels), np.float32)
    for b, clip_id in enumerate(clip_ids):
        for s, reaction in enumerate(reactions):
            noise[b, s] = normal(seed, clip_id, reaction, step, frames, channels)
    return noise


def _key(seed: int, clip_id: str, reaction: int) -> NDArray[np.uint64]:
    """Philox's key, (2,)."""
    if reaction < 0:
        raise UsageError(f"reaction is {reaction}, not at least 0")
    # The clip id comes last: it alone could hold a separator. File names that are not text in
    # the system's encoding reach Python as surrogates.
    text = f"{_DOMAIN}\0{seed:d}\0{reaction:d}\0{clip_id}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return np.frombuffer(digest[:16], "<u8").astype(np.uint64)
