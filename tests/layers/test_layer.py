"""What holds for every layer: passes of their own, dicts that are a face, parameters at the first sight of data."""

import copy
import itertools
import pickle
import threading

import numpy as np
import pytest
from helpers import assert_all_same, refuses
from layer_cases import LAYERS, LENGTHS, RNG, TOKENED, TOKENS, E, M, S, U, X, given

import cgru
from cgru.layers.embedding import TokenGradients
from cgru.layers.layer import Layer, LayerPass, class_attribute
from cgru.passes import Pass


def deleted(cache, key):
    del cache[key]


def rebound(cache, key):
    cache[key] = np.zeros((1, 1), np.float32)


def foreign(cache, key):
    cache[key] = "abc"


def reshaped(cache, key):
    cache[key].shape = (1, cache[key].size)


def restrided(cache, key):
    cache[key].strides = (0,) * cache[key].ndim


def grown(cache, key):
    cache[key].resize((20000, 7))


def emptied(cache, key):
    cache.clear()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of setting a shape
@pytest.mark.parametrize("harm", [deleted, rebound, foreign, reshaped, restrided, grown, emptied])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.pairwise
def test_what_is_done_to_the_dicts_does_not_reach_the_pass(name, lengths, harm):
    """Each entry of each dict, between the calls."""
    due = LAYERS[name]()
    A = due.forward(given(name), lengths)
    dA = RNG.standard_normal(A.shape)
    dX = due.backward(dA)
    due.compute_gradients()
    for key in (*itertools.product(["fc"], due.fc), *itertools.product(["bc"], due.bc)):
        layer, inputs = LAYERS[name](), np.array(given(name))
        layer.forward(inputs, lengths)
        done = attempt(harm, layer, *key) if key[0] == "fc" else None
        got = layer.backward(np.array(dA))
        if dX is not None:
            np.testing.assert_array_equal(got, dX, str(key))
        done = attempt(harm, layer, *key) if key[0] == "bc" else done
        layer.compute_gradients()
        assert layer.g.keys() == due.g.keys()
        for gradient, value in due.g.items():
            np.testing.assert_array_equal(layer.g[gradient], value, str(key))
        del done
        layer.forward(np.array(given(name)), lengths)
        assert layer.fc.keys() == due.fc.keys()
        assert layer.fs.keys() == due.fs.keys()


def attempt(harm, layer, attribute, key):
    """Do it; NumPy refuses some of these things for some arrays."""
    try:
        harm(getattr(layer, attribute), key)
    except (ValueError, AttributeError, TypeError):
        return False
    return True


@pytest.mark.parametrize("name", LAYERS)
def test_passes_are_independent(name):
    layer = LAYERS[name]()
    layer.make(given(name))
    runs, due = [], []
    for seed in range(3):
        layer.np_rng = np.random.default_rng(seed)
        inputs = given(name)[seed:] if seed else given(name)
        runs.append(layer.run(inputs, LENGTHS[seed:]))
        twin = copy.deepcopy(layer)
        twin.np_rng = np.random.default_rng(seed)
        A = twin.forward(inputs, LENGTHS[seed:])
        dX = twin.backward(np.full(A.shape, seed + 1.0))
        twin.compute_gradients()
        due.append((A, dX, twin.g))
    assert not layer.fc
    for seed in (2, 0, 1):
        A, dX, _ = due[seed]
        np.testing.assert_array_equal(runs[seed].A, A)
        got = runs[seed].backward(np.full(A.shape, seed + 1.0))
        assert (got is None) == (dX is None)
        if dX is not None:
            np.testing.assert_array_equal(got, dX)
    for seed in (1, 2, 0):
        gradients = runs[seed].gradients()
        assert gradients.keys() == due[seed][2].keys()
        assert_all_same(due[seed][2], gradients)
    assert not layer.bc
    assert not layer.g


