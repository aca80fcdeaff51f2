"""cgru in the place of EpyNN's GRU layer: the four functions on EpyNN's own layers, and cgru.GRU in EpyNN's networks.

Equal is meant in the contract's sense: for each array, the largest difference over the largest value is under 1e-9.
"""

import copy
import pickle

import numpy as np
import pytest

import cgru
from cgru import parameters
from cgru.reference import PARAMETERS

if not hasattr(np, "VisibleDeprecationWarning"):  # EpyNN asks for it where NumPy 1 had it
    setattr(np, "VisibleDeprecationWarning", np.exceptions.VisibleDeprecationWarning)  # noqa: B010


def epynn(module):
    return pytest.importorskip(
        f"epynn.{module}",
        reason="EpyNN is not installed: pip install termcolor tabulate texttable Pygments matplotlib, "
        "then pip install --no-deps epynn",
    )


maths = epynn("commons.maths")
settings = epynn("settings")
gru_models = epynn("gru.models")
Embedding = epynn("embedding.models").Embedding
Dense = epynn("dense.models").Dense
Flatten = epynn("flatten.models").Flatten
EpyNN = epynn("network.models").EpyNN

pytestmark = pytest.mark.filterwarnings(r"ignore:::epynn\.")  # those raised inside EpyNN are its own

FUNCTIONS = ("gru_compute_shapes", "gru_initialize_parameters", "gru_compute_gradients", "gru_update_parameters")
SIZES = [(1, 1, 1, 1), (7, 5, 3, 4), (2, 9, 6, 6), (3, 4, 11, 2), (17, 2, 1, 33), (5, 3, 33, 17)]  # m, s, e, u
GATES = [  # activate, activate_update, activate_reset
    ("tanh", "sigmoid", "sigmoid"),
    ("elu", "sigmoid", "relu"),
    ("relu", "sigmoid", "sigmoid"),
    ("lrelu", "sigmoid", "elu"),
    ("identity", "sigmoid", "lrelu"),
    ("sigmoid", "tanh", "identity"),
    ("elu", "elu", "tanh"),
    ("tanh", "lrelu", "sigmoid"),
    ("relu", "identity", "sigmoid"),
    ("tanh", "relu", "tanh"),
]
CACHES = ("d", "fs", "p", "fc", "bs", "bc", "g")


@pytest.fixture
def same_layer(same):
    """Every dict of two layers: the same keys, the same numbers."""

    def compare(ours, theirs):
        for name in CACHES:
            mine, other = getattr(ours, name), getattr(theirs, name)
            assert mine.keys() == other.keys(), name
            for key in other:
                if name in ("d", "fs", "bs"):
                    assert mine[key] == other[key], f"{name}[{key!r}]"
                else:
                    same(mine[key], other[key], where=f"{name}[{key!r}]")

    return compare


# --- the four functions on EpyNN's own layers ---


def replace(monkeypatch, names):
    for name in names:
        monkeypatch.setattr(gru_models, name, getattr(parameters, name))


def step(layer, X, dA):
    """One training step of a single layer."""
    layer.compute_shapes(X)
    layer.initialize_parameters()
    held = dict(layer.p)
    layer.forward(X)
    layer.backward(dA)
    layer.compute_gradients()
    layer.update_parameters()
    for name, array in held.items():
        assert layer.p[name] is array, f"p[{name!r}] was rebound"
    return layer


def own_layer(u, rng, **options):
    layer = gru_models.GRU(u, se_hPars=dict(settings.se_hPars), **options)
    layer.np_rng, layer.lrate, layer.e = np.random.default_rng(rng), [0.7, 0.03], 1
    return layer


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("replaced", [*((name,) for name in FUNCTIONS), FUNCTIONS], ids=[*FUNCTIONS, "all"])
@pytest.mark.parametrize("options", [{}, {"clip_gradients": True, "sequences": True}], ids=["plain", "clipped"])
def test_functions_on_its_layers(monkeypatch, same_layer, replaced, sizes, options):
    m, s, e, u = sizes
    rng = np.random.default_rng(sum(sizes))
    X = rng.standard_normal((m, s, e))
    dA = rng.standard_normal((m, s, u) if options else (m, u))
    theirs = step(own_layer(u, 3, **options), X, dA)
    replace(monkeypatch, replaced)
    ours = step(own_layer(u, 3, **options), X, dA)
    same_layer(ours, theirs)
    assert list(ours.p) == list(theirs.p) == list(PARAMETERS)
    if s > 1:  # else there is no state to learn from
        assert all(np.abs(ours.g["d" + name]).max() > 0 for name in PARAMETERS)


