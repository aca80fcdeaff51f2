"""What several test files share: layers with random, non-zero parameters, and the measure of equality."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest

import cgru
from cgru import reference
from cgru.activations import bind, code_of
from cgru.core import driver, gradients

ODD = (1, 2, 7, 17, 33)
SHAPES = [  # each (m, s) with each e and each u, and each e with each u, once
    (m, s, e, ODD[(i + j) % 5])
    for (i, (m, s)), (j, e) in itertools.product(enumerate([(1, 7), (2, 1), (7, 2), (17, 3), (33, 2)]), enumerate(ODD))
]
# Largest difference over largest value, compiled against the reference in float64.
TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 2e-5}


def some(n, values):
    """Values of a parameter, or tuples of those of several: the first n for each run, all for a nightly one."""
    rest = [value if isinstance(value, tuple) else (value,) for value in values[n:]]
    return [*values[:n], *(pytest.param(*value, marks=pytest.mark.nightly) for value in rest)]


def assert_close(got, due, tolerance, what=""):
    """An array, or each of a dict by its name: the largest difference over the largest value that is due."""
    if hasattr(due, "items"):
        for name, array in due.items():
            assert_close(got[name], array, tolerance, (what, name))
        return
    got, due = np.asarray(got, np.float64), np.asarray(due, np.float64)
    assert got.shape == due.shape, (what, got.shape, due.shape)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(due), what)
    worst = np.abs(got - due).max(initial=0)
    assert worst <= tolerance * max(np.abs(due).max(initial=0), 0.1), (what, worst)


def assert_all_close(got, due, rtol=1e-7, atol=0):
    """Each array of a dict is about that of the same name, number by number."""
    for name, array in due.items():
        np.testing.assert_allclose(got[name], array, rtol, atol, err_msg=str(name))


def assert_all_same(got, due):
    """Each array of a dict has the numbers of that of the same name."""
    for name, array in due.items():
        np.testing.assert_array_equal(got[name], array, str(name))


def random_layer(e, u, seed=0, **options):
    """A layer whose parameters, biases among them, are random."""
    layer = cgru.GRU(u, rng=seed, **options)
    layer.compute_shapes(np.empty((1, 1, e)))
    layer.initialize_parameters()
    for value in layer.p.values():
        value[...] = layer.np_rng.standard_normal(value.shape) * (0.7 / np.sqrt(value.shape[0]))
    return layer


def random_batch(m, s, e, u, ragged, dtype=np.float64, seed=1):
    """X, lengths and h0; what stands past a sample's length is NaN, which nobody may see."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, s, e)).astype(dtype)
    h0 = rng.standard_normal((m, u)).astype(dtype)
    if not ragged:
        return X, None, h0
    lengths = rng.integers(1, s + 1, m)
    X[~reference.mask(lengths, s)[:, :, 0]] = np.nan
    return X, lengths, h0


def expected(layer, X, h0, lengths):
    functions = [
        bind(getattr(layer, gate), layer.se_hPars) for gate in ("activate", "activate_update", "activate_reset")
    ]
    h0 = None if h0 is None else h0.astype(np.float64)
    return reference.forward(double(layer.p), np.asarray(X, np.float64), h0, lengths, *functions)


def random_parameters(variant, e, u, dtype=np.float64, seed=0):
    """Parameters of that variant, all random, gains about one."""
    rng = np.random.default_rng(seed)
    shapes = variant.shapes(e, u)
    p = {name: rng.standard_normal(shape) * (0.7 / np.sqrt(shape[0])) for name, shape in shapes.items()}
    return {name: (value + (name[0] == "g")).astype(dtype) for name, value in p.items()}


