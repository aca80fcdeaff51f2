"""`SampledDense`, `losses.sampled`, `RowGradients` and steps of rows: against formulas of whole tables."""

import copy
from functools import partial

import numpy as np
import pytest
from helpers import assert_all_close, refuses

import cgru
from cgru.optimizers import RowGradients

SIZES = [(1, 7, 1), (7, 17, 3), (17, 33, 33), (33, 400, 7)]  # m, k, n
OPTIMIZERS = [
    cgru.SGD(0.1),
    cgru.SGD(0.1, 0.9, nesterov=True),
    cgru.Adam(0.1),
    cgru.RMSprop(0.1, momentum=0.5),
    cgru.Adagrad(0.1, clip_norm=0.1),
    cgru.Adagrad(0.1, 0.7),
]


def drawn(m, k, n, dtype=np.float64, seed=0):
    """A layer, inputs, and classes of which some come several times."""
    rng = np.random.default_rng(seed)
    layer = cgru.SampledDense(k, n, rng=seed, dtype=dtype)
    layer.p["b"][:] = rng.standard_normal(k)
    return layer, rng.standard_normal((m, n)).astype(dtype), rng.integers(0, k, m + 20)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_scores_and_gradients_are_those_of_the_whole_table(m, k, n, dtype):
    layer, A, classes = drawn(m, k, n, dtype)
    near = {"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-13}
    W, b = layer.p["W"], layer.p["b"]
    Z = layer.forward(A, classes)
    np.testing.assert_allclose(Z, (A @ W.T + b)[:, classes], **near)
    dZ = np.random.default_rng(1).standard_normal(Z.shape).astype(dtype)
    whole = np.zeros((m, k), dtype)
    np.add.at(whole.T, classes, dZ.T)
    np.testing.assert_allclose(layer.backward(dZ), whole @ W, **near)
    layer.compute_gradients()
    np.testing.assert_allclose(layer.g["dW"].dense(k), whole.T @ A, **near)
    np.testing.assert_allclose(layer.g["db"].dense(k)[:, 0], whole.sum(axis=0), **near)
    np.testing.assert_allclose(layer.dense("identity").predict(A)[:, classes], Z, **near)


@pytest.mark.parametrize(("kind", "extra"), [("sampled", "log_q"), ("bpr_max", "penalty")])
@pytest.mark.parametrize("m", [1, 7, 17])
def test_the_gradient_of_the_loss_by_central_differences(kind, extra, m):
    rng = np.random.default_rng(m)
    Z = rng.standard_normal((m, m + 9)) * 2
    loss = partial(getattr(cgru.losses, kind), **{extra: 0.3 if kind == "bpr_max" else rng.standard_normal(m + 9)})
    _, dZ = loss(Z)
    due = np.zeros_like(Z)
    for place in np.ndindex(Z.shape):
        for sign in (1, -1):
            moved = Z.copy()
            moved[place] += sign * 1e-6
            due[place] += sign * loss(moved)[0] / 2e-6
    np.testing.assert_allclose(dZ, due, rtol=1e-6, atol=1e-9)


def test_the_losses_are_their_formulas():
    Z = np.random.default_rng(0).standard_normal((5, 12))
    log_q = np.linspace(-3, 0, 12)
    P = np.exp(Z - log_q) / np.exp(Z - log_q).sum(axis=1, keepdims=True)
    assert cgru.losses.sampled(Z, log_q=log_q)[0] == pytest.approx(-np.log(P.diagonal()).mean())
    o, due = np.where(Z > 0, Z, np.exp(Z) - 1), 0.0
    for i in range(5):
        others = np.delete(o[i], i)
        s = np.exp(others) / np.exp(others).sum()
        due += -np.log((s / (1 + np.exp(others - o[i, i]))).sum()) + 0.7 * (s * others**2).sum()
    assert cgru.losses.bpr_max(Z)[0] == cgru.losses.bpr_max(Z, 0.0)[0]
    assert cgru.losses.bpr_max(Z, penalty=0.7)[0] == pytest.approx(due / 5)


@pytest.mark.parametrize("kind", ["sampled", "bpr_max"])
def test_large_scores_stay_finite(kind):
    Z = np.array([[-300.0, 500.0, 3e4], [2e4, 100.0, -900.0]], np.float32)
    loss, dZ = getattr(cgru.losses, kind)(Z)
    assert np.isfinite(loss)
    assert np.isfinite(dZ).all()
    assert dZ.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("u", [1, 7, 33])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_a_step_of_rows_is_a_step_of_a_table_of_these_rows(optimizer, u, dtype):
    rng = np.random.default_rng(u)
    p = {"0.E": rng.standard_normal((40, u)).astype(dtype), "1.b": rng.standard_normal((1, 3)).astype(dtype)}
    due, state, due_state = copy.deepcopy(p), {}, {}
    for _ in range(3):
        b = rng.standard_normal((1, 3)).astype(dtype)
        g = RowGradients(rng.integers(0, 40, 60), rng.standard_normal((60, u)).astype(dtype))
        optimizer.step(p, {"0.E": g, "1.b": b}, state)
        part = {"0.E": due["0.E"][g.rows], "1.b": due["1.b"]}
        own = due_state.setdefault("E", [0, *(np.zeros_like(due["0.E"]) for _ in range(optimizer.arrays))])
        held = due_state.setdefault("state", {}).setdefault(type(optimizer).__name__, {})
        held["0.E"] = [own[0], *(array[g.rows] for array in own[1:])]
        optimizer.step(part, {"0.E": g.values, "1.b": b}, due_state["state"])
        due["0.E"][g.rows] = part["0.E"]
        own[0] = held["0.E"][0]
        for array, changed in zip(own[1:], held["0.E"][1:], strict=True):
            array[g.rows] = changed
    near = {"rtol": 2e-5, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-14}
    assert_all_close(p, due, **near)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32])
