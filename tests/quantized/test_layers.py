"""The layers of int8 and bfloat16 weights: what each predicts, and what it refuses."""

import copy
import itertools
import pickle

import numpy as np
import pytest
from helpers import assert_all_same, assert_close, random_batch, refuses
from quantized_cases import (
    KINDS,
    narrow_levels,
    quantized,
    quantized_both,
    quantum,
    random_quantized_dense,
    random_quantized_embedding,
    random_quantized_gru,
    weights_of,
)

import cgru
from cgru.core import kernels, low_precision
from cgru.core.lengths import mask
from cgru.quantized import quantized_reference as reference
from cgru.quantized.stored_weights import StoredWeights

BOTH = [False, True]
X, LENGTHS, H0 = random_batch(6, 5, 7, 9, True, np.float32)
TOKENS = np.random.default_rng(0).integers(0, 11, (4, 5))


def made(kind="int8", **options):
    return random_quantized_gru(7, 9, kind, **options)


# --- GRU ---


@pytest.mark.parametrize("options", [
    {}, {"reset_after": True}, {"reverse": True}, {"zoneout": 0.25}, {"x_bound": 2.0}, {"learn_h0": True},
    {"activate": "sigmoid"}, {"activate_update": "tanh", "activate_reset": "elu", "se_hPars": {"ELU_alpha": 0.5}},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.pairwise
def test_a_gru_is_the_definition(narrow_level, kind, options):
    for sequences, ragged, start in itertools.product(BOTH, BOTH, BOTH):
        layer = made(kind, sequences=sequences, **options)
        lengths, h0 = LENGTHS if ragged else None, np.tanh(H0) if start else None
        A = X if ragged else np.nan_to_num(X, nan=0.5)
        got = layer.predict(A, lengths, h0)
        gates = [
            cgru.activations.bind(getattr(layer, name), layer.se_hPars)
            for name in ("activate", "activate_update", "activate_reset")
        ]
        own = {name: options[name] for name in ("zoneout", "reverse", "x_bound") if name in options}
        first = layer.p["h0"].repeat(6, axis=0) if h0 is None and "h0" in layer.p else h0
        due = reference.forward(layer.p, A, first, lengths, *gates, bound=1.0, **own)
        if not sequences:
            due = due[:, 0] if layer.reverse else due[:, -1]
        elif ragged:
            due = due * mask(lengths, 5)
        assert got.dtype == np.float32
        assert got.shape == due.shape
        within = 0.0 if kind == "bfloat16" else 2 * quantum(layer.p)
        assert np.abs(got - due).max() < 2e-6 + within
        h, (last,) = layer.predict_on(A, lengths, (h0,))
        np.testing.assert_array_equal(h, got)
        np.testing.assert_array_equal(last, layer.predict_on(A, lengths, (h0,))[1][0])
        if not sequences:
            np.testing.assert_array_equal(last, got)


@pytest.mark.parametrize("options", [
    {}, {"reset_after": True}, {"reverse": True}, {"zoneout": 0.25}, {"learn_h0": True}, {"activate": "relu"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.pairwise
def test_states_that_fade_are_the_definition(narrow_level, kind, options):
    rng, layer = np.random.default_rng(2), made(kind, sequences=True, **options)
    own = {name: options[name] for name in ("zoneout", "reverse") if name in options}
    for lengths, h0, n in ((None, None, 1), (LENGTHS, np.tanh(H0), 1), (LENGTHS, None, 9)):
        A = np.nan_to_num(X, nan=0.5) if lengths is None else X
        decay = np.clip(rng.uniform(-0.5, 1.5, (6, 5, n)), 0, 1).astype(np.float32)
        got = layer.predict(A, lengths, h0, decay=decay[:, :, 0] if n == 1 else decay)
        first = layer.p["h0"].repeat(6, axis=0) if h0 is None and "h0" in layer.p else h0
        real = True if lengths is None else mask(lengths, 5)
        factor = np.where(real, decay, np.float32(1))
        due = reference.forward(layer.p, A, first, lengths, layer.activate, decay=factor, bound=layer.bound, **own)
        within = 0.0 if kind == "bfloat16" else 2 * quantum(layer.p, max(1, np.abs(due).max()))
        assert np.abs(got - due * real).max() < 2e-6 + within
        assert (got != layer.predict(A, lengths, h0)).any()


@pytest.mark.parametrize("reverse", BOTH)
@pytest.mark.parametrize("kind", KINDS)
def test_states_that_begin_anew_have_the_bits_of_single_steps(narrow_level, kind, reverse):
    rng = np.random.default_rng(3)
    for m, e, u in ((1, 7, 1), (7, 1, 17), (17, 3, 7), (33, 9, 33)):
        layer = random_quantized_gru(e, u, kind, sequences=True, reverse=reverse, learn_h0=True)
        A, h = rng.standard_normal((m, 6, e)).astype(np.float32), rng.standard_normal((m, u)).astype(np.float32)
        resets = rng.random((m, 6)) < 0.4
        h[0], resets[0, 0 if not reverse else 5] = np.nan, True
        got, lasts = layer.predict_on(A, None, (h,), resets=resets)
        for n, t in enumerate(range(6)[::-1] if reverse else range(6)):
            begins = resets[:, [t]] if not reverse else resets[:, [t + 1]] if n else np.zeros((m, 1), bool)
            h = layer.predict(A[:, [t]], h0=np.where(begins, layer.p["h0"], h))[:, 0]
            np.testing.assert_array_equal(got[:, t], h)
        np.testing.assert_array_equal(lasts[0], h)
        assert np.isnan(got[0]).any() == reverse  # in reverse no factor meets the given state


@pytest.mark.parametrize("kind", KINDS)
def test_factors_of_many_samples_are_those_of_their_rows(kind, threads):
    """In blocks of rows, in the order of lengths, on threads: as of some samples at a time."""
    rng, layer = np.random.default_rng(4), random_quantized_gru(3, 17, kind, sequences=True, learn_h0=True)
    A, decay = rng.standard_normal((1000, 4, 3)), np.clip(rng.uniform(-0.5, 1.5, (1000, 4)), 0, 1)
    threads(2)
    for lengths in (None, rng.integers(1, 5, 1000)):
        got = layer.predict(A, lengths, decay=decay)
        for some in np.split(np.arange(1000), 100):
            due = layer.predict(A[some], None if lengths is None else lengths[some], decay=decay[some])
            np.testing.assert_array_equal(got[some], due)


def test_wrong_resets_and_factors_are_refused_by_quantised_layers():
    layer = made(sequences=True)
    both = quantized_both(made(), made(reverse=True))
    for each in (layer, both):
        with refuses(TypeError, "resets"):
            each.predict(X, LENGTHS, resets=np.zeros((6, 5)))
        with refuses(ValueError, "decay"):
            each.predict(X, LENGTHS, decay=np.ones((6, 4)))
        with refuses(ValueError, "decay"):
            each.predict(X, LENGTHS, decay=np.ones((6, 5)), resets=np.zeros((6, 5), bool))
    records = np.zeros((6, 5), np.dtype([("a", np.int8), ("g", np.float32)]))
    records["g"] = np.linspace(0, 1, 30).reshape(6, 5)
    due = layer.predict(X, LENGTHS, decay=records["g"].copy())
    np.testing.assert_array_equal(layer.predict(X, LENGTHS, decay=records["g"]), due)


def test_any_real_numbers_and_strides():
    layer = made()
    A = np.asfortranarray(np.random.default_rng(0).standard_normal((6, 5, 14))[:, :, ::2])
    due = layer.predict(A.astype(np.float32).copy())
    np.testing.assert_array_equal(layer.predict(A), due)
    np.testing.assert_array_equal(layer.predict(A.tolist()), due)
    np.testing.assert_array_equal(
        layer.predict(np.ones((2, 3, 7), int), [3, 2]), layer.predict(np.ones((2, 3, 7), np.float32), np.array([3, 2]))
    )


def test_what_is_bounded():
    for name, bound in (
        ("tanh", 1.0),
        ("sigmoid", 1.0),
        ("relu", 0.0),
        ("identity", 0.0),
        ("elu", 0.0),
        ("lrelu", 0.0),
    ):
        assert quantized(cgru.GRU(3, activate=name)).bound == bound


def test_states_of_a_layer_without_a_bound_may_be_large():
    layer = random_quantized_gru(3, 5, "int8", activate="relu", sequences=True)
    A = np.random.default_rng(0).standard_normal((2, 9, 3)).astype(np.float32) * 100
    got = layer.predict(A)
    due = reference.forward(layer.p, A, activate=cgru.relu)
    assert np.abs(due).max() > 20
    assert np.abs(got - due).max() < 2 * quantum(layer.p, np.abs(due).max())


def test_a_gru_says_what_it_is():
    layer = made("int8", sequences=True, zoneout=0.5, x_bound=3, reset_after=True, learn_h0=True)
    assert repr(layer).endswith("reset_after=True, learn_h0=True, zoneout=0.5, weights='int8')")
    assert (layer.features, layer.d["u"], layer.dtype, layer.weights.x_bound) == (7, 9, np.float32, 3.0)
    assert (layer.zoneout, layer.reset_after, layer.learn_h0, layer.reverse) == (0.5, True, True, False)
    assert layer.weights
    assert not layer.trainable
    assert layer.cells == (layer,)
    assert layer.steps.piecewise
    assert not quantized(cgru.GRU(3, reverse=True)).steps.piecewise
    assert not quantized(cgru.GRU(3)).learn_h0
    assert not quantized(cgru.GRU(3)).reset_after
    assert not quantized(cgru.GRU(3)).sequences
    assert quantized(cgru.GRU(3)).weights.x_bound == 0
    assert quantized(cgru.GRU(3)).features is None
    assert set(layer.arrays(7)) == set(layer.p)
    assert {name: (array.shape, array.dtype) for name, array in layer.p.items()} == layer.arrays(7)
    assert layer.arrays(7)["scale_Vz"] == ((1, 9), np.dtype(np.float32))
    assert layer.arrays(7)["h0"] == ((1, 9), np.dtype(np.float32))
    wide = made("bfloat16")
    assert wide.arrays(7)["Uz"] == ((7, 9), np.dtype(np.uint16))
    assert not [name for name in wide.arrays(7) if "scale" in name]
    assert layer.output_shape((2, 3, 7)) == (2, 3, 9)
    assert made().output_shape((2, 3, 7)) == (2, 9)
    with pytest.raises(ValueError, match="all steps"):
        layer.output_shape((2, 7))


# --- both ways ---


@pytest.mark.parametrize("merge", ["concat", "sum", "mean", "mul"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_ways(kind, merge):
    for sequences in BOTH:
        there, back = (made(kind, seed=i, reverse=bool(i), sequences=sequences) for i in (0, 1))
        layer = quantized_both(there, back, merge)
        h0 = np.stack([np.tanh(H0), -np.tanh(H0)])
        resets = np.random.default_rng(0).random((6, 5)) < 0.5
        for start, given in itertools.product((None, h0), ({}, {"resets": resets})):
            starts = (None, None) if start is None else start
            parts = [half.predict(X, LENGTHS, h, **given) for half, h in zip((there, back), starts, strict=True)]
            due = {
                "concat": lambda a, b: np.concatenate((a, b), axis=-1),
                "sum": np.add,
                "mean": lambda a, b: (a + b) / 2,
                "mul": np.multiply,
            }[merge](*parts)
            np.testing.assert_allclose(layer.predict(X, LENGTHS, start, **given), due, rtol=1e-6)
            A, lasts = layer.predict_on(X, LENGTHS, starts, **given)
            np.testing.assert_array_equal(A, layer.predict(X, LENGTHS, start, **given))
            for half, last, h in zip((there, back), lasts, starts, strict=True):
                np.testing.assert_array_equal(last, half.predict_on(X, LENGTHS, (h,), **given)[1][0])
        width = 18 if merge == "concat" else 9
        assert layer.d["u"] == width
        assert layer.output_shape((2, 3, 7)) == ((2, 3, width) if sequences else (2, width))
    assert layer.sequences
    assert layer.dtype == np.float32
    assert (layer.weights, layer.features, layer.cells, layer.halves) == (kind, 7, layer.halves, layer.halves)
    assert not layer.steps.piecewise
    assert layer.weights
    assert set(layer.arrays(7)) == set(layer.p) == set(layer.arrays(7))
    assert layer.arrays(7)["backward.Uz"] == there.arrays(7)["Uz"]
    assert repr(layer) == f"Bidirectional({there!r}, merge={merge!r})"
    for wrong in (np.zeros((3, 6, 9)), np.zeros((6, 9)), [np.zeros((6, 9))]):
        with refuses(ValueError, "h0"):
            layer.predict(X, LENGTHS, wrong)


# --- Dense ---


@pytest.mark.parametrize("activate", cgru.activations.NAMED)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.pairwise
def test_dense(narrow_level, kind, activate):
    options = {"LRELU_alpha": 0.2, "ELU_alpha": 0.5, "softmax_temperature": 2.0}
    f = cgru.activations.bind(cgru.activations.named(activate, "activate"), options)
    for x_bound in (0.0, 1.5):
        layer = random_quantized_dense(7, 4, kind, activate=activate, se_hPars=options, x_bound=x_bound)
        A = X[~np.isnan(X).any(axis=2)]
        Z = reference.linear(A, layer.p["W"], layer.p.get("scale_W"), layer.p["b"], x_bound)
        assert_close(layer.predict(A), f(Z), 1e-6)
        steps = layer.predict(X, LENGTHS)
        real = mask(LENGTHS, 5)[:, :, 0]
        assert steps.dtype == np.float32
        np.testing.assert_array_equal(steps[real], layer.predict(A))
        np.testing.assert_array_equal(steps[~real], 0)
        ran = layer.run(A)
        np.testing.assert_array_equal(ran.A, layer.predict(A))
        assert_close(ran.fc["Z"], Z, 1e-6)
        assert layer.run(X, LENGTHS).fc["Z"].shape == (6, 5, 4)


def test_dense_says_what_it_is():
    layer = random_quantized_dense(7, 4, "int8", activate="tanh", x_bound=2)
    assert repr(layer) == "Dense(units=4, activate=tanh, dtype=float32, weights='int8')"
    assert (layer.features, layer.weights, layer.weights.x_bound, layer.trainable) == (7, "int8", 2.0, False)
    assert {name: (array.shape, array.dtype) for name, array in layer.p.items()} == layer.arrays(7)
    assert set(layer.arrays(7)) == {"W", "scale_W", "b"}
    assert set(random_quantized_dense(7, 4, "bfloat16").arrays(7)) == {"W", "b"}
    assert quantized(cgru.Dense(4)).features is None
    for A in (np.ones((2, 6)), np.ones((2, 3, 8))):
        with refuses(ValueError, "A"):
            layer.predict(A)
    with refuses(ValueError, "lengths"):
        layer.predict(np.ones((2, 7)), [1, 1])


# --- Embedding ---


@pytest.mark.parametrize("kind", KINDS)
def test_embedding(kind):
    layer = random_quantized_embedding(11, 6, kind)
    table = weights_of(layer.p, "E")
    np.testing.assert_array_equal(layer.table, table)
    assert layer.table.dtype == np.float32
    np.testing.assert_array_equal(layer.predict(TOKENS), table[TOKENS])
    lengths = np.array([5, 1, 3, 2])
    real = mask(lengths, 5)
    tokens = np.where(real[:, :, 0], TOKENS, 99)  # which nobody sees
    np.testing.assert_array_equal(layer.predict(tokens, lengths), np.where(real, table[TOKENS], 0))
    with pytest.raises(ValueError, match="tokens from 0 to 10, got 99"):
        layer.predict(tokens)
    assert repr(layer) == f"Embedding(tokens=11, units=6, dtype=float32, weights={kind!r})"
    assert {name: (array.shape, array.dtype) for name, array in layer.p.items()} == layer.arrays(1)
    assert set(layer.arrays(7)) == set(layer.p)
    assert layer.output_shape((2, 3)) == (2, 3, 6)
    layer.p["E"] = layer.p["E"][:10]
    with refuses(ValueError, "p['E']"):
        layer.predict(TOKENS)


# --- their parameters ---


LAYERS = {
    "gru": (made, X, LENGTHS),
    "dense": (lambda kind: random_quantized_dense(7, 4, kind), X, LENGTHS),
    "embedding": (lambda kind: random_quantized_embedding(11, 6, kind), TOKENS, None),
    "both ways": (
        lambda kind: quantized_both(made(kind), made(kind, seed=1, reverse=True)), X, LENGTHS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("kind", KINDS)
def test_arrays_may_be_exchanged_but_not_written_into(kind, name):
    make, A, lengths = LAYERS[name]
    layer = make(kind)
    before = layer.predict(A, lengths)
    for key, array in layer.p.items():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1
        layer.p[key] = array.copy()
        np.testing.assert_array_equal(layer.predict(A, lengths), before)
        changed = array.copy()
        changed[...] = array[::-1, ::-1] if key.rpartition(".")[2][0] in "UVWE" else array + 1
        layer.p[key] = changed
        assert (layer.predict(A, lengths) != before).any(), key
        assert not changed.flags.writeable
        layer.p[key] = array
        np.testing.assert_array_equal(layer.predict(A, lengths), before)


@pytest.mark.parametrize("name", ["gru", "dense", "embedding"])
def test_parameters_that_do_not_fit(name):
    make, A, lengths = LAYERS[name]
    layer = make("int8")
    layer.predict(A, lengths)
    for key, array in list(layer.p.items()):
        for wrong in (
            array[:, :1].copy() if array.shape[1] > 1 else array[:1].copy(),
            array.astype(np.float64),
            array.tolist(),
            None,
        ):
            layer.p[key] = wrong
            with pytest.raises(ValueError, match=r"^p\['\w+'\]: ") as caught:
                layer.predict(A, lengths)
            if key not in ("Uz", "W"):  # by which others are judged
                assert f"p['{key}']" in str(caught.value)
        del layer.p[key]
        with pytest.raises(ValueError, match="got NoneType"):
            layer.predict(A, lengths)
        layer.p[key] = array
    layer.predict(A, lengths)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("kind", KINDS)
def test_copies(kind, name):
    make, A, lengths = LAYERS[name]
    layer = make(kind)
    for layer_or_used in range(2):
        twins = [pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)]
        due = layer.predict(A, lengths)
        for twin in twins:
            np.testing.assert_array_equal(twin.predict(A, lengths), due)
            assert all(twin.p[key] is not layer.p[key] for key in layer.p), layer_or_used
            key = next(iter(twin.p))
            twin.p[key] = twin.p[key][::-1].copy()
            assert (twin.predict(A, lengths) != due).any()
            np.testing.assert_array_equal(layer.predict(A, lengths), due)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activate", cgru.relu), ("activate_update", cgru.tanh), ("activate_reset", cgru.elu), ("zoneout", 0.5),
        ("x_bound", 500.0), ("se_hPars", {"ELU_alpha": 0.3}),
    ],
)  # fmt: skip
def test_a_setting_counts_as_it_is_now(name, value):
    """As in a copy, and in what a file of it gives."""
    A = np.nan_to_num(X, nan=0.5)
    gru = made(activate="elu" if name == "se_hPars" else "tanh", se_hPars={"ELU_alpha": 1.0})
    head = random_quantized_dense(7, 4, "int8", activate="elu", se_hPars={"ELU_alpha": 1.0})
    for layer in (gru, head):
        owner = layer.weights if name == "x_bound" else layer
        if hasattr(owner, name):
            before = layer.predict(A)
            setattr(owner, name, value)
            after = layer.predict(A)
            assert (after != before).any()
            np.testing.assert_array_equal(copy.deepcopy(layer).predict(A), after)
    for layer in (gru, head):
        layer.activate = np.tanh
        with refuses(ValueError, "activate"):
            layer.predict(A)


def test_bfloat16_is_kept_for_one_sample_and_for_several():
    """Calls of both kinds in turn pack neither form again; another array packs both."""
    layer, A = random_quantized_gru(7, 9, "bfloat16", sequences=True), random_batch(3, 5, 7, 9, False, np.float32)[0]
    one, several = layer.weights.packed(layer), layer.weights.packed(layer, 3)
    assert one is not several
    assert layer.weights.packed(layer) is one
    assert layer.weights.packed(layer, 2) is several
    before = layer.predict(A[:1]), layer.predict(A)
    layer.p["Uz"] = layer.p["Uz"] ^ np.uint16(1 << 15)  # the other sign
    for due, now in zip(before, (layer.predict(A[:1]), layer.predict(A)), strict=True):
        assert np.abs(due - now).max() > 1e-3


def test_another_level_packs_anew():
    before = kernels.level()
    for name in ("gru", "dense"):
        make, A, lengths = LAYERS[name]
        layer = make("int8")
        due = layer.predict(A, lengths)
        try:
            for level, vnni in narrow_levels() * 2:
                kernels.use_level(level, vnni=vnni)
                assert_close(layer.predict(A, lengths), due, 0.02)
                assert name == "dense" or layer.weights.packed(layer).level == low_precision.level()
                assert layer.weights.packed(layer) is layer.weights.packed(layer)
        finally:
            kernels.use_level(before)


# --- what is refused ---


@pytest.mark.parametrize("name", LAYERS)
def test_they_do_not_train(name):
    make, A, lengths = LAYERS[name]
    layer = make("int8")
    before = {key: array.copy() for key, array in layer.p.items()}
    calls = [lambda: layer.initialize_parameters()]
    if name != "dense":
        calls += [lambda: layer.forward(A, lengths), lambda: layer.run(A, lengths)]
    for call in calls:
        with pytest.raises(RuntimeError, match=r"^\w+: expected predict, as int8 weights neither train"):
            call()
    if name == "dense":
        with refuses(RuntimeError, "Dense"):
            layer.run(A, lengths).backward(np.ones((6, 5, 4)))
    assert_all_same(layer.p, before)


@pytest.mark.parametrize(
    ("make", "A"),
    [
        (lambda: quantized(cgru.GRU(3)), X),
        (lambda: quantized(cgru.Dense(3)), X[:, 0]),
        (lambda: quantized(cgru.Embedding(11, 3)), TOKENS),
        (lambda: quantized_both(quantized(cgru.GRU(3)), quantized(cgru.GRU(3, reverse=True))), X),
    ],
)
def test_without_parameters(make, A):
    layer = make()
    for call in (lambda: layer.predict(A), lambda: layer.make(A)):
        with pytest.raises(RuntimeError, match=r"^(GRU|Dense|Embedding): "):
            call()


def test_what_a_call_refuses():
    layer = made()
    A = np.nan_to_num(X)
    for error, name, value in (
        (ValueError, "A", A[:, :, :3]), (ValueError, "A", A[0]), (TypeError, "A", A.astype(complex)),
        (ValueError, "lengths", [6] * 6), (ValueError, "lengths", [0] * 6), (ValueError, "h0", np.zeros((5, 9))),
        (TypeError, "h0", np.zeros((6, 9), complex)),
    ):  # fmt: skip
        with refuses(error, name):
            layer.predict(**{"A": A} | {name: value})


@pytest.mark.parametrize(
    ("error", "name", "make"),
    [
        *((ValueError, "weights", lambda kind=kind: StoredWeights(kind)) for kind in ("int4", ["int8"], None)),
        *((ValueError, "x_bound", lambda bound=bound: StoredWeights("int8", bound)) for bound in (-1, np.nan, 1e39)),
        (TypeError, "x_bound", lambda: StoredWeights("int8", "a")),
        *((ValueError, "weights", lambda option=option: quantized(cgru.GRU(3, **{option: True})))
          for option in ("layer_norm", "stateful")),
        *((ValueError, gate, lambda gate=gate: quantized(cgru.GRU(3, **{gate: np.tanh})))
          for gate in ("activate", "activate_update", "activate_reset")),
        (ValueError, "activate", lambda: quantized(cgru.Dense(3, abs))),
    ],
)  # fmt: skip
def test_what_a_storage_refuses(error, name, make):
    with refuses(error, name):
        make()


def widest(rows, code=127):
    """A quantised head and GRU of so many rows of codes, by hand, and the largest row that can come."""
    head = quantized(cgru.Dense(1, "identity"))
    head.p |= {"W": np.full((rows, 1), code, np.int8), "scale_W": np.ones((1, 1), np.float32)}
    head.p["b"] = np.zeros((1, 1), np.float32)
    gru = random_quantized_gru(3, 1, "int8")
    for name in ("Uz", "Ur", "Uhh"):
        gru.p[name] = np.full((rows, 1), code, np.int8)
    return head, gru


def test_more_rows_of_int8_than_sums_have_bits_for_are_refused_at_every_door(monkeypatch, tmp_path):
    """By hand, in a file, by a stream, a cell and an exported model."""
    rows = 133_145
    words = r"expected at most 133144 rows of int8, .* got 133145; weights=\"bfloat16\" takes more"
    head, gru = widest(rows)
    X = np.ones((1, 1, rows), np.float32)
    with monkeypatch.context() as patch:
        patch.setattr("cgru.quantized.stored_weights.MAX_ROWS", rows)
        cgru.Network([head]).save(tmp_path / "head.npz")
        cgru.Network([gru]).save(tmp_path / "gru.npz")
    doors = [
        lambda: head.predict(X[0]),
        lambda: cgru.Network([head]).predict(X),
        lambda: cgru.Network([head]).save(tmp_path / "again.npz"),
        lambda: cgru.load(tmp_path / "head.npz"),
        lambda: cgru.load(tmp_path / "gru.npz"),
        lambda: gru.predict(X),
        lambda: cgru.Stream(gru),
        lambda: cgru.Cell(gru),
        lambda: cgru.export_c(gru, tmp_path / "model.c"),
    ]
    for door in doors:
        with pytest.raises(ValueError, match=words):
            door()
    assert {path.name for path in tmp_path.iterdir()} == {"head.npz", "gru.npz"}


def test_as_many_rows_as_there_may_be_make_no_sum_wrap(narrow_level):
    head, _ = widest(133_144)
    assert head.predict(np.ones((1, 133_144), np.float32))[0, 0] == np.float32(127 * 133_144)


@pytest.mark.parametrize(
    ("kind", "number", "words"),
    [
        ("int8", -128, "expected codes from -127 to 127, got -128"),
        ("bfloat16", 0x7F80, "expected finite numbers in bfloat16, got NaN or infinity"),
        ("bfloat16", 0xFFC1, "expected finite numbers in bfloat16, got NaN or infinity"),
    ],
)
def test_numbers_that_quantize_never_makes_are_refused(kind, number, words, tmp_path):
    """Codes that sums have no room for, and what is not finite: by hand, from a file, exported."""
    gru = random_quantized_gru(3, 4, kind)
    wrong = gru.p["Vhh"].copy()
    wrong[2, 1] = number
    gru.p["Vhh"] = wrong
    net = cgru.Network([gru])
    net.save(tmp_path / "model.npz")
    for door in (
        lambda: gru.predict(np.ones((1, 2, 3), np.float32)),
        lambda: cgru.load(tmp_path / "model.npz").predict(np.ones((1, 2, 3), np.float32)),
        lambda: cgru.Stream(gru),
        lambda: cgru.export_c(gru, tmp_path / "model.c"),
    ):
        with pytest.raises(ValueError, match=rf"^p\['Vhh'\].*{words}"):
            door()