def compiled(
    variant,
    p,
    X,
    h0,
    lengths,
    dA,
    dstate=None,
    reverse=False,
    zoneout=None,
    pre=True,
    dh=True,
    padded=True,
    loose=False,
):
    """The caches, the last state, dL/dh0 (and dh, if asked for) and the gradients by the compiled passes themselves, on
    memory full of NaN.
    """
    (m, s, e), u, dtype = X.shape, p["Vz"].shape[0], p["Vz"].dtype
    codes = tuple(code_of(f, None) for f in (cgru.tanh, cgru.sigmoid, cgru.sigmoid))
    order = running = None
    if lengths is not None:
        order = np.argsort(-lengths, kind="stable").astype(np.intp)
        running = np.count_nonzero(lengths[:, None] > np.arange(s), axis=0).astype(np.intp)

    def room(names):
        return {name: np.full((m, s, variant.width(name, u)), np.nan, dtype) for name in names}

    states, last, dh0 = np.full((m, s + 1, u), np.nan, dtype), *np.full((2, m, u), np.nan, dtype)
    start = (s if padded or lengths is None else lengths) if reverse else 0
    states[np.arange(m), start] = 0 if h0 is None else h0
    early, late = states[:, :-1], states[:, 1:]
    fc = {"h": early, "hp": late} if reverse else {"h": late, "hp": early}
    fc |= room(("hh", "z", "r", *variant.caches, *(("hh_", "z_", "r_") if pre else ())))
    arrays = {**fc, "X": X, "h0": h0, "last": last, "zoneout": zoneout}
    flags = {"reverse": reverse, "padded": padded}
    driver.run("forward", variant, p, arrays, codes, order, running, **flags, loose=loose)

    fresh = h0 is None
    bc = room(("dh_", *(("dh",) if dh else ()), "dhh_", "dz_", "dr_", *variant.gradients))
    bc["dX"] = np.full((m, s, e), np.nan, dtype)
    arrays = {**fc, **bc, "X": X, "dA": dA, "h0": dstate, "last": dh0 if dh else None, "zoneout": zoneout}
    driver.run("backward", variant, p, arrays, codes, order, running, **flags, fresh=fresh)

    g = {"d" + name: np.zeros(value.shape, dtype) for name, value in p.items()}  # C-contiguous, as always
    gradients.run(variant, g, {**fc, **bc, "X": X}, order, running, reverse, fresh)
    return {**fc, "last": last}, {**bc, **({"dh0": dh0} if dh else {})}, g


def double(arrays):
    """The arrays of a dict in float64."""
    return {name: np.asarray(value, np.float64) for name, value in arrays.items()}


def check_slopes(loss, pairs, rng):
    """Each array of the pairs, moved along a random direction, against its gradient: central differences of `loss`."""
    for array, gradient in pairs:
        step = rng.standard_normal(array.shape)
        kept = array.copy()
        array[...] = kept + 1e-5 * step
        above = loss()
        array[...] = kept - 1e-5 * step
        slope = (above - loss()) / 2e-5
        array[...] = kept
        np.testing.assert_allclose((gradient * step).sum(), slope, rtol=1e-6, atol=1e-8)


@contextmanager
def refuses(error, argument):
    """Expect an error of that class whose message names the argument first; tests/test_messages.py checks the rest."""
    with pytest.raises(error) as caught:
        yield
    said = str(caught.value)
    assert re.match(re.escape(argument) + "(: | [^:]*: )", said), said


class AlarmError(Exception):
    """What `alarm` raises."""


@contextmanager
def alarm(seconds, most):
    """A signal after some of the process's own time: the call within must raise `AlarmError`, and soon."""

    def ring(*_):
        raise AlarmError

    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGVTALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        start = time.thread_time()
        with pytest.raises(AlarmError):
            yield
        assert time.thread_time() - start < most
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def at_once(work, count=4):
    """What `work(k)` returns for each thread k of so many, which begin together; an error of one is raised."""
    gate, found, errors = threading.Barrier(count), [None] * count, []

    def call(k):
        try:
            gate.wait()
            found[k] = work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(k,), daemon=True) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
    return found


def watched(monkeypatch, layer, fail_at=None, error=None):
    """The passes that `layer.run` makes from now on; the call of that number raises `error`."""
    passes, run = [], layer.run

    def watch(*arguments, **options):
        if len(passes) == fail_at:
            raise error
        passes.append(run(*arguments, **options))
        return passes[-1]

    monkeypatch.setattr(layer, "run", watch)
    return passes


def run_python(*arguments, **variables):
    """Run Python with these arguments, or with one that is code, where no source tree hides the installed package."""
    return subprocess.run(
        [sys.executable, *(["-c"] if len(arguments) == 1 else []), *arguments],
        cwd=Path(__file__).parent,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )


def missing():
    """What a package with Cython cannot be built without; None if all is there."""
    for name, least in (("Cython", 3), ("setuptools", 77), ("pip", 0)):
        try:
            if int(version(name).partition(".")[0]) < least:
                return f"{name} is older than {least}"
        except PackageNotFoundError:
            return f"no {name}"
    compiler = sysconfig.get_config_var("CC")
    return None if compiler is None or shutil.which(compiler.split()[0]) else "no C compiler"


needs_compiler = pytest.mark.skipif(missing() is not None, reason=f"cannot build: {missing()}")


def keras_on_torch():
    """Keras and PyTorch, its backend here unless KERAS_BACKEND names another; without them the test file is skipped."""
    torch = pytest.importorskip("torch", reason="PyTorch, Keras's backend here, is not installed: pip install torch")
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras is not installed: pip install keras")
    if keras.backend.backend() != "torch":
        pytest.skip(f"Keras runs on {keras.backend.backend()}, expected torch", allow_module_level=True)
    return keras, torch
