from dataclasses import replace

import pytest
import torch

from mreactor_ref.config import ATTENTIONS, CONFIGS
from mreactor_ref.model import MReactor
from mreactor_runtime.engines.reference import ReferenceEngine
from mreactor_runtime.tensors import (
    ATTENTION,
    CONDITIONAL,
    DENOISER,
    ENCODER,
    MODULATOR,
    GraphSpec,
    dynamic_shapes,
    example_inputs,
    graph_specs,
    kernel_graph_specs,
)

MINI = replace(CONFIGS["mini"], width=128, layers=4)
SIZES = {"B": 2, "S": 3, "T": 20, "N": 5}


def by_name(spec: GraphSpec) -> dict[str, tuple]:
    return {tensor.name: tensor.axes for tensor in (*spec.inputs, *spec.outputs)}


def test_the_axes_are_those_of_the_design():
    table = graph_specs(MINI)
    assert list(table) == [ENCODER, MODULATOR, CONDITIONAL, DENOISER]
    encoder, denoiser = by_name(table[ENCODER]), by_name(table[DENOISER])
    assert encoder["sound"] == ("B", "T", 78)
    assert encoder["words"] == ("B", "T", 384)
    assert encoder["keys"] == denoiser["keys"] == ("B", 4, "T", 128)
    assert encoder["values"] == denoiser["values"] == ("B", "S", 4, "T", 128)
    assert by_name(table[MODULATOR])["modulation"] == ("N", 9 * 4 + 2, 128)
    assert denoiser["modulation"] == (9 * 4 + 2, 128)
    assert denoiser.pop("guidance") == ()
    assert by_name(table[CONDITIONAL]) == denoiser
    assert denoiser["noisy"] == denoiser["clean"] == ("B", "S", "T", 83)
    clip = ("B", "S", "T")
    assert [table[name].symbols for name in table] == [clip, ("N",), clip, clip]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_table_is_what_the_model_takes_and_gives(attention):
    config = replace(MINI, width=16, heads=2, layers=2, attention=attention)
    engine = ReferenceEngine(MReactor(config))
    for name, spec in graph_specs(config).items():
        found = engine.run(name, example_inputs(spec, SIZES))
        assert list(found) == [tensor.name for tensor in spec.outputs]
        for tensor in spec.outputs:
            assert found[tensor.name].shape == tensor.shape(SIZES)
            assert found[tensor.name].dtype == getattr(torch, tensor.dtype)
            assert found[tensor.name].isfinite().all()


def test_without_cross_attention_the_denoiser_takes_the_condition():
    table = graph_specs(replace(MINI, attention="self"))
    names = [tensor.name for tensor in table[DENOISER].inputs]
    assert "condition" in names
    assert not {"keys", "values"} & {*names, *by_name(table[ENCODER])}


def test_the_attention_graph_is_optional_and_has_what_its_kind_has():
    assert ATTENTION not in graph_specs(MINI)
    tokens = ("B", "S", "T", 128)
    paper = kernel_graph_specs(MINI)[ATTENTION]
    assert by_name(paper) == {
        "tokens": tokens,
        "keys": ("B", "T", 128),
        "values": tokens,
        "mask": ("B", "T"),
        "relative": tokens,
        "subject": tokens,
    }
    assert [tensor.name for tensor in paper.outputs] == ["relative", "subject"]
    assert paper.symbols == ("B", "S", "T")
    alone = by_name(kernel_graph_specs(replace(MINI, attention="self"))[ATTENTION])
    assert list(alone) == ["tokens", "mask", "relative"]
    cross = by_name(kernel_graph_specs(replace(MINI, attention="cross"))[ATTENTION])
    assert list(cross) == ["tokens", "keys", "values", "mask", "subject"]


@pytest.mark.parametrize("frames", [1, 2, 20, 300])
def test_examples_fit_the_table(frames):
    sizes = SIZES | {"T": frames}
    for spec in (graph_specs(MINI) | kernel_graph_specs(MINI)).values():
        examples = example_inputs(spec, sizes, seed=3)
        assert list(examples) == [tensor.name for tensor in spec.inputs]
        for tensor in spec.inputs:
            value = examples[tensor.name]
            assert value.shape == tensor.shape(sizes)
            assert value.dtype == getattr(torch, tensor.dtype)
            assert tensor.low <= value.min()
            assert value.max() <= tensor.high
        again = example_inputs(spec, sizes, seed=3)
        assert all(torch.equal(again[name], examples[name]) for name in examples)


def test_examples_have_padded_frames_and_missing_streams():
    sizes = {"B": 8, "S": 2, "T": 30}
    examples = example_inputs(graph_specs(MINI)[ENCODER], sizes)
    real = examples["mask"].sum(dim=1)
    assert real[0] == 30
    assert (real >= 1).all()
    assert (real[1:5] < 30).all()
    assert len(set(real[:5].tolist())) == 5
    falling = examples["mask"].int().diff(dim=1) <= 0
    assert falling.all()  # real frames first, then padding
    assert set(examples["present"].unique().tolist()) == {0.0, 1.0}
    assert (examples["present"].sum(dim=1) > 0).all()
    other = example_inputs(graph_specs(MINI)[ENCODER], sizes, seed=1)
    assert not torch.equal(other["sound"], examples["sound"])


def test_equal_symbols_share_a_dynamic_axis_and_fixed_axes_have_none():
    shapes = dynamic_shapes(graph_specs(MINI)[DENOISER])
    assert set(shapes["values"]) == {0, 1, 3}
    assert shapes["modulation"] == {}
    assert shapes["guidance"] == {}
    assert shapes["values"][3] is shapes["mask"][1] is shapes["noisy"][2] is shapes["keys"][2]
    assert {dim.__name__ for axes in shapes.values() for dim in axes.values()} == {"B", "S", "T"}


def test_a_missing_size_is_an_error():
    with pytest.raises(KeyError, match="T"):
        example_inputs(graph_specs(MINI)[ENCODER], {"B": 2, "S": 3})
