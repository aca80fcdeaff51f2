"""What several threads do at once gives the bits that each gives alone, with a GIL and without."""

import os
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import at_once

import cgru
from cgru import datasets

THREADS = 4
S, E, U, K = 7, 3, 5, 2
X = np.random.default_rng(1).standard_normal((16, S, E))
LENGTHS, LABELS = np.arange(16) % S + 1, np.arange(16) % K
TOKENS = np.arange(16 * S).reshape(16, S) % 9
GAPS = np.where(np.random.default_rng(2).random(X.shape) < 0.3, np.nan, X)


def assert_same(found, due):
    """Compare nested dicts and sequences of arrays, bit for bit."""
    assert type(found) is type(due)
    if isinstance(due, dict):
        assert found.keys() == due.keys()
        found, due = list(found.values()), list(due.values())
    if isinstance(due, list | tuple):
        assert len(found) == len(due)
        for one, other in zip(found, due, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(found, due)


LAYERS = {
    "GRU": lambda: [cgru.GRU(U)],
    "layer norm": lambda: [cgru.GRU(U, layer_norm=True, sequences=True), cgru.LayerNorm(), cgru.Pool("mean")],
    "both directions": lambda: [cgru.Bidirectional(cgru.GRU(U, learn_h0=True))],
    "attention": lambda: [cgru.GRU(U, sequences=True), cgru.Pool("last+attention", 4)],
    "embedding": lambda: [cgru.Embedding(9, 4), cgru.GRU(U, reset_after=True)],
    "gaps": lambda: [cgru.GRUD(U)],
    "a callable of one's own": lambda: [cgru.GRU(U, lambda x, deriv=False: np.ones_like(x) if deriv else x)],
}
INPUTS = {"embedding": TOKENS, "gaps": GAPS}


def network(name, seed=3):
    return cgru.Network([*LAYERS[name](), cgru.Dense(K, "softmax")], seed=seed)


def fitted(name, seed, **options):
    """What a fit of a new network leaves."""
    net = network(name, seed)
    net.fit(INPUTS.get(name, X), LABELS, lengths=LENGTHS, epochs=3, batch_size=5, **options)
    return net.parameters(), [epoch.loss for epoch in net.history]


@pytest.mark.parametrize("name", LAYERS)
def test_one_network_predicts_on_all_threads_that_make_its_parameters_together(name):
    given, due = INPUTS.get(name, X), network(name).predict(INPUTS.get(name, X), LENGTHS)
    for _ in range(5):
        net = network(name)
        assert_same(at_once(lambda k, net=net: net.predict(given, LENGTHS)), [due] * THREADS)


@pytest.mark.parametrize("name", LAYERS)
def test_one_layer_runs_on_all_threads_that_make_its_parameters_together(name):
    if name == "embedding":
        given, make = TOKENS, lambda: cgru.Embedding(9, 4, rng=1)
    else:
        given, make = INPUTS.get(name, X), lambda: LAYERS[name]()[0]

    def layer():
        made = make()
        made.np_rng = np.random.default_rng(1)
        return made

    def gradients(layer):
        ran = layer.run(given, LENGTHS)
        ran.backward(np.ones_like(ran.A))
        return ran.A.copy(), ran.gradients()

    due = gradients(layer())
    for _ in range(5):
        shared = layer()
        assert_same(at_once(lambda k, shared=shared: gradients(shared)), [due] * THREADS)


class AtOnce(dict):
    """Parameters that nobody may see while some of them are missing."""

    def __setitem__(self, name, value):
        raise AssertionError(f"{name} was put there alone")


@pytest.mark.parametrize(
    "layer",
    [cgru.Dense(2), cgru.GRUD(2), cgru.LayerNorm(), cgru.Pool("attention", 2), cgru.Scale(), cgru.GRU(2)],
    ids=lambda layer: type(layer).__name__,
)
def test_parameters_appear_all_at_once(layer):
    layer.p = AtOnce()
    layer.make(X)
    assert tuple(layer.p) == layer.parameter_names


def test_a_thread_that_comes_while_a_twin_is_drawn_waits_for_it():
    inside, leave, calls = threading.Event(), threading.Event(), []

    def slow(shape, rng):
        calls.append(shape)
        if len(calls) == 7:  # the first matrix of the twin
            inside.set()
            leave.wait(0.3)
        return rng.standard_normal(shape)

    def make():
        return cgru.Network([cgru.Bidirectional(cgru.GRU(U, initialization=slow))], seed=3)

    net, found = make(), []
    first = threading.Thread(target=lambda: found.append(net.predict(X)))
    first.start()
    assert inside.wait(10)
    found.append(net.predict(X))
    leave.set()
    first.join()
    assert len(calls) == 12
    assert_same(found, [make().predict(X)] * 2)


@pytest.mark.parametrize("name", LAYERS)
def test_each_thread_fits_a_network_of_its_own(name):
    due = [fitted(name, k) for k in range(THREADS)]
    assert_same(at_once(lambda k: fitted(name, k)), due)


def test_passes_over_one_layer_are_their_threads_own():
    layer = cgru.GRU(U, sequences=True, rng=1)
    layer.predict(X)
    inputs = [X[k : k + 8] + k for k in range(THREADS)]

    def work(k):
        found = []
        for _ in range(25):  # the layer's buffers go from thread to thread
            ran = layer.run(inputs[k])
            states, dX = ran.fc["h"], ran.backward(np.ones_like(ran.A))
            found.append((states.copy(), dX.copy(), ran.gradients()))
            found[-1] = found[-1] if len(found) < 2 or len(found) % 5 else (*map(np.copy, found[-1][:2]), {})
        return found

    due = [work(k) for k in range(THREADS)]
    assert_same(at_once(work), due)


def test_each_thread_has_a_stream_of_one_network():
    net = network("GRU")
    net.predict(X)

    def work(k):
        stream = cgru.Stream(net)
        return [stream.step(X[k, t % S]).copy() for t in range(100)]

    assert_same(at_once(work), [work(k) for k in range(THREADS)])


def test_a_stream_that_threads_share_takes_a_step_at_a_time():
    layer = cgru.GRU(64, rng=1)
    layer.predict(X)
    alone, shared, n = cgru.Stream(layer), cgru.Stream(layer), 100
    for _ in range(n * THREADS):
        alone.step(X[0, 0])

    def work(k):
        for t in range(n):
            shared.step(X[0, 0])
            if t % 10 == 0:
                shared.refresh()

    at_once(work)
    assert_same(shared.state, alone.state)


def test_a_layer_that_drops_out_draws_from_one_generator():
    for _ in range(20):
        layer = cgru.GRU(U, dropout=0.5)
        assert len({id(rng) for rng in at_once(lambda k, layer=layer: layer.np_rng)}) == 1


def test_quantised_weights_are_packed_on_all_threads():
    net = network("GRU")
    net.predict(X)
    due = cgru.quantize(net).predict(X)
    for _ in range(5):
        low = cgru.quantize(net)
        assert_same(at_once(lambda k, low=low: low.predict(X)), [due] * THREADS)


def test_files_are_read_and_written_on_all_threads(tmp_path):
    net = network("GRU")
    due = net.predict(X)
    net.save(tmp_path / "model.npz")
    rows = "".join(f"{i // S},2024-01-{i % S + 1:02},{i % 5},{'ab'[i // S % 2]}\n" for i in range(16 * S))
    (tmp_path / "table.csv").write_text("id,date,x,label\n" + rows)

    def work(k):
        found = []
        for _ in range(3):
            loaded = cgru.load(tmp_path / "model.npz")
            found.append(loaded.predict(X))
            loaded.save(tmp_path / f"{k}.npz")
            found.append(cgru.load(tmp_path / f"{k}.npz").predict(X))
            found.append(datasets.read(tmp_path / "table.csv").train.X.X)
        return found

    table = datasets.read(tmp_path / "table.csv").train.X.X
    assert_same(at_once(work), [[due, due, table] * 3] * THREADS)


MODULES = """
import pathlib, sys
import cgru
root = pathlib.Path(cgru.__file__).parent
for path in sorted(root.rglob("*.so")):
    if "torch" not in path.parts:
        __import__(".".join(["cgru", *path.relative_to(root).parent.parts, path.name.partition(".")[0]]))
print(sys._is_gil_enabled())
"""


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_no_module_turns_the_gil_on():
    command = [sys.executable, "-W", "error", "-c", MODULES]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    done = subprocess.run(command, cwd=Path(__file__).parent, env=clean, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
