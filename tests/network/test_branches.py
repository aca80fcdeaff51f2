"""Layers with chains in them: what tests/layers/test_contract.py and fuzz/trees.py do not look at."""

import numpy as np
import pytest
from helpers import assert_all_close, assert_all_same, assert_close, refuses

import cgru
from cgru.network.training import fit
from cgru.network.training.compiled.engine import compiles

RNG = np.random.default_rng(0)
M, S, E = 12, 6, 4
X, Y, LENGTHS = RNG.standard_normal((M, S, E)), np.arange(M) % 3, np.arange(M) % S + 1
RESETS = RNG.random((M, S)) < 0.2


def gru(u, **options):
    return cgru.GRU(u, sequences=True, **options)


def network(*layers, **options):
    return cgru.Network([*layers, cgru.Dense(3, "softmax")], **({"seed": 0} | options))


def residual(u=5, **options):
    return cgru.Add([], gru(u, **options))


FITS = {  # layers below the head, and options of the fit
    "in pieces": (lambda: [gru(5), residual(learn_h0=True), residual(), cgru.GRU(3)], {"truncate": 2}),
    "stateful": (lambda: [gru(5, stateful=True), residual(stateful=True), cgru.GRU(3)], {"shuffle": False}),
    "low memory": (
        lambda: [cgru.Concatenate([], gru(5)), cgru.Concatenate(cgru.GRU(3), cgru.Pool())],
        {"memory": "low"},
    ),
    "masks": (
        lambda: [cgru.Concatenate(gru(5, dropout=0.3), [cgru.Dropout(0.3), gru(2, zoneout=0.2)]), cgru.GRU(3)],
        {},
    ),
    "activities": (
        lambda: [gru(5), residual(), cgru.Concatenate(cgru.GRU(3), [gru(2), cgru.Pool()])],
        {"penalties": cgru.Penalties(l1=0.01, activity_l1=0.1, activity_l2=0.1)},
    ),
    "frames": (
        lambda: [cgru.Add([cgru.Frames(2), cgru.Dense(5)], [gru(3), cgru.Frames(2), gru(5)]), cgru.GRU(3)],
        {"truncate": 4},
    ),
    "turned": (lambda: [cgru.Concatenate([cgru.Flip(), gru(5)], [cgru.Flip(), gru(2)]), cgru.GRU(3)], {}),
    "few of many": (
        lambda: [cgru.Concatenate([cgru.Select([3, 1]), gru(2)], [cgru.Select(slice(2)), gru(3)]), cgru.GRU(3)],
        {},
    ),
}


@pytest.mark.parametrize("given", ["whole", "ragged", "resets"])
@pytest.mark.parametrize("name", FITS)
def test_a_compiled_fit_is_that_of_the_loop(monkeypatch, name, given):
    make, options = FITS[name]
    if (name, given) in [("stateful", "ragged"), ("frames", "resets"), ("turned", "resets")]:
        pytest.skip("refused, as in chains")
    A = cgru.Sequences(X, LENGTHS if given == "ragged" else None, resets=RESETS if given == "resets" else None)
    found = []
    for compiled in (True, False):
        net = network(*make(), optimizer=cgru.SGD(0.3))
        assert compiles(net)
        with monkeypatch.context() as patch:
            if not compiled:
                patch.setattr(fit, "compiles", lambda model: False)
            net.fit(A, Y, **({"epochs": 3, "batch_size": 4} | options))
        found.append(net.parameters() | {"outputs": net.predict(A)})
    assert_all_close(*found, 1e-9)


def test_states_go_on():
    net = network(residual(E), cgru.Concatenate(cgru.GRU(3), [gru(2), cgru.GRU(1)]))
    whole = net.predict(X)
    _, states = net.predict(X[:, :4], return_state=True)
    assert [state.shape[1] for state in states] == [E, 3, 2, 1]
    assert_close(net.predict(X[:, 4:], h0=states), whole, 1e-12)
    stream = cgru.Stream(net, batch=M)
    for t in range(4):
        stream.step(X[:, t])
    for ours, due in zip(stream.state, states, strict=True):
        assert_close(ours, due, 1e-12)


def test_a_frozen_branch_stays():
    net = network(cgru.Concatenate(cgru.GRU(3), cgru.GRU(2)))
    net.make(X)
    net.layers[0].branches[0][0].trainable = False
    before = {key: array.copy() for key, array in net.parameters().items()}
    net.fit(X, Y, epochs=1)
    same = {key: np.array_equal(array, before[key]) for key, array in net.parameters().items()}
    assert {key[:5] for key, kept in same.items() if kept} == {"0.0.0"}
    assert net.layers[0].trainable
    net.layers[0].trainable = False
    assert not net.layers[0].branches[1][0].trainable


