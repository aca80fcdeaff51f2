"""Samples in files: the numbers of arrays in memory, or an error that says why not."""

import subprocess
import sys

import numpy as np
import pytest
from blocks_cases import CLASSES, LENGTHS, RNG, SOME, STEPS, M, S, X, assert_same, came_of, network
from checkpoint_cases import stopping
from helpers import refuses, some

import cgru
from cgru.network.training import fit

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.fixture
def in_file(tmp_path):
    """What makes an array one in a file."""

    def put(array):
        if array is None:
            return None
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npy"
        np.save(path, array)
        return np.load(path, mmap_mode="r")

    return put


OPTIONS = {
    "plain": {},
    "validated": {"validation": 0.2, "standardize": True, "patience": 1},
    "weighed": {"weight": SOME, "validation": 0.3},
    "weighed alike": {"weight": np.full(M, 0.3), "bucket": True},
    "balanced": {"class_weight": "balanced", "validation": 0.2, "standardize": True},
    "by class": {"class_weight": {1: 0.5}, "weight": SOME},
    "pieces": {"truncate": 3, "metrics": {"sum": lambda y, A: float(A.sum())}, "validation": 0.4},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("y", [CLASSES, STEPS, np.array(["a", "b", "c"])[CLASSES]], ids=["classes", "steps", "names"])
@pytest.mark.pairwise
def test_a_fit_of_files_has_the_bits_of_one_in_memory(in_file, y, lengths, options):
    if y.dtype.kind == "U" and options.get("class_weight") == {1: 0.5}:
        options = options | {"class_weight": {"b": 0.5}}
    make = lambda: network(y.ndim == 2)  # noqa: E731
    due = came_of(make(), X, y, lengths, **options)
    assert_same(came_of(make(), in_file(X), in_file(y), in_file(lengths), **options), due)
    assert_same(came_of(make(), in_file(X), y, lengths, **options), due)
    assert_same(came_of(make(), X, in_file(y), lengths, **options), due)


@pytest.mark.parametrize("dtype", ["f8", "f2", "i2", ">f4", "?", "u8"])
@pytest.mark.parametrize("own", [np.float32, np.float64])
def test_any_dtype(in_file, dtype, own):
    data = np.abs(X).astype(dtype)
    options = {"standardize": True, "validation": 0.2}
    due = came_of(network(dtype=own), data, CLASSES, LENGTHS, **options)
    assert_same(came_of(network(dtype=own), in_file(data), CLASSES, LENGTHS, **options), due)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("extra", [{}, {"standardize_targets": True}, {"standardize_targets": True, "shrink": True}])
@pytest.mark.parametrize("weight", [None, SOME])
def test_numbers(in_file, per_step, extra, weight):
    y = RNG.standard_normal((M, S, 2) if per_step else (M, 2)).astype(np.float32) * 9 + 3
    options = {"validation": 0.2, "weight": weight} | extra
    make = lambda: network(per_step, cgru.Dense(2, "identity"))  # noqa: E731
    due = came_of(make(), X, y, LENGTHS, **options)
    assert_same(came_of(make(), in_file(X), in_file(y), LENGTHS, **options), due)


def test_probabilities_and_weights_of_steps(in_file):
    y, weight = RNG.dirichlet(np.ones(3), (M, S)), RNG.random((M, S))
    due = came_of(network(True), X, y, LENGTHS, weight=weight)
    assert_same(came_of(network(True), in_file(X), in_file(y), LENGTHS, weight=in_file(weight)), due)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_tokens(in_file, lengths):
    tokens = RNG.integers(0, 9, (M, S)).astype(np.uint16)
    if lengths is not None:
        tokens[np.arange(S) >= lengths[:, None]] = 999
    make = lambda: cgru.Network([cgru.Embedding(9, 4), cgru.GRU(4), cgru.Dense(3, "softmax")], seed=0)  # noqa: E731
    due, ours = make(), make()
    options = {"validation": 0.2}
    assert_same(
        came_of(ours, in_file(tokens), CLASSES, lengths, **options), came_of(due, tokens, CLASSES, lengths, **options)
    )
    np.testing.assert_array_equal(ours.predict(in_file(tokens), lengths), due.predict(tokens, lengths))
    wrong = tokens.copy()
    wrong[140, 0] = 9
    for given in (wrong, in_file(wrong)):
        with refuses(ValueError, "X"):
            make().fit(given, CLASSES, lengths=lengths)


def test_a_loop_in_python_of_files(in_file, monkeypatch):
    monkeypatch.setattr(fit, "compiles", lambda net: False)
    for y in (CLASSES, STEPS):
        options = {"standardize": True, "validation": 0.2, "weight": SOME}
        due = came_of(network(y.ndim == 2), X, y, LENGTHS, **options)
        assert_same(came_of(network(y.ndim == 2), in_file(X), in_file(y), LENGTHS, **options), due)


def test_validation_in_files(in_file):
    held = X[:40], CLASSES[:40], LENGTHS[:40], SOME[:40]
    due = came_of(network(), X, CLASSES, validation=held, class_weight={0: 2.0})
    ours = came_of(network(), X, CLASSES, validation=tuple(map(in_file, held)), class_weight={0: 2.0})
    assert_same(ours, due)


def test_stateful_layers_go_on_over_the_blocks(in_file):
    make = lambda: cgru.Network([cgru.GRU(4, stateful=True), cgru.Dense(3, "softmax")], seed=0)  # noqa: E731
    options = {"shuffle": False, "batch_size": 10, "validation": (X[:20], CLASSES[:20])}
    due = came_of(make(), X, CLASSES, **options)
    assert_same(came_of(make(), in_file(X), CLASSES, **options), due)


def test_a_checkpoint_of_files_is_that_of_arrays(in_file, tmp_path):
    file = tmp_path / "checkpoint"
    options = {"checkpoint": cgru.Checkpoint(file, 0, True), "validation": 0.2, "standardize": True, "weight": SOME}
    due = came_of(network(), X, CLASSES, LENGTHS, **options)
    file.unlink()

    with pytest.raises(KeyboardInterrupt):
        came_of(network(), in_file(X), in_file(CLASSES), LENGTHS, callback=stopping(2, KeyboardInterrupt), **options)
    assert_same(came_of(network(), X, CLASSES, LENGTHS, **options), due)


def test_losses_of_each(in_file):
    for y in (CLASSES, STEPS):
        net = network(y.ndim == 2)
        due, ours = (net.evaluate(data, y, LENGTHS, each=True) for data in (X, in_file(X)))
        np.testing.assert_array_equal(ours["losses"], due["losses"])
        assert ours["loss"] == due["loss"]


@pytest.mark.parametrize(
    ("error", "options"),
    [
        *((ValueError, {"y": y}) for y in (CLASSES[:3], CLASSES + 1)),
        *((ValueError, {"sample_weight": each}) for each in (SOME[:3], -SOME, 0 * SOME)),
        (ValueError, {"lengths": LENGTHS[:3]}),
        (ValueError, {"validation": 0.5, "sample_weight": SOME * (SOME[3] == SOME)}),
        *((ValueError, {"validation": each}) for each in (1.0, 0.0, (X,))),
        *((TypeError, each) for each in ({"y": SOME}, {"validation": True})),
    ],
)
def test_what_is_wrong_with_files_touches_nothing(in_file, error, options):
    net = network()
    with refuses(error, [*options][-1]):
        net.fit(**{"X": in_file(X), "y": CLASSES} | options)
    with refuses(ValueError, "validation y"):
        net.fit(in_file(X), CLASSES, validation=(X, CLASSES[:3]))
    with pytest.raises(ValueError, match=f"^y: expected {M} of them"):  # before any is read
        net.fit(in_file(X), CLASSES[:3])
    assert not net.layers[0].p


def test_one_sample_of_two_is_set_aside_but_not_of_one(in_file):
    network().fit(in_file(X[:2]), CLASSES[:2], validation=0.1, epochs=1)
    with refuses(ValueError, "validation"):
        network().fit(in_file(X[:1]), CLASSES[:1], validation=0.1)


def test_infinity_in_a_file_is_found_where_it_is(in_file):
    wrong = X.copy()
    wrong[130, 4, 1], wrong[20, 6] = np.inf, np.nan
    lengths = np.where(np.arange(M) == 20, 6, 7)
    for given in (wrong, in_file(wrong)):
        with refuses(ValueError, "X"):
            network().fit(given, CLASSES, lengths=lengths)
        with pytest.raises(ValueError, match=r"in sample 20, step 6$"):
            network().fit(given, CLASSES)
        with pytest.raises(ValueError, match=r"^validation X: .* in sample 20, step 6$"):
            network().fit(X, CLASSES, validation=(given, CLASSES))


# --- memory ---

LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
import cgru

folder, kind = Path(sys.argv[1]), sys.argv[2]
MIB, M, S = 1 << 20, 4096, 256


def zeros(name, dtype, *shape):  # which take no room on the disk
    np.lib.format.open_memmap(folder / name, "w+", dtype, (M, *shape))
    return np.load(folder / name, mmap_mode="r")


y, options, below, head = np.arange(M) % 2, {}, [], cgru.Dense(2, "softmax")
lengths = weight = None
if kind == "tokens":
    X, below, lengths = zeros("x.npy", np.uint16, 64 * S), [cgru.Embedding(4, 2)], np.arange(M) % 99 + 1
elif kind == "steps":
    X, y, weight = zeros("x.npy", np.float32, S, 1), zeros("y.npy", np.float32, S, 48), np.arange(M)
    head, options = cgru.Dense(48, "identity"), {"standardize_targets": True}
else:
    X, options = zeros("x.npy", kind, S, 64), {"class_weight": "balanced"}
net = cgru.Network([*below, cgru.GRU(1, sequences=kind == "steps"), head], seed=0, dtype=np.float32)
lines = Path("/proc/self/status").read_text().splitlines()
limit = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:")) + 100 * MIB
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
assert X.nbytes + y.nbytes >= 128 * MIB
try:
    np.zeros(X.shape, np.int8), np.zeros(128 * MIB // 8)
except MemoryError:
    pass
else:
    raise SystemExit("there is no limit")
options |= {"validation": 0.25, "standardize": kind != "tokens", "lengths": lengths, "sample_weight": weight}
net.fit(X, y, epochs=1, **options)
net.evaluate(X, y, lengths)
net.predict(X[:100] if kind == "steps" else X, lengths)
print("done")
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and /proc are Linux's")
@pytest.mark.parametrize("kind", some(3, [">i2", "tokens", "steps", "<f4", "<f8", "<f2"]))
def test_memory_stays_flat(tmp_path, kind):
    command = [sys.executable, "-c", LIMITED, str(tmp_path), kind]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (ran.stdout, ran.stderr) == ("done\n", "")
