"""What layers refuse: a call, the class of its error, and the argument that the message names first."""

import numpy as np
import pytest
from helpers import refuses

import cgru

M, S, N = 4, 6, 3
STEPS, ROWS, TOKENS = np.ones((M, S, N)), np.ones((M, N)), np.ones((M, S), int)
SERIES, LABELS = np.random.default_rng(0).standard_normal((9, 17, 2)), np.arange(9) % 3
ONE = cgru.Dense(2, rng=0)
ONE.make(np.ones((1, 5)))


def after_forward(layer, A, dX):
    layer.forward(A)
    layer.backward(dX)


def with_parameter(layer, A, name, value):
    layer.make(A)
    layer.p.pop(name)
    if value is not None:
        layer.p[name] = value
    layer.predict(A)


def truncated(*layers):
    net = cgru.Network([*layers, cgru.Dense(3, "softmax")])
    net.fit(SERIES, LABELS, truncate=2)


def source(*layers):
    net = cgru.Network([*layers, cgru.Dense(3, "softmax")])
    net.predict(SERIES)
    return net


ARGUMENTS = [  # of constructors
    (cgru.Activation, ("swish",), {}, ValueError, "activate"),
    (cgru.Clip, (np.nan,), {}, ValueError, "low"),
    (cgru.Clip, (None, np.inf), {}, ValueError, "high"),
    (cgru.Clip, (1, 0), {}, ValueError, "high"),
    (cgru.Clip, ("0",), {}, TypeError, "low"),
    (cgru.Clip, (True,), {}, TypeError, "low"),
    (cgru.Dense, (0,), {}, ValueError, "units"),
    (cgru.Dense, (2.0,), {}, TypeError, "units"),
    (cgru.Dense, (1, "sigmoids"), {}, ValueError, "activate"),
    (cgru.Dense, (1, 1), {}, TypeError, "activate"),
    (cgru.Dense, (), {"initialization": None}, TypeError, "initialization"),
    (cgru.Dense, (), {"se_hPars": 3}, TypeError, "se_hPars"),
    (cgru.Dense, (), {"rng": "seed"}, TypeError, "rng"),
    (cgru.Dense, (), {"dtype": np.float16}, ValueError, "dtype"),
    (cgru.Dense, (), {"dtype": "no such"}, TypeError, "dtype"),
    *((cgru.Difference, (keep,), {}, TypeError, "keep") for keep in (1, "yes", None)),
    *((cgru.Dropout, (rate,), {}, ValueError, "rate") for rate in (1, -0.1, np.nan)),
    *((cgru.Dropout, (rate,), {}, TypeError, "rate") for rate in ("0.5", True)),
    (cgru.Embedding, (0, 3), {}, ValueError, "tokens"),
    (cgru.Embedding, (3.0, 3), {}, TypeError, "tokens"),
    (cgru.Embedding, (3, 0), {}, ValueError, "units"),
    (cgru.Embedding, (3, 3, "normal"), {}, ValueError, "initialization"),
    (cgru.Embedding, (3, 3, 1), {}, TypeError, "initialization"),
    *((cgru.Frames, (length,), {}, ValueError, "length") for length in (0, -1)),
    (cgru.Frames, (2.0,), {}, TypeError, "length"),
    (cgru.Frames, (2, 0), {}, ValueError, "hop"),
    *((cgru.Frames, (2, None, pad), {}, TypeError, "pad") for pad in (None, 1, "same", (1,), (1, 2, 3), 2.0)),
    *((cgru.Frames, (2, None, pad), {}, ValueError, "pad") for pad in ((-1, 0), (0, 1.5), (True, 1))),
    *((cgru.LayerNorm, (eps,), {}, ValueError, "eps") for eps in (0, -1, np.inf, np.nan)),
    (cgru.LayerNorm, ("a",), {}, TypeError, "eps"),
    *((cgru.Normalize, (keep,), {}, TypeError, "keep") for keep in (1, "yes", None)),
    *((cgru.Pool, (how,), {}, ValueError, "how") for how in ("median", "mean+mean", "mean+", "+", "mean, max")),
    (cgru.Pool, (3,), {}, TypeError, "how"),
    (cgru.Pool, ("last+mean", 4), {}, ValueError, "hidden"),
    (cgru.Pool, ("attention", 0), {}, ValueError, "hidden"),
    (cgru.Pool, ("attention", 2.0), {}, TypeError, "hidden"),
    (cgru.Pool, ("attention",), {"dtype": np.int8}, ValueError, "dtype"),
    *((cgru.Scale, (scale,), {}, ValueError, "scale") for scale in ([[1], [2]], np.zeros((1, 1, 2)), [])),
    (cgru.Scale, ([1, 2], [1, 2, 3]), {}, ValueError, "shift"),
    (cgru.Scale, (["a"],), {}, TypeError, "scale"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "arguments", "options", "error", "argument"), ARGUMENTS)