@pytest.mark.parametrize("name", LAYERS)
def test_parameters_are_made_at_the_first_sight_of_data(name):
    layer, twin, other = LAYERS[name](), LAYERS[name](), LAYERS[name]()
    twin.compute_shapes(given(name))
    twin.initialize_parameters()
    layer.run(given(name))
    other.predict(given(name))
    assert list(layer.p) == list(twin.p) == list(other.p) == list(layer.parameter_names)
    for key, value in twin.p.items():
        np.testing.assert_array_equal(layer.p[key], value)
        np.testing.assert_array_equal(other.p[key], value)
    if layer.p and name not in TOKENED:
        assert layer.features == E
    else:
        assert layer.features is None
    layer.predict(given(name))
    assert_all_same(layer.p, twin.p)


@pytest.mark.parametrize("name", LAYERS)
def test_a_copy_has_no_caches(name):
    layer = LAYERS[name]()
    large = np.tile(given(name), (100, 1, 1)[: given(name).ndim])
    dA = np.ones_like(layer.forward(large))
    before = len(pickle.dumps(LAYERS[name]()))
    layer.backward(dA)
    layer.compute_gradients()
    room = sum(value.nbytes for value in layer.p.values())
    if "state" in vars(layer) or name.startswith("bidirectional"):
        room += np.asarray(layer.state).nbytes
    assert len(pickle.dumps(layer)) < before + room + 5000
    for twin in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), copy.copy(layer)):
        assert [twin.fc, twin.bc, twin.bs, twin.g] == [{}] * 4
        with pytest.raises(RuntimeError, match="forward"):
            twin.backward(dA)
        np.testing.assert_array_equal(twin.predict(large), layer.predict(large))
        twin.initialize_parameters()  # it knows the shapes


@pytest.mark.parametrize("name", LAYERS)
def test_calls_out_of_order(name):
    layer = LAYERS[name]()
    if layer.parameter_names:
        with pytest.raises(RuntimeError, match="compute_shapes"):
            layer.initialize_parameters()
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward(X)
    with pytest.raises(RuntimeError, match="backward"):
        layer.compute_gradients()
    A = layer.forward(given(name))
    with pytest.raises(RuntimeError, match="backward"):
        layer.compute_gradients()
    if layer.parameter_names:
        layer.lrate, layer.e = [0.1], 0
        with pytest.raises(RuntimeError, match="compute_gradients"):
            layer.update_parameters()
    layer.backward(np.ones_like(A))
    layer.compute_gradients()
    layer.forward(given(name))
    with pytest.raises(RuntimeError, match="backward"):  # that was another pass
        layer.compute_gradients()


@pytest.mark.parametrize("name", LAYERS)
def test_an_input_in_which_backward_is_told_nothing_it_can_use(name):
    layer = LAYERS[name]()
    A = layer.forward(given(name))
    for wrong, error in ((np.ones(3), ValueError), (None, TypeError), (np.ones(A.shape, complex), TypeError)):
        with pytest.raises(error, match="dX: "):
            layer.backward(wrong)
    assert not layer.bc
    layer.backward(np.ones_like(A))


@pytest.mark.parametrize("name", LAYERS)
def test_one_thread_at_a_time(name):
    layer, caught = LAYERS[name](), []
    A = layer.forward(given(name))

    def inside():
        for call in (lambda: layer.forward(given(name)), lambda: layer.backward(A), layer.compute_gradients):
            try:
                call()
            except RuntimeError as error:
                caught.append(str(error))

    with layer._lock:
        other = threading.Thread(target=inside)
        other.start()
        other.join()
    assert len(caught) == 3
    assert all("another thread is inside" in each for each in caught), caught


# --- dtype ---


@pytest.mark.parametrize("name", LAYERS)
def test_a_dtype_that_was_not_said(name):
    layer = LAYERS[name]()
    assert layer.dtype == np.float64
    assert "dtype" not in layer.given
    layer.dtype = np.float32
    assert layer.dtype == np.float32
    assert "dtype" in layer.given
    inputs = given(name).astype(np.float32) if name not in TOKENED else TOKENS
    A = layer.forward(inputs)
    layer.backward(np.ones_like(A))
    layer.compute_gradients()
    assert A.dtype == np.float32
    for cache in (layer.p, layer.fc, layer.bc, layer.g):
        assert all(value.dtype == np.float32 for value in cache.values() if value is not layer.fc.get("X"))
    layer.dtype = np.float32
    if layer.p:
        with pytest.raises(ValueError, match="dtype: "):
            layer.dtype = np.float64
        assert layer.dtype == np.float32
    with pytest.raises(ValueError, match="dtype: "):
        layer.dtype = np.float16


