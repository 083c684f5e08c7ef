"""The torch engine on a CPU gives the same bytes for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes.engines import speaker_clip

from mreactor_runtime.engines.names import TORCH
from mreactor_runtime.reactor import Reactor


@pytest.mark.skipif(torch.get_num_threads() < 2, reason="one core has one number of threads")
@pytest.mark.usefixtures("quick_priors")
def test_the_shipped_model_gives_the_same_bytes_with_one_thread_and_with_two():
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            reactor = Reactor.open("mini", TORCH, count, samples=2)
            results.append(reactor.generate(speaker_clip(frames=200)))
    finally:
        torch.set_num_threads(threads)
    one, two = results
    np.testing.assert_array_equal(one.attributes, two.attributes)
    np.testing.assert_array_equal(one.coefficients, two.coefficients)
