"""Writes a clip of a simulated speaker who talks for so long: sound, words and face coefficients.

python scripts/long_clip.py talks --minutes 60
mreactor-infer -i talks -o reactions --samples 1
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from mreactor_ref.data.simulated.speaker import simulate_speaker
from mreactor_ref.data.simulated.writing import write_array, write_wav, write_words


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--minutes", default=60.0, show_default=True, help="How long.")
@click.option("--fps", default=25.0, show_default=True, help="Frames a second of the face.")
@click.option("--seed", default=0, show_default=True, help="The same seed, the same bytes.")
def main(folder: Path, minutes: float, fps: float, seed: int) -> None:
    """Write FOLDER/talk.wav, talk.json and talk.npy."""
    speaker = simulate_speaker(np.random.default_rng(seed), 60 * minutes, fps)
    write_wav(folder / "talk.wav", speaker.sound)
    write_words(folder / "talk.json", speaker.script)
    write_array(folder / "talk.npy", speaker.face.coefficients)


if __name__ == "__main__":
    main()
