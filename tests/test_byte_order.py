"""Files that a machine of the other byte order wrote: the same numbers here, through each reader of arrays."""

import numpy as np
import pytest
from checkpoint_cases import StopError, assert_same_fit, stopping
from network_cases import weights
from quantized_cases import KINDS

import cgru

rng = np.random.default_rng(0)
X, y = rng.standard_normal((6, 5, 3)), np.array([0, 1, 2, 0, 1, 2])
LENGTHS = np.array([5, 3, 5, 1, 2, 4])


def swapped(array):
    return array.astype(array.dtype.newbyteorder())


def swap_file(path):
    """Give each array of an .npz the other byte order, as a machine of that order writes it."""
    with np.load(path) as npz:
        arrays = {name: npz[name] for name in npz.files}
    np.savez(path, **{name: swapped(array) for name, array in arrays.items()})
    with np.load(path) as npz:
        assert any(not npz[name].dtype.isnative for name in npz.files)


def network(dtype="float64"):
    layers = [cgru.Scale(), cgru.GRU(4, reset_after=True, dropout=0.2, learn_h0=True), cgru.Dense(3, "softmax")]
    return cgru.Network(layers, optimizer=cgru.Adam(0.01), dtype=dtype, seed=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model(tmp_path, dtype):
    net = network(dtype)
    net.fit(X, y, lengths=LENGTHS, epochs=1, standardize=True)
    net.save(tmp_path / "model.npz")
    swap_file(tmp_path / "model.npz")
    loaded = cgru.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(X, LENGTHS), net.predict(X, LENGTHS))
    np.testing.assert_equal(weights(loaded), weights(net))


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_model(tmp_path, kind):
    net = network("float32")
    net.fit(X, y, epochs=1)
    small = cgru.quantize(net, kind, calibration=X)
    small.save(tmp_path / "model.npz")
    swap_file(tmp_path / "model.npz")
    np.testing.assert_array_equal(cgru.load(tmp_path / "model.npz").predict(X), small.predict(X))


def test_a_checkpoint(tmp_path):
    due, net, path = network(), network(), tmp_path / "checkpoint.npz"
    options = {"epochs": 3, "batch_size": 2, "validation": 0.34, "standardize": True}
    kept = {"checkpoint": cgru.Checkpoint(path, 0, True)}
    due_history = due.fit(X, y, **options)
    with pytest.raises(StopError):
        net.fit(X, y, callback=stopping(3), **kept, **options)
    swap_file(path)
    net = network()
    assert_same_fit(net, net.fit(X, y, **kept, **options), due, due_history)


def write(path, arrays):
    """Write the arrays into a folder of .npy files, or an .npz."""
    if path.suffix:
        np.savez(path, **arrays)
        return
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)


@pytest.mark.parametrize("form", ["npz", "folder"])
def test_data(tmp_path, form):
    """A data set with all that it may have; a folder's arrays stay in their files while a fit reads them."""
    arrays = {"x": X.astype(np.float32), "y": y, "lengths": LENGTHS, "class_names": np.array(["a", "b", "c"])}
    arrays |= {"subject": np.arange(6) // 2, "feature_names": np.array(["u", "v", "w"])}
    found = []
    for name, change in (("due", np.copy), ("swapped", swapped)):
        path = tmp_path / (f"{name}.npz" if form == "npz" else name)
        write(path, {key: change(array) for key, array in arrays.items()})
        data = cgru.datasets.read(path, groups="subject")
        net = network()
        net.fit(data.train.X, data.train.y, epochs=2, standardize=True)
        found.append([data.class_names, data.feature_names, list(data.groups), net.predict(X), net.mean, net.scale])
    np.testing.assert_equal(*found)


@pytest.mark.parametrize("name", ["decay", "times"])
def test_arrays_of_the_steps(tmp_path, name):
    """Beside X, from memory and from a file."""
    steps = np.cumsum(rng.uniform(0.1, 0.2, (6, 5)), axis=1)
    np.save(tmp_path / "steps.npy", swapped(steps))
    found = []
    for given in (steps, swapped(steps), np.load(tmp_path / "steps.npy", mmap_mode="r")):
        net = cgru.Network([cgru.GRUD(4) if name == "times" else cgru.GRU(4), cgru.Dense(3, "softmax")], seed=0)
        samples = cgru.Sequences(X, **{name: given})
        net.fit(samples, y, epochs=1)
        found.append(net.predict(samples))
    np.testing.assert_array_equal(found[1:], [found[0]] * 2)


def test_jobs_from_files(tmp_path):
    """The arrays of many fits are files, which each worker maps."""
    for name, array in (("x", X), ("y", y)):
        np.save(tmp_path / f"{name}.npy", swapped(array))
    due = cgru.fit_many([cgru.Job(network(), epochs=1)], X, y)
    got = cgru.fit_many([cgru.Job(network(), epochs=1)], tmp_path / "x.npy", tmp_path / "y.npy")
    np.testing.assert_equal(weights(got[0].network), weights(due[0].network))
