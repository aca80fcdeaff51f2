"""The summary of a network: shapes and counts before the first data and after."""

import numpy as np
import pytest

import cgru
from cgru.layers import Layer


def framed(**options):
    return cgru.Network([cgru.Difference(), cgru.Frames(4), cgru.GRU(8), cgru.Dense(3, "softmax")], **options)


def test_before_the_first_data_letters_stand_for_sizes():
    summary = framed().summary()
    assert summary.inputs == ("m", "s", "e")
    assert [layer.shape for layer in summary.layers] == [("m", "s", "2 e"), ("m", "f", "8 e"), ("m", 8), ("m", 3)]
    assert [layer.parameters for layer in summary.layers] == [0, 0, None, 27]
    assert [layer.bytes for layer in summary.layers] == [0, 0, None, 27 * 8]
    assert (summary.parameters, summary.trained, summary.bytes) == (None, None, None)
    assert str(summary).splitlines()[-2:] == [
        "? parameters, ? of them trained, float64, ? bytes; ? is not known before the",
        "first data",
    ]


def test_after_it_all_is_known():
    net = framed(dtype=np.float32)
    net.make(np.zeros((2, 12, 3)))
    net.layers[2].trainable = False
    summary = net.summary()
    assert summary.inputs == ("m", "s", 3)
    assert [layer.shape for layer in summary.layers] == [("m", "s", 6), ("m", "f", 24), ("m", 8), ("m", 3)]
    gru = 3 * (24 * 8 + 8 * 8 + 8)
    assert [layer.parameters for layer in summary.layers] == [0, 0, gru, 27]
    assert summary.parameters == sum(array.size for array in net.parameters().values())
    assert (summary.trained, summary.bytes, summary.dtype) == (27, 4 * (gru + 27), np.float32)
    lines = str(summary).splitlines()
    assert lines[0] == "Input (m, s, 3)"
    assert lines[1].split() == ["layer", "output", "parameters", "trainable"]
    assert lines[2].split() == ["0", "Difference(keep=True)", "(m,", "s,", "6)", "0"]
    assert lines[4].split()[-4:] == ["(m,", "8)", "792", "no"]
    assert lines[5].split()[-4:] == ["(m,", "3)", "27", "yes"]
    assert lines[6:] == ["819 parameters, 27 of them trained, float32, 3,276 bytes"]
    assert repr(summary) == str(summary)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("options", [{}, {"reset_after": True}, {"layer_norm": True}, {"learn_h0": True}])
def test_counts_before_the_first_data_are_those_after(options):
    layers = [
        cgru.Embedding(20, 4),
        cgru.Bidirectional(cgru.GRU(5, sequences=True, **options)),
        cgru.Scale(),
        cgru.Pool("attention+max", hidden=3),
        cgru.Dense(1),
    ]
    net = cgru.Network(layers)
    before = net.summary()
    assert before.inputs == ("m", "s")
    net.make(np.zeros((1, 2), int))
    assert net.summary() == before
    assert before.parameters == sum(array.size for array in net.parameters().values())
    assert before.bytes == 8 * before.parameters


def test_frames_of_frames_are_other_steps():
    layers = [cgru.Frames(2), cgru.Frames(3), cgru.GRU(2, sequences=True), cgru.Dense(1)]
    assert [layer.shape[1] for layer in cgru.Network(layers).summary().layers] == ["f", "f'", "f'", "f'"]
    assert cgru.Network(layers).summary().layers[1].shape[2] == "6 e"


def test_a_layer_that_does_not_say_what_parameters_it_has():
    class Own(Layer):
        parameter_names = ("a",)

    net = cgru.Network([cgru.GRU(2), Own(), cgru.Dense(1)])
    assert net.summary().layers[1].parameters is None
    net.layers[1].p["a"] = np.ones((2, 3), np.float32)
    assert (net.summary().layers[1].parameters, net.summary().layers[1].bytes) == (6, 24)


def test_quantised_weights_take_fewer_bytes():
    net = framed(dtype=np.float32)
    net.make(np.zeros((2, 12, 3)))
    summary = cgru.quantize(net, "int8").summary()
    assert summary.bytes < net.summary().bytes / 2
    assert summary.trained == 0


def test_in_a_notebook_it_is_a_table():
    html = framed().summary()._repr_html_()
    assert html.startswith("<p>Input (m, s, e)</p>")
    assert html.count("<tr>") == 5
    assert "Difference(keep=True)" in html
    assert "? parameters" in html
