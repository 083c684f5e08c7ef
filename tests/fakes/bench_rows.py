"""A tiny setting, and rows as if it had been measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fakes.models import small_config
from mreactor_bench.throughput.ceiling import Rates
from mreactor_bench.throughput.measure import TimedRow, clip_ceiling
from mreactor_bench.throughput.setting import Setting
from mreactor_bench.throughput.worker import Memory, OpeningTimes
from mreactor_ref.schedule import Solver
from mreactor_runtime.sampling_options import changed

CONFIG = small_config()
SETTING = Setting("torch", "fp32", "cpu", 1, 20, 2, Solver("ddim", 3))
RATES = Rates("cpu", {"fp32": 1e9}, copy=1e9, threads=1)
REACTIONS = np.ones((1, 2, 20, 83), np.float32)
OPENED = OpeningTimes("torch", ("a note",), 1.0, 0.5, 0.75, REACTIONS, threads=1)


def make_row(seconds: tuple[float, ...], **changes) -> TimedRow:
    setting = changed(SETTING, **changes)
    floor = clip_ceiling(CONFIG, RATES, setting)
    opened = replace(OPENED, name=setting.runner)
    return TimedRow(
        setting, setting.runner, seconds, opened, Memory(2**20), floor, 25.0, 1e-6, 1e-4
    )