def test_arguments(kind, arguments, options, error, argument):
    with refuses(error, argument):
        kind(*arguments, **options)


CALLS = [
    (lambda: cgru.Activation("relu").predict(np.zeros(3)), ValueError, "A"),
    (lambda: cgru.Dense(2).predict(np.zeros(3)), ValueError, "A"),
    (lambda: cgru.Dense(2).predict(np.zeros((5, 3), complex)), TypeError, "A"),
    (lambda: cgru.Dense(2).predict(np.array([["a", "b"]])), TypeError, "A"),
    (lambda: cgru.Dense(2).predict([[1.0, 2.0], [1.0]]), ValueError, "A"),
    (lambda: cgru.Dense(2).predict(np.zeros((0, 3))), ValueError, "A"),
    (lambda: cgru.Dense(2).predict(np.zeros((1, 2, 3, 4))), ValueError, "A"),
    (lambda: ONE.predict(np.zeros((5, 4))), ValueError, "A"),
    (lambda: ONE.predict(np.zeros((5, 2, 4))), ValueError, "A"),
    (lambda: ONE.predict(np.zeros((5, 5)), np.ones(5, int)), ValueError, "lengths"),
    (lambda: ONE.predict(np.zeros((5, 2, 5)), np.full(5, 3)), ValueError, "lengths"),
    (lambda: cgru.Difference().forward(ROWS), ValueError, "A"),
    (lambda: cgru.Difference().compute_shapes(ROWS), ValueError, "A"),
    *((lambda A=A: cgru.Dropout().forward(A), ValueError, "A") for A in (STEPS[0, 0], STEPS[None], STEPS[:0])),
    (lambda: cgru.Dropout().forward(ROWS, [1] * M), ValueError, "lengths"),
    (lambda: cgru.Embedding(7, 3).predict(TOKENS * 1.0), TypeError, "A"),
    *((lambda A=A: cgru.Embedding(7, 3).predict(A), ValueError, "A")
      for A in (TOKENS[0], TOKENS[:0], TOKENS[:, :, None], TOKENS * 7, -TOKENS)),
    (lambda: cgru.Embedding(7, 3).predict(TOKENS, [1, 2]), ValueError, "lengths"),
    (lambda: cgru.Embedding(7, 3).predict(TOKENS, [0] * M), ValueError, "lengths"),
    (lambda: cgru.Flip().predict(ROWS), ValueError, "A"),
    (lambda: cgru.Frames(3, pad=False).forward(STEPS[:, :2]), ValueError, "A"),
    (lambda: cgru.Frames(3, pad=False).forward(STEPS, [4, 2, 3, 3]), ValueError, "lengths"),
    (lambda: cgru.Frames(3).forward(ROWS), ValueError, "A"),
    (lambda: cgru.Frames(3).steps.lengths([0]), ValueError, "lengths"),
    (lambda: cgru.Frames(3).steps.lengths([3.5]), TypeError, "lengths"),
    (lambda: cgru.LayerNorm.of(np.ones(2), np.ones(3), 0.5), ValueError, "p['shift']"),
    (lambda: cgru.LayerNorm.of(np.ones(5), None, 0.5).predict(ROWS), ValueError, "A"),
    (lambda: cgru.Normalize().forward(ROWS), ValueError, "A"),
    (lambda: cgru.Normalize().compute_shapes(ROWS), ValueError, "A"),
    *((lambda A=A: cgru.Pool().forward(A), ValueError, "A") for A in (ROWS, STEPS[:0])),
    (lambda: cgru.Pool().forward(STEPS, [S + 1] * M), ValueError, "lengths"),
    (lambda: cgru.Scale([1, 2]).predict(STEPS), ValueError, "A"),
    # what comes back
    (lambda: after_forward(cgru.Difference(), STEPS, STEPS), ValueError, "dX"),
    (lambda: after_forward(cgru.Dropout(), STEPS, STEPS[0]), ValueError, "dX"),
    (lambda: after_forward(cgru.Embedding(7, 3), TOKENS, ROWS), ValueError, "dX"),
    (lambda: after_forward(cgru.Frames(3), STEPS, STEPS), ValueError, "dX"),
    (lambda: after_forward(cgru.Normalize(), STEPS, STEPS), ValueError, "dX"),
    (lambda: after_forward(cgru.Pool(), STEPS, STEPS), ValueError, "dX"),
    *((lambda dX=dX: after_forward(cgru.Dense(4), ROWS, dX), ValueError, "dX")
      for dX in (np.zeros((4, 3)), np.zeros((5, 4)), np.zeros(16))),
    (lambda: after_forward(cgru.Dense(4), ROWS, np.zeros((4, 4), complex)), TypeError, "dX"),
    # parameters that are missing or have another shape
    *((lambda name=name, value=value: with_parameter(cgru.Pool("attention", 4), STEPS, name, value), ValueError,
       f"p['{name}']")
      for name, shape in (("W", (2, 3)), ("b", (4,)), ("V", (1, 4))) for value in (np.ones(shape), None)),
    *((lambda value=value: with_parameter(cgru.Dense(4), ROWS, "W", value), ValueError, "p['W']")
      for value in (None, np.ones((3, 3)), np.ones(3))),
    (lambda: with_parameter(cgru.Dense(4), ROWS, "b", np.zeros(4)), ValueError, "p['b']"),
    (lambda: with_parameter(cgru.Embedding(7, 3), TOKENS, "E", np.ones((3, 3))), ValueError, "p['E']"),
    (lambda: with_parameter(cgru.Scale(), STEPS, "shift", np.ones((1, 2))), ValueError, "p['shift']"),
    # a callable whose values or derivatives have another shape
    (lambda: cgru.Dense(4, lambda x, deriv=False: x[:, :1]).forward(ROWS), ValueError, "activate"),
    (lambda: after_forward(cgru.Dense(4, lambda x, deriv=False: x[:, :1] if deriv else x), ROWS, np.ones((M, 4))),
     ValueError, "activate"),
    (lambda: after_forward(cgru.Activation(lambda x, deriv=False: np.ones((2, 2, 2, 2)) if deriv else x), ROWS, ROWS),
     ValueError, "activate"),
    # calls out of order
    *((lambda layer=layer: layer.initialize_parameters(), RuntimeError, "initialize_parameters")
      for layer in (cgru.Scale(), cgru.Dense(4), cgru.Embedding(7, 3), cgru.Pool("attention"))),
    *((lambda layer=layer: layer.backward(STEPS), RuntimeError, "backward")
      for layer in (cgru.Difference(), cgru.Dropout(), cgru.Frames(2), cgru.Normalize(), cgru.Pool())),
    (lambda: cgru.Pool("attention").run(STEPS).gradients(), RuntimeError, "gradients"),
    # networks
    *((lambda layer=layer: cgru.Network([cgru.GRU(3), layer, cgru.Dense(1)]), ValueError, "layers")
      for layer in (cgru.Flip(), cgru.Difference(), cgru.Frames(2), cgru.Normalize(), cgru.Pool())),
    *((lambda layer=layer: cgru.Network([layer, ONE]), ValueError, "layers")
      for layer in (cgru.Difference(), cgru.Frames(3), cgru.Normalize(), cgru.Pool("mean+max"))),
    (lambda: cgru.Network([cgru.GRU(4), cgru.Scale([1, 2])]), ValueError, "layers"),
    (lambda: cgru.Network([cgru.Normalize(), cgru.GRU(3, stateful=True), cgru.Dense(1)]), ValueError, "layers"),
    *((lambda layers=layers: truncated(*layers), ValueError, "truncate") for layers in (
        (cgru.GRU(4, sequences=True, reverse=True), cgru.Flip(), cgru.GRU(3)), (cgru.Difference(), cgru.GRU(3)),
        (cgru.Normalize(), cgru.GRU(3)), (cgru.GRU(4, sequences=True), cgru.Pool("mean")),
        (cgru.GRU(4, sequences=True), cgru.Pool("last+attention")))),
    (lambda: cgru.Stream(source(cgru.Normalize(), cgru.GRU(3))), ValueError, "source"),
    (lambda: cgru.export_c(source(cgru.Normalize(), cgru.GRU(3)), "nowhere.c"), ValueError, "net"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "argument"), CALLS)
def test_calls(call, error, argument):
    with refuses(error, argument):
        call()