def dense(gradient):
    """The gradient of each sample of the whole parameter, of a table too."""
    return gradient.dense(6) if isinstance(gradient, TokenGradients) else gradient


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("lengths", [None, LENGTHS, "none"], ids=["whole", "ragged", "no steps"])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_each_sample(name, lengths, dtype):
    """They are what a sample's own part of dL/dA gives alone, for they are linear in it."""
    layer, A = LAYERS[name](), given(name)
    if isinstance(lengths, str):
        if not name.startswith(("dense", "scale")):
            return  # the others want steps
        A, lengths = A[:, 0], None
    if layer.parameter_names:
        layer.dtype = dtype
    ran = layer.run(A, lengths)
    dA = RNG.standard_normal(ran.A.shape).astype(ran.A.dtype)
    if not layer.parameter_names:
        ran.backward(dA)
        assert ran.gradients() == ran.gradients(each=True) == {}
        return
    ran.backward(dA)
    whole, each = copy.deepcopy(ran.gradients()), ran.gradients(each=True)
    assert list(each) == list(whole) == ["d" + key for key in layer.p]
    for i in range(M):
        own = np.zeros_like(dA)
        own[i] = dA[i]
        ran.backward(own)
        for key, due in ran.gradients().items():
            found = dense(each[key])
            assert found.dtype == due.dtype == dtype
            assert found.shape == (M, *due.shape)
            np.testing.assert_allclose(found[i], due, rtol=0, atol=1e-14 if dtype is np.float64 else 2e-6, err_msg=key)
    for key, due in whole.items():
        np.testing.assert_allclose(
            dense(each[key]).sum(axis=0), due, rtol=0, atol=1e-13 if dtype is np.float64 else 5e-6
        )


@pytest.mark.parametrize("name", [name for name in LAYERS if LAYERS[name]().parameter_names])
def test_gradients_of_each_sample_before_a_backward(name):
    with pytest.raises(RuntimeError, match="expected a backward"):
        LAYERS[name]().run(given(name)).gradients(each=True)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_evaluates(name, lengths):
    """Its runs are predictions over the same parameters, and leave no trace in the layer."""
    layer, A = LAYERS[name](), given(name)
    cells = layer.cells or (layer,)
    for cell in layer.cells:
        cell.stateful = True
    layer.make(A)
    layer.forward(A, lengths)
    states, draws = (
        [cell.np_rng.bit_generator.state for cell in cells],
        [getattr(cell, "state", None) for cell in cells],
    )
    last, training = layer.last, [getattr(cell, "training", None) for cell in cells]
    other = layer.evaluating()
    ran = other.run(A, lengths)
    ran.backward(np.ones_like(ran.A))
    assert type(other) is type(layer)
    assert all(other.p[key] is layer.p[key] for key in layer.p)
    for cell, state in zip(cells, draws, strict=True):
        assert getattr(cell, "state", None) is state
    assert [cell.np_rng.bit_generator.state for cell in cells] == states
    assert [getattr(cell, "training", None) for cell in cells] == training
    assert layer.last is last
    layer.reset_state()
    np.testing.assert_allclose(ran.A, layer.predict(A, lengths), rtol=0, atol=1e-15)


def test_a_layer_of_ones_own_that_draws_has_to_say_how_to_stop_it():
    class Noise(Layer):
        draws = True

    with pytest.raises(ValueError, match="layers: "):
        Noise().evaluating()
    noise = Noise()
    noise.training = True
    assert noise.evaluating().training is False
    assert noise.training is True


def test_an_emptied_layer_takes_another_dtype():
    """A pass of before keeps its own, whatever the layer has by now."""
    layer, dA = cgru.Dense(2, "identity", rng=0), np.ones((M, S, 2))
    old = layer.run(X)
    layer.p.clear()
    layer.dtype, layer.d["u"] = np.float32, 3
    assert layer.predict(X).dtype == np.float32
    with pytest.raises(ValueError, match=r"p\['W'\]: "):
        old.backward(dA)
    W = layer.p["W"] = layer.p["W"][:, :2]
    layer.p["b"] = layer.p["b"][:, :2]
    dX = old.backward(dA)
    assert dX.dtype == np.float64
    np.testing.assert_allclose(dX, dA @ W.T.astype(np.float64), rtol=1e-14)