def test_rows_of_any_integers(dtype):
    rows = np.arange(16, dtype=dtype)[::2]
    p = np.zeros((20, 3))
    cgru.SGD(1.0).step({"W": p}, {"W": RowGradients(rows, np.ones((16, 3))[::2])}, {})
    np.testing.assert_array_equal(p[:, 0], -np.isin(np.arange(20), rows).astype(float))
    assert len(RowGradients(np.zeros(0, dtype), np.zeros((0, 3))).rows) == 0


def test_a_state_of_another_dtype_is_cast_for_steps_of_rows():
    states, p = [{}, {}], [np.ones((4, 3), np.float32), np.ones((4, 3))]
    for i in range(2):
        for array in p[i:]:
            g = RowGradients([1, 3], np.ones((2, 3), array.dtype))
            cgru.Adagrad(0.1, 0.5).step({"W": array}, {"W": g}, states[i])
    np.testing.assert_allclose(p[1][[1, 3]], p[1][1, 0])
    assert states[0]["Adagrad"]["W"][1].dtype == np.float64


@pytest.mark.parametrize("n", [1, 2, 3, 17, 1000])
def test_rows_are_summed_in_the_order_in_which_they_come_first(n):
    rng = np.random.default_rng(n)
    for scale in (1, 4096, 2**40):  # whose low bits are alike
        rows, values = rng.integers(0, 30, n) * scale, rng.standard_normal((n, 3))
        got = RowGradients(rows, values)
        _, first = np.unique(rows, return_index=True)
        np.testing.assert_array_equal(got.rows, rows[np.sort(first)])
        np.testing.assert_allclose(got.values, [values[rows == row].sum(axis=0) for row in got.rows], rtol=1e-12)


def test_an_embedding_has_gradients_of_rows():
    layer = cgru.Embedding(50, 4, rng=0)
    A = layer.forward(np.array([[1, 2, 1], [7, 3, 0]]), lengths=[3, 2])
    layer.backward(np.random.default_rng(0).standard_normal(A.shape))
    g = layer.last.row_gradients()
    assert sorted(g.rows) == [1, 2, 3, 7]
    layer.compute_gradients()
    np.testing.assert_allclose(g.dense(50), layer.g["dE"])


