"""The layers before the first recurrent layer: their names and their scale."""

import numpy as np
import pytest
from helpers import refuses

import cgru
from cgru.core.lengths import mask
from cgru.estimators import input_layers

rng = np.random.default_rng(0)
LENGTHS = np.array([1, 3, 9, 20, 20, 17])
X = rng.standard_normal((6, 20, 2)) * [3.0, 0.01] + [5.0, -2.0]


def made(text):
    return [repr(layer) for layer in input_layers.parse(text)]


def test_names_make_layers_in_their_order():
    assert made("raw") == made(" raw ") == []
    assert made("normalize+difference+frames(8)") == list(
        map(repr, (cgru.Normalize(), cgru.Difference(), cgru.Frames(8)))
    )
    assert made("frames(6, 2) + normalize") == [repr(cgru.Frames(6, 2)), repr(cgru.Normalize())]
    assert made("convolution(5,1,32)") == [repr(cgru.Frames(5, 1, (2, 2))), repr(cgru.Dense(32, "relu"))]
    assert made("convolution(6,3,1)")[0] == repr(cgru.Frames(6, 3, (2, 3)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "frames",
        "frames()",
        "frames(1,2,3)",
        "frames(1 2)",
        "frames(2,,3)",
        "frames(2,)",
        "Frames(2)",
        "raw+frames(2)",
        "normalize(1)",
        "frames(2",
        "a b",
    ],
)
def test_other_names_are_refused(text):
    with pytest.raises(ValueError, match="how: "):
        input_layers.parse(text, "how")


def test_other_types_and_numbers_are_refused():
    with pytest.raises(TypeError, match="inputs: "):
        input_layers.parse(3)
    with pytest.raises(ValueError, match="length: "):
        input_layers.parse("frames(0)")


def test_causal_layers_run_step_by_step():
    assert [repr(layer) for layer in input_layers.parse("difference+frames(4)", causal=True)] == made(
        "difference+frames(4)"
    )
    for text in ("normalize", "difference+normalize+frames(4)"):
        with refuses(ValueError, "how"):
            input_layers.parse(text, "how", causal=True)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("text", ["normalize+frames(4)", "difference", "normalize+difference", "difference+normalize"])
def test_what_layers_add_is_scaled(text, lengths):
    layers = input_layers.build(text, cgru.Sequences(X, lengths), np.float32)
    i = [type(layer).__name__ for layer in layers].index("Scale")
    assert not layers[i].trainable
    assert layers[i].dtype == np.float32
    assert not any(isinstance(layer, cgru.Normalize | cgru.Difference) for layer in layers[i:])
    real = np.ones((6, 20), bool) if lengths is None else mask(lengths, 20)[:, :, 0]
    A = np.where(real[:, :, None], (X - X[real].mean(0)) / X[real].std(0), 0)
    A = A.astype(np.float32)
    for layer in layers[: i + 1]:
        A = layer.run(A, lengths).A
    assert np.allclose(A[real].mean(0), 0, atol=1e-5)
    deviation = A[real].std(0)
    assert np.allclose(deviation[deviation > 1e-6], 1, atol=1e-4)


def test_frames_alone_need_no_scale():
    assert [repr(layer) for layer in input_layers.build("frames(4)", cgru.Sequences(X), np.float32)] == [
        repr(cgru.Frames(4))
    ]