def test_seeds_summary_and_parameters():
    one, other = (network(cgru.Concatenate(cgru.GRU(3), cgru.GRU(3)), cgru.Dense(2)) for _ in range(2))
    one.make(X)
    other.make(X)
    assert_all_same(one.parameters(), other.parameters())
    p = one.parameters()
    assert not np.array_equal(p["0.0.0.Uz"], p["0.1.0.Uz"])
    assert one.layers[0].p["1.0.Uz"] is p["0.1.0.Uz"]
    assert [row.key for row in one.summary().layers] == ["0.0.0", "0.1.0", "0", "1", "2"]
    assert one.summary().parameters == sum(array.size for array in p.values())


def test_threads_and_many_fits_have_the_same_bits():
    def make():
        return network(residual(E), cgru.Concatenate(cgru.GRU(40), [gru(8), cgru.Pool("mean+max")]), dtype=np.float32)

    A, found = np.tile(X, (20, 3, 1)), []
    for threads in (1, 2):
        cgru.set_num_threads(threads)
        net = make()
        net.fit(A, np.tile(Y, 20), epochs=2)
        found.append(net.parameters())
    (result,) = cgru.fit_many([cgru.Job(make, epochs=2)], A, np.tile(Y, 20))
    assert_all_same(*found)
    assert_all_same(result.network.parameters(), found[0])


def test_what_is_loaded_before_its_first_input(tmp_path):
    net = network(cgru.Concatenate(cgru.Select(slice(1, 3)), [cgru.Difference(), residual(2 * E)]), cgru.GRU(2))
    net.predict(X)
    net.save(tmp_path / "net.npz")
    assert np.array_equal(cgru.load(tmp_path / "net.npz").predict(X), net.predict(X))


CONSTRUCTED = [
    (cgru.Add, (), "branches"),
    (cgru.Add, (cgru.Flip(),), "branches"),
    (cgru.Concatenate, ([], [cgru.GRUD(3)]), "branches"),
    (cgru.Concatenate, ([], [cgru.Embedding(3, 2)]), "branches"),
    (cgru.Concatenate, ([], [3]), "branches"),
    (cgru.Concatenate, ([], cgru.Flip()), "branches"),
    (cgru.Concatenate, ([cgru.Frames(2)], [cgru.Frames(3)]), "branches"),
    (cgru.Select, (slice(0), 3), "features"),
    (cgru.Select, ([-1],), "features"),
    (cgru.Select, ([3], 2), "features"),
]


@pytest.mark.parametrize(("kind", "arguments", "name"), CONSTRUCTED)
def test_what_constructors_refuse(kind, arguments, name):
    with refuses(ValueError, name):
        kind(*arguments)


CHAINS = [  # and the words that name the branch
    ([cgru.Add([], gru(5)), cgru.Add([], gru(4))], "5, 4"),
    ([cgru.Add(gru(5), cgru.GRU(5))], "all have outputs at steps, or none"),
    ([gru(4), cgru.Concatenate([], [cgru.GRU(3), cgru.GRU(2)])], "branch 1"),
]


@pytest.mark.parametrize(("layers", "words"), CHAINS)
def test_chains_that_do_not_fit(layers, words):
    with pytest.raises(ValueError, match=words):
        network(*layers)


def test_what_is_refused_later(tmp_path):
    late = [cgru.Conv1D(2, 3, padding="valid"), cgru.Frames(1, 1, (2, 0))]  # complete after the steps that it keeps
    for branches in ([cgru.Frames(2), gru(3)], [gru(2), cgru.Frames(2)]), ([], late), (late, []):
        net = network(cgru.Concatenate(*branches), cgru.GRU(2))
        net.predict(X)
        with refuses(ValueError, "source"):
            cgru.Stream(net)
        with refuses(ValueError, "net"):
            cgru.export_c(net, tmp_path / "net.c")
        if late in branches:
            with refuses(ValueError, "X"):
                net.fit(X, Y, lengths=LENGTHS, epochs=1)
    whole = network(cgru.Concatenate([cgru.Select(3), gru(2)], gru(3)), cgru.GRU(2))
    whole.predict(X)
    with refuses(ValueError, "X"):
        whole.predict(X[:, :, :3])
    with pytest.raises(ValueError, match="inputs=n"):
        cgru.Concatenate(cgru.Select(0), cgru.Select([2, 1])).input_features(3)
    with refuses(TypeError, "branches"):
        cgru.Add([], 3)