def test_a_shared_table_is_trained_by_both_layers():
    E = cgru.Embedding(30, 4, rng=0)
    E.make(np.zeros((1, 1), int))
    head = cgru.SampledDense(30, 4, table=E.p["E"])
    assert head.p["W"] is E.p["E"]
    A = E.forward(np.array([[3], [5]]))
    E.backward(head.backward(cgru.losses.sampled(head.forward(A[:, 0], [5, 9, 3, 20]))[1])[:, None])
    head.compute_gradients()
    parts = head.g["dW"], E.last.row_gradients()
    g = RowGradients(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "values")))
    np.testing.assert_allclose(g.dense(30), sum(part.dense(30) for part in parts))


def test_it_learns_successors_of_items():
    rng = np.random.default_rng(0)
    after = rng.permutation(200)
    E, gru = cgru.Embedding(200, 16, rng=0, dtype="float32"), cgru.GRU(16, rng=0, dtype="float32")
    head, optimizer = cgru.SampledDense(200, 16, rng=0, dtype="float32"), cgru.Adagrad(0.1)
    losses = []
    for _ in range(400):
        x = rng.integers(0, 200, 32)
        h = gru.forward(E.forward(x[:, None]))
        loss, dZ = cgru.losses.sampled(head.forward(h, np.r_[after[x], rng.integers(0, 200, 64)]))
        E.backward(gru.backward(head.backward(dZ)))
        for layer in (gru, head):
            layer.compute_gradients()
            optimizer.step(layer)
        optimizer.step({"E": E.p["E"]}, {"E": E.last.row_gradients()}, E.o.setdefault("optimizer", {}))
        losses.append(loss)
    net = cgru.Network([E, gru, head.dense()])
    found = net.predict(np.arange(200)[:, None]).argmax(axis=1)
    assert np.mean(losses[-20:]) < 0.3 * losses[0]
    assert (found == after).mean() > 0.95


def test_refusals():
    layer, A, classes = drawn(3, 10, 4)
    for call, argument in (
        (lambda: layer.forward(A[:, :2], classes), "A"),
        (lambda: layer.forward(A, [10]), "classes"),
        (lambda: layer.forward(A, [-1]), "classes"),
        (lambda: layer.forward(A, []), "classes"),
        (lambda: cgru.SampledDense(10, 4, table=np.zeros((4, 10)).T), "table"),
        (lambda: cgru.losses.sampled(np.zeros((3, 3))), "Z"),
        (lambda: cgru.losses.sampled(np.zeros((3, 4)), np.zeros(3)), "log_q"),
        (lambda: cgru.losses.bpr_max(np.zeros((3, 4), int)), "Z"),
        (lambda: RowGradients([-1], np.zeros((1, 2))), "rows"),
        (lambda: RowGradients([1, 2], np.zeros((1, 2))), "rows"),
        (lambda: RowGradients(np.array([2**63], np.uint64), np.zeros((1, 2))), "rows"),
        (lambda: RowGradients([1], np.zeros((1, 2), np.longdouble)), "values"),
        (lambda: cgru.losses.bpr_max(np.zeros((3, 4)), -1.0), "penalty"),
    ):
        with refuses((TypeError, ValueError), argument):
            call()
    with refuses(RuntimeError, "compute_gradients"):
        layer.compute_gradients()
    layer.forward(A, classes)
    with refuses(RuntimeError, "compute_gradients"):
        layer.compute_gradients()
    layer = drawn(3, 10, 4)[0]
    with refuses(RuntimeError, "backward"):
        layer.backward(A)
    g, p = RowGradients([4], np.ones((1, 2))), {"W": np.zeros((5, 2))}
    for optimizer, changed, argument in (
        (cgru.SGD(), {"W": np.zeros((4, 2))}, "g['W']"),
        (cgru.SGD(), {"W": np.zeros((5, 3))}, "p['W']"),
        (cgru.SGD(), {"W": np.zeros((5, 2), np.float32)}, "p['W']"),
        (cgru.SGD(), {"W": np.zeros((2, 5)).T}, "p['W']"),
        (cgru.SGD(), {"W": np.zeros((5, 2), ">f8")}, "p['W']"),
        (cgru.SGD(), {"W": np.zeros((5, 2), int)}, "p['W']"),
        (cgru.Adam(weight_decay=0.1), p, "weight_decay"),
    ):
        state = {}
        with refuses(ValueError, argument):
            optimizer.step({"a": np.ones(2)} | changed, {"a": np.ones(2), "W": g}, state)
        assert not state