@pytest.mark.parametrize("initialization", ["orthogonal", "xavier"])
@pytest.mark.parametrize("sizes", SIZES)
def test_weights_bit_for_bit(monkeypatch, sizes, initialization):
    _, _, e, u = sizes
    theirs = own_layer(u, 5, initialization=getattr(maths, initialization))
    theirs.compute_shapes(np.zeros((2, 3, e)))
    theirs.initialize_parameters()
    replace(monkeypatch, FUNCTIONS)
    for given in (getattr(maths, initialization), getattr(cgru, initialization)):
        ours = own_layer(u, 5, initialization=given)
        ours.compute_shapes(np.zeros((2, 3, e)))
        ours.initialize_parameters()
        for name in PARAMETERS:
            np.testing.assert_array_equal(ours.p[name], theirs.p[name], err_msg=name)
        assert ours.np_rng.random() == copy.deepcopy(theirs.np_rng).random()  # as many draws were taken


def test_shapes_are_the_same_dict(monkeypatch):
    theirs, ours = own_layer(4, 1), own_layer(4, 1)
    X = np.ones((3, 5, 2))
    theirs.compute_shapes(X)
    replace(monkeypatch, FUNCTIONS)
    ours.compute_shapes(X)
    assert (ours.fs, ours.d) == (theirs.fs, theirs.d)


@pytest.mark.parametrize("sizes", SIZES)
def test_integer_input(monkeypatch, same_layer, sizes):
    m, s, e, u = sizes
    rng = np.random.default_rng(8)
    X, dA = rng.integers(-2, 3, (m, s, e)), rng.standard_normal((m, u))
    theirs = step(own_layer(u, 3), X, dA)
    replace(monkeypatch, FUNCTIONS)
    same_layer(step(own_layer(u, 3), X, dA), theirs)


def test_updates_in_place_through_any_strides(monkeypatch, same):
    m, s, e, u = 4, 3, 2, 5
    rng = np.random.default_rng(9)
    replace(monkeypatch, FUNCTIONS)
    layer = step(own_layer(u, 3), rng.standard_normal((m, s, e)), rng.standard_normal((m, u)))
    for name in ("Uz", "Ur", "Uhh"):
        layer.p[name] = np.asfortranarray(layer.p[name])  # as EpyNN itself makes them where e < u

    wide = rng.standard_normal((2 * e, 3 * u))
    layer.p["Ur"] = wide[::2, ::-3]  # someone else's array, seen through a strided view
    before = {name: array.copy() for name, array in layer.p.items()}
    whole = wide.copy()
    views = {name: array.T for name, array in layer.p.items()}
    layer.update_parameters()
    for name in PARAMETERS:
        same(views[name].T, before[name] - 0.03 * layer.g["d" + name], 1e-15, name)
    same(wide[::2, ::-3], layer.p["Ur"], 0)
    np.testing.assert_array_equal(wide[1::2], whole[1::2])  # its neighbours are as they were


# --- whole networks ---