def test_a_pass_outlives_its_layer():
    layer = cgru.Dense(2, "tanh", rng=0)
    old, due = layer.run(X), copy.deepcopy(layer)
    del layer
    due.forward(X)
    np.testing.assert_array_equal(old.backward(np.ones((M, S, 2))), due.backward(np.ones((M, S, 2))))
    due.compute_gradients()
    np.testing.assert_array_equal(old.gradients()["dW"], due.g["dW"])


# --- layers of one's own ---


class Doubled(Layer):
    def run(self, A, lengths=None):
        return DoubledPass(None, X=A, A=2 * A)


class DoubledPass(LayerPass):
    def _compute_backward(self, dA):
        return {"dA": dA, "dX": 2 * dA}


def test_a_layer_of_ones_own():
    layer = Doubled()
    np.testing.assert_array_equal(layer.forward(X), 2 * X)
    np.testing.assert_array_equal(layer.predict(X), 2 * X)
    np.testing.assert_array_equal(layer.backward(X), 2 * X)
    layer.compute_gradients()
    assert layer.d == {"m": M, "s": S, "n": E}
    assert layer.fs == {"X": X.shape, "A": X.shape}
    assert layer.bs == {"dA": X.shape, "dX": X.shape}
    assert layer.output_shape(("m", "s", 3)) == ("m", "s", 3)
    assert layer.predict_on(X, None, [])[1] == ()
    layer.initialize_parameters()
    layer.update_parameters()
    layer.reset_state()
    layer.make(X)
    assert not layer.p
    layer.update_shapes({"X": X}, shapes := {})
    assert shapes == {"X": X.shape}
    with pytest.raises(NotImplementedError):
        Layer().run(X)
    with pytest.raises(NotImplementedError):
        LayerPass(None, A=X).backward(X)
    with pytest.raises(NotImplementedError):
        Pass(X, {}).backward(X)
    assert Pass(X, {}).gradients() == {}
    net = cgru.Network([Doubled(), cgru.GRU(3), cgru.Dense(2, "softmax")], seed=0)
    plain = cgru.Network([cgru.GRU(3), cgru.Dense(2, "softmax")], seed=0)
    net.predict(X)
    for ours, theirs in zip(plain.layers, net.layers[1:], strict=True):
        ours.p.update({name: value.copy() for name, value in theirs.p.items()})
    np.testing.assert_array_equal(net.predict(X), plain.predict(2 * X))
    labels = np.arange(M) % 2
    np.testing.assert_allclose(
        net.fit(X, labels, epochs=3, shuffle=False).loss, plain.fit(2 * X, labels, epochs=3, shuffle=False).loss
    )


def test_a_layer_writes_its_own_c_and_a_class_built_on_it_does_not(tmp_path):
    """No room but its own knows of it; what is built on it may compute something else."""

    class Written(Doubled):
        def c_text(self, c):
            return c.elementwise("Written", f"{c.number(2, 'two')} * x[i]")

    class Built(Written):
        pass

    assert class_attribute(Written(), "c_text") is not None
    assert class_attribute(Built(), "c_text") is class_attribute(cgru.Flip(), "c_text") is None
    for kind in (Written, Built):
        net = cgru.Network([cgru.GRU(3), kind(), cgru.Dense(2)], seed=0)
        net.predict(X)
        if kind is Written:
            cgru.export_c(net, tmp_path / "net.c")
            assert "y[i] = 2.0 * x[i];" in (tmp_path / "net.c").read_text()
        else:
            with pytest.raises(ValueError, match="expected cgru's own layers, got Built as layer 1"):
                cgru.export_c(net, tmp_path / "other.c")


def test_a_state_to_start_from_is_checked():
    layer = cgru.GRU(U, dtype="float32")
    found = layer.checked_state(layer, [[1, 2]], "h0", 1)
    assert (found.dtype, found.tolist()) == (np.float32, [[1, 2]])
    with refuses(ValueError, "h0"):
        layer.checked_state(layer, [[1, 2]], "h0", 2)
