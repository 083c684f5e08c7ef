"""The encoder of a clip: as the engine runs it, or one recorded launch for each length.

On a GPU an encoder that PyTorch runs operator by operator is some 150 launches (an estimate), which
take the host longer than the device. So it is recorded as the sampler is, with as many recordings.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mreactor_runtime.device_clock import DeviceClock
from mreactor_runtime.engines.buffers import allocate, sizes_of
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.engines.names import TORCH
from mreactor_runtime.kernels.cuda_graph import Stream
from mreactor_runtime.recordings import Recordings
from mreactor_runtime.tensors import ENCODER, FRAMES, MASK, GraphSpec

META = torch.device("meta")  # tensors without memory


class Encoder:
    """Runs the encoder, and keeps what it recorded. Not for two threads at once.

    Args:
        spec: of the encoder.
        stream: to record on; None records nothing. Nor is anything recorded of other engines than
            PyTorch, whose encoder is one launch as it is, or cannot be recorded.
        clock: of the device.
    """

    def __init__(self, engine: Engine, spec: GraphSpec, stream: Stream | None, clock: DeviceClock):
        self._engine, self._spec, self._clock = engine, spec, clock
        can_record = engine.name == TORCH
        self._recordings = Recordings(stream) if stream is not None and can_record else None

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs of the encoder, in memory of their own."""
        if self._recordings is None:
            with self._clock.span():
                return self._engine.run(ENCODER, inputs)
        with torch.inference_mode():
            return self._replay(inputs, self._recordings)

    def prepare(self, sizes: Iterable[Mapping[str, int]]) -> None:
        """Record at some sizes (symbol -> size), the longest first.

        Where nothing is recorded it does nothing, and what is recorded already stays as it is.
        """
        for size in sorted(sizes, key=lambda size: size[FRAMES], reverse=True):
            recordings = self._recordings
            if recordings is None or _key(size) in recordings:
                continue
            inputs = allocate(self._spec.inputs, size, self._engine.device)
            for name, x in inputs.items():
                x.fill_(name == MASK)
            self.run(inputs)

    def close(self) -> None:
        """Let go of all recordings."""
        if self._recordings is not None:
            self._recordings.close()

    def _replay(self, inputs: Mapping[str, Tensor], recordings: Recordings) -> dict[str, Tensor]:
        sizes = sizes_of(self._spec, inputs)
        held = recordings.place({**inputs, **allocate(self._spec.outputs, sizes, META)})
        for name, x in inputs.items():
            held[name].copy_(x)
        outputs = {tensor.name: held[tensor.name] for tensor in self._spec.outputs}

        def encode() -> None:
            encoded = self._engine.run(ENCODER, {name: held[name] for name in inputs})
            for name, output in outputs.items():
                output.copy_(encoded[name])

        if _key(sizes) not in recordings:
            try:
                recordings.record(_key(sizes), encode)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                return self._unrecorded(inputs, error)
        with self._clock.span():
            recordings.replay(_key(sizes))
        return {name: output.clone() for name, output in outputs.items()}

    def _unrecorded(self, inputs: Mapping[str, Tensor], error: Exception) -> dict[str, Tensor]:
        """This clip and all others as the engine runs them, since it could not be recorded."""
        text = f"the encoder cannot be recorded, and runs as it is: {error}"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        self.close()
        self._recordings = None
        return self.run(inputs)


def _key(sizes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(sizes.items()))
