"""Pictures of states and gates: the arrays are those of the layer's own passes, the network stays what it was."""

import pickle
import sys

import numpy as np
import pytest

import cgru
from cgru import plot, reference

RNG = np.random.default_rng(0)
M, S = 5, 7
X = RNG.standard_normal((M, S, 3))
LENGTHS = np.array([7, 1, 4, 6, 2])
PAST = ~reference.mask(LENGTHS, S)[:, :, 0]


def network(*layers, **options):
    """One that has been trained, standardised, on sequences of unlike lengths."""
    net = cgru.Network([*layers, cgru.Dense(2, "softmax")], seed=1, **options)
    net.fit(X, np.arange(M) % 2, lengths=LENGTHS, epochs=3, batch_size=M, shuffle=False, standardize=True)
    return net


def scaled(net):
    return (X - net.mean) / net.scale


# --- the arrays ---


def test_gates_of_the_first_recurrent_layer():
    net = network(cgru.Dropout(0.5), cgru.GRU(4))
    got = plot.gates(net, X, LENGTHS)
    assert list(got) == ["h", "z", "r", "hh"]
    due = reference.forward(net.layers[1].p, scaled(net), None, LENGTHS)
    for name, array in got.items():
        np.testing.assert_allclose(array, np.where(PAST[:, :, None], 0, due[name]), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(got["h"][range(M), LENGTHS - 1], net.layers[1].predict(scaled(net), LENGTHS))
    whole = plot.gates(net, X)
    hp = np.concatenate([np.zeros((M, 1, 4)), whole["h"][:, :-1]], axis=1)
    np.testing.assert_allclose(whole["h"], whole["z"] * hp + (1 - whole["z"]) * whole["hh"])


def test_gates_of_a_higher_layer():
    net = network(cgru.GRU(4, sequences=True, dropout=0.5), cgru.Dropout(0.3), cgru.GRU(3, reset_after=True))
    below = net.layers[0].predict(scaled(net), LENGTHS)
    due = reference.forward(net.layers[2].p, below, None, LENGTHS, reset_after=True)
    got = plot.gates(net, X, LENGTHS, layer=2)
    for name in got:
        np.testing.assert_allclose(got[name], np.where(PAST[:, :, None], 0, due[name]), rtol=1e-12, atol=1e-15)
    assert plot.gates(net, X, LENGTHS, layer=np.int64(0))["h"].shape == (M, S, 4)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_a_layer_within_branches(lengths):
    within = cgru.GRU(3, sequences=True, reset_after=True)
    net = network(cgru.Concatenate([], [cgru.Add([], [cgru.Scale(), within])]), cgru.GRU(4))
    below, (m, s) = net.layers[0].branches[1][0].branches[1][0].predict(scaled(net)), X.shape[:2]
    due = reference.forward(within.p, below, None, lengths, reset_after=True)
    past = PAST if lengths is not None else np.zeros((m, s), bool)
    for name, array in plot.gates(net, X, lengths, layer="0.1.0.1.1").items():
        np.testing.assert_allclose(array, np.where(past[:, :, None], 0, due[name]), rtol=1e-12, atol=1e-15)
    with pytest.raises(ValueError, match=r"layer: .* 0\.1\.0\.1\.1 or 1,"):
        plot.gates(net, X, layer="0.1")


def test_states_that_begin_anew_or_fade():
    layers = [cgru.Flip(), cgru.GRU(4, sequences=True), cgru.Flip(), cgru.GRU(3, learn_h0=True)]
    net, decay = network(*layers), np.round(RNG.random((M, S)) * 2) / 2
    for given in ({"decay": decay}, {"resets": decay == 0}):
        got = plot.gates(net, cgru.Sequences(X, LENGTHS, **given), layer=3)["h"]
        for i, steps in enumerate(LENGTHS):
            own = {name: array[[i], :steps] for name, array in given.items()}
            A = net.standardized(X[[i], :steps])[:, ::-1]
            turned = {name: np.roll(array[:, ::-1], 1, axis=1) for name, array in own.items()}
            for array in turned.values():
                array[:, 0] = 1  # nothing stands before the first step
            below = net.layers[1].predict(A, **turned)[:, ::-1]
            due = net.layers[3].run(below, **own).fc["h"]
            np.testing.assert_allclose(got[i, :steps], due[0], atol=1e-15)
    with pytest.raises(ValueError, match=r"decay: .* got 2.0 in sample 0, step 0"):
        plot.gates(net, cgru.Sequences(X, decay=np.full((M, S), 2.0)))
    pytest.importorskip("matplotlib", reason="no matplotlib")
    figure = plot.states(net, cgru.Sequences(X, LENGTHS, resets=decay == 0), sample=2, layer=3, what="h")
    drawn = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(
        drawn.T, plot.gates(net, cgru.Sequences(X, LENGTHS, resets=decay == 0), layer=3)["h"][2, :4], atol=1e-15
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_both_directions(reverse):
    net = network(cgru.Bidirectional(cgru.GRU(4, reverse=reverse)))
    got = plot.gates(net, X, LENGTHS)
    assert list(got) == [f"{side}.{name}" for side in ("forward", "backward") for name in ("h", "z", "r", "hh")]
    for side, half in zip(("forward", "backward"), net.layers[0].cells, strict=True):
        due = reference.forward(half.p, scaled(net), None, LENGTHS, reverse=half.reverse)
        for name in ("h", "z", "r", "hh"):
            at = np.where(PAST[:, :, None], 0, due[name])
            np.testing.assert_allclose(got[f"{side}.{name}"], at, rtol=1e-12, atol=1e-15)


def test_a_layer_alone_tokens_and_lists():
    net = network(cgru.GRU(4))
    alone = plot.gates(net.layers[0], scaled(net), LENGTHS)
    for name, array in plot.gates(net, [x[:n] for x, n in zip(X, LENGTHS, strict=True)]).items():
        np.testing.assert_array_equal(array, alone[name])
    both = cgru.Bidirectional(net.layers[0])
    np.testing.assert_array_equal(plot.gates(both, scaled(net), LENGTHS)["forward.h"], alone["h"])

    tokens = cgru.Network([cgru.Embedding(6, 3), cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0, dtype=np.float32)
    words = RNG.integers(0, 6, (M, S))
    tokens.predict(words)
    got = plot.gates(tokens, words)["h"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[:, -1], tokens.layers[1].predict(tokens.layers[0].predict(words)))


def test_an_activation_of_the_users_own():
    layer = cgru.GRU(3, activate=lambda x, deriv=False: cgru.tanh(x, deriv=deriv), rng=0)
    layer.make(X)
    due = reference.forward(layer.p, X, None, LENGTHS)
    np.testing.assert_allclose(plot.gates(layer, X, LENGTHS)["z"], np.where(PAST[:, :, None], 0, due["z"]), rtol=1e-12)


@pytest.mark.parametrize("both", [False, True])
def test_the_network_is_as_it_was(both):
    """No generator is drawn from, no mask taken, no state moved or gone on from."""
    gru = cgru.GRU(4, sequences=True, stateful=True, dropout=0.4, recurrent_dropout=0.4, zoneout=0.3)
    upper = cgru.GRU(3, stateful=True, zoneout=0.2)
    net = network(cgru.Bidirectional(gru) if both else gru, cgru.Dropout(0.5), upper)
    net.predict(X[:, :3])
    before = pickle.dumps(net)
    shown = dict(net.layers[0].fc), net.layers[0].last
    upper.masks = {"zoneout": np.ones((M, S, 3))}
    got = plot.gates(net, X, LENGTHS, layer=2)
    plot.states(net, X[:2], layer=0)
    assert upper.masks is not None
    upper.masks = None
    assert pickle.dumps(net) == before
    assert (net.layers[0].fc, net.layers[0].last) == shown
    assert upper.state is not None
    assert upper.training
    net.reset_states()
    due = net.layers[0].predict(scaled(net), LENGTHS)
    due = upper.predict(due, LENGTHS)
    np.testing.assert_allclose(got["h"][range(M), LENGTHS - 1], due, rtol=1e-12)


# --- the picture ---


@pytest.fixture
def axes():
    figure = pytest.importorskip("matplotlib.figure", reason="pip install matplotlib").Figure()
    return lambda *shape: figure.subplots(*shape)


def drawn(figure):
    """Its panels, without colour bars."""
    return [panel for panel in figure.axes if panel.get_label() != "<colorbar>"]


@pytest.mark.parametrize("layer", [0, 1])
def test_a_map_of_each(layer, axes):
    net = network(cgru.GRU(4, sequences=True), cgru.GRU(3))
    figure = plot.states(net, X, LENGTHS, what=("z", "hh"), sample=np.int64(2), layer=layer)
    panels, arrays = drawn(figure), plot.gates(net, X, LENGTHS, layer=layer)
    for name, panel in zip(("z", "hh"), panels, strict=True):
        np.testing.assert_allclose(panel.images[0].get_array(), arrays[name][2, :4].T, rtol=1e-12)
    assert [panel.get_xlabel() for panel in panels] == ["", "step"]
    assert panels[0].images[0].get_clim() == (0, 1)
    top = np.abs(arrays["hh"][2, :4]).max()
    assert panels[1].images[0].get_clim() == pytest.approx((-top, top))
    assert {panel.get_ylabel() for panel in figure.axes} == {"unit", "candidate hh", "update gate z\n(1 keeps h)"}
    assert figure.get_size_inches() == pytest.approx((7, 4))


def test_directions_side_by_side(axes):
    net = network(cgru.Bidirectional(cgru.GRU(2)))
    panels, arrays = drawn(plot.states(net, X, LENGTHS, what=("h", "r"))), plot.gates(net, X, LENGTHS)
    assert [panel.get_title() for panel in panels] == ["forward", "backward", "", ""]
    for panel, name in zip(panels, ("forward.h", "backward.h", "forward.r", "backward.r"), strict=True):
        np.testing.assert_allclose(panel.images[0].get_array().T, arrays[name][0], rtol=1e-12)
        assert panel.get_shared_x_axes().joined(panel, panels[0])
        assert all(tick == round(tick) for tick in panel.yaxis.get_majorticklocs())
    assert panels[0].images[0].get_clim() == panels[1].images[0].get_clim()
    with pytest.raises(ValueError, match=r"^axes: expected 4 axes"):
        plot.states(net, X, what=["hh", "r"], axes=axes(2, 1))


def test_into_axes_of_the_callers(axes):
    given = axes(2, 1)
    figure = plot.states(network(cgru.GRU(2)), X[:, :3], what=["z", "r"], axes=given)
    assert figure is given[0].figure
    assert drawn(figure) == list(given)
    assert [tick for tick in given[0].xaxis.get_majorticklocs() if 0 <= tick <= 2] == [0, 1, 2]


def test_values_without_limits(axes):
    """Gates of another activation, states of zero, inputs that are NaN: all can be drawn."""
    layer = cgru.GRU(2, activate_update="identity", rng=0)
    layer.make(X)
    layer.p["bz"][...] = 3
    low, high = drawn(plot.states(layer, X))[1].images[0].get_clim()
    assert low == -high < -3
    for value in layer.p.values():
        value[...] = 0
    assert drawn(plot.states(layer, X))[0].images[0].get_clim() == (-1, 1)
    broken = X.copy()
    broken[0, 3:] = np.nan
    figure = plot.states(network(cgru.GRU(2)), broken)
    assert (
        np.isnan(np.ma.filled(drawn(figure)[0].images[0].get_array(), np.nan)[0]).tolist() == [False] * 3 + [True] * 4
    )
    figure.canvas.draw()


# --- what is refused ---


def test_refused(axes):
    net, layer = network(cgru.Dropout(), cgru.GRU(3, sequences=True), cgru.GRU(2)), cgru.GRU(2)
    plain = cgru.Network([cgru.Pool(), cgru.Dense(2, "softmax")], seed=0)
    small = cgru.quantize(network(cgru.GRU(2))).layers[0]
    for words, error, arguments, options in (
        ("net: expected a Network, a GRU or a Bidirectional, got GRU", TypeError, (small, X), {}),
        ("net: expected a Network, a GRU or a Bidirectional, got Dense", TypeError, (net.head, X), {}),
        ("net: expected a Network, a GRU or a Bidirectional, got NoneType", TypeError, (None, X), {}),
        (r"net: expected a recurrent layer in it, got Network\(\[Pool", ValueError, (plain, X), {}),
        (r"net: expected parameters, got Network\(\[GRU\(", RuntimeError, (layer, X), {}),
        (r"layer: expected a recurrent layer, 1 or 2, got 0", ValueError, (net, X), {"layer": 0}),
        (r"layer: expected a recurrent layer, 1 or 2, got -1", ValueError, (net, X), {"layer": -1}),
        (r"layer: expected a recurrent layer, 0, got 1", ValueError, (net.layers[1], X), {"layer": 1}),
        ("layer: expected an integer or a key, got bool", TypeError, (net, X), {"layer": True}),
        ("layer: expected an integer or a key, got float", TypeError, (net, X), {"layer": 1.0}),
        (r"X: expected shape \(m, s, 3\)", ValueError, (net, X[:, :, :2]), {}),
        (r"X: expected shape \(m, s, 3\)", ValueError, (net.layers[1], X[:, :, :2]), {}),
        (r"X: expected .*\(m, s, e\)", ValueError, (net, X[0]), {}),
        ("lengths: expected", ValueError, (net, X, LENGTHS + 1), {}),
    ):
        for call in (plot.gates, plot.states):
            with pytest.raises(error, match=f"^{words}"):
                call(*arguments, **options)
    assert not layer.p
    for words, error, options in (
        ("sample: expected from 0 to 4, got 5", ValueError, {"sample": 5}),
        ("sample: expected from 0 to 4, got -1", ValueError, {"sample": -1}),
        ("sample: expected an integer, got str", TypeError, {"sample": "0"}),
        (r"what: expected some of h, z, r, hh, got \('h', 'x'\)", ValueError, {"what": ("h", "x")}),
        (r"what: expected some of h, z, r, hh, got \(\)", ValueError, {"what": ()}),
        ("what: expected some of h, z, r, hh, got 'zr'", ValueError, {"what": "zr"}),
        ("what: expected some of h, z, r, hh, got 3", ValueError, {"what": 3}),
        (r"what: expected some of h, z, r, hh, got \[\['h'\]\]", ValueError, {"what": [["h"]]}),
        ("axes: expected 3 axes of matplotlib", ValueError, {"axes": axes(2, 1)}),
        ("axes: expected 3 axes of matplotlib", ValueError, {"axes": ["a", "b", "c"]}),
    ):
        with pytest.raises(error, match=f"^{words}"):
            plot.states(net, X, **options)


def test_without_matplotlib(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    net = network(cgru.GRU(2))
    assert plot.gates(net, X)["h"].shape == (M, S, 2)
    with pytest.raises(ImportError, match=r"^cgru\.plot: matplotlib is missing: pip install matplotlib$"):
        plot.states(net, X)
