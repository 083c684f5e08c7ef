"""Shards of results as Parquet files: a row a reaction, a group of rows a clip."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mreactor_ref.errors import UsageError
from mreactor_ref.files import in_place_of
from mreactor_ref.signals import ATTRIBUTES, COEFFICIENTS, Array
from mreactor_runtime.pack.packed import Packed

FROM_ABOUT = ("clip", "seed", "fps", "model", "model_sha256", "version", "ai_generated")
NUMBERS = ("attributes", "coefficients")  # (frames, width) of float32


def require_pyarrow() -> ModuleType:
    """Raises UsageError where pyarrow is not installed."""
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError:
        fix = 'pip install "mreactor[parquet]"'
        raise UsageError("pyarrow is not installed", fix=fix) from None


def write_parquet(path: Path, results: Iterable[Packed]) -> None:
    """Write a shard whole or not at all. Raises UsageError without pyarrow."""
    arrow = require_pyarrow()
    schema = _schema(arrow)
    leaves = [f"{name}.list.element.list.element" for name in NUMBERS]
    with (
        in_place_of(path) as partial,
        arrow.parquet.ParquetWriter(
            partial, schema, compression="zstd", use_dictionary=False, use_byte_stream_split=leaves
        ) as writer,
    ):
        for result in results:
            writer.write_table(_table(arrow, schema, result))


def _schema(arrow: ModuleType) -> Any:
    text, rows = arrow.string(), arrow.list_
    fields = {
        "clip": text,
        "reaction": arrow.int32(),
        "frames": arrow.int32(),
        "fps": arrow.float32(),
        "seed": arrow.int64(),
        "subjects": rows(text),
        "model": text,
        "model_sha256": text,
        "version": text,
        "ai_generated": arrow.bool_(),
        "attributes": rows(rows(arrow.float32(), ATTRIBUTES)),
        "coefficients": rows(rows(arrow.float32(), COEFFICIENTS)),
    }
    return arrow.schema(list(fields.items()), metadata={"ai_generated": "true"})


def _table(arrow: ModuleType, schema: Any, result: Packed) -> Any:
    """The rows of a clip."""
    attributes, coefficients = result.arrays()
    count, frames = attributes.shape[:2]
    columns = {name: [result.about[name]] * count for name in FROM_ABOUT}
    columns |= {
        "reaction": list(range(count)),
        "frames": [frames] * count,
        "subjects": [row["subjects"] for row in result.about["reactions"]],
        "attributes": _nested(arrow, attributes),
        "coefficients": _nested(arrow, coefficients),
    }
    return arrow.table([columns[name] for name in schema.names], schema=schema)


def _nested(arrow: ModuleType, values: Array) -> Any:
    """(S, T, W) as S lists of T lists of W numbers, without a copy of each."""
    count, frames, width = values.shape
    flat = arrow.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    offsets = arrow.array(np.arange(count + 1, dtype=np.int32) * frames)
    return arrow.ListArray.from_arrays(offsets, arrow.FixedSizeListArray.from_arrays(flat, width))