def data(m=31, s=6, e=3, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((m, s, e)), np.arange(m) % classes
    return X + 0.4 * Y[:, None, None], Y


def train(layers, loss="CCE", epochs=4, seed=11, hyper=None, **sets):
    """The layers behind an embedding, trained; without the reports that wait three seconds before the start."""
    X, Y = data(**sets)
    network = EpyNN([Embedding(X, Y, relative_size=(2, 1, 1), batch_size=7, Y_encode=True), *layers])
    network.initialize(loss=loss, seed=seed, se_hPars={**settings.se_hPars, "learning_rate": 0.02, **(hyper or {})})
    network.train(epochs, init_logs=False)
    return network


@pytest.fixture
def same_networks(same, same_layer, capsys):
    """Train a network with cgru.GRU and one with EpyNN's; compare losses, metrics and every dict of every layer.

    `layers(GRU, f)` makes the layers behind the embedding, `f` being the module whose activations go to a GRU.
    """

    def compare(layers, activations=maths, **options):
        ours, theirs = train(layers(cgru.GRU, activations), **options), train(layers(gru_models.GRU, maths), **options)
        assert any(isinstance(layer, cgru.GRU) for layer in ours.layers)
        for name, history in theirs.metrics.items():
            assert len(history[0]) == options.get("epochs", 4)
            for part, mine in zip(history, ours.metrics[name], strict=True):
                same(mine, part, where=name)
        assert np.ptp(theirs.metrics[options.get("loss", "CCE")][0]) > 1e-4  # it learns
        for mine, other in zip(ours.layers, theirs.layers, strict=True):
            same_layer(mine, other)
            assert mine.activation == other.activation
            assert mine.se_hPars == other.se_hPars
            assert mine.name == other.name
            np.testing.assert_array_equal(mine.lrate, other.lrate)
        X, _ = data(m=3, s=options.get("s", 6), seed=5)
        same(ours.predict(X).A, theirs.predict(X).A, where="predict")
        assert "Check OK" in capsys.readouterr().out
        return ours, theirs

    return compare


@pytest.mark.parametrize("u", [1, 2, 7, 17])
def test_embedding_gru_dense(same_networks, u):
    same_networks(lambda GRU, f: [GRU(u), Dense(3, maths.softmax)])


def test_stacked(same_networks):
    same_networks(lambda GRU, f: [GRU(7, sequences=True), GRU(5), Dense(3, maths.softmax)])


def test_sequences_into_a_flat_head(same_networks):
    same_networks(lambda GRU, f: [GRU(5, sequences=True), Flatten(), Dense(3, maths.sigmoid)], loss="MSE")


def test_only_one_of_two_replaced(same_networks):
    same_networks(lambda GRU, f: [gru_models.GRU(6, sequences=True), GRU(3), Dense(3, maths.softmax)])
    same_networks(lambda GRU, f: [GRU(6, sequences=True), gru_models.GRU(3), Dense(3, maths.softmax)])


@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("gates", GATES, ids="-".join)
@pytest.mark.parametrize("source", [maths, cgru], ids=["EpyNN's functions", "cgru's functions"])
def test_activations(same_networks, source, gates, clipped):
    def small(shape, rng):  # unbounded gates would run away from larger weights
        return 0.3 * maths.orthogonal(shape, rng=rng)

    def layers(GRU, f):
        functions = [getattr(f, gate) for gate in gates]
        return [
            GRU(5, *functions, small, clip_gradients=clipped, sequences=True),
            GRU(4, *functions, small, clip_gradients=clipped),
            Dense(3, maths.softmax),
        ]

    same_networks(layers, source, s=4, hyper={"learning_rate": 0.01})


@pytest.mark.parametrize("own", [True, False], ids=["the layer's", "the network's"])
def test_parameters_of_activations(same_networks, own):
    hyper = {"LRELU_alpha": 0.11, "ELU_alpha": 0.7}

    def layers(GRU, f):
        given = {**settings.se_hPars, "learning_rate": 0.01, **hyper} if own else None
        return [GRU(5, f.lrelu, f.sigmoid, f.elu, se_hPars=given), Dense(3, maths.softmax)]

    ours, _ = same_networks(layers, hyper=None if own else hyper)
    assert ours.layers[1].se_hPars["LRELU_alpha"] == 0.11
    assert (ours.layers[1].se_hPars is ours.se_hPars) != own  # the network's dict is shared, not copied


def test_clipping_bites(same_networks):
    def layers(GRU, f):
        return [GRU(5, clip_gradients=True), Dense(3, maths.softmax)]

    ours, _ = same_networks(layers, epochs=3)
    norm = np.sqrt(sum(np.square(gradient).sum() for gradient in ours.layers[1].g.values()))
    assert norm == pytest.approx(0.25)


def test_a_callable_of_the_users(same_networks):
    def softsign(x, deriv=False):
        return 1 / (1 + np.abs(x)) ** 2 if deriv else x / (1 + np.abs(x))

    ours, _ = same_networks(lambda GRU, f: [GRU(5, softsign), Dense(3, maths.softmax)])
    assert ours.layers[1].activation["activate"] == "softsign"


def test_schedules_and_further_training(same_networks, same):
    hyper = {"schedule": "exp_decay", "learning_rate": 0.05}
    ours, theirs = same_networks(lambda GRU, f: [GRU(5), Dense(3, maths.softmax)], hyper=hyper)
    for network in (ours, theirs):
        network.train(3, init_logs=False)
    same(ours.metrics["CCE"][0], theirs.metrics["CCE"][0])
    for name in PARAMETERS:
        same(ours.layers[1].p[name], theirs.layers[1].p[name], where=name)


def test_not_trainable(same_networks):
    def layers(GRU, f):
        layer = GRU(5)
        layer.trainable = False
        return [layer, Dense(3, maths.softmax)]

    ours, _ = same_networks(layers)
    fresh = cgru.GRU(5, rng=13)  # the network's seed and one for each layer before it
    fresh.compute_shapes(np.ones((2, 6, 3)))
    fresh.initialize_parameters()
    for name in PARAMETERS:
        np.testing.assert_array_equal(ours.layers[1].p[name], fresh.p[name])


def test_functions_in_its_own_network(monkeypatch, same, same_layer):
    """EpyNN's own layers throughout, only their four functions ours."""
    theirs = train([gru_models.GRU(6, sequences=True), gru_models.GRU(2), Dense(3, maths.softmax)])
    replace(monkeypatch, FUNCTIONS)
    ours = train([gru_models.GRU(6, sequences=True), gru_models.GRU(2), Dense(3, maths.softmax)])
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        same_layer(mine, other)
    same(ours.metrics["CCE"][0], theirs.metrics["CCE"][0])


def test_one_hot_input(same_layer):
    words = [["ACGT"[(i * j) % 4] for j in range(1, 8)] for i in range(24)]
    labels = [i % 2 for i in range(24)]
    networks = []
    for GRU in (cgru.GRU, gru_models.GRU):
        embedding = Embedding(words, labels, batch_size=5, X_encode=True, Y_encode=True)
        network = EpyNN([embedding, GRU(6), Dense(2, maths.softmax)])
        network.initialize(loss="CCE", seed=2)
        network.train(3, init_logs=False)
        networks.append(network)
    for mine, other in zip(*(network.layers[1:] for network in networks), strict=True):
        same_layer(mine, other)


def test_a_trained_network_pickles(same_networks, same):
    ours, _ = same_networks(lambda GRU, f: [GRU(5, f.elu), Dense(3, maths.softmax)])
    again = pickle.loads(pickle.dumps(ours))
    X, _ = data(m=4, seed=6)
    same(again.predict(X).A, ours.predict(X).A, 0)
    ours.train(2, init_logs=False)
    again.train(2, init_logs=False)
    same(again.layers[1].p["Vhh"], ours.layers[1].p["Vhh"], 0)


# --- which functions run compiled ---


def test_recognised_or_not_the_numbers_are_the_same(same_layer):
    """EpyNN's function behind a wrapper runs in Python, bare it runs compiled."""
    rng = np.random.default_rng(4)
    X, dA = rng.standard_normal((5, 7, 3)), rng.standard_normal((5, 4))
    layers = []
    for gate in (maths.sigmoid, lambda x, deriv=False: maths.sigmoid(x, deriv)):
        layer = cgru.GRU(4, maths.tanh, gate, rng=1)
        layer.lrate, layer.e = [0.1], 0
        layers.append(step(layer, X, dA))
    same_layer(*layers)
